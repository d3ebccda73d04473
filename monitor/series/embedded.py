"""The journal as people read it: sessions, outcomes, traces. Read only.

Law: a reader never holds up the writer and never changes a byte. Each thread reads through a connection of
its own, so that many pages may ask at once.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from monitor.core.inputs import Associate, Dissociate, Input, StartSession
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Protocol
from monitor.core.record import Delivery, Entry, SessionRecord, SessionSummary, Trace
from monitor.core.vitals import METRICS, Report
from monitor.schema import (
    FILE,
    LEVELS,
    METRIC_COLUMNS,
    REFUSED,
    REPORT,
    checksum,
    from_micros,
    micros,
    report_of,
)
from monitor.series import levels
from monitor.snapshot import load_input, load_protocol

_SUMMARY = (
    "session_id, bed_id, patient_code, protocol, protocol_digest, mode, started_at, started_by, ended_at, "
    "ended_by, alarms, high, signed_by, signed_at"
)


DAMAGED = "damaged in the journal; see `afterwatch verify`"


class Embedded:
    """The embedded store of one site. May be asked from any thread."""

    def __init__(self, folder: Path) -> None:
        """Read the journal in ``folder``; it may not be there yet."""
        self.path = folder / FILE
        self._here = threading.local()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Give this thread's connection; one moment of the file for all that is asked inside."""
        db: sqlite3.Connection | None = getattr(self._here, "db", None)
        if db is None:
            db = self._here.db = sqlite3.connect(
                f"file:{self.path}?mode=ro", uri=True, isolation_level=None, timeout=2.0
            )
        db.execute("BEGIN")
        try:
            yield db
        finally:
            db.execute("ROLLBACK")

    # --- sessions -----------------------------------------------------------------------------------

    def sessions(
        self,
        *,
        patient_code: str = "",
        bed_id: str = "",
        protocol: str = "",
        mode: str = "",
        from_at: datetime | None = None,
        to_at: datetime | None = None,
        had_alarms: bool | None = None,
        limit: int = 100,
    ) -> list[SessionSummary]:
        """Return sessions that match, the newest first."""
        wanted: list[tuple[str, Any]] = [
            ("patient_code = ?", patient_code or None),
            ("bed_id = ?", bed_id or None),
            ("protocol = ?", protocol or None),
            ("mode = ?", mode or None),
            ("started_at >= ?", micros(from_at) if from_at else None),
            ("started_at < ?", micros(to_at) if to_at else None),
            ("(alarms > 0) = ?", None if had_alarms is None else int(had_alarms)),
        ]
        where, values = _where(wanted)
        with self._reading() as db:
            rows = db.execute(
                f"SELECT {_SUMMARY} FROM session {where} ORDER BY started_at DESC LIMIT ?", (*values, limit)
            ).fetchall()
        return [_summary(row) for row in rows]

    def summary(self, session_id: str) -> SessionSummary | None:
        """Return one session's line, or ``None``."""
        with self._reading() as db:
            row = db.execute(f"SELECT {_SUMMARY} FROM session WHERE session_id=?", (session_id,)).fetchone()
        return _summary(row) if row else None

    def protocol_of(self, session_id: str) -> Protocol:
        """Return the protocol the session started from.

        Raises:
            LookupError: there is no such session.
        """
        with self._reading() as db:
            row = db.execute(
                "SELECT body FROM protocol JOIN session ON digest = protocol_digest WHERE session_id=?",
                (session_id,),
            ).fetchone()
        if row is None:
            raise LookupError(f"no session {session_id!r}")
        return load_protocol(row[0])

    def record(self, session_id: str) -> SessionRecord:
        """Return everything about one session.

        Raises:
            LookupError: there is no such session.
        """
        summary = self.summary(session_id)
        if summary is None:
            raise LookupError(f"no session {session_id!r}; `afterwatch sessions` lists them")
        entries = tuple(self.log(session_id=session_id, limit=1_000_000))
        end = summary.ended_at or max((entry.outcome.at for entry in entries), default=summary.started_at)
        span = (summary.bed_id, summary.started_at, end)
        traces = tuple(self.checked(self.traces(*span), *span))
        protocol = self.protocol_of(session_id)
        return SessionRecord(summary, protocol, entries, traces, tuple(self.deliveries(session_id)))

    def lived(self, session_id: str, before: timedelta) -> list[tuple[datetime, Input | Report]]:
        """Return what a session's bed was given, in order: its devices first, then inputs and reports.

        Args:
            session_id: the session.
            before: how long before the monitor was told of it the reports begin (device clocks, counters).

        Raises:
            LookupError: there is no such session, or it is older than the keeping of inputs.
        """
        summary = self.summary(session_id)
        if summary is None:
            raise LookupError(f"no session {session_id!r}; `afterwatch sessions` lists them")
        with self._reading() as db:
            protocols = {
                one: load_protocol(body) for one, body in db.execute("SELECT digest, body FROM protocol")
            }
            rows = db.execute(
                "SELECT at, body FROM input WHERE bed_id=? ORDER BY id", (summary.bed_id,)
            ).fetchall()
            asked = [(from_micros(at), load_input(body, protocols)) for at, body in rows]
            begun = [
                at for at, one in asked if isinstance(one, StartSession) and one.session_id == session_id
            ]
            if not begun:
                raise LookupError(f"{session_id}: what was asked of its bed is not kept any more")
            told, end = begun[0], summary.ended_at
            first, last = micros(told - before), micros(end) if end else 2**62
            names = {number: name for name, number in db.execute("SELECT name, id FROM name")}
            own = (summary.bed_id, summary.bed_id + REFUSED)
            beds = [number for number, name in names.items() if name in own]
            reports = [
                report_of(row, names)
                for row in db.execute(
                    f"SELECT {REPORT} FROM reading WHERE id >= ? AND id < ? "
                    f"AND bed IN ({', '.join('?' * len(beds))}) ORDER BY id",
                    (_arrived(db, first), _arrived(db, last + 1), *beds),
                )
            ]
        devices = [one for one in asked if one[0] < told and isinstance(one[1], Associate | Dissociate)]
        during = [one for one in asked if told <= one[0] and (end is None or one[0] <= end)]
        start = from_micros(first)
        found: list[tuple[datetime, Input | Report]] = [(min(at, start), one) for at, one in devices]
        # An input at the instant of a report came before it (``app.ward``).
        return found + sorted(
            [*during, *((report.received_at, report) for report in reports)], key=lambda one: one[0]
        )

    # --- outcomes -----------------------------------------------------------------------------------

    def log(
        self,
        *,
        session_id: str = "",
        bed_id: str = "",
        names: Sequence[str] = (),
        from_at: datetime | None = None,
        to_at: datetime | None = None,
        after_id: int = 0,
        limit: int = 5000,
    ) -> list[Entry]:
        """Return outcomes that match, oldest first."""
        wanted: list[tuple[str, Any]] = [
            ("session_id = ?", session_id or None),
            ("bed_id = ?", bed_id or None),
            ("at >= ?", micros(from_at) if from_at else None),
            ("at < ?", micros(to_at) if to_at else None),
            ("id > ?", after_id or None),
        ]
        where, values = _where(wanted)
        if names:
            where += (" AND " if where else "WHERE ") + f"outcome IN ({', '.join('?' * len(names))})"
            values += list(names)
        with self._reading() as db:
            rows = db.execute(f"SELECT id, body FROM outcome {where} ORDER BY id LIMIT ?", (*values, limit))
            return [Entry(number, outcome_of(body)) for number, body in rows]

    def deliveries(self, session_id: str) -> list[Delivery]:
        """Return what became of the notifications of a session's alarms, oldest first."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT key, alarm_id, target, created_at, state, attempts, result, settled_at "
                "FROM notification WHERE session_id=? ORDER BY created_at",
                (session_id,),
            ).fetchall()
        return [
            Delivery(key, alarm, target, from_micros(made), state, attempts, result, _instant(settled))
            for key, alarm, target, made, state, attempts, result, settled in rows
        ]

    def quarantine(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return what could not be decoded, newest first: id, at, topic, payload (text or hex), reason."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT id, at, topic, payload, reason FROM quarantine ORDER BY id DESC LIMIT ?", (limit,)
            ).fetchall()
        return [
            {
                "id": number,
                "at": from_micros(at).isoformat(),
                "topic": topic,
                "payload": _text(payload),
                "reason": why,
            }
            for number, at, topic, payload, why in rows
        ]

    # --- readings -----------------------------------------------------------------------------------

    def traces(
        self,
        bed_id: str,
        from_at: datetime,
        to_at: datetime,
        *,
        metrics: Sequence[str] = (),
        every_s: float = 0.0,
    ) -> list[Trace]:
        """Return what was measured on a bed between two instants, one trace for each metric and device.

        Args:
            bed_id: the bed.
            from_at: first instant, included.
            to_at: last instant, included.
            metrics: names of ``METRICS``; empty means all.
            every_s: if above 0, each interval of that many seconds keeps its lowest and highest value;
                from 10 on these stand at the beginning and in the middle of their interval.
        """
        chosen = [name for name in METRIC_COLUMNS if not metrics or name in metrics]
        if every_s >= LEVELS[0]:
            with self._reading() as db:
                return levels.traces(db, bed_id, micros(from_at), micros(to_at), chosen, every_s)
        with self._reading() as db:
            traces = [*_of_bed(db, bed_id, micros(from_at), micros(to_at), chosen)]
        traces.sort(key=lambda trace: (METRIC_COLUMNS.index(trace.metric), trace.device_id))
        return [thin(trace, every_s) for trace in traces] if every_s > 0 else traces

    def checked(
        self, traces: Sequence[Trace], bed_id: str, from_at: datetime, to_at: datetime
    ) -> list[Trace]:
        """Return traces without the values of rows that are not as they were written (R-05)."""
        with self._reading() as db:
            db.create_function("checksum", -1, checksum, deterministic=True)
            rows = db.execute(
                "SELECT name.name, at FROM reading JOIN name ON name.id = device WHERE at BETWEEN ? AND ? "
                "AND bed = (SELECT id FROM name WHERE name = ?) "
                f"AND device IN ({', '.join('?' * len(traces))}) AND crc IS NOT checksum(bed, at, {REPORT})",
                (micros(from_at), micros(to_at), bed_id, *self._numbers(db, traces)),
            ).fetchall()
        damaged = {(device, at / 1e6) for device, at in rows}
        return [_without(trace, damaged) for trace in traces] if damaged else list(traces)

    @staticmethod
    def _numbers(db: sqlite3.Connection, traces: Sequence[Trace]) -> list[int]:
        names = dict(db.execute("SELECT name, id FROM name"))
        return [names[trace.device_id] for trace in traces]

    def counts(self) -> dict[str, int]:
        """Return how many rows each table holds."""
        tables = ("reading", "outcome", "session", "notification", "quarantine")
        with self._reading() as db:
            return {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def _arrived(db: sqlite3.Connection, at: int) -> int:
    """Return the number of the first reading that arrived at an instant or later: they arrive in order."""
    low, high = 0, 1 + int(db.execute("SELECT coalesce(max(id), 0) FROM reading").fetchone()[0])
    while low < high:
        middle = (low + high) // 2
        # After a removal the first numbers are not there: the next one that is speaks for them.
        row = db.execute("SELECT id, received_at FROM reading WHERE id >= ? LIMIT 1", (middle,)).fetchone()
        if row is None or row[1] >= at:
            high = middle
        else:
            low = row[0] + 1
    return low


def _of_bed(
    db: sqlite3.Connection, bed_id: str, from_at: int, to_at: int, metrics: Sequence[str]
) -> Iterator[Trace]:
    """Yield a bed's traces, value by value."""
    names = dict(db.execute("SELECT name, id FROM name"))
    bed = names.get(bed_id)
    if bed is None:
        return
    by_number = {number: name for name, number in names.items()}
    newest = levels.newest_held(db, bed, metrics)
    for device in levels.devices(db, bed):
        held = levels.held(db, bed, device, from_at, to_at, metrics) | newest.get(device, set())
        key = (device, bed, from_at, to_at)
        yield from _of_device(by_number[device], db, key, [name for name in metrics if name in held], metrics)


def _of_device(
    device: str,
    db: sqlite3.Connection,
    key: tuple[int, int, int, int],
    held: Sequence[str],
    metrics: Sequence[str],
) -> Iterator[Trace]:
    """Yield a device's traces; what has ``extra`` is put among the plain values at its own times."""
    plain, special = dict(_plain(db, key, held)), _special(db, key, metrics)
    for name in metrics:
        at, values = plain.get(name, ([], []))
        if name in special:
            points = {one: (value, "") for one, value in zip(at, values, strict=True)}
            yield _trace(name, device, points | special[name])
        elif at:
            yield Trace(name, device, at, values, {})


def _plain(
    db: sqlite3.Connection, key: tuple[int, int, int, int], held: Sequence[str]
) -> Iterator[tuple[str, tuple[list[float], list[float | None]]]]:
    """Yield what the columns hold of each metric: its name, instants and values, in order of time."""
    wide = "".join(f", {name}" for name in held)
    query = (
        f"SELECT at / 1e6{wide} FROM reading INDEXED BY reading_of_device "
        "WHERE device=? AND bed=? AND at BETWEEN ? AND ? AND extra IS NULL ORDER BY at"
    )
    rows = db.execute(query, key).fetchall() if held else []
    if not rows:
        return
    every_at, *columns = map(list, zip(*rows, strict=True))
    for name, column in zip(held, columns, strict=True):
        if None in column:
            points = [point for point in zip(every_at, column, strict=True) if point[1] is not None]
            yield name, ([at for at, _ in points], [value for _, value in points])
        else:
            yield name, (every_at, column)


def _special(
    db: sqlite3.Connection, key: tuple[int, int, int, int], metrics: Sequence[str]
) -> dict[str, dict[float, tuple[float | None, str]]]:
    """Return, by metric and instant, the values of rows with ``extra`` and what is to be said of each."""
    found: dict[str, dict[float, tuple[float | None, str]]] = {}
    query = (
        "SELECT at / 1e6, extra FROM reading INDEXED BY reading_with_extra "
        "WHERE device=? AND bed=? AND at BETWEEN ? AND ? AND extra IS NOT NULL ORDER BY at"
    )
    for at, extra in db.execute(query, key):
        for one in orjson.loads(extra)["values"]:
            if one["metric"] not in metrics:
                continue
            when = datetime.fromisoformat(one["measured_at"]).timestamp() if one["measured_at"] else at
            mark = one["reason"] or ("" if one["validity"] == "valid" else one["validity"])
            found.setdefault(one["metric"], {})[when] = (one["value"], mark)
    return found


def _trace(metric: str, device_id: str, points: dict[float, tuple[float | None, str]]) -> Trace:
    order = sorted(points)
    marks = {place: points[at][1] for place, at in enumerate(order) if points[at][1]}
    return Trace(metric, device_id, order, [points[at][0] for at in order], marks)


def _without(trace: Trace, damaged: set[tuple[str, float]]) -> Trace:
    values, marks = list(trace.values), dict(trace.marks)
    for place, at in enumerate(trace.at):
        if (trace.device_id, at) in damaged:
            values[place], marks[place] = None, DAMAGED
    return trace._replace(values=values, marks=marks)


def thin(trace: Trace, every_s: float) -> Trace:
    """Keep of each interval its lowest and highest value and every "no value"; cuff values all stay."""
    if METRICS[trace.metric].aperiodic or len(trace.at) < 3:
        return trace
    kept: set[int] = set()
    low = high = -1
    slot = None
    for place, (at, value) in enumerate(zip(trace.at, trace.values, strict=True)):
        if int(at // every_s) != slot:
            kept |= {low, high}
            slot, low, high = int(at // every_s), -1, -1
        if value is None:
            kept.add(place)
            continue
        if low < 0 or value < (trace.values[low] or 0):
            low = place
        if high < 0 or value > (trace.values[high] or 0):
            high = place
    order = sorted((kept | {low, high}) - {-1})
    marks = {new: trace.marks[old] for new, old in enumerate(order) if old in trace.marks}
    return Trace(
        trace.metric, trace.device_id, [trace.at[i] for i in order], [trace.values[i] for i in order], marks
    )


def _where(wanted: list[tuple[str, Any]]) -> tuple[str, list[Any]]:
    kept = [(clause, value) for clause, value in wanted if value is not None]
    clause = " AND ".join(clause for clause, _ in kept)
    return (f"WHERE {clause}" if clause else ""), [value for _, value in kept]


def _summary(row: tuple[Any, ...]) -> SessionSummary:
    line = dict(zip(_SUMMARY.split(", "), row, strict=True))
    for key in ("started_at", "ended_at", "signed_at"):
        line[key] = _instant(line[key])
    return SessionSummary(**line)


def outcome_of(body: str) -> Outcome:
    """Return the outcome that the journal keeps as JSON."""
    fields = orjson.loads(body)
    fields["at"] = datetime.fromisoformat(fields["at"])
    return Outcome(**fields)


def _instant(at: int | None) -> datetime | None:
    return None if at is None else from_micros(at)


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return payload.hex()
