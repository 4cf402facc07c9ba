"""The whole of it on a genuine cluster, by kubectl: made, delivered, moved, deleted, and nothing left behind.

The data plane runs as processes beside a genuine API server; nobody writes a definition but the controller.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scaup.core.bus.connection import BusAccess, connect
from scaup.core.model.names import COMPLETE_KEY, WRITER_KEY
from tests.support.clusterkinds import broker, install, trigger
from tests.support.clusterrun import Installation, installation
from tests.support.openkinds import apply_kinds, custom_kind
from tests.support.realkube import Kube
from tests.support.sinks import answer, sink
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

POND = {"apiVersion": "pond.test/v1", "kind": "Pond"}


@pytest.fixture(scope="module")
def here(cluster: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for all tests of this file, each of which has a namespace of its own."""
    install(cluster)
    cluster.kubectl("delete", "brokers,triggers", "--all", "--all-namespaces")  # whatever others have left
    apply_kinds(cluster, custom_kind("pond.test", "Pond", "ponds"))
    with installation(cluster, tmp_path_factory.mktemp("scenario")) as running:
        running.until_ready()
        yield running


def pond(name: str, namespace: str) -> dict[str, object]:
    return {**POND, "metadata": {"name": name, "namespace": namespace}}


async def left_in_jetstream(here: Installation) -> set[str]:
    """Streams of Brokers, and keys of the snapshot but those that say how many there are and who writes."""
    async with connect(BusAccess(here.nats.url), "test") as bus:
        streams = (await bus.api("STREAM.NAMES"))["streams"] or []
        found = {name for name in streams if name.startswith("scaup-")}
        info = await bus.api("STREAM.INFO.KV_definitions", {"subjects_filter": "$KV.definitions.>"})
        for subject in info["state"].get("subjects") or {}:
            last = await bus.client.jetstream().get_last_msg("KV_definitions", subject)
            if not (last.headers or {}).get("KV-Operation"):
                found.add(subject.removeprefix("$KV.definitions."))
        return found - {COMPLETE_KEY, WRITER_KEY}


async def nothing_left(here: Installation, but: set[str] | None = None) -> None:
    async def is_so() -> bool:
        return await left_in_jetstream(here) == (but or set())

    _: bool = await eventually(is_so, f"nothing is left but {but or 'nothing'}", within_s=45)


async def test_an_event_goes_where_the_address_says_and_all_that_was_made_can_be_deleted(here: Installation) -> None:
    """control-plane.md CP-1, CP-2, CP-3, CP-11, CP-18, CP-30, MUST."""
    ns = "story"
    here.cluster.kubectl("create", "namespace", ns)
    async with sink() as first, sink() as second:
        here.apply(
            broker("default", ns),
            pond("quiet", ns),
            trigger("t", ns, {"ref": {**POND, "name": "quiet"}, "uri": "/in"}, filter={"attributes": {"kind": "a"}}),
        )
        found = await here.until("trigger", "t", ns, "SubscriberHasNoAddress")
        assert found["message"] == f"pond.test/v1 Pond {ns}/quiet: it has no status.address.url"
        here.address("pond", "quiet", ns, address={"url": first.url})
        here.wait_ready("broker/default", "trigger/t", namespace=ns)
        url = here.get("broker", "default", ns)["status"]["address"]["url"]
        assert url == f"http://127.0.0.1:{here.ingress.port}/{ns}/default"
        assert here.get("trigger", "t", ns)["status"]["subscriberUri"] == f"{first.url}in"
        assert (await here.post(f"/{ns}/default", "one", kind="a")).status == 202
        assert (await here.post(f"/{ns}/default", "other", kind="b")).status == 202
        await eventually(lambda: first.ids == ["one"], "it is delivered")
        assert first.requests[0].path == "/in"

        here.address("pond", "quiet", ns, address={"url": second.url})
        await eventually(
            lambda: here.get("trigger", "t", ns)["status"]["subscriberUri"] == f"{second.url}in", "the address changes"
        )
        await here.post(f"/{ns}/default", "two", kind="a")
        await eventually(lambda: second.ids == ["two"], "it is delivered at the new one")

        here.cluster.kubectl("delete", "-n", ns, "trigger/t", "broker/default", "pond/quiet")
        await nothing_left(here)
        assert (await here.post(f"/{ns}/default", "three", kind="a")).status == 404
        assert (first.ids, second.ids) == (["one"], ["two"])
    here.cluster.kubectl("delete", "namespace", ns, "--wait=false")


async def test_dead_letters_outlive_their_broker_and_nothing_else_does(here: Installation) -> None:
    ns = "letters"
    here.cluster.kubectl("create", "namespace", ns)
    async with sink(answer(400)) as there:
        here.apply(broker("default", ns), trigger("t", ns, {"uri": there.url}, delivery={"retry": 0}))
        here.wait_ready("broker/default", "trigger/t", namespace=ns)
        await here.post(f"/{ns}/default", "lost")
        uid = here.get("broker", "default", ns)["metadata"]["uid"]

        async def is_kept() -> bool:
            async with connect(BusAccess(here.nats.url), "test") as bus:
                return bool((await bus.api(f"STREAM.INFO.scaup-dead-{uid}"))["state"]["messages"] == 1)

        _: bool = await eventually(is_kept, "the dead letter is kept")
        here.cluster.kubectl("delete", "-n", ns, "trigger/t", "broker/default")
        await nothing_left(here, {f"scaup-dead-{uid}"})
        assert await is_kept()
    async with connect(BusAccess(here.nats.url), "test") as bus:
        await bus.api(f"STREAM.DELETE.scaup-dead-{uid}")
    here.cluster.kubectl("delete", "namespace", ns, "--wait=false")


async def test_a_deleted_namespace_takes_its_broker_out_of_jetstream(here: Installation) -> None:
    ns = "going"
    here.cluster.kubectl("create", "namespace", ns)
    here.apply(broker("default", ns), trigger("t", ns, {"uri": "http://127.0.0.1:9/"}))
    here.wait_ready("broker/default", "trigger/t", namespace=ns)
    here.cluster.kubectl("delete", "namespace", ns, "--wait=false")
    await nothing_left(here)
    assert (await here.post(f"/{ns}/default", "late")).status == 404


async def test_a_broker_made_anew_under_its_name_is_another_one_and_its_triggers_follow(here: Installation) -> None:
    """control-plane.md CP-9, MAY: a Trigger without a Broker; CP-10, MUST: it is not Ready, for a reason."""
    ns = "again"
    here.cluster.kubectl("create", "namespace", ns)
    async with sink() as there:
        here.apply(trigger("t", ns, {"uri": there.url}))
        missing = await here.until("trigger", "t", ns, "BrokerDoesNotExist")
        assert missing["status"] == "False"
        here.apply(broker("default", ns))
        here.wait_ready("broker/default", "trigger/t", namespace=ns)
        before = here.get("broker", "default", ns)["metadata"]["uid"]
        await here.post(f"/{ns}/default", "one")
        await eventually(lambda: there.ids == ["one"], "it is delivered")

        here.cluster.kubectl("delete", "-n", ns, "broker/default")
        here.apply(broker("default", ns))
        here.wait_ready("broker/default", "trigger/t", namespace=ns)
        after = here.get("broker", "default", ns)["metadata"]["uid"]
        assert after != before
        await eventually(
            lambda: here.condition("trigger", "t", ns)["status"] == "True", "the Trigger is of the new one"
        )
        left = await left_in_jetstream(here)
        await eventually(lambda: f"scaup-log-{after}" in left, "it has streams of its own")
        await here.post(f"/{ns}/default", "two")
        await eventually(lambda: there.ids == ["one", "two"], "it delivers, and nothing of before again")
        here.cluster.kubectl("delete", "-n", ns, "trigger/t", "broker/default")
        await nothing_left(here)
    here.cluster.kubectl("delete", "namespace", ns, "--wait=false")


async def test_nothing_is_written_where_nothing_has_changed(here: Installation) -> None:
    ns = "still"
    here.cluster.kubectl("create", "namespace", ns)
    here.apply(broker("default", ns), trigger("t", ns, {"uri": "http://127.0.0.1:9/"}))
    here.wait_ready("broker/default", "trigger/t", namespace=ns)

    def versions() -> list[str]:
        return [item["metadata"]["resourceVersion"] for item in here.listed("brokers,triggers", ns)]

    before = versions()
    # Another Trigger goes its whole way meanwhile: the controller has looked at everything again by then.
    here.apply(trigger("other", ns, {"uri": "http://127.0.0.1:9/"}))
    here.wait_ready("trigger/other", namespace=ns)
    here.cluster.kubectl("delete", "-n", ns, "trigger/other")
    assert versions() == before
    here.cluster.kubectl("delete", "namespace", ns, "--wait=false")
    await nothing_left(here)
