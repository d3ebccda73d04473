"""A recording of readings as a file: our own CSV, and what makers' programs, hospitals and people export.

Law: a line is used as it stands or refused with its number and the reason; none is dropped in silence, none
stops the rest. A number that a device uses for "no value" is no value, and so is a cell without any digit.
"""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import NamedTuple

from monitor.core.vitals import METRICS
from monitor.formats.codes import BLOOD_PRESSURE
from monitor.formats.reading import read_pressures
from monitor.formats.recording_columns import OURS, Columns, columns_of, metric_named, missing
from monitor.formats.recording_times import SECOND_0, Clock, Order, Refused
from monitor.formats.units import convert

HEAD_WITHIN = 60  # lines before which the names of the columns stand: makers write about the device first
ORDER = {name: place for place, name in enumerate(METRICS)}
# Contec's fingertip oximeters write a line for each beat and no names: seconds since the last one, SpO2,
# pulse rate, and six numbers of the pulse wave (shared data README).
NAMELESS = ("step_s", "spo2", "pulse_rate", *("wave",) * 6)

_MEASURED = re.compile(r"([-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[-+]?\d+)?)\s*([^\d\s].*)?", re.IGNORECASE)


MORE_CELLS = "more cells than columns; a decimal comma needs quotes, or semicolons between cells"


class BadRecording(ValueError):
    """The file cannot be replayed; the text names the file, the line and the remedy."""


class Row(NamedTuple):
    """One value of a recording: ``value`` (the metric's unit) is ``None`` for no value."""

    line: int
    measured_at: datetime
    received_at: datetime | None
    device_id: str
    metric: str
    value: float | None

    @property
    def at(self) -> datetime:
        """Return when it was received, as far as the file says."""
        return self.received_at or self.measured_at


@dataclass(slots=True)
class Recording:
    """What was read, in order of receipt; the lines that were refused, by reason; what was assumed."""

    rows: list[Row] = field(default_factory=list)
    refused: dict[str, list[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def refuse(self, why: Refused, line: int) -> None:
        """Note that a line, or a cell of it, cannot be used."""
        lines = self.refused.setdefault(str(why), [])
        if not lines or lines[-1] != line:
            lines.append(line)


class Table(NamedTuple):
    """A file as lines of cells: what its columns mean, and their names."""

    names: Sequence[str]
    columns: Columns
    lines: list[tuple[int, list[str]]]


def read(
    file: Path,
    *,
    names: Sequence[str] = (),
    only: Mapping[str, str] | None = None,
    zone: tzinfo = UTC,
    order: Order | None = None,
) -> Recording:
    """Read a CSV with a row for each value, or a column for each metric; gzip too.

    Columns stand in any order, between commas, semicolons, tabs or bars. Times are ISO 8601, seconds from a
    common start, a number since 1970, or whatever one form fits the file. A value may carry its unit and a
    decimal comma. Rows are put in order of receipt; where the file does not say when, in order of measuring.

    Args:
        file: the recording.
        names: of the columns, for a file that does not name them (or wrongly).
        only: the lines of which a column has a value, such as ``{"patient": "17"}``.
        zone: of times without an offset.
        order: whether day or month stands first, where it cannot be seen.

    Raises:
        BadRecording: the file cannot be opened, a needed column is missing, or no line can be used.
    """
    found = Recording()
    text, whole = _text(file)
    filled = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not whole and len(filled) > 1:
        found.refused["cut off here: the file is not complete; copy it again"] = [filled.pop()[0]]
    table = _table(file, filled, names, found)
    table = table._replace(lines=_chosen(file, table, only or {}))
    _describe(table, found)
    _read_rows(table, found, zone, order)
    if not found.rows:
        raise BadRecording(f"{file}: no line can be used; " + "; ".join(words(found.refused)))
    found.rows.sort(key=_order)
    return found


def _order(row: Row) -> tuple[datetime, datetime, str, int]:
    return row.received_at or row.measured_at, row.measured_at, row.device_id, ORDER[row.metric]


def _text(file: Path) -> tuple[str, bool]:
    """Return what is written in a file, and whether it is complete."""
    whole = True
    try:
        stored = file.read_bytes()
        if stored[:2] == b"\x1f\x8b":
            stored, whole = _unpacked(stored)
    except (OSError, zlib.error) as fault:
        raise BadRecording(f"{file}: cannot be read: {fault}; give a CSV file, plain or gzipped") from fault
    wide = stored[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = stored.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", ""), whole


def _unpacked(stored: bytes) -> tuple[bytes, bool]:
    """Unpack gzip as far as it goes; say whether that is to its end."""
    parts: list[bytes] = []
    while stored[:2] == b"\x1f\x8b":
        part = zlib.decompressobj(wbits=31)
        parts.append(part.decompress(stored))
        if not part.eof:
            return b"".join(parts), False
        stored = part.unused_data
    return b"".join(parts), True


# --- what stands where --------------------------------------------------------------------------------------


def _table(file: Path, filled: list[tuple[int, str]], names: Sequence[str], found: Recording) -> Table:
    """Find the names of the columns and what stands between the cells."""
    if names:
        columns = columns_of(names)
        if columns is None:
            raise BadRecording(f"{file}: the columns {','.join(names)} name no time, or nothing measured")
        return _cut(names, columns, _delimiter(filled, len(names)), filled, found)
    first = filled[0][1] if filled else ""
    for place, (_, head) in enumerate(filled[:HEAD_WITHIN]):
        for delimiter in ",;\t|":
            told = [name.strip() for name in _head(head, delimiter)]
            columns = columns_of(told) if len(told) > 1 else None
            if columns is not None:
                return _cut(told, columns, delimiter, filled[place + 1 :], found)
    cells = [cell.strip() for cell in first.split(",")]
    if len(cells) == len(NAMELESS) and all(cell.replace(".", "", 1).isdecimal() for cell in cells):
        return _table(file, filled, NAMELESS, found)
    raise BadRecording(_unnamed(file, first))


def _unnamed(file: Path, head: str) -> str:
    best = min((missing(head.split(delimiter)) for delimiter in ",;\t|"), key=len)
    return (
        f"{file}: line 1: no column {', '.join(best) or 'with a time'}; the first line must name "
        f"{','.join(OURS)}, or a time and a column for each metric, as in time,spo2,pulse_rate; "
        "--columns names what the file does not"
    )


def _head(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line that may name the columns; one that cannot be cut names none."""
    try:
        return _split(line, delimiter)
    except Refused:
        return []


def _split(line: str, delimiter: str) -> list[str]:
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error as fault:
        raise Refused(f"{fault}") from fault


def _delimiter(filled: list[tuple[int, str]], columns: int) -> str:
    """Return what divides the first lines into so many cells, or most of them."""
    lines = [line for _, line in filled[:HEAD_WITHIN]]
    return max(",;\t|", key=lambda sign: sum(line.count(sign) == columns - 1 for line in lines))


def _cut(
    names: Sequence[str], columns: Columns, delimiter: str, lines: list[tuple[int, str]], found: Recording
) -> Table:
    cut: list[tuple[int, list[str]]] = []
    for number, line in lines:
        try:
            cells = _split(line, delimiter)
        except Refused as why:
            found.refuse(why, number)
            continue
        if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
            found.refuse(Refused(MORE_CELLS), number)
            continue
        cut.append((number, cells))
    return Table(names, columns, cut)


def _chosen(file: Path, table: Table, only: Mapping[str, str]) -> list[tuple[int, list[str]]]:
    """Return the lines that a person asked for."""
    lines, places = table.lines, {name.strip().lower(): place for place, name in enumerate(table.names)}
    for name, value in only.items():
        place = places.get(name.strip().lower())
        if place is None:
            raise BadRecording(f"{file}: no column {name!r}; there are {', '.join(table.names)}")
        had = dict.fromkeys(_cell(cells, place) for _, cells in lines)
        lines = [(number, cells) for number, cells in lines if _cell(cells, place) == value]
        if not lines:
            raise BadRecording(f"{file}: no line has {name} {value!r}; there are {', '.join([*had][:10])}")
    return lines


def _describe(table: Table, found: Recording) -> None:
    """Say which columns are not used, and where several patients may have been taken for one."""
    if table.columns.unused:
        by_reason: dict[str, list[str]] = {}
        for name, why in table.columns.unused.items():
            by_reason.setdefault(why, []).append(name)
        said = "; ".join(f"{', '.join(names)} ({why})" for why, names in by_reason.items())
        found.notes.append(f"columns not used: {said}")
    for place, name in table.columns.groups.items():
        several = {_cell(cells, place) for _, cells in table.lines}
        if 1 < len(several) <= len(table.lines) / 2:
            found.notes.append(
                f"column {name} has {len(several)} values, taken as one patient: --only {name}=... chooses"
            )


def _cell(cells: list[str], place: int | None) -> str:
    return cells[place].strip() if place is not None and place < len(cells) else ""


# --- rows ---------------------------------------------------------------------------------------------------


def _read_rows(table: Table, found: Recording, zone: tzinfo, order: Order | None) -> None:
    columns = table.columns
    clock = Clock((_time_cell(columns, cells) for _, cells in table.lines), zone, order)
    received = Clock((_cell(cells, columns.received) for _, cells in table.lines), zone, order)
    if clock.note:
        found.notes.append(clock.note)
    said = {_cell(cells, columns.metric) for _, cells in table.lines}
    named = {text: metric_named(text, map(str.lower, said)) for text in said}
    passed = 0.0
    for number, cells in table.lines:
        try:
            if len(cells) <= max(columns.at):
                raise Refused(f"the line ends before {table.names[columns.at[0]].lower()}")
            text = _time_cell(columns, cells)
            if columns.per_second:
                counted = _count(text) / columns.per_second
                passed = passed + counted if columns.step else counted
                at = SECOND_0 + timedelta(seconds=round(passed, 6))
            else:
                at = clock.at(text)
            arrived = _cell(cells, columns.received)
            came = received.at(arrived) if arrived else None
        except Refused as why:
            found.refuse(why, number)
            continue
        device_id = _cell(cells, columns.device)
        for metric, value in _values(table, cells, number, named, found):
            source = device_id or f"replay-{METRICS[metric].channel}"
            found.rows.append(Row(number, at, came, source, metric, value))


def _time_cell(columns: Columns, cells: list[str]) -> str:
    return " ".join(_cell(cells, place) for place in columns.at)


def _count(text: str) -> float:
    try:
        number = float(text.replace(",", "."))
    except ValueError as fault:
        raise Refused(f"the time {text[:40]!r} is no number") from fault
    if not abs(number) < 1e9:
        raise Refused(f"the time {text[:40]!r} is no time since the start")
    return number


def _values(
    table: Table, cells: list[str], number: int, named: Mapping[str, str], found: Recording
) -> Iterator[tuple[str, float | None]]:
    """Yield what a line says of each metric; a cell that cannot be used is refused, the others stand."""
    columns = table.columns
    if columns.metric is None:
        for place, meaning in columns.metrics.items():
            text = _cell(cells, place)
            if not text:
                continue  # nothing was measured then; a device stays quiet about it
            try:
                if meaning.metric == BLOOD_PRESSURE:
                    yield from _pressures(text, meaning.unit)
                else:
                    yield meaning.metric, _number(text, meaning.metric, meaning.unit)
            except Refused as why:
                found.refuse(why, number)
        return
    try:
        yield _one_value(table, cells, named)
    except Refused as why:
        found.refuse(why, number)


def _one_value(table: Table, cells: list[str], named: Mapping[str, str]) -> tuple[str, float | None]:
    columns = table.columns
    for place in (columns.metric, columns.value):
        if place is not None and place >= len(cells):
            raise Refused(f"the line ends before {table.names[place].lower()}")
    said = _cell(cells, columns.metric)
    metric = named[said]
    if not metric:
        raise Refused(f"metric {said.lower()[:40]!r} is unknown; known are {', '.join(METRICS)}")
    return metric, _number(_cell(cells, columns.value), metric, _cell(cells, columns.unit))


def _pressures(text: str, unit: str) -> list[tuple[str, float | None]]:
    """Read "120/80" or "120/80(93)"."""
    if not any(sign.isdigit() for sign in text):
        return [("nibp_systolic", None), ("nibp_diastolic", None)]
    found = read_pressures(text, unit)
    if any(one.value is None and one.reason for one in found) or not found:
        raise Refused(f"the pressure {text[:40]!r} is not written as 120/80")
    return [(one.metric, one.value) for one in found]


def _number(text: str, metric: str, unit: str) -> float | None:
    """Read a value in the metric's unit; a cell without a digit (``--``, ``nan``, nothing) is no value."""
    if not unit and text.isdecimal():
        return float(text)
    if not any(sign.isdigit() for sign in text):
        return None
    match = _MEASURED.fullmatch(text)
    if match is None:
        raise Refused(f"the value {text[:40]!r} is no number")
    number, unit = float(match[1].replace(",", ".")), match[2] or unit
    if not unit:
        return number
    converted, why = convert(METRICS[metric].unit, number, unit)
    if converted is None:
        raise Refused(f"{metric}: {why.partition(':')[0]}")
    return converted


# --- what was not used --------------------------------------------------------------------------------------


def words(refused: Mapping[str, list[int]]) -> Iterator[str]:
    """Yield the number of every refused line with the reason, lines of one reason together."""
    for reason, lines in refused.items():
        yield f"line{'s' if lines[1:] else ''} {_ranges(lines)}: {reason}"


def _ranges(lines: list[int]) -> str:
    """Return line numbers in words: ``4, 7-19``."""
    runs: list[list[int]] = []
    for line in lines:
        if runs and line == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], line]
        else:
            runs.append([line])
    return ", ".join("-".join(str(end) for end in run) for run in runs)
