"""Which kinds there are: those built in, and those that CustomResourceDefinitions add.

Broker, Trigger and LocalSink are CustomResourceDefinitions too (``definitions/``), which are there from the start. Pure
but for the registry's own table. Must not read or write objects; the store tells it of CRDs that change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final, NamedTuple

import orjson

_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Resource(NamedTuple):
    """What objects are stored under: a kind in all its versions."""

    group: str
    plural: str


class Column(NamedTuple):
    """A column of ``kubectl get`` (``additionalPrinterColumns``); those of a priority over 0 are for ``-o wide``."""

    name: str
    type: str
    path: str
    priority: int = 0
    format: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind in one version.

    ``is_custom`` are those that a cluster has by a CRD too: they take no strategic merge patch and need a
    resourceVersion to be replaced. ``selectable`` are field paths a fieldSelector may name besides the metadata's.
    ``verbs`` are what can be done with its objects; what is only created is answered, and not kept (``reviews``).
    ``warning`` is what who asks for a deprecated version is told.
    ``schema`` is the structural schema (``openAPIV3Schema``) of a custom kind; None where there is none.
    """

    group: str
    version: str
    plural: str
    kind: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    is_namespaced: bool = True
    has_status: bool = False
    is_custom: bool = True
    singular: str = ""
    list_kind: str = ""
    selectable: frozenset[str] = frozenset()
    columns: tuple[Column, ...] = ()
    verbs: tuple[str, ...] = _VERBS
    warning: str = ""
    schema: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    @property
    def resource(self) -> Resource:
        """Where its objects are."""
        return Resource(self.group, self.plural)

    @property
    def is_kept(self) -> bool:
        """Whether there are objects of it."""
        return "get" in self.verbs

    @property
    def has_generation(self) -> bool:
        """Whether its objects count what changed in them: custom kinds do, and CRDs."""
        return self.is_custom or self.resource == Resource("apiextensions.k8s.io", "customresourcedefinitions")

    @property
    def api_version(self) -> str:
        """``eventing.knative.dev/v1``, or ``v1`` of the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource_name(self) -> str:
        """``brokers.eventing.knative.dev``, or ``configmaps``: how error messages call it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list_name(self) -> str:
        """``BrokerList``."""
        return self.list_kind or f"{self.kind}List"


def kinds_of(crd: Mapping[str, Any], *, only_served: bool = True) -> list[Kind]:
    """The kinds of a checked CRD: one for each served version, or for each that there is."""
    spec = crd["spec"]
    names = spec["names"]
    return [
        Kind(
            spec["group"],
            version["name"],
            names["plural"],
            names["kind"],
            tuple(names.get("shortNames") or ()),
            tuple(names.get("categories") or ()),
            is_namespaced=spec["scope"] == "Namespaced",
            has_status=(version.get("subresources") or {}).get("status") is not None,
            singular=names.get("singular", ""),
            list_kind=names.get("listKind", ""),
            selectable=frozenset(
                one["jsonPath"].removeprefix(".") for one in version.get("selectableFields") or () if one
            ),
            warning=_warning(spec, version),
            columns=tuple(_column(column) for column in version.get("additionalPrinterColumns") or ()),
            schema=(version.get("schema") or {}).get("openAPIV3Schema"),
        )
        for version in spec["versions"]
        if version.get("served") or not only_served
    ]


def _warning(spec: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    if not version.get("deprecated"):
        return ""
    if said := version.get("deprecationWarning"):
        return str(said)
    group, kind, name = spec["group"], spec["names"]["kind"], version["name"]
    current = [one["name"] for one in spec["versions"] if one.get("served") and not one.get("deprecated")]
    best = by_priority([*current, name])[0]
    more = f"; use {group}/{best} {kind}" if best != name else ""
    return f"{group}/{name} {kind} is deprecated{more}"


def _column(column: Mapping[str, Any]) -> Column:
    more = (column.get("priority", 0), column.get("format", ""), column.get("description", ""))
    return Column(column["name"], column["type"], column["jsonPath"], *more)


def _ours(plural: str) -> Kind:
    """A kind that stands in ``definitions/``."""
    text = files("scaup.apiserver").joinpath(f"definitions/{plural}.json").read_bytes()
    return kinds_of(orjson.loads(text))[0]


EVENTING: Final = "eventing.knative.dev"
BROKERS: Final = _ours("brokers")
TRIGGERS: Final = _ours("triggers")
NAMESPACES: Final = Kind(
    "",
    "v1",
    "namespaces",
    "Namespace",
    ("ns",),
    (),
    False,
    True,
    False,
    selectable=frozenset({"status.phase"}),
    verbs=tuple(verb for verb in _VERBS if verb != "deletecollection"),
)
CRDS: Final = Kind(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    ("crd", "crds"),
    ("api-extensions",),
    False,
    True,
    False,
)
_EVENT_FIELDS: Final = frozenset(
    {
        *(f"involvedObject.{f}" for f in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion")),
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    }
)


def _review(group: str, kind: str) -> Kind:
    return Kind(group, "v1", f"{kind.lower()}s", kind, is_namespaced=False, is_custom=False, verbs=("create",))


BUILT_IN: Final = (
    NAMESPACES,
    Kind(
        *("", "v1", "services", "Service", ("svc",), ("all",)),
        has_status=True,
        is_custom=False,
        selectable=frozenset({"spec.clusterIP", "spec.type"}),
    ),
    Kind("", "v1", "configmaps", "ConfigMap", ("cm",), is_custom=False),
    Kind("", "v1", "secrets", "Secret", is_custom=False, selectable=frozenset({"type"})),
    Kind("", "v1", "events", "Event", ("ev",), is_custom=False, selectable=_EVENT_FIELDS),
    Kind("coordination.k8s.io", "v1", "leases", "Lease", is_custom=False),
    _review("authorization.k8s.io", "SelfSubjectAccessReview"),
    _review("authorization.k8s.io", "SelfSubjectRulesReview"),
    _review("authentication.k8s.io", "SelfSubjectReview"),
    CRDS,
    BROKERS,
    TRIGGERS,
    _ours("localsinks"),
)


class Kinds:
    """All kinds that are known now."""

    def __init__(self) -> None:
        self._built_in = {(k.group, k.version, k.plural): k for k in BUILT_IN}
        self._own = {k.resource for k in BUILT_IN}
        self._custom: dict[str, list[Kind]] = {}
        self._all = dict(self._built_in)

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind of a path."""
        return self._all.get((group, version, plural))

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._all.values())

    def learn(self, name: str, crd: Mapping[str, Any] | None) -> None:
        """A CRD was made, changed or (None) deleted. One of a kind that is built in changes nothing about it."""
        self._custom.pop(name, None)
        if crd is not None and not _is_refused(crd):
            self._custom[name] = [k for k in kinds_of(crd) if k.resource not in self._own]
        added = {(k.group, k.version, k.plural): k for kinds in self._custom.values() for k in kinds}
        self._all = self._built_in | added

    def forget_all(self) -> None:
        """Only those built in are left."""
        self._custom.clear()
        self._all = dict(self._built_in)

    def groups(self) -> dict[str, list[str]]:
        """The named groups with their versions, the preferred one first."""
        found: dict[str, set[str]] = {}
        for kind in self._all.values():
            if kind.group:
                found.setdefault(kind.group, set()).add(kind.version)
        return {group: by_priority(versions) for group, versions in sorted(found.items())}

    def of(self, group: str, version: str) -> list[Kind]:
        """The kinds of a group in one version."""
        return [k for k in self._all.values() if k.group == group and k.version == version]

    def is_built_in(self, resource: Resource) -> bool:
        """Whether the kind whose objects are stored there is always known."""
        return resource in self._own

    def called(self, group: str, kind: str) -> Kind | None:
        """Any version of the kind that is called so in a group."""
        return next((k for k in self._all.values() if k.group == group and k.kind == kind), None)

    def of_resource(self, resource: Resource) -> Kind | None:
        """Any version of the kind whose objects are stored there; None where no kind is known (any more)."""
        return next((k for k in self._all.values() if k.resource == resource), None)


def _is_refused(crd: Mapping[str, Any]) -> bool:
    """Whether the definition's names are another kind's."""
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Established" and one.get("status") == "False" for one in conditions)


_KUBE_VERSION: Final = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")


def by_priority(versions: Iterable[str]) -> list[str]:
    """Versions in Kubernetes' order of preference: v2, v1, v1beta2, v1alpha1, then others by the alphabet."""

    def rank(version: str) -> tuple[Any, ...]:
        found = _KUBE_VERSION.fullmatch(version)
        if not found:
            return (1, version)
        stage = {None: 2, "beta": 1, "alpha": 0}[found[2]]
        return (0, -stage, -int(found[1]), -int(found[3] or 0))

    return sorted(versions, key=rank)
