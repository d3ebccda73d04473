"""A disk that refuses, stalls and loses power under SQLite's own file.

Law: it stands between the journal and ``sqlite3`` and changes nothing that SQLite is asked; a power cut is
before or after the COMMIT, never beside it. (Torn and reordered writes are the crash matrix's.)
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tests.simulation.tasks import PowerCut, Scheduler


@dataclass(slots=True)
class Weather:
    """How the disk is now; ``draw`` gives what one COMMIT meets."""

    refuses: str = ""
    draw: Callable[[], str] = lambda: ""
    stall_s: Callable[[], float] = lambda: 0.0
    commits: int = 0
    refused: int = 0
    refusing_since: float | None = None  # until the next COMMIT that succeeds
    last_refused_at: float = -1e9
    touched: Counter[str] = field(default_factory=Counter)  # of each table, how many commits wrote into it

    def refuse(self, now_s: float, reason: str) -> sqlite3.OperationalError:
        """Note a refusal; return what SQLite raises."""
        self.refused += 1
        self.last_refused_at = now_s
        if self.refusing_since is None:
            self.refusing_since = now_s
        return sqlite3.OperationalError(reason)


@lru_cache(1000)
def table(statement: str) -> str:
    """Return the table that a statement writes into."""
    return next(word for word in re.split(r"\W+", statement) if word.islower())


class Disk:
    """``sqlite3.Connection`` as the journal uses it."""

    def __init__(self, inner: sqlite3.Connection, weather: Weather, scheduler: Scheduler) -> None:
        """Stand before a connection."""
        self._inner, self._weather, self._scheduler = inner, weather, scheduler
        self._written: set[str] = set()  # the statements of this transaction that write

    def execute(self, statement: str, *more: Any) -> sqlite3.Cursor:
        """Execute one statement, as far as the disk lets it."""
        if statement == "COMMIT":
            return self._commit()
        if statement.startswith(("INSERT", "UPDATE")):
            if self._weather.refuses:
                raise self._weather.refuse(self._scheduler.now_s, self._weather.refuses)
            self._written.add(statement)
        return self._inner.execute(statement, *more)

    def executemany(self, statement: str, rows: Any) -> sqlite3.Cursor:
        """Execute a statement for many rows."""
        if isinstance(rows, list) and not rows:
            return self._inner.cursor()
        if self._weather.refuses and rows:
            raise self._weather.refuse(self._scheduler.now_s, self._weather.refuses)
        self._written.add(statement)
        return self._inner.executemany(statement, rows)

    def _commit(self) -> sqlite3.Cursor:
        weather = self._weather
        met = weather.draw()
        if weather.refuses or met == "refuse":
            raise weather.refuse(self._scheduler.now_s, weather.refuses or "disk I/O error")
        if met == "cut before":
            raise PowerCut
        if met == "stall before":
            self._scheduler.sleep(weather.stall_s())
        done = self._inner.execute("COMMIT")
        weather.commits += 1
        weather.refusing_since = None
        weather.touched.update({table(one) for one in self._written})
        self._written.clear()
        if met == "stall after":
            self._scheduler.sleep(weather.stall_s())
        if met == "cut after":
            raise PowerCut
        return done

    def __getattr__(self, name: str) -> Any:
        """Give everything else of the connection."""
        return getattr(self._inner, name)
