"""Writes docs/conformance.md: every row of the conformance suite, what shows it, and what is to be said of Scaup.

``--check`` only says whether the page is stale (exit 1). Remarks and tests stand in ``conformance.toml`` beside this.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

from pages import settle

from scaup.conformance.checks import CHECKS
from scaup.conformance.rows import CHAPTERS, ROWS, Row

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
NOTES = Path(__file__).with_suffix(".toml")
INTRODUCTION = """\
<!-- Made by tools/conformance.py from the rows and checks of the conformance suite. Do not edit. -->

# Conformance

What the specifications ask of a broker, row by row, and what shows it. The ids of the rows number the sentences of
each document in their order; `DP` and `CP` are those of `specs/eventing/data-plane.md`,
`specs/eventing/control-plane.md` and `specs/common/error-signalling.md` of
[knative/specs](https://github.com/knative/specs).

`make conformance` shows them on Scaup, `scaup conformance run` on [any broker](../conformance/README.md), from the
outside: over raw HTTP, and by the Brokers and Triggers it makes. *Checks* are those of that suite; a row passes when
all of its checks do. What nobody outside can see says why. Beside the checks stand tests of this repository, under
`tests/`, that show a row on Scaup; the tests of the `test_spec_*` files see a broker as its producers and sinks do:
real services on real sockets over a real nats-server. `tests/docs/test_conformance.py` holds this page, the suite and
the tests together; `tests/component/test_conformance_faults.py` has, for every MUST that can be seen, a fault that
turns it red.

Not here: Channel and Subscription, which Scaup does not have.

"""


def page() -> str:
    """The whole page."""
    notes = tomllib.loads(NOTES.read_text(encoding="utf-8"))
    options = notes.pop("options")
    unknown = notes.keys() - ROWS.keys()
    if unknown:
        msg = f"{NOTES.name} speaks of rows that are not there: {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    parts = [INTRODUCTION + _sums()]
    for chapter in CHAPTERS:
        lines = [f"## {chapter.title}", "", f"Of {chapter.document}.", ""]
        lines += ["| id | level | asks | Scaup | checks, and tests under `tests/` |", "|---|---|---|---|---|"]
        lines += [_line(row, notes.get(row.id, {})) for row in chapter.rows]
        parts.append("\n".join(lines) + "\n")
    lines = ["## Delivery options", ""]
    lines += ["What the API of knative.dev/eventing adds to the specification, as far as it concerns delivery.", ""]
    lines += ["| asks | test, under `tests/` |", "|---|---|"]
    lines += [f"| {one['asks']} | {_ticked(one['tests'])} |" for one in options]
    return "\n".join([*parts, "\n".join(lines) + "\n"])


def _sums() -> str:
    binding = [row for row in ROWS.values() if row.level.binds]
    unseen = [row for row in binding if row.unseen]
    return (
        f"{len(ROWS)} rows, {len(CHECKS)} checks. {len(binding)} rows are a MUST or MUST NOT; {len(unseen)} of these "
        "cannot be seen from outside.\n"
    )


def _line(row: Row, note: dict[str, Any]) -> str:
    checks = [check.name for check in CHECKS.values() if row.id in check.rows]
    shown = [f"not seen from outside: {row.unseen}"] if row.unseen else [_ticked(checks)]
    if note.get("tests"):
        shown.append(_ticked(note["tests"]))
    return f"| {row.id} | {row.level} | {row.asks} | {note.get('scaup', '')} | {'<br>'.join(shown)} |"


def _ticked(names: list[str]) -> str:
    return "<br>".join(f"`{name}`" for name in names)


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    return settle({PAGE: page()})


if __name__ == "__main__":
    sys.exit(main())
