"""The native format: the JSON of ``docs/wire.md``.

Law: one bad part costs that part, with its reason, and not the readings beside it. Only a payload that
holds nothing to keep, or whose mode cannot be told, goes to the quarantine: a drill must never pass as real.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from monitor.core.vitals import (
    FAULTS,
    INVALID,
    METRICS,
    PRESSURES,
    QUESTIONABLE,
    Mode,
    Observation,
    Report,
    screen,
    screen_pressures,
)
from monitor.formats.contract import Context, Decoded, Format, Undecodable

_NO_VALUE_WORDS = frozenset({"", "-", "--", "---", "?", "n/a", "na", "nan", "none", "null", "invalid", "off"})
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_KEYS = frozenset(
    {"measured_at", "boot_id", "sequence", "mode", "values", "quality", "faults", "state", "at"}
)

# The shape is checked loosely on purpose: pydantic parses the JSON at full speed and each part is judged below.
_PARSE = TypeAdapter(dict[str, Any])


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode a native report or presence message.

    Raises:
        Undecodable: not a JSON object, neither ``values`` nor ``faults`` nor ``state``, or an unknown mode.
    """
    try:
        message = _PARSE.validate_json(payload)
    except ValidationError as fault:
        raise Undecodable(_json_reason(fault)) from None
    notes: list[str] = []
    mode = _mode(message.get("mode", "real"))
    if "values" not in message and "faults" not in message and "state" not in message:
        raise Undecodable("neither values nor faults (nor state): nothing to keep; see docs/wire.md")
    observations = _observations(message, notes)
    faults = _faults(message, notes)
    online = _online(message, notes)
    if not observations and faults is None and online is None:
        raise Undecodable("nothing to keep: " + ("; ".join(notes) or "values is empty"))
    for key in message.keys() - _KEYS:
        notes.append(f"{key}: not a key of the native format, ignored")
    boot_id = message.get("boot_id")
    if boot_id is not None and not isinstance(boot_id, str):
        boot_id = str(boot_id)
    return Decoded(
        (
            Report(
                context.device_id,
                context.received_at,
                _instant(message.get("measured_at", message.get("at")), context, notes),
                observations,
                faults,
                boot_id[:64] if boot_id else None,
                _sequence(message.get("sequence"), notes),
                mode,
                context.retained,
                None,
                online,
                tuple(notes),
            ),
        )
    )


def _json_reason(fault: ValidationError) -> str:
    first = fault.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return f"not JSON: {first['ctx']['error']}"
    return "not a JSON object"


def _mode(given: Any) -> Mode:
    if given in ("real", "drill"):
        return given  # type: ignore[no-any-return]
    raise Undecodable(
        f"mode is {given!r}; it must be 'real' or 'drill', so that a drill never passes as real"
    )


def _observations(message: Mapping[str, Any], notes: list[str]) -> tuple[Observation, ...]:
    values = message.get("values")
    if values is None:
        return ()
    if not isinstance(values, dict):
        raise Undecodable(f"values is a {_kind(values)}; it must be an object of metric: number")
    quality = message.get("quality")
    if quality is not None and not isinstance(quality, dict):
        notes.append(f"quality is a {_kind(quality)}, not an object of metric: validity; ignored")
        quality = None
    found: list[Observation] = []
    pressures = 0
    for name, given in values.items():
        if name not in METRICS:
            notes.append(f"values.{name}: unknown metric, ignored (known: {', '.join(METRICS)})")
            continue
        pressures += name in PRESSURES
        observation = screen(name, given) if type(given) in (int, float) else _odd_number(name, given)
        found.append(_with_quality(observation, quality.get(name)) if quality else observation)
    return screen_pressures(tuple(found)) if pressures > 1 else tuple(found)


def _odd_number(name: str, given: Any) -> Observation:
    """Read a value that is no JSON number: null, text, or something absurd."""
    if given is None:
        return Observation(name, None, INVALID, "null: no value")
    if isinstance(given, str):
        if given.strip().lower() in _NO_VALUE_WORDS:
            return Observation(name, None, INVALID, f"{given!r}: no value")
        try:
            number = float(given)
        except ValueError:
            return Observation(name, None, INVALID, f"{given[:40]!r} is not a number")
        if math.isfinite(number):
            return screen(name, number, "number sent as text")
        return Observation(name, None, INVALID, f"{given!r}: no value")
    return Observation(name, None, INVALID, f"a {_kind(given)} is not a number")


def _with_quality(observation: Observation, word: Any) -> Observation:
    if word is None or word == "valid":
        return observation
    if word == "invalid":
        return observation._replace(value=None, validity=INVALID, reason="the device calls it invalid")
    said = "the device calls it questionable"
    if word != "questionable":
        said = f"quality {str(word)[:40]!r} is unknown: taken as questionable"
    if observation.validity == INVALID:
        return observation
    reason = f"{observation.reason}; {said}" if observation.reason else said
    return observation._replace(validity=QUESTIONABLE, reason=reason)


def _faults(message: Mapping[str, Any], notes: list[str]) -> tuple[str, ...] | None:
    given = message.get("faults")
    if given is None:
        return None
    if not isinstance(given, list):
        notes.append(f"faults is a {_kind(given)}, not a list of names: taken as device_fault")
        return ("device_fault",)
    known: list[str] = []
    for name in given:
        if isinstance(name, str) and name in FAULTS:
            known.append(name)
        else:
            notes.append(f"fault {str(name)[:40]!r} is unknown: taken as device_fault")
            known.append("device_fault")
    return tuple(dict.fromkeys(known))


def _online(message: Mapping[str, Any], notes: list[str]) -> bool | None:
    state = message.get("state")
    if state is None:
        return None
    if state in ("online", "offline"):
        return bool(state == "online")
    notes.append(f"state {str(state)[:40]!r} is neither online nor offline: ignored")
    return None


def _sequence(given: Any, notes: list[str]) -> int | None:
    if given is None:
        return None
    if type(given) is int and 0 <= given < 2**63:
        return given
    notes.append(f"sequence {str(given)[:40]!r} is not a whole number from 0: ignored")
    return None


def _instant(given: Any, context: Context, notes: list[str]) -> datetime | None:
    """Read ``measured_at``; one that cannot be read costs the device's time, never the reading."""
    if given is None:
        return None
    if not isinstance(given, str):
        notes.append(f"measured_at is a {_kind(given)}, not an ISO 8601 time: time of arrival used")
        return None
    try:
        instant = datetime.fromisoformat(given)
    except ValueError:
        notes.append(f"measured_at {given[:40]!r} is not an ISO 8601 time: time of arrival used")
        return None
    if instant.tzinfo is None:
        if context.zone is None:
            notes.append(
                f"measured_at {given[:40]!r} has no offset and the device no zone in beds.toml: time of arrival used"
            )
            return None
        instant = instant.replace(tzinfo=context.zone)
    try:
        instant = instant.astimezone(UTC)
    except (OverflowError, ValueError):
        notes.append(f"measured_at {given[:40]!r} is out of range: time of arrival used")
        return None
    if instant < _EARLIEST or instant > context.received_at + timedelta(days=36525):
        notes.append(f"measured_at {given[:40]!r} is absurd: time of arrival used")
        return None
    return instant


def _kind(value: Any) -> str:
    names = {bool: "boolean", list: "list", dict: "object", str: "text", int: "number", float: "number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


FORMAT = Format("native", "Afterwatch native JSON", decode)
