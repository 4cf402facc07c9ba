"""Writes what is made from the code, or says with ``--check`` which of it is stale."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path


def settle(pages: Mapping[Path, str]) -> int:
    """Write the pages that are not as they should be; with ``--check`` only name them. The exit code of the tool."""
    stale = {
        page: made for page, made in pages.items() if not page.exists() or page.read_text(encoding="utf-8") != made
    }
    if stale and "--check" in sys.argv:
        print(f"stale: {', '.join(page.name for page in stale)}; run: python tools/{Path(sys.argv[0]).name}")
        return 1
    for page, made in stale.items():
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(made, encoding="utf-8")
    return 0
