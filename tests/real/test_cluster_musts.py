"""What the control-plane specification demands, on a genuine API server with every service as a process of its own.

Each test has the rows it shows in its docstring: ``docs/control-plane.md`` is made from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.clusterkinds import broker, install, trigger
from tests.support.clusterrun import Installation, installation
from tests.support.openkinds import apply_kinds, custom_kind
from tests.support.realkube import Kube
from tests.support.services import service
from tests.support.sinks import OK, Sink, answer, reply, sink
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

QUICK = {"retry": 2, "backoffPolicy": "linear", "backoffDelay": "PT0.05S"}
WORD = re.compile(r"[A-Z][A-Za-z0-9]*")
POND = {"apiVersion": "pond.test/v1", "kind": "Pond"}


@pytest.fixture(scope="module")
def here(cluster: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for all tests of this file, each of which has a namespace of its own."""
    install(cluster)
    apply_kinds(cluster, custom_kind("pond.test", "Pond", "ponds"))
    with installation(cluster, tmp_path_factory.mktemp("musts")) as running:
        running.until_ready()
        yield running


@pytest.fixture
def ns(here: Installation, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:50].rstrip("-")
    here.cluster.kubectl("create", "namespace", name)
    yield name
    here.cluster.kubectl("delete", "brokers,triggers", "--all", "-n", name, "--wait=false")
    here.cluster.kubectl("delete", "namespace", name, "--wait=false")


def ready(here: Installation, ns: str, *objects: dict[str, Any]) -> None:
    """Make these, and wait until they are Ready."""
    here.apply(*objects)
    names = [f"{value['kind'].lower()}/{value['metadata']['name']}" for value in objects]
    here.wait_ready(*names, namespace=ns)


async def got(there: Sink, *ids: str) -> None:
    """Until the sink has exactly these, in any order."""
    await eventually(lambda: len(there.ids) >= len(ids), f"{ids} are delivered", within_s=30)
    assert sorted(there.ids) == sorted(ids)


async def test_a_trigger_belongs_to_its_broker_alone(here: Installation, ns: str) -> None:
    """CP-2, MUST: the Broker named in ``spec.broker``. CP-23, MUST: a delivery each, also to equal destinations.

    CP-22, MUST: each event is evaluated once against each Trigger. CP-24, MUST NOT: its data is not changed.
    """
    async with sink() as one, sink() as other:
        ready(
            here,
            ns,
            broker("one", ns),
            broker("other", ns),
            trigger("a", ns, {"uri": f"{one.url}a"}, "one"),
            trigger("b", ns, {"uri": f"{one.url}b"}, "one"),
            trigger("c", ns, {"uri": other.url}, "other"),
        )
        for number in range(5):
            await here.post(f"/{ns}/one", f"e{number}")
        await here.post(f"/{ns}/other", "last")
        await got(one, *[f"e{number}" for number in range(5)] * 2)
        await got(other, "last")
        assert sorted(request.path for request in one.requests) == ["/a"] * 5 + ["/b"] * 5


async def test_no_event_is_lost_that_was_accepted(here: Installation, ns: str) -> None:
    """CP-21, MUST: durably enqueued before it is acknowledged: whoever is killed then, it is delivered.

    CP-16, MUST: from the moment a Trigger is Ready it gets every event.
    """
    async with sink() as there:
        ready(here, ns, broker("default", ns), trigger("t", ns, {"uri": there.url}))
        dispatcher = here.rest.pop()
        dispatcher.process.kill()
        dispatcher.process.wait()
        for number in range(3):
            assert (await here.post(f"/{ns}/default", f"e{number}")).status == 202
        here.nats.kill()
        here.nats.start()
        assert there.ids == []
        again = here.stack.enter_context(service("dispatcher", dispatcher.log.parent, here.nats.url))
        here.rest.append(again)
        await got(there, "e0", "e1", "e2")


async def test_replies_go_the_way_of_all_events(here: Installation, ns: str) -> None:
    """CP-25, MUST: replies are enqueued again. CP-26, MUST: evaluated against all Triggers, the originating one too."""
    async with sink() as there, sink() as other:
        there.script = lambda request: reply("answer", kind="r") if request.id == "asked" else OK
        ready(
            here,
            ns,
            broker("default", ns),
            trigger("asks", ns, {"uri": there.url}),
            trigger("other", ns, {"uri": other.url}, filter={"attributes": {"type": "r"}}),
        )
        await here.post(f"/{ns}/default", "asked")
        await got(there, "asked", "answer")
        await got(other, "answer")


async def test_a_reply_that_cannot_be_stored_makes_the_delivery_fail(here: Installation, ns: str) -> None:
    """CP-27, MUST: the whole delivery fails and is tried again; CP-32, MUST: in the end it is a dead letter."""
    async with sink() as there, sink() as dead:
        there.then(reply("large", data=b"x" * (3 << 20)))
        delivery = QUICK | {"deadLetterSink": {"uri": dead.url}}
        ready(here, ns, broker("default", ns), trigger("t", ns, {"uri": there.url}, delivery=delivery))
        await here.post(f"/{ns}/default", "asked")
        await got(dead, "asked")
        assert there.ids == ["asked"] * 3


async def test_failures_are_retried_as_the_status_and_the_delivery_say(here: Installation, ns: str) -> None:
    """CP-30, MUST: the URLs and options resolved. CP-31, MUST: up to ``retry`` times. CP-32, MUST: then a dead letter.

    CP-35, MUST: a Trigger with any delivery ignores the Broker's as a whole.
    """
    async with sink(answer(503)) as fails, sink(answer(503)) as own, sink() as dead, sink() as own_dead:
        here.apply({**POND, "metadata": {"name": "letters", "namespace": ns}})
        here.address("pond", "letters", ns, address={"url": f"{dead.url}letters"})
        inherited = QUICK | {"deadLetterSink": {"ref": {**POND, "name": "letters"}}}
        alone = {"retry": 0, "deadLetterSink": {"uri": own_dead.url}}
        ready(
            here,
            ns,
            broker("default", ns, delivery=inherited),
            trigger("inherits", ns, {"uri": fails.url}),
            trigger("own", ns, {"uri": own.url}, delivery=alone),
        )
        for resource, name in (("broker", "default"), ("trigger", "inherits")):
            assert here.get(resource, name, ns)["status"]["deadLetterSinkUri"] == f"{dead.url}letters"
        assert here.get("trigger", "own", ns)["status"]["deadLetterSinkUri"] == own_dead.url
        await here.post(f"/{ns}/default", "lost")
        await got(dead, "lost")
        await got(own_dead, "lost")
        assert (fails.ids, own.ids) == (["lost"] * 3, ["lost"])
        assert dead.requests[0].path == "/letters"


async def test_the_waits_between_attempts_are_those_of_the_policy(here: Installation, ns: str) -> None:
    """CP-36: linear waits the same each time, exponential twice as long as the time before."""
    async with sink(answer(503)) as linear, sink(answer(503)) as doubling:
        waits = {"retry": 3, "backoffDelay": "PT0.2S"}
        ready(
            here,
            ns,
            broker("default", ns),
            trigger("linear", ns, {"uri": linear.url}, delivery=waits | {"backoffPolicy": "linear"}),
            trigger("doubling", ns, {"uri": doubling.url}, delivery=waits | {"backoffPolicy": "exponential"}),
        )
        await here.post(f"/{ns}/default", "e")
        await got(linear, *["e"] * 4)
        await got(doubling, *["e"] * 4)
    for there, least in ((linear, 3 * 0.2), (doubling, (1 + 2 + 4) * 0.2)):
        times = [request.at for request in there.requests]
        assert least * 0.85 <= times[-1] - times[0]


async def test_filters_match_exactly(here: Installation, ns: str) -> None:
    """CP-37, MUST: each key present, a non-empty value exact and case-sensitive, "" any value."""
    async with sink() as there:
        wanted = {"attributes": {"kind": "A", "subject": ""}}
        ready(here, ns, broker("default", ns), trigger("t", ns, {"uri": there.url}, filter=wanted))
        for name, attributes in {
            "match": {"kind": "A", "subject": "x"},
            "case": {"kind": "a", "subject": "x"},
            "longer": {"kind": "AB", "subject": "x"},
            "missing": {"kind": "A"},
            "again": {"kind": "A", "subject": "y", "more": "z"},
        }.items():
            await here.post(f"/{ns}/default", name, **attributes)
        await got(there, "match", "again")


async def test_a_spec_of_nothing_but_what_is_needed_is_enough(here: Installation, ns: str) -> None:
    """CP-34, MUST: no field is required beyond those of the document. CP-1, MUST: it has an address. CP-11, CP-38."""
    bare = broker("default", ns)
    del bare["spec"]
    ready(here, ns, bare, trigger("t", ns, {"uri": "http://sink.test/"}))
    for resource, name in (("broker", "default"), ("trigger", "t")):
        value = here.get(resource, name, ns)
        assert value["status"]["observedGeneration"] == value["metadata"]["generation"]
    assert here.get("broker", "default", ns)["status"]["address"]["url"].endswith(f"/{ns}/default")
    assert here.get("trigger", "t", ns)["status"]["subscriberUri"] == "http://sink.test/"


async def test_malformed_events_are_refused(here: Installation, ns: str) -> None:
    """CP-44, MUST: by the service, with 400. CP-3, MUST: all valid ones are accepted."""
    async with sink() as there:
        ready(here, ns, broker("default", ns), trigger("t", ns, {"uri": there.url}))
        assert (await here.post(f"/{ns}/default", "bad", time="yesterday")).status == 400
        assert (await here.post(f"/{ns}/default", "good", myextension="x")).status == 202
        await got(there, "good")


async def test_what_is_wrong_is_said_in_words_a_program_and_a_person_can_use(here: Installation, ns: str) -> None:
    """CP-38 to CP-42, MUST: conditions of unique types with a reason (one word) and a message; Ready sums them up.

    CP-5, CP-10, CP-12, CP-13, CP-20, MUST: a Broker or sink that is missing makes Ready False, and the address empty.
    CP-43, SHOULD: what does not stop anything has a severity.
    """
    nobody = {"ref": {**POND, "name": "nobody"}}
    busy = {**POND, "metadata": {"name": "busy", "namespace": ns}}
    dependency = '{"apiVersion":"pond.test/v1","kind":"Pond","name":"busy"}'
    here.apply(
        busy,
        broker("default", ns),
        broker("spoilt", ns, delivery={"deadLetterSink": nobody}),
        trigger("alone", ns, {"uri": "http://s.test/"}, "missing"),
        trigger("of-spoilt", ns, {"uri": "http://s.test/"}, "spoilt"),
        trigger("nobody", ns, nobody),
        trigger("dead", ns, {"uri": "http://s.test/"}, delivery={"deadLetterSink": nobody}),
        trigger("filter", ns, {"uri": "http://s.test/"}, filters=[{"cesql": "no such thing"}]),
        trigger("waits", ns, {"uri": "http://s.test/"}, annotations={"knative.dev/dependency": dependency}),
        trigger("noted", ns, {"uri": "http://s.test/"}, annotations={"scaup.dev/pausd": "true"}),
    )
    why = {"type": "Ready", "status": "False", "reason": "it is busy, sorry", "message": "come later"}
    here.address("pond", "busy", ns, conditions=[why])
    for name, reason in {
        "alone": "BrokerDoesNotExist",
        "of-spoilt": "DeadLetterSinkNotFound",
        "nobody": "SubscriberNotFound",
        "dead": "DeadLetterSinkNotFound",
        "filter": "FilterInvalid",
        "waits": "DependencyNotReady",
        "noted": "",
    }.items():
        assert (await here.until("trigger", name, ns, reason))["status"] == ("False" if reason else "True")
    await here.until("broker", "spoilt", ns, "DeadLetterSinkNotFound")
    assert here.get("trigger", "nobody", ns)["status"]["subscriberUri"] == ""
    assert "it is busy, sorry: come later" in here.condition("trigger", "waits", ns)["message"]
    noted = here.condition("trigger", "noted", ns, "AnnotationsKnown")
    assert (noted["status"], noted["severity"]) == ("False", "Warning")
    for value in here.listed("brokers,triggers", ns):
        conditions = value["status"]["conditions"]
        assert value["status"]["observedGeneration"] == value["metadata"]["generation"]
        assert len({one["type"] for one in conditions}) == len(conditions)
        for one in conditions:
            assert WORD.fullmatch(one["type"])
            assert WORD.fullmatch(one.get("reason", "Fine"))
            assert one["status"] == "True" or (one["reason"] and one["message"]), one
        rest = {one["status"] for one in conditions if one["type"] != "Ready" and not one.get("severity")}
        summed = next(one for one in conditions if one["type"] == "Ready")
        assert not summed.get("severity")
        assert summed["status"] == ("False" if "False" in rest else "True")
