"""HL7 v2 as one maker after another writes it: the stories, and what single parts of them must do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from monitor.core.vitals import INVALID, QUESTIONABLE
from monitor.formats import Undecodable
from tests.formats.speech import NOON, context, one, only, read, values
from tests.formats.stories import Story, hold, payload_of, stories

MSH = r"MSH|^~\&|"
STORIES = stories("hl7v2")


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "mllp"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story["name"].split(",")[0].split(":")[0])
def test_a_makers_message(story: Story, end: str) -> None:
    """Issue 7.1: every maker's layout gives its values, its device and its times, whatever ends the lines."""
    text = payload_of(story).replace(b"\n", b"\r" if end == "mllp" else end.encode())
    hold(story, b"\x0b" + text + b"\r\x1c\r" if end == "mllp" else text)


def story(name: str) -> Any:
    """Return the report of one story."""
    (found,) = (one for one in STORIES if one["name"].startswith(name))
    return only(read("hl7v2", payload_of(found), zone=found.get("zone", "")))


def test_a_cuff_in_an_order_of_its_own_keeps_that_orders_time() -> None:
    """Issue 7.1: OBR-7 of each order."""
    report = story("nihon-kohden")
    assert one(report, "nibp_systolic").measured_at == NOON - timedelta(minutes=4, seconds=23)
    assert one(report, "spo2").measured_at is None


def test_an_inop_is_a_fault() -> None:
    """Issue 7.1: Philips sends technical alarms as text beside the values."""
    report = story("philips information centre")
    assert report.faults == ("probe_off",)
    assert any("ABPs 120: an arterial line" in note for note in report.notes)


def test_number_and_name_that_contradict_are_settled_by_the_unit_or_not_at_all() -> None:
    """R-15: a code for SpO2 that is named end-tidal CO2 is what its unit says, doubted; else no value."""
    report = story("ge carescape")
    assert "contradict each other; taken by its unit" in one(report, "etco2").reason
    for unit in ("", "L", "266016^MDC_DIM_MMHG^MDC"):
        head = MSH + "A|B|||20261123120000+0000||ORU^R01|1|P|2.6\rOBR|1||||||20261123120000+0000\r"
        row = f"OBX|1|NM|150456^MDC_PRESS_BLD_ART_SYS^MDC||97|{unit}|||||F\r"
        found = only(read("hl7v2", head + row)).observations
        assert [(o.metric, o.value, o.validity) for o in found] == [("spo2", None, INVALID)]


@pytest.mark.parametrize(
    ("code", "unit"),
    [
        ("150456^MDC_ECG_HEART_RATE^MDC", ""),
        ("147842^SpO2^MDC", "bpm"),
        ("8867-4^SpO2^LN", ""),
        ("8462-4^Systolic blood pressure^LN", "mmHg"),
        ("0002-4bb8^HR^MDIL", ""),
        ("150456^MDC_TEMP_ROOM_42^MDC", "%"),
    ],
)
def test_what_contradicts_itself_is_never_taken(code: str, unit: str) -> None:
    """R-15: number and name must agree, in every nomenclature."""
    text = f"{MSH}A|B|||||ORU^R01|1|P|2.6\rOBX|1|NM|{code}||72|{unit}|||||F\r"
    found = read("hl7v2", text)
    for report in found.reports:
        for observation in report.observations:
            assert observation.value is None or observation.validity == QUESTIONABLE


def test_an_arterial_line_named_by_words_beside_a_general_code_is_not_the_cuff() -> None:
    """R-15: an invasive pressure is never a cuff's, whatever code it was given."""
    text = f"{MSH}A|B|||||ORU^R01|1|P|2.6\rOBX|1|NM|8480-6^ART-Sys^LN||120|mmHg|||||F\r"
    decoded = read("hl7v2", text)
    assert not any(report.observations for report in decoded.reports)


def test_what_no_rule_knows_is_named() -> None:
    """Issue 7.7: a number that is not read is named, so that options.codes can name it."""
    found = next(one for one in STORIES if one["name"].startswith("masimo"))
    assert read("hl7v2", payload_of(found)).unread == ("PVI^Pleth variability^99MASIMO",)


def test_an_admission_with_vital_signs_is_not_live() -> None:
    """R-15: what an ADT repeats was measured at some other time; the reason counts what was not used."""
    text = (
        f"{MSH}EPIC|ED|||20261123120000||ADT^A08|1|P|2.5\rPID|1||A\rOBX|1|NM|8867-4^HR^LN||126|/min|||||F\r"
    )
    decoded = read("hl7v2", text)
    assert (decoded.reports, decoded.note) == ((), "ADT^A08: its 1 OBX are not of now and not used")


def test_the_offset_of_msh_7_holds_where_the_device_has_no_zone() -> None:
    """HL7 2.14.9.7: the time zone of MSH-7 is the message's; a zone in beds.toml wins."""
    text = f"{MSH}A|B|||20261123133000+0130||ORU^R01|1|P|2.6\rOBR|1||||||20261123133000\rOBX|1|NM|HR||72\r"
    assert only(read("hl7v2", text)).measured_at == NOON
    assert only(read("hl7v2", text, zone="UTC")).measured_at == NOON + timedelta(minutes=90)


@pytest.mark.parametrize(
    "written",
    ["20261123120000+0000", "20261123120000.123+0000", "20261123120000123+0000", "20261123120000Z",
     "20261123120000+00:00", "2026-11-23T12:00:00Z", "2026-11-23 12:00:00+00:00", "202611231200+0000"],
)  # fmt: skip
def test_times_as_monitors_write_them(written: str) -> None:
    """Issue 7.1: with and without dots, offsets in both forms, ISO 8601 by mistake."""
    text = f"{MSH}A|B|||||ORU^R01|1|P|2.6\rOBR|1||||||{written}\rOBX|1|NM|HR||72\r"
    at = only(read("hl7v2", text)).measured_at
    assert at is not None
    assert at.replace(microsecond=0) == NOON


@pytest.mark.parametrize("written", ["2026112312", "20261323120000", "yesterday", "20261123", "1"])
def test_times_that_are_none_are_said(written: str) -> None:
    """Issue 7.1: a time that cannot be read is said and the value kept, by the time of arrival."""
    text = f"{MSH}A|B|||||ORU^R01|1|P|2.6\rOBR|1||||||{written}\rOBX|1|NM|HR||72\r"
    report = only(read("hl7v2", text, zone="UTC"))
    assert report.measured_at is None
    assert any("OBR-7" in note for note in report.notes)


def test_a_mindray_alarm_without_an_order() -> None:
    """IHE PCD-04 as Mindray sends it: no OBR, its lead fault is a fault of the device."""
    text = (
        f"{MSH}MINDRAY_^00A037000000^EUI-64|MINDRAY|||20261123120000000+0000||ORU^R40|5|P|2.6\r"
        "OBX|1|CWE|196616^MDC_EVT_ALARM^MDC|1.7.0.196680.1|196680^MDC_EVT_LEAD_OFF^MDC|||A~PL~ST|||R\r"
        "OBX|2|ST|68481^MDC_ATTR_EVENT_PHASE^MDC|1.7.0.196680.3|start\r"
        "OBX|3|ST|68482^MDC_ATTR_ALARM_STATE^MDC|1.7.0.196680.4|active\r"
    )
    assert only(read("hl7v2", text)).faults == ("lead_off",)


def test_a_pump_alarm_is_a_note() -> None:
    """IHE PCD-04 of an infusion pump: nothing of ours, said and no error."""
    text = (
        f"{MSH}PUMP|X|||20261123120000+0000||ORU^R40^ORU_R40|5|P|2.6\rOBR|1|||196616^MDC_EVT_ALARM^MDC\r"
        "OBX|1|ST|196616^MDC_EVT_ALARM^MDC|1.1.0.0.1|196670^MDC_EVT_PUMP_GENERAL_ALARM^MDC||||||F\r"
        "OBX|2|ST|68481^MDC_ATTR_EVT_PHASE^MDC|1.1.0.0.3|start||||||F\r"
        "OBX|3|ST|68485^MDC_ATTR_ALERT_TYPE^MDC|1.1.0.0.7|ST||||||F\r"
    )
    report = only(read("hl7v2", text))
    assert report.faults is None
    assert any("PUMP GENERAL ALARM" in note for note in report.notes)


def test_two_monitors_by_prt_in_one_order() -> None:
    """HL7 2.7: a PRT names the device of the OBX before it."""
    text = (
        f"{MSH}A|B|||20261123120000+0000||ORU^R01|1|P|2.7\rOBR|1\r"
        "OBX|1|NM|59408-5^SpO2^LN||97|%|||||F\rPRT|1|UC||EQUIP||||||MON-A\r"
        "OBX|2|NM|59408-5^SpO2^LN||88|%|||||F\rPRT|2|UC||EQUIP||||||MON-B\r"
    )
    found = {report.device_id: values(report)["spo2"] for report in read("hl7v2", text).reports}
    assert found == {"MON-A": 97, "MON-B": 88}


def test_segments_that_are_no_message_name_the_remedy() -> None:
    """P-25: OBX without an MSH."""
    with pytest.raises(Undecodable, match="no MSH segment"):
        read("hl7v2", "OBX|1|NM|HR||72|bpm\r", context())
