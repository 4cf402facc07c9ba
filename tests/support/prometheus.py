"""A real Prometheus that scrapes a real ``scaup up`` by the shipped configuration, in which time goes faster."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.realtools import need

SHIPPED = Path(__file__).parents[2] / "deploy" / "monitoring"
PORT = 9090
"""That of the documentation, before the offset."""
WINDOW_S = 15
"""What the minutes of the rules become."""


@dataclass
class Prometheus:
    """A running one. ``get`` asks its API."""

    port: int

    def get(self, path: str, **arguments: str) -> Any:
        """The data of an answer; None where it is not there (yet). Raises AssertionError where it says no."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{arguments}: {error.read().decode()}") from error
        except OSError:
            return None

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The series and their values now."""
        found = self.get("query", query=expression) or {"result": []}
        return [(one["metric"], float(one["value"][1])) for one in found["result"]]

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        found = self.get("alerts") or {"alerts": []}
        return {one["labels"]["alertname"] for one in found["alerts"] if one["state"] == "firing"}

    def healthy(self) -> set[str]:
        """The jobs that are scraped well."""
        found = self.get("targets", state="active") or {"activeTargets": []}
        return {one["labels"]["job"] for one in found["activeTargets"] if one["health"] == "up"}


def write_config(directory: Path, offset: int) -> Path:
    """The shipped files, with other ports; each second is looked, and no rule waits for minutes."""
    config = (SHIPPED / "prometheus.yaml").read_text(encoding="utf-8").replace("interval: 15s", "interval: 1s")
    config = re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: str(int(port[0]) + offset), config)
    rules = re.sub(r"(?<=for: )\d+m", "1s", (SHIPPED / "alerts.yaml").read_text(encoding="utf-8"))
    rules = re.sub(r"(?<=\[)\d+m(?=\])|(?<=offset )\d+m", f"{WINDOW_S}s", rules)
    (directory / "alerts.yaml").write_text(rules, encoding="utf-8")
    path = directory / "prometheus.yaml"
    path.write_text(config, encoding="utf-8")
    return path


@contextmanager
def prometheus(directory: Path, offset: int) -> Iterator[Prometheus]:
    """Start it and do not wait. At the end it is gone."""
    directory.mkdir()
    config = write_config(directory, offset)
    command = [
        str(need("prometheus")),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{PORT + offset}",
        "--log.level=warn",
    ]
    with (directory / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)
    try:
        yield Prometheus(PORT + offset)
    finally:
        process.terminate()
        process.wait(20)
