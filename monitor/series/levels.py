"""Long traces from intervals: the lowest and the highest of each, as the journal keeps them.

Law: no extreme is lost and no mean is made. What the intervals do not say yet the newest readings say.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson

from monitor.core.record import Trace
from monitor.schema import LEVELS, METRIC_COLUMNS, level_of, micros

Ends = dict[int, tuple[float | None, ...]]  # interval -> lowest and highest of each metric


def devices(db: sqlite3.Connection) -> list[tuple[int]]:
    """Return every device that ever reported: one step of the index for each, not one for each reading."""
    return db.execute(
        "WITH RECURSIVE d(device) AS (SELECT min(device) FROM reading UNION ALL "
        "SELECT (SELECT min(device) FROM reading WHERE device > d.device) FROM d WHERE d.device IS NOT NULL) "
        "SELECT device FROM d WHERE device IS NOT NULL"
    ).fetchall()


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
    times = int(every_s) // span
    found: dict[int, Ends] = {}
    for (device,) in devices(db):
        ends = _kept(db, device, names[bed_id], (from_at, to_at), (span, times), metrics)
        if ends:
            found[device] = ends
    _add_newest(db, found, names[bed_id], (from_at, to_at), (span, times), metrics)
    made: list[Trace] = []
    for device, ends in found.items():
        rows = sorted(ends.items())
        for place, metric in enumerate(metrics):
            low_high = ((slot, row[2 * place], row[2 * place + 1]) for slot, row in rows)
            trace = overview(metric, by_number[device], low_high, span * times)
            if trace.at:
                made.append(trace)
    if span == LEVELS[0]:
        made = [*_with_gaps(db, made, names, (names[bed_id], from_at, to_at), metrics)]
    return sorted(made, key=lambda trace: (METRIC_COLUMNS.index(trace.metric), trace.device_id))


def _kept(
    db: sqlite3.Connection,
    device: int,
    bed: int,
    edges: tuple[int, int],
    length: tuple[int, int],
    metrics: Sequence[str],
) -> Ends:
    """Return what the journal's own intervals say, several of them joined."""
    span, times = length
    unit = span * 1_000_000
    columns = ", ".join(f"min({name}_low), max({name}_high)" for name in metrics)
    query = (
        f"SELECT slot / {times} AS joined, {columns} FROM level "
        "WHERE device=? AND span=? AND slot BETWEEN ? AND ? AND bed=? GROUP BY joined"
    )
    rows = db.execute(query, (device, span, edges[0] // unit, edges[1] // unit, bed))
    return {joined * unit * times: tuple(row) for joined, *row in rows}


def _add_newest(
    db: sqlite3.Connection,
    found: dict[int, Ends],
    bed: int,
    edges: tuple[int, int],
    length: tuple[int, int],
    metrics: Sequence[str],
) -> None:
    """Add what the newest readings say, which no interval knows yet."""
    row = db.execute("SELECT value FROM meta WHERE key='levelled'").fetchone()
    unit = length[0] * length[1] * 1_000_000
    columns = ", ".join(f"min({name}), max({name})" for name in metrics)
    where = "FROM reading NOT INDEXED WHERE id > ? AND bed=? AND at BETWEEN ? AND ?"
    keys = (int(row[0]) if row else 0, bed, *edges)
    query = (
        f"SELECT device, at / {unit} AS joined, {columns} {where} AND extra IS NULL GROUP BY device, joined"
    )
    for device, joined, *ends in db.execute(query, keys):
        _join(found.setdefault(device, {}), joined * unit, ends)
    places = [4 + 2 * METRIC_COLUMNS.index(name) + end for name in metrics for end in (0, 1)]
    for one in db.execute(f"SELECT device, at, bed, extra {where} AND extra IS NOT NULL", keys).fetchall():
        for said in level_of(*one):
            if said[1] == length[0]:
                begin = said[2] // length[1] * unit
                _join(found.setdefault(said[0], {}), begin, [said[place] for place in places])


def _join(ends: Ends, begin: int, more: Sequence[float | None]) -> None:
    known = ends.get(begin)
    if known is None:
        ends[begin] = tuple(more)
        return
    joined: list[float | None] = []
    for place, (one, other) in enumerate(zip(known, more, strict=True)):
        given = [value for value in (one, other) if value is not None]
        joined.append((max if place % 2 else min)(given) if given else None)
    ends[begin] = tuple(joined)


def _with_gaps(
    db: sqlite3.Connection,
    made: list[Trace],
    names: dict[str, int],
    where: tuple[int, int, int],
    metrics: Sequence[str],
) -> Iterable[Trace]:
    """Put every "no value" where it was measured: a gap that has a reason is not passed over."""
    gaps: dict[tuple[str, str], dict[float, str]] = {}
    by_number = {number: name for name, number in names.items()}
    query = (
        "SELECT at, extra FROM reading INDEXED BY reading_with_extra "
        "WHERE device=? AND bed=? AND at BETWEEN ? AND ? AND extra IS NOT NULL"
    )
    for (device,) in devices(db):
        for at, extra in db.execute(query, (device, *where)):
            for one in orjson.loads(extra)["values"]:
                if one["value"] is None and one["metric"] in metrics:
                    own = one["measured_at"]
                    when = micros(datetime.fromisoformat(own)) if own else at
                    key = (one["metric"], by_number[device])
                    gaps.setdefault(key, {})[when / 1e6] = one["reason"] or one["validity"]
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


def overview(metric: str, device_id: str, rows: Any, every_s: float) -> Trace:
    """Draw intervals as a trace: the lowest at the beginning of each, the highest in its middle.

    Args:
        metric: name of the metric.
        device_id: what measured it.
        rows: beginning (microseconds since 1970), lowest, highest, in the metric's unit; in order of time.
        every_s: length of an interval, seconds.
    """
    half_s = every_s / 2
    points = [
        point
        for begin, low, high in rows
        if low is not None
        for point in (
            ((begin / 1e6, low),) if low == high else ((begin / 1e6, low), (begin / 1e6 + half_s, high))
        )
    ]
    at, values = map(list, zip(*points, strict=True)) if points else ([], [])
    return Trace(metric, device_id, at, values, {})
