"""The mirror: a follower of the journal with a cursor of its own, that writes what it reads to a store.

Law: the cursor moves only after a write that returned, and every point written twice is one point, so a kill
at any instant loses nothing and doubles nothing. The journal is only read. Behind is a number, and told.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from monitor.config import Series
from monitor.schema import FILE, VALUES
from monitor.series.cursor import Cursor, keep_cursor, read_cursor
from monitor.series.embedded import outcome_of
from monitor.series.influx import Influx, Unreachable
from monitor.series.points import line_of_outcome, lines_of_reading

IDLE_S = 1.0  # between two looks when nothing waits
LONGEST_WAIT_S = 60.0
_READINGS = (
    f"SELECT id, crc, received_at, bed, at, device, flags, extra, {VALUES} FROM reading "
    "WHERE id > ? ORDER BY id LIMIT ?"
)
_OUTCOMES = "SELECT id, chain, at, body FROM outcome WHERE id > ? ORDER BY id LIMIT ?"


class Taken(NamedTuple):
    """What was read of the journal after a cursor."""

    lines: list[str]
    cursor: Cursor
    oldest_at: int | None  # when its oldest row was received, microseconds
    full: bool


Told = Callable[[float, str], None]


class Mirror:
    """Follows the journal in a folder, in a thread of its own."""

    def __init__(
        self, folder: Path, settings: Series, site: str, on_lag: Told = lambda _lag, _why: None
    ) -> None:
        """Prepare to follow.

        Args:
            folder: of the journal; the cursor is kept there too.
            settings: of the store.
            site: the site's id, a tag of every point.
            on_lag: hears from the mirror's thread how many seconds it is behind and why; again when the
                reason changes, and with an empty reason when all is well again.
        """
        self._folder, self._settings, self._site, self._on_lag = folder, settings, site, on_lag
        self._store = f"{settings.url} {settings.org} {settings.bucket} {site}"
        self._influx = Influx(settings)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._db: sqlite3.Connection | None = None
        self._names: dict[int, str] = {}
        self._ready = False
        self._oldest_at: int | None = None
        self._told = ""
        self.trouble = ""
        self.written = 0
        self.refused = 0
        self.refusal = ""
        self.cursor = Cursor()

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self, within_s: float = 5.0) -> None:
        """End; what is not mirrored yet is mirrored after the next start."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(within_s)
        if not self._thread.is_alive():
            self._influx.close()
            if self._db is not None:
                self._db.close()

    def lag(self) -> float:
        """Return how old the oldest row is that the store does not have, in seconds; 0 when it has all."""
        oldest = self._oldest_at
        return 0.0 if oldest is None else max(0.0, time.time() - oldest / 1e6)

    def _run(self) -> None:
        failures = 0
        while not self._ended.is_set():
            try:
                more = self.step()
                failures, self.trouble, wait_s = 0, "", 0.0 if more else IDLE_S
            except Exception as fault:  # noqa: BLE001  a follower goes on, whatever it met, and says so
                failures += 1
                self.trouble = str(fault) or type(fault).__name__
                wait_s = min(LONGEST_WAIT_S, 2.0 ** min(failures, 10) / 2) * random.uniform(0.5, 1.0)  # noqa: S311
                wait_s = max(wait_s, getattr(fault, "retry_after_s", 0.0))
            self._tell()
            self._ended.wait(wait_s)

    def _tell(self) -> None:
        """Say that we are behind, that points were refused, or that all is well; each once."""
        lag, why = self.lag(), ""
        if lag > self._settings.lag_alarm_s:
            limit = f"more than {self._settings.lag_alarm_s:g} s behind"
            why = f"the mirror is {limit}: {self.trouble or 'catching up'}"
        elif self.refused:
            why = f"the series store refused points for good, they are in the journal only: {self.refusal}"
        if why != self._told:
            self._told = why
            self._on_lag(lag, why)

    # --- one step -----------------------------------------------------------------------------------

    def step(self) -> bool:
        """Mirror the next rows; return whether more are likely to wait.

        Raises:
            Unreachable: the store takes nothing now.
            sqlite3.Error: the journal cannot be read.
            OSError: the cursor cannot be kept.
        """
        if not self.cursor.store:
            self.cursor = self._known_cursor()
        taken = self._take()
        self._oldest_at = taken.oldest_at
        if not self._ready:
            self._influx.probe(self._site, datetime.now(UTC))
            self._ready = True
        if taken.cursor == self.cursor:
            return False
        self._write(taken.lines)
        keep_cursor(self._folder, taken.cursor)
        self.cursor, self._oldest_at = taken.cursor, None
        return taken.full

    def _write(self, lines: list[str]) -> None:
        self._ready = False  # until this went well
        reasons = self._influx.write(lines)
        if reasons and len(reasons) == len(lines):  # with more rows it will be seen whose fault it is
            raise Unreachable(f"every point is refused: {reasons[0]}")
        self._ready = True
        self.written += len(lines) - len(reasons)
        self.refused += len(reasons)
        self.refusal = reasons[-1] if reasons else self.refusal

    def _take(self) -> Taken:
        db, at_most, cursor = self._reading(), self._settings.batch, self.cursor
        readings = db.execute(_READINGS, (cursor.reading, at_most)).fetchall()
        outcomes = db.execute(_OUTCOMES, (cursor.outcome, at_most)).fetchall()
        if any(row[3] not in self._names or row[5] not in self._names for row in readings):
            self._names = dict(db.execute("SELECT id, name FROM name"))
        lines = [line for row in readings for line in self._reading_lines(row)]
        lines += [line for number, _, _, body in outcomes for line in self._outcome_lines(number, body)]
        if readings:
            cursor = cursor._replace(reading=readings[-1][0], crc=readings[-1][1] or 0)
        if outcomes:
            cursor = cursor._replace(outcome=outcomes[-1][0], chain=outcomes[-1][1].hex())
        oldest = min([row[2] for row in (*readings[:1], *outcomes[:1])], default=None)
        return Taken(lines, cursor, oldest, len(readings) == at_most or len(outcomes) == at_most)

    def _reading_lines(self, row: tuple[Any, ...]) -> list[str]:
        return list(lines_of_reading(self._site, row[3:], self._names))

    def _outcome_lines(self, number: int, body: str) -> list[str]:
        line = line_of_outcome(self._site, number, outcome_of(body))
        return [] if line is None else [line]

    # --- the journal and the cursor -----------------------------------------------------------------

    def _reading(self) -> sqlite3.Connection:
        if self._db is None:
            path = f"file:{self._folder / FILE}?mode=ro"
            self._db = sqlite3.connect(path, uri=True, isolation_level=None, check_same_thread=False)
        return self._db

    def _known_cursor(self) -> Cursor:
        """Return the kept cursor, if it is of this store and of this journal; else begin."""
        kept = read_cursor(self._folder)
        db = self._reading()
        last = db.execute("SELECT crc FROM reading WHERE id=?", (kept.reading,)).fetchone()
        link = db.execute("SELECT chain FROM outcome WHERE id=?", (kept.outcome,)).fetchone()
        same = (last[0] or 0 if last else 0) == kept.crc and (link[0].hex() if link else "") == kept.chain
        return kept if same and kept.store == self._store else Cursor(self._store)
