"""Times in recordings, which people and programs write in many ways.

Law: a time is read in the one way that fits all of a file, or it is refused; where day and month can be
exchanged, what was assumed is said. A recording without dates or with a bare count still has its intervals,
and these are what alarms depend on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal

SECOND_0 = datetime(2026, 1, 1, tzinfo=UTC)  # files that count seconds, or tell no date, begin here
SECONDS_UPTO = 1e8  # a plain number below it counts seconds, one above it is a time since 1970
EPOCHS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))  # up to which number: s, ms, us, ns
YEARS = range(1970, 3000)  # archives move their dates ahead by centuries; beyond is a sign for no time
MIDNIGHT_PASSED = timedelta(hours=12)  # a clock without a date that falls by more has begun a new day

Order = Literal["day-first", "month-first"]

_DIGITS_ONLY = re.compile(r"(?:19|20|21)\d{10}(?:\d\d)?")  # HL7's YYYYMMDDHHMM[SS]
_DATE_ONLY = re.compile(r"[\d/-]{8,10}")
_SPACED_OFFSET = re.compile(r"\s*(?:UTC|GMT|\s(?=[+-]\d\d:?\d\d$))", re.IGNORECASE)
_BETWEEN = re.compile(r"(?<=\d)[./-](?=[\dA-Za-z])|(?<=[A-Za-z])[./-](?=\d)")
_CLOCKS = ("%H:%M:%S", "%H:%M:%S.%f", "%H:%M", "%I:%M:%S %p", "%I:%M:%S.%f %p", "%I:%M %p")
_NAMED = (
    "%b %d %Y",
    "%d %b %Y",
    "%d/%b/%Y",
    "%d/%b/%y",
    "%b/%d/%Y",
    "%B %d %Y",
    "%d %B %Y",
    "%a %d %b %Y",
    "%a %b %d %Y",
)
_NUMBERED: dict[Order, tuple[str, ...]] = {
    "day-first": ("%d/%m/%Y", "%d/%m/%y"),
    "month-first": ("%m/%d/%Y", "%m/%d/%y"),
}


class Refused(ValueError):
    """A line cannot be used; the text says why."""


UNREADABLE = "the time cannot be read; write ISO 8601, seconds, or a number since 1970"


def instant(text: str, zone: tzinfo = UTC) -> datetime:
    """Read ISO 8601, HL7's digits, seconds or a number since 1970.

    Raises:
        Refused: it is none of these; the text holds the remedy.
    """
    return _instant(text, zone)


@lru_cache(maxsize=4096)
def _instant(text: str, zone: tzinfo) -> datetime:
    try:
        at = _placed(text, zone)
    except (ValueError, OverflowError) as fault:
        raise Refused(UNREADABLE) from fault
    return _of_this_age(at)


def _of_this_age(at: datetime) -> datetime:
    if at.year not in YEARS:
        raise Refused(f"the year {at.year} is no year of a reading")
    return at


def _placed(text: str, zone: tzinfo) -> datetime:
    if _DIGITS_ONLY.fullmatch(text):
        return datetime.strptime(text.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=zone)
    try:
        number = float(text)
    except ValueError:
        at = datetime.fromisoformat(_SPACED_OFFSET.sub("", text).replace("/", "-"))
        if _DATE_ONLY.fullmatch(text):
            raise
        return at.replace(tzinfo=zone) if at.tzinfo is None else at.astimezone(UTC)
    if abs(number) < SECONDS_UPTO:
        return SECOND_0 + timedelta(seconds=number)
    return datetime.fromtimestamp(0, UTC) + timedelta(
        seconds=number / next((parts for upto, parts in EPOCHS if abs(number) < upto), 1.0)
    )


class Clock:
    """How one file writes its times; made from all of them."""

    def __init__(self, texts: Iterable[str], zone: tzinfo = UTC, order: Order | None = None) -> None:
        """Find the way that fits; ``order`` says which of day and month stands first, if somebody knows."""
        self.note = ""
        self._zone = zone
        self._read: Callable[[str], datetime] = lambda text: instant(text, zone)
        self._last = SECOND_0
        written = dict.fromkeys(text for text in texts if text)
        if any(_is_plain(text, zone) for text in written):
            return
        distinct = dict.fromkeys(map(_tidy, written))
        if clock := _fitting(distinct, _CLOCKS):
            self._read = lambda text: self._next(datetime.strptime(_tidy(text), clock[0]))  # noqa: DTZ007
            return
        self._read_dates(distinct, order)

    def _read_dates(self, texts: Collection[str], order: Order | None) -> None:
        found = _fitting(texts, [*_with_clocks(_NAMED)])
        if not found:
            ways = {one: _fitting(texts, [*_with_clocks(_NUMBERED[one])]) for one in _NUMBERED}
            fits = [one for one, forms in ways.items() if forms and order in (None, one)]
            if not fits:
                return
            # The order that every date of the file has; of two, the shorter: a recording is of one time.
            read = {one: [text for text in texts if _fits(text, ways[one][0])] for one in fits}
            most = max(map(len, read.values()))
            fits = [one for one in fits if len(read[one]) == most]
            fits.sort(key=lambda one: _span(read[one], ways[one][0]))
            found = ways[fits[0]]
            if len(fits) > 1:
                self.note = f"dates are read {fits[0]}; --{fits[1]} reads them otherwise"
        form, zone = found[0], self._zone
        self._read = lambda text: datetime.strptime(_tidy(text), form).replace(tzinfo=zone)

    def at(self, text: str) -> datetime:
        """Read one time of the file.

        Raises:
            Refused: it cannot be read in the file's way.
        """
        try:
            return _of_this_age(self._read(text))
        except Refused:
            raise
        except (ValueError, OverflowError) as fault:
            raise Refused("the time is not written as the others of this file") from fault

    def _next(self, moment: datetime) -> datetime:
        """Place a time without a date on the day that goes on from the one before."""
        at = datetime.combine(self._last.date(), moment.time(), self._zone)
        if self._last - at > MIDNIGHT_PASSED:
            at += timedelta(days=1)
        elif at - self._last > MIDNIGHT_PASSED and self._last != SECOND_0:
            at -= timedelta(days=1)
        self._last = at
        return at


def _tidy(text: str) -> str:
    """Write what stands between the parts of a date in one way: ``6-Mar-25, 10:00`` as ``6/Mar/25 10:00``."""
    words = [_BETWEEN.sub("/", word) if ":" not in word else word for word in text.replace(",", " ").split()]
    return " ".join(words)


def _is_plain(text: str, zone: tzinfo) -> bool:
    try:
        instant(text, zone)
    except Refused:
        return False
    return True


def _with_clocks(dates: Iterable[str]) -> Iterable[str]:
    for date in dates:
        for clock in _CLOCKS:
            yield f"{date} {clock}"
            yield f"{clock} {date}"
            if date.endswith(" %Y"):  # as the C library writes it
                yield date.replace("%Y", f"{clock} %Y")


def _fitting(texts: Iterable[str], forms: Iterable[str]) -> list[str]:
    """Return the forms that most of the texts have, if any has the first; one bad line spoils none."""
    sample = list(texts)[:200]
    counts = {form: sum(_fits(text, form) for text in sample) for form in forms if _any_fits(sample, form)}
    most = max(counts.values(), default=0)
    return [form for form, count in counts.items() if count == most and 2 * count > len(sample)]


def _any_fits(sample: list[str], form: str) -> bool:
    return any(_fits(text, form) for text in sample[:3])


def _fits(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)  # noqa: DTZ007
    except ValueError:
        return False
    return True


def _span(texts: Iterable[str], form: str) -> timedelta:
    read = [datetime.strptime(text, form) for text in texts]  # noqa: DTZ007
    return max(read) - min(read)
