"""Reviews: questions that are posted, answered and not kept, of what the asking client may do and who it is. Pure.

There are no users and no rights here: whoever reaches the API may do everything.
"""

from __future__ import annotations

from typing import Any, Final

from scaup.apiserver import answers, objects, shapes
from scaup.apiserver.kinds import Kind

_ALL: Final = ["*"]
_RULES: Final = {
    "resourceRules": [{"verbs": _ALL, "apiGroups": _ALL, "resources": _ALL}],
    "nonResourceRules": [{"verbs": _ALL, "nonResourceURLs": _ALL}],
    "incomplete": False,
}
_NOBODY: Final = {"userInfo": {"username": "system:anonymous", "groups": ["system:unauthenticated"]}}


def answered(kind: Kind, body: Any) -> dict[str, Any]:
    """The review with its answer as ``status``; raises ApiError 400 or 422 where it asks for nothing."""
    asked = shapes.taken(kind, objects.checked_shape(kind, body, namespace=""))
    spec = asked.get("spec") or {}
    match kind.kind:
        case "SelfSubjectAccessReview":
            if bool(spec.get("resourceAttributes")) == bool(spec.get("nonResourceAttributes")):
                why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
                raise answers.invalid(kind, "", [answers.wrong("spec.resourceAttributes", None, why)])
            status: dict[str, Any] = {"allowed": True}
        case "SelfSubjectRulesReview":
            if not spec.get("namespace"):
                raise answers.bad_request("no namespace on request")
            status = _RULES
        case _:
            status = _NOBODY
    return asked | {"metadata": {}, "status": status}
