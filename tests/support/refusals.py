"""Why a write was refused as invalid: the causes of a ``Status``, in Kubernetes' words."""

from __future__ import annotations

from tests.support.contract import Answer

Cause = tuple[str, str, str]
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
UNCHECKED = (
    "FieldValueInvalid",
    "<nil>",
    (
        "Invalid value: null: some validation rules were not checked because the object was invalid; "
        "correct the existing errors to complete validation"
    ),
)


def causes(answer: Answer) -> set[Cause]:
    """Why a write was refused as invalid: reason, field and message of each cause."""
    assert answer.status == 422, answer.body
    assert answer.body["reason"] == "Invalid"
    found = answer.body["details"].get("causes", ())
    return {(one.get("reason", ""), one.get("field", ""), one.get("message", "")) for one in found}


def invalid(field: str, said: str) -> Cause:
    return "FieldValueInvalid", field, f"Invalid value: {said}"


def mistyped(field: str, kind: str, given: str) -> Cause:
    said = f'Invalid value: "{given}": {field} in body must be of type {kind}: "{given}"'
    return "FieldValueTypeInvalid", field, said


def missing(field: str) -> Cause:
    return "FieldValueRequired", field, "Required value"
