"""What ``scaup up`` says, and the events it shows. Nothing else of it writes to the terminal.

Events come faster than anybody reads: at most so many lines are shown at a time, the rest are counted. A terminal
that is gone (SIGHUP, a closed pipe) is no reason to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TextIO

from scaup.cli.lines import event_line
from scaup.cli.up import layout
from scaup.cli.up.layout import Options
from scaup.core.model.event import Event

_AT_ONCE: Final = 20
_EVERY_S: Final = 0.25
_LISTED: Final = 5


class Screen:
    """One line at a time, whole."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._lines: deque[str] = deque()
        self._unshown = 0
        self._later: asyncio.TimerHandle | None = None

    def say(self, text: str) -> None:
        """Print now."""
        with contextlib.suppress(OSError, ValueError):
            self._out.write(text + "\n")
            self._out.flush()

    def event(self, event: Event, sink: str) -> None:
        """Show one event: at once, or in a moment where many come."""
        if len(self._lines) >= _AT_ONCE:
            self._unshown += 1
            return
        line = event_line(event, sink, datetime.now().astimezone())
        if self._later is None:
            self.say(line)
            self._later = asyncio.get_running_loop().call_later(_EVERY_S, self._show)
        else:
            self._lines.append(line)

    def _show(self) -> None:
        self._later = None
        if not self._lines:
            return
        text = "\n".join(self._lines)
        self._lines.clear()
        self.say(f"{text}\n          … and {self._unshown:,} more events" if self._unshown else text)
        self._unshown = 0
        self._later = asyncio.get_running_loop().call_later(_EVERY_S, self._show)


@dataclass(frozen=True, slots=True)
class Started:
    """What there is to say when everything is ready: URLs by name, and sentences about what is not."""

    seconds: float
    brokers: dict[str, str]
    triggers: int
    sinks: dict[str, str]
    unready: list[str]
    data: str


def final(started: Started, options: Options) -> str:
    """The one short screen."""
    lines = [f"Scaup is up ({started.seconds:.1f} s).", ""]
    shown = list(started.brokers.items())[:_LISTED]
    for name, url in shown:
        lines.append(f"  Broker   {url}" + ("" if len(started.brokers) == 1 else f"  ({name})"))
    if len(started.brokers) > _LISTED:
        lines.append(f"           … and {len(started.brokers) - _LISTED} more: scaup get brokers -A")
    if not started.brokers:
        lines.append("  Broker   none yet: scaup apply -f FILE")
    sinks = list(started.sinks.items())
    for name, url in sinks[:_LISTED]:
        lines.append(f"  Sink     {url}  ({name})")
    if len(sinks) > _LISTED:
        lines.append(f"           … and {len(sinks) - _LISTED} more: scaup get localsinks -A")
    metrics = {home.name: home.metrics_port for home in layout.HOMES if home.metrics_port}
    ports = [f"{port + options.port_offset} {name}" for name, port in sorted(metrics.items(), key=lambda m: m[1])]
    first, rest = ports[0].split(" "), ports[1:]
    lines.append(f"  Metrics  http://{layout.LOOPBACK}:{first[0]}/metrics  ({first[1]}; {', '.join(rest)})")
    lines.append(f"  Data     {started.data}  (logs in {started.data}/logs, kubeconfig for kubectl)")
    lines.append("  Stop     Ctrl-C")
    if started.brokers:
        url = started.brokers.get("default/default") or next(iter(started.brokers.values()))
        lines += ["", "Send an event:", curl(url)]
    lines += ["", *started.unready[:_LISTED]] if started.unready else []
    if len(started.unready) > _LISTED:
        lines.append(f"… and {len(started.unready) - _LISTED} more that are not Ready")
    return "\n".join([*lines, ""])


def curl(url: str) -> str:
    """The line to copy."""
    headers = ("ce-specversion: 1.0", "ce-type: com.example.hello", "ce-source: /me", "ce-id: 1")
    given = "".join(f" -H '{header}'" for header in headers)
    return f"curl -i {url}{given} -H 'content-type: application/json' -d '{{\"hello\":\"world\"}}'"
