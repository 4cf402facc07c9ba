"""The metrics, alerts and dashboard, with a real Prometheus and a real ``scaup up``."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.docs.test_monitoring import panels
from tests.support import rawhttp
from tests.support.pages import follow
from tests.support.prometheus import PORT, SHIPPED, WINDOW_S, Prometheus, prometheus
from tests.support.realtools import need
from tests.support.scaupup import Up, free_offset, scaup, scaup_up
from tests.support.sinks import Sink, answer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
JOBS = {f"scaup-{home}" for home in ("ingress", "filter", "dispatcher", "controller", "apiserver")}
EMPTY_WHEN_WELL = {"Filters that could not be evaluated, in 5 minutes", "Not ready"}
"""Panels in which a healthy Scaup shows nothing, and so does one whose sinks fail."""
TRIGGER = """\
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  broker: default
  subscriber: {{uri: "http://127.0.0.1:{port}/"}}
  delivery: {delivery}
"""


@dataclass
class Watched:
    """A ``scaup up`` and the Prometheus that scrapes it."""

    up: Up
    eyes: Prometheus
    directory: Path

    @property
    def kubeconfig(self) -> Path:
        return self.up.data / "kubeconfig"

    async def send(self, event_id: str, path: str = "/default/default") -> int:
        names = {"specversion": "1.0", "id": event_id, "type": "com.example.hello", "source": "/tests"}
        headers = {f"ce-{name}": value for name, value in names.items()}
        return (await rawhttp.send(8080 + self.up.offset, "POST", path, headers, b"{}")).status

    async def apply(self, name: str, port: int, delivery: str) -> None:
        """Make a Trigger; it is Ready when this returns."""
        file = self.directory / f"{name}.yaml"
        file.write_text(TRIGGER.format(name=name, port=port, delivery=delivery), encoding="utf-8")
        done = scaup("apply", "-f", str(file), cwd=self.directory, kubeconfig=self.kubeconfig)
        assert done.returncode == 0, done.stdout + done.stderr
        path = f"/apis/eventing.knative.dev/v1/namespaces/default/triggers/{name}"

        def is_ready() -> bool:
            conditions = (self.up.get(8081, path) or {}).get("status", {}).get("conditions", [])
            return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

        await eventually(is_ready, f"{name} is Ready")


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp("watched")
    offset = next(found for found in iter(free_offset, None) if is_free(PORT + found))
    with (
        scaup_up(directory / "data", offset, "-f", str(ROOT / "examples" / "hello")) as up,
        prometheus(directory / "prometheus", offset) as eyes,
    ):
        up.wait_until_up(within_s=120)
        yield Watched(up, eyes, directory)


def promtool(*arguments: str, text: str | None = None) -> tuple[int, str]:
    done = subprocess.run(
        [need("promtool"), *arguments], input=text, capture_output=True, text=True, cwd=SHIPPED, check=False, timeout=50
    )
    return done.returncode, done.stdout + done.stderr


def test_promtool_finds_no_fault_with_what_is_shipped() -> None:
    for command in (["check", "rules", "alerts.yaml"], ["check", "config", "prometheus.yaml"]):
        code, said = promtool(*command)
        assert (code, "FAILED" in said) == (0, False), said


def test_every_alert_fires_and_is_silent_as_its_test_says() -> None:
    code, said = promtool("test", "rules", "alerts_test.yaml")
    assert (code, "FAILED" in said) == (0, False), said


async def test_promtool_finds_no_fault_with_what_any_service_exposes(watched: Watched) -> None:
    assert await watched.send("checked") == 202
    for port in (9091, 9092, 9093, 9094, 8081):
        text = (await rawhttp.send(port + watched.up.offset, "GET", "/metrics", {"host": "127.0.0.1"})).body.decode()
        assert "scaup_bus_connected 1.0" in text, port
        assert promtool("check", "metrics", text=text) == (0, ""), port


async def test_the_page_about_monitoring(watched: Watched) -> None:
    await eventually(lambda: watched.eyes.healthy() == JOBS, "everything is scraped", within_s=60)
    await eventually(lambda: watched.eyes.query("sum(scaup_log_lag_events) == 0"), "nothing waits", within_s=30)
    await eventually(
        lambda: watched.eyes.query("min(scaup_controller_replicas) == 1"), "all know the controller", within_s=30
    )
    shutil.copytree(SHIPPED, watched.directory / "deploy" / "monitoring")
    follow("how-to/monitoring.md", watched.directory, watched.kubeconfig, watched.up.offset)


async def test_failing_sinks_raise_alerts_that_end_when_the_sinks_are_well(watched: Watched) -> None:
    eyes = watched.eyes
    await eventually(lambda: eyes.healthy() == JOBS, "everything is scraped", within_s=30)
    await eventually(lambda: not eyes.firing(), "nothing fires while all is well", within_s=30)
    refusing, away, slow = Sink(), Sink(), Sink()
    await refusing.start()
    await slow.start()
    try:
        refusing.then(answer(400))
        slow.then(answer(202, delay_s=300))  # under way for as long as this test looks
        await watched.apply("refused", refusing.port, "{retry: 0}")
        await watched.apply("slow", slow.port, "{retry: 0, timeout: PT10M}")
        await watched.apply("away", away.port, "{retry: 20, backoffPolicy: linear, backoffDelay: PT2S}")
        for number in range(20):
            assert await watched.send(f"failing-{number}") == 202
        assert await watched.send("lost", "/default/nobody") == 404  # counted once: the dashboard has to show that, too
        await eventually(
            lambda: {"ScaupDeadLetters", "ScaupBreakerOpen"} <= eyes.firing(), "the alerts fire", within_s=60
        )
        assert eyes.firing() == {"ScaupDeadLetters", "ScaupBreakerOpen"}
        ((_, waiting),) = eyes.query('scaup_trigger_queue_events{trigger="away"}')
        assert waiting >= 20  # an event of a bundle that was tried again counts twice
        assert sum(value for _, value in eyes.query("scaup_dead_letters")) == 20
        await every_panel_shows_something(watched)
        refusing.then(answer(202))
        await away.start()
        await eventually(lambda: len(set(away.ids)) == 20, "what waited is delivered", within_s=60)
        await eventually(lambda: not eyes.firing(), "the alerts are over", within_s=WINDOW_S + 30)
        assert eyes.query("max(scaup_trigger_breaker_open)") == [({}, 0.0)]
    finally:
        await slow.stop()
        await refusing.stop()
        await away.stop()


async def every_panel_shows_something(watched: Watched) -> None:
    """Every expression of the dashboard is understood, and has data but where all is well."""
    for panel in panels():
        for target in panel["targets"]:
            expression = re.sub(r"\$(?:namespace|broker)\b", ".*", target["expr"])
            expression = expression.replace("$__rate_interval", "1m")
            if panel["title"] in EMPTY_WHEN_WELL or "behind" in target["legendFormat"]:
                assert watched.eyes.query(expression) == [], panel["title"]
            else:
                await eventually(
                    partial(watched.eyes.query, expression), f"{panel['title']}: {expression}", within_s=15
                )
