"""A recording of readings as a file: CSV in, reports out.

Law: a line is used as it stands or refused with its number and the reason; none is dropped in silence, none
stops the rest. A number that a device uses for "no value" is no value, and so is a cell without any digit.
"""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby, pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from monitor.core.device import DeviceProfile
from monitor.core.vitals import METRICS, Report, screen, screen_pressures
from monitor.formats.units import convert

NEEDED = ("measured_at", "metric", "value")
SECOND_0 = datetime(2026, 1, 1, tzinfo=UTC)  # files that count seconds begin here
SECONDS_UPTO = 1e8  # a plain number below it counts seconds, one above it is a time since 1970
EPOCHS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))  # up to which number: s, ms, us, ns
YEARS = range(1970, 3000)  # archives move their dates ahead by centuries; beyond is a sign for no time
CUFF_INTERVAL_S = 300.0
OWN_PACE = 1.5  # a metric that comes so much more slowly than its device's fastest has a pace of its own
ORDER = {name: place for place, name in enumerate(METRICS)}

_DIGITS_ONLY = re.compile(r"(?:19|20|21)\d{10}(?:\d\d)?")  # HL7's YYYYMMDDHHMM[SS]
_DATE_ONLY = re.compile(r"[\d/-]{8,10}")
_SPACED_OFFSET = re.compile(r"\s*(?:UTC|GMT|\s(?=[+-]\d\d:?\d\d$))", re.IGNORECASE)
_MEASURED = re.compile(r"([-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[-+]?\d+)?)\s*([^\d\s].*)?", re.IGNORECASE)


class BadRecording(ValueError):
    """The file cannot be replayed; the text names the file, the line and the remedy."""


class Refused(ValueError):
    """A line cannot be used; the text says why."""


class Row(NamedTuple):
    """One line of a recording: ``value`` (the metric's unit) is ``None`` for no value."""

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
    """What was read, in order of receipt, and the lines that were refused, by reason."""

    rows: list[Row] = field(default_factory=list)
    refused: dict[str, list[int]] = field(default_factory=dict)


def read(file: Path) -> Recording:
    """Read a CSV with ``measured_at,metric,value`` and optional ``received_at,device_id,unit``; gzip too.

    Columns stand in any order, between commas, semicolons, tabs or bars. Times are ISO 8601 (without offset:
    UTC), seconds from a common start, or a number since 1970. A value may carry its unit and a decimal comma.
    Rows are put in order of receipt; where the file does not say when, in order of measuring.

    Raises:
        BadRecording: the file cannot be opened, a needed column is missing, or no line can be used.
    """
    found = Recording()
    text, whole = _text(file)
    filled = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    head = filled[0][1] if filled else ""
    if not whole and len(filled) > 1:
        found.refused["cut off here: the file is not complete; copy it again"] = [filled.pop()[0]]
    delimiter, columns = _columns(file, head)
    for number, line in filled[1:]:
        try:
            found.rows.append(_row(number, _cells(line, delimiter, columns)))
        except Refused as why:
            found.refused.setdefault(str(why), []).append(number)
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


def _columns(file: Path, head: str) -> tuple[str, list[str]]:
    """Return what stands between the cells, and the names of the columns."""
    best: list[str] = []
    for delimiter in ",;\t|":
        names = [name.strip().lower() for name in next(csv.reader([head], delimiter=delimiter), [])]
        if set(NEEDED) <= set(names):
            return delimiter, names
        best = max(best, names, key=lambda one: len(set(NEEDED) & set(one)))
    wanted = ", ".join(sorted(set(NEEDED) - set(best)))
    raise BadRecording(f"{file}: line 1: no column {wanted}; the first line must name {','.join(NEEDED)}")


def _cells(line: str, delimiter: str, columns: list[str]) -> dict[str, str]:
    try:
        cells = next(csv.reader([line], delimiter=delimiter)) if '"' in line else line.split(delimiter)
    except csv.Error as fault:
        raise Refused(f"{fault}") from fault
    if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
        raise Refused("more cells than columns; a decimal comma needs quotes, or semicolons between cells")
    return dict(zip(columns, cells, strict=False))


def _row(line: int, cells: Mapping[str, str]) -> Row:
    if missing := [name for name in NEEDED if name not in cells]:
        raise Refused(f"the line ends before {missing[0]}")
    metric = cells["metric"].strip().lower()
    if metric not in METRICS:
        raise Refused(f"metric {metric[:40]!r} is unknown; known are {', '.join(METRICS)}")
    received = cells.get("received_at", "").strip()
    return Row(
        line,
        instant(cells["measured_at"].strip()),
        instant(received) if received else None,
        cells.get("device_id", "").strip() or f"replay-{METRICS[metric].channel}",
        metric,
        _number(cells["value"].strip(), metric, cells.get("unit", "").strip()),
    )


@lru_cache(maxsize=4096)
def instant(text: str) -> datetime:
    """Read a time. Raises Refused, with the remedy, when it is none."""
    try:
        at = _placed(text)
    except (ValueError, OverflowError) as fault:
        raise Refused("the time cannot be read; write ISO 8601, seconds, or a number since 1970") from fault
    if at.year not in YEARS:
        raise Refused(f"the year {at.year} is no year of a reading")
    return at


def _placed(text: str) -> datetime:
    if _DIGITS_ONLY.fullmatch(text):
        return datetime.strptime(text.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    try:
        number = float(text)
    except ValueError:
        at = datetime.fromisoformat(_SPACED_OFFSET.sub("", text).replace("/", "-"))
        if _DATE_ONLY.fullmatch(text):
            raise
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    if abs(number) < SECONDS_UPTO:
        return SECOND_0 + timedelta(seconds=number)
    return datetime.fromtimestamp(0, UTC) + timedelta(
        seconds=number / next((parts for upto, parts in EPOCHS if abs(number) < upto), 1.0)
    )


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


# --- as reports -------------------------------------------------------------------------------------------


def reports(rows: Iterable[Row]) -> Iterator[Report]:
    """Return rows, as ``read`` puts them in order, as reports: one of what a device measured at one time.

    A metric that comes more slowly than the others of its device is given a device of its own, so that a gap
    of it is measured by its own pace.
    """
    ordered = list(rows)
    own = _of_own_pace(ordered)
    named = (
        row._replace(device_id=f"{row.device_id}/{row.metric}") if (row.device_id, row.metric) in own else row
        for row in ordered
    )
    for _, group in groupby(named, key=lambda row: (row.device_id, row.measured_at, row.received_at)):
        waiting = list(group)
        while waiting:  # the same metric twice at one time is two reports
            first: dict[str, Row] = {}
            again = [row for row in waiting if first.setdefault(row.metric, row) is not row]
            yield _report(list(first.values()))
            waiting = again


def _of_own_pace(rows: list[Row]) -> set[tuple[str, str]]:
    times: dict[tuple[str, str], list[datetime]] = {}
    for row in rows:
        if not METRICS[row.metric].aperiodic:
            times.setdefault((row.device_id, row.metric), []).append(row.measured_at)
    paces = {key: _pace_s(found) for key, found in times.items()}
    fastest: dict[str, float] = {}
    for (device_id, _), pace in paces.items():
        fastest[device_id] = min(pace, fastest.get(device_id, pace))
    return {key for key, pace in paces.items() if pace > OWN_PACE * fastest[key[0]]}


def _report(group: list[Row]) -> Report:
    values = tuple(screen(row.metric, row.value) for row in group)
    return Report(group[0].device_id, group[0].at, group[0].measured_at, screen_pressures(values))


def profiles(found: list[Report]) -> list[DeviceProfile]:
    """Return what each device measures and how often."""
    metrics: dict[str, set[str]] = {}
    times: dict[str, list[datetime]] = {}
    for report in found:
        metrics.setdefault(report.device_id, set()).update(one.metric for one in report.observations)
        times.setdefault(report.device_id, []).append(report.at)
    return [
        DeviceProfile(name, tuple(sorted(measured)), _interval_s(measured, times[name]))
        for name, measured in sorted(metrics.items())
    ]


def _interval_s(metrics: set[str], times: list[datetime]) -> float:
    return CUFF_INTERVAL_S if all(METRICS[name].aperiodic for name in metrics) else _pace_s(times)


def _pace_s(times: list[datetime]) -> float:
    """Return the median time between readings, at least a second."""
    gaps = [(b - a).total_seconds() for a, b in pairwise(sorted(set(times)))]
    return max(median(gaps), 1.0) if gaps else 1.0
