"""Settings: frozen dataclasses, read once from the environment at start and passed down as values.

A field says its variable, default and meaning in one place (``setting``); the reference page is made from the same.
Unknown ``SCAUP_*`` variables are refused with the nearest known name, for a misspelt setting is a silent default.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import socket
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from scaup.core.bus.access import BusAccess
from scaup.core.model.errors import SettingsError

T = TypeVar("T")

PREFIX = "SCAUP_"
_OTHERS = tuple(
    f"{PREFIX}{home}_" for home in ("INGRESS", "FILTER", "DISPATCHER", "CONTROLLER", "APISERVER", "UP", "TEST")
)


class Secret(str):
    """Text that does not show itself in logs and error messages."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on: ``host:port``, port 0 for a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """``127.0.0.1:8080``, ``[::1]:8080`` or ``:8080`` (all addresses)."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            msg = "expected host:port, such as 127.0.0.1:8080"
            raise ValueError(msg)
        return cls(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - said by who wrote ":8080"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def setting(variable: str, default: Any, doc: str) -> Any:
    """A field that is read from ``variable``; ``doc`` says the unit, what it does, and why it is so."""
    return dataclasses.field(default=default, metadata={"variable": variable, "doc": doc})


@dataclass(frozen=True, slots=True)
class BusSettings:
    """How to reach NATS."""

    url: str = setting("SCAUP_NATS_URL", "nats://127.0.0.1:4222", "NATS servers, separated by commas.")
    creds: str | None = setting("SCAUP_NATS_CREDS", None, "File with NATS credentials (JWT and seed).")
    ca: str | None = setting("SCAUP_NATS_CA", None, "File with the CA that signed the servers' certificates.")
    token: Secret | None = setting(  # noqa: RUF009 - a field like the others: ruff takes a name with "token" for a call
        "SCAUP_NATS_TOKEN", None, "The server's token, where it asks for one."
    )

    def access(self) -> BusAccess:
        """The same for the bus."""
        return BusAccess(self.url, self.creds, self.ca, self.token)


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What every service has."""

    replica: str = setting(
        "SCAUP_REPLICA", "", "Name of this process among its like; host name and process id where not set."
    )
    log_level: str = setting("SCAUP_LOG_LEVEL", "info", "debug, info, warning or error.")
    drain_s: float = setting(
        "SCAUP_DRAIN_SECONDS", 5.0, "Seconds that work under way may take to finish after a signal to stop."
    )

    @property
    def replica_name(self) -> str:
        """The name of this process, made up where none is set."""
        return self.replica or f"{socket.gethostname()}-{os.getpid()}"


# Read by more than one home, or by `scaup up` alone; known everywhere so that nobody refuses them.
SHARED = (
    "SCAUP_LISTEN",
    "SCAUP_METRICS_LISTEN",
    "SCAUP_PUBLIC_URL",
    "SCAUP_KUBECONFIG",
    "SCAUP_SINK_DENY",
    "SCAUP_TRAIL",
    "SCAUP_OTLP_ENDPOINT",
    "SCAUP_TRACE_SAMPLE",
)


def load(kind: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Read the settings of ``kind`` and of the groups in it; raises SettingsError naming the variable and its value."""
    environ = os.environ if environ is None else environ
    known = {variable for variable, _, _ in describe(kind)}
    shared = {*SHARED, *(v for group in (BusSettings, ServiceSettings) for v, _, _ in describe(group))}
    for name in environ:
        if name.startswith(PREFIX) and name not in known | shared and not _of_another_home(name, known):
            near = difflib.get_close_matches(name, sorted(known | shared), 1)
            hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(sorted(known))}"
            msg = f"{name} is no setting: {hint}"
            raise SettingsError(msg, hint="correct or unset it")
    return _load(kind, environ)


def describe(kind: type) -> Iterator[tuple[str, Any, str]]:
    """``(variable, default, meaning)`` of every setting in ``kind``, in order: the reference page."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]) and "variable" not in field.metadata:
            yield from describe(hints[field.name])
        else:
            yield field.metadata["variable"], field.default, field.metadata["doc"]


def _of_another_home(name: str, known: set[str]) -> bool:
    own = {other for other in _OTHERS if any(variable.startswith(other) for variable in known)}
    return name.startswith(tuple(other for other in _OTHERS if other not in own))


def _load(kind: type[T], environ: Mapping[str, str]) -> T:
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        wanted = hints[field.name]
        if "variable" not in field.metadata:
            values[field.name] = _load(wanted, environ)
        elif (text := environ.get(field.metadata["variable"])) not in {None, ""}:
            try:
                values[field.name] = _convert(text or "", wanted)
            except ValueError as error:
                shown = "***" if wanted is Secret else repr(text)
                msg = f"{field.metadata['variable']} = {shown}: {error}"
                raise SettingsError(msg) from error
    return kind(**values)


def _convert(text: str, wanted: Any) -> Any:
    if isinstance(wanted, types.UnionType):
        wanted = next(arm for arm in wanted.__args__ if arm is not type(None))
    if wanted is bool:
        if text.lower() not in {"true", "false"}:
            msg = "expected true or false"
            raise ValueError(msg)
        return text.lower() == "true"
    if wanted in {int, float}:
        what = "a whole number" if wanted is int else "a number"
        try:
            number = wanted(text)
        except ValueError:
            number = -1
        if not 0 <= number < math.inf:
            msg = f"expected {what} not below 0"
            raise ValueError(msg)
        return number
    return wanted.parse(text) if hasattr(wanted, "parse") else wanted(text)
