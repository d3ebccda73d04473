"""Who looked, left, came in or was refused: what the journal of outcomes does not hold.

Law: a line is only ever added, and each carries the hash of the line before it, so that a removed or altered
line shows (45 CFR 164.312(b), S-13). No secret and no measurement stands in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

FIRST = "0" * 64


class Line(NamedTuple):
    """One deed: when (ISO 8601, UTC), who, what, on what, and its place in the chain."""

    number: int
    at: str
    by: str
    what: str
    detail: str
    digest: str


class Ledger:
    """An append-only file of deeds; without a path it is kept in memory."""

    def __init__(self, path: Path | None = None) -> None:
        """Read what is there."""
        self._path = path
        self._lock = threading.Lock()
        self._lines: list[Line] = []
        if path is not None and path.exists():
            rows = path.read_text(encoding="utf-8").splitlines()
            self._lines = [Line(*json.loads(row)) for row in rows if row.strip()]

    def write(self, by: str, what: str, detail: str = "") -> None:
        """Add a line."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock:
            before = self._lines[-1].digest if self._lines else FIRST
            fields = (len(self._lines) + 1, at, by, what, detail[:500])
            line = Line(*fields, _digest(before, fields))
            self._lines.append(line)
            if self._path is not None:
                self._append(self._path, json.dumps(line, ensure_ascii=False) + "\n")

    @staticmethod
    def _append(path: Path, row: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, row.encode())
        finally:
            os.close(handle)

    def read(self, *, by: str = "", what: str = "", limit: int = 500) -> list[Line]:
        """Return lines that match, the newest first."""
        with self._lock:
            found = [
                line for line in reversed(self._lines) if by.lower() in line.by.lower() and what in line.what
            ]
        return found[:limit]

    def verify(self) -> str:
        """Return an empty string, or which line breaks the chain on disk."""
        with self._lock:
            rows = self._rows()
        before = FIRST
        for place, line in enumerate(rows, 1):
            if line.number != place or line.digest != _digest(before, tuple(line[:5])):
                return f"line {place} was altered, or one before it is missing"
            before = line.digest
        return "" if len(rows) == len(self._lines) else f"{len(self._lines) - len(rows)} lines are missing"

    def _rows(self) -> list[Line]:
        if self._path is None:
            return list(self._lines)
        if not self._path.exists():
            return []
        rows = self._path.read_text(encoding="utf-8").splitlines()
        return [Line(*json.loads(row)) for row in rows if row.strip()]


def _digest(before: str, fields: tuple[object, ...]) -> str:
    return hashlib.sha256((before + json.dumps(fields, ensure_ascii=False)).encode()).hexdigest()
