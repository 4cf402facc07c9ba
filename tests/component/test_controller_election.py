"""Leader election by a Lease: one leads, the others are warm; whoever cannot renew stops before another can begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from scaup.controller import kube
from scaup.controller.app import Controller, Mandate
from scaup.controller.election import Election, clock
from scaup.controller.lease import Terms
from scaup.core.model.errors import SettingsError
from tests.support.controlplane import PUBLIC_URL, World, data_plane, world
from tests.support.natsserver import NatsServer
from tests.support.waiting import eventually

LEASE = "default/scaup-controller"
PATH = "/apis/coordination.k8s.io/v1/namespaces/default/leases/scaup-controller"
SHORT = Terms(duration_s=3.0, renew_s=2.0, retry_s=0.3)
SINK = {"uri": "http://sink.test/"}


@asynccontextmanager
async def standing(api: kube.Api, me: str, where: str = LEASE) -> AsyncIterator[tuple[Election, asyncio.Task[None]]]:
    election = Election(api, where, me, lambda: None, SHORT)
    task = asyncio.create_task(election.run())
    try:
        yield election, task
    finally:
        await end(task)


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def holder(w: World) -> str:
    return str(((await w.get(PATH)) or {}).get("spec", {}).get("holderIdentity"))


async def test_one_leads_and_its_clean_end_lets_the_next_one_in_at_once(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, AsyncExitStack() as stack:
        first, task = await stack.enter_async_context(standing(w.api, "first"))
        await eventually(first.leads, "the first leads")
        second, _ = await stack.enter_async_context(standing(w.api, "second"))
        await eventually(lambda: "first leads" in (second.standing_by() or ""), "the second stands by")
        assert await holder(w) == "first"
        await end(task)
        assert not first.leads()
        began = clock()
        await eventually(second.leads, "the second leads")
        assert clock() - began < SHORT.duration_s - 1.0  # it need not wait until the Lease is over
        lease = await w.get(PATH)
        assert lease is not None
        assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("second", 1)


async def test_who_cannot_renew_stops_before_another_may_begin(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, AsyncExitStack() as stack:
        gate = await stack.enter_async_context(a_gate(w.api.host, tmp_path))
        first, _ = await stack.enter_async_context(standing(gate.api, "first"))
        await eventually(first.leads, "the first leads")
        second, _ = await stack.enter_async_context(standing(w.api, "second"))
        gate.is_open.clear()
        both = 0
        while not second.leads():
            both += first.leads() and second.leads()
            await asyncio.sleep(0.005)
        assert both == 0
        assert not first.leads()
        gate.is_open.set()
        await eventually(lambda: "second leads" in (first.standing_by() or ""), "the first stands by")


async def test_a_lease_that_was_taken_by_force_is_not_fought_for(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, standing(w.api, "first") as (first, _):
        await eventually(first.leads, "the first leads")
        await w.patch(PATH, {"spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 2}})
        await eventually(lambda: not first.leads(), "the first leads no more")
        assert await holder(w) == "somebody"
        await eventually(lambda: first.leads() and first.term == 2, "it leads again when that one did not renew")


async def test_a_deleted_lease_is_made_anew_for_a_new_term(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, standing(w.api, "first") as (first, _):
        await eventually(first.leads, "the first leads")
        await w.delete(PATH)
        await eventually(lambda: first.leads() and first.term == 2, "it was elected again")
        assert await holder(w) == "first"


async def test_many_at_once_never_have_two_leaders(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, AsyncExitStack() as stack:
        all_of_them = [await stack.enter_async_context(standing(w.api, f"c{n}")) for n in range(5)]
        led: set[int] = set()
        deadline = clock() + 30.0
        while len(led) < len(all_of_them) and clock() < deadline:
            leaders = [n for n, (one, _) in enumerate(all_of_them) if one.leads()]
            assert len(leaders) <= 1
            for n in leaders:
                led.add(n)
                all_of_them[n][1].cancel()
            await asyncio.sleep(0.01)
        assert len(led) == len(all_of_them)


async def test_a_missing_right_is_said_with_the_servers_words(nats: NatsServer, tmp_path: Path) -> None:
    async with world(tmp_path, nats.url) as w, AsyncExitStack() as stack:
        gate = await stack.enter_async_context(a_gate(w.api.host, tmp_path))
        gate.refuse = lambda: web.json_response({"message": "cannot get leases"}, status=403)
        election, _ = await stack.enter_async_context(standing(gate.api, "first"))
        why = await eventually(election.why_not, "it says why nobody is elected")
        assert "cannot get leases" in str(why)
        assert LEASE in str(why)


@pytest.mark.parametrize("where", ["x", "/x", "x/", "a/b/c"])
async def test_a_lease_that_is_no_namespace_and_name_is_a_wrong_setting(where: str, tmp_path: Path) -> None:
    async with kube.connect(config(tmp_path, "http://127.0.0.1:1")) as api:
        with pytest.raises(SettingsError, match="SCAUP_CONTROLLER_LEASE"):
            Election(api, where, "me", lambda: None)


async def test_a_controller_that_stands_by_is_warm_writes_nothing_and_takes_over(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with world(tmp_path, nats.url) as w, data_plane(w.bus) as plane:
        one, two = (
            Controller(w.bus, w.api, Mandate(PUBLIC_URL, name=name, lease=LEASE, terms=SHORT))
            for name in ("one", "two")
        )
        await w.broker()
        trigger = await w.trigger("t", SINK)
        leading = asyncio.create_task(one.run())
        await w.until(trigger, "Ready", "True")
        waiting = asyncio.create_task(two.run())
        try:
            await eventually(lambda: two.standing_by() and two.why_not_ready() is None, "the other one is warm")
            assert "one_" in (two.standing_by() or "")
            assert two._observed is not None
            assert len(two._observed.triggers.objects) == 1
            assert not two.published
            await end(leading)
            second = await w.trigger("second", SINK)
            await w.until(second, "Ready", "True")
            assert two.published
            assert two.standing_by() is None
            mark = two._snapshot.writer
            assert mark is not None
            assert mark.holder.startswith("two_")
            assert len(plane.triggers) == 2
        finally:
            await end(leading)
            await end(waiting)


class Gate:
    """A way to the API that can be closed: then it answers nothing, or what ``refuse`` says."""

    api: kube.Api

    def __init__(self, target: str) -> None:
        self._target = target
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.refuse: Callable[[], web.Response] | None = None
        self.session = ClientSession()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.refuse is not None:
            return self.refuse()
        await self.is_open.wait()
        headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        data = await request.read()
        async with self.session.request(
            request.method, self._target + request.path_qs, data=data, headers=headers
        ) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")


@asynccontextmanager
async def a_gate(target: str, directory: Path) -> AsyncIterator[Gate]:
    gate = Gate(target)
    runner = web.ServerRunner(web.Server(gate), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with kube.connect(config(directory, f"http://127.0.0.1:{runner.addresses[0][1]}")) as api:
            gate.api = api
            yield gate
    finally:
        gate.is_open.set()
        await runner.cleanup()
        await gate.session.close()


def config(directory: Path, server: str) -> str:
    path = directory / "gate"
    path.write_text(
        f"""{{"current-context": "t", "clusters": [{{"name": "t", "cluster": {{"server": "{server}"}}}}],
        "contexts": [{{"name": "t", "context": {{"cluster": "t", "user": "t"}}}}],
        "users": [{{"name": "t", "user": {{}}}}]}}"""
    )
    return str(path)
