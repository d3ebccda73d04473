"""Time: aware UTC anchored to the monotonic clock.

Law: a step of the wall clock (NTP, an operator, DST) never moves a running timer. The wall clock is read
once; from then on the monotonic clock carries it. How far the two have parted is reported, not followed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, Protocol

UNSYNCHRONISED = 0x0040  # STA_UNSYNC of <sys/timex.h>: for 16 s of possible error, or never set


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


class TimeSource(NamedTuple):
    """What the kernel says of its clock: whether a time server keeps it, and the most it may be wrong by."""

    synchronised: bool
    error_s: float


def time_source() -> TimeSource | None:
    """Ask the kernel (adjtimex(2), reading only); ``None`` where it does not tell."""
    try:
        adjtimex, made = _adjtimex()
        found = made()  # zero in each field: ask, and set nothing
        if adjtimex(found) < 0:
            return None
    except (ImportError, OSError, AttributeError, MemoryError):
        return None
    return TimeSource(not found.status & UNSYNCHRONISED, found.most_error_us / 1e6)


@cache  # making this takes a hundred times as long as asking, and the loop asks at every tick
def _adjtimex() -> tuple[Callable[[Any], int], Callable[[], Any]]:
    """Return what asks the kernel, and what makes the structure that it fills in."""
    # Late: only Linux has adjtimex. MemoryError: libffi where no memory may be made executable.
    import ctypes

    class Timex(ctypes.Structure):
        _fields_ = [
            ("modes", ctypes.c_int),
            *((name, ctypes.c_long) for name in ("offset", "frequency", "most_error_us", "error_us")),
            ("status", ctypes.c_int),
            ("rest", ctypes.c_char * 512),
        ]

    adjtimex = ctypes.CDLL(None).adjtimex
    return lambda found: int(adjtimex(ctypes.byref(found))), Timex


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
