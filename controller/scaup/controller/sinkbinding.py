"""SinkBindings (``sources.knative.dev/v1``): what each one says, what it binds, and who wins where two want the same.

Pure: works on objects as they were seen. What is written into a subject is ``sinkbindingpatch``'s, when it is written
``sinkbindings``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from scaup.controller.api import Identity, identity, read, sections
from scaup.controller.resolve import Found, Lookup, NotKnownYet, Ref, Resolved, check_destination, check_reference
from scaup.controller.resolve import resolve_reference as entry_of
from scaup.controller.sinkbindingshapes import BindingSpec, CeOverrides, SelectorShape, SubjectShape
from scaup.core.model.definitions import Address, AddressBookEntry, Destination, UnresolvedError, resolve
from scaup.core.model.errors import DefinitionError

GROUP_VERSION: Final = "sources.knative.dev/v1"
SINKBINDING_KIND: Final = (GROUP_VERSION, "SinkBinding")
NAMESPACE_KIND: Final = ("v1", "Namespace")
JOB_KIND: Final = ("batch/v1", "Job")
CRONJOB_KIND: Final = ("batch/v1", "CronJob")
FINALIZER: Final = "scaup.dev/sinkbinding"
KNATIVES_FINALIZER: Final = "sinkbindings.sources.knative.dev"
KINDS: Final = "scaup.dev/sinkbinding-kinds"
"""Annotation of a SinkBinding: the kinds that it has ever bound objects of, to find them again when it goes."""
EXCLUDE: Final = "bindings.knative.dev/exclude"
K_SINK: Final = "K_SINK"
K_CE_OVERRIDES: Final = "K_CE_OVERRIDES"
K_CA_CERTS: Final = "K_CA_CERTS"

T = TypeVar("T")
Kind = tuple[str, str]
Key = tuple[Kind, str, str]
"""Kind, namespace and name of a subject."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a binding binds: the one of a name, or all that a selector selects."""

    kind: Kind
    name: str
    selector: SelectorShape | None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds to look among. Nothing can be put into a Job that is there: its CronJob is asked for the next."""
        return (JOB_KIND, CRONJOB_KIND) if self.kind == JOB_KIND and self.selector is not None else (self.kind,)


@dataclass(frozen=True, slots=True)
class Binding:
    """One SinkBinding as read; ``subject``, ``sink`` or both are None where ``problems`` says why."""

    identity: Identity
    created: str
    is_going: bool
    finalizers: tuple[str, ...]
    kinds: frozenset[Kind]
    subject: Subject | None = None
    sink: tuple[Destination, Ref | None] | None = None
    overrides: str = ""
    subject_problem: str = ""
    sink_problem: str = ""

    @property
    def uid(self) -> str:
        """Of the SinkBinding."""
        return self.identity.uid

    @property
    def noted(self) -> str:
        """What the annotation with its kinds has to say before anything is bound."""
        kinds = self.kinds | (frozenset(self.subject.kinds) if self.subject else frozenset())
        return ",".join(sorted("/".join(kind) for kind in kinds))


def reduced_binding(value: dict[str, Any]) -> dict[str, Any]:
    """What is looked at of a SinkBinding."""
    metadata = value["metadata"]
    names = ("uid", "namespace", "name", "generation", "creationTimestamp", "deletionTimestamp", "finalizers")
    kept = {name: metadata.get(name) for name in (*names, "resourceVersion")}
    noted = (metadata.get("annotations") or {}).get(KINDS)
    return {
        "metadata": kept | {"annotations": {KINDS: noted}},
        "spec": value.get("spec"),
        "status": value.get("status"),
    }


def read_binding(value: dict[str, Any]) -> Binding:
    """A SinkBinding, mistakes included. Raises DefinitionError where it cannot be dealt with at all."""
    metadata, who = value["metadata"], identity(value)
    noted = metadata["annotations"].get(KINDS) or ""
    parts, strange = sections(BindingSpec, value.get("spec"), "spec")
    subject, subject_problem = _try(lambda: _subject(parts.get("subject"), who.namespace))
    sink, sink_problem = _try(lambda: check_destination(parts.get("sink"), "spec.sink", who.namespace))
    overrides, override_problem = _try(lambda: _overrides(parts.get("ceOverrides")))
    problem = subject_problem or override_problem or (str(strange) if strange else "")
    return Binding(
        identity=who,
        created=str(metadata.get("creationTimestamp") or ""),
        is_going=metadata.get("deletionTimestamp") is not None,
        finalizers=tuple(metadata.get("finalizers") or ()),
        kinds=frozenset(kind for text in str(noted).split(",") if (kind := _kind(text))),
        subject=None if problem else subject,
        sink=sink,
        overrides=overrides or "",
        subject_problem=problem,
        sink_problem=sink_problem,
    )


def _kind(text: str) -> Kind | None:
    """A kind as it was noted; others can write there too."""
    api_version, _, kind = text.rpartition("/")
    shape = SubjectShape.model_validate({"apiVersion": api_version, "kind": kind})
    ref, _ = _try(lambda: check_reference(shape.reference, KINDS, "any"))
    return ref.collection if ref else None


def _try(reading: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return reading(), ""
    except DefinitionError as error:
        return None, str(error)


def _subject(value: Any, namespace: str) -> Subject:
    shape = read(SubjectShape, value, "spec.subject")
    if (shape.name is None or not shape.name) == (shape.selector is None):
        raise DefinitionError("spec.subject", "expected exactly one of name and selector")
    if shape.namespace and shape.namespace != namespace:
        raise DefinitionError("spec.subject.namespace", f"expected {namespace!r}: a binding binds in its own namespace")
    ref = check_reference(shape.reference, "spec.subject", namespace)
    if shape.selector is not None:
        shape.selector.check("spec.subject.selector")
    return Subject(ref.collection, shape.name or "", shape.selector)


def _overrides(value: Any) -> str:
    """``K_CE_OVERRIDES``: the JSON of what stands there, empty where nothing does."""
    if value is None:
        return ""
    read(CeOverrides, value, "spec.ceOverrides")
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


@dataclass(frozen=True, slots=True)
class Sink:
    """Where a binding's sink is, or a code (of ``resolve``) and the reason why that is not known."""

    address: Address | None
    code: str = ""
    message: str = ""


def find_sink(binding: Binding, look: Lookup) -> Sink:
    """The sink as it is now."""
    if binding.sink is None:
        return Sink(None, "Invalid", binding.sink_problem)
    destination, ref = binding.sink
    if ref is None:
        return Sink(resolve(destination, {}))
    looked = look(ref)
    if isinstance(looked, NotKnownYet):
        return Sink(None, "NotKnownYet", f"{ref} is being looked up")
    found: Resolved = entry_of(ref, looked)
    try:
        return Sink(resolve(destination, {ref.key: found.entry or AddressBookEntry()}))
    except UnresolvedError as error:
        fallback = "HasNoSuchAddress" if isinstance(looked, Found) else "NotFound"
        return Sink(None, found.code or fallback, f"{ref}: {_after(str(error), ref)}")


def _after(text: str, ref: Ref) -> str:
    """The reason alone, without the key of the address book before it."""
    return text.removeprefix(ref.key.removeprefix("address/")).lstrip(": ")


def environment(binding: Binding, address: Address) -> dict[str, str]:
    """What shall stand in every container of a subject."""
    certificates = {K_CA_CERTS: address.ca_certs} if address.ca_certs else {}
    return {K_SINK: address.url, **certificates, K_CE_OVERRIDES: binding.overrides}


@dataclass(frozen=True, slots=True)
class Claims:
    """Which binding has each subject, and what others that wanted one are to be told, by their uid."""

    owners: Mapping[Key, Binding]
    refused: Mapping[str, tuple[str, str]]

    def of(self, binding: Binding) -> list[Key]:
        """The subjects that a binding has."""
        return [key for key, owner in self.owners.items() if owner is binding]


def claim(
    bindings: Iterable[Binding],
    objects: Callable[[Kind], Mapping[tuple[str, str], dict[str, Any]]],
    is_excluded: Callable[[str], bool],
) -> Claims:
    """Who has what. A name goes before a selector, then the older binding before the younger: never two at once."""
    owners: dict[Key, Binding] = {}
    refused: dict[str, tuple[str, str]] = {}
    for binding in sorted(bindings, key=_rank):
        if binding.subject is None or binding.is_going:
            continue
        for key, subject in _wanted(binding, binding.subject, objects):
            said = f"{key[0][1]} {key[2]}"
            if is_excluded(key[1]) or subject["metadata"]["labels"].get(EXCLUDE) == "true":
                if not binding.subject.selector:
                    refused[binding.uid] = ("SubjectExcluded", f"{said} or its namespace has the label {EXCLUDE}")
                continue
            other = owners.get(key)
            # Times are whole seconds: of two that are as old, the one that has it keeps it.
            is_kept = other is not None and _rank(other)[:2] == _rank(binding)[:2] and _has(binding, subject)
            winner = binding if other is None or is_kept else other
            owners[key] = winner
            loser = other if is_kept else binding
            if loser is not None and loser is not winner and _is_told(loser, winner):
                text = f"{said} is bound by SinkBinding {winner.identity.name} already"
                refused.setdefault(loser.uid, ("SubjectBoundByAnother", text))
    return Claims(owners, refused)


def _has(binding: Binding, subject: dict[str, Any]) -> bool:
    return f'"uid":"{binding.uid}"' in str(subject["metadata"]["mark"])


def _is_told(loser: Binding, winner: Binding) -> bool:
    """That a name goes before a selector is nothing wrong with the selector."""
    return not (loser.subject and loser.subject.selector) or bool(winner.subject and winner.subject.selector)


def _rank(binding: Binding) -> tuple[bool, str, str]:
    by_selector = binding.subject is not None and binding.subject.selector is not None
    return by_selector, binding.created, binding.uid


def _wanted(
    binding: Binding, subject: Subject, objects: Callable[[Kind], Mapping[tuple[str, str], dict[str, Any]]]
) -> Iterable[tuple[Key, dict[str, Any]]]:
    where = binding.identity.namespace
    for kind in subject.kinds:
        if subject.selector is None:
            one = objects(kind).get((where, subject.name))
            if one is not None:
                yield (kind, where, subject.name), one
            continue
        for (namespace, name), value in objects(kind).items():
            is_seconded = kind == CRONJOB_KIND != subject.kind
            labels = value["jobLabels"] if is_seconded else value["metadata"]["labels"]
            # What another object makes is changed at that object; it would be set back here.
            if namespace == where and not value["isMade"] and not value["isOver"] and subject.selector.selects(labels):
                yield (kind, namespace, name), value
