"""``scaup filter explain`` and ``try --from-broker`` against the real local API and a real NATS, as processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scaup.cli.up.datadir import DataDirectory
from scaup.core.bus import topology
from scaup.core.bus.connection import BusAccess, connect
from scaup.core.codec import stored
from scaup.core.model.definitions import BrokerDefinition
from scaup.core.model.event import Event
from scaup.core.model.names import BrokerUid, event_subject
from tests.support.apiserver import BROKERS, TRIGGERS, ApiClient, api_server, broker, trigger
from tests.support.natsserver import NatsServer
from tests.support.scaupup import free_offset, scaup

TRIGGER = (
    "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\n"
    "spec: {broker: default, filters: [{prefix: {type: com.}}]}\n"
)


def note(data: Path, api: str, nats: str) -> Path:
    directory = DataDirectory(data)
    directory.open()
    directory.note(api=api, nats=nats, embedded=False)
    directory.close()
    return directory.kubeconfig


async def ready(api: ApiClient, made: dict[str, Any], status: str = "True", **more: str) -> None:
    conditions = [{"type": "Ready", "status": status, **more}]
    generation = made["metadata"]["generation"]
    made["status"] = {"observedGeneration": generation, "conditions": conditions}
    answer = await api("PUT", f"{TRIGGERS}/{made['metadata']['name']}/status", made)
    assert answer.status == 200, answer.body


async def command(directory: Path, kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(scaup, "filter", *arguments, cwd=directory, kubeconfig=kubeconfig)


async def test_explain_says_of_every_trigger_of_the_broker_whether_it_gets_the_event(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with api_server(nats.url) as api:
        kubeconfig = note(tmp_path / "data", api.url, nats.url)
        none = await command(tmp_path, kubeconfig, "explain", "default", "--attr", "type=a")
        assert (none.returncode, none.stdout) == (1, "")
        assert none.stderr.startswith("scaup filter: there is no Broker default/default; ")
        await api.made(BROKERS, broker("default"))
        none = await command(tmp_path, kubeconfig, "explain", "default", "--attr", "type=a")
        assert (none.returncode, none.stdout) == (0, "No triggers of Broker default/default.\n")
        await ready(api, await api.made(TRIGGERS, trigger("yes", filters=[{"prefix": {"type": "com."}}])))
        await ready(api, await api.made(TRIGGERS, trigger("all")))
        await ready(api, await api.made(TRIGGERS, trigger("no", filter={"attributes": {"type": "b"}})))
        await ready(
            api,
            await api.made(TRIGGERS, trigger("unready", filters=[{"exact": {"type": "com.a"}}])),
            "False",
            reason="SubscriberUnresolved",
            message="no such Service",
        )
        await ready(api, await api.made(TRIGGERS, trigger("other", broker="another")))
        event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "com.a"}
        (tmp_path / "e.json").write_text(json.dumps(event))
        told = await command(tmp_path, kubeconfig, "explain", "default", "--event", "e.json")
        assert (told.returncode, told.stderr) == (0, "")
        assert [line.split(maxsplit=1) for line in told.stdout.splitlines()] == [
            ["TRIGGER", "GETS IT     WHY"],
            ["all", "yes"],
            ["yes", "yes"],
            ["unready", "not ready   not Ready: SubscriberUnresolved: no such Service; its filter matches"],
            ["no", "no          attributes type: 'b' (the event has 'com.a')"],
        ]
        told = await command(tmp_path, kubeconfig, "explain", "default", "--attr", "type=b", "-o", "json")
        answer = json.loads(told.stdout)
        assert answer["broker"] == "default/default"
        gets = {one["trigger"]: (one["gets"], one["matches"]) for one in answer["triggers"]}
        assert gets == {
            "all": ("yes", True),
            "no": ("yes", True),
            "unready": ("not ready", False),
            "yes": ("no", False),
        }
        usage = await command(tmp_path, kubeconfig, "explain", "default")
        assert (usage.returncode, usage.stdout) == (2, "")


async def test_a_stored_event_can_be_tried(nats: NatsServer, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TRIGGER)
    async with api_server(nats.url) as api, connect(BusAccess(nats.url), "test") as bus:
        kubeconfig = note(tmp_path / "data", api.url, nats.url)
        uid = BrokerUid((await api.made(BROKERS, broker("b")))["metadata"]["uid"])
        await topology.ensure_broker(bus, BrokerDefinition(uid, "default", "b"))
        for source, kind in (("/s", "com.a"), ("/s2", "org.a")):
            attributes = {"specversion": "1.0", "id": "1", "source": source, "type": kind}
            await bus.acked.store(event_subject(uid), b"{}", stored.to_headers(Event(attributes, b"{}")))

        async def tried(*arguments: str) -> tuple[int, str]:
            done = await command(tmp_path, kubeconfig, "try", "-f", "t.yaml", *arguments)
            return done.returncode, done.stdout + done.stderr

        newest = await tried("--from-broker", "b", "--id", "1")
        assert newest == (
            1,
            "✗ Trigger default/t: no match\n  ✗ prefix type: 'com.' (the event has 'org.a')\n",
        )
        assert (await tried("--from-broker", "b", "--id", "1", "--source", "/s"))[0] == 0
        assert (await tried("--from-broker", "b", "--id", "1", "--attr", "type=com.b"))[0] == 0
        for arguments, said in (
            (["--from-broker", "b", "--id", "2"], "there is no event with id '2' among the last 10,000 of default/b"),
            (["--from-broker", "b", "--id", "1", "--source", "x"], "there is no event with id '1' and source 'x'"),
            (["--from-broker", "c", "--id", "1"], "there is no Broker default/c"),
            (["--from-broker", "b", "--id", "1", "-n", "shop"], "there is no Broker shop/b"),
            (["--from-broker", "b", "--id", "1", "--event", "e.json"], "--event and --from-broker exclude each other"),
        ):
            status, text = await tried(*arguments)
            assert (status, text.startswith(f"scaup filter: {said}")) == (2, True), text


@pytest.mark.parametrize("arguments", [("explain", "b"), ("try", "-f", "t.yaml", "--from-broker", "b", "--id", "1")])
async def test_an_api_that_is_away_is_not_reachable(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "t.yaml").write_text(TRIGGER)
    kubeconfig = note(tmp_path / "data", f"http://127.0.0.1:{8081 + free_offset()}", "nats://127.0.0.1:1")
    done = await command(tmp_path, kubeconfig, *arguments, "--attr", "type=a")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("scaup filter: cannot reach http://127.0.0.1:")
