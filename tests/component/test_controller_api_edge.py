"""The edge to the Kubernetes API where it is hostile: a stand-in that refuses, cuts, expires and stays silent.

The real local API refuses nothing to its one user, so these answers have to be played.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from kubernetes.aio.config import incluster_config

from scaup.controller import kube
from scaup.controller.api import BROKER_KIND, Identity
from scaup.controller.conditions import ready, true
from scaup.controller.kube import Api, ApiError, ApiRefusedError, ApiUnreachableError
from scaup.controller.observe import Collection
from scaup.controller.reports import Report
from scaup.controller.resolve import Absent, Found, NotKnownYet, Ref
from scaup.controller.status import StatusWriter
from scaup.core.model.errors import SettingsError
from tests.component.test_outbound_tls import make
from tests.support.waiting import eventually

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
DUCKS = "/apis/pond.test/v1/ducks"
REF = Ref("pond.test/v1", "Duck", "default", "donald")


def kubeconfig(directory: Path, server: str) -> str:
    path = directory / "config"
    value = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "t",
        "clusters": [{"name": "t", "cluster": {"server": server}}],
        "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
        "users": [{"name": "t", "user": {"token": "secret"}}],
    }
    path.write_bytes(orjson.dumps(value))
    return str(path)


@asynccontextmanager
async def standin(directory: Path, answer: Answer) -> AsyncIterator[Api]:
    """An API whose every answer is ``answer``'s."""
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with kube.connect(kubeconfig(directory, f"http://127.0.0.1:{port}")) as api:
            yield api
    finally:
        await runner.cleanup()


@asynccontextmanager
async def following(collection: Collection, api: Api) -> AsyncIterator[None]:
    task = asyncio.create_task(collection.follow(api))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def refusal(status: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": status, "message": message}, status=status)


def listed(*names: str, version: str = "1") -> web.Response:
    items = [duck(name, f"http://{name}.test") for name in names]
    return web.json_response({"metadata": {"resourceVersion": version}, "items": items})


def duck(name: str, url: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "status": {"address": {"url": url}}}


async def stream(request: web.Request, *chunks: bytes, then_wait: bool = False) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for chunk in chunks:
        await response.write(chunk)
    if then_wait:
        await asyncio.sleep(60)
    return response


def line(kind: str, value: dict[str, Any], version: str = "2") -> bytes:
    value = value | {"metadata": value.get("metadata", {}) | {"resourceVersion": version}}
    return orjson.dumps({"type": kind, "object": value}) + b"\n"


class Script:
    """Discovery as it should be; lists and watches as the test says."""

    def __init__(self, lists: Answer, watches: Answer | None = None) -> None:
        self.lists, self.watches = lists, watches
        self.seen: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Bearer secret"
        if request.path == "/apis/pond.test/v1":
            resources = [
                {"name": "ducks/status", "kind": "Duck"},
                {"name": "ducks", "kind": "Duck", "namespaced": True},
            ]
            return web.json_response({"resources": resources})
        if "watch" in request.query:
            self.seen.append(f"watch {request.query['resourceVersion']}")
            assert int(request.query["timeoutSeconds"]) > 0
            return await (self.watches(request) if self.watches else stream(request, then_wait=True))
        self.seen.append("list")
        return await self.lists(request)


def collection() -> tuple[Collection, list[int]]:
    changes: list[int] = []
    return Collection(("pond.test/v1", "Duck"), lambda: changes.append(1)), changes


async def test_a_missing_right_is_told_with_the_servers_words_and_is_over_when_it_is_given(tmp_path: Path) -> None:
    allowed = False

    async def lists(_: web.Request) -> web.Response:
        return listed("donald") if allowed else refusal(403, 'cannot list resource "ducks" in API group "pond.test"')

    ducks, _ = collection()
    assert ducks.look(REF) == NotKnownYet()
    async with standin(tmp_path, Script(lists)) as api, following(ducks, api):
        await eventually(lambda: ducks.state == "forbidden", "the refusal is seen")
        looked = ducks.look(REF)
        assert isinstance(looked, Absent)
        assert looked.code == "Forbidden"
        assert "may not list and watch ducks.pond.test" in looked.message
        allowed = True
        await eventually(lambda: isinstance(ducks.look(REF), Found), "the object is found")


async def test_an_expired_watch_begins_with_a_fresh_list_and_a_cut_one_goes_on_where_it_was(tmp_path: Path) -> None:
    lists_left = [listed("donald"), listed("donald", "daisy", version="9")]
    watches: list[list[bytes]] = [
        [line("MODIFIED", duck("donald", "http://two.test"), "5")[:-9], b""],  # cut within a line
        [line("MODIFIED", duck("donald", "http://two.test"), "5"), line("BOOKMARK", {}, "7")],
        [orjson.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old"}}) + b"\n"],
    ]

    async def lists(_: web.Request) -> web.Response:
        return lists_left.pop(0)

    async def watch(request: web.Request) -> web.StreamResponse:
        if not watches:
            return await stream(request, then_wait=True)
        return await stream(request, *watches.pop(0))

    ducks, _ = collection()
    script = Script(lists, watch)
    async with standin(tmp_path, script) as api, following(ducks, api):
        await eventually(lambda: script.seen[-1:] == ["watch 9"], "the last watch has begun")
        assert script.seen == ["list", "watch 1", "watch 1", "watch 7", "list", "watch 9"]
        assert ducks.objects.keys() == {("default", "donald"), ("default", "daisy")}


async def test_a_watch_answered_410_begins_with_a_fresh_list(tmp_path: Path) -> None:
    async def lists(_: web.Request) -> web.Response:
        return listed("donald", version=str(len(script.seen)))

    async def watch(request: web.Request) -> web.StreamResponse:
        return refusal(410, "gone") if len(script.seen) < 4 else await stream(request, then_wait=True)

    ducks, changes = collection()
    script = Script(lists, watch)
    async with standin(tmp_path, script) as api, following(ducks, api):
        await eventually(lambda: not ducks.problem, "the watch stands")
        assert script.seen == ["list", "watch 1", "list", "watch 3"]
        assert len(changes) == 1


async def test_a_watch_whose_server_has_forgotten_it_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lists(_: web.Request) -> web.Response:
        return listed("donald")

    monkeypatch.setattr(kube, "_SILENCE_S", 0.2)
    ducks, _ = collection()
    script = Script(lists)
    async with standin(tmp_path, script) as api, following(ducks, api):
        await eventually(lambda: len(script.seen) >= 3, "another watch")
        assert script.seen[:3] == ["list", "watch 1", "watch 1"]


async def test_no_refusal_takes_away_what_was_listed_before(tmp_path: Path) -> None:
    answers = [listed("donald"), refusal(404, "not found"), refusal(403, "no"), refusal(500, "oops")]

    async def lists(_: web.Request) -> web.Response:
        return answers.pop(0) if answers else listed("donald")

    async def watch(request: web.Request) -> web.StreamResponse:
        return refusal(410, "gone") if answers else await stream(request, then_wait=True)

    ducks, _ = collection()
    async with standin(tmp_path, Script(lists, watch)) as api, following(ducks, api):
        await eventually(lambda: ducks.was_listed, "the first list")
        while not (ducks.state == "listed" and not ducks.problem and not answers):
            assert isinstance(ducks.look(REF), Found)
            await asyncio.sleep(0.01)


async def test_what_does_not_say_which_cluster_it_is_is_asked_again_before_anything_is_listed(tmp_path: Path) -> None:
    is_begun, seen = False, []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        if request.path == "/api/v1/namespaces/default" and is_begun:
            return web.json_response({"metadata": {"uid": "here"}})
        if request.path.startswith("/api/v1/"):
            return refusal(404, "not found")
        return await stream(request, then_wait=True) if "watch" in request.query else listed()

    brokers = Collection(BROKER_KIND, lambda: None)
    async with standin(tmp_path, answer) as api, following(brokers, api):
        await eventually(lambda: len(seen) >= 4, "it is asked twice")
        assert (brokers.was_listed, brokers.cluster) == (False, "")
        assert "which cluster it is" in brokers.problem
        is_begun = True
        await eventually(lambda: brokers.was_listed, "the Brokers are listed")
        assert brokers.cluster == "here"


async def test_a_cluster_whose_namespaces_may_not_be_read_is_followed_without_its_name(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/api/v1/"):
            return refusal(403, "no")
        return await stream(request, then_wait=True) if "watch" in request.query else listed()

    brokers = Collection(BROKER_KIND, lambda: None)
    async with standin(tmp_path, answer) as api, following(brokers, api):
        await eventually(lambda: brokers.was_listed, "the Brokers are listed")
        assert brokers.cluster == ""


async def test_an_api_that_always_fails_is_not_asked_in_a_busy_loop(tmp_path: Path) -> None:
    async def lists(_: web.Request) -> web.Response:
        return refusal(500, "oops")

    ducks, _ = collection()
    script = Script(lists)
    async with standin(tmp_path, script) as api, following(ducks, api):
        await eventually(lambda: len(script.seen) >= 4, "some attempts")  # after 0, 0.1, 0.3 and 0.7 s
        assert ducks.look(REF) == NotKnownYet()
        assert "oops" in ducks.problem


async def test_pages_of_a_list_are_read_to_the_end(tmp_path: Path) -> None:
    async def lists(request: web.Request) -> web.Response:
        token = int(request.query.get("continue", "0"))
        metadata = {"resourceVersion": "3"} | ({"continue": str(token + 1)} if token < 2 else {})
        return web.json_response({"metadata": metadata, "items": [duck(f"d{token}", "http://d.test")]})

    async with standin(tmp_path, Script(lists)) as api:
        items, version = await api.list(DUCKS)
        assert [item["metadata"]["name"] for item in items] == ["d0", "d1", "d2"]
        assert version == "3"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"metadata": {}, "items": null}'], ids=["empty", "html", "list", "null"]
)
async def test_answers_that_are_none_are_trouble_and_nothing_worse(tmp_path: Path, body: bytes) -> None:
    async def lists(_: web.Request) -> web.Response:
        return web.Response(body=body)

    async with standin(tmp_path, Script(lists)) as api:
        with suppress(ApiUnreachableError):
            assert await api.list(DUCKS) == ([], "")


async def test_a_watch_that_says_nonsense_is_trouble_and_nothing_worse(tmp_path: Path) -> None:
    for nonsense in (b"nonsense\n", b'{"type":"ADDED"}\n', b'{"type":"ADDED","object":7}\n', b"[]\n"):

        async def watch(request: web.Request, said: bytes = nonsense) -> web.StreamResponse:
            return await stream(request, said)

        async with standin(tmp_path, Script(watch, watch)) as api, api.watch(DUCKS, "1") as changes:
            with pytest.raises(ApiUnreachableError, match="no change"):
                await anext(changes)


def report(generation: int = 1) -> Report:
    conditions = (true("A"),)
    return Report(generation, (("subscriberUri", "http://x"),), (*conditions, ready(conditions)))


@asynccontextmanager
async def writing(api: Api) -> AsyncIterator[StatusWriter]:
    writer = StatusWriter(api)
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


WHO = Identity("u1", "default", "t", 1)


async def test_a_status_that_fails_is_written_again_and_the_newest_wish_wins(tmp_path: Path) -> None:
    bodies: list[Any] = []
    answers = [refusal(500, "oops"), refusal(409, "conflict")]

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.method == "PATCH"
        assert request.content_type == "application/merge-patch+json"
        assert request.path == "/apis/eventing.knative.dev/v1/namespaces/default/triggers/t/status"
        bodies.append(await request.json())
        return answers.pop(0) if answers else web.json_response({})

    async with standin(tmp_path, answer) as api, writing(api) as writer:
        writer.want("triggers", WHO, report(1), None)
        await eventually(lambda: bodies, "the first attempt")
        writer.want("triggers", WHO, report(2), None)
        await eventually(lambda: not answers and writer._objects["u1"].wanted is None, "it is written")
        assert bodies[-1]["status"]["observedGeneration"] == 2
        assert {body["metadata"]["uid"] for body in bodies} == {"u1"}
        written = len(bodies)
        writer.want("triggers", WHO, report(2), None)  # the watch has not brought it back yet
        said = {"observedGeneration": 2, "subscriberUri": "http://x", "conditions": bodies[-1]["status"]["conditions"]}
        writer.want("triggers", WHO, report(2), said)
        assert writer._queue.empty()
        assert len(bodies) == written
        writer.want("triggers", WHO, report(2), {"conditions": None})  # somebody else wrote
        await eventually(lambda: len(bodies) == written + 1, "it is put right")


async def test_a_status_of_an_object_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return refusal(404, "not found")

    async with standin(tmp_path, answer) as api, writing(api) as writer:
        writer.want("triggers", WHO, report(), None)
        await eventually(lambda: seen and writer._objects["u1"].wanted is None, "the refusal is heard")
        writer.keep_only([])
        assert not writer._objects


async def test_one_object_whose_status_is_refused_holds_up_no_other(tmp_path: Path) -> None:
    written: set[str] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/bad/status"):
            return refusal(422, "invalid")
        written.add(request.path)
        return web.json_response({})

    async with standin(tmp_path, answer) as api, writing(api) as writer:
        for number in range(40):
            writer.want("triggers", Identity(f"b{number}", "default", "bad", 1), report(), None)
        for number in range(40):
            writer.want("triggers", Identity(f"g{number}", "default", f"good{number}", 1), report(), None)
        await eventually(lambda: len(written) == 40, "all others are written")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"clusters": []}', None])
async def test_a_kubeconfig_that_cannot_be_used_is_a_wrong_setting(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match="SCAUP_KUBECONFIG"):
        async with kube.connect(str(path)):
            pass


async def test_no_proxy_stands_between_us_and_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    async def lists(_: web.Request) -> web.Response:
        return listed("donald")

    async with standin(tmp_path, Script(lists)) as api:
        assert len((await api.list(DUCKS))[0]) == 1


async def test_a_refusal_carries_its_status(tmp_path: Path) -> None:
    async def lists(_: web.Request) -> web.Response:
        return web.Response(status=503, text="busy")

    async with standin(tmp_path, Script(lists)) as api:
        with pytest.raises(ApiRefusedError) as caught:
            await api.list(DUCKS)
        assert caught.value.status == 503


async def test_without_any_api_in_sight_the_setting_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(SettingsError, match="neither in a cluster nor in"):
        async with kube.connect(None):
            pass
    config = tmp_path / ".kube"
    config.mkdir()
    kubeconfig(config, "http://127.0.0.1:1")
    async with kube.connect(None) as api:
        assert api.host == "http://127.0.0.1:1"


async def test_an_api_that_asks_for_patience_gets_it_and_is_asked_again(tmp_path: Path) -> None:
    asked: list[float] = []

    async def lists(_: web.Request) -> web.Response:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) < 3:
            status = 429 if len(asked) == 1 else 503
            return web.json_response({"message": "busy"}, status=status, headers={"Retry-After": "1"})
        return listed("donald")

    async with standin(tmp_path, Script(lists)) as api:
        assert len((await api.list(DUCKS))[0]) == 1
    assert len(asked) == 3
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(asked))


async def test_an_api_that_wants_more_patience_than_a_request_has_is_left_alone_for_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    async def lists(_: web.Request) -> web.Response:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) == 1:
            return web.json_response({"message": "busy"}, status=503, headers={"Retry-After": "2"})
        return listed("donald")

    monkeypatch.setattr(kube, "_PATIENCE_S", 1.0)
    ducks, _ = collection()
    async with standin(tmp_path, Script(lists)) as api, following(ducks, api):
        await eventually(lambda: ducks.was_listed, "it is listed after all")
    assert asked[1] - asked[0] >= 2.0


async def test_a_reset_in_the_middle_of_a_line_loses_no_change(tmp_path: Path) -> None:
    resets = 0

    async def lists(_: web.Request) -> web.Response:
        return listed("donald")

    async def watch(request: web.Request) -> web.StreamResponse:
        nonlocal resets
        whole = line("MODIFIED", duck("donald", "http://two.test"), "5")
        if resets == 0:
            resets += 1
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(whole[:-20])
            assert request.transport is not None
            request.transport.abort()
            return response
        return await stream(request, whole, then_wait=True)

    ducks, _ = collection()
    script = Script(lists, watch)
    async with standin(tmp_path, script) as api, following(ducks, api):
        await eventually(lambda: "two.test" in str(ducks.look(REF)), "the change is seen")
    assert script.seen[:3] == ["list", "watch 1", "watch 1"]


async def test_a_token_that_is_refused_is_read_again_from_the_kubeconfig(tmp_path: Path) -> None:
    tokens: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        tokens.append(request.headers["Authorization"])
        return listed("donald") if tokens[-1] == "Bearer new" else refusal(401, "Unauthorized")

    async with standin(tmp_path, answer) as api:
        config = tmp_path / "config"
        config.write_bytes(config.read_bytes().replace(b'"secret"', b'"new"'))
        with pytest.raises(ApiRefusedError):
            await api.list(DUCKS)
        assert len((await api.list(DUCKS))[0]) == 1
    assert tokens == ["Bearer secret", "Bearer new"]


async def test_in_a_cluster_a_rotated_token_and_another_certificate_are_found_where_they_always_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = make(tmp_path / "a"), make(tmp_path / "b")
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("one")
    authority.write_text(first.pem)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setattr(kube, "_RELOAD_EVERY_S", 0.0)
    accepted = "one"

    async def answer(request: web.Request) -> web.StreamResponse:
        is_good = request.headers["Authorization"].lower() == f"bearer {accepted}"
        return listed("donald") if is_good else refusal(401, "Unauthorized")

    port = 0
    for certificate in (first, second):
        runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)  # type: ignore[arg-type]
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=certificate.context).start()
        try:
            if certificate is first:
                port = runner.addresses[0][1]
                monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
                monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
                connection = kube.connect(None)
                api = await connection.__aenter__()
                assert len((await api.list(DUCKS))[0]) == 1
                accepted = "two"
                token.write_text("two")
            else:
                authority.write_text(second.pem)
            with pytest.raises(ApiError):
                await api.list(DUCKS)
            assert len((await api.list(DUCKS))[0]) == 1
        finally:
            await runner.cleanup()
    await connection.__aexit__(None, None, None)
