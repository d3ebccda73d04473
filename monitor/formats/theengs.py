"""Theengs Gateway and OpenMQTTGateway: Bluetooth advertisements, decoded by the gateway or not.

Law: the flood of phones, tags and room thermometers is understood and counted, never an error. A
temperature is the patient's only where the gateway calls the device a body's ("type": "BODY").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from monitor.formats.contract import Context, Decoded, Format
from monitor.formats.identity import normalise_address
from monitor.formats.json_payload import parse_object
from monitor.formats.json_records import Leaf, Record, Style
from monitor.formats.json_reports import options_check, read_records
from monitor.formats.presence import decode_presence

_STYLE = Style(("mac", "mac_id", "id"), (), ("UTCtime", "unixtime", "timestamp", "time", "ts"))
_BODY = Style(_STYLE.identity_keys, (), _STYLE.gateway_time_keys, body_temperature=True)
_BODY_TYPES = frozenset({"BODY", "BODYTEMP", "HEALTH", "OXIMETER", "BPM"})


class Advertisement(NamedTuple):
    """Where the heart rate stands in the manufacturer data of a strap that broadcasts it.

    ``start`` is what the bytes begin with, ``length`` how many they are, ``rate`` which of them is the rate
    per minute, ``named`` what the advertised name begins with. Source: the Theengs Decoder's device list.
    """

    named: str
    start: bytes
    length: int
    rate: int


ADVERTISEMENTS = (
    Advertisement("Polar", b"\x6b\x00", 6, 5),
    Advertisement("X2", b"\x04\xff\x01", 6, 5),
)


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode one message of ``…/BTtoMQTT/…`` or of the gateway's last will ``…/LWT``.

    Options: those of ``json_records.read_records``.

    Raises:
        Undecodable: not a JSON object; or a last will that says nothing.
    """
    if context.topic.endswith("/LWT"):
        return decode_presence(payload, context)
    document = parse_object(payload)
    record = Record(_identity(document, context))
    record.leaves = [
        Leaf((key,), value) for key, value in document.items() if not isinstance(value, dict | list)
    ]
    record.gateway_at = next((document[key] for key in _STYLE.gateway_time_keys if document.get(key)), None)
    rate = advertised_rate(str(document.get("name", "")), document.get("manufacturerdata"))
    if rate is not None and "bpm" not in document:
        record.leaves.append(Leaf(("bpm",), rate))
    is_body = str(document.get("type", "")).upper() in _BODY_TYPES
    return read_records([record], _BODY if is_body else _STYLE, context)


def _identity(document: Mapping[str, Any], context: Context) -> str:
    for key in _STYLE.identity_keys:
        named = document.get(key)
        if isinstance(named, str) and named.strip("0: "):
            return normalise_address(named)
    _, found, last = context.topic.partition("/BTtoMQTT/")
    return normalise_address(last) if found and last and "/" not in last else ""


def advertised_rate(name: str, manufacturer: Any) -> int | None:
    """Return the heart rate in undecoded manufacturer data, or ``None``.

    Args:
        name: the name in the advertisement.
        manufacturer: its manufacturer data as hexadecimal text.
    """
    if not isinstance(manufacturer, str):
        return None
    try:
        content = bytes.fromhex(manufacturer)
    except ValueError:
        return None
    for row in ADVERTISEMENTS:
        if len(content) == row.length and content.startswith(row.start) and name.startswith(row.named):
            return content[row.rate]
    return None


FORMAT = Format("theengs", "Theengs Gateway and OpenMQTTGateway (JSON)", decode, options_check())
