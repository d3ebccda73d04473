"""Device payloads become reports: one file per format, all listed in one table.

To add a format: write its file with a ``FORMAT`` and put it into ``FORMATS``; nothing else changes.
"""

from __future__ import annotations

from monitor.formats import (
    ava4,
    esphome,
    fhir,
    gatt,
    hl7v2,
    keymap,
    native,
    serial_device,
    sparkplug,
    tasmota,
    theengs,
    thingsboard,
    zigbee2mqtt,
)
from monitor.formats.contract import MAX_PAYLOAD_BYTES, Context, Decoded, Format, Undecodable

__all__ = ["FORMATS", "MAX_PAYLOAD_BYTES", "Context", "Decoded", "Format", "Undecodable", "decode"]

FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        native.FORMAT,
        hl7v2.FORMAT,
        fhir.FORMAT,
        gatt.FORMAT,
        theengs.FORMAT,
        theengs.FORMAT._replace(name="openmqttgateway"),
        thingsboard.FORMAT,
        tasmota.FORMAT,
        zigbee2mqtt.FORMAT,
        esphome.FORMAT,
        ava4.FORMAT,
        keymap.FORMAT,
        sparkplug.FORMAT,
        serial_device.FORMAT,
    )
}


def decode(name: str, payload: bytes, context: Context, limit: int = 0) -> Decoded:
    """Decode one payload by the format called ``name``.

    ``limit`` is the most bytes that are read; 0 is the format's own limit, which bounds the time that one
    message can take from the loop. A recording read from a file may be longer.

    Raises:
        Undecodable: the payload holds no report; the text is the reason for the quarantine.
    """
    row = FORMATS[name]
    limit = limit or row.max_payload_bytes
    if len(payload) > limit:
        raise Undecodable(f"payload of {len(payload)} bytes; at most {limit} are read (S-05)")
    try:
        return row.decode(payload, context)
    except Undecodable:
        raise
    except Exception as fault:  # a decoder's own mistake must never stop the loop (P-25)
        raise Undecodable(f"the {name} decoder failed: {type(fault).__name__}: {fault}") from fault
