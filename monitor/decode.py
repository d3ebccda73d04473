"""What we make of one payload (``afterwatch decode``), for the person who sets a device up.

Law: it decodes as the monitor would, and says everything: each value that was kept, converted or refused with
its reason, what no rule knows, why it would be quarantined, and which format fits better.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from monitor import formats
from monitor.formats.recognise import recognise
from monitor.formats.show import Row, rows

DONE, WRONG_USE, QUARANTINED = 0, 2, 3
MOST_BYTES = 1 << 26  # of a file; a message on the broker has its format's own limit

Say = Callable[[str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``afterwatch decode`` takes to its parser."""
    parser.add_argument("file", help="file that holds the payload; - is standard input")
    parser.add_argument(
        "--format", default="auto", help=f"auto (%(default)s), or one of {', '.join(formats.FORMATS)}"
    )
    parser.add_argument("--device", default="device-1", help="device id, unless the payload names its own")
    parser.add_argument("--topic", default="", help="topic it came on")
    parser.add_argument("--zone", default="", help="time zone of times without offset (IANA)")
    parser.add_argument("--options", default="{}", help="JSON: the device's options, as in beds.toml")
    parser.add_argument("--retained", action="store_true", help="the broker had kept it")
    parser.add_argument("--received-at", default="", help="when it was received, ISO 8601 (now)")
    parser.add_argument("--text", action="store_true", help="lines for people instead of JSON")


def run(chosen: argparse.Namespace, out: Say = print, tell: Say | None = None) -> int:
    """Decode and print; return the exit code (2: wrong use, 3: it would be quarantined).

    Raises:
        OSError: the file cannot be read.
    """
    tell = tell or (lambda line: print(line, file=sys.stderr))
    try:
        context = _context(chosen)
    except ValueError as fault:
        tell(f"afterwatch decode: {fault}")
        return WRONG_USE
    payload = sys.stdin.buffer.read() if chosen.file == "-" else Path(chosen.file).read_bytes()
    name = chosen.format if chosen.format != "auto" else _format_of(payload, context, tell)
    try:
        decoded = formats.decode(name, payload, context, limit=MOST_BYTES)
    except formats.Undecodable as fault:
        tell(f"quarantined: {fault}")
        _hint(name, payload, context, tell)
        return QUARANTINED
    for row in rows(decoded, context):
        out(_line(row) if chosen.text else json.dumps(row, ensure_ascii=False))
    if decoded.unread:
        tell(f"not read, for no rule knows them (name them in options): {', '.join(decoded.unread)}")
    if not decoded.reports:
        _hint(name, payload, context, tell)
    return DONE


def _context(chosen: argparse.Namespace) -> formats.Context:
    """Return the context that the arguments describe.

    Raises:
        ValueError: an argument cannot be used; the text names it and the remedy.
    """
    if chosen.format not in (*formats.FORMATS, "auto"):
        raise ValueError(f"no format {chosen.format!r}; known are auto, {', '.join(formats.FORMATS)}")
    try:
        options: Any = json.loads(chosen.options)
    except ValueError as fault:
        raise ValueError(f"--options is not JSON: {fault}") from None
    if not isinstance(options, dict):
        raise ValueError('--options must be a JSON object, such as {"identity": "topic"}')
    if options and chosen.format == "auto":
        raise ValueError("--options belong to a format: name it with --format")
    if options and (mistakes := formats.FORMATS[chosen.format].check(options)):
        raise ValueError("; ".join(mistakes))
    try:
        zone = ZoneInfo(chosen.zone) if chosen.zone else None
    except (OSError, ValueError, LookupError):
        raise ValueError(f"--zone {chosen.zone!r} is no time zone; write it like Europe/Berlin") from None
    try:
        received_at = datetime.fromisoformat(chosen.received_at) if chosen.received_at else datetime.now(UTC)
    except ValueError:
        raise ValueError(f"--received-at {chosen.received_at!r} is no ISO 8601 time") from None
    received_at = received_at if received_at.tzinfo else received_at.replace(tzinfo=UTC)
    return formats.Context(chosen.device, received_at, chosen.topic, chosen.retained, zone, options)


def _format_of(payload: bytes, context: formats.Context, tell: Say) -> str:
    found = recognise(payload, context)
    if found is None:
        tell("format: none finds a value in it; read as native (name one with --format)")
        return "native"
    tell(f"format: {found.format}")
    return found.format


def _hint(name: str, payload: bytes, context: formats.Context, tell: Say) -> None:
    """Say which other format finds a value in the payload, if one does."""
    found = recognise(payload, context)
    if found is not None and found.format != name:
        tell(f"hint: it reads as {found.format}: try --format {found.format}")


def _line(row: Row) -> str:
    value = "no value" if row["value"] is None else f"{row['value']:g} {row['unit']}"
    at = row["measured_at"] or f"{row['received_at']} (arrival)"
    notes = "".join(f"\n    {note}" for note in row["notes"] or ())
    if row["metric"] is None:
        return f"{row['device_id']}: {row['reason']}{notes}"
    head = f"{row['device_id']}  {row['metric']:18} {value:14} {row['validity']:13} {at}"
    return f"{head}  {row['reason']}{notes}"
