"""How a device says what it measured: one speaker for each format.

Law: the bytes depend on the reading alone. Whatever format is spoken, a simulated device says that it is one:
``mode`` is ``drill`` wherever the format has a place for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

ROOT = "afterwatch/v1"
MODE = "drill"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one device has to say at one time.

    ``values`` are by metric name in the metric's unit, ``None`` for "no value" (or whatever number this
    make sends instead); ``faults`` are names of ``monitor.core.vitals.FAULTS``.
    """

    measured_at: datetime | None
    values: Mapping[str, float | None]
    faults: tuple[str, ...] | None = None
    quality: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks: the identity that goes into a message."""

    device_id: str
    boot_id: str
    sequence: int


def stamp(at: datetime) -> str:
    """Return an instant as ISO 8601 in UTC with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def native(reading: Reading, speaker: Speaker) -> bytes:
    """Say it in the native JSON of ``docs/wire.md``."""
    time = {} if reading.measured_at is None else {"measured_at": stamp(reading.measured_at)}
    message: dict[str, object] = {
        **time,
        "boot_id": speaker.boot_id,
        "sequence": speaker.sequence,
        "mode": MODE,
    }
    if reading.values:
        message["values"] = dict(reading.values)
    if reading.quality:
        message["quality"] = dict(reading.quality)
    if reading.faults is not None:
        message["faults"] = list(reading.faults)
    return json.dumps(message, separators=(",", ":")).encode()


def presence(state: str, at: datetime) -> bytes:
    """Say that a device (its topic names which) is ``online`` or ``offline``."""
    return json.dumps({"state": state, "at": stamp(at), "mode": MODE}, separators=(",", ":")).encode()


Speech = Callable[[Reading, Speaker], bytes]
SPEECHES: dict[str, Speech] = {"native": native}
