"""What a patient has is what we read: known values, written in every format, come back unchanged (R-15)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.formats.serial_frames import crc8_maxim
from tests.formats.corpus import EPOCH_MS, sparkplug_payload
from tests.formats.speech import NOON, context, only, read, values


class Truth(NamedTuple):
    """What the patient has."""

    spo2: int
    pulse: int
    systolic: int
    diastolic: int


truths = st.builds(
    lambda spo2, pulse, diastolic, gap: Truth(spo2, pulse, min(260, diastolic + gap), diastolic),
    st.integers(50, 100),
    st.integers(25, 220),
    st.integers(25, 180),
    st.integers(10, 120),
).filter(lambda truth: truth.systolic >= 50 and truth.systolic - truth.diastolic >= 10)


def native(truth: Truth) -> bytes:
    """Write the native format."""
    found = {"spo2": truth.spo2, "pulse_rate": truth.pulse}
    return json.dumps(
        {"values": {**found, "nibp_systolic": truth.systolic, "nibp_diastolic": truth.diastolic}}
    ).encode()


def hl7v2(truth: Truth) -> bytes:
    """Write HL7 v2, the pressures in kilopascal."""
    rows = (
        ("150456^MDC_PULS_OXIM_SAT_O2^MDC", truth.spo2, "%"),
        ("18458^^MDC", truth.pulse, "264864^MDC_DIM_BEAT_PER_MIN^MDC"),
        ("0002-4a05^NBPs^MDIL", f"{truth.systolic * 0.133322387415:.6f}", "kPa"),
        ("150022^MDC_PRESS_BLD_NONINV_DIA^MDC", truth.diastolic, "mm[Hg]"),
    )
    segments = [r"MSH|^~\&|||||||ORU^R01|1|P|2.6", "OBR||||||||"]
    segments += [f"OBX||NM|{code}||{value}|{unit}|||||F" for code, value, unit in rows]
    return "\r".join(segments).encode()


def fhir(truth: Truth) -> bytes:
    """Write a FHIR Bundle."""

    def measured(code: str, value: float, unit: str) -> dict[str, object]:
        concept = {"coding": [{"system": "http://loinc.org", "code": code}]}
        return {"code": concept, "valueQuantity": {"value": value, "code": unit}}

    head = {"resourceType": "Observation", "status": "final"}
    panel = {"code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]}}
    parts = [measured("8480-6", truth.systolic, "mm[Hg]"), measured("8462-4", truth.diastolic, "mm[Hg]")]
    entries = [
        {**head, **measured("59408-5", truth.spo2 / 100, "1")},
        {**head, **measured("8889-8", truth.pulse, "/min")},
        {**head, **panel, "component": parts},
    ]
    return json.dumps(
        {"resourceType": "Bundle", "entry": [{"resource": entry} for entry in entries]}
    ).encode()


def thingsboard(truth: Truth) -> bytes:
    """Write ThingsBoard telemetry."""
    found = {"spo2": truth.spo2, "spo2_pulse": truth.pulse, "bp": f"{truth.systolic}/{truth.diastolic}"}
    return json.dumps({"ts": EPOCH_MS, "values": found}).encode()


def sparkplug(truth: Truth) -> bytes:
    """Write Sparkplug B."""
    named = {"Vitals/SpO2": truth.spo2, "Vitals/SpO2Pulse": truth.pulse}
    return sparkplug_payload({**named, "BP/Systolic": truth.systolic, "BP/Diastolic": truth.diastolic})


@pytest.mark.parametrize(
    "write", [native, hl7v2, fhir, thingsboard, sparkplug], ids=lambda write: write.__name__
)
@given(truth=truths)
def test_known_values_come_back(write: Callable[[Truth], bytes], truth: Truth) -> None:
    """R-15: every format gives the numbers that were written, and all of them."""
    found = values(only(read(write.__name__, write(truth))))
    assert found == {
        "spo2": truth.spo2,
        "pulse_rate": truth.pulse,
        "nibp_systolic": pytest.approx(truth.systolic, abs=0.011),
        "nibp_diastolic": truth.diastolic,
    }


@given(truth=truths)
def test_known_pressures_come_back_from_gatt(truth: Truth) -> None:
    """R-15: 2A35 with a time and a pulse; 2A5F."""
    time = (2026).to_bytes(2, "little") + bytes([11, 23, 12, 0, 0])
    numbers = (truth.systolic, truth.diastolic, 0x07FF)
    cuff = (
        b"\x06"
        + b"".join(n.to_bytes(2, "little") for n in numbers)
        + time
        + truth.pulse.to_bytes(2, "little")
    )
    report = only(read("gatt", cuff, context("x/2A35", "UTC")))
    assert values(report) == {
        "nibp_systolic": truth.systolic,
        "nibp_diastolic": truth.diastolic,
        "nibp_mean": None,
        "nibp_pulse_rate": truth.pulse,
    }
    assert report.measured_at == NOON
    oximeter = b"\x00" + truth.spo2.to_bytes(2, "little") + truth.pulse.to_bytes(2, "little")
    assert values(only(read("gatt", oximeter.hex(), context("x/2A5F")))) == {
        "spo2": truth.spo2,
        "pulse_rate": truth.pulse,
    }


@given(truth=truths)
def test_known_values_come_back_from_serial_oximeters(truth: Truth) -> None:
    """R-15: the PC-60 and the BCI protocol."""
    frame = b"\xaa\x55\x0f\x08\x01" + bytes([truth.spo2, truth.pulse, 0, 43, 0, 0xC0])
    found = values(only(read("serial", frame + bytes([crc8_maxim(frame)]))))
    assert found == {"spo2": truth.spo2, "pulse_rate": truth.pulse, "perfusion_index": 4.3}
    bci = bytes([0x85, 60, (truth.pulse & 0x80) >> 1 | 3, truth.pulse & 0x7F, truth.spo2])
    assert values(only(read("serial", bci, context(protocol="bci")))) == {
        "spo2": truth.spo2,
        "pulse_rate": truth.pulse,
    }
