"""What goes by itself in the local API: nothing long holds up the rest, and nothing is forgotten."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.apiserver import CONFIG_MAPS, api_server, config_map
from tests.support.natsserver import NatsServer

MANY = "/api/v1/namespaces/many"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def owned(name: str, owner: dict[str, Any]) -> dict[str, Any]:
    return config_map(name) | {"metadata": {"name": name, "ownerReferences": [owner]}}


async def test_a_namespace_with_much_in_it_holds_up_no_other_collecting(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        names = iter(range(500))

        async def fill() -> None:
            for number in names:
                await api.made(f"{MANY}/configmaps", config_map(f"c{number}"))

        await asyncio.gather(*(fill() for _ in range(16)))
        about = (await api.made(CONFIG_MAPS, config_map("owner")))["metadata"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": about["uid"]}
        await api.made(CONFIG_MAPS, owned("dependent", reference))
        await api("DELETE", MANY)
        await api("DELETE", f"{CONFIG_MAPS}/owner")
        await api.until_gone(f"{CONFIG_MAPS}/dependent")
        assert (await api("GET", MANY)).status == 200, "much of it is there yet"
        await api.until_gone(MANY)
        assert (await api("GET", f"{MANY}/configmaps")).body["items"] == []


async def test_who_waits_for_a_kind_to_know_its_owner_is_looked_at_when_the_kind_is_there(nats: NatsServer) -> None:
    async with api_server(nats.url) as api:
        nobody = {"apiVersion": "egret.test/v1", "kind": "Egret", "name": "e", "uid": "of-nobody"}
        await api.made(CONFIG_MAPS, owned("dependent", nobody))
        names = {"plural": "egrets", "kind": "Egret"}
        versions = [{"name": "v1", "served": True, "storage": True}]
        spec = {"group": "egret.test", "scope": "Namespaced", "names": names, "versions": versions}
        crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
        await api.made(CRDS, crd | {"metadata": {"name": "egrets.egret.test"}, "spec": spec})
        await api.until_gone(f"{CONFIG_MAPS}/dependent")
