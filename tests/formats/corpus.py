"""Good payloads of every format, made here: the ground from which the fuzzer starts and the bench measures.

Each row is a format, a payload, its topic and its options. Every row decodes to at least one value or
presence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from monitor.formats.sparkplug import Payload

EPOCH_MS = 1795435200000  # 2026-11-23T12:00:00Z


class Sample(NamedTuple):
    """One good payload."""

    format: str
    payload: bytes
    topic: str = ""
    options: Mapping[str, Any] = MappingProxyType({})


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


def sparkplug_payload(
    metrics: dict[str, float],
    *,
    aliases: bool = False,
    names: bool = True,
    at_ms: int = EPOCH_MS,
    **more: Any,
) -> bytes:
    """Return a Sparkplug B payload; ``aliases`` numbers the metrics from 1, ``names`` names them."""
    message = Payload(timestamp=at_ms, seq=7)
    for number, (name, value) in enumerate(metrics.items(), 1):
        metric = message.metrics.add(timestamp=at_ms, datatype=10, double_value=value, **more)
        if names:
            metric.name = name
        if aliases:
            metric.alias = number
    return bytes(message.SerializeToString())


_CUFF_AT = "20261123115500+0000"
HL7 = "\r".join(
    (
        r"MSH|^~\&|VSP^0011223344556677^EUI-64|GE|||20261123120000+0000||ORU^R01^ORU_R01|1|P|2.6",
        "PID|||HED12^^^PID^MR||DOE^JANE",
        "PV1||E|ICU^^B7",
        "OBR|1|||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|||20261123120000+0000",
        "OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X",
        "OBX|2|NM|147842^MDC_ECG_HEART_RATE^MDC|1.7.4.1|72|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||R",
        "OBX|3|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC|1.6.1.1|98|262688^MDC_DIM_PERCENT^MDC|||||R",
        "OBX|4|NM|149530^MDC_PULS_OXIM_PULS_RATE^MDC|1.6.1.2|71|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||R",
        f"OBX|5|NM|150021^MDC_PRESS_BLD_NONINV_SYS^MDC|1.1.9.1|121|266016^MDC_DIM_MMHG^MDC|||||R|||{_CUFF_AT}",
        f"OBX|6|NM|150022^MDC_PRESS_BLD_NONINV_DIA^MDC|1.1.9.2|78|266016^MDC_DIM_MMHG^MDC|||||R|||{_CUFF_AT}",
        "OBX|7|NM|150344^MDC_TEMP^MDC|1.2.1.1|36.8|268192^MDC_DIM_DEGC^MDC|||||R",
        "",
    )
).encode()
FHIR = _json(
    {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
        "effectiveDateTime": "2026-11-23T12:00:00Z",
        "device": {"reference": "Device/cuff-1"},
        "component": [
            {
                "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
                "valueQuantity": {"value": value, "unit": "mmHg", "code": "mm[Hg]"},
            }
            for code, value in (("8480-6", 121), ("8462-4", 78))
        ],
    }
)
NATIVE = _json(
    {
        "measured_at": "2026-11-23T12:00:00.123Z",
        "boot_id": "b7f1",
        "sequence": 123,
        "mode": "real",
        "values": {
            "heart_rate": 72,
            "pulse_rate": 71,
            "spo2": 98,
            "nibp_systolic": 121,
            "nibp_diastolic": 78,
        },
        "quality": {"spo2": "questionable"},
        "faults": ["low_perfusion"],
    }
)
IVY = (
    b"\xffANSAR-B " + bytes(range(100, 200)) * 4 + b"\xfb"
    b"HR=1;80;ECG-II-DIAG;\rRR=1;35;APNEA: 20 SEC;\rETCO2=1;;;\r"
    b"SPO2=1;98;PR=81 ;\rNIBP=4;121;75;92;80;;\r\xfe"
)
AVA4 = {
    "type": "reportAttribute",
    "mac": "08:F9:E0:D1:F7:B4",
    "time": 1795435200,
    "data": {"value": {"device_list": [{"scan_time": 1795435200, "ble_addr": "d616f9641622", "bp_high": 137,
                                        "bp_low": 95, "PR": 74}]}},
}  # fmt: skip
KEYMAP: dict[str, Any] = {
    "records": "d.*",
    "device": "key",
    "time": "t",
    "values": {"spo2": "o.sat", "nibp_systolic": {"path": "bp[0]", "unit": "kPa"}},
    "faults": {"probe_off": "o.out"},
}

SAMPLES: tuple[Sample, ...] = (
    Sample("native", NATIVE),
    Sample("native", b'{"state":"offline","at":"2026-11-23T12:00:00Z"}'),
    Sample("hl7v2", HL7),
    Sample("fhir", FHIR),
    Sample("gatt", b"16780050005d00ea070604081e0048000000", "gw/2A35"),
    Sample("gatt", _json({"mac": "AA:BB:CC:DD:EE:FF", "char": "2A5F", "value": "0c610048000040000800"})),
    Sample("gatt", b"0e4b8000", "gw/2a37"),
    Sample(
        "theengs", _json({"id": "A1:B2:C3:D4:E5:F6", "name": "H10", "type": "BODY", "bpm": 66, "batt": 90})
    ),
    Sample(
        "openmqttgateway",
        _json({"id": "A1:B2:C3:D4:E5:F6", "name": "Polar H10", "manufacturerdata": "6b003b164446"}),
    ),
    Sample("thingsboard", _json({"Device A": [{"ts": EPOCH_MS, "values": {"spo2": 97, "pulse": 66}}]})),
    Sample("tasmota", _json({"Time": "2026-11-23T12:00:00Z", "MAX30102": {"SpO2": 97, "HeartRate": 72}})),
    Sample(
        "tasmota",
        _json({"BLEOperation": {"MAC": "A4C138000001", "char": "2A35", "notify": "00780050005D00"}}),
    ),
    Sample(
        "zigbee2mqtt", _json({"heart_rate": 64, "battery_low": True, "last_seen": "2026-11-23T12:00:00Z"})
    ),
    Sample("esphome", b"97", "node/sensor/spo2/state"),
    Sample("ava4", _json(AVA4)),
    Sample(
        "keymap",
        _json({"d": {"x": {"t": EPOCH_MS, "o": {"sat": 97, "out": False}, "bp": [16.0]}}}),
        "",
        KEYMAP,
    ),
    Sample("keymap", _json({"vitals": {"SpO2": "97 %", "bp": "120/80", "pulse": 66}, "time": EPOCH_MS})),
    Sample(
        "sparkplug", sparkplug_payload({"Vitals/SpO2": 97.0, "Vitals/Pulse": 66.0}), "spBv1.0/w/DBIRTH/n/d"
    ),
    Sample("serial", IVY),
    Sample("serial", bytes.fromhex("aa550f0801603e005000c008")),
    Sample("serial", bytes([0x85, 60, 3, 66, 97, 0x85, 61, 3, 66, 97]), "", {"protocol": "bci"}),
    Sample("serial", bytes.fromhex("8148602b")),
    Sample("serial", bytes([10, 0, 30, 1, 44, 0, 7, 96, 0, 71])),
    Sample("serial", b"11/23/26 12:00:00 SN=1 SPO2=097% BPM=057 PI=07.02% ALARM=0000 EXC=000800\r\n"),
    Sample("serial", b"23-Nov-26 12:00:01    97      66      18    MO          AS\r\n"),
    Sample("serial", bytes([0x80, 72, 97, 0] * 3), "", {"protocol": "nonin8"}),
)
