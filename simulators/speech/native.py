"""The native JSON of ``docs/wire.md``, and presence, which every device speaks natively."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from simulators.speech.contract import ALL_FAULTS, MODE, Language, Reading, Said, Speaker, stamp


def native(reading: Reading, speaker: Speaker) -> bytes:
    """Return a reading as a native report."""
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


def speak(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it natively."""
    return (Said("", native(reading, speaker)),)


NATIVE = Language("native", speak, faults=ALL_FAULTS, doubts=True, says_drill=True, counts=True)
