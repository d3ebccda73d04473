"""The prefilled REMS form as a sheet of paper to check, fill in and copy from.

Law: it shows what ``monitor.records.rems`` prefilled and leaves room for what a person answers; it is a
worksheet, never the form itself.
"""

from __future__ import annotations

from itertools import groupby

from reportlab.platypus import Flowable

from monitor.clockface import Clockface
from monitor.config import Site
from monitor.core.record import SessionRecord
from monitor.records.pdf import lay_out, pairs, table_of
from monitor.records.rems import NOTICE, VERSION, Field, prefill
from monitor.records.sections import Section
from monitor.records.story import Story
from monitor.records.typeface import signs

LEGEND = "* the form requires it; ? not known whether it does"
ROOM = "\u2026" * 14  # where a person writes


def render(record: SessionRecord, site: Site, version: str = VERSION) -> bytes:
    """Return the sheet as PDF.

    Raises:
        ValueError: the session was not intranasal, or the version or zone is unknown.
        NoTypeface: the fonts are not in place.
    """
    signs()
    form, story = prefill(record, site, version), Story(record)
    clock = Clockface(site.zone, [story.started_at, story.ended_at])
    head = [
        ("Form", f"{form.form}, version {form.version}"),
        ("Basis", form.basis),
        ("Hand in by", form.due_on.isoformat() if form.due_on else "no dose is recorded"),
        ("Open", f"{sum(field.open for field in form.fields)} answers for a person"),
    ]
    body: list[Flowable] = [
        pairs(head),
        *table_of(Section("Before use", words=(NOTICE, *form.warnings, LEGEND))),
    ]
    for name, group in groupby(form.fields, key=lambda field: field.section):
        rows = tuple(_row(field) for field in group)
        body += table_of(Section(name, ("Field", "Answer", "From this session"), (60, 45, 65), rows))
    return lay_out(record, body, site=site.name, clock=clock, title="REMS worksheet")


def _row(field: Field) -> tuple[str, str, str]:
    star = {"yes": " *", "unknown": " ?"}.get(field.required, "")
    origin = field.facts or ("" if field.origin == "a person answers" else field.origin)
    unsure = "confirm on the current form" if field.confirm else ""
    return field.label + star, _answer(field), "\n".join(filter(None, (origin, unsure)))


def _answer(field: Field) -> str:
    if field.value is not None:
        return str(field.value)
    choices = ("yes", "no") if field.kind == "yes_no" else field.choices
    return "   ".join(f"☐ {choice}" for choice in choices) if choices else ROOM
