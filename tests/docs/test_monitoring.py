"""What is shipped for Prometheus and Grafana speaks of metrics that exist, and the page of every alert."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import yaml

from tests.support.pages import assert_fresh

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "deploy" / "monitoring"
PAGE = (ROOT / "docs" / "how-to" / "monitoring.md").read_text(encoding="utf-8")
OF_SCRAPING = {"job", "instance", "le"}
OF_ALL_PROCESSES = {"process_resident_memory_bytes", "process_cpu_seconds_total", "up"}


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((SHIPPED / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found = orjson.loads((SHIPPED / "scaup-dashboard.json").read_bytes())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def expressions() -> list[str]:
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    return shown + [rule["expr"] for rule in alerts()]


def exposed() -> dict[str, set[str]]:
    """The labels of every series there is, by its name, as the reference page has them."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            name, kind, labels = line.strip("| ").split(" | ")[:3]
            suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            found |= {name.strip("`") + suffix: set(re.findall(r"`(\w+)`", labels)) for suffix in suffixes}
    return found


def test_the_dashboard_is_that_of_its_description() -> None:
    assert_fresh("dashboard")


def test_every_expression_speaks_of_metrics_and_labels_that_exist() -> None:
    there = exposed()
    for expression in expressions():
        names = set(re.findall(r"\b(?:scaup_\w+|process_\w+|up)\b(?!\s*\()", expression.replace('"scaup-.+"', "")))
        assert names, expression
        assert names <= there.keys() | OF_ALL_PROCESSES, expression
        allowed = OF_SCRAPING.union(*(there.get(name, set()) for name in names))
        used = set(re.findall(r"[{,]\s*(\w+)\s*(?:=|!)", expression))
        for listed in re.findall(r"\b(?:by|on|group_left)\s*\(([^)]*)\)", expression):
            used |= {label.strip() for label in listed.split(",") if label.strip()}
        assert used <= allowed, (expression, used - allowed)


def test_every_legend_of_the_dashboard_names_labels_that_its_expression_keeps() -> None:
    for panel in panels():
        for target in panel["targets"]:
            kept = set(re.findall(r"\w+", " ".join(re.findall(r"\bby\s*\(([^)]*)\)", target["expr"]))))
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept, panel["title"]


def test_the_panels_of_the_dashboard_say_what_they_mean_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert panel["description"], panel["title"]
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


def test_every_alert_says_how_bad_it_is_and_what_to_do_and_has_its_section_on_the_page() -> None:
    sections = re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)
    assert [rule["alert"] for rule in alerts()] == sections
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule["alert"]
        said = rule["annotations"]
        assert said["runbook"] == f"docs/how-to/monitoring.md#{rule['alert'].lower()}"
        assert said["summary"], rule["alert"]
        assert len(said["description"]) > 40, rule["alert"]


def test_every_alert_is_shown_firing_and_silent() -> None:
    tests = yaml.safe_load((SHIPPED / "alerts_test.yaml").read_text(encoding="utf-8"))["tests"]
    firing: set[str] = set()
    for one in tests:
        looks = one.get("promql_expr_test", [])
        named = [set(re.findall(r'alertname="(\w+)"', str(look["exp_samples"]))) for look in looks]
        if any(named):
            assert not named[0], one["name"]
            assert not named[-1], one["name"]
        firing |= set().union(*named)

    assert firing == {rule["alert"] for rule in alerts()}


def test_every_metric_of_an_alert_is_on_the_dashboard() -> None:
    shown = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    for rule in alerts():
        for name in re.findall(r"\bscaup_[a-z_]+\b", rule["expr"]):
            if name not in {"scaup_trigger_queue_quota_events", "scaup_trigger_paused", "scaup_trace_spans_total"}:
                assert name in shown, name
