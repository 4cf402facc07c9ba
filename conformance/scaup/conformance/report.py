"""Reports of a run: lines for a terminal, JUnit's XML, and JSON. Pure. The page in HTML is in ``page.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from scaup.conformance.results import CheckResult, Outcome, RowResult, Verdict

_MARKS = {Verdict.PASSED: "pass", Verdict.FAILED: "FAIL", Verdict.NOT_SHOWN: "-"}


def progress(result: CheckResult, done: int, of: int) -> str:
    """One line for one check."""
    why = f": {result.why}" if result.why else ""
    return f"[{done:>3}/{of}] {_MARKS[result.verdict]:<4} {result.name} ({', '.join(result.rows)}){why}"


def table(outcome: Outcome, *, every: bool = True) -> str:
    """A line for every row, or for those that failed, and the sums."""
    lines: list[str] = []
    for chapter, rows in outcome.chapters:
        shown = [one for one in rows if every or one.verdict is Verdict.FAILED]
        if shown:
            lines += ["", chapter.title, *(_line(one) for one in shown)]
    return "\n".join([*lines, "", *sums(outcome)])


def sums(outcome: Outcome) -> Iterator[str]:
    """What it comes to."""
    for binding, name in ((True, "MUST and MUST NOT"), (False, "SHOULD and MAY")):
        counts = [f"{outcome.count(verdict, binding=binding)} {verdict}" for verdict in Verdict]
        yield f"{name + ':':<19}{', '.join(counts)}"
    word = "conforms, as far as it was shown" if outcome.conforms else "does not conform"
    yield f"{outcome.target}: {word} ({outcome.seconds:.0f} s)"


def _line(one: RowResult) -> str:
    why = f"\n{'':>8}{one.why}" if one.why and one.verdict is not Verdict.PASSED else ""
    return f"  {_MARKS[one.verdict]:<5}{one.row.id:<6} {one.row.level:<11} {one.row.asks}{why}"


def as_json(outcome: Outcome) -> str:
    """Everything, for programs."""
    rows = [
        {
            "id": one.row.id,
            "level": one.row.level,
            "asks": one.row.asks,
            "specification": chapter.document,
            "section": one.row.source,
            "verdict": one.verdict,
            "why": one.why,
            "checks": [
                {"name": check.name, "verdict": check.verdict, "why": check.why, "evidence": check.evidence}
                for check in one.checks
            ],
        }
        for chapter, results in outcome.chapters
        for one in results
    ]
    value = {
        "target": outcome.target,
        "conforms": outcome.conforms,
        "seconds": round(outcome.seconds, 1),
        "counts": {verdict: outcome.count(verdict) for verdict in Verdict},
        "rows": rows,
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def as_junit(outcome: Outcome) -> str:
    """A test suite for each specification, a test case for each row."""
    root = ET.Element("testsuites", name="conformance", time=f"{outcome.seconds:.3f}")
    for chapter, rows in outcome.chapters:
        failed = sum(one.verdict is Verdict.FAILED for one in rows)
        skipped = sum(one.verdict is Verdict.NOT_SHOWN for one in rows)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=chapter.title,
            tests=str(len(rows)),
            failures=str(failed),
            skipped=str(skipped),
            errors="0",
        )
        for one in rows:
            seconds = sum(check.seconds for check in one.checks)
            name = f"{one.row.id} {one.row.level}: {one.row.asks}"
            case = ET.SubElement(suite, "testcase", classname=chapter.title, name=name, time=f"{seconds:.3f}")
            if one.verdict is Verdict.FAILED:
                ET.SubElement(case, "failure", message=_clean(one.why)).text = _clean(evidence(one))
            elif one.verdict is Verdict.NOT_SHOWN:
                ET.SubElement(case, "skipped", message=_clean(one.why))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def evidence(one: RowResult) -> str:
    """What was sent, answered and received in the checks of a row that failed."""
    failed = [check for check in one.checks if check.verdict is Verdict.FAILED]
    return "\n".join(f"{check.name}: {check.why}\n" + "\n".join(check.evidence) for check in failed)


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return "".join(
        char if char in "\t\n" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" else "?" for char in text
    )
