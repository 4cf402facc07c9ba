"""Writes docs/reference/ from the code: settings, metrics, commands, annotations.

``--check`` only says what is stale (exit 1).
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import typer.main
from pages import settle
from prometheus_client import REGISTRY
from typer.core import TyperGroup

from scaup.core.model.annotations import KNOWN, PREFIX
from scaup.core.runtime.metrics import WHEN_BAD
from scaup.core.runtime.settings import describe

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "reference"
SERVICES = {
    "ingress": ("scaup.ingress.settings", "IngressSettings"),
    "filter": ("scaup.filter.settings", "FilterSettings"),
    "dispatcher": ("scaup.dispatcher.settings", "DispatcherSettings"),
    "controller": ("scaup.controller.settings", "ControllerSettings"),
    "apiserver": ("scaup.apiserver.settings", "ApiServerSettings"),
}
MODULES_WITH_METRICS = (
    "scaup.core.runtime.observe",
    "scaup.ingress.metrics",
    "scaup.core.runtime.series",
    "scaup.core.runtime.traces",
    "scaup.filter.metrics",
    "scaup.dispatcher.metrics",
    "scaup.controller.metrics",
    "scaup.apiserver.metrics",
)
MADE = "<!-- Made by tools/reference.py from the code. Do not edit. -->\n"


def settings_page() -> str:
    """Every variable of every service: default and meaning."""
    lines = [MADE, "# Settings", "", "Read once at start. An unknown `SCAUP_*` variable is refused.", ""]
    for service, (module, name) in SERVICES.items():
        lines += [f"## {service}", "", "| variable | default | meaning |", "|---|---|---|"]
        for variable, default, meaning in describe(getattr(importlib.import_module(module), name)):
            shown = "" if default in {None, ""} else f"`{default}`"
            lines.append(f"| `{variable}` | {shown} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def metrics_page() -> str:
    """Every metric: name, type, labels, meaning, what to do when it is bad."""
    lines = [MADE, "# Metrics", "", "In Prometheus text on each service's metrics port. Names are public API."]
    lines.append("A dashboard and alerts that use them: [watch Scaup with Prometheus](../how-to/monitoring.md).")
    lines.append("Series of Brokers and Triggers go two minutes after these were deleted.")
    lines += ["", "| name | type | labels | meaning | when it is bad |", "|---|---|---|---|---|"]
    lines += [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} | {WHEN_BAD[name]} |"
        for name, (kind, labels, meaning) in sorted(metrics().items())
    ]
    return "\n".join([*lines, ""])


def metrics() -> dict[str, tuple[str, tuple[str, ...], str]]:
    """Of every metric: its type, labels, and meaning."""
    for module in MODULES_WITH_METRICS:
        importlib.import_module(module)
    collectors = {id(c): c for c in REGISTRY._names_to_collectors.values()}  # noqa: SLF001 - no public listing exists
    found = {}
    for collector in collectors.values():
        name = getattr(collector, "_name", "")
        if not name.startswith("scaup_"):
            continue
        kind = type(collector).__name__.lower()
        full = f"{name}_total" if kind == "counter" else name
        found[full] = kind, tuple(getattr(collector, "_labelnames", ())), getattr(collector, "_documentation", "")
    return found


def cli_page() -> str:
    """Every command with its options."""
    app = importlib.import_module("scaup.cli.app").app
    group = typer.main.get_command(app)
    lines = [MADE, "# Commands", ""]
    assert isinstance(group, TyperGroup)  # noqa: S101 - what typer makes of an app with commands
    for name, command in group.commands.items():
        inner = command.commands.items() if isinstance(command, TyperGroup) else ()
        for path, leaf in [(f"{name} {sub}", it) for sub, it in inner] or [(name, command)]:
            names = [(p.name or "").upper() for p in leaf.params if p.param_type_name == "argument"]
            arguments = " ".join(names)
            lines += [f"## scaup {path} {arguments}".rstrip(), "", (leaf.help or "").strip(), ""]
            options = [p for p in leaf.params if p.param_type_name == "option"]
            if options:
                lines += ["| option | meaning |", "|---|---|"]
                lines += [f"| `{', '.join(p.opts)}` | {getattr(p, 'help', None) or ''} |" for p in options]
                lines.append("")
    return "\n".join(lines)


def annotations_page() -> str:
    """Every annotation that is read, by the kind it stands on."""
    lines = [MADE, "# Annotations", ""]
    lines.append(
        "Each is checked like a field: a mistake is a condition that names the annotation and what was expected, and "
        "what runs keeps running as it was."
    )
    lines.append(
        f"A name with the prefix `{PREFIX}` that is not in this list has no effect; the condition `AnnotationsKnown` "
        "(severity `Warning`) names it, and the one that was probably meant. The object is Ready all the same. "
        "`scaup.dev/cel` is a filter and fails closed: with a mistake in it, or in its name, nothing is matched."
    )
    lines.append("")
    for kind in sorted({row.kind for row in KNOWN}):
        lines += [f"## {kind}", "", "| annotation | default | expected | meaning |", "|---|---|---|---|"]
        for row in KNOWN:
            if row.kind == kind:
                default = f"`{row.default}`" if row.default else "off"
                lines.append(f"| `{row.name}` | {default} | {row.expected} | {row.meaning} |")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Write the pages, or with ``--check`` compare them."""
    pages = {
        "settings.md": settings_page(),
        "metrics.md": metrics_page(),
        "cli.md": cli_page(),
        "annotations.md": annotations_page(),
    }
    return settle({PAGES / name: made for name, made in pages.items()})


if __name__ == "__main__":
    sys.exit(main())
