"""Reports of the conformance suite: the same rows as a table, as JUnit's XML, as JSON and as a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from scaup.conformance import page, report
from scaup.conformance.results import CheckResult, Outcome, Verdict, by_row

EVIDENCE = ("--- sent\nPOST / HTTP/1.1\n<\x00>&", "--- answered\nHTTP/1.1 500")
OUTCOME = Outcome(
    "a <broker>",
    by_row(
        [
            CheckResult("well", ("DP-2", "DP-8"), Verdict.PASSED),
            CheckResult("wrong", ("DP-10",), Verdict.FAILED, "so & so", EVIDENCE, 0.5),
        ],
        ["DP-2", "DP-8", "DP-9", "DP-10", "SQ-1"],
    ),
    2.0,
)


def test_the_table_has_every_row_and_the_sums() -> None:
    text = report.table(OUTCOME)
    assert "  FAIL DP-10  MUST" in text
    assert "        so & so" in text
    assert "Knative: data plane\n" in text
    assert "CloudEvents SQL 1.0\n" in text
    assert "MUST and MUST NOT: 1 pass, 1 fail, 1 not shown" in text
    assert "SHOULD and MAY:    1 pass, 0 fail, 1 not shown" in text
    assert text.endswith("a <broker>: does not conform (2 s)")
    assert "DP-8" not in report.table(OUTCOME, every=False)


def test_junit_has_a_case_for_each_row_with_the_evidence_of_what_failed() -> None:
    root = ET.fromstring(report.as_junit(OUTCOME))
    cases = root.findall("./testsuite/testcase")
    assert [case.get("name", "").split()[0] for case in cases] == ["DP-2", "DP-8", "DP-9", "DP-10", "SQ-1"]
    assert [(suite.get("tests"), suite.get("failures"), suite.get("skipped")) for suite in root] == [
        ("4", "1", "1"),
        ("1", "0", "1"),
    ]
    [failure] = root.findall(".//failure")
    assert failure.get("message") == "so & so"
    assert "POST / HTTP/1.1\n<?>&" in (failure.text or "")


def test_json_has_everything() -> None:
    value = json.loads(report.as_json(OUTCOME))
    assert value["conforms"] is False
    assert value["counts"] == {"pass": 2, "fail": 1, "not shown": 2}
    failed = next(row for row in value["rows"] if row["verdict"] == "fail")
    assert (failed["id"], failed["level"], failed["why"]) == ("DP-10", "MUST", "so & so")
    assert failed["checks"][0]["evidence"] == list(EVIDENCE)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[str] = []
        self.linked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "tr" and found.get("id"):
            self.rows.append(str(found["id"]))
        self.linked += [str(value) for name, value in attrs if name in {"src", "href"}]


def test_the_page_has_a_row_for_each_sentence_and_needs_nothing_beside_it() -> None:
    text = page.as_html(OUTCOME)
    parsed = _Page()
    parsed.feed(text)
    assert parsed.rows == ["DP-2", "DP-8", "DP-9", "DP-10", "SQ-1"]
    assert parsed.linked == []
    assert "Conformance of a &lt;broker&gt;" in text
    assert "so &amp; so" in text
    assert "POST / HTTP/1.1" in text
