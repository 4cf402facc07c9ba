"""Live, ready, and why not. Ready means: able to do the service's work now, not "the port is open"."""

from __future__ import annotations

from collections.abc import Callable

Check = Callable[[], str | None]


class Health:
    """The checks of one process. A check answers None when all is well, else the reason why not."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._notes: dict[str, Check] = {}
        self.is_stopping = False

    def add(self, name: str, check: Check) -> None:
        """The process is ready only while ``check`` has nothing to say."""
        self._checks[name] = check

    def problems(self) -> dict[str, str]:
        """What keeps the process from being ready; empty when nothing does."""
        found = {name: reason for name, check in self._checks.items() if (reason := check())}
        return found | ({"stopping": "the process is shutting down"} if self.is_stopping else {})

    def note(self, name: str, say: Check) -> None:
        """What ``say`` has to say is shown beside, and keeps nothing from being ready."""
        self._notes[name] = say

    def notes(self) -> dict[str, str]:
        """What is worth knowing of a process that is well."""
        return {name: text for name, say in self._notes.items() if (text := say())}
