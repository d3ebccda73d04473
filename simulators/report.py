"""The after-action report: text for the terminal, a page that prints well, a table for a spreadsheet.

Law: it names roles, not people, ranks nobody, and says on every copy that it was a drill.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape

from simulators.score import Check, Scorecard, by_role

NOTICE = (
    "DRILL: simulated patient. Afterwatch is secondary notification, not a primary alarm; "
    "designed after IEC 60601-1-8, claims no conformity."
)
PARTS = (
    ("raised", "What the monitor should say"),
    ("forbidden", "What it should not say"),
    ("unexpected", "Alarms that nobody expected"),
    ("staff", "What staff should do"),
    ("met", "Every alarm, and how it was met"),
)


def _sign(check: Check) -> str:
    return {True: "yes", False: "NO", None: "–"}[check.met]


def as_text(card: Scorecard, changes: Sequence[str] = ()) -> str:
    """Return the report for a terminal."""
    lines = [f"{card.title} ({card.drill}, {card.mode}, {card.played_at})", NOTICE]
    for name, heading in PARTS:
        checks = getattr(card, name)
        if checks:
            lines += ["", f"{heading}:"]
            lines += [f"  {_sign(c):3} {c.bed}  {c.what}: {c.text}{_limit(c)}{_role(c)}" for c in checks]
    for heading, rows in _lists(card, changes):
        if rows:
            lines += ["", f"{heading}:", *(f"  {row}" for row in rows)]
    lines += ["", f"Monitor: {'as it should be' if card.passed else 'NOT as it should be'}."]
    return "\n".join(lines)


def _lists(card: Scorecard, changes: Sequence[str]) -> Sequence[tuple[str, Sequence[str]]]:
    return (
        ("Staff, by role", by_role(card)),
        ("Checkpoints missed", card.missed_checkpoints),
        ("What the facilitator did", card.injects),
        ("Against the run before", changes),
    )


def _limit(check: Check) -> str:
    return f" (within {check.limit_s:g} s)" if check.limit_s is not None else ""


def _role(check: Check) -> str:
    return f" [{check.role}]" if check.role else ""


def as_csv(cards: Sequence[Scorecard]) -> str:
    """Return one line for each check of each run."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["played_at", "mode", "drill", "part", "bed", "what", "met", "minute", "seconds", "limit_s", "role"]
    )
    for card in cards:
        for name, _ in PARTS:
            for c in getattr(card, name):
                row = [card.played_at, card.mode, card.drill, name, c.bed, _plain(c.what), c.met]
                table.writerow([*row, c.minute, c.seconds, c.limit_s, c.role])
    return text.getvalue()


def _plain(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula (S-16)."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


STYLE = """
body{font:16px/1.45 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#111}
h1{font-size:1.5rem;margin:0}.notice{border:2px solid #7a4b00;padding:.5rem .75rem;margin:1rem 0}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .5rem;border-bottom:1px solid #bbb}
td:nth-child(2){white-space:nowrap}.no{font-weight:700;color:#a40000}
@media print{body{margin:0;font-size:11pt}body::before{content:"DRILL";position:fixed;top:40%;left:20%;
font-size:9rem;color:#0001;transform:rotate(-30deg)}}
"""


def as_page(card: Scorecard, changes: Sequence[str] = ()) -> str:
    """Return the report as one HTML page without outside parts; a browser prints it to PDF."""
    body = [f"<h1>{escape(card.title)}</h1>", f"<p>{escape(card.drill)}, {card.mode}, {card.played_at}</p>"]
    body.append(f'<p class="notice">{escape(NOTICE)}</p>')
    verdict = "as it should be" if card.passed else "not as it should be"
    body.append(f"<p>The monitor was <strong>{verdict}</strong>.</p>")
    for name, heading in PARTS:
        checks = getattr(card, name)
        if checks:
            body.append(f"<h2>{heading}</h2><table><thead><tr>{_HEAD}</tr></thead><tbody>")
            body += [_row(check) for check in checks]
            body.append("</tbody></table>")
    for heading, lines in _lists(card, changes):
        if lines:
            items = "".join(f"<li>{escape(line)}</li>" for line in lines)
            body.append(f"<h2>{heading}</h2><ul>{items}</ul>")
    head = f'<meta charset="utf-8"><title>DRILL: {escape(card.title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


_HEAD = "".join(f"<th>{name}</th>" for name in ("Done", "Bed", "What", "How it was", "Role"))


def _row(check: Check) -> str:
    cells = [check.bed, check.what, check.text + _limit(check), check.role]
    mark = f'<td class="{"no" if check.met is False else "yes"}">{_sign(check)}</td>'
    return f"<tr>{mark}{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
