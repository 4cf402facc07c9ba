"""The story of ``scaup top``: look, wait, look again, show what happened in between; and so on until Ctrl-C.

Nothing is changed anywhere.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from scaup.cli import showing
from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.bus import open_bus
from scaup.cli.longwork import Stop, stoppable
from scaup.cli.problems import DONE, FailedError
from scaup.cli.top import telling
from scaup.cli.top.figures import Figures, figures, known
from scaup.cli.top.sampling import sample
from scaup.core.model.errors import BusError

_FIRST: Final = "\x1b[2J"
_FRAME: Final = "\x1b[H"
_REST_OF_LINE: Final = "\x1b[K"
_REST_OF_SCREEN: Final = "\x1b[J"

Show = Callable[[Figures], None]
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says. ``urls`` are the metrics endpoints."""

    namespace: str = "default"
    is_once: bool = False
    every_s: float = 2.0
    urls: tuple[str, ...] = ()


def run(access: ApiAccess | None, nats: NatsAccess, asked: Asked, output: str) -> int:
    """Show figures until Ctrl-C, or once."""
    screen = _Screen(asked, is_json=output == "json")
    try:
        return asyncio.run(_until_stopped(access, nats, asked, screen))
    except BrokenPipeError:  # who reads has seen enough
        return DONE
    finally:
        screen.end()


async def _until_stopped(access: ApiAccess | None, nats: NatsAccess, asked: Asked, screen: _Screen) -> int:
    async with stoppable() as stop:
        return await watch(access, nats, asked, stop, (screen.show, screen.note))


async def watch(access: ApiAccess | None, nats: NatsAccess, asked: Asked, stop: Stop, told: tuple[Show, Note]) -> int:
    """The same with everything given. Raises FailedError where there is no Broker in the namespace."""
    show, note = told
    async with open_bus(nats) as bus:
        before = await sample(bus, access, asked.urls, asked.namespace)
        if not known(before.snapshot, asked.namespace):
            msg = f"the data plane knows no Broker in {asked.namespace}"
            raise FailedError(msg, hint="`scaup get brokers -A` lists those there are")
        while not stop:
            await stop.sleep(asked.every_s)
            if stop:
                break
            try:
                after = await sample(bus, access, asked.urls, asked.namespace, before)
            except BusError as error:
                if asked.is_once:
                    raise
                note(f"{error}; trying again")
                continue
            show(figures(before, after, asked.namespace))
            before = after
            if asked.is_once:
                break
    return DONE


def noted_metrics(access: ApiAccess | None) -> tuple[str, ...]:
    """The metrics endpoints that ``scaup up`` noted beside this kubeconfig; none where it did not start it."""
    if access is None:
        return ()
    try:
        noted: dict[str, Any] = orjson.loads((Path(access.data) / "endpoints.json").read_bytes())
        return tuple(str(url) for url in noted.get("metrics") or ())
    except (OSError, ValueError, AttributeError, TypeError):
        return ()


def metrics_urls(given: Sequence[str]) -> tuple[str, ...]:
    """As they are asked: ``http://host:port``, ``host:port`` and ``http://host:port/metrics`` are the same."""
    found = []
    for text in given:
        url = text if "://" in text else f"http://{text}"
        found.append(url if url.count("/") > 2 and not url.endswith("/") else f"{url.rstrip('/')}/metrics")
    return tuple(dict.fromkeys(found))


class _Screen:
    """Where figures are shown: in place on a terminal, else one after the other."""

    def __init__(self, asked: Asked, *, is_json: bool) -> None:
        self._is_json = is_json
        self._is_once = asked.is_once
        self._is_terminal = sys.stdout.isatty() and not is_json and not asked.is_once
        self._shown = 0

    def show(self, found: Figures) -> None:
        """Instead of what was shown before."""
        if self._is_terminal:
            self._frame(found)
        elif self._is_json:
            value = telling.as_object(found)
            text = showing.as_json(value) if self._is_once else orjson.dumps(value).decode()
            sys.stdout.write(text + "\n")
        else:
            sys.stdout.write(("\n" if self._shown else "") + telling.description(found) + "\n")
        sys.stdout.flush()
        self._shown += 1

    def note(self, text: str) -> None:
        """What stands in the way for now."""
        sys.stderr.write(f"scaup top: {text}\n")

    def end(self) -> None:
        """Leave the cursor where the shell goes on."""
        if self._is_terminal and self._shown:
            sys.stdout.write("\n")

    def _frame(self, found: Figures) -> None:
        size = shutil.get_terminal_size()
        lines = telling.description(found, size.lines - 1).splitlines()[: size.lines - 1]
        frame = f"{_REST_OF_LINE}\n".join(line[: size.columns] for line in lines)
        first = "" if self._shown else _FIRST
        sys.stdout.write(first + _FRAME + frame + _REST_OF_LINE + _REST_OF_SCREEN)
