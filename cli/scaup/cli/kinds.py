"""Kinds: which path of the API holds which kind, and making kinds known to Scaup's own API.

Responsible for discovery and registration (CustomResourceDefinitions). Must not read or write objects of any kind.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from scaup.cli.kube import MERGE_PATCH, Api
from scaup.cli.problems import FailedError, RefusedError

CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_REGISTERED_WITHIN_S: Final = 10.0
_ASK_AGAIN_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object and where it lives."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    has_status: bool = True
    """Whether ``status`` is a subresource, so that an ordinary write does not touch it."""

    @property
    def api_version(self) -> str:
        """``group/version``, or ``version`` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str = "") -> str:
        """The path of an object or a collection; ``namespace`` None for all of them."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        where = f"/namespaces/{quote(namespace, safe='')}" if namespace and self.namespaced else ""
        return f"{base}{where}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


BROKER: Final = Kind("eventing.knative.dev", "v1", "Broker", "brokers")
TRIGGER: Final = Kind("eventing.knative.dev", "v1", "Trigger", "triggers")
LOCAL_SINK: Final = Kind("scaup.dev", "v1", "LocalSink", "localsinks", has_status=False)
_USUAL: Final = {"broker": BROKER, "brokers": BROKER, "trigger": TRIGGER, "triggers": TRIGGER}


def plural(kind: str) -> str:
    """The lower-case English plural under which a kind is registered: ``Policy`` is ``policies``."""
    word = kind.lower()
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in {"a", "e", "i", "o", "u"}:
        return word[:-1] + "ies"
    return word + "s"


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind about which nothing is known; ``status`` is kept as written."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
            },
            "versions": [_version(kind.version)],
        },
    }


def _version(name: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {"name": name, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}


class Kinds:
    """The kinds of one API, asked for once each."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, list[Kind]] = {}
        self._is_ours: bool | None = None

    async def find(self, api_version: str, kind: str) -> Kind | None:
        """The kind of an object, by its apiVersion and kind; None where the API does not know it."""
        return next((k for k in await self._kinds(api_version) if k.kind == kind), None)

    async def named(self, word: str) -> Kind:
        """The kind a person means: singular or plural, in any case, with or without ``.group``.

        Raises FailedError where the API knows none.
        """
        wanted = word.lower()
        if found := _USUAL.get(wanted):
            return found
        api_versions = ["v1"]
        for group in ((await self._api.find("/apis")) or {}).get("groups", []):
            preferred = group.get("preferredVersion") or group["versions"][0]
            api_versions.append(preferred["groupVersion"])
        for api_version in api_versions:
            for kind in await self._kinds(api_version):
                names = {kind.plural, kind.kind.lower()}
                if wanted in names | {f"{name}.{kind.group}" for name in names}:
                    return kind
        msg = f"{self._api.server} does not know the kind {word!r}"
        raise FailedError(msg, hint="look at its spelling; `scaup apply` of such an object makes it known locally")

    async def need(self, api_version: str, kind: str) -> Kind:
        """The kind of an object that is to be written: registered first where it is unknown and the API is Scaup's."""
        if found := await self.find(api_version, kind):
            return found
        group, _, version = api_version.rpartition("/")
        if not await self._server_is_ours():
            msg = f"the cluster at {self._api.server} does not know {kind} of {api_version}"
            raise FailedError(msg, hint="install its CustomResourceDefinition first")
        if not group:
            msg = f"{kind} of {api_version} cannot be made known: kinds of the core group are fixed"
            raise FailedError(msg, hint="use an apiVersion with a group of your own, such as example.com/v1")
        return await self.register(Kind(group, version, kind, plural(kind), has_status=False))

    async def register(self, kind: Kind) -> Kind:
        """Make a kind known and wait until the API serves it."""
        wanted = definition(kind)
        try:
            await self._api.request("POST", CRDS, wanted)
        except RefusedError as error:
            if error.status != 409:
                raise
            await self._add_version(wanted["metadata"]["name"], kind.version)
        end = asyncio.get_running_loop().time() + _REGISTERED_WITHIN_S
        while asyncio.get_running_loop().time() < end:
            self.forget()
            if found := await self.find(kind.api_version, kind.kind):
                return found
            await asyncio.sleep(_ASK_AGAIN_S)
        msg = f"{self._api.server} took the definition of {kind.kind} but does not serve it"
        raise FailedError(msg, hint=f"look at the CustomResourceDefinition {wanted['metadata']['name']}")

    def forget(self) -> None:
        """Ask anew: definitions of kinds have changed."""
        self._known.clear()

    async def _add_version(self, name: str, version: str) -> None:
        present = await self._api.get(f"{CRDS}/{name}")
        versions = present["spec"]["versions"]
        if not any(v["name"] == version for v in versions):
            versions = [*versions, _version(version) | {"storage": False}]
            await self._api.request("PATCH", f"{CRDS}/{name}", {"spec": {"versions": versions}}, MERGE_PATCH)

    async def _kinds(self, api_version: str) -> list[Kind]:
        if api_version not in self._known:
            group, _, version = api_version.rpartition("/")
            answer = await self._api.find(f"/apis/{group}/{version}" if group else f"/api/{version}")
            resources = (answer or {}).get("resources", [])
            with_status = {r["name"].partition("/")[0] for r in resources if r["name"].endswith("/status")}
            self._known[api_version] = [
                Kind(group, version, r["kind"], r["name"], bool(r.get("namespaced")), r["name"] in with_status)
                for r in resources
                if "/" not in r["name"]
            ]
        return self._known[api_version]

    async def _server_is_ours(self) -> bool:
        if self._is_ours is None:
            version = await self._api.find("/version") or {}
            self._is_ours = "scaup" in str(version.get("gitVersion", "")).lower()
        return self._is_ours
