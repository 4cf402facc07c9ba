"""Keeps SinkBindings: watches them, their subjects and their sinks, and writes what is missing. The story of this part.

Level-triggered, as the rest of the controller, and apart from it: whatever goes wrong here is tried again here, and
hurts no Broker. Only one process at a time may write; the next goes on from what there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from scaup.controller.kube import Api, ApiError, ApiRefusedError, ApiUnreachableError
from scaup.controller.reports import Report
from scaup.controller.sinkbinding import (
    FINALIZER,
    JOB_KIND,
    KINDS,
    KNATIVES_FINALIZER,
    NAMESPACE_KIND,
    Binding,
    Claims,
    Key,
    Sink,
    claim,
    environment,
    find_sink,
    read_binding,
)
from scaup.controller.sinkbindingpatch import Change, Mark, change, mark_of
from scaup.controller.sinkbindingreport import Trouble, binding_report
from scaup.controller.sinkbindingwatch import Pace, Watched, path_to
from scaup.core.model.errors import DefinitionError

log = structlog.get_logger()

_GATHER_S: Final = 0.02
_AGAIN_S: Final = 2.0
_PATIENCE_S: Final = 0.5
_AFTER_A_BUG_S: Final = 5.0
_AT_ONCE: Final = 8
_FIELD_MANAGER: Final = "scaup-sinkbinding"


class SinkBindings:
    """All SinkBindings of a cluster. ``leads``: whether this process may write; until then it only watches."""

    def __init__(self, api: Api, leads: Callable[[], bool] = lambda: True) -> None:
        self._api = api
        self._leads = leads
        self._wake = asyncio.Event()
        self._pace = Pace()
        self._troubles: dict[Key, Trouble] = {}
        self._said: dict[str, tuple[Report, Any]] = {}
        self._waiting: dict[str, float] = {}
        self._unreadable: set[str] = set()
        self._writing = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Keep them. Never ends, and never raises for its own mistakes; cancelled to stop."""
        while True:
            try:
                async with asyncio.TaskGroup() as tasks:
                    await self._reconcile(Watched(self._api, tasks, self._wake.set))
            except Exception:
                log.exception("sinkbindings.stumbled", again_in_s=_AFTER_A_BUG_S)
            await asyncio.sleep(_AFTER_A_BUG_S)

    async def _reconcile(self, watched: Watched) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(_GATHER_S)
            self._wake.clear()
            if not self._leads():
                self._wake_in(_AGAIN_S)
            elif watched.bindings.was_listed:
                await self._pass(watched)

    async def _pass(self, watched: Watched) -> None:
        """From what is there to what shall be, once."""
        bindings = self._read(watched)
        # A kind that was bound once is looked at until its binding is gone, or nothing could be undone.
        kinds = {kind for b in bindings for kind in (*b.kinds, *(b.subject.kinds if b.subject else ()))}
        watched.follow(subjects=kinds, sinks={b.sink[1].collection for b in bindings if b.sink and b.sink[1]})
        sinks = {b.uid: find_sink(b, watched.look) for b in bindings}
        # Asked once: what is listed meanwhile is for the next pass.
        unsure = {b.uid: why for b in bindings if (why := self._why_unsure(watched, b)) is not None}
        claims = claim((b for b in bindings if b.uid not in unsure), watched.subjects, watched.is_excluded)
        noted = await asyncio.gather(*(self._note(watched, b) for b in bindings))
        held = {b.uid: why for b, why in zip(bindings, noted, strict=True)}
        left_over = self._left_over(watched, bindings, claims, unsure)
        self._keep_only({*claims.owners, *left_over})
        async with asyncio.TaskGroup() as tasks:
            for key, owner in claims.owners.items():
                if held[owner.uid] is None and (address := sinks[owner.uid].address) is not None:
                    mark = Mark(owner.uid, owner.identity.name, environment(owner, address))
                    tasks.create_task(self._bind(watched, key, mark))
            for key in left_over:
                tasks.create_task(self._bind(watched, key, None))
        async with asyncio.TaskGroup() as tasks:
            for binding in bindings:
                if binding.is_going:
                    tasks.create_task(self._let_go(watched, binding))
                why = held[binding.uid] or unsure.get(binding.uid)
                report = self._report(watched, binding, sinks[binding.uid], claims, why)
                if self._is_to_be_said(binding.uid, report):
                    tasks.create_task(self._say(watched, binding, report))
        self._said = {uid: said for uid, said in self._said.items() if uid in held}
        self._waiting = {uid: since for uid, since in self._waiting.items() if uid in held}

    def _keep_only(self, keys: set[Key]) -> None:
        self._pace.keep_only(keys)
        self._troubles = {key: trouble for key, trouble in self._troubles.items() if key in keys}

    def _is_to_be_said(self, uid: str, report: Report) -> bool:
        """Whether to say it now: what is only on its way is held back a little, for mostly it comes."""
        if report.ready.status != "Unknown":
            self._waiting.pop(uid, None)
            return True
        now = asyncio.get_running_loop().time()
        left = self._waiting.setdefault(uid, now) + _PATIENCE_S - now
        if left > 0:
            self._wake_in(left)
        return left <= 0

    def _read(self, watched: Watched) -> list[Binding]:
        """The bindings that are ours to keep: not those that Knative's own controller has already taken on."""
        found, unreadable = [], set()
        for (namespace, name), value in watched.bindings.objects.items():
            try:
                binding = read_binding(value)
            except DefinitionError as error:
                unreadable.add(f"SinkBinding {namespace}/{name}: {error}")
                continue
            if FINALIZER in binding.finalizers or KNATIVES_FINALIZER not in binding.finalizers:
                found.append(binding)
        for text in unreadable - self._unreadable:
            log.warning("sinkbindings.unusable_object", why=text)
        self._unreadable = unreadable
        return found

    def _why_unsure(self, watched: Watched, binding: Binding) -> Trouble | None:
        """Why it is not known what a binding binds. What it has bound before stays bound."""
        if binding.subject is None or binding.is_going:
            return None
        for kind in (*binding.subject.kinds, NAMESPACE_KIND):
            collection = watched.of(kind)
            match collection.state:
                case "unknown":
                    return Trouble("SubjectNotKnownYet", f"{kind[1]} of {kind[0]} is being looked up", is_passing=True)
                case "absent":
                    return Trouble("SubjectUnavailable", collection.problem)
                case "forbidden":
                    return Trouble("SubjectForbidden", collection.problem)
        return None

    async def _note(self, watched: Watched, binding: Binding) -> Trouble | None:
        """Have the binding kept, with the kinds it binds, before anything is bound; what is wrong where that failed."""
        value = watched.bindings.objects[binding.identity.namespace, binding.identity.name]
        metadata = value["metadata"]
        is_noted = FINALIZER in binding.finalizers and metadata["annotations"][KINDS] == binding.noted
        if binding.is_going or binding.subject is None or is_noted:
            return None
        finalizers = [*(f for f in binding.finalizers if f != FINALIZER), FINALIZER]
        body = {"finalizers": finalizers, "annotations": {KINDS: binding.noted}}
        return await self._patch_binding(watched, binding, body)

    async def _let_go(self, watched: Watched, binding: Binding) -> None:
        """Let a binding that is being deleted go, once no subject has its mark. What may not be seen is given up."""
        if FINALIZER not in binding.finalizers:
            return
        for kind in binding.kinds:
            collection = watched.of(kind)
            if collection.state == "unknown":
                return
            if collection.state == "forbidden":
                log.warning("sinkbindings.not_undone", binding=binding.identity.name, why=collection.problem)
                continue
            for (namespace, name), subject in collection.objects.items():
                is_bound = mark_of(subject).uid == binding.uid and not subject["metadata"]["isGoing"]
                if is_bound and not self._pace.is_hopeless((kind, namespace, name)):
                    return
        body = {"finalizers": [f for f in binding.finalizers if f != FINALIZER]}
        await self._patch_binding(watched, binding, body)

    async def _patch_binding(self, watched: Watched, binding: Binding, metadata: dict[str, Any]) -> Trouble | None:
        """Merge into the metadata of a binding that is still as it was seen."""
        where = (binding.identity.namespace, binding.identity.name)
        version = watched.bindings.objects[where]["metadata"]["resourceVersion"]
        body = {"metadata": {"uid": binding.uid, "resourceVersion": version, **metadata}}
        try:
            await self._write(path_to(watched.bindings, *where), body)
        except ApiError as error:
            if isinstance(error, ApiRefusedError) and error.status in {404, 409}:
                # Somebody was faster: the watch says what, and all is looked at again.
                return Trouble("Binding", "being bound", is_passing=True)
            self._wake_in(_AGAIN_S)
            return Trouble("BindingFailed", str(error))
        return None

    def _left_over(
        self, watched: Watched, bindings: list[Binding], claims: Claims, unsure: dict[str, Trouble]
    ) -> list[Key]:
        """Subjects with our mark that nobody has now. A binding that cannot be read keeps what it has."""
        keeping = {b.uid for b in bindings if b.uid in unsure or (b.subject is None and not b.is_going)}
        return [
            (kind, namespace, name)
            for kind in watched.kinds
            for (namespace, name), subject in watched.subjects(kind).items()
            if subject["metadata"]["mark"] is not None
            and (kind, namespace, name) not in claims.owners
            and mark_of(subject).uid not in keeping
        ]

    async def _bind(self, watched: Watched, key: Key, wanted: Mark | None) -> None:
        """Make one subject what it shall be, or, for None, what it was."""
        kind, namespace, name = key
        subject = watched.subjects(kind).get((namespace, name))
        if subject is None or subject["metadata"]["isGoing"]:
            return
        needed: Change = change(kind, subject, wanted)
        if kind == JOB_KIND:
            self._look_at_job(key, needed)
            return
        if not needed.operations:
            left = self._pace.rests(key)
            if self._pace.is_contest(key):
                self._wake_in(left)  # until then it may be taken out again
                return
            self._troubles.pop(key, None)
            if needed.taken:
                self._troubles[key] = _taken(key, needed)
            return
        if (wait := self._pace.wait(key, wanted)) > 0:
            self._wake_in(wait)
            return
        try:
            await self._write(path_to(watched.of(kind), namespace, name), list(needed.operations))
        except ApiError as error:
            status = error.status if isinstance(error, ApiRefusedError) else 0
            self._pace.failed(key, is_hopeless=wanted is None and status in {403, 404, 405})
            self._troubles[key] = _refused(key, error)
            self._wake_in(self._pace.wait(key, wanted))
            log.warning("sinkbindings.not_written", subject="/".join((kind[1], namespace, name)), why=str(error))
            return
        self._troubles.pop(key, None)
        if needed.taken:
            self._troubles[key] = _taken(key, needed)
        elif self._pace.is_contest(key):
            text = f"what is put into {kind[1]} {name} is taken out again and again by somebody else"
            self._troubles[key] = Trouble("SubjectContested", text)
        else:
            log.info("sinkbindings.written", subject="/".join((kind[1], namespace, name)), bound=wanted is not None)

    def _look_at_job(self, key: Key, needed: Change) -> None:
        """A Job is what it was made as; that it has what it shall have is all there is to see, and it is not marked."""
        if any(operation["path"].startswith("/spec") for operation in needed.operations) or needed.taken:
            text = f"Job {key[2]} cannot be changed any more; bind the CronJob that makes it, or make it with K_SINK"
            self._troubles[key] = Trouble("SubjectImmutable", text)
        else:
            self._troubles.pop(key, None)

    def _report(self, watched: Watched, binding: Binding, sink: Sink, claims: Claims, why: Trouble | None) -> Report:
        keys = claims.of(binding)
        troubles = [why]
        if refused := claims.refused.get(binding.uid):
            troubles.append(Trouble(*refused))
        elif binding.subject is not None and not binding.subject.selector and not keys and not any(troubles):
            text = f"there is no {binding.subject.kind[1]} {binding.identity.namespace}/{binding.subject.name}"
            troubles.append(Trouble("SubjectMissing", text))
        if binding.is_going:
            troubles = [
                trouble
                for (kind, namespace, name), trouble in self._troubles.items()
                if mark_of(watched.subjects(kind).get((namespace, name), _NOBODY)).uid == binding.uid
            ] or [Trouble("Undoing", "the subjects are made what they were", is_passing=True)]
        troubles += [self._troubles.get(key) for key in keys]
        return binding_report(binding, sink, [t for t in troubles if t is not None], len(keys))

    async def _say(self, watched: Watched, binding: Binding, report: Report) -> None:
        """Write a status that differs, once for each status that was seen."""
        where = (binding.identity.namespace, binding.identity.name)
        status = watched.bindings.objects.get(where, {}).get("status")
        said = self._said.get(binding.uid)
        if not report.differs(status) or (said is not None and said[0] == report and said[1] is status):
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            body = {"metadata": {"uid": binding.uid}, "status": report.merge_patch(status, now)}
            await self._write(f"{path_to(watched.bindings, *where)}/status", body)
        except ApiError as error:
            if isinstance(error, ApiRefusedError) and error.status in {404, 409}:
                return  # it is gone, or another one
            log.warning("sinkbindings.status_not_written", binding="/".join(where), why=str(error))
            self._wake_in(_AGAIN_S)
            return
        self._said[binding.uid] = (report, status)

    async def _write(self, path: str, body: Any) -> None:
        async with self._writing:
            if not self._leads():  # another has taken over in the middle of a pass
                raise ApiUnreachableError(f"PATCH {path}: not sent, another process leads")
            await self._api.request("PATCH", path, query={"fieldManager": _FIELD_MANAGER}, body=body)

    def _wake_in(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(max(seconds, 0.0), self._wake.set)


_NOBODY: Final[dict[str, Any]] = {"metadata": {"mark": None}}


def _taken(key: Key, needed: Change) -> Trouble:
    text = f"{key[0][1]} {key[2]} sets {', '.join(needed.taken)} itself: take it out there, and it is set to the sink"
    return Trouble("EnvironmentTaken", text)


def _refused(key: Key, error: ApiError) -> Trouble:
    kind, _, name = key
    if isinstance(error, ApiRefusedError):
        if error.status == 403:
            return Trouble("SubjectForbidden", f"the controller may not patch {kind[1]} {name}: {error}")
        if error.status == 409 or (error.status == 422 and "rejected our request" in str(error)):
            return Trouble("Binding", f"{kind[1]} {name} was changed at the same moment", is_passing=True)
    return Trouble("BindingFailed", f"{kind[1]} {name}: {error}")
