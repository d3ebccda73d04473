"""The native format: the JSON of ``docs/wire.md``.

Law: one bad part costs that part, with its reason, and not the readings beside it. Only a payload that
holds nothing to keep, or whose mode cannot be told, goes to the quarantine: a drill must never pass as real.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from monitor.core.vitals import (
    FAULTS,
    METRICS,
    PRESSURES,
    Mode,
    Observation,
    Report,
    screen,
    screen_pressures,
)
from monitor.formats.contract import Context, Decoded, Format, Undecodable
from monitor.formats.instants import read_iso
from monitor.formats.reading import doubt, kind, observe, refuse, shown

_KEYS = frozenset(
    {"measured_at", "boot_id", "sequence", "mode", "values", "quality", "faults", "state", "at"}
)

# The shape is checked loosely on purpose: pydantic parses the JSON at full speed and each part is judged
# below.
_PARSE = TypeAdapter(dict[str, Any])


class _Layout(NamedTuple):
    """What the keys of ``values`` ask for: known metrics in the table's order, a note for each of the others.

    ``together``: several pressures of one cuff measurement, which are judged together.
    """

    known: tuple[str, ...]
    notes: tuple[str, ...]
    together: bool


# A device sends the same keys every second: what they mean is worked out once.
@lru_cache(maxsize=1024)
def _layout(names: tuple[str, ...]) -> _Layout:
    given = set(names)
    return _Layout(
        tuple(name for name in METRICS if name in given),
        tuple(
            f"values.{shown(name, 40)}: unknown metric, ignored (known: {', '.join(METRICS)})"
            for name in names
            if name not in METRICS
        ),
        len(given.intersection(PRESSURES)) > 1,
    )


@lru_cache(maxsize=1024)
def _strange(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return a note for each key of a message that is not one of the format."""
    return tuple(
        f"{shown(key, 40)}: not a key of the native format, ignored" for key in keys if key not in _KEYS
    )


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode a native report or presence message.

    Raises:
        Undecodable: not a JSON object, neither ``values`` nor ``faults`` nor ``state``, or an unknown mode.
    """
    try:
        message = _PARSE.validate_json(payload.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as fault:
        raise Undecodable(_json_reason(fault)) from None
    notes: list[str] = []
    mode = _mode(message.get("mode", "real"))
    if "values" not in message and "faults" not in message and "state" not in message:
        raise Undecodable("neither values nor faults (nor state): nothing to keep; see docs/wire.md")
    observations = _observations(message, notes)
    faults = _faults(message["faults"], notes) if "faults" in message else None
    online = _online(message["state"], notes) if "state" in message else None
    if not observations and faults is None and online is None:
        raise Undecodable("nothing to keep: " + ("; ".join(notes) or "values, faults and state are empty"))
    notes += _strange(tuple(message))
    report = Report(
        context.device_id,
        context.received_at,
        _instant(message.get("measured_at", message.get("at")), context, notes),
        observations,
        faults,
        _boot_id(message.get("boot_id")),
        _sequence(message.get("sequence"), notes),
        mode,
        context.retained,
        None,
        online,
        tuple(notes),
    )
    return Decoded((report,))


def _json_reason(fault: ValidationError) -> str:
    first = fault.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return f"not JSON: {first['ctx']['error']}"
    return "not a JSON object"


def _mode(given: Any) -> Mode:
    if given in ("real", "drill"):
        return given  # type: ignore[no-any-return]
    raise Undecodable(
        f"mode is {shown(given, 40)!r}; it must be 'real' or 'drill', so that a drill never passes as real"
    )


def _observations(message: Mapping[str, Any], notes: list[str]) -> tuple[Observation, ...]:
    values = message.get("values")
    if values is None:
        return ()
    if not isinstance(values, dict):
        raise Undecodable(f"values is {kind(values)}; it must be an object of metric: number")
    quality = message.get("quality")
    if quality is not None and not isinstance(quality, dict):
        notes.append(f"quality is {kind(quality)}, not an object of metric: validity; ignored")
        quality = None
    layout = _layout(tuple(values))
    notes += layout.notes
    found: list[Observation] = []
    for name in layout.known:
        given = values[name]
        is_number = type(given) is int or type(given) is float
        observation = screen(name, given) if is_number else observe(name, given)
        found.append(_with_quality(observation, quality.get(name)) if quality else observation)
    return screen_pressures(tuple(found)) if layout.together else tuple(found)


def _with_quality(observation: Observation, word: Any) -> Observation:
    if word is None or word == "valid":
        return observation
    if word == "invalid":
        return refuse(observation, "the device calls it invalid")
    if word == "questionable":
        return doubt(observation, "the device calls it questionable")
    return doubt(observation, f"quality {shown(word, 40)!r} is unknown: taken as questionable")


def _faults(given: Any, notes: list[str]) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list):
        notes.append(f"faults is {kind(given)}, not a list of names: taken as device_fault")
        return ("device_fault",)
    known: list[str] = []
    for name in given:
        if isinstance(name, str) and name in FAULTS:
            known.append(name)
        else:
            notes.append(f"fault {shown(name, 40)!r} is unknown: taken as device_fault")
            known.append("device_fault")
    return tuple(dict.fromkeys(known))


def _online(state: Any, notes: list[str]) -> bool | None:
    if state is None:
        return None
    if state in ("online", "offline"):
        return bool(state == "online")
    notes.append(f"state {shown(state, 40)!r} is neither online nor offline: ignored")
    return None


def _boot_id(given: Any) -> str | None:
    if type(given) is str and len(given) <= 64 and given.isprintable():
        return given
    return None if given is None else shown(given, 64)


def _sequence(given: Any, notes: list[str]) -> int | None:
    if given is None:
        return None
    if type(given) is int and 0 <= given < 2**63:
        return given
    notes.append(f"sequence {shown(given, 40)!r} is not a whole number from 0: ignored")
    return None


def _instant(given: Any, context: Context, notes: list[str]) -> datetime | None:
    """Read ``measured_at``; one that cannot be read costs the device's time, never the reading."""
    if given is None:
        return None
    instant, note = read_iso(given, context)
    if note:
        notes.append(f"measured_at: {note}")
    return instant


FORMAT = Format("native", "Afterwatch native JSON", decode)
