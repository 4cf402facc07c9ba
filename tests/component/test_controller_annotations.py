"""Annotations through the whole control plane: applied, mistaken, mistyped, taken away."""

from __future__ import annotations

from pathlib import Path

from scaup.core.model.names import BrokerUid, log_stream
from tests.support.controlplane import condition_of, data_plane, world
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually

WINDOW = "scaup.dev/dedupe-window"
SINK = {"uri": "http://sink.test/"}


async def test_a_window_is_set_kept_over_a_mistake_changed_and_taken_away(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        w.start_controller()
        broker = await w.broker(annotations={WINDOW: "PT1H"})
        value = await w.until(broker, "Ready", "True")
        uid = BrokerUid(value["metadata"]["uid"])

        async def log() -> tuple[float, int]:
            info = await w.bus.api(f"STREAM.INFO.{log_stream(uid)}")
            return plane.brokers[uid].dedupe_window_s, info["config"]["duplicate_window"] // 10**9

        async def becomes(expected: tuple[float, int]) -> None:
            async def is_so() -> bool:
                return await log() == expected

            _: bool = await eventually(is_so, f"the window is {expected}")

        await becomes((3600.0, 3600))
        await w.patch(broker, {"metadata": {"annotations": {WINDOW: "an hour"}}})
        value = await w.until(broker, "Ready", "False", "AnnotationInvalid")
        assert f"metadata.annotations[{WINDOW}]: expected" in condition_of(value, "Ready")["message"]
        assert await log() == (3600.0, 3600)
        await w.patch(broker, {"metadata": {"annotations": {WINDOW: "PT2M"}}})
        await w.until(broker, "Ready", "True")
        await becomes((120.0, 300))
        await w.patch(broker, {"metadata": {"annotations": {WINDOW: None}}})
        await becomes((0.0, 300))
        await w.until(broker, "Ready", "True")


async def test_a_mistyped_annotation_is_seen_and_stops_nothing(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus):
        w.start_controller()
        broker = await w.broker(annotations={"scaup.dev/history-maxage": "PT1H"})
        trigger = await w.trigger("t", SINK, annotations={WINDOW: "PT1H"})
        for path, said in (
            (broker, "scaup.dev/history-maxage is not known; did you mean scaup.dev/history-max-age?"),
            (trigger, f"{WINDOW} is for a Broker and has no effect on a Trigger"),
        ):
            value = await w.until(path, "Ready", "True")
            noted = condition_of(value, "AnnotationsKnown")
            assert (noted["status"], noted["reason"], noted["severity"]) == ("False", "UnknownAnnotation", "Warning")
            assert noted["message"] == said
        await w.patch(broker, {"metadata": {"annotations": {"scaup.dev/history-maxage": None}}})

        async def is_gone() -> bool:
            value = await w.get(broker) or {}
            found = [c["type"] for c in value.get("status", {}).get("conditions", [])]
            return "Ready" in found and "AnnotationsKnown" not in found

        _: bool = await eventually(is_gone, "the note is gone")
