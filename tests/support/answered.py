"""Who writes definitions and who follows them, while the API is killed: what was answered, what was seen."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.support.apiserver import BROKERS, CONFIG_MAPS, TRIGGERS, ApiClient, broker, config_map, trigger
from tests.support.waiting import eventually

KINDS = {CONFIG_MAPS: config_map, BROKERS: broker, TRIGGERS: trigger}


@dataclass
class Answered:
    """The last answer about each object (None: its deletion), the writes without an answer, and all revisions."""

    api: ApiClient
    objects: dict[str, Any] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)
    revisions: dict[str, list[int]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    count: int = 0

    async def more(self, number: int) -> None:
        """Wait until so many more writes are answered."""
        enough = self.count + number
        await eventually(lambda: self.count > enough, f"{number} more writes are answered", within_s=30)

    async def write(self, worker: str) -> None:
        """Create, replace, patch, say the status of and delete objects of all kinds, until the API goes away."""
        for number in range(10_000):
            for kind in KINDS:
                try:
                    await self._life(kind, f"{worker}-{number}", is_deleted=number % 2 == 0)
                except (aiohttp.ClientError, OSError):
                    return

    async def _life(self, kind: str, name: str, *, is_deleted: bool) -> None:
        path = f"{kind}/{name}"
        made = await self._do(path, "POST", KINDS[kind](name))
        made["metadata"]["labels"] = {**made["metadata"].get("labels", {}), "replaced": "yes"}
        await self._do(path, "PUT", made)
        await self._do(path, "PATCH", {"metadata": {"annotations": {"patched": "yes"}}})
        if kind != CONFIG_MAPS:
            await self._do(path, "PATCH", {"status": {"annotations": {"said": "yes"}}}, "/status")
        if is_deleted:
            await self._do(path, "DELETE")

    async def _do(self, path: str, method: str, body: Any = None, subresource: str = "") -> Any:
        kind = path.rpartition("/")[0]
        where = kind if method == "POST" else path + subresource
        form = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else None
        self.unanswered[path] = method
        answer = await self.api(method, where, body, form)
        assert answer.status in {200, 201}, answer.body
        del self.unanswered[path]
        self.count += 1
        self.objects[path] = None if method == "DELETE" else answer.body
        if method != "DELETE":
            self.revisions[kind].append(int(answer.revision))
        return answer.body

    def lost(self, stored: dict[str, Any]) -> list[str]:
        """Objects that are not as they were answered; an unanswered write may have been stored, or not."""
        wrong = []
        for path, last in self.objects.items():
            found, doubt = stored.get(path), self.unanswered.get(path)
            if doubt is None:
                is_right = found == last
            elif found is None:
                is_right = doubt == "DELETE"
            else:
                is_right = revision(found) >= revision(last)
            if not is_right:
                wrong.append(f"{path}: answered {last}, stored {found}, unanswered {doubt}")
        return wrong


@dataclass
class Copy:
    """What an informer does: list, watch, go on from the last revision, list again at 410."""

    api: ApiClient
    kind: str
    serving: asyncio.Event
    revisions: dict[str, int] = field(default_factory=dict)
    since: int | None = None
    seen: set[int] = field(default_factory=set)
    stretches: list[list[int]] = field(default_factory=list)
    """From where to where it was told of everything, if the API does what it promises."""

    async def follow(self) -> None:
        """Never ends."""
        while True:
            await self.serving.wait()
            with contextlib.suppress(aiohttp.ClientError, OSError):  # it was killed
                await self._list_and_watch()

    async def _list_and_watch(self) -> None:
        if self.since is None:
            listed = await self.api("GET", self.kind)
            self.revisions = {item["metadata"]["name"]: revision(item) for item in listed.body["items"]}
            self.since = int(listed.revision)
            self.stretches.append([self.since, self.since])
        async with self.api.watch(self.kind, resourceVersion=str(self.since)) as watch:
            while event := await watch.next(60):
                what, whole = event
                if what == "ERROR":
                    assert whole["code"] == 410
                    self.since = None
                    return
                self._take(what, whole)

    def _take(self, what: str, whole: Any) -> None:
        assert self.since is not None
        name, now = whole["metadata"]["name"], revision(whole)
        assert now > self.since, "in order, and once"
        assert (what == "ADDED") is (name not in self.revisions)
        if what == "DELETED":
            del self.revisions[name]
        else:
            self.revisions[name] = now
        self.seen.add(now)
        self.since = self.stretches[-1][1] = now

    def gaps(self, answered: list[int]) -> list[int]:
        """Revisions that were answered within a stretch, and of which it was not told."""
        return [one for one in answered if one not in self.seen and any(a < one <= b for a, b in self.stretches)]


def revision(whole: Any) -> int:
    """The resourceVersion of an object; the local API's are numbers."""
    return int(whole["metadata"]["resourceVersion"])


async def are_alike(copies: list[Copy], found: dict[str, Any]) -> None:
    """Wait until every copy has what the API has."""
    wanted: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for path, whole in found.items():
        kind, _, name = path.rpartition("/")
        wanted[kind][name] = revision(whole)
    await eventually(lambda: all(copy.revisions == wanted[copy.kind] for copy in copies), "all copies are right")


async def stored(api: ApiClient) -> dict[str, Any]:
    """Every object there is of the kinds that are written, read one by one."""
    found = {}
    for kind in KINDS:
        for item in (await api("GET", kind)).body["items"]:
            path = f"{kind}/{item['metadata']['name']}"
            found[path] = (await api("GET", path)).body
    return found
