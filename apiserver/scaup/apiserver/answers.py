"""Refusals as Kubernetes gives them: ``Status`` objects, and the one table from our errors to them.

Reasons, codes and wording follow Kubernetes' apimachinery (``meta/v1`` Status, ``StatusReason``), because clients
decide by ``reason`` and ``code`` and people search for the words. Must not know what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from scaup.apiserver.kinds import Kind
from scaup.core.model.errors import (
    BusRequestError,
    BusUnavailableError,
    EventTooLargeError,
    LogFullError,
    NotLoadedError,
    ScaupError,
)

RETRY_AFTER_S: Final = 1
_OWN_GROUPS: Final = ("/api/", "/apis/apiextensions.k8s.io/v1/", "/apis/coordination.k8s.io/v1/")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field, in the manner of Kubernetes' ``field.Error``.

    ``reason`` is a CauseType (``FieldValueRequired`` …), ``path`` the field (``spec.broker``), ``message`` the whole
    sentence after it (``Required value: …``).
    """

    path: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"

    def cause(self) -> dict[str, str]:
        """Its form in the details of a ``Status``."""
        return {"reason": self.reason, "message": self.message, "field": self.path}


def required(path: str, detail: str = "") -> Problem:
    """A field that has to be there is not."""
    return Problem(path, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def wrong(path: str, value: Any, detail: str) -> Problem:
    """A field has a value that it cannot have."""
    return Problem(path, "FieldValueInvalid", f"Invalid value: {_shown(value)}: {detail}")


def unsupported(path: str, value: Any, supported: Sequence[str]) -> Problem:
    """A field has none of the values it may have."""
    known = ", ".join(f'"{one}"' for one in supported)
    return Problem(path, "FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported values: {known}")


def forbidden_field(path: str, detail: str) -> Problem:
    """A field is set, or changed, that must not be."""
    return Problem(path, "FieldValueForbidden", f"Forbidden: {detail}")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value[:1000]}"'
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else str(value)


class ApiError(ScaupError):
    """A request is answered with a ``Status`` of this code, reason and details."""

    code = "api"

    def __init__(self, status: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.details = details or {}

    def body(self) -> dict[str, Any]:
        """The ``Status`` object."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            **({"reason": self.reason} if self.reason else {}),
            **({"details": self.details} if self.details else {}),
            "code": self.status,
        }


class NoSuchPathError(ApiError):
    """There is nothing of the kind, version or form that a path asks for."""

    def __init__(self) -> None:
        super().__init__(404, "NotFound", "the server could not find the requested resource")


def _about(kind: Kind, name: str, as_kind: str = "") -> dict[str, Any]:
    group = {"group": kind.group} if kind.group else {}
    return {**({"name": name} if name else {}), **group, "kind": as_kind or kind.plural}


def not_found(kind: Kind, name: str) -> ApiError:
    """There is no such object."""
    return ApiError(404, "NotFound", f'{kind.resource_name} "{name}" not found', _about(kind, name))


def no_such_path() -> ApiError:
    """There is no such kind, version or path."""
    return NoSuchPathError()


def is_no_page(error: ScaupError, path: str) -> bool:
    """Whether a refusal is Kubernetes' plain ``404 page not found``: only its own groups have a Status for such a path.

    Clients tell by it that a whole API is not installed (kn: "no or newer Knative Eventing API found").
    """
    return isinstance(error, NoSuchPathError) and not path.startswith(_OWN_GROUPS)


def already_exists(kind: Kind, name: str, *, is_going: bool = False) -> ApiError:
    """There is such an object already, or still."""
    still = "object is being deleted: " if is_going else ""
    return ApiError(409, "AlreadyExists", f'{still}{kind.resource_name} "{name}" already exists', _about(kind, name))


def conflict(kind: Kind, name: str, why: str = "", *, of_kind: bool = False) -> ApiError:
    """The object is not, or no longer, what the request takes it for. ``of_kind``: it is called by its kind."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    called = _title(kind) if of_kind else kind.resource_name
    message = f'Operation cannot be fulfilled on {called} "{name}": {why}'
    return ApiError(409, "Conflict", message, _about(kind, name, kind.kind if of_kind else ""))


def invalid(kind: Kind, name: str, problems: Sequence[Problem]) -> ApiError:
    """Fields of the object are wrong: all of them are said."""
    return _invalid(f'{_title(kind)} "{name}"', _about(kind, name, kind.kind), problems)


def invalid_update(kind: Kind, name: str, problems: Sequence[Problem]) -> ApiError:
    """The change of an object is wrong in itself, whatever the object is."""
    return _invalid(f'{kind.resource_name} "{name}"', _about(kind, name), problems)


def other_kind(kind: Kind, name: str, given: str) -> ApiError:
    """The object says that it is of another kind."""
    title = f"{given}.{kind.group}" if kind.group else given
    problem = wrong("kind", given, f"must be {kind.kind}")
    return _invalid(f'{title} "{name}"', _about(kind, name, given), [problem])


def _title(kind: Kind) -> str:
    return f"{kind.kind}.{kind.group}" if kind.group else kind.kind


def invalid_options(problems: Sequence[Problem], kind: str = "ListOptions") -> ApiError:
    """The options of a request do not make sense: everything that is wrong with them is said."""
    return _invalid(f'{kind}.meta.k8s.io ""', {"group": "meta.k8s.io", "kind": kind}, problems)


def _invalid(what: str, about: dict[str, Any], problems: Sequence[Problem]) -> ApiError:
    said = str(problems[0]) if len(problems) == 1 else f"[{', '.join(map(str, problems))}]"
    causes = [problem.cause() for problem in problems]
    return ApiError(422, "Invalid", f"{what} is invalid: {said}", about | {"causes": causes})


def bad_request(message: str) -> ApiError:
    """The request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def forbidden(message: str) -> ApiError:
    """The request is understood, and refused."""
    return ApiError(403, "Forbidden", message)


def forbidden_object(kind: Kind, name: str, why: str, causes: Sequence[Problem] = ()) -> ApiError:
    """What is asked of this object is refused."""
    about = _about(kind, name)
    if causes:
        about["causes"] = [problem.cause() for problem in causes]
    return ApiError(403, "Forbidden", f'{kind.resource_name} "{name}" is forbidden: {why}', about)


def method_not_allowed() -> ApiError:
    """The path is right, and not for this method."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def expired(message: str) -> ApiError:
    """The resourceVersion is older than what is kept, or of another bucket: list again (Kubernetes API concepts)."""
    return ApiError(410, "Expired", message)


def too_large(limit: int) -> ApiError:
    """The body is over the limit of this API, or of the bus."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def unsupported_media_type(given: str, taken: Sequence[str]) -> ApiError:
    """The body is of a type that is not taken here."""
    message = f"the body of the request was in an unknown format ({given or 'no Content-Type'})"
    message += f" - accepted media types include: {', '.join(taken)}"
    return ApiError(415, "UnsupportedMediaType", message)


def too_many(message: str) -> ApiError:
    """Too much is under way; nothing was done."""
    return ApiError(429, "TooManyRequests", message, {"retryAfterSeconds": RETRY_AFTER_S})


def unavailable(message: str) -> ApiError:
    """What is needed for an answer is away; trying again may help."""
    return ApiError(503, "ServiceUnavailable", message, {"retryAfterSeconds": RETRY_AFTER_S})


def timed_out(message: str) -> ApiError:
    """It was not done in time, or is not known to be."""
    return ApiError(504, "Timeout", message, {"retryAfterSeconds": RETRY_AFTER_S})


def too_new(revision: int, present: int) -> ApiError:
    """The resourceVersion is one that there has not been yet: clients know the cause and list again."""
    error = timed_out(f"Timeout: Too large resource version: {revision}, current: {present}")
    error.details["causes"] = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return error


def internal() -> ApiError:
    """Our fault."""
    return ApiError(500, "InternalError", "Internal error occurred: see the log of the local API", {})


def answer_to(error: ScaupError) -> ApiError:
    """What the client hears of an error: total over the tree in ``core.model.errors``."""
    match error:
        case ApiError():
            return error
        case NotLoadedError():
            return unavailable(f"{error}; {error.hint}" if error.hint else str(error))
        case BusUnavailableError():
            return unavailable(f"the store is away, and whether the change was stored is not known: {error}")
        case LogFullError():
            return ApiError(507, "InsufficientStorage", f"nothing was stored: {error}")
        case EventTooLargeError():
            return ApiError(413, "RequestEntityTooLarge", f"nothing was stored, the object is too large: {error}")
        case BusRequestError():
            return unavailable(f"nothing was stored: {error}")
        case _:
            return internal()
