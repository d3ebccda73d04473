"""Records that came back from a file: kept beside the journal, never in it.

Law: the journal holds what this monitor lived, in one chain that the running monitor alone writes; an import
adds files of its own and opens the journal for reading only, so it can neither break the chain nor make a
session start, alarm, be mirrored or be pushed. A record comes in whole or not at all, and never takes
another's place.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from monitor.core.record import SessionRecord
from monitor.records import readback, table

FOLDER = "imported"
_SUFFIX = ".jsonl"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Conflict(ValueError):
    """Another record of the same session is here already; the text says what to do."""


class Imports:
    """The imported records in a folder."""

    def __init__(self, folder: Path) -> None:
        """Look into ``folder``, that of the journal; nothing need be there."""
        self._folder = folder / FOLDER

    def add(self, record: SessionRecord) -> bool:
        """Keep a record durably; return whether it brought anything that was not here.

        Raises:
            Conflict: what is here of the session is not the beginning of this record.
            ValueError: its session id cannot be the name of a file.
            OSError: it cannot be written.
        """
        name = record.summary.session_id
        if not _NAME.fullmatch(name):
            raise ValueError(f"session id {name[:100]!r} has signs that no session id of ours has")
        file = self._file(name)
        if file.exists():
            known = self.record(name)
            if covers(known, record):
                return False
            if not covers(record, known):
                raise Conflict(f"{file} is another record of this session; compare, and remove the wrong one")
        self._write(file, table.as_jsonl(record))
        return True

    def record(self, session_id: str) -> SessionRecord:
        """Return an imported record.

        Raises:
            LookupError: there is none.
            Unreadable: somebody changed its file.
        """
        file = self._file(session_id)
        if not _NAME.fullmatch(session_id) or not file.exists():
            raise LookupError(f"no session {session_id!r}; `afterwatch sessions` lists them")
        return readback.read(file.read_bytes())

    def sessions(self) -> list[str]:
        """Return the session ids of what was imported, the newest first (they begin with their time)."""
        return sorted((file.stem for file in self._folder.glob(f"*{_SUFFIX}")), reverse=True)

    def _file(self, session_id: str) -> Path:
        return self._folder / f"{session_id}{_SUFFIX}"

    def _write(self, file: Path, content: bytes) -> None:
        """Write so that a power cut leaves the old file or the new one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        with part.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
        folder = os.open(self._folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def covers(whole: SessionRecord, part: SessionRecord) -> bool:
    """Say whether a record says all that another of the same session says, and perhaps what came later."""
    same = (whole.protocol, whole.traces) == (part.protocol, part.traces)
    return same and whole.entries[: len(part.entries)] == part.entries
