"""The life of a request to the local API: who asks, what for, is it known, is it right, stored, answered.

Reads come from the cache, writes go through the bucket. Must not decide what is right in an object (``writes`` and what
it calls do), nor how a watch goes on (``watch`` does).
"""

from __future__ import annotations

import hashlib
import time
from typing import Any, Final

import orjson
import structlog
import yaml
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from scaup.apiserver import (
    accept,
    answers,
    body,
    discovery,
    fieldvalidation,
    guard,
    managers,
    metrics,
    openapi,
    openapiv2,
    paths,
    reads,
    reviews,
    structural,
    tables,
)
from scaup.apiserver.accept import Form
from scaup.apiserver.answers import ApiError
from scaup.apiserver.deletion import Deleter, asked_for
from scaup.apiserver.kinds import Kind, Kinds
from scaup.apiserver.objects import Object, in_version
from scaup.apiserver.paths import Discovery, Target
from scaup.apiserver.query import OPTIONS, Query, flag, is_dry_run, list_options, parsed, revision_of
from scaup.apiserver.store import Place, Store
from scaup.apiserver.watch import Shaped, Watches, Wish
from scaup.apiserver.writes import Writer
from scaup.core.model.errors import ScaupError
from scaup.core.runtime.health import Health
from scaup.core.runtime.observe import healthz, readyz

log = structlog.get_logger()

_VERBS: Final = {
    ("GET", True): "get",
    ("GET", False): "list",
    ("POST", False): "create",
    ("PUT", True): "update",
    ("PATCH", True): "patch",
    ("DELETE", True): "delete",
    ("DELETE", False): "deletecollection",
}
"""What a method means for one object (True) and for all of a kind, as Kubernetes' RBAC calls it."""
_MAX_WRITES: Final = 1000
"""Writes under way at a time; more are answered 429."""
_SHAPES: Final = (accept.TABLE, accept.PARTIAL, accept.PARTIAL_LIST)
_OF_STATUS: Final = frozenset({"get", "update", "patch"})


class Api:
    """The ASGI application."""

    def __init__(self, store: Store, health: Health, max_watches: int) -> None:
        self.watches = Watches(max_watches)
        self.writer = Writer(store)
        self.deleter = Deleter(store)
        self._store = store
        self._health = health
        self._writing = 0
        metrics.WATCHES.set_function(lambda: len(self.watches))
        metrics.WRITES.set_function(lambda: self._writing)
        metrics.OBJECTS.set_function(lambda: sum(len(shelf.objects) for _, shelf in store.shelves()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every error has its ``Status``."""
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        request = Request(scope, receive)
        call = _Call(parsed(scope["query_string"]))
        try:
            answer = await self._answer(request, call)
        except ClientDisconnect:
            return
        except ScaupError as error:
            answer = (
                _no_page()
                if answers.is_no_page(error, request.url.path)
                else _refusal(answers.answer_to(error), call.form.media)
            )
        except Exception:
            log.exception("request.failed", method=request.method, path=request.url.path)
            answer = _refusal(answers.internal(), call.form.media)
        if isinstance(answer, Wish):
            metrics.REQUESTS.labels("watch", "200").inc()
            await self.watches.serve(self._store, answer, receive, send)
            return
        for warning in call.warnings:
            answer.headers.append("warning", warning)
        metrics.REQUESTS.labels(call.verb, str(answer.status_code)).inc()
        metrics.SECONDS.labels(call.verb).observe(time.perf_counter() - began)
        await answer(scope, receive, send)

    async def _answer(self, request: Request, call: _Call) -> Response | Wish:
        guard.require_local(request.headers)
        path = request.url.path
        if (own := self._own(path, request)) is not None:
            return own
        if path.startswith(openapi.ROOT) and request.method == "GET":
            self._store.require_loaded()
            if (described := openapi.document(path, self._store.kinds)) is not None:
                return _json(described)
        asked = paths.parse(path)
        if asked is None:
            raise answers.no_such_path()
        self._store.require_loaded()
        if isinstance(asked, Discovery):
            if request.method != "GET":
                raise answers.method_not_allowed()
            call.verb = "discover"
            return _discovered(request, asked, self._store.kinds)
        kind = self._kind(asked)
        call.verb = self._verb(request.method, asked, kind)
        call.warnings += fieldvalidation.of_kind(kind)
        if call.verb == "list" and flag(call.query, "watch"):
            call.verb = "watch"
        call.take_form(request.headers.get("accept"))  # before anything is written
        if request.method == "GET":
            return self._read(kind, asked, call)
        if self._writing >= _MAX_WRITES:
            raise answers.too_many(f"there are {_MAX_WRITES} writes under way already; try again later")
        self._writing += 1
        try:
            with fieldvalidation.asking(call.query, call.verb, call.warnings):
                return await self._write(request, kind, asked, call)
        finally:
            self._writing -= 1

    def _own(self, path: str, request: Request) -> Response | None:
        """What every service answers about itself, and what is the same whatever there is."""
        match path:
            case "/healthz" | "/livez":
                return healthz(request)
            case "/readyz":
                return readyz(self._health)
            case "/metrics":
                return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
            case "/version" | "/version/":
                return _json(discovery.version())
            case "/openapi/v2" if request.method == "GET":
                return Response(openapiv2.document(), media_type=openapiv2.MEDIA)
        return None

    def _kind(self, target: Target) -> Kind:
        kind = self._store.kinds.find(target.group, target.version, target.plural)
        if kind is None:
            raise answers.no_such_path()
        if target.subresource and not (target.subresource == "status" and kind.has_status):
            raise answers.not_found(kind, target.name) if kind.is_custom else answers.no_such_path()
        if target.namespace and not kind.is_namespaced:
            raise answers.no_such_path()
        if target.name and kind.is_namespaced and not target.namespace:
            raise answers.no_such_path()
        if target.name and not kind.is_kept:
            raise answers.no_such_path()
        return kind

    def _verb(self, method: str, target: Target, kind: Kind) -> str:
        verb = _VERBS.get((method, bool(target.name)))
        is_everywhere = kind.is_namespaced and not target.namespace
        if (
            verb is None
            or (target.subresource and verb not in _OF_STATUS)
            or (is_everywhere and verb in {"create", "deletecollection"})
            or verb not in kind.verbs
        ):
            raise answers.method_not_allowed()
        return verb

    # --- reading ------------------------------------------------------------------------------------------------

    def _read(self, kind: Kind, target: Target, call: _Call) -> Response | Wish:
        query = call.query
        if call.verb == "watch":
            if len(self.watches) >= self.watches.limit:
                raise answers.too_many(f"there are {self.watches.limit} watches already; try again later")
            return reads.wish(kind, list_options(query, kind, target), call.shaped(kind), self._store.revision)
        if call.verb == "list":
            return call.list(kind, reads.listed(self._store, kind, list_options(query, kind, target)))
        if (asked := revision_of(query)) > self._store.revision:
            raise answers.too_new(asked, self._store.revision)
        found = self._store.get(Place(kind.resource, target.namespace, target.name))
        if found is None:
            raise answers.not_found(kind, target.name)
        return call.object(kind, in_version(found, kind))

    # --- writing ------------------------------------------------------------------------------------------------

    async def _write(self, request: Request, kind: Kind, target: Target, call: _Call) -> Response:
        dry = is_dry_run(call.query, options=OPTIONS.get(call.verb, "DeleteOptions"))
        objects = guard.OBJECTS if kind.is_custom else guard.CORE_OBJECTS
        who = self._manager(request, call)
        match call.verb:
            case "create":
                _, whole = await _body(request, kind, objects)
                if not kind.is_kept:
                    return call.object(kind, reviews.answered(kind, whole), 201)
                return call.object(
                    kind, await self.writer.create(kind, target, whole, manager=who, is_dry_run=dry), 201
                )
            case "update":
                _, whole = await _body(request, kind, objects)
                return call.object(kind, await self.writer.replace(kind, target, whole, manager=who, is_dry_run=dry))
            case "patch":
                taken = guard.PATCHES if kind.is_custom else (*guard.PATCHES, guard.STRATEGIC_PATCH)
                change = await _body(request, kind, taken)
                if change[0] == guard.APPLY_PATCH:
                    force = flag(call.query, "force")
                    done = await self.writer.apply(kind, target, change[1], who, force=force, is_dry_run=dry)
                    return call.object(kind, done[0], 201 if done[1] else 200)
                return call.object(kind, await self.writer.patch(kind, target, change, manager=who, is_dry_run=dry))
            case _:
                return await self._delete(request, kind, target, call)

    def _manager(self, request: Request, call: _Call) -> str:
        """Who writes, as ``managedFields`` will name it."""
        if (verb := call.verb) not in OPTIONS:
            return ""
        sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_apply = verb == "patch" and sent == guard.APPLY_PATCH
        agent = request.headers.get("user-agent", "")
        return managers.named(call.query, agent, OPTIONS[verb], is_apply=is_apply)

    async def _delete(self, request: Request, kind: Kind, target: Target, call: _Call) -> Response:
        data = await body.read_bytes(request)
        asked: Any = None
        if data:
            asked = await body.parse(guard.content_type(request.headers, guard.CORE_OBJECTS), data)
        each = asked_for(asked, call.query)
        dry = is_dry_run(call.query, asked, options="DeleteOptions")
        if call.verb == "delete":
            return call.object(kind, await self.deleter.delete(kind, target, each, is_dry_run=dry))
        options = list_options(call.query, kind, target)
        deleted = await self.deleter.delete_collection(kind, options.is_wanted, each, is_dry_run=dry)
        return call.list(kind, reads.Part(deleted, {"resourceVersion": str(self._store.revision)}))


class _Call:
    """What a request turned out to ask for, the form of its answer, and what its client is warned of."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.verb = "other"
        self.warnings: list[str] = []
        self.form = Form()
        self.include = ""

    def take_form(self, accepted: str | None) -> None:
        """Settle the form of the answer; raises ApiError 406 and 400 where there is none such."""
        self.form = accept.form(accepted, _SHAPES)
        accept.require_fit(self.form, is_list=self.verb in {"list", "deletecollection"}, is_watch=self.verb == "watch")
        if self.form.shape == accept.TABLE:
            self.include = tables.include_object(self.query.get("includeObject", ""))

    def object(self, kind: Kind, whole: Object, status: int = 200) -> Response:
        """The answer with one object, or with a Status."""
        is_status = whole.get("kind") == "Status" and kind.kind != "Status"
        return _said(whole if is_status else self.shaped(kind)(whole, True), status, self.form.media)

    def list(self, kind: Kind, part: reads.Part) -> Response:
        """The answer with many."""
        match self.form.shape:
            case accept.TABLE:
                whole = tables.table(kind, part.objects, part.metadata, include=self.include)
            case accept.PARTIAL_LIST:
                whole = tables.partial_list(part.objects, part.metadata)
            case _:
                about = {"kind": kind.list_name, "apiVersion": kind.api_version, "metadata": part.metadata}
                whole = about | {"items": part.objects}
        return _said(whole, 200, self.form.media)

    def shaped(self, kind: Kind) -> Shaped:
        """What is shown of an object of this kind."""
        match self.form.shape:
            case accept.TABLE:
                return self._row_of(kind)
            case accept.PARTIAL:
                return lambda whole, _: tables.partial(whole)
        return lambda whole, _: whole

    def _row_of(self, kind: Kind) -> Shaped:
        def table(whole: Object, is_first: bool) -> Object:
            about = {"resourceVersion": whole["metadata"].get("resourceVersion", "")}
            return tables.table(kind, [whole], about, include=self.include, with_columns=is_first)

        return table


async def _body(request: Request, kind: Kind, taken: tuple[str, ...]) -> tuple[str, Any]:
    """What was sent, and its type. Of kinds without structures whole numbers are whole, however they are written."""
    given, value = await body.read(request, taken)
    return given, structural.with_whole_numbers(value) if kind.is_custom else value


def _discovered(request: Request, asked: Discovery, kinds: Kinds) -> Response:
    """A document of discovery: the old one, or that of all groups at once where it is asked for."""
    is_root = asked.version is None and not asked.group
    form = accept.form(request.headers.get("accept"), (accept.DISCOVERY,) if is_root else ())
    if not form.shape:
        return _said(discovery.document(asked, kinds), 200, form.media)
    whole = orjson.dumps(discovery.aggregated(kinds, is_core=asked.group == ""))
    tag = f'"{hashlib.sha256(whole).hexdigest().upper()}"'
    headers = {"cache-control": "public", "vary": "Accept", "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(None, 304, headers)
    return Response(whole, 200, headers, media_type=f"{guard.JSON};g=apidiscovery.k8s.io;v=v2;as={accept.DISCOVERY}")


def _said(whole: dict[str, Any], status: int, media: str) -> Response:
    if media == guard.JSON:
        return _json(whole, status)
    text = yaml.dump(whole, Dumper=_Dumper, sort_keys=True, allow_unicode=True)
    return Response(text, status, {"cache-control": "no-cache, private"}, media_type=media)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the name and the parameters are the library's
        return True


def _json(whole: dict[str, Any], status: int = 200) -> Response:
    headers = {"cache-control": "no-cache, private"}
    return Response(orjson.dumps(whole), status, headers, media_type="application/json")


def _no_page() -> Response:
    headers = {"cache-control": "no-cache, private", "x-content-type-options": "nosniff"}
    return Response("404 page not found\n", 404, headers, media_type="text/plain")


def _refusal(error: ApiError, media: str) -> Response:
    answer = _said(error.body(), error.status, media)
    if wait_s := error.details.get("retryAfterSeconds"):
        answer.headers["retry-after"] = str(wait_s)
    if error.status in {408, 413}:  # the rest of the body may not have been read: the connection cannot go on
        answer.headers["connection"] = "close"
    return answer
