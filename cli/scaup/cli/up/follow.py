"""The files of ``-f``, followed: what changes in them changes in the API, what goes from them is deleted there.

Only objects that came from these files during this run are ever deleted: objects of an earlier run stay, for they may
have been given with other files. A file that cannot be read keeps its last good state. A deletion waits for a second
look, because an editor that writes a file anew leaves it empty for a moment, and a Broker that is deleted takes its
events with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scaup.cli import manifests
from scaup.cli.applying import Applier, Outcome
from scaup.cli.definitions import failure
from scaup.cli.manifests import Document, Identity
from scaup.core.model.errors import DefinitionError, ScaupError

NAMESPACE: Final = "default"
_LOOK_EVERY_S: Final = 2.0
"""Also without a word from the system: notifications do not cross every kind of file system."""
_SECOND_LOOK_S: Final = 0.5
_SHOWN: Final = 10

Signature = tuple[int, int, int]


@dataclass(slots=True)
class _File:
    """What is known of one file: its last good objects, and those of them the API has not taken yet."""

    signature: Signature | None = None
    documents: dict[Identity, Document] = field(default_factory=dict)
    waiting: set[Identity] = field(default_factory=set)


class Followed:
    """The content of some files and directories, and how it gets into an API."""

    def __init__(self, given: Iterable[Path], say: Callable[[str], None]) -> None:
        self._given = [path.absolute() for path in given]
        self._say = say
        self._files: dict[Path, _File] = {}

    def load(self) -> list[Document]:
        """Read everything for the first time. What cannot be read is said and left out."""
        self._look()
        return [document for file in self._files.values() for document in file.documents.values()]

    def identities(self) -> set[Identity]:
        """All objects that stand in the files now."""
        return {identity for file in self._files.values() for identity in file.documents}

    async def apply(self, applier: Applier, *, quietly: bool = False) -> bool:
        """Write what waits; False where the API is away. What it refuses is said, and waits for a change of the file.

        ``quietly``: what went well needs no line.
        """
        wanted = {i: f.documents[i] for f in self._files.values() for i in f.waiting}
        if not wanted:
            return True
        try:
            outcomes = await applier.apply(wanted.values())
        except ScaupError:
            return False  # the API is away: the next look tries again
        self._tell([outcome for outcome in outcomes if outcome.error or not quietly])
        for file in self._files.values():
            file.waiting -= wanted.keys()
        return True

    async def follow(self, applier: Applier) -> None:
        """Apply changes as they come. Never ends."""
        async for _ in _wakes(self._given):
            before = self.identities()
            self._look()
            gone = before - self.identities()
            if gone:
                await asyncio.sleep(_SECOND_LOOK_S)
                self._look()
                gone -= self.identities()
            if gone:
                with suppress(ScaupError):
                    self._tell(await applier.delete(gone))
            await self.apply(applier)

    def _look(self) -> None:
        """Compare the files with what is known of them."""
        present = dict.fromkeys(manifests.files(path for path in self._given if path.exists()))
        for path in set(self._files) - set(present):
            del self._files[path]
        for path in present:
            with suppress(FileNotFoundError):
                file = self._files.setdefault(path, _File())
                signature = _signature(path)
                if signature != file.signature:
                    file.signature = signature
                    self._read(path, file)

    def _read(self, path: Path, file: _File) -> None:
        try:
            documents = {document.identity(NAMESPACE): document for document in manifests.read(path)}
        except DefinitionError as error:
            kept = " (its last good state stays)" if file.documents else ""
            self._say(f"{_shown(error)}{kept}")
            return
        changed = {i for i, d in documents.items() if i not in file.documents or file.documents[i].content != d.content}
        file.documents = documents
        file.waiting = (file.waiting | changed) & documents.keys()

    def _tell(self, outcomes: list[Outcome]) -> None:
        done = [o for o in outcomes if o.error is None and o.verb not in {"unchanged", "not there"}]
        failed = [o for o in outcomes if o.error is not None]
        for outcome in done[:_SHOWN]:
            self._say(f"{outcome.identity} {outcome.verb}")
        if len(done) > _SHOWN:
            self._say(f"… and {len(done) - _SHOWN:,} more objects")
        for outcome in failed[:_SHOWN]:
            self._say(failure(outcome))
        if len(failed) > _SHOWN:
            self._say(f"… and {len(failed) - _SHOWN:,} more that failed")


def _shown(error: DefinitionError) -> str:
    text = str(error)
    with suppress(ValueError):
        relative = Path(error.path).relative_to(Path.cwd())
        return text.replace(error.path, str(relative), 1)
    return text


def _signature(path: Path) -> Signature:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


async def _wakes(given: list[Path]) -> AsyncIterator[None]:
    """Once for every change seen, and every 2 s without one."""
    changed = asyncio.Event()
    tasks = [asyncio.create_task(_notice(paths, deep, changed)) for paths, deep in _watched(given) if paths]
    try:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await changed.wait()
            changed.clear()
            yield
    finally:
        for task in tasks:
            task.cancel()


def _watched(given: list[Path]) -> list[tuple[list[Path], bool]]:
    """(directories, with what is below them): a file is watched through its directory, for editors replace files."""
    return [
        ([path for path in given if path.is_dir()], True),
        (sorted({path.parent for path in given if not path.is_dir()}), False),
    ]


async def _notice(paths: list[Path], deep: bool, changed: asyncio.Event) -> None:
    from watchfiles import awatch

    with suppress(OSError, RuntimeError):  # no notifications here: the look every 2 s remains
        async for _ in awatch(*paths, recursive=deep, step=50, debounce=400, ignore_permission_denied=True):
            changed.set()
