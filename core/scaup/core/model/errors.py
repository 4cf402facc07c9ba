"""The error tree, by whose fault it is.

Every edge (HTTP status, settlement, condition, exit code) maps the leaves of this tree in one table.
A filter that does not match, a failed delivery and a shutdown are *not* exceptions.
"""

from __future__ import annotations


class ScaupError(Exception):
    """The root of all errors that Scaup raises on purpose.

    ``str(error)`` is one sentence for a person: what is wrong and where. ``hint`` says what to do about it.
    """

    code = "scaup"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class EventRejectedError(ScaupError):
    """The sender's fault: the event cannot be accepted as it is, and sending it again will not help."""

    code = "event.rejected"


class MalformedEventError(EventRejectedError):
    """The request is no CloudEvent, or one that breaks the specification. The sender has to mend it."""

    code = "event.malformed"


class EventTooLargeError(EventRejectedError):
    """The body, the attributes or both are larger than the broker takes."""

    code = "event.too-large"


class HopLimitError(EventRejectedError):
    """The event came back through the broker too often: replies run in a circle (``knativebrokerttl``)."""

    code = "event.hop-limit"


class BadPathError(EventRejectedError):
    """The path is not ``/{namespace}/{broker}``."""

    code = "request.path"


class UnknownBrokerError(EventRejectedError):
    """There is no such Broker. Its definition is missing, or its name is spelt differently."""

    code = "broker.unknown"


class SlowSenderError(EventRejectedError):
    """The sender did not send its body in time."""

    code = "request.slow"


class BusError(ScaupError):
    """The infrastructure's fault: the bus could not do what was asked. Trying again later may help."""

    code = "bus"


class BusUnavailableError(BusError):
    """No connection, or no answer in time. Whether a write was stored is *not* known."""

    code = "bus.unavailable"


class LogFullError(BusError):
    """The stream has no room left by its own limits; nothing was stored."""

    code = "bus.full"


class StorageFullError(LogFullError):
    """NATS as a whole has no room left: the disk, or the limits of the server or the account; nothing was stored."""

    code = "bus.storage-full"


class OverloadedError(BusError):
    """Too much is under way already; nothing was stored."""

    code = "bus.overloaded"


class NotLoadedError(BusError):
    """The process has no complete snapshot of the definitions yet."""

    code = "bus.not-loaded"


class BusRequestError(BusError):
    """JetStream refused a request: ``err_code`` is its own number for the reason, ``status`` the HTTP-like class."""

    code = "bus.refused"

    def __init__(self, message: str, *, status: int = 500, err_code: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.err_code = err_code


class DefinitionError(ScaupError):
    """The fault of who wrote the YAML: ``path`` says where in the object, e.g. ``spec.delivery.timeout``."""

    code = "definition"

    def __init__(self, path: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{path}: {message}", hint=hint)
        self.path = path


class SettingsError(ScaupError):
    """The operator's fault: a setting is unknown, cannot be read, or contradicts another."""

    code = "settings"
