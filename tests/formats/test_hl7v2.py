"""HL7 v2 of bedside monitors and gateways, from the standards rather than from the recordings."""

from __future__ import annotations

import pytest

from monitor.core.vitals import INVALID, QUESTIONABLE, VALID
from monitor.formats import Undecodable
from tests.formats.speech import NOON, context, one, only, read, values

HEAD = r"MSH|^~\&|VSP^0011223344556677^EUI-64|GE|||20261123120000+0000||ORU^R01^ORU_R01|1|P|2.6"


def message(*segments: str, head: str = HEAD, end: str = "\r") -> str:
    """Put a message together."""
    return end.join([head, *segments, ""])


def obx(code: str, value: str, unit: str = "", status: str = "F", *, at: str = "", flags: str = "") -> str:
    """Return one numeric OBX."""
    return f"OBX|1|NM|{code}|1.1.1.1|{value}|{unit}||{flags}|||{status}|||{at}"


SPO2 = "150456^MDC_PULS_OXIM_SAT_O2^MDC"
SYS = "150021^MDC_PRESS_BLD_NONINV_SYS^MDC"
DIA = "150022^MDC_PRESS_BLD_NONINV_DIA^MDC"
TEMP = "150344^MDC_TEMP^MDC"
OBR = "OBR|1|||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|||20261123120000+0000"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\x1c\r"])
def test_any_line_end_is_read(end: str) -> None:
    """Issue 7.1: CR or LF, MLLP framing or none."""
    report = only(read("hl7v2", "\x0b" + message(OBR, obx(SPO2, "97"), end=end)))
    assert values(report) == {"spo2": 97}
    assert report.measured_at == NOON


@pytest.mark.parametrize(
    ("code", "metric"),
    [
        ("147842^MDC_ECG_HEART_RATE^MDC", "heart_rate"),
        ("16770^MDC_ECG_HEART_RATE^MDC", "heart_rate"),
        ("149530^MDC_PULS_OXIM_PULS_RATE^MDC", "pulse_rate"),
        ("18458^^MDC", "pulse_rate"),
        ("149546^MDC_PULS_RATE_NON_INV^MDC", "nibp_pulse_rate"),
        ("0002-4bb8^SpO2^MDIL", "spo2"),
        ("0002-4182^HR^MDIL", "heart_rate"),
        ("19384^MDC_PULS_OXIM_SAT_O2^MDC", "spo2"),
        ("59408-5^Oxygen saturation^LN", "spo2"),
        ("8867-4^Heart rate^LN", "heart_rate"),
        ("8889-8^^LN", "pulse_rate"),
        ("19891-1^^LN", "etco2"),
        ("151594^MDC_CO2_RESP_RATE^MDC", "respiration_rate"),
        ("9279-1^^LN", "respiration_rate"),
        ("386725007^Body temperature^SCT", "temperature"),
        ("MDC_PULS_OXIM_SAT_O2", "spo2"),
        ("local^vendor^L^59408-5^SpO2^LN", "spo2"),
        ("101^HR", "heart_rate"),
    ],
)
def test_codes_in_all_their_forms(code: str, metric: str) -> None:
    """Issue 7.1: MDC in 32 and 16 bits and by name, MDIL, LOINC, SNOMED, vendor codes, alternates."""
    assert list(values(only(read("hl7v2", message(OBR, obx(code, "40")))))) == [metric]


@pytest.mark.parametrize(
    ("code", "value", "unit", "expected"),
    [
        (SYS, "16.0", "kPa", 120.01),
        (SYS, "16", "266016^MDC_DIM_MMHG^MDC", 16.0),
        (SYS, "120", "3872^MDC_DIM_MMHG^MDC", 120.0),
        (SYS, "16", "265987^MDC_DIM_KILO_PASCAL^MDC", 120.01),
        (SYS, "120", "0004-0f20^mmHg^MDIL", 120.0),
        (SPO2, "0.97", "1", 97.0),
        (SPO2, "97", "262688^MDC_DIM_PERCENT^MDC", 97.0),
        (TEMP, "98.6", "[degF]", 37.0),
        (TEMP, "98.6", "°F", 37.0),
        (TEMP, "310.15", "K", 37.0),
        (TEMP, "37", "268192^MDC_DIM_DEGC^MDC", 37.0),
        ("147842^MDC_ECG_HEART_RATE^MDC", "1.2", "Hz", 72.0),
    ],
)
def test_units_are_converted_and_said(code: str, value: str, unit: str, expected: float) -> None:
    """Issue 7.1: units by UCUM, 11073 and plain names; a conversion stands in the reason."""
    found = only(read("hl7v2", message(OBR, obx(code, value, unit)))).observations[0]
    assert found.value == pytest.approx(expected, abs=0.011)
    assert (found.value == float(value)) or "converted" in found.reason


def test_a_unit_of_something_else_gives_no_value() -> None:
    """R-15: no wrong value is accepted: a pressure in litres is none."""
    found = only(read("hl7v2", message(OBR, obx(SYS, "120", "L")))).observations[0]
    assert (found.value, found.validity) == (None, INVALID)
    assert "120 not used" in found.reason


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        "-100",
        "-100.00",
        "-1",
        "-32768",
        "8388607",
        "---",
        "***",
        "?",
        "N/A",
        "NaN",
        "null",
        "32767",
        "-?-",
    ],
)
def test_no_value_in_all_its_spellings(spelling: str) -> None:
    """Issue 7: "no value" has more than eleven spellings."""
    found = only(read("hl7v2", message(OBR, obx(SPO2, spelling), obx(SYS, "120")))).observations
    assert [(o.value, o.validity) for o in found if o.metric == "spo2"] == [(None, INVALID)]


@pytest.mark.parametrize(
    ("status", "kept"), [("F", 1), ("R", 1), ("P", 1), ("", 1), ("X", 0), ("W", 0), ("D", 0)]
)
def test_status_of_a_result(status: str, kept: int) -> None:
    """Issue 7.1: F, P, R keep a value; X (none), W (wrong patient), D (deleted) refuse it and say why."""
    found = only(read("hl7v2", message(OBR, obx(SPO2, "97", status=status), obx(SYS, "120")))).observations[0]
    assert (found.value is not None) == bool(kept)
    assert kept or f"OBX-11 {status}" in found.reason


def test_doubt_and_refusal_by_the_device() -> None:
    """Issue 7.1: the measurement status of OBX-8 lowers or refuses a value."""
    found = only(read("hl7v2", message(OBR, obx(SPO2, "97", flags="QUES"), obx(SYS, "120", flags="INV"))))
    assert one(found, "spo2").validity == QUESTIONABLE
    assert one(found, "nibp_systolic").value is None


def test_inverted_pressures_are_impossible() -> None:
    """Issue 7: inverted values are marked with both numbers."""
    found = only(read("hl7v2", message(OBR, obx(SYS, "80"), obx(DIA, "120"))))
    assert {o.value for o in found.observations} == {None}
    assert "systolic 80 not above diastolic 120" in one(found, "nibp_systolic").reason


def test_invasive_pressures_are_never_a_cuffs() -> None:
    """Issue 7.1: an arterial line's numbers are said and not used."""
    found = only(
        read("hl7v2", message(OBR, obx("150037^MDC_PRESS_BLD_ART_ABP_SYS^MDC", "120"), obx(SPO2, "97")))
    )
    assert values(found) == {"spo2": 97}
    assert any("arterial" in note for note in found.notes)


def test_two_probes_are_one_observation() -> None:
    """Data README: one code may appear twice; the first probe with a value counts, the other is said."""
    rows = (obx(SPO2, "").replace("1.1.1.1", "1.1.1.1"), obx(SPO2, "95").replace("1.1.1.1", "1.2.1.1"))
    found = only(read("hl7v2", message(OBR, *rows)))
    assert values(found) == {"spo2": 95}


def test_several_patients_with_their_own_beds() -> None:
    """Issue 7.1: one message for several patients gives each device its own report."""
    found = read(
        "hl7v2",
        message(
            "PID|||A", "PV1||I|W^1^1", OBR, obx(SPO2, "97"), "PID|||B", "PV1||I|W^1^2", OBR, obx(SPO2, "88")
        ),
    )
    assert {report.device_id: values(report)["spo2"] for report in found.reports} == {
        "W^1^1": 97,
        "W^1^2": 88,
    }


def test_several_patients_who_cannot_be_told_apart_are_refused() -> None:
    """Issue 7.1: whose reading is whose must never be guessed."""
    with pytest.raises(
        Undecodable, match=r"2 patients and no field that tells their devices apart.*identity"
    ):
        read("hl7v2", message("PID|||A", OBR, obx(SPO2, "97"), "PID|||B", OBR, obx(SPO2, "88")))


def test_several_devices_by_obx_18() -> None:
    """Issue 7.1: OBX-18 names the device of each observation."""
    rows = [
        f"OBX|1|NM|{SPO2}|1.0.0.{n}|{v}||||||F|||||||{d}^EUI-64"
        for n, v, d in ((1, 97, "AAAA0000AAAA0001"), (2, 91, "AAAA0000AAAA0002"))
    ]
    found = read("hl7v2", message(OBR, *rows))
    assert {r.device_id: values(r)["spo2"] for r in found.reports} == {
        "AAAA0000AAAA0001": 97,
        "AAAA0000AAAA0002": 91,
    }


def test_training_and_demo_are_drills() -> None:
    """DESIGN §5: drill and real never mix: MSH-11 T and OBX-8 DEMO are drills."""
    assert only(read("hl7v2", message(OBR, obx(SPO2, "97"), head=HEAD.replace("|P|", "|T|")))).mode == "drill"
    assert only(read("hl7v2", message(OBR, obx(SPO2, "97", flags="DEMO")))).mode == "drill"
    assert only(read("hl7v2", message(OBR, obx(SPO2, "97")))).mode == "real"


R40 = HEAD.replace("ORU^R01^ORU_R01", "ORU^R40^ORU_R40")


def alarm(text: str, phase: str, kind: str = "ST", state: str = "active") -> str:
    """Return an IHE PCD-04 alarm."""
    return message(
        "OBR|1|||196616^MDC_EVT_ALARM^MDC|||20261123120000+0000",
        f"OBX|1|CWE|196616^MDC_EVT_ALARM^MDC|1.3.1.150456.1|{text}|||PM~{kind}|||F",
        f"OBX|2|NM|{SPO2}|1.3.1.150456.2|||||||F",
        f"OBX|3|ST|68481^MDC_ATTR_EVENT_PHASE^MDC|1.3.1.150456.3|{phase}||||||F",
        f"OBX|4|ST|68482^MDC_ATTR_ALARM_STATE^MDC|1.3.1.150456.4|{state}||||||F",
        head=R40,
    )


def test_pcd04_technical_alarm_becomes_a_fault_and_ends() -> None:
    """Issue 7.1: a technical alarm (ORU^R40) is a fault of the device; its end takes it away."""
    begun = only(read("hl7v2", alarm("196916^MDC_EVT_SENSOR_DISCONN^MDC^SpO2 probe off", "start")))
    assert begun.faults == ("probe_off",)
    ended = only(
        read("hl7v2", alarm("196916^MDC_EVT_SENSOR_DISCONN^MDC^SpO2 probe off", "end", state="inactive"))
    )
    assert ended.faults == ()


def test_pcd04_physiological_alarm_is_a_note() -> None:
    """Issue 7.1: a monitor's own alarm is said, and is never an alarm of ours."""
    report = only(read("hl7v2", alarm("196652^MDC_EVT_LO_VAL_LT_LIM^MDC^SpO2 low", "start", "SP")))
    assert report.faults is None
    assert any("physiological alarm" in note for note in report.notes)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "no MSH segment"),
        (b"hello", "no MSH segment"),
        (b'{"a":1}', "no MSH segment"),
        (b"\xff\xfe\x00", "no MSH segment"),
    ],
)
def test_what_is_no_hl7_is_refused(payload: bytes, reason: str) -> None:
    """P-25: refused with a reason that names the remedy."""
    with pytest.raises(Undecodable, match=reason):
        read("hl7v2", payload)


def test_a_sites_own_codes_and_identity() -> None:
    """Issue 7: anything that reaches a broker becomes observations by configuration alone."""
    options = {"codes": {"X-77": "spo2", "150021": "ignore"}, "identity": "PID-3"}
    around = context(**options)
    found = only(
        read("hl7v2", message("PID|||P-9", OBR, obx("X-77^own^99ME", "96"), obx(SYS, "120")), around)
    )
    assert (found.device_id, values(found)) == ("P-9", {"spo2": 96})
    assert one(found, "spo2").validity == VALID


def test_local_times_twice_a_year() -> None:
    """Issue 7.1: in the hour that comes twice, the reading nearer to its arrival is meant."""
    head = HEAD.replace("20261123120000+0000", "20261025023000")
    row = OBR.replace("20261123120000+0000", "20261025023000")
    for arrival, expected in (("00:31", "00:30"), ("01:31", "01:30")):
        moment = NOON.replace(month=10, day=25, hour=int(arrival[:2]), minute=int(arrival[3:]))
        around = context(zone="Europe/Berlin", at=moment)
        found = only(read("hl7v2", message(row, obx(SPO2, "97"), head=head), around))
        assert found.measured_at is not None
        assert f"{found.measured_at:%H:%M}" == expected
