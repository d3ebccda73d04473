"""Charts that do not care which store answers: the journal, and before its oldest reading the mirror.

Law: what the journal holds it answers itself. A mirror that is away costs the time before, nothing else.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from monitor.config import Series
from monitor.core.record import Trace
from monitor.schema import from_micros
from monitor.series.embedded import Embedded
from monitor.series.influx import Influx, Unreachable


class Remembered(Embedded):
    """The embedded store, with what retention removed from it read back from the mirror."""

    def __init__(self, folder: Path, settings: Series, site: str) -> None:
        """Read the journal in ``folder``, and the store of ``settings`` for what it no longer holds."""
        super().__init__(folder)
        self._influx, self._site = Influx(settings), site
        self.trouble = ""

    def traces(
        self,
        bed_id: str,
        from_at: datetime,
        to_at: datetime,
        *,
        metrics: Sequence[str] = (),
        every_s: float = 0.0,
    ) -> list[Trace]:
        """Return what was measured on a bed, as ``Embedded.traces`` does, however long ago."""
        new = super().traces(bed_id, from_at, to_at, metrics=metrics, every_s=every_s)
        begins = self._begins_at()
        if begins is None or from_at >= begins:
            return new
        try:
            old = self._influx.traces(
                self._site, bed_id, from_at, min(to_at, begins), metrics=metrics, every_s=every_s
            )
            self.trouble = ""
        except Unreachable as fault:
            old, self.trouble = [], str(fault)
        return _before(old, new)

    def _begins_at(self) -> datetime | None:
        """Return when the oldest reading was received, if retention ever removed any before it."""
        with self._reading() as db:
            if not db.execute("SELECT 1 FROM removed WHERE what='reading' LIMIT 1").fetchone():
                return None
            row = db.execute("SELECT received_at FROM reading ORDER BY id LIMIT 1").fetchone()
        return from_micros(row[0]) if row else None


def _before(old: list[Trace], new: list[Trace]) -> list[Trace]:
    """Put before each trace what the other store has of the time before its first point."""
    found = {(trace.metric, trace.device_id): trace for trace in old}
    for one in new:
        key = (one.metric, one.device_id)
        before = found.get(key, Trace(*key, [], [], {}))
        end = bisect_left(before.at, one.at[0])
        marks = {place: why for place, why in before.marks.items() if place < end}
        marks |= {end + place: why for place, why in one.marks.items()}
        found[key] = Trace(*key, before.at[:end] + one.at, before.values[:end] + one.values, marks)
    return list(found.values())
