"""The less common parts of each standard, one story each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.core.vitals import INVALID, QUESTIONABLE, VALID
from monitor.formats import FORMATS, Undecodable
from monitor.formats.hl7_alarms import fault_of
from monitor.formats.json_payload import find, records, split_path
from tests.formats.speech import NOON, context, one, only, read, values
from tests.formats.test_gateways import observation, quantity, say
from tests.formats.test_hl7v2 import HEAD, OBR, SPO2, message, obx

# --- GATT ---------------------------------------------------------------------------------------------------


def gatt(name: str, content: str, zone: str = "UTC") -> Any:
    """Decode the hexadecimal value of a characteristic."""
    return only(read("gatt", content.replace(" ", ""), context(f"x/{name}", zone)))


def test_spot_check_with_time_and_device_status() -> None:
    """GSS 2A5E: flags 0x07: timestamp, measurement status (from storage), sensor status (low perfusion)."""
    report = gatt("2A5E", "07 6100 4800 ea070b170c0000 0002 200000")
    assert (values(report), report.measured_at) == ({"spo2": 97, "pulse_rate": 72}, NOON)
    assert report.faults == ("low_perfusion",)
    assert "from the device's store" in report.notes


def test_spot_check_whose_clock_was_never_set() -> None:
    """GSS 2A5E: flag bit 4: the device clock is not set; its time is not used."""
    report = gatt("2A5E", "11 6100 4800 d0070101000000")
    assert (report.measured_at, report.faults) == (None, ("clock_unset",))


def test_continuous_oximeter_with_fast_slow_and_amplitude() -> None:
    """GSS 2A5F: flags 0x13: fast and slow averages are notes, the pulse amplitude index a value."""
    report = gatt("2A5F", "13 6100 4800 6000 4700 6200 4900 2bf0")
    assert values(report) == {"spo2": 97, "pulse_rate": 72, "perfusion_index": 4.3}
    assert report.notes == ("fast SpO2 96.0, pulse 71.0", "slow SpO2 98.0, pulse 73.0")


@pytest.mark.parametrize(
    ("status", "validity"), [("2000", QUESTIONABLE), ("0020", INVALID), ("0080", INVALID), ("8001", VALID)]
)
def test_oximeter_measurement_status(status: str, validity: str) -> None:
    """GSS 2A5F: ongoing doubts, unavailable and invalid refuse, validated and fully qualified are good."""
    assert one(gatt("2A5F", f"04 6100 4800 {status}"), "spo2").validity == validity


def test_oximeter_demonstration_is_a_drill() -> None:
    """DESIGN §5: demonstration data (bit 10) is a drill."""
    assert gatt("2A5F", "04 6100 4800 0004").mode == "drill"


@pytest.mark.parametrize(
    ("status", "words", "fault"),
    [("0100", "body moved", True), ("0200", "cuff too loose", False), ("2000", "improper position", False)],
)
def test_cuff_status_doubts_the_measurement(status: str, words: str, fault: bool) -> None:
    """GSS 2A35: the measurement status is about this measurement."""
    report = gatt("2A35", f"10 7800 5000 5d00 {status}")
    assert one(report, "nibp_systolic").validity == QUESTIONABLE
    assert words in one(report, "nibp_systolic").reason
    assert report.faults == (("cuff_motion",) if fault else ())


def test_irregular_pulse_is_said_and_the_range_doubts_the_pulse_alone() -> None:
    """GSS 2A35: bit 2 irregular pulse; bits 3 and 4 pulse out of range."""
    report = gatt("2A35", "14 7800 5000 5d00 4800 0c00")
    assert "irregular pulse" in one(report, "nibp_systolic").reason
    assert one(report, "nibp_systolic").validity == VALID
    assert one(report, "nibp_pulse_rate").validity == QUESTIONABLE


def test_thermometer_in_fahrenheit() -> None:
    """GSS 2A1C: FLOAT, flag bit 0 Fahrenheit, bit 1 time."""
    report = gatt("2A1C", "03 da0300ff ea070b170c0000")
    assert values(report) == {"temperature": 37}
    assert report.measured_at == NOON
    assert one(gatt("2A1C", "00 ffff7f00"), "temperature").reason == "NaN: no value"


def test_an_impossible_device_time_is_said() -> None:
    """CLINICAL §5: month 0 is no time; the values are kept."""
    report = gatt("2A35", "02 7800 5000 5d00 0000000000 0000")
    assert report.measured_at is None
    assert any("is not set" in note for note in report.notes)


def test_the_inflating_cuff_is_no_reading() -> None:
    """GSS 2A36: the pressure while the cuff inflates is never a blood pressure."""
    assert read("gatt", "0078000000", context("x/2A36")).reports == ()


@pytest.mark.parametrize(
    ("payload", "options", "reason"),
    [
        ('{"value":5}', {"characteristic": "2A37"}, "no bytes under"),
        ("zz", {"characteristic": "2A37", "encoding": "hex"}, "not hexadecimal"),
        ("z", {"characteristic": "2A37"}, "neither hexadecimal nor base64"),
        ("", {"characteristic": "2A37"}, "cut short"),
    ],
)
def test_gatt_refusals_name_the_option(payload: str, options: dict[str, Any], reason: str) -> None:
    """P-25: the reason names what to check."""
    with pytest.raises(Undecodable, match=reason):
        read("gatt", payload, context(**options))


def test_gatt_bytes_as_a_list_with_paths() -> None:
    """Issue 7.3: a gateway's own JSON, by paths."""
    options = {"characteristic": "2A37", "key": "d.raw", "address_key": "d.who", "time_key": "d.at"}
    report = only(
        say("gatt", {"d": {"raw": [0, 80], "who": "AA-BB-CC-DD-EE-FF", "at": 1795435200}}, **options)
    )
    assert (report.device_id, values(report), report.gateway_at) == ("aabbccddeeff", {"heart_rate": 80}, NOON)


# --- HL7 v2 -------------------------------------------------------------------------------------------------


def test_mindray_lists_of_alarms() -> None:
    """Mindray's messages 56 and 54: technical alarms are faults, complete each time; others are notes."""
    technical = HEAD.replace("|1|P|", "|56|P|")
    row = "OBX||CE|4||10146^**SpO2 Sensor Off||||||F"
    assert only(read("hl7v2", message(row, head=technical))).faults == ("probe_off",)
    report = only(read("hl7v2", message("OBX||CE|2||10002^***HR Too High||||||F", head=technical)))
    assert report.faults == ()
    assert any("HR Too High" in note for note in report.notes)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("SpO2 Sensor Off", "probe_off"),
        ("SpO2 No Pulse", "searching"),
        ("SpO2 Low Perf", "low_perfusion"),
        ("SpO2 sensor fault", "probe_fault"),
        ("ECG Lead Off", "lead_off"),
        ("ECG Noise", "ecg_noise"),
        ("NIBP Loose Cuff", "cuff_leak"),
        ("NIBP Pneumatic Leak", "cuff_leak"),
        ("NBP MEASURE FAILED", "cuff_error"),
        ("NIBP Excessive Motion", "cuff_motion"),
        ("CO2 OCCLUSION", "capnograph_fault"),
        ("Battery Low", "battery_low"),
        ("Resp Disconnected", "respiration_lost"),
    ],
)
def test_words_of_monitors_become_faults(words: str, fault: str) -> None:
    """ALARMS §1.7: technical alarms in the words that monitors use."""
    row = f"OBX||CE|4||1^**{words}||||||F"
    assert only(read("hl7v2", message(row, head=HEAD.replace("|1|P|", "|56|P|")))).faults == (fault,)


def test_a_cuff_as_one_value() -> None:
    """Issue 7.1: "120/80(93)" in one OBX."""
    report = only(read("hl7v2", message(OBR, "OBX|1|ST|NIBP||120/80(93)|mmHg|||||F")))
    assert values(report) == {"nibp_systolic": 120, "nibp_diastolic": 80, "nibp_mean": 93}


def test_a_structured_numeric() -> None:
    """HL7 2A.70: SN is comparator and number: below the scale must not vanish."""
    found = one(only(read("hl7v2", message(OBR, f"OBX|1|SN|{SPO2}||<^70|%|||||F"))), "spo2")
    assert (found.value, found.validity) == (70, QUESTIONABLE)


def test_number_and_name_that_contradict_give_no_value() -> None:
    """CLINICAL §7.1: mappings are not trusted unchecked."""
    found = only(read("hl7v2", message(OBR, obx("150456^MDC_ECG_HEART_RATE^MDC", "97"), obx(SPO2, "96"))))
    assert all(o.value is None or o.value == 96 for o in found.observations)


def test_waveforms_and_other_messages_are_understood() -> None:
    """Issue 7.1: ORU^W01, ADT and waveform OBX hold no vital sign and are no error."""
    assert read("hl7v2", message(OBR, head=HEAD.replace("R01", "W01"))).reports == ()
    assert read("hl7v2", message("PID|||A", head=HEAD.replace("ORU^R01", "ADT^A01"))).reports == ()
    assert read("hl7v2", message(OBR, "OBX|1|NA|131329^MDC_ECG_LEAD_I^MDC||1^2^3||||||F")).reports == ()


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ("MSH-3", "VSP"),
        ("MSH-4", "GE"),
        ("PID-3", "P1"),
        ("PV1-3", "W^1^2"),
        ("topic", "dev-1"),
        ("OBR-3", "F77"),
    ],
)
def test_the_site_chooses_the_field_that_names_the_device(identity: str, expected: str) -> None:
    """Issue 7.1: options.identity."""
    rows = ("PID|||P1^^^H", "PV1||I|W^1^2", OBR.replace("OBR|1||", "OBR|1||F77^X"), obx(SPO2, "97"))
    assert only(read("hl7v2", message(*rows), context(identity=identity))).device_id == expected


def test_the_wanted_probe() -> None:
    """Data README: one code may appear twice; options.probe says which."""
    rows = ("OBX|1|NM|{}|1.1|97||||||F", "OBX|2|NM|{}|1.2|91||||||F")
    body = message(OBR, *(row.format(SPO2) for row in rows))
    assert values(only(read("hl7v2", body)))["spo2"] == 97
    report = only(read("hl7v2", body, context(probe="1.2")))
    assert values(report)["spo2"] == 91
    assert any("97, not used" in note for note in report.notes)


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"identity": "PID-9"}, "options.identity"),
        ({"codes": {"a": "b"}}, "options.codes.a"),
        ({"codes": 1}, "table"),
    ],
)
def test_mistakes_in_hl7_options(options: dict[str, Any], mistake: str) -> None:
    """Issue 2: found before the start."""
    assert any(mistake in found for found in FORMATS["hl7v2"].check(options))


# --- FHIR ---------------------------------------------------------------------------------------------------


def test_fhir_device_in_the_message() -> None:
    """Issue 7.2: contained and bundled Devices give their identifier."""
    device = {"resourceType": "Device", "id": "d1", "identifier": [{"value": "00:11:22:33:44:55"}]}
    contained = observation("59408-5", device={"reference": "#d1"}, contained=[device], **quantity(97, "%"))
    assert only(say("fhir", contained)).device_id == "001122334455"
    entry = observation("59408-5", device={"reference": "Device/d1"}, **quantity(97, "%"))
    bundle = {
        "resourceType": "Bundle",
        "entry": [{"fullUrl": "urn:uuid:1", "resource": r} for r in (device, entry)],
    }
    assert only(say("fhir", bundle)).device_id == "001122334455"


@pytest.mark.parametrize(
    ("more", "validity"),
    [
        ({"interpretation": [{"coding": [{"code": "questionable"}]}]}, QUESTIONABLE),
        ({"interpretation": [{"coding": [{"code": "invalid"}]}]}, INVALID),
        ({"status": "preliminary"}, VALID),
        ({"status": "cancelled"}, INVALID),
        ({"status": "unknown"}, QUESTIONABLE),
    ],
)
def test_fhir_status_and_interpretation(more: dict[str, Any], validity: str) -> None:
    """Issue 7.2: what the device thinks of its value."""
    document = {**observation("59408-5", **quantity(97, "%")), **more}
    assert one(only(say("fhir", document)), "spo2").validity == validity


def test_fhir_test_data_is_a_drill() -> None:
    """DESIGN §5: meta.security HTEST is a drill."""
    document = observation("59408-5", meta={"security": [{"code": "HTEST"}]}, **quantity(97, "%"))
    assert only(say("fhir", document)).mode == "drill"


def test_fhir_periods_instants_and_issue_times() -> None:
    """Issue 7.2: effectivePeriod ends when it was measured; issued is the gateway's clock."""
    document = observation("59408-5", issued="2026-11-23T12:00:05Z", **quantity(97, "%"))
    del document["effectiveDateTime"]
    document["effectivePeriod"] = {"start": "2026-11-23T11:59:00Z", "end": "2026-11-23T12:00:00Z"}
    report = only(say("fhir", document))
    assert (report.measured_at, report.gateway_at) == (NOON, NOON.replace(second=5))


def test_what_is_no_fhir_is_refused() -> None:
    """P-25: JSON without a resource."""
    with pytest.raises(Undecodable, match="resourceType"):
        say("fhir", {"spo2": 97})
    assert say("fhir", {"resourceType": "Patient"}).reports == ()


# --- paths --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a.b[1].c", 3), ("a.b.1.c", 3), (r"x\.y", 4), ("a.nope", None), ("a.b[9]", None), ("a.b[-1].c", 3)],
)
def test_paths_lead_where_they_say(path: str, expected: int | None) -> None:
    """Issue 7.4: a path that leads nowhere gives nothing."""
    assert find({"a": {"b": [{}, {"c": 3}]}, "x.y": 4}, split_path(path)) == expected


def test_records_of_maps_lists_and_single_values() -> None:
    """Issue 7.4: "*" is each entry of a list or map, and a lone value is a list of one."""
    document = {"d": {"one": [{"v": 1}, {"v": 2}], "two": {"v": 3}}}
    assert [key for key, _ in records(document, split_path("d.*"))] == ["one", "two"]
    assert [value for _, value in records(json.loads("[[1],[2]]"), ("*", "0"))] == [1, 2]


@pytest.mark.parametrize(
    ("words", "channel", "fault"),
    [
        ("SPO2 PROBE OFF", "ecg", "probe_off"),  # a group may hold a heart rate beside the alarm
        ("LEADS OFF", "respiration", "respiration_lost"),
        ("LEADS OFF", "", "lead_off"),
        ("ECG LEADS OFF", "respiration", "lead_off"),
        ("NIBP CUFF LEAK", "", "cuff_leak"),
    ],
)
def test_the_instrument_that_an_alarm_names_goes_before_the_one_it_came_with(
    words: str, channel: str, fault: str
) -> None:
    """AL-31: leads alone name nothing where the instrument is known: respiration is measured through them."""
    assert fault_of(words, channel) == fault
