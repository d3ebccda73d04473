"""The session record on paper (PDF).

Law: the page says what the record says, and nothing that the record does not. The same record gives the same
bytes. Every page carries whose record it is, that this is secondary notification, and DRILL when it was one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    CondPageBreak,
    Flowable,
    KeepTogether,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)
from reportlab.platypus.doctemplate import BaseDocTemplate
from reportlab.platypus.frames import Frame

from monitor.clockface import Clockface
from monitor.config import Site
from monitor.core.record import SessionRecord
from monitor.records.chart import Chart
from monitor.records.sections import STRUCK, Section, facts, sections
from monitor.records.story import Story
from monitor.records.table import digest
from monitor.records.typeface import BOLD, REGULAR, fit, signs, spell

SECONDARY = (
    "Secondary notification: not a primary alarm. The bedside monitor and the person in the room stay "
    "primary. Designed after IEC 60601-1-8; claims no conformity."
)
INK, SOFT, RULE, HEAD = HexColor("#16202b"), HexColor("#5b6875"), HexColor("#c3ccd5"), HexColor("#e9edf1")
DRILL_INK = HexColor("#a34700")
MARGIN, TOP, BOTTOM = 15 * mm, 24 * mm, 20 * mm
WIDTH = A4[0] - 2 * MARGIN

CELL = ParagraphStyle("cell", fontName=REGULAR, fontSize=7, leading=8.8, textColor=INK, splitLongWords=1)
SMALL = ParagraphStyle("small", parent=CELL, fontSize=6.5, leading=8.2, textColor=SOFT)
HEADING = ParagraphStyle(
    "heading", parent=CELL, fontName=BOLD, fontSize=9.5, leading=12, spaceBefore=7, spaceAfter=2.5
)
COLUMN = ParagraphStyle("column", parent=CELL, fontName=BOLD, fontSize=6.5, leading=8.2)


def render(record: SessionRecord, site: Site) -> bytes:
    """Return the record as PDF.

    Args:
        record: what was kept of the session.
        site: the clinic, for the head of each page and the zone of its times.

    Raises:
        NoTypeface: the fonts are not in place.
        ValueError: there is no such zone.
    """
    signs()
    story = Story(record)
    clock = Clockface(site.zone, [story.started_at, story.ended_at, *(one.at for one in story.outcomes)])
    numbers = {alarm.alarm_id: number for number, alarm in enumerate(story.alarms, start=1)}
    body: list[Flowable] = [
        pairs(facts(story, clock)),
        Spacer(1, 3 * mm),
        Chart(story, clock, WIDTH, numbers),
    ]
    for section in sections(story, clock, digest(record)):
        body += table_of(section)
    return lay_out(record, body, site=site.name, clock=clock, title="Session record")


def lay_out(record: SessionRecord, body: list[Flowable], *, site: str, clock: Clockface, title: str) -> bytes:
    """Return pages of what flows, each with whose record it is, the sentence and the digest."""
    out = io.BytesIO()
    frame = _Frame(record, spell(site), clock, title)
    document = BaseDocTemplate(
        out,
        pagesize=A4,
        title=spell(f"{title} {record.summary.session_id}"),
        author=spell(site),
        subject=SECONDARY,
        creator="Afterwatch",
        lang="en",
        invariant=1,
    )
    area = Frame(MARGIN, BOTTOM, WIDTH, A4[1] - TOP - BOTTOM, 0, 0, 0, 0)
    document.addPageTemplates([PageTemplate("record", [area], pagesize=A4)])
    document.build(body, canvasmaker=frame.canvas)
    return out.getvalue()


class _Frame:
    """What stands on every page, drawn when the number of pages is known."""

    def __init__(self, record: SessionRecord, site: str, clock: Clockface, title: str) -> None:
        self.record, self.site, self.clock, self.title = record, site, clock, title
        self.digest = digest(record)

    def canvas(self, *given: Any, **named: Any) -> Canvas:
        return _Numbered(self.draw, *given, **named)

    def draw(self, canvas: Canvas, number: int, pages: int) -> None:
        summary = self.record.summary
        if summary.mode == "drill":
            _watermark(canvas)
        top = A4[1] - 12 * mm
        canvas.setFillColor(INK)
        canvas.setFont(BOLD, 11)
        canvas.drawString(MARGIN, top, fit(self.site, WIDTH * 0.6, 11, name=BOLD))
        canvas.setFont(REGULAR, 8)
        canvas.drawRightString(A4[0] - MARGIN, top, f"{self.title} · page {number} of {pages}")
        started = self.clock.full(summary.started_at)
        line = f"Patient {summary.patient_code} · {summary.bed_id} · {started} · session {summary.session_id}"
        canvas.drawString(MARGIN, top - 4.5 * mm, fit(spell(line), WIDTH * 0.86, 8))
        if summary.mode == "drill":
            canvas.setFillColor(DRILL_INK)
            canvas.setFont(BOLD, 10)
            canvas.drawRightString(A4[0] - MARGIN, top - 4.8 * mm, "DRILL")
        self._rules(canvas, top - 7 * mm)

    def _rules(self, canvas: Canvas, y: float) -> None:
        canvas.setStrokeColor(RULE)
        canvas.setLineWidth(0.6)
        canvas.line(MARGIN, y, A4[0] - MARGIN, y)
        canvas.line(MARGIN, BOTTOM - 3 * mm, A4[0] - MARGIN, BOTTOM - 3 * mm)
        canvas.setFillColor(SOFT)
        canvas.setFont(REGULAR, 6.3)
        canvas.drawString(MARGIN, BOTTOM - 6.5 * mm, SECONDARY)
        drill = (
            "DRILL: simulated patient, not a clinical record. " if self.record.summary.mode == "drill" else ""
        )
        canvas.drawString(MARGIN, BOTTOM - 9.5 * mm, f"{drill}Content SHA-256 {self.digest}")


class _Numbered(Canvas):
    """A canvas that holds its pages back until their number is known."""

    def __init__(self, draw: Callable[[Canvas, int, int], None], *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._draw_frame = draw
        self._held: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 (ReportLab's name)
        """Hold a page back."""
        self._held.append(dict(self.__dict__))
        self._startPage()  # type: ignore[attr-defined]

    def save(self) -> None:
        """Draw what stands on each page, and write the pages."""
        for number, page in enumerate(self._held, start=1):
            self.__dict__.update(page)
            self._draw_frame(self, number, len(self._held))
            super().showPage()
        super().save()


def _watermark(canvas: Canvas) -> None:
    canvas.saveState()
    canvas.setFillColor(DRILL_INK)
    canvas.setFillAlpha(0.10)
    canvas.setFont(BOLD, 110)
    canvas.translate(A4[0] / 2, A4[1] / 2)
    canvas.rotate(52)
    canvas.drawCentredString(0, 60, "DRILL")
    canvas.setFont(BOLD, 30)
    canvas.drawCentredString(0, 10, "no real patient")
    canvas.restoreState()


# --- what flows ---------------------------------------------------------------------------------------------


def pairs(facts: list[tuple[str, str]]) -> Table:
    """Return pairs of a name and words, in two columns."""
    cells = [[_cell(name, COLUMN), _cell(words)] for name, words in facts]
    half = (len(cells) + 1) // 2
    cells += [[_cell(""), _cell("")]] * (2 * half - len(cells))
    rows = [left + right for left, right in zip(cells[:half], cells[half:], strict=True)]
    style = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("LINEBELOW", (0, 0), (-1, -1), 0.3, RULE), *_padding(1.4)]
    widths = [24 * mm, WIDTH / 2 - 24 * mm] * 2
    return Table(
        rows, colWidths=widths, style=TableStyle(style), splitInRow=_tall([words for _, words in facts])
    )


def table_of(section: Section) -> list[Flowable]:
    """Return a section: its heading, its sentences and its table."""
    heading = Paragraph(escape(spell(section.title)), HEADING)
    below = [_cell(words, SMALL) for words in section.words]
    if not section.rows:
        return [KeepTogether([heading, *(below or [_cell("none", SMALL)])])]
    rows = [
        [_cell(name, COLUMN) for name in section.columns],
        *([_cell(one) for one in row] for row in section.rows),
    ]
    table = Table(
        rows,
        colWidths=_widths(section.widths),
        repeatRows=1,
        style=_style(section),
        hAlign="LEFT",
        splitInRow=_tall([one for row in section.rows for one in row]),
    )
    if len(section.rows) <= 6:
        return [KeepTogether([heading, *below, table])]
    return [CondPageBreak(35 * mm), heading, *below, table]


def _tall(texts: list[str]) -> int:
    """Say whether a row may be higher than a page and must then be split; else rows stay whole."""
    return int(any(text.count("\n") > 40 or len(text) > 1000 for text in texts))


def _style(section: Section) -> TableStyle:
    commands: list[Any] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("BACKGROUND", (0, 0), (-1, 0), HEAD),
        ("LINEBELOW", (0, 0), (-1, -1), 0.3, RULE),
        *_padding(1.6),
    ]
    commands += [("BACKGROUND", (0, row + 1), (-1, row + 1), HexColor(ink)) for row, ink in section.shades]
    return TableStyle(commands)


def _padding(points: float) -> Iterable[tuple[Any, ...]]:
    for side, room in (("TOP", points), ("BOTTOM", points), ("LEFT", 2.5), ("RIGHT", 2.5)):
        yield (f"{side}PADDING", (0, 0), (-1, -1), room)


def _widths(shares: Sequence[float]) -> list[float]:
    return [WIDTH * share / sum(shares) for share in shares]


def _cell(words: str, style: ParagraphStyle = CELL) -> Paragraph:
    lines = "<br/>".join(escape(spell(line)) for line in words.removeprefix(STRUCK).split("\n"))
    return Paragraph(f"<strike>{lines}</strike>" if words.startswith(STRUCK) else lines, style)
