"""One value as a device wrote it: number, text, "no value", or something absurd.

Law: what was sent becomes an observation of a named metric or "no value" with the device's own words as the
reason. A conversion says what it converted. Nothing is guessed from the size of a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from monitor.core.vitals import (
    INVALID,
    METRICS,
    PRESSURES,
    QUESTIONABLE,
    Observation,
    screen,
    screen_pressures,
)
from monitor.formats.units import convert

# How devices spell "no value" (shared data README, CLINICAL §5, vendor manuals): compared in lower case and
# without the signs of _FILLERS, so that "--", "-?-", "***" and "___" need no entry.
NO_VALUE_WORDS = frozenset(
    "n/a na n.a. nan none null nil void invalid inv off error err fail failed unknown unk unavailable unavail"
    " undefined nav nores nres missing absent blank empty x xx xxx xxxx inop noreading inf infinity lo hi low"
    " high over under overrange underrange e e1 e2 e3 err1 err2 err3 searching waiting standby noprobe"
    " leadoff probeoff false true".split()
)
_FILLERS = re.compile(r"[\s\-–—_*?./\\:#]+")
_NUMBER = re.compile(r"([<>]=?)?\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(.*)", re.DOTALL)
_DECIMAL_COMMA = re.compile(r"([<>]=?\s*)?[+-]?\d{1,3},\d{1,2}(?!\d)")


_BETWEEN_PRESSURES = re.compile(r"\s*[/\\(|]\s*")


class Reading(NamedTuple):
    """One value as read: the number or none, what to say of it, the unit behind it, the device's doubt."""

    number: float | None
    why: str = ""
    unit: str = ""
    doubtful: bool = False


def observe(metric: str, given: Any, unit: str = "", reason: str = "") -> Observation:
    """Read one value of one metric.

    Args:
        metric: a name of ``METRICS``.
        given: what the device sent, of any JSON type.
        unit: the unit's name or code as sent; empty means the metric's own unit.
        reason: what is known already; kept in front.

    Returns:
        The observation; its reason tells every conversion, and why there is no value if there is none.
    """
    read = _finite(given) if type(given) is float or type(given) is int else read_number(given)
    number = read.number
    reason = join(reason, read.why)
    if number is None:
        return Observation(metric, None, INVALID, reason or "no value")
    unit = unit or read.unit
    if unit:
        number, why = convert(METRICS[metric].unit, number, unit)
        reason = join(reason, why)
        if number is None:
            return Observation(metric, None, INVALID, reason)
    seen = screen(metric, number, reason)
    if read.doubtful and seen.value is not None:
        return seen._replace(validity=QUESTIONABLE)
    return seen


def _finite(given: int | float) -> Reading:
    try:
        number = float(given)
    except OverflowError:
        return Reading(None, "not a finite number: no value")
    if math.isfinite(number):
        return Reading(number)
    return Reading(None, f"{number}: no value")


def read_number(given: Any) -> Reading:
    """Return the number that was sent, what to say about it, and the unit written behind it.

    A comparator ("<70") keeps its number, said to be beyond the device's scale: a saturation below the
    scale must not vanish.
    """
    if given is None:
        return Reading(None, "null: no value")
    if isinstance(given, bool):
        return Reading(None, f"{str(given).lower()}: not a number")
    if isinstance(given, int | float):
        return _finite(given)
    if not isinstance(given, str):
        return Reading(None, f"{kind(given)} is not a number")
    return _read_text(given)


def _read_text(given: str) -> Reading:
    text = given.strip().strip("\"'").strip()
    shown = repr(given[:40])
    why = ""
    if _DECIMAL_COMMA.match(text):
        text, why = text.replace(",", ".", 1), "decimal comma"
    match = _NUMBER.fullmatch(text)
    if match is None:
        return Reading(None, f"{shown}: no value" if _is_no_value(text) else f"{shown} is not a number")
    comparator, digits, rest = match.groups()
    number = _finite(float(digits)).number
    if number is None:
        return Reading(None, f"{shown}: no value")
    if rest[:1].isdigit() or (rest[:1] in {",", ".", "-", "/", ":"} and not rest[1:2].isalpha()):
        return Reading(None, f"{shown} is not a number")
    doubtful = bool(comparator)
    if comparator:
        why = join(why, f"the device says {comparator}{digits}: beyond its scale")
    if rest and not rest.strip("?*! "):
        why, rest, doubtful = join(why, f"marked {rest.strip()!r} by the device"), "", True
    return Reading(number, why, rest.strip(), doubtful)


def _is_no_value(text: str) -> bool:
    word = _FILLERS.sub("", text.lower())
    return not word or word in NO_VALUE_WORDS or text.lower() in NO_VALUE_WORDS


def read_pressures(given: Any, unit: str = "", reason: str = "") -> tuple[Observation, ...]:
    """Read a cuff measurement written as one: "120/80", "120/80(93)", "120 / -- mmHg", ``[120, 80]``.

    Returns:
        Systolic, diastolic and, if written, mean; both of the first without a value, and why, when it has
        another shape.
    """
    if isinstance(given, list | tuple):
        given = "/".join(shown(part, 12) for part in given[:4])
    text = given[:64].strip().strip("\"'").strip() if isinstance(given, str) else ""
    parts = _BETWEEN_PRESSURES.split(text.replace(")", ""))
    if len(parts) not in (2, 3):
        why = join(reason, f"{shown(given, 30)!r} is not systolic/diastolic")
        return tuple(Observation(metric, None, INVALID, why) for metric in PRESSURES[:2])
    unit = unit or next((found for part in parts if (found := read_number(part).unit)), "")
    return tuple(observe(metric, part, unit, reason) for metric, part in zip(PRESSURES, parts, strict=False))


def doubt(observation: Observation, why: str) -> Observation:
    """Return the observation as questionable for ``why``; "no value" stays so."""
    reason = join(observation.reason, why)
    if observation.value is None:
        return observation._replace(reason=reason)
    return observation._replace(validity=QUESTIONABLE, reason=reason)


def refuse(observation: Observation, why: str) -> Observation:
    """Return the observation as "no value" for ``why``, keeping the number that was sent in the reason."""
    sent = "" if observation.value is None else f"{observation.value:g} not used"
    return observation._replace(
        value=None, validity=INVALID, reason=join(join(observation.reason, why), sent)
    )


def judge_pressures(observations: Iterable[Observation]) -> tuple[Observation, ...]:
    """Judge the pressures of each cuff measurement together; measurements differ by their own time."""
    found = tuple(observations)
    times = {o.measured_at for o in found if o.metric in PRESSURES}
    if len(times) <= 1:
        return screen_pressures(found) if times else found
    judged: dict[tuple[str, datetime | None], Observation] = {}
    for at in times:
        cuff = tuple(o for o in found if o.metric in PRESSURES and o.measured_at == at)
        judged.update({(o.metric, at): o for o in screen_pressures(cuff)})
    return tuple(judged.get((o.metric, o.measured_at), o) for o in found)


def join(first: str, second: str) -> str:
    """Join two reasons."""
    return f"{first}; {second}" if first and second else first or second


def kind(value: Any) -> str:
    """Say in plain words what JSON type a value has: "a list"."""
    names = {bool: "a boolean", list: "a list", dict: "an object", str: "a text"}
    return "null" if value is None else names.get(type(value), "a number")


def shown(value: Any, width: int = 60) -> str:
    """Return a value as short text for a reason; a huge number or list never fills the journal."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    try:
        text = value if isinstance(value, str) else str(value)
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits
        return f"{kind(value)} too long to show"
    text = "".join(sign if sign.isprintable() else "?" for sign in text[: width + 1])
    return text if len(text) <= width else text[:width] + "…"
