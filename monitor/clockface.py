"""Instants as a person at the site reads them.

Law: an instant is aware UTC until the last moment; what is printed can be read in one way only, on the night
when clocks go back too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_TIME_OF_DAY = re.compile(r"\b(\d\d):(\d\d)(:\d\d)?( UTC)?\b")


class Clockface:
    """The site's clock over one session.

    ``shifts`` says that the clocks change while it lasts: then every time of day carries its offset.
    """

    def __init__(self, zone: str, instants: Iterable[datetime] = ()) -> None:
        """Take an IANA zone name and the instants that will be shown.

        Raises:
            ValueError: there is no such zone.
        """
        try:
            self.zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as fault:
            raise ValueError(f"no time zone {zone!r}; give an IANA name such as Europe/Berlin") from fault
        offsets = {self.local(at).utcoffset() for at in instants}
        self.shifts = len(offsets) > 1

    def local(self, at: datetime) -> datetime:
        """Return the instant in the site's zone."""
        return at.astimezone(self.zone)

    def offset(self, at: datetime) -> str:
        """Return the offset from UTC then: ``+05:30``."""
        return self.local(at).isoformat()[-6:]

    def time(self, at: datetime, *, seconds: bool = False) -> str:
        """Return the time of day, ``14:05``; with its offset when the clocks change."""
        words = f"{self.local(at):%H:%M:%S}" if seconds else f"{self.local(at):%H:%M}"
        return words + (self.offset(at).removesuffix(":00") if self.shifts else "")

    def date(self, at: datetime) -> str:
        """Return the local date, ISO 8601."""
        return f"{self.local(at):%Y-%m-%d}"

    def full(self, at: datetime) -> str:
        """Return date, time and offset: ``2026-11-23 14:05:09 +05:30``."""
        return f"{self.local(at):%Y-%m-%d %H:%M:%S} {self.offset(at)}"

    def words(self, text: str, near: datetime) -> str:
        """Return text that says ``UTC`` with its times of day told in the site's time.

        Each is the instant of that time of day nearest to ``near``.
        """
        return _TIME_OF_DAY.sub(lambda found: self._told(found, near), text) if " UTC" in text else text

    def _told(self, found: re.Match[str], near: datetime) -> str:
        hour, minute = int(found[1]), int(found[2])
        if hour > 23 or minute > 59:
            return found[0]
        second = int(found[3][1:]) if found[3] else 0
        same_day = near.astimezone(UTC).replace(
            hour=hour, minute=minute, second=min(second, 59), microsecond=0
        )
        choices = [same_day + timedelta(days=days) for days in (-1, 0, 1)]
        return self.time(min(choices, key=lambda at: abs(at - near)), seconds=bool(found[3]))


def instant(seconds: float) -> datetime:
    """Return the aware UTC instant of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def duration(length: timedelta) -> str:
    """Return a length of time in words: ``45 s``, ``3 min 05 s``, ``2 h 06 min``."""
    seconds = round(length.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
