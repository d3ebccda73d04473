"""Zigbee2MQTT: one flat object for each device, and its availability.

Law: the topic names the device. ``last_seen`` is the gateway's clock. Zigbee thermometers are a room's.
"""

from __future__ import annotations

from monitor.formats.contract import Context, Decoded, Format
from monitor.formats.json_payload import parse_object
from monitor.formats.json_records import Style, records_of
from monitor.formats.json_reports import options_check, read_records
from monitor.formats.presence import decode_presence

_STYLE = Style((), (), ("last_seen",))


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode a device's message or its availability.

    Options: those of ``json_records.read_records``.

    Raises:
        Undecodable: not a JSON object; or an availability that says nothing.
    """
    if context.topic.endswith("/availability"):
        return decode_presence(payload, context)
    if "/bridge/" in context.topic:
        return Decoded((), 1, "a message of the bridge itself")
    return read_records(records_of(parse_object(payload), _STYLE), _STYLE, context)


FORMAT = Format("zigbee2mqtt", "Zigbee2MQTT devices (JSON)", decode, options_check())
