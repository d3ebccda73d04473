"""Bluetooth GATT values as gateways forward them: 2A35, 2A37, 2A5E, 2A5F, 2A1C; hex, base64 or bytes.

Law: the flags say what must follow; a value that is cut short is refused whole, because a wrong field
boundary makes wrong numbers. The special values of SFLOAT are "no value". Status bits doubt or block, and
say so. Sources: Bluetooth GATT Specification Supplement; IEEE 11073-20601 (SFLOAT, FLOAT).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from monitor.core.vitals import INVALID, Observation, Report
from monitor.formats.contract import Context, Decoded, Format, Undecodable
from monitor.formats.identity import normalise_address
from monitor.formats.instants import place, read_any
from monitor.formats.json_payload import find, parse, split_path
from monitor.formats.reading import doubt, judge_pressures, observe, refuse

_ENCODINGS = ("auto", "hex", "base64", "raw")
_PAYLOAD_KEYS = ("value", "data", "payload", "raw", "hex", "bytes", "notification")
_ADDRESS_KEYS = ("mac", "address", "addr", "ble_addr", "device", "id")
_UUID_KEYS = ("characteristic", "char", "uuid", "characteristic_uuid", "characteristicUuid")
_TIME_KEYS = ("timestamp", "time", "ts")
_UUID = re.compile(
    r"(?:0x|0000)?(2a(?:35|36|37|5e|5f|1c|1e))(?:-0000-1000-8000-00805f9b34fb)?", re.IGNORECASE
)

# IEEE 11073-20601: the mantissas that are no numbers, with exponent 0.
_SFLOAT_SPECIAL = {0x07FF: "NaN", 0x0800: "NRes", 0x07FE: "+INF", 0x0802: "-INF", 0x0801: "reserved"}
_FLOAT_SPECIAL = {0x7FFFFF: "NaN", 0x800000: "NRes", 0x7FFFFE: "+INF", 0x800002: "-INF", 0x800001: "reserved"}


class Content(NamedTuple):
    """What one characteristic says."""

    observations: tuple[Observation, ...]
    moment: datetime | None = None  # the device's local time, without zone
    faults: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    drill: bool = False


class Reader:
    """Reads little-endian fields one after another and refuses to read past the end."""

    def __init__(self, data: bytes, name: str) -> None:
        """Start at the first byte of ``data``; ``name`` is the characteristic, for errors."""
        self._data, self._at, self._name = data, 0, name

    def take(self, count: int) -> int:
        """Return the next ``count`` bytes as an unsigned number.

        Raises:
            Undecodable: the value ends before what its flags promise.
        """
        end = self._at + count
        if end > len(self._data):
            raise Undecodable(
                f"{self._name}: {len(self._data)} bytes, but the flags promise {end} or more: cut short"
            )
        number = int.from_bytes(self._data[self._at : end], "little")
        self._at = end
        return number

    def sfloat(self) -> float | str:
        """Return the next SFLOAT."""
        return sfloat(self.take(2))

    def moment(self) -> tuple[datetime | None, str]:
        """Return the next seven bytes as a local time, and a note when it is none."""
        year, month, day, hour, minute, second = (self.take(size) for size in (2, 1, 1, 1, 1, 1))
        try:
            return datetime(year, month, day, hour, minute, second), ""  # noqa: DTZ001
        except ValueError:
            return None, f"device time {year}-{month}-{day} {hour}:{minute}:{second} is not set"

    def rest(self) -> int:
        """Return how many bytes are left."""
        return len(self._data) - self._at


def sfloat(raw: int) -> float | str:
    """Return a 16-bit SFLOAT as a number, or the name of its special value.

    Args:
        raw: the two bytes as an unsigned number: four bits of exponent, twelve of mantissa, both signed.
    """
    exponent, mantissa = raw >> 12, raw & 0x0FFF
    if exponent == 0 and mantissa in _SFLOAT_SPECIAL:
        return _SFLOAT_SPECIAL[mantissa]
    exponent -= 16 if exponent >= 8 else 0
    mantissa -= 4096 if mantissa >= 2048 else 0
    return round(mantissa * 10.0**exponent, 8)


def float32(raw: int) -> float | str:
    """Return a 32-bit FLOAT as a number, or the name of its special value."""
    exponent, mantissa = raw >> 24, raw & 0xFFFFFF
    if mantissa in _FLOAT_SPECIAL:
        return _FLOAT_SPECIAL[mantissa]
    exponent -= 256 if exponent >= 128 else 0
    mantissa -= 1 << 24 if mantissa >= 1 << 23 else 0
    return round(mantissa * 10.0**exponent, 8) if -20 <= exponent <= 20 else "out of range"


def _observe(metric: str, number: float | str, unit: str = "") -> Observation:
    if isinstance(number, str):
        return Observation(metric, None, INVALID, f"{number}: no value")
    return observe(metric, number, unit)


def blood_pressure(data: bytes) -> Content:
    """Read 2A35 Blood Pressure Measurement.

    Raises:
        Undecodable: cut short.
    """
    reader = Reader(data, "2A35")
    flags = reader.take(1)
    unit = "kPa" if flags & 1 else ""
    found = [
        _observe(metric, reader.sfloat(), unit) for metric in ("nibp_systolic", "nibp_diastolic", "nibp_mean")
    ]
    notes: list[str] = []
    moment = None
    if flags & 2:
        moment, note = reader.moment()
        notes += [note] if note else []
    if flags & 4:
        found.append(_observe("nibp_pulse_rate", reader.sfloat()))
    if flags & 8:
        notes.append(f"user {reader.take(1)}")
    faults: tuple[str, ...] | None = None
    if flags & 16:
        found, faults = _cuff_status(found, reader.take(2))
    if reader.rest():
        notes.append(f"{reader.rest()} more bytes than the flags announce: not read")
    return Content(tuple(found), moment, faults, tuple(notes))


def _cuff_status(found: list[Observation], bits: int) -> tuple[list[Observation], tuple[str, ...]]:
    """Apply the status of 2A35: bits 0 movement, 1 loose cuff, 2 rhythm, 3-4 pulse range, 5 position."""
    for bit, why in ((0, "body moved"), (1, "cuff too loose"), (5, "improper position of the cuff")):
        if bits >> bit & 1:
            found = [doubt(one, f"the cuff says: {why}") for one in found]
    if bits >> 2 & 1:
        found = [one._replace(reason=f"{one.reason}; irregular pulse".strip("; ")) for one in found]
    if bits >> 3 & 3:
        found = [
            doubt(one, "pulse outside the cuff's range") if "pulse" in one.metric else one for one in found
        ]
    return found, ("cuff_motion",) if bits & 1 else ()


def cuff_in_progress(data: bytes) -> Content:
    """Read 2A36 Intermediate Cuff Pressure, which is no vital sign: the pressure while the cuff inflates."""
    Reader(data, "2A36").take(1)
    return Content((), notes=("pressure in the cuff while it measures: not used",))


def heart_rate(data: bytes) -> Content:
    """Read 2A37 Heart Rate Measurement.

    Raises:
        Undecodable: cut short.
    """
    reader = Reader(data, "2A37")
    flags = reader.take(1)
    rate = observe("heart_rate", reader.take(2 if flags & 1 else 1))
    faults: tuple[str, ...] | None = None
    if flags & 4:  # the sensor can tell contact
        faults = () if flags & 2 else ("lead_off",)
        if not flags & 2:
            rate = doubt(rate, "the sensor has no skin contact")
    notes = []
    if flags & 8:
        notes.append(f"energy expended {reader.take(2)} kJ")
    if flags & 16:
        count = reader.rest() // 2
        notes.append(f"{count} RR intervals")
    elif reader.rest():
        notes.append(f"{reader.rest()} more bytes than the flags announce: not read")
    return Content((rate,), None, faults, tuple(notes))


def spot_check(data: bytes) -> Content:
    """Read 2A5E PLX Spot-Check Measurement.

    Raises:
        Undecodable: cut short.
    """
    reader = Reader(data, "2A5E")
    flags = reader.take(1)
    found = [_observe("spo2", reader.sfloat()), _observe("pulse_rate", reader.sfloat())]
    moment, notes = None, []
    if flags & 1:
        moment, note = reader.moment()
        notes += [note] if note else []
    content = _oximeter_tail(reader, found, flags >> 1, notes)
    if flags & 16:
        content = content._replace(faults=(*(content.faults or ()), "clock_unset"))
        moment = None
    return content._replace(moment=moment)


def continuous(data: bytes) -> Content:
    """Read 2A5F PLX Continuous Measurement.

    Raises:
        Undecodable: cut short.
    """
    reader = Reader(data, "2A5F")
    flags = reader.take(1)
    found = [_observe("spo2", reader.sfloat()), _observe("pulse_rate", reader.sfloat())]
    notes = []
    for bit, name in ((1, "fast"), (2, "slow")):
        if flags & bit:
            notes.append(f"{name} SpO2 {reader.sfloat()}, pulse {reader.sfloat()}")
    return _oximeter_tail(reader, found, flags >> 2, notes)


# Measurement Status (bit: why): refuses or doubts. Bits 7, 8 (validated, fully qualified) say nothing
# against.
_PLX_REFUSES = {13: "measurement unavailable", 15: "invalid measurement"}
_PLX_DOUBTS = {
    5: "measurement ongoing",
    6: "early estimate",
    12: "calibration ongoing",
    14: "questionable measurement",
}
# Device and Sensor Status (bit: fault).
_PLX_FAULTS = {
    1: "device_fault",
    2: "artefact",
    3: "searching",
    4: "artefact",
    5: "low_perfusion",
    6: "artefact",
    7: "searching",
    8: "artefact",
    9: "searching",
    10: "interference",
    11: "probe_off",
    12: "probe_fault",
    13: "probe_off",
    14: "probe_fault",
    15: "probe_off",
}


def _oximeter_tail(reader: Reader, found: list[Observation], flags: int, notes: list[str]) -> Content:
    """Read what 2A5E and 2A5F share: measurement status, sensor status, pulse amplitude index."""
    faults: tuple[str, ...] | None = None
    drill = False
    if flags & 1:
        bits = reader.take(2)
        for bit, why in _PLX_REFUSES.items():
            if bits >> bit & 1:
                found = [refuse(one, f"the oximeter says: {why}") for one in found]
        for bit, why in _PLX_DOUBTS.items():
            if bits >> bit & 1:
                found = [doubt(one, f"the oximeter says: {why}") for one in found]
        notes += ["from the device's store"] if bits >> 9 & 1 else []
        drill = bool(bits >> 10 & 3)
    if flags & 2:
        bits = reader.take(3)
        faults = tuple(dict.fromkeys(fault for bit, fault in _PLX_FAULTS.items() if bits >> bit & 1))
    if flags & 4:
        found.append(_observe("perfusion_index", reader.sfloat()))
    if reader.rest():
        notes.append(f"{reader.rest()} more bytes than the flags announce: not read")
    return Content(tuple(found), None, faults, tuple(notes), drill)


def temperature(data: bytes) -> Content:
    """Read 2A1C Temperature Measurement (2A1E, the intermediate one, is alike).

    Raises:
        Undecodable: cut short.
    """
    reader = Reader(data, "2A1C")
    flags = reader.take(1)
    one = _observe("temperature", float32(reader.take(4)), "[degF]" if flags & 1 else "Cel")
    moment, notes = None, []
    if flags & 2:
        moment, note = reader.moment()
        notes += [note] if note else []
    return Content((one,), moment, None, tuple(notes))


CHARACTERISTICS: dict[str, Callable[[bytes], Content]] = {
    "2a35": blood_pressure,
    "2a36": cuff_in_progress,
    "2a37": heart_rate,
    "2a5e": spot_check,
    "2a5f": continuous,
    "2a1c": temperature,
    "2a1e": temperature,
}


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode one characteristic's value.

    Options: ``characteristic`` ("2A35"…; else found in the topic or the JSON), ``encoding`` ("hex", "base64",
    "raw", "auto"), ``key``, ``address_key``, ``time_key`` (paths, when the payload is JSON).

    Raises:
        Undecodable: which characteristic it is cannot be told, or its bytes are cut short or not readable.
    """
    document = _document(payload)
    name = _characteristic(document, context)
    content = CHARACTERISTICS[name](_value_bytes(payload, document, context))
    identity, gateway_at, notes = _surroundings(document, context)
    return report(content, identity, gateway_at, notes, context)


def report(
    content: Content, identity: str, gateway_at: datetime | None, notes: list[str], context: Context
) -> Decoded:
    """Return what one characteristic said as a decoded message, with what was known around it."""
    measured_at = None
    notes = [*notes, *content.notes]
    if content.moment is not None:
        measured_at, note = place(content.moment, str(content.moment), context)
        notes += [note] if note else []
    if content.drill:
        notes.append("demonstration or test data: taken as drill")
    if not content.observations:
        return Decoded((), 1, "; ".join(notes))
    found = Report(
        identity or context.device_id,
        context.received_at,
        measured_at,
        judge_pressures(content.observations),
        content.faults,
        mode="drill" if content.drill else "real",
        retained=context.retained,
        gateway_at=gateway_at,
        notes=tuple(notes),
    )
    return Decoded((found,))


def _document(payload: bytes) -> dict[str, Any] | None:
    if payload.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] != b"{":
        return None
    try:
        found = parse(payload)
    except Undecodable:  # raw bytes may begin with "{" too
        return None
    return found if isinstance(found, dict) else None


def find_characteristic(text: str) -> str | None:
    """Return the short code ("2a35") of the characteristic that a topic or UUID names, or ``None``."""
    match = _UUID.search(text)
    return match[1].lower() if match else None


def _characteristic(document: dict[str, Any] | None, context: Context) -> str:
    candidates = [str(context.options.get("characteristic", "")), context.topic]
    if document is not None:
        candidates[1:1] = [str(document[key])[:64] for key in _UUID_KEYS if key in document]
    for text in candidates:
        if (code := find_characteristic(text)) is not None:
            return code
    raise Undecodable(
        "which characteristic this is stands neither in the topic nor in the payload:"
        f" set options.characteristic to one of {', '.join(CHARACTERISTICS)}"
    )


def _value_bytes(payload: bytes, document: dict[str, Any] | None, context: Context) -> bytes:
    encoding = context.options.get("encoding", "auto")
    if document is None:
        if encoding == "raw" or (encoding == "auto" and _is_binary(payload)):
            return payload
        try:
            return decode_text(payload.decode("ascii"), encoding)
        except UnicodeDecodeError:
            raise Undecodable(f"not {encoding} text: set options.encoding to 'raw'") from None
    key = context.options.get("key")
    paths = [split_path(str(key))] if key else [(name,) for name in _PAYLOAD_KEYS]
    for path in paths:
        given = find(document, path)
        if isinstance(given, str):
            return decode_text(given, encoding)
        if isinstance(given, list) and given and all(type(part) is int and 0 <= part < 256 for part in given):
            return bytes(given)
    raise Undecodable(f"no bytes under {', '.join('.'.join(path) for path in paths)}: set options.key")


def _is_binary(payload: bytes) -> bool:
    """Say whether there are bytes that no text has."""
    return any(byte < 32 and byte not in b"\t\r\n" for byte in payload) or not payload.isascii()


def decode_text(text: str, encoding: str) -> bytes:
    """Return the bytes that a text stands for; hex is tried before base64, as both may fit."""
    text = text.strip()
    plain = re.sub(r"0x|[\s:,\-\[\]]", "", text, flags=re.IGNORECASE)
    if encoding in {"auto", "hex"}:
        try:
            return bytes.fromhex(plain)
        except ValueError:
            if encoding == "hex":
                raise Undecodable(f"{text[:40]!r} is not hexadecimal: check options.encoding") from None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Undecodable(
            f"{text[:40]!r} is neither hexadecimal nor base64: check options.encoding"
        ) from None


def _surroundings(
    document: dict[str, Any] | None, context: Context
) -> tuple[str, datetime | None, list[str]]:
    """Return the device's address, the gateway's time and notes from the JSON around the bytes."""
    if document is None:
        return "", None, []
    paths = (
        [split_path(str(context.options.get("address_key", "")))]
        if "address_key" in context.options
        else [(key,) for key in _ADDRESS_KEYS]
    )
    named = next((found for path in paths if isinstance(found := find(document, path), str) and found), "")
    keys = [context.options["time_key"]] if "time_key" in context.options else list(_TIME_KEYS)
    given = next((found for key in keys if (found := find(document, split_path(str(key)))) is not None), None)
    at, note = read_any(given, context)
    return normalise_address(named), at, [note] if note else []


def check(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the mistakes in a device's options for this format."""
    known = {"characteristic", "encoding", "key", "address_key", "time_key"}
    mistakes = [
        f"options.{key}: unknown; known are {', '.join(sorted(known))}" for key in options if key not in known
    ]
    if options.get("encoding", "auto") not in _ENCODINGS:
        mistakes.append(
            f"options.encoding is {options['encoding']!r}; it must be one of {', '.join(_ENCODINGS)}"
        )
    if "characteristic" in options and not _UUID.search(str(options["characteristic"])):
        mistakes.append(
            f"options.characteristic is {options['characteristic']!r}; known: {', '.join(CHARACTERISTICS)}"
        )
    return tuple(mistakes)


FORMAT = Format("gatt", "Bluetooth GATT bytes (2A35, 2A37, 2A5E, 2A5F, 2A1C)", decode, check)
