"""What can go wrong for who types a command, and the exit code of each kind of error: one table.

0 done, 1 failed, 2 usage, 3 not reachable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scaup.core.model.errors import BusUnavailableError, ScaupError, SettingsError

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_REACHABLE: Final = 3


class UsageError(ScaupError):
    """The command line asks for what cannot be: an unknown option, a file that is not there."""

    code = "cli.usage"


class UndecidedError(ScaupError):
    """Neither match nor no match: what ``scaup filter try`` was given cannot be tried. 1 would say "no match"."""

    code = "cli.undecided"


class NotReachableError(ScaupError):
    """Nobody answers where the API, the broker or NATS should be."""

    code = "cli.not-reachable"


class RefusedError(ScaupError):
    """The API said no: ``status`` is its HTTP status, ``reason`` its one-word reason (Kubernetes ``Status``)."""

    code = "cli.refused"

    def __init__(self, message: str, *, status: int, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.reason = reason


class FailedError(ScaupError):
    """The command could not be done. ``details`` are further lines: the last words of a process that failed."""

    code = "cli.failed"

    def __init__(self, message: str, *, hint: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.details = tuple(details)


_EXIT_CODES: Final[tuple[tuple[type[ScaupError], int], ...]] = (
    (UsageError, USAGE),
    (UndecidedError, USAGE),
    (SettingsError, USAGE),
    (NotReachableError, NOT_REACHABLE),
    (BusUnavailableError, NOT_REACHABLE),
    (ScaupError, FAILED),
)


def exit_code(error: ScaupError) -> int:
    """The exit code for an error; the first row that fits."""
    return next(code for kind, code in _EXIT_CODES if isinstance(error, kind))


def one_line(error: ScaupError) -> str:
    """What is wrong and what to do, in one line."""
    text = f"{error}; {error.hint}" if error.hint else str(error)
    return " ".join(text.split())
