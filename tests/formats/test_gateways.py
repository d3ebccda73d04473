"""JSON of gateways and fleets, FHIR and GATT: from their documentation rather than from the recordings."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from monitor.core.vitals import INVALID, QUESTIONABLE
from monitor.formats import FORMATS, Undecodable
from tests.formats.speech import NOON, context, one, only, read, values

MS = int(NOON.timestamp() * 1000)


def say(name: str, document: Any, topic: str = "", zone: str = "", **options: Any) -> Any:
    """Decode a JSON document."""
    return read(name, json.dumps(document), context(topic, zone, **options))


# --- presence: liveness by last will, JSON state, heartbeat, connect message and Sparkplug birth
# -------------


@pytest.mark.parametrize(
    ("name", "topic", "payload", "online"),
    [
        ("tasmota", "tele/t1/LWT", "Online", True),
        ("tasmota", "tele/t1/LWT", "Offline", False),
        ("zigbee2mqtt", "zigbee2mqtt/x/availability", "offline", False),
        ("zigbee2mqtt", "zigbee2mqtt/x/availability", '{"state":"online"}', True),
        ("esphome", "node/status", "online", True),
        ("openmqttgateway", "home/OMG/LWT", "offline", False),
        ("thingsboard", "v1/gateway/connect", '{"device":"dev-1"}', True),
        ("thingsboard", "v1/gateway/disconnect", '{"device":"dev-1"}', False),
        ("ava4", "iMEDE_watch/onlineTrigger", '{"IMEI":"dev-1","status":"offline"}', False),
        ("keymap", "any/thing", "online", True),
        ("native", "x/status", '{"state":"offline","at":"2026-11-23T12:00:00Z"}', False),
    ],
)
def test_presence_in_its_forms(name: str, topic: str, payload: str, online: bool) -> None:
    """P-17: last wills, states, heartbeats and connect messages tell whether a device is there."""
    report = only(read(name, payload, context(topic)))
    assert (report.device_id, report.online, report.observations) == ("dev-1", online, ())


@pytest.mark.parametrize(
    ("name", "topic"),
    [("tasmota", "tele/t1/LWT"), ("zigbee2mqtt", "z/x/availability"), ("esphome", "node/status")],
)
def test_presence_that_says_nothing_is_refused(name: str, topic: str) -> None:
    """P-17: only a word that plainly says so makes a device online."""
    with pytest.raises(Undecodable, match="neither online nor offline"):
        read(name, "perhaps", context(topic))


# --- gateways
# ------------------------------------------------------------------------------------------------


def test_thingsboard_device_api_in_its_three_shapes() -> None:
    """Issue 7.4: plain keys, one point with ts, a list of points."""
    assert values(only(say("thingsboard", {"spo2": 97, "pulse": 70}))) == {"spo2": 97, "pulse_rate": 70}
    point = {"ts": MS, "values": {"heart_rate": 71, "rssi": -60}}
    report = only(say("thingsboard", point))
    assert (values(report), report.measured_at) == ({"heart_rate": 71}, NOON)
    later = {"ts": MS + 1000, "values": {"heart_rate": 72}}
    assert [values(r)["heart_rate"] for r in say("thingsboard", [point, later]).reports] == [71, 72]


def test_tasmota_sensor_with_a_local_time() -> None:
    """Issue 7.4: Tasmota's Time is the gateway's clock, local."""
    body = {"Time": "2026-11-23T13:00:00", "MAX30102": {"SpO2": 97, "HeartRate": 72}, "TempUnit": "C"}
    report = only(say("tasmota", body, "tele/t1/SENSOR", "Europe/Berlin"))
    assert values(report) == {"spo2": 97, "heart_rate": 72}
    assert (report.gateway_at, report.measured_at) == (NOON, None)


def test_a_chips_temperature_is_not_the_patients() -> None:
    """R-15: a bare temperature counts beside a vital sign in the same object only; Tasmota's unit is kept."""
    body = {"ESP32": {"Temperature": 98.6}, "MAX30102": {"SpO2": 97}, "TempUnit": "F"}
    report = only(say("tasmota", body, "tele/t1/SENSOR"))
    assert values(report) == {"spo2": 97}
    assert any("a body's temperature or a room's?" in note for note in report.notes)
    options = {"metrics": {"ESP32.Temperature": "temperature"}}
    assert values(only(say("tasmota", body, "tele/t1/SENSOR", **options))) == {"spo2": 97, "temperature": 37}


def test_tasmota_bluetooth_notification_is_gatt() -> None:
    """Issue 7.3, 7.4: a cuff's 2A35 that Tasmota's BLE driver heard."""
    operation = {"MAC": "A4C138000001", "svc": "0x1810", "char": "0x2A35", "notify": "00780050005D00"}
    report = only(say("tasmota", {"Time": "2026-11-23T12:00:00Z", "BLEOperation": operation}))
    assert report.device_id == "a4c138000001"
    assert values(report) == {"nibp_systolic": 120, "nibp_diastolic": 80, "nibp_mean": 93}


def test_zigbee_device_and_its_battery() -> None:
    """Issue 7.4: one flat object; the battery is a fault, a room thermometer is no patient."""
    body = {"heart_rate": 64, "battery_low": True, "linkquality": 80, "last_seen": "2026-11-23T12:00:00Z"}
    report = only(say("zigbee2mqtt", body, "zigbee2mqtt/strap"))
    assert (values(report), report.faults, report.gateway_at) == ({"heart_rate": 64}, ("battery_low",), NOON)
    assert say("zigbee2mqtt", {"temperature": 21.4, "humidity": 40}).reports == ()


@pytest.mark.parametrize(
    ("topic", "payload", "expected"),
    [
        ("node/sensor/spo2/state", "97", {"spo2": 97}),
        ("node/sensor/heart_rate/state", "72.0", {"heart_rate": 72}),
        ("node/sensor/blood_pressure_systolic/state", "121", {"nibp_systolic": 121}),
        ("node/sensor/spo2/state", "nan", {"spo2": None}),
        ("node/sensor/body_temperature/state", "36.6", {"temperature": 36.6}),
    ],
)
def test_esphome_sensor_by_its_topic(topic: str, payload: str, expected: dict[str, float | None]) -> None:
    """Issue 7.4: the topic says which sensor it is; nan is no value."""
    assert values(only(read("esphome", payload, context(topic)))) == expected


def test_esphome_binary_sensor_is_a_fault() -> None:
    """AL-31: a sensor's own word that the finger is out."""
    assert only(read("esphome", "ON", context("n/binary_sensor/finger_out/state"))).faults == ("probe_off",)
    assert only(read("esphome", "OFF", context("n/binary_sensor/finger_out/state"))).faults == ()


def test_theengs_body_thermometer_and_strap() -> None:
    """Issue 7.4: a temperature is the patient's where the gateway calls the device a body's."""
    strap = {"id": "A1:B2:C3:D4:E5:F6", "name": "X", "type": "BODY", "bpm": 66, "batt": 90}
    report = only(say("theengs", strap, "home/TheengsGateway/BTtoMQTT/A1B2C3D4E5F6"))
    assert (report.device_id, values(report)) == ("a1b2c3d4e5f6", {"heart_rate": 66})
    body = {"id": "A1:B2:C3:D4:E5:F6", "type": "BODY", "tempc": 36.8, "tempf": 98.24}
    assert values(only(say("theengs", body))) == {"temperature": 36.8}


def test_ava4_oximeter_batch_and_clock() -> None:
    """Issue 7.4: several devices in one message, each by its own address."""
    devices = [
        {"scan_time": 1795435200, "ble_addr": "ff23041920b4", "pulse": 72, "spo2": 96, "pi": 4.3},
        {"scan_time": 1795435200, "ble_addr": "ff2301283119", "temp": 36.43, "mode": "Head"},
    ]
    body = {
        "type": "reportAttribute",
        "mac": "DC:DA:0C:5A:80:44",
        "data": {"value": {"device_list": devices}},
    }
    found = {r.device_id: values(r) for r in say("ava4", body).reports}
    assert found == {
        "ff23041920b4": {"pulse_rate": 72, "spo2": 96, "perfusion_index": 4.3},
        "ff2301283119": {"temperature": 36.43},
    }


def test_watch_batch_keeps_the_time_of_each_reading() -> None:
    """Issue 7.4: several times in one message."""
    rows = [{"timestamp": MS // 1000 - s, "heartRate": 70 + s, "spO2": 97} for s in (60, 0)]
    found = say("ava4", {"IMEI": "861265061481799", "timeStamps": "23/11/2026 19:00:00", "data": rows})
    assert [(r.device_id, values(r)["heart_rate"]) for r in found.reports] == [
        ("861265061481799", 130),
        ("861265061481799", 70),
    ]
    assert found.reports[1].measured_at == NOON


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"systolic": 120, "diastolic": 80, "pulse": 66}, "nibp_pulse_rate"),
        ({"spo2": 97, "pulse": 66}, "pulse_rate"),
        ({"spo2": 97, "bpm": 66}, "pulse_rate"),
        ({"bpm": 66}, "heart_rate"),
        ({"pulse": 66}, "pulse_rate"),
        ({"hr": 66, "spo2": 97}, "heart_rate"),
    ],
)
def test_a_pulse_belongs_to_its_instrument(body: dict[str, int], expected: str) -> None:
    """CLINICAL §5: heart rate (ECG) and pulse rate (oximeter, cuff) are different series."""
    assert one(only(say("keymap", body)), expected).value == 66


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"bp": "120/80"}, {"nibp_systolic": 120, "nibp_diastolic": 80}),
        ({"bloodPressure": {"high": 120, "low": 80}}, {"nibp_systolic": 120, "nibp_diastolic": 80}),
        ({"systolic_kpa": 16, "diastolic_kpa": 10.67}, {"nibp_systolic": 120.01, "nibp_diastolic": 80.03}),
        ({"spo2": {"value": 97, "unit": "%"}}, {"spo2": 97}),
        ([{"name": "SpO2", "value": 97}, {"name": "pulse", "value": 70}], {"spo2": 97, "pulse_rate": 70}),
        ({"vitals": {"SpO2_percent": "97 %", "RR": "16/min"}}, {"spo2": 97, "respiration_rate": 16}),
        ({"body_temperature_f": 98.6}, {"temperature": 37}),
        ({"time": {"hr": 12}, "spo2": 97}, {"spo2": 97}),
    ],
)
def test_names_of_keys_without_a_map(body: Any, expected: dict[str, float]) -> None:
    """Issue 7.4: any flat or nested JSON."""
    assert values(only(say("keymap", body))) == pytest.approx(expected, abs=0.011)


MAP = {
    "records": "devices.*",
    "device": "key",
    "time": "t",
    "time_format": "epoch_ms",
    "values": {
        "spo2": "o.sat",
        "nibp_systolic": {"path": "bp[0]", "unit": "kPa"},
        "blood_pressure": "bptext",
    },
    "faults": {"probe_off": "o.out"},
    "no_value": [255],
    "mode": "m",
}


def test_key_map_of_a_nested_fleet() -> None:
    """Issue 7.4: identity in a map key, several devices and times, units, faults and the site's sentinels."""
    body = {
        "devices": {
            "ox-1": {"t": MS, "o": {"sat": 97, "out": False}, "bp": [16.0]},
            "ox-2": {"t": MS - 1000, "o": {"sat": 255, "out": True}, "m": "drill"},
            "cuff": {"t": MS, "bptext": "121/79"},
        }
    }
    assert FORMATS["keymap"].check(MAP) == ()
    first, second, third = say("keymap", body, **MAP).reports
    assert (first.device_id, values(first), first.measured_at, first.faults) == (
        "ox-1",
        {"spo2": 97, "nibp_systolic": 120.01},
        NOON,
        (),
    )
    assert (second.mode, second.faults, one(second, "spo2").validity) == ("drill", ("probe_off",), INVALID)
    assert values(third) == {"nibp_systolic": 121, "nibp_diastolic": 79}


def test_key_map_takes_the_device_from_the_topic() -> None:
    """Issue 7.4: device identity in the topic."""
    around = context("ward/A4:C1:38:00:00:01/data", device="topic:1", values={"spo2": "s"})
    assert only(read("keymap", '{"s":97}', around)).device_id == "a4c138000001"


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"valuse": {}}, "options.valuse: unknown"),
        ({"values": {"spo3": "a"}}, "no such metric"),
        ({"values": {"spo2": {"path": "a", "unit": "L"}}}, "unit that becomes %"),
        ({"values": {"spo2": 7}}, "must be a path"),
        ({"faults": {"nope": "a"}}, "no such fault"),
        ({"time": 5}, "must be text"),
        ({"no_value": 255}, "list of numbers"),
        ({"metrics": {"x": "y"}}, "must be a metric"),
    ],
)
def test_mistakes_in_a_key_map_are_found_before_the_start(options: dict[str, Any], mistake: str) -> None:
    """Issue 2: a file not fully understood stops the start with file, key and remedy."""
    assert any(mistake in found for found in FORMATS["keymap"].check(options))


def test_nothing_of_the_map_is_said() -> None:
    """P-25: a message in which no path leads anywhere goes to the quarantine."""
    with pytest.raises(Undecodable, match=r"nothing of options\.values"):
        say("keymap", {"a": 1}, values={"spo2": "x"})


# --- times
# ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "zone", "expected"),
    [
        (MS, "", "12:00"),
        (MS // 1000, "", "12:00"),
        (str(MS), "", "12:00"),
        (MS / 1000 + 0.25, "", "12:00"),
        (MS * 1000, "", "12:00"),
        ("2026-11-23T12:00:00Z", "", "12:00"),
        ("2026-11-23T17:30:00+05:30", "", "12:00"),
        ("2026-11-24T00:45:00+12:45", "", "12:00"),
        ("2026-11-23 17:30:00", "Asia/Kolkata", "12:00"),
        ("20261123130000", "Europe/Berlin", "12:00"),
        ("2026-11-23T12:00:00", "", None),
        ("23/11/2026 12:00", "", None),
        ("yesterday", "", None),
        (True, "", None),
        (12, "", None),
    ],
)
def test_times_in_their_forms(given: Any, zone: str, expected: str | None) -> None:
    """Issue 7.4: epoch s and ms, ISO, local with the device's zone; the rest is said, not guessed."""
    report = only(say("keymap", {"spo2": 97, "time": given}, zone=zone))
    assert (report.measured_at and f"{report.measured_at:%H:%M}") == expected
    assert expected or report.notes or given is True


# --- FHIR
# ----------------------------------------------------------------------------------------------------


def observation(code: str, system: str = "http://loinc.org", **more: Any) -> dict[str, Any]:
    """Return a FHIR Observation."""
    concept = {"coding": [{"system": system, "code": code}]}
    at = {"effectiveDateTime": "2026-11-23T12:00:00Z"}
    return {"resourceType": "Observation", "status": "final", "code": concept, **at, **more}


def quantity(value: float, code: str) -> dict[str, Any]:
    """Return a FHIR Quantity with a UCUM code."""
    return {"valueQuantity": {"value": value, "system": "http://unitsofmeasure.org", "code": code}}


def test_fhir_vital_signs_panel_in_a_bundle() -> None:
    """Issue 7.2: components, units, several resources; one device's report."""
    panel = observation("85354-9")
    panel["component"] = [
        {"code": {"coding": [{"system": "http://loinc.org", "code": c}]}, **quantity(v, "mm[Hg]")}
        for c, v in (("8480-6", 121), ("8462-4", 79))
    ]
    entries = [panel, observation("59408-5", **quantity(0.97, "1")), {"resourceType": "Patient"}]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": e} for e in entries]}
    report = only(say("fhir", bundle))
    assert values(report) == {"nibp_systolic": 121, "nibp_diastolic": 79, "spo2": 97}
    assert report.measured_at == NOON


def test_fhir_absence_and_withdrawal() -> None:
    """Issue 7.2: dataAbsentReason and entered-in-error give no value and say why."""
    absent = observation("59408-5", dataAbsentReason={"coding": [{"code": "error"}]})
    assert "dataAbsentReason error" in one(only(say("fhir", absent)), "spo2").reason
    withdrawn = observation("59408-5", **quantity(97, "%")) | {"status": "entered-in-error"}
    assert one(only(say("fhir", withdrawn)), "spo2").validity == INVALID


def test_fhir_sampled_data_becomes_samples_with_times() -> None:
    """Issue 7.2: SampledData where it appears; E is an error."""
    sampled = {
        "origin": {"value": 0, "code": "%"},
        "period": 1000,
        "factor": 1,
        "dimensions": 1,
        "data": "97 E 95",
    }
    report = only(say("fhir", observation("59408-5", valueSampledData=sampled)))
    assert [o.value for o in report.observations] == [97, None, 95]
    assert report.observations[2].measured_at == datetime(2026, 11, 23, 12, 0, 2, tzinfo=UTC)


def test_fhir_of_two_patients_without_devices_is_refused() -> None:
    """Issue 7.2: whose reading is whose must never be guessed."""
    two = [observation("59408-5", subject={"reference": f"Patient/{n}"}, **quantity(97, "%")) for n in (1, 2)]
    with pytest.raises(Undecodable, match="2 subjects"):
        say("fhir", two)


# --- GATT
# ----------------------------------------------------------------------------------------------------

CUFF_KPA = bytes.fromhex("01a0f06bf07cf0")  # 16.0, 10.7, 12.4 kPa


def test_gatt_pressures_in_kilopascal() -> None:
    """Issue 7.3: the flag says kPa."""
    report = only(read("gatt", CUFF_KPA.hex(), context("gw/2a35")))
    assert values(report) == pytest.approx(
        {"nibp_systolic": 120.01, "nibp_diastolic": 80.26, "nibp_mean": 93.01}
    )


@pytest.mark.parametrize("encoding", ["hex", "base64", "raw", "spaced", "json"])
def test_gatt_bytes_in_any_writing(encoding: str) -> None:
    """Issue 7.3: hex or base64 from gateways, bare or in JSON, or the bytes themselves."""
    raw = bytes.fromhex("00780050005d00")
    forms = {
        "hex": raw.hex().encode(),
        "spaced": raw.hex(" ").encode(),
        "base64": base64.b64encode(raw),
        "raw": raw,
        "json": json.dumps({"mac": "AA:BB:CC:DD:EE:FF", "uuid": "00002a35-0000-1000-8000-00805f9b34fb",
                            "value": raw.hex()}).encode(),
    }  # fmt: skip
    report = only(read("gatt", forms[encoding], context("" if encoding == "json" else "gw/2A35")))
    assert values(report)["nibp_systolic"] == 120
    assert report.device_id == ("aabbccddeeff" if encoding == "json" else "dev-1")


@pytest.mark.parametrize("special", ["ff07", "0008", "fe07", "0208", "0108"])
def test_sfloat_specials_are_no_value(special: str) -> None:
    """Issue 7.3: NaN, NRes, +INF, -INF and reserved are no value."""
    report = only(read("gatt", f"00{special}48000000"[:10], context("gw/2a5f")))
    assert one(report, "spo2").value is None


def test_oximeter_status_blocks_and_doubts() -> None:
    """Issue 7.3: flags: the sensor's own status becomes faults, the measurement's lowers or refuses."""
    body = "0c" + "61004800" + "0040" + "000800"  # questionable; sensor unconnected
    report = only(read("gatt", body, context("gw/2a5f")))
    assert one(report, "spo2").validity == QUESTIONABLE
    assert report.faults == ("probe_off",)


def test_gatt_without_a_characteristic_names_the_remedy() -> None:
    """P-25: the reason names the option to set."""
    with pytest.raises(Undecodable, match=r"options\.characteristic"):
        read("gatt", "0050", context("some/topic"))
