"""Times as devices write them, turned into instants in UTC.

Law: an offset in the text wins; without one the device's zone of ``beds.toml`` holds. Without either a time
within a day of arrival cannot be placed, and the note says so; one further away is not of now in any zone
and is read as UTC, so that an old reading never passes as new. A clock that is years off is kept as it is:
the core judges it. Only what cannot be a time of a reading at all (before 2000, a century ahead) is
refused, and said.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any

from monitor.formats.contract import Context
from monitor.formats.reading import kind, shown

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST_AHEAD = timedelta(days=36525)
_ANY_ZONE = timedelta(hours=26)  # zones reach from -12:00 to +14:00

# YYYY[MM[DD[HH[MM[SS[.S…]]]]]][+/-ZZZZ], HL7 v2.9 chapter 2A, data type DTM; some monitors leave out the dot
# before the milliseconds, or write the offset as ISO 8601 does.
_DTM = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:(\d\d)(?:[.,]?(\d{1,9}))?)?\s*([+-]\d\d:?\d\d|Z)?")

# How many of a unit make a second; a number of that size is a time from 2001 to 2100 in that unit and no
# other.
_EPOCH_UNITS = ((1, "s"), (1_000, "ms"), (1_000_000, "us"), (1_000_000_000, "ns"))
_EPOCH_RANGE_S = (978_307_200, 4_102_444_800)

Placed = tuple[datetime | None, str]
FALLBACK = "time of arrival used"


def read_dtm(text: str, context: Context) -> Placed:
    """Read an HL7 v2 time (data type DTM or TS).

    Returns:
        The instant in UTC or ``None``, and a note when it is ``None`` for a reason other than emptiness.
    """
    text = text.strip()
    if not text or not text.strip("0"):
        return None, ""
    match = _DTM.fullmatch(text)
    if match is None:
        placed, note = read_iso(text, context)
        return placed, note.replace("an ISO 8601 time", "an HL7 time")
    if match[5] is None:
        return None, f"time {text!r} has no minutes: {FALLBACK}"
    year, month, day, hour, minute = (int(part) for part in match.groups()[:5])
    second = min(int(match[6] or 0), 59)  # 60 is a leap second
    microsecond = int((match[7] or "0").ljust(6, "0")[:6])
    try:
        zone = _offset(match[8]) if match[8] else None
        naive = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=zone)
    except ValueError:
        return None, f"time {text!r} does not exist: {FALLBACK}"
    return place(naive, text, context)


def offset_of(text: str) -> timezone | None:
    """Return the offset that an HL7 v2 time names, or ``None``."""
    match = _DTM.fullmatch(text.strip())
    try:
        return _offset(match[8]) if match and match[8] else None
    except ValueError:
        return None


def _offset(text: str) -> timezone:
    if text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def read_iso(given: Any, context: Context) -> Placed:
    """Read an ISO 8601 time; a date alone is no time."""
    if not isinstance(given, str):
        return None, f"time is {kind(given)}, not an ISO 8601 time: {FALLBACK}"
    text = given.strip()
    if len(text) <= 10 and re.fullmatch(r"\d{4}-?\d\d-?\d\d", text):
        return None, f"time {shown(text, 30)!r} has no hour: {FALLBACK}"
    try:
        return place(datetime.fromisoformat(text), text, context)
    except ValueError:
        return None, f"time {shown(text, 40)!r} is not an ISO 8601 time: {FALLBACK}"


def read_pattern(given: Any, pattern: str, context: Context) -> Placed:
    """Read a time by the site's own ``strptime`` pattern."""
    try:
        return place(datetime.strptime(str(given).strip()[:80], pattern), str(given), context)  # noqa: DTZ007
    except (ValueError, OverflowError):
        return None, f"time {shown(given, 40)!r} does not fit {pattern!r} (options.time_format): {FALLBACK}"


def read_epoch(given: Any, per_second: int, context: Context) -> Placed:
    """Read a count since 1970 (UTC) of ``per_second`` to the second; ``0`` finds the unit by size."""
    try:
        count = float(given)
        if per_second == 0:
            fits = [unit for unit, _ in _EPOCH_UNITS if _in_epoch_range(count / unit)]
            if not fits:
                return (
                    None,
                    f"time {shown(given, 30)} is not a count since 1970 of a year 2001 to 2100: {FALLBACK}",
                )
            per_second = fits[0]
        instant = datetime.fromtimestamp(count / per_second, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None, f"time {shown(given, 30)!r} is not a count since 1970: {FALLBACK}"
    return place(instant, shown(given, 30), context)


def _in_epoch_range(seconds: float) -> bool:
    return _EPOCH_RANGE_S[0] <= seconds < _EPOCH_RANGE_S[1]


def read_any(given: Any, context: Context) -> Placed:
    """Read a time whose form nobody named: a count since 1970, or ISO 8601.

    Day and month of "05/06/2025" cannot be told apart: such a time needs ``options.time_format``.
    """
    if isinstance(given, bool) or given is None:
        return None, ""
    if isinstance(given, int | float):
        return read_epoch(given, 0, context)
    if not isinstance(given, str):
        return None, f"time is {kind(given)}: {FALLBACK}"
    text = given.strip()
    if not text:
        return None, ""
    if re.fullmatch(r"\d{9,19}(\.\d+)?", text):
        if len(text) == 14 and text.startswith(("19", "20")):
            return read_dtm(text, context)
        return read_epoch(text, 0, context)
    placed, note = read_iso(_as_iso(text), context)
    if placed is None and re.match(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}", text):
        note = f"time {shown(text, 40)!r} needs options.time_format (day or month first?): {FALLBACK}"
    return placed, note


_YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})([ T].*)")
_MONTH_NAMED = re.compile(r"(?:[A-Za-z]{3}, )?\d{1,2}[ -][A-Za-z]{3}[ -]\d{2,4} \d.*")


def _as_iso(text: str) -> str:
    """Rewrite other forms whose day and month cannot be confused: year first, or the month by its name."""
    if _MONTH_NAMED.fullmatch(text):
        try:
            return parsedate_to_datetime(text.replace("-", " ", 2)).isoformat()
        except ValueError:
            return text
    text = re.sub(r" ?(?:UTC|GMT)$", "+00:00", text)
    if match := _YEAR_FIRST.fullmatch(text):
        year, month, day, rest = match.groups()
        return f"{year}-{month:0>2}-{day:0>2}{rest}"
    return text


def place(moment: datetime, text: str, context: Context) -> Placed:
    """Place a moment that may lack an offset; refuse one that is absurd.

    In the hour that a clock change repeats, the reading nearer to its arrival is meant.
    """
    note = ""
    if moment.tzinfo is None and context.zone is None:
        moment = moment.replace(tzinfo=UTC)
        if abs(moment - context.received_at) <= _ANY_ZONE:
            return (
                None,
                f"time {shown(text, 40)!r} has no offset and the device no zone in beds.toml: {FALLBACK}",
            )
        note = f"time {shown(text, 40)!r} has no offset and the device no zone in beds.toml: read as UTC"
    elif moment.tzinfo is None and context.zone is not None:
        moment, note = _localised(moment, context.zone, context.received_at)
    try:
        instant = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except (OverflowError, ValueError):
        return None, f"time {shown(text, 40)!r} is out of range: {FALLBACK}"
    if instant < _EARLIEST or instant > context.received_at + _LATEST_AHEAD:
        return None, f"time {shown(text, 40)!r} is absurd: {FALLBACK}"
    return instant, note


def _localised(moment: datetime, zone: tzinfo, received_at: datetime) -> tuple[datetime, str]:
    first, second = moment.replace(tzinfo=zone, fold=0), moment.replace(tzinfo=zone, fold=1)
    try:
        if first.utcoffset() == second.utcoffset():
            return first, ""
        nearer = min((first, second), key=lambda at: abs(at.astimezone(UTC) - received_at))
    except (OverflowError, ValueError):
        return first, ""
    return nearer, f"{moment:%H:%M} is twice or never on that night: the reading nearer to arrival is meant"
