"""Tables and JSON of results.

Responsible for: how figures are written. Must not: compute any (rates and ratios come from the ledger).
"""

from collections.abc import Iterable

import orjson
from bench.ledger import Quantiles, Result
from bench.usage import Usage
from rich.console import Console
from rich.table import Table

TOOL = ("generator", "sink")
"""The load tool's own processes: never counted as the broker's cost."""


def as_json(value: object) -> str:
    """Any of our dataclasses as indented JSON."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()


def show_run(result: Result) -> None:
    """One run in full."""
    console = Console()
    table = Table(show_header=False, box=None)
    table.add_row("sent / unsent", f"{result.sent:,} / {result.unsent:,}")
    table.add_row(
        "accepted",
        f"{result.accepted:,} in {result.send_seconds:.2f} s = {result.accepted_per_second:,.0f}/s",
    )
    table.add_row("refused, errors", f"{result.refused or 0}, {result.errors or 0}")
    table.add_row(
        "end to end",
        f"{result.end_to_end_per_second:,.0f} events/s, {result.deliveries_per_second:,.0f} deliveries/s",
    )
    table.add_row("accept latency", milliseconds(result.accept_latency))
    table.add_row("end-to-end latency", milliseconds(result.end_to_end_latency))
    table.add_row("generator's own lag", milliseconds(result.send_lag))
    table.add_row("settled", "yes" if result.settled else "NO: deadline reached")
    console.print(table)
    console.print(_paths(result))
    console.print(usage_table(result.usage, result.accepted))


def milliseconds(latency: Quantiles) -> str:
    """Four quantiles in one cell."""
    return f"p50 {latency.p50:.2f}  p90 {latency.p90:.2f}  p99 {latency.p99:.2f}  max {latency.max:.2f} ms"


def _paths(result: Result) -> Table:
    table = Table("path", "distinct", "missing", "duplicates", "unaccepted", title="at the sink")
    for path in result.paths:
        missing = f"{path.missing:,}" if path.expected else "-"
        table.add_row(path.path, f"{path.distinct:,}", missing, f"{path.duplicates:,}", f"{path.unaccepted:,}")
    return table


def usage_table(usage: Iterable[Usage], events: int) -> Table:
    """CPU and memory per process; the tool's own last, outside the total."""
    table = Table("process", "pid", "CPU s", "CPU s / 10,000 events", "peak MiB", title="processes")
    ours = [used for used in usage if used.name not in TOOL]
    tool = [used for used in usage if used.name in TOOL]
    for used in ours + tool:
        per = f"{used.cpu_seconds * 10_000 / events:.3f}" if events else "-"
        name = f"{used.name} (ENDED)" if used.gone else used.name
        table.add_row(name, str(used.pid), f"{used.cpu_seconds:.2f}", per, f"{used.peak_mib:.0f}")
    if ours and events:
        seconds = sum(used.cpu_seconds for used in ours)
        table.add_section()
        table.add_row("all but generator and sink", "", f"{seconds:.2f}", f"{seconds * 10_000 / events:.3f}", "")
    return table
