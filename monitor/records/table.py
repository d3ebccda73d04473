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

from monitor.core.outcomes import as_json
from monitor.core.record import SessionRecord
from monitor.core.vitals import METRICS
from monitor.records.clockface import Clockface, instant

LAYOUT = "afterwatch-record/1"
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


def as_jsonl(record: SessionRecord, *, site: str = "", zone: str = "UTC") -> bytes:  # noqa: ARG001 (one shape)
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
    return _texts({"signed_by": record.summary.signed_by, "signed_at": record.summary.signed_at})


def _texts(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in fields.items()}


# --- CSV ----------------------------------------------------------------------------------------------------


def as_csv(record: SessionRecord, *, site: str = "", zone: str = "UTC") -> bytes:  # noqa: ARG001 (one shape)
    """Return the record as CSV (RFC 4180; UTF-8 with a mark, so that spreadsheets see it)."""
    body = _csv_lines([dict(zip(COLUMNS, COLUMNS, strict=True)), *_rows(record, Clockface(zone))])
    found = hashlib.sha256(body).hexdigest()
    count = sum(1 for _ in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")))
    last = {"line": "end", "value": count, "detail": _compact({"sha256": found, **_signed(record)})}
    return body + _csv_lines([last], mark=False)


def _csv_lines(rows: list[dict[str, Any]], *, mark: bool = True) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerows([_cell(row.get(column, "")) for column in COLUMNS] for row in rows)
    return (b"\xef\xbb\xbf" if mark else b"") + out.getvalue().encode("utf-8", "backslashreplace")


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


def _rows(record: SessionRecord, clock: Clockface) -> Iterator[dict[str, Any]]:
    yield {
        "line": "session",
        **_at(record.summary.started_at, clock),
        "name": record.summary.session_id,
        "by": record.summary.started_by,
        "detail": _compact({"layout": LAYOUT, **summary_fields(record)}),
    }
    yield {"line": "protocol", "name": record.protocol.name, "detail": _compact(asdict(record.protocol))}
    for entry in record.entries:
        yield _entry_row(entry.id, entry.outcome, clock)
    for trace in record.traces:
        for position, (seconds, value) in enumerate(zip(trace.at, trace.values, strict=True)):
            yield {
                "line": "reading",
                **_at(instant(seconds), clock),
                "at_utc": f"{instant(seconds).isoformat()}",
                "value": value,
                "unit": METRICS[trace.metric].unit,
                "device": trace.device_id,
                "metric": trace.metric,
                "reason": trace.marks.get(position, ""),
                # Present where the text above cannot give the very number of seconds back.
                "detail": "" if instant(seconds).timestamp() == seconds else _compact({"s": seconds}),
            }
    for delivery in record.deliveries:
        fields = _texts(delivery._asdict())
        yield {
            "line": "delivery",
            **_at(delivery.created_at, clock),
            "name": delivery.target,
            "detail": _compact(fields),
        }


def _entry_row(number: int, outcome: Any, clock: Clockface) -> dict[str, Any]:
    fields = entry_fields(outcome)
    own = {
        "id": number,
        "bed_id": fields["bed_id"],
        "session_id": fields["session_id"],
        "detail": fields["detail"],
    }
    return {
        "line": "entry",
        **_at(outcome.at, clock),
        "name": outcome.outcome,
        "unit": METRICS[outcome.metric].unit if outcome.metric in METRICS else "",
        **{
            key: fields[key]
            for key in ("value", "metric", "rule", "kind", "priority", "alarm_id", "by", "reason")
        },
        "detail": _compact(own),
    }


def _at(at: datetime, clock: Clockface) -> dict[str, str]:
    return {"at_utc": at.isoformat(), "at_site": clock.local(at).isoformat()}


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
