"""``scaup doctor``: each finding, made to happen; and nothing found where nothing is wrong."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.doctor import ground
from scaup.cli.doctor.findings import Finding, Weight
from scaup.cli.doctor.story import Asked, Diagnosis, diagnose, exit_code
from scaup.cli.up.datadir import DataDirectory
from scaup.core.bus import topology
from scaup.core.bus.connection import BusAccess, Msg, connect
from scaup.core.bus.kv import Bucket, dumps
from scaup.core.codec.kept import Facts, to_headers
from scaup.core.http.networks import Networks
from scaup.core.model import names
from scaup.core.model.definitions import Destination
from scaup.core.model.names import BrokerUid, Lane, TriggerUid
from scaup.core.model.trail import Told
from tests.support.apiserver import TRIGGERS, api_server, trigger
from tests.support.dataplane import World, delivery, working, world
from tests.support.natsserver import NatsServer, nats_server
from tests.support.scaupup import scaup
from tests.support.sinks import HANG, Sink, answer, sink
from tests.support.waiting import eventually

BROKER = "Broker default/one"
TRIGGER = "Trigger default/t"


class Found:
    """What the doctor found, by code."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self.diagnosis = diagnosis
        self.all = diagnosis.findings

    def __contains__(self, code: str) -> bool:
        return any(one.code == code for one in self.all)

    def __getitem__(self, code: str) -> Finding:
        (one,) = [one for one in self.all if one.code == code]
        assert one.do
        return one

    def said(self, code: str) -> set[str]:
        return {one.says for one in self.all if one.code == code}


async def look(url: str, access: ApiAccess | None = None, **asked: Any) -> Found:
    return Found(await diagnose(access, NatsAccess(url), Asked(**asked)))


async def until_found(here: World, code: str, **asked: Any) -> Finding:
    async def is_there() -> Found | None:
        found = await look(here.url, **asked)
        return found if code in found else None

    found = await eventually(is_there, f"{code} is found")
    assert found is not None
    return found[code]


async def report(here: World, key: str, **value: Any) -> None:
    """As a replica of the data plane does."""
    whole = {"revision": 1 << 40, "created": "", "failing": {}} | value
    await Bucket(here.bus, names.REPLICAS_BUCKET).put(key, dumps(whole))


async def test_nothing_is_wrong_where_nothing_is(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink() as there:
        await here.trigger("t", there.url, filters=({"prefix": {"type": "com."}},))
        await report(here, "ingress.one")
        await here.send_many(30)
        await here.until_settled()
        found = await look(nats.url)
        assert found.all == []
        assert exit_code(found.diagnosis, is_strict=True) == 0
        assert found.diagnosis.looked_at.startswith("NATS 2.")
        assert found.diagnosis.looked_at.endswith("1 Broker, 1 Trigger, 1 ingress, 1 filter, 1 dispatcher")


async def test_nats_that_is_away_is_the_one_finding_and_exit_code_3(tmp_path: Path) -> None:
    found = await look("nats://127.0.0.1:9")
    assert [one.code for one in found.all] == ["nats.unfit"]
    assert "cannot be reached" in found["nats.unfit"].says
    assert exit_code(found.diagnosis, is_strict=False) == 3


async def test_nats_with_too_small_limits_is_found_out(tmp_path: Path) -> None:
    account = (
        "accounts { A { users: [{user: a, password: a}], jetstream: {max_file: 40MB, max_streams: 7} },\n"
        "B { users: [{user: b, password: b}] } }\n"
        "no_auth_user: a\nmax_payload: 1048576\n"
    )
    with nats_server(tmp_path / "nats", extra=account) as server:
        async with world(server.url, log_max_bytes=38 << 20) as here:
            for _ in range(35):
                await here.bus.acked.store(names.event_subject(here.broker.uid), b"x" * 1_000_000, {"ce-id": "1"})
            found = await look(server.url)
            assert "the account may store 41943040 bytes" in found["nats.unfit"].says
            assert found["nats.storage"].weight in {Weight.ERROR, Weight.WARNING}
            assert found["settings.storage"].says.endswith("leaves 2 MiB for queues and dead letters")
            assert found["nats.streams"].says == "5 of 7 streams are there, and a Broker needs three"
            assert "max_payload is 1,048,576 bytes" in found["nats.payload"].says
        without = await look(server.url.replace("//", "//b:b@"))
        assert "JetStream" in without["nats.unfit"].says
        assert "JetStream not enabled" in without["nats.unreachable"].says
        assert without.diagnosis.looked_at.startswith("NATS at nats://127.0.0.1:")


async def test_streams_that_are_missing_changed_full_or_nobodys_are_found_out(nats: NatsServer) -> None:
    async with world(nats.url, log_max_bytes=1 << 20) as here:
        uid = here.broker.uid
        await here.send_many(20, b"x" * 49_000)
        stream = names.queue_stream(uid)
        config = (await here.bus.api(f"STREAM.INFO.{stream}"))["config"]
        await here.bus.api(f"STREAM.UPDATE.{stream}", config | {"max_bytes": 1 << 20})
        await here.bus.api(f"STREAM.DELETE.{names.dead_stream(uid)}")
        strange = replace(here.broker, uid=BrokerUid("gone"))
        await topology.ensure_stream(here.bus, topology.streams(strange)[0])
        found = await look(nats.url)
        assert found["stream.missing"].says == f"its stream {names.dead_stream(uid)} is not there"
        assert f"{stream}: max_bytes is 1048576 and should be -1" in found["stream.changed"].says
        assert found["log.full"].says == "its log is full (1 MiB of 1 MiB): new events are refused"
        assert found["stream.stranger"].says == "the stream scaup-log-gone is of no Broker that is there"


def test_streams_whose_copies_are_behind_are_found_out() -> None:
    peers = [{"name": "n2", "current": True}, {"name": "n3", "current": False, "offline": True}]
    (behind,) = ground.cluster(BROKER, "s", {"cluster": {"name": "c", "leader": "n1", "replicas": peers}})
    assert (behind.code, behind.says) == ("stream.replicas", "copies of its stream s are not up to date at n3")
    (led,) = ground.cluster(BROKER, "s", {"cluster": {"name": "c", "replicas": peers}})
    assert (led.code, led.says) == ("stream.no_leader", "its stream s has no leader")
    assert ground.cluster(BROKER, "s", {"cluster": {"leader": "n1"}}) == []


async def test_dead_letters_are_noted_and_many_of_one_trigger_are_an_error(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(nats.url) as here:
        for number in range(9):
            subject = names.dead_subject(here.broker.uid, TriggerUid("t"))
            await here.bus.acked.store(subject, b"", to_headers(Facts(number)) | {"ce-id": "1"})
        found = await look(nats.url)
        assert (found["deadletters.kept"].weight, found["deadletters.kept"].says) == (
            Weight.NOTE,
            "9 dead letters are kept",
        )
        monkeypatch.setattr(ground, "DEAD_LETTERS_PER_TRIGGER", 10)
        assert "a Trigger has 9 dead letters" in (await look(nats.url))["deadletters.full"].says


async def test_services_that_are_missing_behind_or_astray_are_found_out(nats: NatsServer) -> None:
    async with connect(BusAccess(nats.url), "test") as bus:
        found = await look(nats.url)
        assert "the controller has never run" in found["plane.no_definitions"].says
        assert found.said("plane.missing") == {f"no {role} reports" for role in ("ingress", "filter", "dispatcher")}
        assert bus.is_connected
    async with world(nats.url) as here:
        await here.trigger("t", "http://127.0.0.1:9/")
        await report(here, "ingress.one", revision=0)
        await report(here, "filter.one", created="2020-01-01T00:00:00Z")
        await report(here, "filter.two", failing={"t": "cast: no number"})
        await report(here, "dispatcher.mute")
        found = await look(nats.url)
        assert "plane.missing" not in found
        assert found["plane.behind"].about == "ingress one"
        assert found["plane.astray"].about == "filter one"
        assert found["plane.silent"].about == "dispatcher mute"
        assert (found["filter.fails"].about, "cast: no number" in found["filter.fails"].says) == (TRIGGER, True)


async def test_clocks_that_differ_from_that_of_nats_are_found_out(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        await report(here, "dispatcher.fast")

        async def tell(msg: Msg) -> None:
            await here.bus.publish(msg.reply, Told("fast", time.time() + 3600, 0.0).to_bytes())

        await here.bus.subscribe(names.TRAIL_SUBJECTS, tell)
        found = await look(nats.url)
        assert found["clock.skew"].about == "dispatcher fast"
        assert found["clock.skew"].says == "its clock is 3,600 s ahead of that of NATS"


async def test_a_log_that_nobody_works_or_that_has_no_consumer_is_found_out(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        await here.send_many(3)
        assert "consumer.stuck" not in await look(nats.url)
        stuck = await until_found(here, "consumer.stuck", patience_s=0.2)
        assert stuck.about == BROKER
        assert stuck.says.startswith("3 events wait in its log, the first of them (position 1) for ")
        stream = names.log_stream(here.broker.uid)
        await here.bus.api(f"CONSUMER.DELETE.{stream}.{names.DISPATCH_CONSUMER}")
        assert "is not there: nothing of it is delivered" in (await look(nats.url))["consumer.missing"].says


async def test_a_queue_that_nobody_works_and_one_that_is_behind_are_found_out(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(HANG) as there:
        await here.trigger("t", there.url, max_in_flight=1, delivery=delivery(timeout_s=30.0))
        await here.send_many(5)
        behind = await until_found(here, "queue.behind", patience_s=0.2)
        assert (behind.about, behind.weight) == (TRIGGER, Weight.WARNING)
    async with world(nats.url) as here:
        await here.trigger("t", "http://127.0.0.1:9/")
        lane = Lane(here.broker.uid, TriggerUid("t"))
        await here.bus.api(f"STREAM.PURGE.{names.queue_stream(here.broker.uid)}", {})
        await here.bus.acked.store(names.queue_subject(lane), b"", to_headers(Facts(1)))
        await topology.remove_consumer(here.bus, names.queue_stream(here.broker.uid), names.lane_consumer(lane))
        await here.bus.api(f"STREAM.PURGE.{names.log_stream(here.broker.uid)}", {})
        stuck = await until_found(here, "consumer.stuck", patience_s=0.2)
        assert (stuck.about, "no dispatcher works it" in stuck.says) == (TRIGGER, True)


async def test_sinks_without_address_that_fail_or_that_nobody_listens_at_are_found_out(nats: NatsServer) -> None:
    async with working(nats.url) as here, sink(answer(503)) as ill:
        gone = Sink()
        await gone.start()
        await gone.stop()
        await here.address("address/v1/Service/default/web", None)
        await here.trigger("homeless", Destination(address="address/v1/Service/default/web"))
        dead = delivery(dead_letter_sink=Destination(uri=gone.url))
        await here.trigger("away", gone.url, delivery=dead, filters=({"exact": {"id": "none"}},))
        await here.trigger("t", ill.url, delivery=delivery(retry=100))
        await here.send_many(20)
        failing = await until_found(here, "sink.failing")
        assert (failing.about, failing.weight) == (TRIGGER, Weight.ERROR)
        found = await look(nats.url)
        assert found["sink.no_address"].says == "its sink has no address: v1/Service/default/web: it is not ready"
        assert found.said("sink.unreachable") == {
            f"its {words} at {gone.url} cannot be reached from here: connection refused"
            for words in ("sink", "dead letter sink")
        }
        assert "sink.unreachable" not in await look(nats.url, connects=False)


async def test_filters_that_match_nothing_are_found_out(nats: NatsServer) -> None:
    async with world(nats.url) as here:
        url = "http://127.0.0.1:9/"
        await here.trigger("refused", url, matching=False)
        both = {"all": [{"exact": {"type": "a"}}, {"not": {"exact": {"id": "x"}}}, {"prefix": {"type": "b"}}]}
        await here.trigger("never", url, filters=(both,))
        await here.trigger("typo", url, filters=({"exact": {"type": "com.exmaple.test"}},))
        await here.trigger("t", url, filters=({"cesql": "type LIKE 'com.%'"},))
        assert "filter.matches_nothing" not in await look(nats.url)  # nothing is concluded from few events
        await here.send_many(25)
        found = await look(nats.url, patience_s=60)
        assert found["filter.refused"].about == "Trigger default/refused"
        assert found["filter.never"].says.endswith("type cannot be 'a' and begin with 'b'")
        nothing = found["filter.matches_nothing"]
        assert nothing.about == "Trigger default/typo"
        assert nothing.says == (
            "its filter matches none of the last 25 events; of the last one it says: "
            "exact type: 'com.exmaple.test' (the event has 'com.example.test')"
        )


async def test_settings_that_contradict_each_other_are_found_out(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    deny = Networks.parse("10.0.0.0/8")
    async with working(nats.url, {"replica": "one", "queue_quota": 1000, "sink_deny": deny}) as here:
        await here.dispatcher(replica="two", queue_quota=2000, sink_deny=deny)
        await here.trigger("slow", "http://127.0.0.1:9/", rate=0.001)
        await here.trigger("denied", "http://10.1.2.3/")
        lasting = delivery(retry=30, backoff_policy="exponential", backoff_delay_s=60)
        await here.trigger("lasting", "http://127.0.0.1:9/", delivery=lasting)
        found = await look(nats.url, connects=False)
        quota = "SCAUP_DISPATCHER_QUEUE_QUOTA is 1000 at one; 2000 at two"
        assert quota in found.said("settings.differ")
        assert found["settings.rate"].about == "Trigger default/slow"
        assert found["settings.sink_denied"].about == "Trigger default/denied"
        assert "SCAUP_SINK_DENY of the dispatchers denies 10.0.0.0/8" in found["settings.sink_denied"].says
        assert found["settings.retries"].about == "Trigger default/lasting"


async def test_what_is_not_ready_and_another_nats_than_that_of_the_services_are_found_out(
    nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(nats.url) as here:
        data = DataDirectory(tmp_path / "data")
        data.open()
        async with api_server(here.url) as api:
            data.note(api=api.url, nats=here.url, embedded=False)
            broken = await api.made(TRIGGERS, trigger("broken", broker="one"))
            conditions = [{"type": "Ready", "status": "False", "reason": "BadFilter", "message": "no such dialect"}]
            broken["status"] = {"conditions": conditions}
            assert (await api("PUT", f"{TRIGGERS}/broken/status", broken)).status == 200
            access = ApiAccess(str(data.kubeconfig), None)
            found = await look(nats.url, access)
            assert found["definition.not_ready"].about == "Trigger default/broken"
            assert found["definition.not_ready"].says == "not Ready: BadFilter: no such dialect"
            message = "test.io/v1 Pond default/p: the controller may not list ponds.test.io"
            broken = (await api("GET", f"{TRIGGERS}/broken")).body
            broken["status"]["conditions"][0] |= {"reason": "SubscriberForbidden", "message": message}
            assert (await api("PUT", f"{TRIGGERS}/broken/status", broken)).status == 200
            found = await look(nats.url, access)
            assert found["rights.controller"].says == f"the controller may not look up what it needs: {message}"
            assert "duck.knative.dev/addressable" in found["rights.controller"].do
            done = await asyncio.to_thread(
                scaup, "doctor", "-o", "json", cwd=tmp_path, kubeconfig=Path(access.kubeconfig)
            )
            assert (done.returncode, done.stderr) == (1, "")
            told = json.loads(done.stdout)
            assert told["kind"] == "Diagnosis"
            assert {"rights.controller", "plane.missing"} <= {one["code"] for one in told["findings"]}
            assert all(one["do"] and one["says"] and one["about"] for one in told["findings"])
        monkeypatch.setenv("SCAUP_NATS_URL", "nats://127.0.0.1:1")
        found = await look(nats.url, access)
        assert "SCAUP_NATS_URL is nats://127.0.0.1:1" in found["settings.nats_url"].says
        assert "cannot reach" in found["api.unreachable"].says
        data.close()


def test_warnings_count_for_the_exit_code_only_where_that_is_asked_for() -> None:
    def exits(*weights: Weight, is_strict: bool = False) -> int:
        return exit_code(Diagnosis([Finding(w, "c", "a", "s", "d") for w in weights]), is_strict=is_strict)

    assert (exits(), exits(Weight.NOTE, is_strict=True), exits(Weight.WARNING)) == (0, 0, 0)
    assert (exits(Weight.WARNING, is_strict=True), exits(Weight.ERROR, Weight.NOTE)) == (1, 1)
