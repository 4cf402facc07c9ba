"""How long and how deep an expression may be. Apart from the parser, which is loaded for the first expression only."""

from __future__ import annotations

from typing import Final

MAX_TEXT: Final = 16 << 10
"""Bytes of an expression in UTF-8."""
MAX_DEPTH: Final = 64
"""Levels of parentheses and of operators within operators."""
