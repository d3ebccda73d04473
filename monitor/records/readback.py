"""Read a record back from the lines that ``monitor.records.table`` wrote.

Law: the record comes back whole or not at all. A cut, changed or foreign file is refused with the line and
the remedy; nothing is guessed.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields as fields_of
from datetime import datetime
from typing import Any, TypeVar, get_args

from monitor.core import protocol as shapes
from monitor.core.outcomes import Outcome, OutcomeName
from monitor.core.protocol import Protocol
from monitor.core.record import Delivery, Entry, SessionRecord, SessionSummary, Trace
from monitor.core.vitals import METRICS
from monitor.records.table import COLUMNS, LAYOUT, rearm

T = TypeVar("T")
Line = tuple[int, dict[str, Any]]

WHOLE = "export the record again, or copy the file without changing it (a spreadsheet rewrites what it saves)"


class Unreadable(ValueError):
    """A file that is no whole record: which line, why, and what to do."""

    def __init__(self, line: int, why: str, remedy: str = WHOLE) -> None:
        """Name the place, the reason and the remedy."""
        super().__init__(f"line {line}: {why}; {remedy}")
        self.line, self.why, self.remedy = line, why, remedy


def read(content: bytes) -> SessionRecord:
    """Read a record from JSON Lines or CSV, whichever it is.

    Raises:
        Unreadable: it is neither, or not whole.
    """
    first = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return read_jsonl(content) if first == b"{" else read_csv(content)


def read_jsonl(content: bytes) -> SessionRecord:
    """Read a record from its JSON Lines.

    Raises:
        Unreadable: it is not a whole record.
    """
    lines = [line + b"\n" for line in content.split(b"\n") if line]
    if len(lines) < 2:
        raise Unreadable(1, "fewer than two lines: no record")
    found = [(number, _object(number, line)) for number, line in enumerate(lines, start=1)]
    _check_end(found[-1], b"".join(lines[:-1]), len(lines) - 1)
    return _record(found[:-1], found[-1][1], _traces_of_lines)


def _object(number: int, line: bytes) -> dict[str, Any]:
    try:
        one = json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise Unreadable(number, f"not JSON ({fault})") from fault
    if not isinstance(one, dict) or not isinstance(one.get("line"), str):
        raise Unreadable(number, "not a line of a record: it has no 'line'")
    return one


def read_csv(content: bytes) -> SessionRecord:
    """Read a record from its CSV.

    Raises:
        Unreadable: it is not a whole record.
    """
    cut = content.rstrip(b"\r\n").rfind(b"\r\nend,")
    if cut < 0:
        raise Unreadable(1, "no last line that counts the others")
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (csv.Error, UnicodeDecodeError) as fault:
        raise Unreadable(1, f"not CSV in UTF-8 ({fault})") from fault
    if not rows or tuple(rows[0]) != COLUMNS:
        raise Unreadable(1, f"the columns are not {', '.join(COLUMNS)}")
    found = [(number, _row(number, row)) for number, row in enumerate(rows[1:], start=2)]
    number, last = found[-1]
    last = {"line": last["line"], "lines": _number(number, last["value"]), **_detail(number, last)}
    _check_end((number, last), content[: cut + 2], len(rows) - 1)
    return _record([_csv_line(number, row) for number, row in found[:-1]], last, _traces_of_readings)


def _row(number: int, row: list[str]) -> dict[str, Any]:
    if len(row) != len(COLUMNS):
        raise Unreadable(number, f"{len(row)} cells instead of {len(COLUMNS)}")
    cells = (rearm(cell) if "'" in cell else cell for cell in row)
    return dict(zip(COLUMNS, cells, strict=True))


def _csv_line(number: int, row: dict[str, Any]) -> Line:
    """Return a row in the shape of the same line in JSON; a reading stays as it is."""
    if row["line"] == "reading":
        return number, row
    detail = _detail(number, row)
    if row["line"] != "entry":
        return number, {"line": row["line"], **detail}
    own = {key: row[key] for key in ("metric", "rule", "kind", "priority", "alarm_id", "by", "reason")}
    value = None if row["value"] == "" else _number(number, row["value"])
    return number, {
        "line": "entry",
        "outcome": row["name"],
        "at": row["at_utc"],
        "value": value,
        **own,
        **detail,
    }


def _detail(number: int, row: dict[str, Any]) -> dict[str, Any]:
    try:
        detail = json.loads(row["detail"])
    except (ValueError, RecursionError) as fault:
        raise Unreadable(number, f"its detail is not JSON ({fault})") from fault
    if not isinstance(detail, dict):
        raise Unreadable(number, "its detail is not an object")
    return detail


def _number(line: int, text: str) -> float:
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError as fault:
        raise Unreadable(line, f"{text!r} is not a number") from fault


def _check_end(last: Line, body: bytes, lines: int) -> None:
    number, end = last
    if end["line"] != "end":
        raise Unreadable(number, "the file is cut: its last line is not 'end'")
    if end.get("lines") != lines:
        raise Unreadable(number, f"{lines} lines instead of {end.get('lines')}")
    if end.get("sha256") != hashlib.sha256(body).hexdigest():
        raise Unreadable(number, "the SHA-256 does not fit: the file was changed")


# --- lines to values ----------------------------------------------------------------------------------------


def _record(
    lines: list[Line], end: dict[str, Any], traces: Callable[[list[Line]], Iterable[Trace]]
) -> SessionRecord:
    session, number = _only(lines, "session"), lines[0][0]
    if session.pop("layout", None) != LAYOUT:
        raise Unreadable(number, f"not the layout {LAYOUT}", "read it with the version that wrote it")
    summary = {**session, "signed_by": end.get("signed_by", ""), "signed_at": end.get("signed_at")}
    protocol = _guard(number, _protocol, _only(lines, "protocol"))
    if protocol.digest != summary.get("protocol_digest"):
        raise Unreadable(number, "the protocol is not the one that the session is pinned to")
    told = [(n, one) for n, one in lines if one["line"] == "entry"]
    told += [(len(lines) + 1, one) for one in end.get("signatures", ())]
    entries = [_guard(n, _entry, one) for n, one in told]
    return SessionRecord(
        _guard(number, _summary, summary),
        protocol,
        tuple(sorted(entries, key=lambda entry: entry.id)),
        tuple(traces(lines)),
        tuple(_guard(n, _delivery, one) for n, one in lines if one["line"] == "delivery"),
    )


def _only(lines: list[Line], kind: str) -> dict[str, Any]:
    found = [one for _, one in lines if one["line"] == kind]
    if len(found) != 1:
        raise Unreadable(1, f"{len(found)} lines of {kind} instead of one")
    return {key: value for key, value in found[0].items() if key != "line"}


def _guard(number: int, build: Callable[[dict[str, Any]], T], one: dict[str, Any]) -> T:
    try:
        return build(one)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise Unreadable(
            number, f"{type(fault).__name__}: {fault}", "it was written by another version"
        ) from fault


def _summary(one: dict[str, Any]) -> SessionSummary:
    return SessionSummary(
        **{**one, **{key: _instant(one[key]) for key in ("started_at", "ended_at", "signed_at")}}
    )


def _instant(text: str | None) -> Any:
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    return at


def _entry(one: dict[str, Any]) -> Entry:
    if one["outcome"] not in get_args(OutcomeName):
        raise ValueError(f"unknown outcome {one['outcome']!r}")
    mode = one.get("mode", "")  # an outcome of no session has none, nor has one of an older version
    chosen = {**one, "mode": mode, "at": _instant(one["at"])}
    return Entry(int(one["id"]), Outcome(*(chosen[key] for key in Outcome._fields)))


def _delivery(one: dict[str, Any]) -> Delivery:
    chosen = {key: one[key] for key in Delivery._fields}
    return Delivery(
        **{**chosen, "created_at": _instant(one["created_at"]), "settled_at": _instant(one["settled_at"])}
    )


def _traces_of_lines(lines: list[Line]) -> Iterator[Trace]:
    for number, one in lines:
        if one["line"] == "trace":
            yield _guard(number, _trace, one)


def _trace(one: dict[str, Any]) -> Trace:
    if one["metric"] not in METRICS or len(one["at"]) != len(one["values"]):
        raise ValueError(f"unknown metric {one['metric']!r}, or as many instants as values are missing")
    marks = {int(position): str(mark) for position, mark in one["marks"].items()}
    return Trace(one["metric"], one["device_id"], list(one["at"]), list(one["values"]), marks)


def _traces_of_readings(lines: list[Line]) -> Iterator[Trace]:
    found: dict[tuple[str, str], Trace] = {}
    for number, row in lines:
        if row["line"] != "reading":
            continue
        key = (row["metric"], row["device"])
        if key[0] not in METRICS:
            raise Unreadable(number, f"unknown metric {key[0]!r}", "it was written by another version")
        trace = found.setdefault(key, Trace(*key, [], [], {}))
        if row["reason"]:
            trace.marks[len(trace.at)] = row["reason"]
        seconds = _detail(number, row)["s"] if row["detail"] else _guard(number, _seconds, row)
        trace.at.append(seconds)
        trace.values.append(None if row["value"] == "" else float(_number(number, row["value"])))
    yield from found.values()


def _seconds(row: dict[str, Any]) -> float:
    return float(_instant(row["at_utc"]).timestamp())


# --- the protocol -------------------------------------------------------------------------------------------


def _protocol(one: dict[str, Any]) -> Protocol:
    rows: dict[str, type[Any]] = {
        "limits": shapes.Limit,
        "watch": shapes.Watch,
        "cadence": shapes.Cadence,
        "checkpoints": shapes.Checkpoint,
        "hold": shapes.Hold,
        "discharge": shapes.Criterion,
    }
    nested: dict[str, Any] = {
        name: tuple(_shape(kind, row) for row in one[name]) for name, kind in rows.items()
    }
    filters = {name: _shape(shapes.Filter, row) for name, row in one["filters"].items()}
    once = {
        "baseline": _shape(shapes.Baseline, one["baseline"]),
        "timing": _shape(shapes.Timing, one["timing"]),
    }
    return _shape(Protocol, {**one, **nested, **once, "filters": filters})


def _shape(kind: type[T], row: dict[str, Any]) -> T:
    """Build one of the protocol's dataclasses; lists in it are tuples, tiers are their own shape."""
    known = {field.name for field in fields_of(kind)}  # type: ignore[arg-type]
    if unknown := set(row) - known:
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    if kind is shapes.Filter:
        values["tiers"] = tuple(shapes.Tier(**tier) for tier in row["tiers"])
    return kind(**values)
