"""Instants in what leaves the monitor: found by their look, read strictly.

The law: whatever looks like a time of day outside prose is an instant, and must have its date and its offset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

TIME_OF_DAY = re.compile(r"\d\d:\d\d")
ISO_8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
PROSE = ("text", "reason", "title")  # for people; the instant stands beside it


def instants(said: Any, name: str = "") -> Iterator[tuple[str, datetime]]:
    """Yield each instant in JSON values, with the name of its field; fail when one lacks date or offset."""
    if isinstance(said, dict):
        for key, value in said.items():
            yield from instants(value, key)
    elif isinstance(said, list):
        for value in said:
            yield from instants(value, name)
    elif isinstance(said, str) and name not in PROSE and TIME_OF_DAY.search(said):
        assert ISO_8601.fullmatch(said), f"{name} is no instant with date and offset: {said}"
        yield name, datetime.fromisoformat(said)
