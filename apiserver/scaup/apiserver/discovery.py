"""The documents of discovery: groups, versions, kinds, and the version of this API. Pure."""

from __future__ import annotations

import platform
from typing import Any, Final

from scaup.apiserver.answers import no_such_path
from scaup.apiserver.kinds import Kind, Kinds
from scaup.apiserver.paths import Discovery

KUBERNETES: Final = "v1.36.0"
"""The Kubernetes version whose behaviour this API follows."""
_STATUS_VERBS: Final = ["get", "patch", "update"]


def version() -> dict[str, str]:
    """``/version``."""
    return {
        "major": "1",
        "minor": "36",
        "gitVersion": f"{KUBERNETES}+scaup",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": f"python{platform.python_version()}",
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }


def document(asked: Discovery, kinds: Kinds) -> dict[str, Any]:
    """The answer to a discovery path; raises ApiError 404 for a group or version that is not known."""
    if asked.group is None:
        groups = [_group(name, versions) for name, versions in kinds.groups().items()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    if asked.version is None:
        return _versions(asked.group, kinds)
    found = kinds.of(asked.group, asked.version)
    if not found:
        raise no_such_path()
    group_version = f"{asked.group}/{asked.version}" if asked.group else asked.version
    resources = [entry for kind in found for entry in _entries(kind)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _versions(group: str, kinds: Kinds) -> dict[str, Any]:
    if not group:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    versions = kinds.groups().get(group)
    if versions is None:
        raise no_such_path()
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(group, versions)


def _group(name: str, versions: list[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{one}", "version": one} for one in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _further_names(kind: Kind) -> dict[str, list[str]]:
    found = {"shortNames": list(kind.short_names), "categories": list(kind.categories)}
    return {field: names for field, names in found.items() if names}


def _entries(kind: Kind) -> list[dict[str, Any]]:
    common = {"namespaced": kind.is_namespaced, "kind": kind.kind}
    whole: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.singular or kind.kind.lower(),
        **common,
        "verbs": list(kind.verbs),
        **_further_names(kind),
    }
    if not kind.has_status:
        return [whole]
    return [whole, {"name": f"{kind.plural}/status", "singularName": "", **common, "verbs": _STATUS_VERBS}]


def aggregated(kinds: Kinds, *, is_core: bool) -> dict[str, Any]:
    """All groups with their kinds in one document (``apidiscovery.k8s.io/v2``): of the core group, or of the others."""
    groups = {"": ["v1"]} if is_core else kinds.groups()
    items = [
        {
            "metadata": {"name": group} if group else {},
            "versions": [
                {"version": version, "resources": [_resource(k) for k in kinds.of(group, version)]}
                | {"freshness": "Current"}
                for version in versions
            ],
        }
        for group, versions in groups.items()
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _resource(kind: Kind) -> dict[str, Any]:
    made = {"group": kind.group, "version": kind.version if kind.group else "", "kind": kind.kind}
    whole: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": made,
        "scope": "Namespaced" if kind.is_namespaced else "Cluster",
        "singularResource": kind.singular or kind.kind.lower(),
        "verbs": list(kind.verbs),
        **_further_names(kind),
    }
    if kind.has_status:
        whole["subresources"] = [{"subresource": "status", "responseKind": made, "verbs": _STATUS_VERBS}]
    return whole
