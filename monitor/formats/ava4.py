"""AVA4-like fleets: Bluetooth gateways (AVA4, Qube), their cuffs and oximeters, and Kati watches.

Law: ``ble_addr`` or ``ble_mac`` is the device, ``mac`` the gateway, ``IMEI`` the watch. ``scan_time`` and
``time`` are the gateway's clock, which may be years off and is kept as it is. A heartbeat says that the
gateway is there, and nothing of its devices.
"""

from __future__ import annotations

from typing import Any

from monitor.formats.contract import Context, Decoded, Format
from monitor.formats.identity import normalise_address
from monitor.formats.json_payload import find, parse_object
from monitor.formats.json_records import Leaf, Style, records_of
from monitor.formats.json_reports import options_check, read_records, read_time
from monitor.formats.presence import presence_report, read_presence

_ABOUT_THE_GATEWAY = ("HB_Msg", "reportMsg")  # compared, not hashed: "type" may be an object
_STYLE = Style(
    ("ble_addr", "ble_mac", "mac", "IMEI"),
    ("timestamp", "timeStamps"),
    ("scan_time", "time"),
    day_first="%d/%m/%Y %H:%M:%S",
    body_temperature=True,
)


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode a report, a heartbeat, or a watch's message that it has come or gone.

    Options: those of ``json_records.read_records``.

    Raises:
        Undecodable: not a JSON object.
    """
    document = parse_object(payload)
    if (word := document.get("type")) in _ABOUT_THE_GATEWAY:
        online = read_presence(document.get("data"))
        online = True if online is None and word == "HB_Msg" else online
        if online is not None:
            return _presence(document, online, context)
    records = records_of(document, _STYLE)
    if "JUMPER" in str(find(document, ("data", "attribute"))).upper():
        for record in records:
            record.leaves = [_in_tenths(leaf) for leaf in record.leaves]
    decoded = read_records(records, _STYLE, context)
    online = read_presence(document.get("status"))
    return _presence(document, online, context) if online is not None and not decoded.reports else decoded


def _in_tenths(leaf: Leaf) -> Leaf:
    """Read a Jumper's perfusion index, which its oximeters send in tenths of a percent as a whole number."""
    if leaf.path[-1].lower() == "pi" and type(leaf.value) is int:
        return leaf._replace(value=leaf.value / 10)
    return leaf


def _presence(document: dict[str, Any], online: bool, context: Context) -> Decoded:
    named = find(document, ("mac",)) or find(document, ("IMEI",))
    identity = normalise_address(named) if isinstance(named, str) and named.strip("0") else ""
    (report,) = presence_report(online, context, identity).reports
    gateway_at, note = read_time(document.get("time"), _STYLE.day_first, context)
    return Decoded((report._replace(gateway_at=gateway_at, notes=(note,) if note else ()),))


FORMAT = Format("ava4", "AVA4, Qube and Kati fleets (JSON)", decode, options_check())
