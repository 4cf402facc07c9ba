"""What is written into the containers of a subject, as a JSON patch. Pure.

A JSON patch, and no server-side apply: applying would make Scaup a co-owner of each container, and its author could
no longer remove one (the API refuses the container without image that is left); and where a custom resource has its
containers in a plain list, applying replaces all of them.

What is ours is known by a mark on the subject. An entry whose value is another than the mark says was written by its
author: it is left alone, and said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from scaup.controller.sinkbinding import CRONJOB_KIND, JOB_KIND, K_CA_CERTS, K_CE_OVERRIDES, K_SINK, Kind

MARK: Final = "scaup.dev/sinkbinding"
"""Annotation of a subject: the SinkBinding that has it, and what that has put into it."""
_VARIABLES: Final = (K_SINK, K_CA_CERTS, K_CE_OVERRIDES)
_LISTS: Final = ("initContainers", "containers")
_OVER: Final = {"Complete", "Failed"}

Operation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mark:
    """Who has a subject, and what was put into its containers."""

    uid: str = ""
    name: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """As it stands in the annotation."""
        value = {"uid": self.uid, "name": self.name, "env": dict(self.environment)}
        return orjson.dumps(value).decode()


@dataclass(frozen=True, slots=True)
class Change:
    """The patch that a subject needs, and which variables it does not get because its author set them."""

    operations: tuple[Operation, ...] = ()
    taken: tuple[str, ...] = ()


def reduced_subject(kind: Kind, value: dict[str, Any]) -> dict[str, Any]:
    """What is looked at of a possible subject; its status changes all the time."""
    metadata, spec = value["metadata"], _object(value.get("spec"))
    annotations = metadata.get("annotations")
    template = spec
    for step in path_of(kind).split("/")[2:]:
        template = _object(template.get(step))
    conditions = _object(value.get("status")).get("conditions") if kind == JOB_KIND else None
    return {
        "metadata": {
            "uid": metadata.get("uid"),
            "labels": _object(metadata.get("labels")),
            "mark": _object(annotations).get(MARK),
            "isGoing": metadata.get("deletionTimestamp") is not None,
            # Only needed to add the first annotation: another's may have come meanwhile.
            "resourceVersion": None if annotations else metadata.get("resourceVersion"),
        },
        "jobLabels": _object(_object(_object(spec.get("jobTemplate")).get("metadata")).get("labels")),
        "isMade": any(_object(owner).get("controller") for owner in _list(metadata.get("ownerReferences"))),
        "isOver": any(c.get("type") in _OVER and c.get("status") == "True" for c in map(_object, _list(conditions))),
        "template": {name: [_container(c) for c in _list(template.get(name))] for name in _LISTS},
    }


def path_of(kind: Kind) -> str:
    """Where an object of a kind has its Pods' spec (the PodSpecable duck; a CronJob has a step more)."""
    return "/spec/jobTemplate/spec/template/spec" if kind == CRONJOB_KIND else "/spec/template/spec"


def mark_of(subject: dict[str, Any]) -> Mark:
    """The mark of a subject; an empty one where there is none, or none that can be read."""
    try:
        value = orjson.loads(subject["metadata"]["mark"] or "{}")
        return Mark(str(value.get("uid", "")), str(value.get("name", "")), dict(value.get("env", {})))
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError):
        return Mark()


def change(kind: Kind, subject: dict[str, Any], wanted: Mark | None) -> Change:
    """From what a subject is to what ``wanted`` says, or, for None, to what it was before."""
    ours, environment = mark_of(subject).environment, wanted.environment if wanted else {}
    operations: list[Operation] = []
    taken: list[str] = []
    for where, label, container in _containers(kind, subject):
        if container["env"] is None and not environment:
            continue
        steps, strange = _steps(where, container["env"], ours, environment)
        taken += [f"{name} in {label}" for name in strange]
        if steps and container["name"] is not None:
            operations.append({"op": "test", "path": f"{where}/name", "value": container["name"]})
        operations += steps
    operations += _marking(subject, wanted)
    if operations:
        operations.insert(0, {"op": "test", "path": "/metadata/uid", "value": subject["metadata"]["uid"]})
    return Change(tuple(operations), tuple(taken))


def _containers(kind: Kind, subject: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name in _LISTS:
        for number, container in enumerate(subject["template"][name]):
            label = f"container {container['name']!r}" if container["name"] else f"{name}[{number}]"
            yield f"{path_of(kind)}/{name}/{number}", label, container


def _steps(
    where: str, present: list[Any] | None, ours: Mapping[str, str], wanted: Mapping[str, str]
) -> tuple[list[Operation], list[str]]:
    """What to do in one container, and the variables that its author has set to something else."""
    tests: list[Operation] = []
    sets: list[Operation] = []
    removed: list[int] = []
    met: set[str] = set()
    taken: list[str] = []
    for number, entry in enumerate(present or ()):
        name = entry.get("name")
        if name not in _VARIABLES:
            continue
        value = None if "valueFrom" in entry else str(entry.get("value") or "")
        is_ours = value is not None and name in ours and value == ours[name]
        path = f"{where}/env/{number}"
        if name in wanted:
            met.add(name)
            if value == wanted[name]:
                continue
            if not is_ours:
                taken.append(name)
                continue
            sets.append({"op": "add", "path": f"{path}/value", "value": wanted[name]})
        elif is_ours:
            removed.append(number)
        else:
            continue
        tests.append({"op": "test", "path": f"{path}/name", "value": name})
    added = [{"name": name, "value": value} for name, value in wanted.items() if name not in met]
    if present and len(removed) == len(present) and not added:
        return [*tests, {"op": "remove", "path": f"{where}/env"}], taken
    sets += [{"op": "remove", "path": f"{where}/env/{number}"} for number in reversed(removed)]
    if present is None:
        sets += [{"op": "add", "path": f"{where}/env", "value": added}] if added else []
    else:
        sets += [{"op": "add", "path": f"{where}/env/-", "value": entry} for entry in added]
    return tests + sets, taken


def _marking(subject: dict[str, Any], wanted: Mark | None) -> list[Operation]:
    metadata = subject["metadata"]
    path = f"/metadata/annotations/{MARK.replace('/', '~1')}"
    if wanted is None:
        return [{"op": "remove", "path": path}] if metadata["mark"] is not None else []
    if metadata["mark"] == wanted.text():
        return []
    if metadata["resourceVersion"] is None:
        return [{"op": "add", "path": path, "value": wanted.text()}]
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "add", "path": "/metadata/annotations", "value": {MARK: wanted.text()}},
    ]


def _container(value: Any) -> dict[str, Any]:
    found = _object(value)
    env = found.get("env")
    entries = [_object(entry) for entry in env] if isinstance(env, list) else None
    # Other entries matter by their number only, and may be secret.
    kept = [e if e.get("name") in _VARIABLES else {} for e in entries] if entries is not None else None
    return {"name": found.get("name"), "env": kept}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
