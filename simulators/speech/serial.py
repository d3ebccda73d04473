"""Serial devices behind the bridge: the Ivy 450C's text, the PC-60's packet, the BCI protocol's five bytes.

They have no clock: the bridge puts the time beside the frame, ``{"at": time, "frame": hexadecimal}``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from monitor.core.vitals import FAULTS
from simulators.speech.contract import Language, Reading, Said, Speaker, stamp

_CUFF = ("nibp_systolic", "nibp_diastolic", "nibp_mean", "nibp_pulse_rate")
# Line of the Ivy: its metrics in order, the channel whose faults stand in it.
_LINES: dict[str, tuple[tuple[str, ...], str]] = {
    "HR": (("heart_rate",), "ecg"),
    "RR": (("respiration_rate",), "respiration"),
    "ETCO2": (("etco2",), "capnograph"),
    "SPO2": (("spo2",), "oximeter"),
    "NIBP": (_CUFF, "cuff"),
    "T1": (("temperature",), "thermometer"),
}
_WORDS = {
    "probe_off": "PROBE OFF",
    "probe_fault": "PROBE FAULT",
    "searching": "PULSE SEARCH",
    "low_perfusion": "LOW PERFUSION",
    "motion": "MOTION",
    "interference": "INTERFERENCE",
    "lead_off": "LEAD OFF",
    "ecg_noise": "NOISE",
    "cuff_leak": "CUFF LEAK",
    "cuff_error": "CUFF ERROR",
    "cuff_motion": "MOTION",
    "respiration_lost": "LEADS OFF",
    "capnograph_fault": "SENSOR FAIL",
}


def ivy(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as an Ivy 450C: a line of text for each instrument."""
    lines = []
    for name, (metrics, channel) in _LINES.items():
        own = [metric for metric in metrics if metric in reading.values]
        fault = next(
            (each for each in reading.faults or () if FAULTS[each].channel == channel and each in _WORDS), ""
        )
        if not own:
            continue
        fields = ["1", *(_text(reading.values.get(metric)) for metric in metrics)]
        fields += [_WORDS[fault]] if fault else []
        if name == "SPO2" and "pulse_rate" in reading.values:
            fields.append(f"PR={_text(reading.values['pulse_rate'])}")
        lines.append(f"{name}={';'.join(fields)};\r")
    if not lines:
        return ()
    return _framed(b"\xffANSAR-B \xfb" + "".join(lines).encode() + b"\xfe", reading, speaker)


def pc60(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as a PC-60 packet: token 0x0F, type 1, SpO2, pulse, perfusion in tenths, state."""
    from monitor.formats.serial_frames import crc8_maxim  # it brings all decoders, half a second

    values = reading.values
    state = 0x02 if "probe_off" in (reading.faults or ()) else 0x00
    body = bytes([_number(values.get("spo2"))]) + _number(values.get("pulse_rate")).to_bytes(2, "little")
    body += bytes([_number(10 * (values.get("perfusion_index") or 0)), state, 0xC0])
    frame = b"\xaa\x55\x0f" + bytes([len(body) + 2, 1]) + body
    return _framed(frame + bytes([crc8_maxim(frame)]), reading, speaker) if values else ()


def bci(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it by the BCI protocol (Contec CMS50, BerryMed): five bytes, 127 for no saturation."""
    faults, spo2 = reading.faults or (), reading.values.get("spo2")
    pulse = _number(reading.values.get("pulse_rate"))
    signal = 0x80 | (0x0F if "probe_fault" in faults else 0x05)
    probe = 0x10 * ("probe_off" in faults) | 0x20 * ("searching" in faults) | (pulse & 0x80) >> 1 | 0x03
    frame = bytes([signal, 60, probe, pulse & 0x7F, 127 if spo2 is None else _number(spo2)])
    return _framed(frame, reading, speaker) if reading.values else ()


def _framed(frame: bytes, reading: Reading, speaker: Speaker) -> Sequence[Said]:
    time = {} if reading.measured_at is None else {"at": stamp(reading.measured_at)}
    body = json.dumps({**time, "frame": frame.hex()}, separators=(",", ":"))
    return (Said(f"bridge/{speaker.device_id}", body.encode()),)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _number(value: float | None) -> int:
    return 0 if value is None else max(round(value), 0)  # a byte knows no sentinel below zero


def _serial(
    speak: Callable[[Reading, Speaker], Sequence[Said]], metrics: frozenset[str], faults: frozenset[str]
) -> Language:
    options = {"protocol": speak.__name__}
    return Language("serial", speak, "bridge/{id}", options, metrics=metrics, faults=faults)


_OXIMETER = frozenset({"spo2", "pulse_rate"})
IVY = _serial(
    ivy, frozenset({*(m for row, _ in _LINES.values() for m in row), "pulse_rate"}), frozenset(_WORDS)
)._replace(at_once=1)
PC60 = _serial(pc60, _OXIMETER | {"perfusion_index"}, frozenset({"probe_off"}))._replace(
    needs=_OXIMETER | {"perfusion_index"}
)
BCI = _serial(bci, _OXIMETER, frozenset({"probe_off", "searching", "probe_fault"}))
