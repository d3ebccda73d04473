"""A whole record as lines: JSON Lines and CSV, both complete, both read back by ``monitor.records.readback``.

Law: every entry, every measurement and every delivery is a line; the last line counts them and carries the
SHA-256 of all bytes before it, so that a cut or changed file is known. Instants are UTC; CSV adds the site's
time beside them. What a spreadsheet would take for a formula is disarmed, and the disarming can be undone.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from monitor.clockface import Clockface, instant
from monitor.config import Site
from monitor.core.outcomes import as_json
from monitor.core.record import SessionRecord, Trace
from monitor.core.vitals import METRICS

LAYOUT = "afterwatch-record/1"
SIGNATURE = "RecordSigned"
COLUMNS = (
    "line",
    "at_utc",
    "at_site",
    "name",
    "value",
    "unit",
    "device",
    "metric",
    "rule",
    "kind",
    "priority",
    "alarm_id",
    "by",
    "reason",
    "detail",
)
# What spreadsheets may run as a formula (OWASP CSV injection), with the full-width forms that some accept.
# The apostrophe is one of them so that taking it off again is never ambiguous.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_FIRST = re.compile(f"\\s*[{_SIGNS}'|%]|[\t\r\n]")
# Where the decimal sign is a comma, spreadsheets split at semicolons, in the middle of our cell too.
_WITHIN = re.compile(f"([;\t\r\n]\\s*'*)(?=[{_SIGNS}])")
_DISARMED = re.compile(f"([;\t\r\n]\\s*'*)'(?=[{_SIGNS}])")


def digest(record: SessionRecord) -> str:
    """Return the SHA-256 of what the record says, in hex: that of its JSON Lines without the last one.

    The sign-off is not part of it, because it is the digest that a clinician signs.
    """
    return hashlib.sha256(_body(record)).hexdigest()


def as_jsonl(record: SessionRecord, _site: Site | None = None) -> bytes:
    """Return the record as JSON Lines (UTF-8); ``head -n -1 FILE | sha256sum`` gives its digest."""
    body = _body(record)
    last = {
        "line": "end",
        "lines": body.count(b"\n"),
        "sha256": hashlib.sha256(body).hexdigest(),
        **_signed(record),
    }
    return body + _line(last)


def _body(record: SessionRecord) -> bytes:
    return b"".join(_line(one) for one in _lines(record))


def _line(one: dict[str, Any]) -> bytes:
    # A lone surrogate, which UTF-8 cannot hold, becomes the \\ud800 that JSON itself would write.
    text = json.dumps(one, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _lines(record: SessionRecord) -> Iterator[dict[str, Any]]:
    yield {"line": "session", "layout": LAYOUT, **summary_fields(record)}
    yield {"line": "protocol", **asdict(record.protocol)}
    for entry in record.entries:
        if entry.outcome.outcome != SIGNATURE:
            yield {"line": "entry", "id": entry.id, **entry_fields(entry.outcome)}
    for trace in record.traces:
        marks = {str(position): mark for position, mark in sorted(trace.marks.items())}
        unit = METRICS[trace.metric].unit
        yield {"line": "trace", **trace._asdict(), "marks": marks, "unit": unit}
    for delivery in record.deliveries:
        yield {"line": "delivery", **_texts(delivery._asdict())}


def summary_fields(record: SessionRecord) -> dict[str, Any]:
    """Return the session's line as JSON values, without its sign-off."""
    fields = _texts(asdict(record.summary))
    return {key: value for key, value in fields.items() if key not in ("signed_by", "signed_at")}


def entry_fields(outcome: Any) -> dict[str, Any]:
    """Return one outcome as JSON values; its detail in alphabetical order, so that the digest is stable."""
    fields = as_json(outcome)
    fields["detail"] = dict(sorted(fields["detail"].items()))
    return fields


def _signed(record: SessionRecord) -> dict[str, Any]:
    """Return the sign-off, which stands after the digest that was signed."""
    signatures = [
        {"id": entry.id, **entry_fields(entry.outcome)}
        for entry in record.entries
        if entry.outcome.outcome == SIGNATURE
    ]
    summary = record.summary
    signed = _texts({"signed_by": summary.signed_by, "signed_at": summary.signed_at})
    return {**signed, "signatures": signatures}


def _texts(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in fields.items()}


# --- CSV ----------------------------------------------------------------------------------------------------


def as_csv(record: SessionRecord, site: Site) -> bytes:
    """Return the record as CSV (RFC 4180; UTF-8 with a mark, so that spreadsheets see it)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    lines = 1
    for lines, row in enumerate(_rows(record, Clockface(site.zone)), start=2):  # noqa: B007 (counted)
        writer.writerow(row)
    body = b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "backslashreplace")
    detail = _compact({"sha256": hashlib.sha256(body).hexdigest(), **_signed(record)})
    out.seek(0)
    out.truncate()
    writer.writerow(_row(line="end", value=lines, detail=detail))
    return body + out.getvalue().encode("utf-8", "backslashreplace")


def _row(**cells: Any) -> list[str]:
    return [_cell(cells.get(column)) for column in COLUMNS]


def _cell(value: Any) -> str:
    """Return a cell that no spreadsheet runs: a number as it is, text with an apostrophe before a sign."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return repr(value)
    return disarm(str(value))


def disarm(text: str) -> str:
    """Return text that no spreadsheet runs: an apostrophe before each sign that begins a formula."""
    text = _WITHIN.sub(r"\1'", text)
    return f"'{text}" if _FIRST.match(text) else text


def rearm(text: str) -> str:
    """Return the text that was disarmed."""
    return _DISARMED.sub(r"\1", text.removeprefix("'"))


def _rows(record: SessionRecord, clock: Clockface) -> Iterator[list[str]]:
    summary = record.summary
    detail = _compact({"layout": LAYOUT, **summary_fields(record)})
    started = _at(summary.started_at, clock)
    yield _row(line="session", **started, name=summary.session_id, by=summary.started_by, detail=detail)
    yield _row(line="protocol", name=record.protocol.name, detail=_compact(asdict(record.protocol)))
    for entry in record.entries:
        if entry.outcome.outcome != SIGNATURE:
            yield _row(**_entry_row(entry.id, entry.outcome, clock))
    for trace in record.traces:
        yield from _readings(trace, clock)
    for delivery in record.deliveries:
        made, detail = _at(delivery.created_at, clock), _compact(_texts(delivery._asdict()))
        yield _row(line="delivery", **made, name=delivery.target, detail=detail)


def _readings(trace: Trace, clock: Clockface) -> Iterator[list[str]]:
    """Yield a row for each measurement; what is the same in all is made once, for there are thousands."""
    unit = METRICS[trace.metric].unit
    alike = _row(line="reading", unit=unit, device=trace.device_id, metric=trace.metric)
    utc, local, number, reason, exact = map(COLUMNS.index, ("at_utc", "at_site", "value", "reason", "detail"))
    for position, (seconds, value) in enumerate(zip(trace.at, trace.values, strict=True)):
        at, row = instant(seconds), alike.copy()
        row[utc], row[local], row[number] = at.isoformat(), clock.local(at).isoformat(), _cell(value)
        if position in trace.marks:
            row[reason] = disarm(trace.marks[position])
        if at.timestamp() != seconds:  # finer than the text can say
            row[exact] = _compact({"s": seconds})
        yield row


def _entry_row(number: int, outcome: Any, clock: Clockface) -> dict[str, Any]:
    fields = entry_fields(outcome)
    own = {key: fields[key] for key in ("bed_id", "session_id", "mode", "detail") if key in fields}
    return {
        "line": "entry",
        **_at(outcome.at, clock),
        "name": outcome.outcome,
        "unit": METRICS[outcome.metric].unit if outcome.metric in METRICS else "",
        **{
            key: fields[key]
            for key in ("value", "metric", "rule", "kind", "priority", "alarm_id", "by", "reason")
        },
        "detail": _compact({"id": number, **own}),
    }


def _at(at: datetime, clock: Clockface) -> dict[str, str]:
    return {"at_utc": at.isoformat(), "at_site": clock.local(at).isoformat()}


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
