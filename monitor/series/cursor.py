"""How far the mirror has what the journal has, kept beside the journal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import orjson

CURSOR = "mirror.json"


class Cursor(NamedTuple):
    """How far a store has what the journal has, and by what the last rows are known again.

    ``store`` is where to: another store starts from the beginning. ``crc`` and ``chain`` are of the last
    rows: a journal that was replaced by a backup has others there, and is mirrored again from its beginning.
    """

    store: str = ""
    reading: int = 0
    outcome: int = 0
    crc: int = 0
    chain: str = ""


def read_cursor(folder: Path) -> Cursor:
    """Return the cursor that is kept beside a journal; the beginning when there is none that can be read."""
    try:
        return Cursor(**orjson.loads((folder / CURSOR).read_bytes()))
    except (OSError, ValueError, TypeError):
        return Cursor()


def keep_cursor(folder: Path, cursor: Cursor) -> None:
    """Keep the cursor so that a power cut leaves the old one or the new one."""
    path = folder / CURSOR
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(orjson.dumps(cursor._asdict()))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
