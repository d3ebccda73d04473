"""Messages on disk until the broker has them.

Law: what was appended is durable when ``append`` returns, and leaves only when it is confirmed. The spool has
a limit; what goes beyond it is counted and said.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path
from typing import Any, NamedTuple

log = logging.getLogger("afterwatch.bridge")

SPOOL_MESSAGES = 200_000  # a monitor that speaks once a second, for two days


class Waiting(NamedTuple):
    """One message in the spool."""

    id: int
    payload: bytes


class Spool:
    """Messages on disk in the order in which they were heard, until the broker has them."""

    def __init__(self, file: Path, limit: int = SPOOL_MESSAGES) -> None:
        """Open or make the spool."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._limit = limit
        self._store = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._store.execute("PRAGMA journal_mode=WAL")
        self._store.execute("PRAGMA synchronous=FULL")
        self._store.execute(
            "CREATE TABLE IF NOT EXISTS waiting (id INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB)"
        )
        self.count = int(self._one("SELECT count(*) FROM waiting"))
        self.lost = 0

    def append(self, payload: bytes) -> int:
        """Keep a message durably and return its number; at the limit the oldest goes, and is counted."""
        with self._lock:
            number = self._store.execute("INSERT INTO waiting (payload) VALUES (?)", (payload,)).lastrowid
            self.count += 1
            if self.count > self._limit:
                self._store.execute("DELETE FROM waiting WHERE id = (SELECT min(id) FROM waiting)")
                self.count -= 1
                self.lost += 1
                if self.lost % 1000 == 1:
                    log.error("the spool is full (%d): %d oldest messages were lost", self._limit, self.lost)
            return int(number or 0)

    def after(self, number: int, count: int) -> list[Waiting]:
        """Return the next messages behind a number."""
        with self._lock:
            rows = self._store.execute(
                "SELECT id, payload FROM waiting WHERE id > ? ORDER BY id LIMIT ?", (number, count)
            )
            return [Waiting(*row) for row in rows]

    def done(self, number: int) -> None:
        """Forget a message that the broker has."""
        with self._lock:
            self.count -= self._store.execute("DELETE FROM waiting WHERE id = ?", (number,)).rowcount

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._store.close()

    def _one(self, question: str) -> Any:
        return self._store.execute(question).fetchone()[0]
