"""The shapes of what people write: Broker, Trigger, Destination and DeliverySpec of ``eventing.knative.dev/v1``.

Shapes only: types and known fields. What the values mean is checked by ``filters``, ``delivery``, ``annotations`` and
``resolve``. Each part of an object is read by itself, so that one mistake does not hide the others. An unknown field
is a mistake, as it is for Knative's webhook: a misspelt ``filter`` would otherwise match everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from scaup.core.model.errors import DefinitionError
from scaup.core.model.names import checked_uid

GROUP_VERSION: Final = "eventing.knative.dev/v1"
BROKER_KIND: Final = (GROUP_VERSION, "Broker")
TRIGGER_KIND: Final = (GROUP_VERSION, "Trigger")
CLASS_ANNOTATION: Final = "eventing.knative.dev/broker.class"
OUR_CLASS: Final = "Scaup"
_MAX_RETRY: Final = 2**31 - 1  # the field is an int32 in the reference


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


class Reference(_Shape):
    """A KReference: the name of an object."""

    api_version: str | None = None
    kind: str | None = None
    name: str | None = None
    namespace: str | None = None
    address: str | None = None


class DestinationShape(_Shape):
    """A Destination: ``ref``, ``uri``, or ``ref`` with a relative ``uri``."""

    ref: Reference | None = None
    uri: str | None = None
    ca_certs: str | None = Field(default=None, alias="CACerts")
    audience: str | None = None


class DeliveryShape(_Shape):
    """A DeliverySpec (control-plane spec, "Delivery"); the dead letter sink is read by itself."""

    dead_letter_sink: Any = None
    retry: int | None = Field(default=None, ge=0, le=_MAX_RETRY)
    timeout: str | None = None
    backoff_policy: str | None = None
    backoff_delay: str | None = None
    retry_after_max: str | None = None
    format: str | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing is set, so the Broker's delivery holds (CP-35)."""
        return all(getattr(self, name) is None for name in type(self).model_fields)


class FilterShape(_Shape):
    """The legacy filter: exact values of attributes, "" for any value."""

    attributes: dict[str, str] | None = None


class BrokerSpec(_Shape):
    """``spec`` of a Broker. ``config`` is other classes' business and is passed over."""

    config: Any = None
    delivery: Any = None


class TriggerSpec(_Shape):
    """``spec`` of a Trigger, its parts still as they were written."""

    broker: str | None = None
    broker_ref: Any = None
    filter: Any = None
    filters: Any = None
    subscriber: Any = None
    delivery: Any = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Which object it is: its uid above all, for an object made anew under an old name is another one."""

    uid: str
    namespace: str
    name: str
    generation: int


S = TypeVar("S", bound=_Shape)

_EXPECTED: Final = {
    "model_type": "expected an object",
    "model_attributes_type": "expected an object",
    "dict_type": "expected an object",
    "list_type": "expected a list",
    "string_type": "expected a string",
    "int_type": "expected a whole number",
    "greater_than_equal": "expected a whole number not below 0",
    "less_than_equal": f"expected a whole number not above {_MAX_RETRY}",
}


def read(shape: type[S], value: Any, path: str) -> S:
    """``value`` as ``shape``; None is an empty one. Raises DefinitionError naming the first field that is wrong."""
    try:
        return shape.model_validate({} if value is None else value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise DefinitionError(_join(path, first["loc"]), _message(shape, first)) from None


def sections(shape: type[_Shape], value: Any, path: str) -> tuple[dict[str, Any], DefinitionError | None]:
    """The known parts of an object as they were written, and what is wrong with the whole; the parts still hold."""
    if not isinstance(value, dict):
        error = None if value is None else DefinitionError(path, f"expected an object, found {shown(value)}")
        return {}, error
    known = {field.alias or name for name, field in shape.model_fields.items()}
    strange = [key for key in value if key not in known]
    parts = {key: part for key, part in value.items() if key in known}
    if not strange:
        return parts, None
    listed = ", ".join(sorted(known))
    return parts, DefinitionError(f"{path}.{strange[0]}", f"unknown field; known are {listed}")


def shown(value: Any) -> str:
    """A value as it stands in an error message: whole where it is short."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def identity(value: dict[str, Any]) -> Identity:
    """Which object ``value`` is. Raises DefinitionError where it has no usable uid or name: it cannot be dealt with."""
    metadata = value.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    texts = [metadata.get(key) for key in ("uid", "namespace", "name")]
    if not all(isinstance(text, str) and text for text in texts):
        raise DefinitionError("metadata", "expected uid, namespace and name")
    uid, namespace, name = (str(text) for text in texts)
    try:
        checked_uid(uid)
    except ValueError as error:
        raise DefinitionError("metadata.uid", str(error)) from None
    generation = metadata.get("generation")
    return Identity(uid, namespace, name, generation if isinstance(generation, int) else 1)


def annotations_of(value: dict[str, Any]) -> dict[str, Any]:
    """The annotations of an object; empty where there are none, or no object of them."""
    metadata = value.get("metadata")
    found = metadata.get("annotations") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def _join(path: str, location: tuple[int | str, ...]) -> str:
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path


def _message(shape: type[_Shape], error: Any) -> str:
    if error["type"] == "extra_forbidden":
        if len(error["loc"]) > 1:
            return "unknown field"
        known = (field.alias or name for name, field in shape.model_fields.items())
        return f"unknown field; known are {', '.join(sorted(known))}"
    return f"{_EXPECTED.get(error['type'], error['msg'])}, found {shown(error['input'])}"
