"""JSON from devices: parsed fast, walked by paths, never trusted.

Law: a payload is JSON or it is refused with the place of the fault. A path that leads nowhere gives nothing;
no shape of document raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydantic_core import from_json

from monitor.formats.contract import Undecodable

Path = tuple[str, ...]
_MAX_RECORDS = 2000  # a payload of 16 KiB holds fewer; bounds the work of one message


def parse(payload: bytes) -> Any:
    """Parse JSON; a byte order mark is taken off, NaN and Infinity are read and judged as values.

    Raises:
        Undecodable: not JSON; the text says where.
    """
    if payload.startswith(b"\xef\xbb\xbf"):
        payload = payload[3:]
    try:
        return from_json(payload)
    except ValueError as fault:
        raise Undecodable(f"not JSON: {fault}") from None


def parse_object(payload: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        Undecodable: not JSON, or not an object.
    """
    found = parse(payload)
    if not isinstance(found, dict):
        raise Undecodable("not a JSON object")
    return found


@lru_cache(maxsize=4096)
def split_path(path: str) -> Path:
    r"""Split "a.b[0].c" into its steps; a backslash keeps the dot of a key ("a\.b")."""
    text = path.replace("\\.", "\x00").replace("[", ".").replace("]", "")
    return tuple(step.replace("\x00", ".") for step in text.split(".") if step)


def find(document: Any, path: Path) -> Any:
    """Return what ``path`` leads to, or ``None``; a number in the path is an index of a list or a key."""
    for step in path:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.lstrip("-").isdigit():
            try:
                document = document[int(step)]
            except (IndexError, ValueError):
                return None
        else:
            return None
    return document


def records(document: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the records that a path with ``*`` leads to, each with the first map key of a ``*``."""
    found: list[tuple[str, Any]] = [("", document)]
    for step in path:
        if step == "*":
            found = [pair for key, value in found for pair in _each(key, value)]
        else:
            found = [(key, find(value, (step,))) for key, value in found]
        del found[_MAX_RECORDS:]
    return ((key, value) for key, value in found if value is not None)


def _each(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the entries of an object with their keys, or of a list; a lone value stands for a list of one."""
    if isinstance(value, dict):
        yield from ((key or str(name), entry) for name, entry in value.items())
    elif isinstance(value, list):
        yield from ((key, entry) for entry in value)
    elif value is not None:
        yield key, value
