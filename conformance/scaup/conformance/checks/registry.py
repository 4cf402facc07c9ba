"""What a check is, and the list of all: a function, the rows it shows, and what it needs. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from scaup.conformance.place import Place

Run = Callable[[Place], Awaitable[None]]


class Needs(StrEnum):
    """What has to be there for a check."""

    BROKER = "a broker's address"
    TRIGGERS = "a way to make Triggers"


@dataclass(frozen=True)
class Check:
    """One look at a broker. It shows all of its rows, or that none of them is kept.

    One that is ``timed`` measures how long something takes: it waits until all others are done.
    """

    name: str
    rows: tuple[str, ...]
    needs: Needs
    run: Run
    timed: bool = False

    @property
    def key(self) -> str:
        """What its events and objects are known by; short enough for names of a Kubernetes API."""
        return self.name.replace("_", "-")[:36].rstrip("-")


CHECKS: Final[dict[str, Check]] = {}


def add(name: str, rows: tuple[str, ...], needs: Needs, run: Run, *, timed: bool = False) -> None:
    """Put a check on the list; its name is there once."""
    if name in CHECKS:
        msg = f"two checks are called {name}"
        raise ValueError(msg)
    CHECKS[name] = Check(name, rows, needs, run, timed)


def check(*rows: str, needs: Needs = Needs.TRIGGERS, timed: bool = False) -> Callable[[Run], Run]:
    """A function as a check for these rows."""

    def decorate(run: Run) -> Run:
        add(run.__name__, rows, needs, run, timed=timed)
        return run

    return decorate
