"""Writes deploy/monitoring/scaup-dashboard.json, for Grafana: what is on it stands in the tables below.

``--check`` only says whether it is stale (exit 1).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pages import settle

FILE = Path(__file__).resolve().parent.parent / "deploy" / "monitoring" / "scaup-dashboard.json"
WIDTH = 24
OF = 'namespace=~"$namespace", broker=~"$broker"'
JOBS = 'job=~"scaup-.+"'
SPAN = "[$__rate_interval]"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One picture: its queries by legend, and what a person should see in it."""

    title: str
    queries: dict[str, str]
    meaning: str
    unit: str = "short"
    width: int = 8
    kind: str = "timeseries"
    bad_from: float | None = None
    """Red from this value on."""


def rate(metric: str, by: str, *conditions: str) -> str:
    """So many a second, summed."""
    return f"sum by ({by}) (rate({metric}{{{', '.join((OF, *conditions))}}}[$__rate_interval]))"


def grown(metric: str, by: str, *conditions: str) -> str:
    """So many in the last five minutes, summed: for what is rare."""
    return f"sum by ({by}) (increase({metric}{{{', '.join((OF, *conditions))}}}[5m]))"


def new(metric: str, by: str) -> str:
    """The same for a counter that begins with what it counts: when it is first seen, all of it is new."""
    series = f"{metric}{{{OF}}}"
    return f"{grown(metric, by)} > 0 or sum by ({by}) ({series} unless {series} offset 5m) > 0"


def most(metric: str, by: str, of: str = OF) -> str:
    """The largest, for a gauge that several processes may show."""
    return f"max by ({by}) ({metric}{{{of}}})"


def quantile(share: float, metric: str, by: str = "", of: str = OF) -> str:
    """Of a histogram."""
    labels = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{{of}}}[$__rate_interval])))"


BROKER = "{{namespace}}/{{broker}}"
TRIGGER = "{{broker}}/{{trigger}}"
TAKEN = 'outcome=~"accepted|replied"'

ROWS: dict[str, list[Panel]] = {
    "At a glance": [
        Panel(
            "Live replicas",
            {
                "{{role}}": "min by (role) (scaup_controller_replicas)",
                "controllers that lead": "sum(scaup_controller_leader)",
            },
            "By role. None of a role: nobody does its work.",
            width=6,
            kind="stat",
        ),
        Panel(
            "Accepted",
            {"a second": f'sum(rate(scaup_ingress_events_total{{{OF}, result="accepted"}}[$__rate_interval]))'},
            "Events that were stored; replies are not in it.",
            width=3,
            kind="stat",
        ),
        Panel(
            "Delivered",
            {"a second": f"sum(rate(scaup_delivery_attempts_total{{{OF}, {TAKEN}}}[$__rate_interval]))"},
            "Attempts that a sink accepted: an event counts once for each Trigger that wants it.",
            width=3,
            kind="stat",
        ),
        Panel(
            "Oldest in a log",
            {"seconds": f"max(scaup_log_oldest_seconds{{{OF}}})"},
            "Age of the oldest event that is not settled. No slow sink makes it grow.",
            unit="s",
            width=3,
            kind="stat",
            bad_from=60,
        ),
        Panel(
            "Waiting in queues",
            {"events": f"sum({most('scaup_trigger_queue_events', 'namespace, broker, trigger')})"},
            "Events that a failing, slow, paused, limited or ordered Trigger has not taken yet.",
            width=3,
            kind="stat",
        ),
        Panel(
            "Dead letters kept",
            {"events": f"sum({most('scaup_dead_letters', 'namespace, broker')})"},
            "Nobody tries these again: replay or purge them.",
            width=3,
            kind="stat",
            bad_from=1,
        ),
        Panel(
            "Dropped in a day",
            {"events": f'sum(increase(scaup_dropped_events_total{{{OF}, reason!="trigger_deleted"}}[1d]))'},
            "Events that are gone, by a stated policy; those of deleted Triggers are not in it.",
            width=3,
            kind="stat",
            bad_from=1,
        ),
    ],
    "In": [
        Panel(
            "Accepted a second",
            {BROKER: rate("scaup_ingress_events_total", "namespace, broker", 'result="accepted"', 'broker!=""')},
            "Events stored, by Broker.",
        ),
        Panel(
            "Not accepted a second",
            {
                "{{namespace}}/{{broker}} {{result}}": (
                    "sum by (namespace, broker, result) (rate(scaup_ingress_events_total"
                    '{result!~"accepted|handshake"}[$__rate_interval])) > 0'
                )
            },
            "By result. full: the log has no room. overloaded, unavailable, failed: ours. The others: the producer's.",
        ),
        Panel(
            "Time to accept",
            {
                f"p50 {BROKER}": quantile(0.5, "scaup_ingress_accept_seconds", "namespace, broker"),
                f"p99 {BROKER}": quantile(0.99, "scaup_ingress_accept_seconds", "namespace, broker"),
            },
            "From the request's head to the 202, which comes after the log has the event.",
            unit="s",
        ),
    ],
    "The event logs": [
        Panel(
            "Not settled",
            {BROKER: most("scaup_log_lag_events", "namespace, broker")},
            "Entries of the log that are not settled: what the dispatchers are behind.",
        ),
        Panel(
            "Oldest that is not settled",
            {BROKER: most("scaup_log_oldest_seconds", "namespace, broker")},
            "Age of the entry that waits for the longest.",
            unit="s",
            bad_from=60,
        ),
        Panel(
            "How full",
            {BROKER: f"max by (namespace, broker) (scaup_log_bytes{{{OF}}} / scaup_log_max_bytes{{{OF}}})"},
            "Settled history fills a log up to 80 %, by design. New events are refused at 90 %.",
            unit="percentunit",
            bad_from=0.85,
        ),
    ],
    "Matching": [
        Panel(
            "Matches for an event",
            {
                BROKER: f"{rate('scaup_filter_matches_total', 'namespace, broker')} / "
                f"{rate('scaup_filter_events_total', 'namespace, broker')}"
            },
            "How many Triggers want an event, on average.",
        ),
        Panel(
            "Time to match a batch",
            {
                "p50": quantile(0.5, "scaup_filter_match_seconds", of=""),
                "p99": quantile(0.99, "scaup_filter_match_seconds", of=""),
            },
            "Without the way to and fro.",
            unit="s",
        ),
        Panel(
            "Filters that could not be evaluated, in 5 minutes",
            {f"{TRIGGER} {{{{kind}}}}": new("scaup_filter_errors_total", "namespace, broker, trigger, kind")},
            "Such an event does not match. missingAttribute is what filters are for; anything else is a mistake.",
        ),
    ],
    "Out": [
        Panel(
            "Delivered a second",
            {TRIGGER: rate("scaup_delivery_attempts_total", "namespace, broker, trigger", TAKEN)},
            "Attempts that the sink accepted or replied to.",
            width=6,
        ),
        Panel(
            "Failed attempts a second",
            {
                f"{TRIGGER} {{{{outcome}}}}": rate(
                    "scaup_delivery_attempts_total", "namespace, broker, trigger, outcome", TAKEN.replace("=~", "!~")
                )
                + " > 0"
            },
            "Each is tried again, as the Trigger's delivery says, or becomes a dead letter.",
            width=6,
        ),
        Panel(
            "Time to deliver",
            {
                f"p50 {BROKER}": quantile(0.5, "scaup_delivery_seconds", "namespace, broker"),
                f"p99 {BROKER}": quantile(0.99, "scaup_delivery_seconds", "namespace, broker"),
            },
            "From acceptance to the end, retries and waiting included: one failing sink is enough for a bad p99.",
            unit="s",
            width=6,
        ),
        Panel(
            "Attempts under way",
            {
                f"{TRIGGER} {{{{lane}}}}": (
                    f"sum by (namespace, broker, trigger, lane) (scaup_trigger_in_flight{{{OF}}}) > 0"
                ),
                "entries held by {{instance}}": "sum by (instance) (scaup_dispatcher_in_flight)",
            },
            "At each sink, and entries of logs in the hands of each dispatcher.",
            width=6,
        ),
    ],
    "Waiting": [
        Panel(
            "Events in queues",
            {TRIGGER: f"{most('scaup_trigger_queue_events', 'namespace, broker, trigger')} > 0"},
            "By Trigger. At the quota (100,000 unless set) further events become dead letters.",
            width=6,
        ),
        Panel(
            "Oldest in queues",
            {TRIGGER: f"{most('scaup_trigger_queue_oldest_seconds', 'namespace, broker, trigger')} > 0"},
            "Since its acceptance, or replay. After a day it becomes a dead letter (unless set otherwise).",
            unit="s",
            width=6,
            bad_from=600,
        ),
        Panel(
            "Open breakers",
            {
                f"{TRIGGER} {{{{lane}}}}": (
                    f"{most('scaup_trigger_breaker_open', 'namespace, broker, trigger, lane')} > 0"
                )
            },
            "Sinks that fail, so that only probes are sent. With nothing waiting that lasts until the next event.",
            width=6,
        ),
        Panel(
            "Put into queues a second",
            {"{{reason}}": rate("scaup_parked_events_total", "reason")},
            "By reason: retry, slow, backed_up, breaker, paused, ordered, unresolved.",
            width=6,
        ),
    ],
    "Ends that are not deliveries": [
        Panel("Dead letters kept", {BROKER: most("scaup_dead_letters", "namespace, broker")}, "By Broker.", width=6),
        Panel(
            "New dead letters in 5 minutes",
            {f"{TRIGGER} {{{{to}}}}": new("scaup_dead_lettered_events_total", "namespace, broker, trigger, to")},
            "Sent to the dead letter sink, or kept.",
            width=6,
        ),
        Panel(
            "Dropped and set aside in 5 minutes",
            {
                "dropped: {{reason}}": grown("scaup_dropped_events_total", "reason"),
                f"set aside: {BROKER}": grown("scaup_set_aside_events_total", "namespace, broker"),
            },
            "Dropped: gone, by a stated policy. Set aside: kept, because it ended the processes that worked it.",
            width=6,
        ),
        Panel(
            "Handed back a second",
            {
                "{{reason}}": "sum by (reason) (rate(scaup_handed_back_events_total[$__rate_interval]))",
                "suspects": "sum(scaup_suspects)",
            },
            "Entries that go back into the log, to be worked a moment later; and those that are tried apart.",
            width=6,
        ),
    ],
    "Definitions": [
        Panel(
            "Revisions",
            {
                "stored": "max(scaup_controller_snapshot_revision)",
                "{{job}} {{instance}}": "min by (job, instance) (scaup_definitions_revision)",
                "{{role}}s behind": "max by (role) (scaup_controller_replicas_behind) > 0",
            },
            "The snapshot's, and what each replica has applied; and how many are behind.",
        ),
        Panel(
            "Not Ready",
            {"{{kind}}s": "max by (kind) (scaup_controller_not_ready)"},
            "Brokers and Triggers; scaup doctor says why.",
            bad_from=1,
        ),
        Panel(
            "Time from seen to stored",
            {"p99": quantile(0.99, "scaup_controller_reconcile_seconds", of="")},
            "Of everything at once, by the controller.",
            unit="s",
        ),
    ],
    "Processes": [
        Panel(
            "Not ready",
            {"{{job}} {{instance}} {{check}}": "min by (job, instance, check) (scaup_ready) == 0"},
            "Checks that fail; /readyz says why.",
            width=6,
            bad_from=0,
        ),
        Panel(
            "Connected to NATS",
            {"{{job}} {{instance}}": "min by (job, instance) (scaup_bus_connected)"},
            "1 while there is a connection.",
            width=6,
        ),
        Panel(
            "Memory",
            {"{{job}} {{instance}}": f"max by (job, instance) (process_resident_memory_bytes{{{JOBS}}})"},
            "Resident.",
            unit="bytes",
            width=6,
        ),
        Panel(
            "CPU",
            {"{{job}} {{instance}}": f"sum by (job, instance) (rate(process_cpu_seconds_total{{{JOBS}}}{SPAN}))"},
            "Cores in use; a process uses one at most.",
            unit="percentunit",
            width=6,
        ),
    ],
}


def variable(name: str, query: str) -> dict[str, Any]:
    """A choice at the top of the page; all of them at first."""
    return {
        "name": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def drawn(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """A panel as Grafana wants it."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": "red", "value": panel.bad_from})
    is_stat = panel.kind == "stat"
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if not is_stat:
        defaults["custom"] = {"fillOpacity": 8, "showPoints": "never"}
    options: dict[str, Any] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    if is_stat:
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "auto", "colorMode": "value"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": DATASOURCE,
        "gridPos": {"h": 4 if is_stat else 8, "w": panel.width, "x": x, "y": y},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": DATASOURCE, "expr": expression, "legendFormat": legend}
            for place, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def dashboard() -> dict[str, Any]:
    """All rows, one below the other."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        place = {"h": 1, "w": WIDTH, "x": 0, "y": y}
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        )
        x = 0
        y += 1
        for panel in row:
            panels.append(drawn(panel, len(panels) + 1, x, y))
            x += panel.width
        assert x == WIDTH, title  # noqa: S101 - a mistake in the table
        y += panels[-1]["gridPos"]["h"]
    return {
        "uid": "scaup",
        "title": "Scaup",
        "tags": ["scaup"],
        "schemaVersion": 38,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
                variable("namespace", "label_values(scaup_log_max_bytes, namespace)"),
                variable("broker", 'label_values(scaup_log_max_bytes{namespace=~"$namespace"}, broker)'),
            ]
        },
        "annotations": {"list": []},
        "panels": panels,
    }


def main() -> int:
    """Write the file, or with ``--check`` compare it."""
    return settle({FILE: json.dumps(dashboard(), indent=2) + "\n"})


if __name__ == "__main__":
    sys.exit(main())
