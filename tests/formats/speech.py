"""What the tests of formats share: a moment, a context, a short way to decode and to read the result."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from monitor.core.vitals import Observation, Report
from monitor.formats import Context, Decoded, decode

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def context(
    topic: str = "", zone: str = "", *, retained: bool = False, at: datetime = NOON, **options: Any
) -> Context:
    """Return the context of the device "dev-1"."""
    return Context("dev-1", at, topic, retained, ZoneInfo(zone) if zone else None, options)


def read(name: str, payload: bytes | str, around: Context | None = None, **more: Any) -> Decoded:
    """Decode a payload by the table, as the loop does."""
    content = payload.encode() if isinstance(payload, str) else payload
    return decode(name, content, around or context(**more))


def only(decoded: Decoded) -> Report:
    """Return the one report of a message."""
    assert len(decoded.reports) == 1, decoded
    return decoded.reports[0]


def values(report: Report) -> dict[str, float | None]:
    """Return metric -> value."""
    return {one.metric: one.value for one in report.observations}


def one(report: Report, metric: str) -> Observation:
    """Return the one observation of a metric."""
    found = [observation for observation in report.observations if observation.metric == metric]
    assert len(found) == 1, report
    return found[0]
