"""Long traces from intervals: the lowest and the highest of each, as the journal keeps them.

Law: no extreme is lost and no mean is made. What the intervals do not say yet the newest readings say.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import cycle
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
    known = devices(db, asked.bed)
    found = {device: rows for device in known if (rows := _kept(db, device, asked))}
    for device, newest in _newest(db, asked).items():
        found[device] = _joined(found.get(device, []), newest)
    made: list[Trace] = []
    for device, rows in found.items():
        numbers, *ends = zip(*rows, strict=True)
        length_s = asked.length_s
        begins = [number * length_s for number in numbers]
        for place, metric in enumerate(metrics):
            lows, highs = ends[2 * place], ends[2 * place + 1]
            trace = overview(metric, by_number[device], begins, lows, highs, length_s)
            if trace.at:
                made.append(trace)
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


def _kept(db: sqlite3.Connection, device: int, asked: _Asked) -> Rows:
    """Return what the journal's own intervals say, several of them joined."""
    unit = asked.span * 1_000_000
    joined = "min({0}_low), max({0}_high)" if asked.times > 1 else "{0}_low, {0}_high"
    columns = ", ".join(joined.format(name) for name in asked.metrics)
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
    query = (
        f"SELECT device, at, extra, {', '.join(asked.metrics)} FROM reading NOT INDEXED "
        "WHERE id > ? AND bed=? AND at BETWEEN ? AND ?"
    )
    places = [4 + 2 * METRIC_COLUMNS.index(name) + end for name in asked.metrics for end in (0, 1)]
    unit = asked.span * 1_000_000
    keys = (levelled(db), asked.bed, asked.from_at, asked.to_at)
    for device, at, extra, *values in db.execute(query, keys):
        of_device = found.setdefault(device, {})
        if extra is None:
            _widen(of_device, at // unit // asked.times, [value for value in values for _ in (0, 1)])
            continue
        for said in level_of(device, at, asked.bed, extra):
            if said[1] == asked.span:
                _widen(of_device, said[2] // asked.times, [said[place] for place in places])
    return found


def _widen(ends_of: dict[int, Ends], number: int, more: Ends) -> None:
    """Take into an interval the lowest of the lowest and the highest of the highest."""
    known = ends_of.get(number)
    ends_of[number] = more if known is None else [*map(_outer, known, more, cycle((min, max)))]


def _outer(one: float | None, other: float | None, of: Callable[[float, float], float]) -> float | None:
    return other if one is None else one if other is None else of(one, other)


def _joined(kept: Rows, newest: dict[int, Ends]) -> Rows:
    """Return rows with what the newest readings add to them."""
    rows: dict[int, Ends] = {number: ends for number, *ends in kept}
    for number, ends in newest.items():
        _widen(rows, number, ends)
    return [(number, *ends) for number, ends in sorted(rows.items())]


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
