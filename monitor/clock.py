"""Time: aware UTC anchored to the monotonic clock.

Law: a step of the wall clock (NTP, an operator, DST) never moves a running timer. The wall clock is read
once; from then on the monotonic clock carries it. How far the two have parted is reported, not followed.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What a part needs that must know the time."""

    def now(self) -> datetime:
        """Return the present instant, aware UTC."""
        ...


class SystemClock:
    """The real clock: wall time at start, carried by the monotonic clock."""

    def __init__(self) -> None:
        """Anchor wall time to monotonic time now."""
        self._anchor = datetime.now(UTC)
        self._start_ns = time.monotonic_ns()

    def now(self) -> datetime:
        """Return the present instant, aware UTC; never goes back, never jumps."""
        return self._anchor + timedelta(microseconds=(time.monotonic_ns() - self._start_ns) // 1000)

    def drift_s(self) -> float:
        """Return wall clock minus anchored clock, in seconds: a step or drift since the start (S-17)."""
        return (datetime.now(UTC) - self.now()).total_seconds()


class SteppedClock:
    """A clock that stands still until it is told: for tests, drills at full speed and simulation."""

    def __init__(self, at: datetime) -> None:
        """Start at ``at`` (aware UTC)."""
        self._at = at

    def now(self) -> datetime:
        """Return the instant it was last set to."""
        return self._at

    def advance(self, seconds: float) -> datetime:
        """Move forward by ``seconds`` and return the new instant."""
        self._at += timedelta(seconds=seconds)
        return self._at
