"""Names that a CustomResourceDefinition gives: labels of RFC 1035. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

_LABEL: Final = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?")
_MOST: Final = 63
NO_LABEL: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)


def is_label(text: Any) -> bool:
    """Whether a text is a label of RFC 1035."""
    return isinstance(text, str) and not label_problem(text)


def label_problem(text: str) -> str:
    """Why this is no label of RFC 1035; nothing where it is one."""
    said = [f"must be no more than {_MOST} characters"] if len(text) > _MOST else []
    return ",".join(said + ([] if _LABEL.fullmatch(text) else [NO_LABEL]))
