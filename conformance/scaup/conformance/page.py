"""The report as one page of HTML that needs nothing beside it: a row for every sentence, and why it failed. Pure."""

from __future__ import annotations

import re
from html import escape
from typing import Final

from scaup.conformance.report import evidence, sums
from scaup.conformance.results import Outcome, RowResult, Verdict

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #e3e3e3}
td:nth-child(-n+3){white-space:nowrap}
.pass{color:#17692f}.fail{color:#b3261e;font-weight:600}.not-shown{color:#777}
small{color:#666}
pre{background:#f6f6f6;padding:.7rem;overflow:auto;font-size:.8rem;max-height:30rem;white-space:pre-wrap}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}td,th{border-color:#333}pre{background:#242424}
.pass{color:#7fd694}.fail{color:#ff8a80}small,.not-shown{color:#999}}
"""


def as_html(outcome: Outcome) -> str:
    """The page."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Conformance of {escape(outcome.target)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Conformance of {escape(outcome.target)}</h1>",
        "".join(f"<p>{escape(line)}</p>" for line in sums(outcome)),
    ]
    for chapter, rows in outcome.chapters:
        parts.append(f"<h2>{escape(chapter.title)}</h2><p><small>{escape(chapter.document)}</small></p>")
        parts.append("<table><tr><th>row<th>level<th>result<th>asks</tr>")
        parts += [_row(one) for one in rows]
        parts.append("</table>")
    return "\n".join([*parts, "</body></html>", ""])


def _row(one: RowResult) -> str:
    name = one.verdict.replace(" ", "-")
    why = f"<br>{escape(one.why)}" if one.why and one.verdict is not Verdict.PASSED else ""
    shown = (
        f"<details><summary>what was sent and answered</summary><pre>{escape(evidence(one))}</pre></details>"
        if one.verdict is Verdict.FAILED
        else ""
    )
    asks = re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(one.row.asks))
    by = ", ".join(check.name for check in one.checks)
    return (
        f'<tr id="{one.row.id}"><td>{one.row.id}<td>{one.row.level}<td class="{name}">{one.verdict}'
        f"<td>{asks} <small>{escape(one.row.source)}{escape('; ' + by if by else '')}</small>{why}{shown}</tr>"
    )
