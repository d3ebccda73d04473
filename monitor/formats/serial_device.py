"""Serial devices: bedside monitors and oximeters that send frames or lines of text.

Law: a payload holds one frame or a recording of many; each whole frame is one report. The time at which the
bridge heard a frame counts before the device's own clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from monitor.core.vitals import Report
from monitor.formats import serial_oximeters, serial_text
from monitor.formats.contract import Context, Decoded, Format, Undecodable
from monitor.formats.instants import place, read_iso
from monitor.formats.json_payload import parse_object
from monitor.formats.reading import judge_pressures
from monitor.formats.serial_frames import CUTTERS
from monitor.formats.serial_text import Read


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode one frame or a recording; in hexadecimal too, a PC-60 packet also without sync and CRC.

    The bridge sends a frame as ``{"at": time, "frame": hexadecimal}``: these devices have no clock, so the
    time at which the bridge heard them is the time of measurement.

    Options: ``protocol`` (one of ``CUTTERS``; else found by the framing).

    Raises:
        Undecodable: no whole frame of a known protocol.
    """
    content, at, why = _opened(payload, context)
    content = _ended(content)
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


_WHOLE_LINE = re.compile(
    rb"[^\r\n]*(?: EXC=[0-9A-Fa-f]{6}|-\d\d \d\d:\d\d:\d\d( +[0-9-]{1,3}\*?){3}[ A-Z]*) *"
)


def _ended(content: bytes) -> bytes:
    """Return a recording with an end to its last line, where that is whole without one."""
    last = content[max(content.rfind(b"\n"), content.rfind(b"\r")) + 1 :]
    return content + b"\n" if len(last) < 400 and _WHOLE_LINE.fullmatch(last) else content


def _unhex(payload: bytes) -> bytes:
    text = payload.strip()
    if len(text) >= 8 and re.fullmatch(rb"[0-9a-fA-F\s:]+", text):
        try:
            return bytes.fromhex(text.decode("ascii").replace(":", " "))
        except ValueError:
            return payload
    return payload


# In which order protocols are tried. The weak ones have little but their length: they count only where hardly
# anything is left over. Nonin's format 8 has less, and must be named.
_STRONG = ("ivy", "masimo", "nellcor", "pc60", "viatom", "nonin")
_WEAK = ("contec", "nonin19", "jumper", "bci")


def _protocol_of(content: bytes) -> str:
    """Find the protocol by its framing.

    Raises:
        Undecodable: none fits.
    """
    for name in _STRONG:
        if CUTTERS[name](content).frames:
            return name
    if _is_bare_pc60(content):
        return "pc60"
    for name in _WEAK:
        cut = CUTTERS[name](content)
        if cut.frames and cut.noise + len(cut.rest) <= len(content) // 10:
            return name
    raise Undecodable(f"not a serial frame that is known: set options.protocol ({', '.join(CUTTERS)})")


def _is_bare_pc60(content: bytes) -> bool:
    """Say whether this is a PC-60 packet without its AA 55 and its CRC, as some gateways forward it."""
    return len(content) >= 4 and content[0] == 0x0F and len(content) in {content[1] + 1, content[1] + 2}


def _report(protocol: str, frame: bytes, at: datetime | None, context: Context) -> Report | None:
    found = _READERS[protocol](frame)
    if found is None:
        return None
    notes = list(found.notes)
    if at is None and found.moment is not None:
        at, note = place(found.moment, str(found.moment), context)
        notes += [note] if note else []
    return Report(
        context.device_id,
        context.received_at,
        at,
        judge_pressures(found.observations),
        found.faults,
        retained=context.retained,
        notes=tuple(notes),
    )


_READERS: dict[str, Callable[[bytes], Read | None]] = {
    "ivy": serial_text.read_ivy,
    "masimo": serial_text.read_masimo,
    "nellcor": serial_text.read_nellcor,
    "pc60": serial_oximeters.read_pc60,
    "bci": serial_oximeters.read_bci,
    "nonin": serial_oximeters.read_nonin,
    "nonin8": serial_oximeters.read_nonin_8,
    "nonin19": serial_oximeters.read_nonin_19,
    "contec": serial_oximeters.read_contec,
    "viatom": serial_oximeters.read_viatom,
    "jumper": serial_oximeters.read_jumper,
}


def check(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the mistakes in a device's options for this format."""
    mistakes = [f"options.{key}: unknown; known is protocol" for key in options if key != "protocol"]
    if options.get("protocol", "ivy") not in CUTTERS:
        mistakes.append(
            f"options.protocol is {options['protocol']!r}; it must be one of {', '.join(CUTTERS)}"
        )
    return tuple(mistakes)


FORMAT = Format(
    "serial",
    "serial devices: Ivy 450C; Masimo, Nellcor, Nonin, PC-60, BCI, Contec, Viatom, Jumper oximeters",
    decode,
    check,
)
