"""Serial devices: the Ivy 450C bedside monitor, the Viatom/Creative PC-60 oximeter, BCI oximeters.

Law: a payload holds one frame or a recording of many; each whole frame is one report. A cuff value that a
frame repeats without a time is marked: nobody knows whether it is new. What a frame says of its probe is a
fault. Sources: the framing beside the recordings; the PC-60FW notification (token 0x0F, type 1); the BCI
digital protocol as the CMS50 and BerryMed modules document it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from monitor.core.vitals import INVALID, Observation, Report
from monitor.formats.contract import Context, Decoded, Format, Undecodable
from monitor.formats.hl7_alarms import fault_of
from monitor.formats.instants import read_iso
from monitor.formats.json_payload import parse_object
from monitor.formats.reading import doubt, judge_pressures, observe, shown
from monitor.formats.serial_frames import CUTTERS, cut_bci, cut_ivy, cut_pc60, ivy_text

_MAX_PAYLOAD_BYTES = 64 * 1024  # a short recording; the bridge publishes one frame a message
_REPEATED = "repeated in every frame and without a time of its own: not known to be new"

Read = tuple[tuple[Observation, ...], tuple[str, ...] | None, tuple[str, ...]]


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode one frame or a recording; in hexadecimal too, a PC-60 packet also without sync and CRC.

    The bridge sends a frame as ``{"at": time, "frame": hexadecimal}``: these devices have no clock, so the
    time at which the bridge heard them is the time of measurement.

    Options: ``protocol`` ("ivy", "pc60" or "bci"; else found by the framing).

    Raises:
        Undecodable: no whole frame of a known protocol.
    """
    content, at, why = _opened(payload, context)
    protocol = str(context.options.get("protocol") or _protocol_of(content))
    if protocol == "pc60" and not content.startswith(b"\xaa\x55") and b"\xaa\x55" not in content:
        frames: tuple[bytes, ...] = (content,)
        noise = rest = 0
    else:
        cut = CUTTERS[protocol](content)
        frames, rest, noise = cut.frames, len(cut.rest), cut.noise
    if not frames:
        raise Undecodable(
            f"no whole frame of the {protocol} protocol in {len(payload)} bytes: check options.protocol"
        )
    reports = [report for frame in frames if (report := _report(protocol, frame, at, context))]
    lost = [why] if why else []
    lost += [f"{noise} bytes belong to no frame"] if noise else []
    lost += [f"{rest} bytes of a frame that is not whole"] if rest else []
    note = "; ".join([*lost, *([] if reports else [f"{len(frames)} frames without a vital sign of ours"])])
    return Decoded(tuple(reports), len(frames) - len(reports), note)


def _opened(payload: bytes, context: Context) -> tuple[bytes, datetime | None, str]:
    """Return the bytes of a payload and, from the bridge's envelope, their time and a note on it."""
    if not payload.startswith(b"{"):
        return _unhex(payload), None, ""
    envelope = parse_object(payload)
    frame = envelope.get("frame")
    if not isinstance(frame, str):
        raise Undecodable('no "frame" in the envelope: see docs/devices.md, serial')
    at, note = read_iso(envelope.get("at"), context)
    return _unhex(frame.encode("utf-8", "replace")), at, note


def _unhex(payload: bytes) -> bytes:
    text = payload.strip()
    if len(text) >= 10 and re.fullmatch(rb"[0-9a-fA-F\s:]+", text):
        try:
            return bytes.fromhex(text.decode("ascii").replace(":", " "))
        except ValueError:
            return payload
    return payload


def _protocol_of(content: bytes) -> str:
    """Find the protocol by its framing.

    Raises:
        Undecodable: none fits.
    """
    if b"\xfe" in content and cut_ivy(content).frames:
        return "ivy"
    if cut_pc60(content).frames or _is_bare_pc60(content):
        return "pc60"
    cut = cut_bci(content)
    if cut.frames and cut.noise <= len(content) // 10:
        return "bci"
    raise Undecodable("not a serial frame that is known (ivy, pc60, bci): set options.protocol")


def _is_bare_pc60(content: bytes) -> bool:
    """Say whether this is a PC-60 packet without its AA 55 and its CRC, as some gateways forward it."""
    return len(content) >= 4 and content[0] == 0x0F and len(content) in {content[1] + 1, content[1] + 2}


def _report(protocol: str, frame: bytes, at: datetime | None, context: Context) -> Report | None:
    found = _READERS[protocol](frame)
    if found is None:
        return None
    observations, faults, notes = found
    return Report(
        context.device_id,
        context.received_at,
        at,
        judge_pressures(observations),
        faults,
        retained=context.retained,
        notes=notes,
    )


# --- Ivy 450C
# ------------------------------------------------------------------------------------------------

# Line: (position of each metric after the "=", instrument). The first number of a line is the monitor's own
# state.
_IVY_LINES: dict[str, tuple[dict[int, str], str]] = {
    "HR": ({1: "heart_rate"}, "ecg"),
    "RR": ({1: "respiration_rate"}, "respiration"),
    "ETCO2": ({1: "etco2"}, "capnograph"),
    "SPO2": ({1: "spo2"}, "oximeter"),
    "NIBP": (
        {1: "nibp_systolic", 2: "nibp_diastolic", 3: "nibp_mean", 4: "nibp_pulse_rate"},
        "cuff",
    ),
    "T1": ({1: "temperature"}, "thermometer"),
}


def read_ivy(frame: bytes) -> Read | None:
    """Read the text lines of an Ivy frame: ``HR=1;80;ECG-II-DIAG;``."""
    observations: list[Observation] = []
    faults: list[str] = []
    notes: list[str] = []
    for line in re.split(r"[\r\n]+", ivy_text(frame).decode("ascii")):
        name, _, content = line.partition("=")
        fields = [part.strip() for part in content.split(";")]
        if name in _IVY_LINES:
            metrics, channel = _IVY_LINES[name]
            observations += [_ivy_value(metric, fields, place) for place, metric in metrics.items()]
            observations += [_ivy_pulse(part) for part in fields if part.startswith("PR=")]
            words = " ".join(part for part in fields[1:] if re.search("[A-Za-z]{3}", part))
            if fault := fault_of(words, channel):
                faults.append(fault)
                notes.append(f"{name}: {shown(words, 40)}")
        elif name and any(fields[1:]):
            notes.append(
                f"{shown(name, 8)} {shown(';'.join(fields[1:4]), 30)}: not a vital sign of ours, not used"
            )
    if not observations:
        return None
    return tuple(observations), tuple(dict.fromkeys(faults)), tuple(notes)


def _ivy_value(metric: str, fields: list[str], place: int) -> Observation:
    given = fields[place] if place < len(fields) else ""
    if not given:
        return Observation(metric, None, INVALID, "empty: no value")
    one = observe(metric, given)
    return doubt(one, _REPEATED) if metric.startswith("nibp") and one.value is not None else one


def _ivy_pulse(part: str) -> Observation:
    given = part.removeprefix("PR=").strip()
    return (
        observe("pulse_rate", given) if given else Observation("pulse_rate", None, INVALID, "empty: no value")
    )


# --- PC-60
# ---------------------------------------------------------------------------------------------------


def read_pc60(frame: bytes) -> Read | None:
    """Read a PC-60 packet: token 0x0F, length, type 1, SpO2, pulse (16 bit), PI in tenths, state."""
    content = frame.removeprefix(b"\xaa\x55")
    if len(content) < 8 or content[0] != 0x0F or content[2] != 1:
        return None  # a waveform, a version or another token
    state = content[7]
    observations = (
        _or_zero("spo2", content[3]),
        _or_zero("pulse_rate", int.from_bytes(content[4:6], "little")),
        observe("perfusion_index", content[6] / 10),
    )
    # Bit 1: the finger is out; bits 6 and 7 of the next byte are the battery.
    faults = ["probe_off"] if state & 2 else []
    return observations, tuple(faults), ()


def _or_zero(metric: str, number: int) -> Observation:
    return observe(metric, number) if number else Observation(metric, None, INVALID, "0: no value")


# --- BCI
# -----------------------------------------------------------------------------------------------------


def read_bci(frame: bytes) -> Read | None:
    """Read a BCI frame: signal and probe bits, pleth, bar, pulse (bit 7 in byte 3), SpO2."""
    pulse = (frame[2] & 0x40) << 1 | frame[3] & 0x7F
    saturation = frame[4] & 0x7F
    faults: list[str] = []
    if frame[2] & 0x10:
        faults.append("probe_off")
    if frame[2] & 0x20 or frame[0] & 0x10:
        faults.append("searching")
    if frame[0] & 0x0F == 0x0F:
        faults.append("probe_fault")
    sentinel = Observation("spo2", None, INVALID, "127: no value") if saturation == 127 else None
    observations = (sentinel or _or_zero("spo2", saturation), _or_zero("pulse_rate", pulse))
    return observations, tuple(faults), ()


_READERS: dict[str, Callable[[bytes], Read | None]] = {"ivy": read_ivy, "pc60": read_pc60, "bci": read_bci}


def check(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the mistakes in a device's options for this format."""
    mistakes = [f"options.{key}: unknown; known is protocol" for key in options if key != "protocol"]
    if options.get("protocol", "ivy") not in CUTTERS:
        mistakes.append(
            f"options.protocol is {options['protocol']!r}; it must be one of {', '.join(CUTTERS)}"
        )
    return tuple(mistakes)


FORMAT = Format(
    "serial", "serial devices: Ivy 450C, PC-60 and BCI oximeters", decode, check, _MAX_PAYLOAD_BYTES
)
