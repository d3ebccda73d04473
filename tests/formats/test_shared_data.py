"""Every recorded payload decodes to what is known of it (issue 7, "done when" 1)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitor.formats import Undecodable
from monitor.formats.gatt_values import sfloat
from tests.formats.speech import context, one, only, read, values


def at(text: str) -> datetime:
    """Read an ISO time as UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


# --- HL7 v2 -------------------------------------------------------------------------------------------------


def hl7_report(folder: Path, name: str, zone: str = "UTC") -> Any:
    """Decode one HL7 recording and its expected values."""
    expected = json.loads((folder / "hl7" / "expected.json").read_text())[name]
    return only(read("hl7v2", (folder / "hl7" / name).read_bytes(), zone=zone)), expected


def test_mindray_gateway_keeps_the_cuffs_own_time(shared_data: Path) -> None:
    """Issue 7.1: an aperiodic value keeps its OBX-14 time; arterial lines are never cuff pressures."""
    report, expected = hl7_report(shared_data, "mindray_gateway_full.hl7")
    found = values(report)
    assert found["heart_rate"] == expected["hr"]
    assert found["respiration_rate"] == expected["resp"]
    assert found["spo2"] == expected["spo2"]
    cuff = expected["nbp"]
    for metric, key in (("nibp_systolic", "sys"), ("nibp_diastolic", "dia"), ("nibp_mean", "mean")):
        assert one(report, metric).value == cuff[key]
        assert one(report, metric).measured_at == at(cuff["time"])
    assert report.measured_at == at(expected["message_time"])
    assert any("PA-Sys 20" in note and "not used" in note for note in report.notes)


def test_philips_spot_check_is_as_old_as_it_is(shared_data: Path) -> None:
    """Issue 7.1: a spot check sent eight days late keeps its time; a missing systolic stays missing."""
    report, expected = hl7_report(shared_data, "philips_suresigns_spotcheck.hl7")
    assert values(report) == {"spo2": expected["spo2"], "nibp_diastolic": expected["nbp_dia"]}
    assert report.measured_at == at(expected["observation_time"])
    assert report.gateway_at == at(expected["message_time"])


def test_an_old_spot_check_does_not_pass_as_new_without_a_zone(shared_data: Path) -> None:
    """P-20: a time a day and more from arrival is not of now in any zone, even where none is configured."""
    report, expected = hl7_report(shared_data, "philips_suresigns_spotcheck.hl7", zone="")
    assert report.measured_at == at(expected["observation_time"])
    assert any("read as UTC" in note for note in report.notes)


def test_mindray_204_reads_its_rate_and_no_minus_hundred(shared_data: Path) -> None:
    """Issue 7.1: -100 is no value; ST segments are no vital signs; the control id is no key."""
    report, expected = hl7_report(shared_data, "mindray_204_periodic.hl7")
    assert values(report) == {"heart_rate": expected["hr"]}
    assert report.measured_at is None
    assert report.sequence is None


def test_ge_codes_are_taken_by_their_names(shared_data: Path) -> None:
    """Issue 7.1: a code of no nomenclature is taken by the reference id beside it, and says so."""
    report, expected = hl7_report(shared_data, "ge_b1x5_spo2_template.txt")
    assert values(report) == {
        "spo2": expected["spo2"],
        "pulse_rate": expected["pulse"],
        "perfusion_index": expected["pi"],
    }
    assert "150457" in one(report, "pulse_rate").reason


@pytest.mark.parametrize("name", ["valid-pcd01-request.hl7v2", "valid-bp-continua-wan.hl7v2"])
def test_pcd01_names_its_device_and_time(shared_data: Path, name: str) -> None:
    """Issue 7.1: IHE PCD-01 and Continua WAN: values, EUI-64 and the time of the measurement's parent."""
    expected = json.loads((shared_data / "pcd01" / "expected.json").read_text())[name]
    report = only(read("hl7v2", (shared_data / "pcd01" / name).read_bytes()))
    assert report.device_id == "0123456789ABCDEF"
    assert values(report) == {
        "nibp_systolic": expected["nbp_sys"],
        "nibp_diastolic": expected["nbp_dia"],
        "nibp_mean": expected["nbp_mean"],
    }
    assert report.measured_at == at(expected.get("obr_time", expected.get("time")))
    unset = "MDC_TIME_SYNC_NONE" in expected.get("device_clock", "")
    assert report.faults == (("clock_unset",) if unset else None)


def test_an_acknowledgement_is_understood_and_empty(shared_data: Path) -> None:
    """Issue 7.1: an ACK is a good message without a reading."""
    decoded = read("hl7v2", (shared_data / "pcd01" / "valid-pcd01-response.hl7v2").read_bytes())
    assert decoded.reports == ()
    assert decoded.note == "ACK AA for message MSGID1234"


# --- FHIR ---------------------------------------------------------------------------------------------------


def test_fhir_device_observations(shared_data: Path) -> None:
    """Issue 7.2: PHD observations by their most exact coding, with the device's time and name."""
    folder = shared_data / "fhir"
    cuff = only(read("fhir", (folder / "compound-numeric-blood-pressure.json").read_bytes()))
    assert values(cuff) == {"nibp_systolic": 116, "nibp_diastolic": 71, "nibp_mean": 86}
    assert cuff.measured_at == at("2018-11-11T11:38:15-05:00")
    assert cuff.device_id == "phd-711000FEFF5F49B0.B0495F001071"
    pulse = only(read("fhir", (folder / "numeric-spotnumeric.json").read_bytes()))
    assert values(pulse) == {"pulse_rate": 48}  # MDC says oximeter, LOINC 8867-4 only "heart rate"
    assert read("fhir", (folder / "coin-20181119174911.json").read_bytes()).reports == ()


# --- GATT ---------------------------------------------------------------------------------------------------

_METRIC = {
    "sys": "nibp_systolic",
    "dia": "nibp_diastolic",
    "map": "nibp_mean",
    "hr": "heart_rate",
    "spo2": "spo2",
}


def test_gatt_vectors(shared_data: Path) -> None:
    """Issue 7.3: every vector gives its values, its time, its refusal, or an error where it is cut short."""
    checked = 0
    for vector in json.loads((shared_data / "gatt" / "vectors.json").read_text()):
        if "hex" not in vector:
            continue
        expected = vector["expected"]
        around = context(zone="UTC", characteristic=vector["characteristic"][:4])
        checked += 1
        if expected.get("error"):
            with pytest.raises(Undecodable, match="cut short"):
                read("gatt", vector["hex"], around)
            continue
        report = only(read("gatt", vector["hex"], around))
        impossible = expected.get("sys", 2) <= expected.get("dia", 1)
        for key, metric in _METRIC.items():
            if expected.get(key) is not None:
                assert one(report, metric).value == (None if impossible else expected[key]), vector["id"]
                assert not impossible or "impossible" in one(report, metric).reason
        if expected.get("pulse") is not None:
            metric = "pulse_rate" if "spo2" in expected else "nibp_pulse_rate"
            assert one(report, metric).value == expected["pulse"]
        if expected.get("timestamp"):
            assert report.measured_at == at(expected["timestamp"])
        if expected.get("contact") == "not detected":
            assert report.faults == ("lead_off",)
    assert checked >= 11


def test_sfloat_vectors(shared_data: Path) -> None:
    """Issue 7.3: SFLOAT with its special values."""
    vectors = json.loads((shared_data / "gatt" / "vectors.json").read_text())
    rows = [row for vector in vectors for row in vector.get("vectors", [])]
    assert rows
    for row in rows:
        assert sfloat(int(row["raw"], 16)) == row["value"]


# --- gateway JSON -------------------------------------------------------------------------------------------

_FORMAT = {
    "ava4-heartbeat": "ava4",
    "ava4-bp-biolight": "ava4",
    "kati-single": "ava4",
    "theengs-gateway-adv": "theengs",
    "bp-healthdata2mqtt": "keymap",
    "omg-ble-adv": "openmqttgateway",
    "thingsboard-gateway": "thingsboard",
}


@pytest.fixture
def gateway(shared_data: Path) -> Any:
    """Give a function that decodes one recorded gateway payload."""
    rows = json.loads((shared_data / "mqtt" / "gateway_payloads.json").read_text())
    found = {row["id"]: row for row in rows}
    assert found.keys() == _FORMAT.keys()

    def decode_one(name: str, zone: str = "", **options: Any) -> Any:
        row = found[name]
        around = context(row["topic"], zone, retained=row.get("retain", False), **options)
        return read(_FORMAT[name], json.dumps(row["payload"]), around)

    return decode_one


def test_gateway_heartbeat_is_presence(gateway: Any) -> None:
    """Issue 7.4: a heartbeat says that the gateway is there, by its own clock."""
    report = only(gateway("ava4-heartbeat"))
    assert (report.device_id, report.online) == ("dcda0c5a8064", True)
    assert report.gateway_at == at("2025-04-06T18:25:11+00:00")


def test_gateway_cuff_has_the_cuffs_address_and_the_gateways_clock(gateway: Any) -> None:
    """Issue 7.4: device identity in the payload; a clock years ahead is kept and is the gateway's."""
    report = only(gateway("ava4-bp-biolight"))
    assert report.device_id == "d616f9641622"
    assert values(report) == {"nibp_systolic": 137, "nibp_diastolic": 95, "nibp_pulse_rate": 74}
    assert report.gateway_at == at("2028-03-17T21:52:51+00:00")
    assert report.measured_at is None


def test_watch_time_is_day_first_in_the_devices_zone(gateway: Any) -> None:
    """Issue 7.4: local times by the device's zone."""
    report = only(gateway("kati-single", "Asia/Bangkok"))
    assert values(report) == {
        "heart_rate": 72,
        "nibp_systolic": 122,
        "nibp_diastolic": 74,
        "temperature": 36.6,
        "spo2": 97,
    }
    assert report.measured_at == at("2025-06-16T12:30:45+07:00")


@pytest.mark.parametrize("name", ["theengs-gateway-adv", "omg-ble-adv"])
def test_the_flood_of_advertisements_is_counted_and_no_error(gateway: Any, name: str) -> None:
    """Issue 7.4: a message without a vital sign is understood; a room's temperature is not the patient's."""
    decoded = gateway(name)
    assert decoded.reports == ()
    assert decoded.ignored > 0


def test_retained_home_cuff_is_marked_retained(gateway: Any) -> None:
    """P-20: the last reading, replayed at every subscribe, is marked as such."""
    report = only(gateway("bp-healthdata2mqtt", "Europe/Berlin"))
    assert values(report) == {"nibp_systolic": 120, "nibp_diastolic": 80, "nibp_pulse_rate": 65}
    assert report.retained
    assert report.measured_at == at("2024-01-15T10:35:00+01:00")


def test_thingsboard_gateway_names_devices_by_map_key(gateway: Any) -> None:
    """Issue 7.4: several devices and times in one message."""
    decoded = gateway("thingsboard-gateway", metrics={"temperature": "temperature"})
    assert {report.device_id for report in decoded.reports} == {"Device A", "Device B"}
    assert [report.measured_at for report in decoded.reports] == [
        at("2017-01-01T00:00:00+00:00"),
        at("2017-01-01T00:00:01+00:00"),
        at("2017-01-01T00:00:00+00:00"),
    ]
    assert decoded.ignored == 6  # three times ts and humidity
    assert gateway("thingsboard-gateway").reports == ()  # nobody said that it is a body's


# --- serial and radio frames --------------------------------------------------------------------------------


def test_ivy_capture_gives_each_whole_message(shared_data: Path) -> None:
    """Issue 7.6: a capture that starts in mid-message; empty fields are no value; a line is no cuff."""
    expected = json.loads((shared_data / "serial" / "ivy450c.expected.json").read_text())["decoded"]
    decoded = read("serial", (shared_data / "serial" / "ivy450c.bin").read_bytes())
    assert len(decoded.reports) == 28  # 27 whole, and the text block of the one that began before
    for report in decoded.reports:
        found = values(report)
        assert found["heart_rate"] == expected["hr"]
        assert found["respiration_rate"] == expected["resp"]
        assert found["spo2"] == expected["spo2"]
        assert found["pulse_rate"] == expected["pulse_rate_spo2"]
        assert found["etco2"] is None
        assert found["temperature"] is None
        cuff = {key: found[f"nibp_{name}"] for key, name in (("sys", "systolic"), ("dia", "diastolic"))}
        assert cuff == {"sys": expected["nibp"]["sys"], "dia": expected["nibp"]["dia"]}
        assert found["nibp_mean"] == expected["nibp"]["mean"]
        assert found["nibp_pulse_rate"] == expected["nibp"]["pulse"]
        assert "not known to be new" in one(report, "nibp_mean").reason


def test_radio_and_serial_frames(shared_data: Path) -> None:
    """Issue 7.4, 7.6: straps that broadcast their rate, and an oximeter's packet."""
    for frame in json.loads((shared_data / "serial" / "ble_frames.json").read_text()):
        expected = frame["expected"]
        if "bpm" in expected:
            advertisement = {
                "id": "A1:B2:C3:D4:E5:F6",
                "name": frame["name"],
                "manufacturerdata": frame["hex"],
            }
            report = only(read("theengs", json.dumps(advertisement)))
            assert values(report) == {"heart_rate": expected["bpm"]}
        else:
            report = only(read("serial", frame["hex"]))
            assert values(report) == {
                "spo2": expected["spo2"],
                "pulse_rate": expected["pulse"],
                "perfusion_index": expected["pi"],
            }
