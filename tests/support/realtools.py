"""Finds the tools that are not Python packages; one that is missing fails the test, with the way to get it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest

HOW: Final = {
    "go": "Go 1.26 or newer, from https://go.dev/dl or your system's packages",
    "openssl": "OpenSSL, from your system's packages (Debian: openssl)",
    "unshare": "unshare, of util-linux: on Linux from your system's packages (Debian: util-linux)",
    "node": "Node.js 20 or newer, from https://nodejs.org or your system's packages (Debian: nodejs)",
    "npm": "npm, which comes with Node.js (Debian: npm)",
    "prometheus": "Prometheus, from https://prometheus.io/download or your system's packages (Debian: prometheus)",
    "promtool": "promtool, which comes with Prometheus (Debian: prometheus)",
}
"""Tool → where a person gets it."""


def need(tool: str) -> Path:
    """Where ``tool`` is on the PATH. Fails the test with how to get it when it is missing: nothing is skipped."""
    if found := shutil.which(tool):
        return Path(found)
    pytest.fail(f"{tool} is not on the PATH. Get {HOW[tool]}; `sh tools/real-tools.sh` tries to.", pytrace=False)
