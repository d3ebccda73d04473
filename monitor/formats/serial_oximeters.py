"""Oximeters that send frames of bytes: PC-60, BCI (Contec, BerryMed), Nonin, Viatom rings, Jumper.

Law: a sign for "no value" is one; what a frame says of its probe is a fault. Sources: the PC-60FW
notification (token 0x0F, type 1); the BCI digital protocol as the CMS50 and BerryMed modules document it, and
Contec's later form of it; Nonin's OEM III data formats 2, 7, 8 and 19; the real-time answer of Viatom's
rings; the Jumper JPD-500 notification.
"""

from __future__ import annotations

from monitor.core.vitals import INVALID, Observation
from monitor.formats.reading import observe
from monitor.formats.serial_text import Read


def read_pc60(frame: bytes) -> Read | None:
    """Read a PC-60 packet: token 0x0F, length, type 1, SpO2, pulse (16 bit), PI in tenths, state."""
    content = frame.removeprefix(b"\xaa\x55")
    if len(content) < 8 or content[0] != 0x0F or content[2] != 1:
        return None  # a waveform, a version or another token
    state = content[7]
    observations = (
        _value("spo2", content[3]),
        _value("pulse_rate", int.from_bytes(content[4:6], "little")),
        observe("perfusion_index", content[6] / 10),
    )
    # Bit 1: the finger is out; bits 6 and 7 of the next byte are the battery.
    return Read(observations, ("probe_off",) if state & 2 else ())


def _value(metric: str, number: int) -> Observation:
    """Return a value; 0, and 127 of a saturation, are signs for none."""
    if number == 0 or (metric == "spo2" and number == 127):
        return Observation(metric, None, INVALID, f"{number}: no value")
    return observe(metric, number)


def _faults(*rows: tuple[int, str]) -> tuple[str, ...]:
    """Return the faults whose bit is set, each once."""
    return tuple(dict.fromkeys(fault for bit, fault in rows if bit))


def read_bci(frame: bytes) -> Read | None:
    """Read a BCI frame: signal and probe bits, pleth, bar, pulse (bit 7 in byte 3), SpO2."""
    pulse = (frame[2] & 0x40) << 1 | frame[3] & 0x7F
    faults = _faults(
        (frame[2] & 0x10, "probe_off"),
        (frame[2] & 0x20 or frame[0] & 0x10, "searching"),
        (frame[0] & 0x0F == 0x0F, "probe_fault"),
    )
    return Read((_value("spo2", frame[4] & 0x7F), _value("pulse_rate", pulse)), faults)


def read_contec(frame: bytes) -> Read | None:
    """Read Contec's later form (CMS50D+, E, F): type 1, the high bits, then seven bytes of seven bits."""
    high = frame[1]
    state, wave, _, pulse, saturation, *_ = (
        byte & 0x7F | (high >> place & 1) << 7 for place, byte in enumerate(frame[2:9])
    )
    faults = _faults((state & 0x80, "probe_off"), (wave & 0x80 or state & 0x10, "searching"))
    return Read((_value("spo2", saturation), _value("pulse_rate", pulse)), faults)


def read_nonin(packet: bytes) -> Read | None:
    """Read a Nonin packet of 25 frames, data format 2 or 7: pulse in frames 1 and 2, SpO2 in frame 3.

    Format 2 keeps its status in the second byte of a frame, format 7 in the first.
    """
    status = packet[1] if packet[0] == 1 else packet[0]
    pulse = (packet[3] & 3) << 7 | packet[8] & 0x7F
    return Read((_value("spo2", packet[13] & 0x7F), _nonin_pulse(pulse)), _nonin_faults(status, packet[38]))


def _nonin_pulse(number: int) -> Observation:
    if number == 511:
        return Observation("pulse_rate", None, INVALID, "511: no value")
    return _value("pulse_rate", number)


def _nonin_faults(status: int, second: int) -> tuple[str, ...]:
    return _faults(
        (status & 0x40, "probe_off"),
        (status & 0x20, "artefact"),
        (status & 0x10, "searching"),
        (status & 0x08, "probe_fault"),
        (status & 0x06 == 0x04, "low_perfusion"),
        (second & 0x01, "battery_low"),
    )


def read_nonin_8(frame: bytes) -> Read | None:
    """Read Nonin's data format 8, four bytes a second: status, pulse, SpO2, second status."""
    status, low, saturation, second = frame[:4]
    faults = _faults(
        (status & 0x40, "probe_off"),
        (status & 0x20, "searching"),
        (status & 0x10, "low_perfusion"),
        (status & 0x04, "artefact"),
        (second & 0x01, "battery_low"),
    )
    pulse = (status & 3) << 7 | low & 0x7F
    return Read((_value("spo2", saturation & 0x7F), _nonin_pulse(pulse)), faults)


def read_nonin_19(frame: bytes) -> Read | None:
    """Read Nonin's format 19 (3230): length, status, battery, PI in hundredths, counter, SpO2, pulse."""
    status = frame[1]
    faults = _faults(
        (status & 0x08, "searching"), (status & 0x02, "low_perfusion"), (status & 0x20, "battery_low")
    )
    observations = (
        _value("spo2", frame[7]),
        _nonin_pulse(int.from_bytes(frame[8:10], "big")),
        observe("perfusion_index", int.from_bytes(frame[3:5], "big") / 100),
    )
    return Read(observations, faults)


def read_viatom(frame: bytes) -> Read | None:
    """Read a Viatom ring's real-time answer: SpO2, pulse, eighth the battery, eleventh PI in tenths."""
    content = frame[7:-1]
    if len(content) < 13 or frame[1] != 0:
        return None  # a file, settings, or a refusal
    saturation, pulse, battery = content[0], content[1], content[7]
    off = saturation in {0, 0xFF} and pulse in {0, 0xFF}
    observations = (
        Observation("spo2", None, INVALID, "255: no value")
        if saturation == 0xFF
        else _value("spo2", saturation),
        _value("pulse_rate", pulse),
        observe("perfusion_index", content[10] / 10),
    )
    return Read(observations, _faults((off, "probe_off"), (battery <= 10, "battery_low")))


def read_jumper(frame: bytes) -> Read | None:
    """Read a Jumper notification: 0x81, pulse, SpO2, PI in tenths."""
    _, pulse, saturation, index = frame
    off = saturation == 127 or pulse == 255
    observations = (
        _value("spo2", saturation),
        _value("pulse_rate", pulse),
        observe("perfusion_index", index / 10),
    )
    return Read(observations, _faults((off, "searching")))
