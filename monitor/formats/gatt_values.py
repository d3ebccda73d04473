"""The values of Bluetooth GATT characteristics: bytes into observations.

Law: the flags say what must follow; a value that is cut short is refused whole, because a wrong field
boundary makes wrong numbers. The special values of SFLOAT are "no value". Status bits doubt or block, and
say so.
Sources: Bluetooth GATT Specification Supplement; IEEE 11073-20601 (SFLOAT, FLOAT).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from monitor.core.vitals import INVALID, Observation
from monitor.formats.contract import Undecodable
from monitor.formats.reading import doubt, observe, refuse

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
