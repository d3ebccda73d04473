"""Which format a payload is in, when nobody has said: for discovery and for ``decode --format auto``.

Law: the topic is a hint, the bytes decide: a format counts only when it decodes the payload into a value or a
presence. Live messages are never guessed: a device's format stands in ``beds.toml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from monitor.formats import Context, Decoded, Undecodable, decode
from monitor.formats.json_payload import parse
from monitor.formats.serial_frames import CUTTERS

_TOPICS = (
    (re.compile(r"^spBv1\.0/"), "sparkplug"),
    (re.compile(r"/BTtoMQTT(/|$)"), "theengs"),
    (re.compile(r"^v1/(gateway|devices)/"), "thingsboard"),
    (re.compile(r"^(tele|stat)/"), "tasmota"),
    (re.compile(r"^zigbee2mqtt/"), "zigbee2mqtt"),
    (re.compile(r"/(sensor|binary_sensor)/[^/]+/state$"), "esphome"),
    (re.compile(r"^(dusun_|ESP32_BLE_GW|CM4_BLE_GW|iMEDE_watch/)"), "ava4"),
    (re.compile(r"/2a(35|37|5e|5f|1c)\b", re.IGNORECASE), "gatt"),
    (re.compile(r"^afterwatch/v1/[^/]+/devices/[^/]+/(report|status)$"), "native"),
)


class Recognised(NamedTuple):
    """A format that decodes the payload, and what it makes of it."""

    format: str
    decoded: Decoded


def recognise(payload: bytes, context: Context) -> Recognised | None:
    """Return the first format that finds a value or a presence in the payload, or ``None``.

    The context's options are ignored: they belong to a format that was chosen.
    """
    around = replace(context, options={}, memory={})
    for name in dict.fromkeys(_candidates(context.topic, payload)):
        try:
            decoded = decode(name, payload, around)
        except Undecodable:
            continue
        if any(report.observations or report.online is not None for report in decoded.reports):
            return Recognised(name, decoded)
    return None


def _candidates(topic: str, payload: bytes) -> Iterator[str]:
    for pattern, name in _TOPICS:
        if pattern.search(topic):
            yield name
    start = payload[:400].lstrip(b"\x0b\xef\xbb\xbf \t\r\n")
    if start.startswith((b"MSH", b"FHS", b"BHS")):
        yield "hl7v2"
    if start[:1] in (b"{", b"["):
        yield from _json_candidates(payload)
    elif len(payload) >= 4 and any(cut(payload).frames for cut in CUTTERS.values()):
        yield "serial"


def _json_candidates(payload: bytes) -> Iterator[str]:
    try:
        document = parse(payload)
    except Undecodable:
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
    if keys & {"BLEOperation", "TempUnit"}:
        yield "tasmota"
    if keys & {"characteristic", "char", "uuid"}:
        yield "gatt"
    yield "keymap"
    yield "thingsboard"
