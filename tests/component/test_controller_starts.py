"""The annotation ``scaup.dev/start`` of a Trigger: what it asks for, its mistakes, and the status that says how far."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaup.core.bus.replaying import Progress, Wanted
from scaup.core.bus.resuming import Record, Records
from scaup.core.model import names
from scaup.core.model.names import STARTS_BUCKET, BrokerUid, TriggerUid
from tests.support.controlplane import World, condition_of, data_plane, world
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually

START = "scaup.dev/start"


async def annotate(w: World, trigger: str, value: str) -> None:
    await w.patch(trigger, {"metadata": {"annotations": {START: value}}})


async def test_the_status_says_how_far_the_history_is(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        await w.broker()
        trigger = await w.trigger("t", {"uri": "http://a.test/"})
        value = await w.until(trigger, "Ready", "True")
        assert "annotations" not in value["status"]
        await annotate(w, trigger, "all")

        async def said() -> str | None:
            status = (await w.get(trigger) or {}).get("status") or {}
            text: str | None = (status.get("annotations") or {}).get(START)
            return text

        async def says(text: str) -> bool:
            return await said() == text

        await eventually(lambda: says("the history is not begun yet"), "it is asked for")
        (definition,) = plane.triggers.values()
        assert definition.start == "all"
        records = Records(w.bus, STARTS_BUCKET, 0.0)
        await records.ensure()
        uid = TriggerUid(value["metadata"]["uid"])
        made = Record(Wanted("start", BrokerUid("b"), uid, 1, 2000), Progress(1201, 7, 1200), "2026-01-01T00:00:00Z")
        made = await records.write(made, names.start_key(uid))
        text = "under way: 7 of 1,200 events queued, 800 to be looked at"
        await eventually(lambda: says(text), "it is under way")
        final = Record(made.wanted, Progress(2001, 9, 1990, 10), made.began, is_done=True, revision=made.revision)
        await records.write(final, names.start_key(uid))
        text = "done: 9 of 1,990 events queued, 10 were trimmed before"
        await eventually(lambda: says(text), "it is done")
        assert condition_of(await w.get(trigger) or {}, "Ready")["status"] == "True"


@pytest.mark.parametrize("wrong", ["ALL", "", "yesterday", "2026-05-04", "2026-05-04T10:00:00"])
async def test_a_mistake_is_a_condition_that_says_what_was_expected(
    nats: NatsServer, tmp_path: Path, wrong: str
) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        await w.broker()
        trigger = await w.trigger("t", {"uri": "http://a.test/"})
        await w.until(trigger, "Ready", "True")
        await annotate(w, trigger, wrong)
        value = await w.until(trigger, "SubscriptionReady", "False", "AnnotationInvalid")
        said = condition_of(value, "SubscriptionReady")["message"]
        expected = "expected new, all, or a time such as 2026-05-04T10:00:00Z, found "
        assert said.startswith(f"metadata.annotations[{START}]: {expected}")
        (definition,) = plane.triggers.values()
        assert (definition.matching, definition.start) == (True, None)  # its events go on
        await annotate(w, trigger, "2026-05-04T10:00:00Z")
        await w.until(trigger, "Ready", "True")
        assert [definition.start for definition in plane.triggers.values()] == ["2026-05-04T10:00:00Z"]
