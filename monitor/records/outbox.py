"""Records on their way to a FHIR server: which wait, which are there, which were refused.

Law: a record that is to leave is noted on disk until the server has said that it has all of it; a kill at
any instant loses nothing, and what is sent twice is one (``fhir``). The journal is only read, and nothing
waits for this. A drill never leaves. Behind, and refused, are said.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

from monitor.config import Fhir, Site
from monitor.core.outcomes import Outcome
from monitor.core.record import Entry, SessionRecord, SessionSummary
from monitor.records import EXPORTS
from monitor.records.push import PushFailed, delay_s, push
from monitor.schema import from_micros, micros

log = logging.getLogger("afterwatch.records")

FILE = "outbox.db"
IDLE_S = 2.0  # between two looks when nothing is due
# The first of all starts looks back: the other monitor of a pair may have died with what was asked of it.
LOOK_BACK = timedelta(days=1)
_ASKING = {
    "signed": ("RecordSigned", "RecordCorrected"),
    "ended": ("SessionEnded", "RecordSigned", "RecordCorrected"),
}
_TABLES = """
CREATE TABLE IF NOT EXISTS begun (at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS record (
    session_id TEXT PRIMARY KEY, asked_at INTEGER NOT NULL, state TEXT NOT NULL, why TEXT NOT NULL
) WITHOUT ROWID;
UPDATE record SET state = 'waiting' WHERE state = 'refused';
"""
_ASK = """
INSERT INTO record VALUES (?, ?, 'waiting', '') ON CONFLICT DO UPDATE
SET asked_at = excluded.asked_at, state = 'waiting', why = '' WHERE excluded.asked_at > asked_at
"""


class Archive(Protocol):
    """What is asked of the journal (``monitor.series.embedded``)."""

    def log(self, *, names: Sequence[str], after_id: int, limit: int) -> list[Entry]:
        """Return outcomes of these names after an id, oldest first."""

    def record(self, session_id: str) -> SessionRecord:
        """Return everything about one session. Raises LookupError when it is not there."""


class Waiting(NamedTuple):
    """A record that is to leave: of which session, and when that was asked for (microseconds since 1970)."""

    session_id: str
    asked_at: int


class Outbox:
    """Follows the journal and hands records to a FHIR server, in a thread of its own."""

    def __init__(
        self,
        folder: Path,
        archive: Archive,
        settings: Fhir,
        site: Site,
        on_trouble: Callable[[str], None] = lambda _why: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare to follow; what was asked for more than a day before the first of all starts stays here.

        Args:
            folder: of the journal; the notes are kept there too.
            archive: the journal, as people read it.
            settings: of the server.
            site: whose records they are.
            on_trouble: hears, from the outbox's thread, why records do not leave; an empty text when they do.
            now: the clock.
        """
        self._folder, self._archive, self._settings, self._site = folder, archive, settings, site
        self._on_trouble, self._now = on_trouble, now
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="records-outbox", daemon=True)
        self._notes: sqlite3.Connection | None = None
        self._seen = 0  # of the journal, since this start: what was noted before is known by its instant
        self._tries: dict[str, tuple[int, float]] = {}  # failed tries, and the monotonic time of the next
        self._told = ""
        self.sent = 0

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self, within_s: float = 5.0) -> None:
        """End; what has not left, leaves after the next start."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(within_s)
        if self._notes is not None and not self._thread.is_alive():
            self._notes.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            trouble, wait_s = "", 0.0
            try:
                wait_s = 0.0 if self.step() else IDLE_S
                trouble = self.trouble()
            except Exception as fault:  # noqa: BLE001  a follower goes on, whatever it met, and says so
                trouble, wait_s = f"records do not leave: {str(fault) or type(fault).__name__}", 10 * IDLE_S
            if trouble != self._told:
                self._told = trouble
                self._on_trouble(trouble)
            self._ended.wait(wait_s)

    # --- one step -------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Note what is to leave, then try the record that is due first; return whether one was tried.

        Raises:
            sqlite3.Error: the journal or the notes cannot be read or written.
        """
        self._note_new()
        waiting = [Waiting(*row) for row in self._all("waiting")]
        due = [one for one in waiting if self._tries.get(one.session_id, (0, 0.0))[1] <= time.monotonic()]
        if due:
            self._try(due[0])
        return bool(due)

    def trouble(self) -> str:
        """Return why records do not leave; empty when they do."""
        if refused := self._all("refused"):
            first = refused[0][0]
            return f"{_count(refused)} refused by the FHIR server; {first}: {self._why(first)}"
        if not (waiting := self._all("waiting")):
            return ""
        session_id, asked_at = waiting[0]
        since = from_micros(asked_at)
        if (self._now() - since).total_seconds() <= self._settings.lag_alarm_s:
            return ""
        why = self._why(session_id) or "catching up"
        return f"{_count(waiting)} waiting for the FHIR server since {since:%Y-%m-%d %H:%M} UTC: {why}"

    def _note_new(self) -> None:
        names = _ASKING[self._settings.when]
        while entries := self._archive.log(names=names, after_id=self._seen, limit=500):
            for entry in entries:
                self._note(entry.outcome)
            self._seen = entries[-1].id

    def _note(self, asked: Outcome) -> None:
        at = micros(asked.at)
        if at > self._begun() and self._open().execute(_ASK, (asked.session_id, at)).rowcount:
            self._tries.pop(asked.session_id, None)

    def _try(self, one: Waiting) -> None:
        try:
            state, why = self._send(one.session_id), ""
        except LookupError as gone:
            state, why = "kept", str(gone)
        except PushFailed as fault:
            state, why = "waiting" if fault.again else "refused", fault.reason
            if fault.again:
                self._wait(one.session_id, fault.after_s)
        except ValueError as fault:
            state, why = "refused", f"cannot be written as FHIR: {fault}"
        log.info("record %s: %s %s", one.session_id, state, why)
        self._open().execute(
            "UPDATE record SET state = ?, why = ? WHERE session_id = ? AND asked_at = ?",
            (state, why, one.session_id, one.asked_at),
        )

    def _send(self, session_id: str) -> str:
        record = self._archive.record(session_id)
        if not self._is_to_leave(record.summary):
            return "kept"
        settings = self._settings
        push(
            EXPORTS["fhir"].render(record, self._site),
            settings.url,
            token=settings.token(),
            timeout_s=settings.timeout_s,
            ca_file=settings.tls_ca,
            now=self._now(),
        )
        self.sent += 1
        return "sent"

    def _is_to_leave(self, summary: SessionSummary) -> bool:
        """Say whether a session's record leaves now: of a patient, ended, and signed if that is asked for."""
        asked = summary.signed_by or self._settings.when == "ended"
        return summary.mode == "real" and summary.ended_at is not None and bool(asked)

    def _wait(self, session_id: str, after_s: float | None) -> None:
        tries = self._tries.get(session_id, (0, 0.0))[0] + 1
        self._tries[session_id] = (tries, time.monotonic() + delay_s(tries, after_s))

    # --- the notes ------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        if self._notes is None:
            notes = sqlite3.connect(self._folder / FILE, isolation_level=None, check_same_thread=False)
            notes.execute("PRAGMA synchronous = FULL")
            notes.executescript(_TABLES)
            if notes.execute("SELECT at FROM begun").fetchone() is None:
                notes.execute("INSERT INTO begun VALUES (?)", (micros(self._now() - LOOK_BACK),))
            self._notes = notes
        return self._notes

    def _begun(self) -> int:
        return int(self._open().execute("SELECT at FROM begun").fetchone()[0])

    def _all(self, state: str) -> list[tuple[str, int]]:
        question = "SELECT session_id, asked_at FROM record WHERE state = ? ORDER BY asked_at"
        return self._open().execute(question, (state,)).fetchall()

    def _why(self, session_id: str) -> str:
        found = self._open().execute("SELECT why FROM record WHERE session_id = ?", (session_id,)).fetchone()
        return str(found[0])


def _count(rows: Sequence[tuple[str, int]]) -> str:
    return "1 record is" if len(rows) == 1 else f"{len(rows)} records are"
