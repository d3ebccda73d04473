"""Send a recording to the broker as a device would.

Law: every row of the recording is sent, once, in order, with its own time; rows of the same time are one
report. What the file writes for "no value" is sent as no value, never dropped and never guessed. The files
are those of ``monitor.formats.recordings``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from monitor.formats import recordings
from simulators.device import Message
from simulators.speech import ROOT, Reading, Speaker, native


class Row(NamedTuple):
    """What a device measured at one time: values by metric, ``None`` for no value."""

    measured_at: datetime
    values: dict[str, float | None]


def _plain(number: float | None) -> float | None:
    """Write whole numbers without a point, as devices do."""
    return int(number) if number is not None and number == int(number) else number


def together(found: Iterable[recordings.Row]) -> Iterator[Row]:
    """Join neighbouring values of the same time, unless one metric comes twice."""
    waiting: Row | None = None
    for one in found:
        if (
            waiting is not None
            and waiting.measured_at == one.measured_at
            and one.metric not in waiting.values
        ):
            waiting.values[one.metric] = _plain(one.value)
            continue
        if waiting is not None:
            yield waiting
        waiting = Row(one.measured_at, {one.metric: _plain(one.value)})
    if waiting is not None:
        yield waiting


def messages_of(
    rows: Iterable[Row], device_id: str, site: str, *, first_at: datetime | None = None
) -> Iterator[Message]:
    """Turn rows into messages; ``at_s`` counts from the first row.

    Args:
        rows: of a recording.
        device_id: who sends them.
        site: the site's name in the topic.
        first_at: shift all times so that the first row was measured then; ``None`` keeps them.
    """
    topic = f"{ROOT}/{site}/devices/{device_id}/report"
    begin: datetime | None = None
    shift = timedelta()
    boot_id = ""
    for sequence, row in enumerate(rows):
        if begin is None:
            begin = row.measured_at
            shift = (first_at - begin) if first_at is not None else timedelta()
            boot_id = hashlib.sha256(f"{device_id}/{begin + shift}".encode()).hexdigest()[:8]
        reading = Reading(row.measured_at + shift, row.values)
        payload = native(reading, Speaker(device_id, boot_id, sequence))
        yield Message(round((row.measured_at - begin).total_seconds(), 3), topic, payload, False, device_id)
