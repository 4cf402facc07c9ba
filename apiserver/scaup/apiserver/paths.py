"""What a URL path asks for. Pure: knows the grammar of Kubernetes' paths, not which kinds there are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Discovery:
    """A question about kinds: all groups (``group`` is None), a group's versions, or a version's kinds.

    The core group is ``""``: ``/api`` lists its versions, ``/api/v1`` the kinds of one.
    """

    group: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Objects of one kind: all, those of a ``namespace``, or the one called ``name``, or its ``subresource``."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


_OF_NAMESPACES = frozenset({"status", "finalize"})


def parse(path: str) -> Discovery | Target | None:
    """Take a path apart; None where it follows no known form.

    ``/api/v1/namespaces/{ns}/{plural}`` and ``/api/v1/namespaces/{name}/{subresource}`` look alike: as in
    Kubernetes the second is meant for the subresources of a Namespace only.
    """
    parts = path.strip("/").split("/")
    if not all(parts):
        return None
    if parts[0] == "api":
        group, rest = "", parts[1:]
    elif parts[0] == "apis":
        if len(parts) == 1:
            return Discovery()
        group, rest = parts[1], parts[2:]
    else:
        return None
    if not rest:
        return Discovery(group)
    version, rest = rest[0], rest[1:]
    return _objects(group, version, rest) if rest else Discovery(group, version)


def _objects(group: str, version: str, rest: list[str]) -> Target | None:
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in _OF_NAMESPACES):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    plural, name, subresource = (*rest, "", "")[:3]
    return Target(group, version, plural, namespace, name, subresource)
