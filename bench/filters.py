"""``python -m bench.filters``: what matching costs, by the number of Triggers and the kind of their filters.

Measures the index inside one process, without the bus: microseconds an event, memory a Trigger, time to load, time to
change one Trigger. Beside it the same Triggers evaluated one by one ("naive"), and cel-python's own evaluation.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bench.machine import Machine
from rich.console import Console
from rich.table import Table

from scaup.core.filters.compiled import compile_tree, evaluate
from scaup.core.filters.parse import parse_filters
from scaup.core.filters.subject import Subject
from scaup.core.model.definitions import Destination, TriggerDefinition
from scaup.core.model.names import BrokerUid, TriggerUid
from scaup.filter.index import BrokerIndex

SIZES = (1, 100, 1_000, 10_000)
KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "exact type": lambda n: {"exact": {"type": f"com.example.kind{n}"}},
    "prefix": lambda n: {"prefix": {"type": f"com.example.kind{n}"}},
    "cesql, with a type": lambda n: {"cesql": f"type = 'com.example.kind{n}' AND LENGTH(subject) > {n % 7}"},
    "cel, with a type": lambda n: {"cel": f'ce.type == "com.example.kind{n}" && size(ce.subject) > {n % 7}'},
    "suffix (not indexable)": lambda n: {"suffix": {"type": f"kind{n}"}},
    "cesql, not indexable": lambda n: {"cesql": f"LENGTH(subject) > {n + 100}"},
    "cel, not indexable": lambda n: {"cel": f"size(ce.subject) > {n + 100}"},
}
BUDGET_S = 1.0
WARM_UP_S = 10.0


def triggers(kind: str, count: int) -> list[TriggerDefinition]:
    """``count`` Triggers of a kind, each wanting something else."""
    make = KINDS[kind]
    return [
        TriggerDefinition(
            TriggerUid(f"t-{n}"), "default", f"t{n}", BrokerUid("b"), Destination(uri="http://s/"), filters=(make(n),)
        )
        for n in range(count)
    ]


def an_event(number: int, wanted: int) -> Subject:
    """An event that exactly one Trigger (number ``wanted``) could want."""
    attributes = {
        "specversion": "1.0",
        "id": str(number),
        "source": "/bench",
        "type": f"com.example.kind{wanted}",
        "subject": "a-subject",
        "time": "2026-01-01T00:00:00Z",
        "datacontenttype": "application/json",
    }
    return Subject(attributes, b'{"n": 1}')


def timed(work: Callable[[Subject], object], wanted: int) -> float:
    """Microseconds an event, over as many events as the budget allows."""
    events = [an_event(number, wanted) for number in range(2_000)]
    start, done = time.perf_counter(), 0
    while done < 400 and time.perf_counter() - start < WARM_UP_S:  # expressions are loaded, and joined, when events ask
        events[done].shared = {}
        work(events[done])
        done += 1
    done = 0
    start = time.perf_counter()
    while True:
        for event in events:
            event.shared = {}
            work(event)
            done += 1
            if done % 16 == 0 and time.perf_counter() - start > BUDGET_S:
                return (time.perf_counter() - start) / done * 1e6


def measure(kind: str, count: int) -> dict[str, Any]:
    """One row, in this process, which should do nothing else."""
    warm_up = BrokerIndex()
    warm_up.put(triggers(kind, 1)[0])
    warm_up.match(an_event(0, 0))
    wanted = triggers(kind, count)
    before = _memory()
    index = BrokerIndex()
    start = time.perf_counter()
    for trigger in wanted:
        if problem := index.put(trigger):
            raise SystemExit(problem)
    load_s = time.perf_counter() - start
    memory = _memory() - before
    row: dict[str, Any] = {"kind": kind, "triggers": count, "load_s": load_s}
    row["bytes_a_trigger"] = memory / count if count >= 1_000 else None
    row["index_us"] = timed(index.match, count // 2)
    start = time.perf_counter()
    index.put(wanted[count // 2])
    row["change_ms"] = (time.perf_counter() - start) * 1e3
    compiled = [compile_tree(parse_filters(trigger.filters)) for trigger in wanted]
    row["naive_us"] = timed(lambda subject: [evaluate(one, subject) for one in compiled], count // 2)
    return row


def measure_celpy() -> float:
    """Microseconds of one evaluation by cel-python's interpreter of the filter of "cel, with a type"."""
    import celpy
    from celpy.adapter import json_to_cel

    environment = celpy.Environment()
    program = environment.program(environment.compile(KINDS["cel, with a type"](1)["cel"]))
    context = {"ce": json_to_cel(dict(an_event(0, 1).attributes))}
    return timed(lambda _subject: program.evaluate(context), 1)


def _memory() -> int:
    """Resident memory in bytes: now on Linux, the highest so far elsewhere."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _apart(*arguments: str) -> Any:
    """Run one measurement in a process of its own, so that nothing is left over from the one before."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.filters", *arguments], check=True, capture_output=True, text=True, timeout=300
    )
    return json.loads(done.stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("KIND", "COUNT"), help=argparse.SUPPRESS)
    parser.add_argument("--celpy", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-o", choices=("table", "json"), default="table", dest="output")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]))))
        return
    if options.celpy:
        print(json.dumps(measure_celpy()))
        return
    rows = [_apart("--one", kind, str(count)) for kind in KINDS for count in SIZES]
    celpy_us = _apart("--celpy")
    if options.output == "json":
        print(json.dumps({"rows": rows, "celpy_us": celpy_us, "at": datetime.now(UTC).isoformat()}))
        return
    table = Table(title="Matching one event", caption=Machine.here().sentence())
    for column in ("filter", "Triggers", "µs an event", "naive µs", "load s", "change ms", "bytes a Trigger"):
        table.add_column(column, justify="left" if column == "filter" else "right", no_wrap=True)
    for row in rows:
        memory = "" if row["bytes_a_trigger"] is None else f"{row['bytes_a_trigger']:,.0f}"
        table.add_row(
            row["kind"],
            f"{row['triggers']:,}",
            f"{row['index_us']:,.2f}",
            f"{row['naive_us']:,.1f}",
            f"{row['load_s']:.2f}",
            f"{row['change_ms']:.2f}",
            memory,
        )
    console = Console(width=max(Console().width, 100))
    console.print(table)
    console.print(
        f"cel-python's interpreter, one evaluation: {celpy_us:,.0f} µs; times the Triggers that is its naive cost"
    )


if __name__ == "__main__":
    main()
