"""Long traces from intervals: the lowest and the highest of each, as the journal keeps them.

Law: no extreme is lost and no mean is made. What the intervals do not say yet the newest readings say.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import compress, cycle
from typing import Any, NamedTuple

import orjson

from monitor.core.record import Trace
from monitor.schema import LEVELS, METRIC_COLUMNS, level_of, micros

Ends = list[float | None]  # lowest and highest of each metric
Rows = list[tuple[Any, ...]]  # an interval's number, then its ends; in order of time


def devices(db: sqlite3.Connection, bed: int) -> list[int]:
    """Return every device that ever served a bed: one step of the key for each, and the newest readings."""
    of = {"bed": bed, "span": LEVELS[-1], "levelled": levelled(db)}
    rows = db.execute(
        "WITH RECURSIVE d(device) AS ("
        "SELECT min(device) FROM level WHERE bed = :bed AND span = :span UNION ALL "
        "SELECT (SELECT min(device) FROM level WHERE bed = :bed AND span = :span AND device > d.device) "
        "FROM d WHERE d.device IS NOT NULL) SELECT device FROM d WHERE device IS NOT NULL "
        "UNION SELECT device FROM reading NOT INDEXED WHERE id > :levelled AND bed = :bed",
        of,
    )
    return [device for (device,) in rows]


def held(
    db: sqlite3.Connection, bed: int, device: int, from_at: int, to_at: int, metrics: Sequence[str]
) -> set[str]:
    """Return the metrics of which a device's intervals hold a value in a span (microseconds since 1970).

    A column that holds nothing costs as much to read as one that holds something.
    """
    unit = LEVELS[-1] * 1_000_000
    query = (
        f"SELECT {', '.join(f'max({name}_low) IS NOT NULL' for name in metrics)} FROM level "
        "WHERE device=? AND span=? AND slot BETWEEN ? AND ? AND bed=?"
    )
    found = db.execute(query, (device, LEVELS[-1], from_at // unit, to_at // unit, bed)).fetchone()
    return {*compress(metrics, found)}


def newest_held(db: sqlite3.Connection, bed: int, metrics: Sequence[str]) -> dict[int, set[str]]:
    """Return, by device, the metrics of readings of a bed that no interval knows yet."""
    query = (
        f"SELECT device, {', '.join(f'max({name}) IS NOT NULL' for name in metrics)} "
        "FROM reading NOT INDEXED WHERE id > ? AND bed=? GROUP BY device"
    )
    return {device: {*compress(metrics, found)} for device, *found in db.execute(query, (levelled(db), bed))}


def levelled(db: sqlite3.Connection) -> int:
    """Return up to which reading the intervals know everything."""
    row = db.execute("SELECT value FROM meta WHERE key='levelled'").fetchone()
    return int(row[0]) if row else 0


def traces(
    db: sqlite3.Connection, bed_id: str, from_at: int, to_at: int, metrics: Sequence[str], every_s: float
) -> list[Trace]:
    """Return a bed's traces by intervals.

    Args:
        db: the journal, at one moment.
        bed_id: the bed.
        from_at: first instant, microseconds since 1970.
        to_at: last instant, included.
        metrics: names of columns.
        every_s: length of the intervals in seconds, at least the shortest of ``LEVELS``.
    """
    names = dict(db.execute("SELECT name, id FROM name"))
    if bed_id not in names:
        return []
    by_number = {number: name for name, number in names.items()}
    span = max(one for one in LEVELS if one <= every_s)
    asked = _Asked(names[bed_id], from_at, to_at, span, int(every_s) // span, metrics)
    newest, known = _newest(db, asked), devices(db, asked.bed)
    made: list[Trace] = []
    for device in known:
        fresh = newest.get(device, {})
        chosen = _worth_reading(db, device, asked, fresh)
        if rows := _joined(_kept(db, device, asked, chosen), fresh, chosen, metrics):
            made += _drawn(by_number[device], rows, chosen, asked.length_s)
    if span == LEVELS[0]:
        made = [*_with_gaps(db, made, {one: by_number[one] for one in known}, asked)]
    return sorted(made, key=lambda trace: (METRIC_COLUMNS.index(trace.metric), trace.device_id))


class _Asked(NamedTuple):
    """A question: of which bed, from when to when (microseconds), in how many of the journal's intervals."""

    bed: int
    from_at: int
    to_at: int
    span: int
    times: int
    metrics: Sequence[str]

    @property
    def length_s(self) -> float:
        """Return the length of the intervals that are drawn, seconds."""
        return float(self.span * self.times)


def _worth_reading(
    db: sqlite3.Connection, device: int, asked: _Asked, newest: dict[int, Ends]
) -> Sequence[str]:
    """Return the metrics a device has to tell of; all where looking would be half the work."""
    if asked.span == LEVELS[-1]:
        return asked.metrics
    kept = held(db, asked.bed, device, asked.from_at, asked.to_at, asked.metrics)
    told = {
        name
        for ends in newest.values()
        for name, low in zip(asked.metrics, ends[::2], strict=True)
        if low is not None
    }
    return [name for name in asked.metrics if name in told or name in kept]


def _kept(db: sqlite3.Connection, device: int, asked: _Asked, metrics: Sequence[str]) -> Rows:
    """Return what the journal's own intervals say, several of them joined."""
    if not metrics:
        return []
    unit = asked.span * 1_000_000
    joined = "min({0}_low), max({0}_high)" if asked.times > 1 else "{0}_low, {0}_high"
    columns = ", ".join(joined.format(name) for name in metrics)
    query = (
        f"SELECT slot / {asked.times} AS number, {columns} FROM level "
        "WHERE device=? AND span=? AND slot BETWEEN ? AND ? AND bed=? "
        + ("GROUP BY number" if asked.times > 1 else "ORDER BY slot")
    )
    edges = (asked.from_at // unit, asked.to_at // unit)
    return db.execute(query, (device, asked.span, *edges, asked.bed)).fetchall()


def _newest(db: sqlite3.Connection, asked: _Asked) -> dict[int, dict[int, Ends]]:
    """Return, by device and interval, what the newest readings say that no interval knows yet."""
    found: dict[int, dict[int, Ends]] = {}
    unit = asked.span * 1_000_000
    keys = (levelled(db), asked.bed, asked.from_at, asked.to_at)
    where = "FROM reading NOT INDEXED WHERE id > ? AND bed=? AND at BETWEEN ? AND ? AND extra IS"
    plain = (
        f"SELECT device, at / {unit} / {asked.times} AS number, "
        f"{', '.join(f'min({name}), max({name})' for name in asked.metrics)} "
        f"{where} NULL GROUP BY device, number"
    )
    for device, number, *ends in db.execute(plain, keys):
        found.setdefault(device, {})[number] = ends
    places = [4 + 2 * METRIC_COLUMNS.index(name) + end for name in asked.metrics for end in (0, 1)]
    for device, at, extra in db.execute(f"SELECT device, at, extra {where} NOT NULL", keys):
        for said in level_of(device, at, asked.bed, extra):
            if said[1] == asked.span:
                ends = [said[place] for place in places]
                _widen(found.setdefault(device, {}), said[2] // asked.times, ends)
    return found


def _widen(ends_of: dict[int, Ends], number: int, more: Ends) -> None:
    """Take into an interval the lowest of the lowest and the highest of the highest."""
    known = ends_of.get(number)
    ends_of[number] = more if known is None else [*map(_outer, known, more, cycle((min, max)))]


def _outer(one: float | None, other: float | None, of: Callable[[float, float], float]) -> float | None:
    return other if one is None else one if other is None else of(one, other)


def _joined(kept: Rows, newest: dict[int, Ends], chosen: Sequence[str], metrics: Sequence[str]) -> Rows:
    """Return rows of the chosen metrics with what the newest readings, of all, add to them."""
    if not newest:
        return kept
    rows: dict[int, Ends] = {number: ends for number, *ends in kept}
    places = [2 * metrics.index(name) + end for name in chosen for end in (0, 1)]
    for number, ends in newest.items():
        _widen(rows, number, [ends[place] for place in places])
    return [(number, *ends) for number, ends in sorted(rows.items())]


def _drawn(device_id: str, rows: Rows, metrics: Sequence[str], length_s: float) -> Iterator[Trace]:
    """Yield the traces of a device's intervals."""
    numbers, *ends = zip(*rows, strict=True)
    begins = [number * length_s for number in numbers]
    for place, metric in enumerate(metrics):
        trace = overview(metric, device_id, begins, ends[2 * place], ends[2 * place + 1], length_s)
        if trace.at:
            yield trace


def _with_gaps(
    db: sqlite3.Connection,
    made: list[Trace],
    names: dict[int, str],
    asked: _Asked,
) -> Iterable[Trace]:
    """Put every "no value" where it was measured: a gap that has a reason is not passed over."""
    gaps: dict[tuple[str, str], dict[float, str]] = {}
    query = (
        "SELECT at, extra FROM reading INDEXED BY reading_with_extra "
        "WHERE device=? AND bed=? AND at BETWEEN ? AND ? AND extra IS NOT NULL"
    )
    for device, name in names.items():
        for at, extra in db.execute(query, (device, asked.bed, asked.from_at, asked.to_at)):
            for one in orjson.loads(extra)["values"]:
                if one["value"] is None and one["metric"] in asked.metrics:
                    own = one["measured_at"]
                    when = micros(datetime.fromisoformat(own)) if own else at
                    gaps.setdefault((one["metric"], name), {})[when / 1e6] = one["reason"] or one["validity"]
    for trace in made:
        yield _marked(trace, gaps.pop((trace.metric, trace.device_id), {}))
    for (metric, device_id), marks in gaps.items():
        yield _marked(Trace(metric, device_id, [], [], {}), marks)


def _marked(trace: Trace, gaps: dict[float, str]) -> Trace:
    if not gaps:
        return trace
    points = [*zip(trace.at, trace.values, strict=True), *((at, None) for at in gaps)]
    points.sort(key=lambda point: point[0])
    marks = {place: gaps[at] for place, (at, value) in enumerate(points) if value is None}
    at, values = ([point[side] for point in points] for side in (0, 1))
    return Trace(trace.metric, trace.device_id, at, values, marks)  # type: ignore[arg-type]


def overview(
    metric: str,
    device_id: str,
    begins: Sequence[float],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
    every_s: float,
) -> Trace:
    """Draw intervals as a trace: the lowest at the beginning of each, the highest in its middle.

    Args:
        metric: name of the metric.
        device_id: what measured it.
        begins: where the intervals begin, seconds since 1970, in order.
        lows: of each the lowest value, in the metric's unit; ``None`` for an interval without one.
        highs: of each the highest.
        every_s: length of an interval, seconds.
    """
    at: list[float] = []
    values: list[float | None] = []
    half_s = every_s / 2
    for begin, low, high in zip(begins, lows, highs, strict=True):
        if low is None:
            continue
        at.append(begin)
        values.append(low)
        if high != low:
            at.append(begin + half_s)
            values.append(high)
    return Trace(metric, device_id, at, values, {})
