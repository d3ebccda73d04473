"""Send a recording to the broker as a device would.

Law: every row of the recording is sent, once, in order, with its own time; rows of the same time are one
report. What the file writes for "no value" is sent as no value, never dropped and never guessed.

Layouts are told by their first line: our own (``measured_at,metric,value``), ring oximeter, fingertip
oximeter without header, bedside trend, ambulatory and home cuffs.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import NamedTuple

from monitor.core.vitals import METRICS
from simulators.device import Message
from simulators.speech import ROOT, Reading, Speaker, native

SECOND_0 = datetime(2026, 1, 1, tzinfo=UTC)  # recordings that count seconds begin here unless shifted


class BadRecording(ValueError):
    """A recording that cannot be sent; the text names the file, the line and the remedy."""


class Row(NamedTuple):
    """What a device measured at one time: values by metric, ``None`` for no value."""

    measured_at: datetime
    values: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Layout:
    """One way of writing a recording."""

    name: str
    fits: Callable[[Sequence[str]], bool]
    has_header: bool
    read: Callable[[Iterator[tuple[int, list[str]]], list[str], tzinfo], Iterator[Row]]


def _number(text: str) -> float | None:
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        return None  # "--", empty, "null": no value
    return number if number == number and abs(number) != float("inf") else None


def _plain(number: float | None) -> float | None:
    """Write whole numbers without a point, as devices do."""
    return int(number) if number is not None and number == int(number) else number


def _instant(text: str, zone: tzinfo) -> datetime:
    """Read ISO 8601 or seconds."""
    text = text.strip()
    try:
        return SECOND_0 + timedelta(seconds=float(text))
    except ValueError:
        instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=zone) if instant.tzinfo is None else instant


def _read_own(rows: Iterator[tuple[int, list[str]]], header: list[str], zone: tzinfo) -> Iterator[Row]:
    at, metric, value = (header.index(name) for name in ("measured_at", "metric", "value"))
    for line, row in rows:
        if row[metric] not in METRICS:
            raise BadRecording(f"line {line}: metric {row[metric]!r} is unknown; known: {', '.join(METRICS)}")
        yield Row(_instant(row[at], zone), {row[metric]: _plain(_number(row[value]))})


def _read_ring(rows: Iterator[tuple[int, list[str]]], header: list[str], zone: tzinfo) -> Iterator[Row]:
    at, spo2, pulse = (header.index(name) for name in ("Time", "Oxygen Level", "Pulse Rate"))
    for _, row in rows:
        instant = datetime.strptime(row[at].strip(), "%H:%M:%S %b %d %Y").replace(tzinfo=zone)
        yield Row(instant, {"spo2": _plain(_number(row[spo2])), "pulse_rate": _plain(_number(row[pulse]))})


def _read_fingertip(rows: Iterator[tuple[int, list[str]]], header: list[str], zone: tzinfo) -> Iterator[Row]:  # noqa: ARG001
    seconds = 0.0
    for _, row in rows:
        seconds += _number(row[0]) or 0.0
        instant = SECOND_0 + timedelta(seconds=round(seconds, 3))
        yield Row(instant, {"spo2": _plain(_number(row[1])), "pulse_rate": _plain(_number(row[2]))})


TREND = {
    "HR[bpm]": "heart_rate",
    "PULSE[bpm]": "pulse_rate",
    "RESP[pm]": "respiration_rate",
    "SpO2[%]": "spo2",
    "NBPSys[mmHg]": "nibp_systolic",
    "NBPDias[mmHg]": "nibp_diastolic",
    "NBPMean[mmHg]": "nibp_mean",
}
AMBULATORY = {"SYST": "nibp_systolic", "MAP": "nibp_mean", "DIAST": "nibp_diastolic", "HR": "nibp_pulse_rate"}
HOME = {"Sys.mmHg.": "nibp_systolic", "Dias.mmHg.": "nibp_diastolic", "Pulse.bpm.": "nibp_pulse_rate"}


def _read_columns(time_name: str, names: dict[str, str]) -> Callable[..., Iterator[Row]]:
    def read(rows: Iterator[tuple[int, list[str]]], header: list[str], zone: tzinfo) -> Iterator[Row]:
        at = header.index(time_name)
        places = {names[name]: place for place, name in enumerate(header) if name in names}
        for _, row in rows:
            # An empty field says that nothing was measured then; a device stays quiet about it.
            values = {
                name: _plain(_number(row[place])) for name, place in places.items() if row[place].strip()
            }
            if values:
                yield Row(_instant(row[at], zone), values)

    return read


LAYOUTS: tuple[Layout, ...] = (
    Layout("readings", lambda first: {"measured_at", "metric", "value"} <= set(first), True, _read_own),
    Layout("ring oximeter", lambda first: {"Time", "Oxygen Level"} <= set(first), True, _read_ring),
    Layout("bedside trend", lambda first: first[0] == "t_s", True, _read_columns("t_s", TREND)),
    Layout(
        "ambulatory cuff", lambda first: "DATE.TIME" in first, True, _read_columns("DATE.TIME", AMBULATORY)
    ),
    Layout("home cuff", lambda first: "Sys.mmHg." in first, True, _read_columns("DateTime", HOME)),
    Layout(
        "fingertip oximeter",
        lambda first: len(first) == 9 and _number(first[0]) is not None,
        False,
        _read_fingertip,
    ),
)


def read_recording(path: Path, zone: tzinfo = UTC) -> Iterator[Row]:
    """Read a recording, plain or gzip; rows of the same time come as one.

    Args:
        path: the file.
        zone: of times without an offset.

    Raises:
        BadRecording: the layout is unknown or a row cannot be read.
    """
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as lines:
        table = csv.reader(lines)
        first = next(table, None)
        layout = next((each for each in LAYOUTS if first and each.fits(first)), None)
        if first is None or layout is None:
            names = ", ".join(each.name for each in LAYOUTS)
            raise BadRecording(
                f"{path}: the first line fits no known layout ({names}); write it as measured_at,metric,value"
            )
        rest = enumerate(table, 2)
        rows = rest if layout.has_header else itertools.chain([(1, first)], rest)
        yield from _merge(_guard(layout.read(rows, first, zone), path))


def _guard(rows: Iterator[Row], path: Path) -> Iterator[Row]:
    try:
        yield from rows
    except BadRecording as fault:
        raise BadRecording(f"{path}: {fault}") from None
    except (ValueError, IndexError) as fault:
        raise BadRecording(f"{path}: a row cannot be read: {fault}; correct or remove it") from fault


def _merge(rows: Iterator[Row]) -> Iterator[Row]:
    """Join neighbouring rows of the same time, unless one metric comes twice."""
    waiting: Row | None = None
    for row in rows:
        if (
            waiting is not None
            and waiting.measured_at == row.measured_at
            and not waiting.values.keys() & row.values.keys()
        ):
            waiting = Row(waiting.measured_at, waiting.values | row.values)
            continue
        if waiting is not None:
            yield waiting
        waiting = row
    if waiting is not None:
        yield waiting


def messages_of(
    rows: Iterator[Row], device_id: str, site: str, *, first_at: datetime | None = None
) -> Iterator[Message]:
    """Turn rows into messages; ``at_s`` counts from the first row.

    Args:
        rows: of a recording.
        device_id: who sends them.
        site: the site's name in the topic.
        first_at: shift all times so that the first row was measured then; ``None`` keeps them.
    """
    topic = f"{ROOT}/{site}/devices/{device_id}/report"
    begin: datetime | None = None
    shift = timedelta()
    boot_id = ""
    for sequence, row in enumerate(rows):
        if begin is None:
            begin = row.measured_at
            shift = (first_at - begin) if first_at is not None else timedelta()
            boot_id = hashlib.sha256(f"{device_id}/{begin + shift}".encode()).hexdigest()[:8]
        reading = Reading(row.measured_at + shift, row.values)
        payload = native(reading, Speaker(device_id, boot_id, sequence))
        yield Message(round((row.measured_at - begin).total_seconds(), 3), topic, payload, False, device_id)
