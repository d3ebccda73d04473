"""Serial devices that send lines of text: Ivy 450C, Masimo oximeters, Nellcor oximeters.

Law: a value keeps the device's own sign for "none"; what a line says of its probe is a fault. A cuff value
that is repeated without a time is marked: nobody knows whether it is new. Sources: the framing beside the Ivy
recordings; Masimo's ASCII 1 output as the Rad family documents it; Nellcor's N-560 and N-595 printouts.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

from monitor.core.vitals import INVALID, Observation
from monitor.formats.hl7_alarms import fault_of
from monitor.formats.reading import doubt, observe, shown
from monitor.formats.serial_frames import ivy_text

_REPEATED = "repeated in every frame and without a time of its own: not known to be new"


class Read(NamedTuple):
    """What one frame says; ``moment`` is the device's local time, where it has a clock."""

    observations: tuple[Observation, ...]
    faults: tuple[str, ...] | None
    notes: tuple[str, ...] = ()
    moment: datetime | None = None


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
    return Read(tuple(observations), tuple(dict.fromkeys(faults)), tuple(notes))


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


_MASIMO = re.compile(
    rb"(\d\d/\d\d/\d\d \d\d:\d\d:\d\d)[^\r\n]*?SPO2=([^ %\r\n]+)%? +BPM=([^ %\r\n]+)"
    rb"(?:[^\r\n]*? PI=([^ %\r\n]+))?(?:[^\r\n]*? EXC=([0-9A-Fa-f]+))?"
)
# Exceptions, as bits: what the probe says of itself. 0x800 says that the SET algorithm runs.
_MASIMO_FAULTS = {
    0x001: "probe_off",  # no sensor
    0x002: "probe_fault",
    0x004: "low_perfusion",
    0x008: "searching",
    0x010: "interference",
    0x020: "probe_off",
    0x040: "interference",  # ambient light
    0x080: "probe_fault",  # unrecognised sensor
    0x400: "artefact",  # low signal IQ
}


def read_masimo(frame: bytes) -> Read | None:
    """Read a Masimo line, month first: ``03/06/05 21:11:30 SN=… SPO2=098% BPM=057 PI=07.02% EXC=000800``."""
    match = _MASIMO.search(frame)
    if match is None:
        return None
    when, *given, exceptions = (part.decode("ascii", "replace") if part else "" for part in match.groups())
    metrics = ("spo2", "pulse_rate", "perfusion_index")
    bits = int(exceptions or "0", 16)
    faults = dict.fromkeys(fault for bit, fault in _MASIMO_FAULTS.items() if bits & bit)
    return Read(
        tuple(observe(metric, text) for metric, text in zip(metrics, given, strict=True) if text),
        tuple(faults) if exceptions else None,
        moment=_moment(when, "%m/%d/%y %H:%M:%S"),
    )


_NELLCOR = re.compile(
    rb"(\d\d-[A-Za-z]{3}-\d\d \d\d:\d\d:\d\d) +(\d{1,3}|---)\*?"
    rb" +(\d{1,3}|---)\*? +(?:\d{1,3}|---)\*?([ A-Z]*)"
)
_NELLCOR_FAULTS = {
    "SD": "probe_off",
    "SO": "probe_off",
    "PS": "searching",
    "LP": "searching",
    "LM": "searching",
    "MO": "motion",
    "LB": "battery_low",
    "ID": "interference",
}


def read_nellcor(frame: bytes) -> Read | None:
    """Read a Nellcor line: ``29-Dec-17 07:19:01    79*     66      18    MO SL``; a star is its own alarm."""
    match = _NELLCOR.search(frame)
    if match is None:
        return None
    when, saturation, pulse, words = (part.decode("ascii", "replace") for part in match.groups())
    faults = dict.fromkeys(_NELLCOR_FAULTS[word] for word in words.split() if word in _NELLCOR_FAULTS)
    observations = (observe("spo2", saturation), observe("pulse_rate", pulse))
    return Read(observations, tuple(faults), moment=_moment(when, "%d-%b-%y %H:%M:%S"))


def _moment(text: str, pattern: str) -> datetime | None:
    try:
        return datetime.strptime(text, pattern)  # noqa: DTZ007 (the device's zone is applied by the caller)
    except ValueError:
        return None
