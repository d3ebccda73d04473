"""Which format a payload is in, when nobody has said: for discovery and for ``decode --format auto``.

Law: the topic is a hint, the bytes decide: a format counts only when it decodes the payload into a value, a
fault or a presence. Live messages are never guessed: a device's format stands in ``beds.toml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from monitor.core.vitals import Report
from monitor.formats import Context, Decoded, Undecodable, decode
from monitor.formats.gatt import UUID_KEYS, find_characteristic
from monitor.formats.gatt_values import CHARACTERISTICS
from monitor.formats.json_payload import parse
from monitor.formats.serial_frames import CUTTERS
from monitor.formats.thingsboard import is_series

_TOPICS = (
    (re.compile(r"^spBv1\.0/"), "sparkplug"),
    (re.compile(r"/BTtoMQTT(/|$)"), "theengs"),
    (re.compile(r"^v1/(gateway|devices)/"), "thingsboard"),
    (re.compile(r"^(tele|stat)/"), "tasmota"),
    (re.compile(r"^zigbee2mqtt/"), "zigbee2mqtt"),
    (re.compile(r"/(sensor|binary_sensor)/[^/]+/state$"), "esphome"),
    (re.compile(r"^(dusun_|ESP32_BLE_GW|CM4_BLE_GW|iMEDE_watch/)"), "ava4"),
    (re.compile(r"^afterwatch/v1/[^/]+/devices/[^/]+/(report|status)$"), "native"),
)


class Recognised(NamedTuple):
    """A format that decodes the payload, and what it makes of it."""

    format: str
    decoded: Decoded


def recognise(payload: bytes, context: Context) -> Recognised | None:
    """Return the first format that finds a value, a fault or a presence in the payload, or ``None``.

    The context's options are ignored: they belong to a format that was chosen.
    """
    around = replace(context, options={}, memory={})
    for name in dict.fromkeys(_candidates(context.topic, payload)):
        try:
            decoded = decode(name, payload, around)
        except Undecodable:
            continue
        if any(_says_something(report) for report in decoded.reports):
            return Recognised(name, decoded)
    return None


def _says_something(report: Report) -> bool:
    return bool(report.observations) or report.faults is not None or report.online is not None


def _candidates(topic: str, payload: bytes) -> Iterator[str]:
    for pattern, name in _TOPICS:
        if pattern.search(topic):
            yield name
    if find_characteristic(topic) in CHARACTERISTICS:
        yield "gatt"
    start = payload[:400].lstrip(b"\x0b\xef\xbb\xbf \t\r\n")
    if start.startswith((b"MSH", b"FHS", b"BHS")):
        yield "hl7v2"
    if start[:1] in (b"{", b"["):
        yield from _json_candidates(payload)
    elif len(payload) >= 4 and any(cut(payload).frames for cut in CUTTERS.values()):
        yield "serial"
    if topic and len(payload) < 64:
        yield "keymap"  # a bare value on a topic that names it


def _json_candidates(payload: bytes) -> Iterator[str]:
    try:
        document = parse(payload)
    except Undecodable:
        if b'"resourceType"' in payload:
            yield "fhir"  # one resource on each line
        return
    keys = set(document) if isinstance(document, dict) else set()
    if "resourceType" in keys or isinstance(document, list):
        yield "fhir"
    if keys & {"values", "faults"} or {"state", "at"} <= keys:
        yield "native"
    if keys & {"manufacturerdata", "servicedata", "rssi", "model_id", "tempc"} or {"id", "type"} <= keys:
        yield "theengs"
    if keys & {"IMEI", "deviceCode"} or {"mac", "type", "data"} <= keys:
        yield "ava4"
    if keys & {"BLEOperation", "TempUnit", "StatusSNS"}:
        yield "tasmota"
    if keys & {"frame"}:
        yield "serial"
    first = document[0] if isinstance(document, list) and document else document
    if isinstance(first, dict) and set(first) & set(UUID_KEYS):
        yield "gatt"
    if isinstance(document, dict) and all(map(is_series, document.values())):
        yield "thingsboard"
    yield "keymap"
    yield "thingsboard"
