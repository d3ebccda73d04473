"""Tasmota: ``tele/…/SENSOR``, ``tele/…/LWT`` and Bluetooth notifications of its BLE driver.

Law: ``Time`` is the gateway's clock, local unless the device is set otherwise. Each sensor object is a
record.
"""

from __future__ import annotations

from typing import Any

from monitor.formats import gatt
from monitor.formats.contract import Context, Decoded, Format, Undecodable
from monitor.formats.gatt_values import CHARACTERISTICS
from monitor.formats.identity import normalise_address
from monitor.formats.json_payload import parse_object
from monitor.formats.json_records import Record, Style, records_of
from monitor.formats.json_reports import options_check, read_records, read_time
from monitor.formats.presence import decode_presence

_STYLE = Style(("mac", "MAC", "Address"), (), ("Time",))
_OPERATIONS = ("BLEOperation", "BLE", "operation")


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode a telemetry message, a last will, or a Bluetooth notification.

    Options: those of ``json_records.read_records``.

    Raises:
        Undecodable: not a JSON object; or a last will or notification that cannot be read.
    """
    if context.topic.endswith("/LWT"):
        return decode_presence(payload, context)
    document = parse_object(payload)
    for key in _OPERATIONS:
        operation = document.get(key)
        if isinstance(operation, dict) and (content := operation.get("notify") or operation.get("read")):
            return _notification(operation, content, document.get("Time"), context)
    if isinstance(document.get("StatusSNS"), dict):  # the answer to STATUS 10
        document = document["StatusSNS"]
    records: list[Record] = []
    for key, sensor in document.items():
        if isinstance(sensor, dict):
            found = records_of({key: sensor}, _STYLE)
            for record in found:
                record.gateway_at = document.get("Time")
            records += found
    loose = {key: value for key, value in document.items() if not isinstance(value, dict)}
    records += records_of(loose, _STYLE)
    if document.get("TempUnit") == "F":  # said once for all sensors of the message
        for record in records:
            record.leaves = [leaf._replace(unit=leaf.unit or "[degF]") for leaf in record.leaves]
    return read_records(records, _STYLE, context)


def _notification(operation: dict[str, Any], content: Any, time: Any, context: Context) -> Decoded:
    """Read a GATT value that Tasmota heard."""
    named = str(operation.get("char") or operation.get("notifychar") or operation.get("characteristic") or "")
    code = gatt.find_characteristic(named)
    if code not in CHARACTERISTICS:
        return Decoded((), 1, f"Bluetooth characteristic {named[:40]!r} holds no vital sign of ours")
    if not isinstance(content, str):
        raise Undecodable("the notification's bytes are no text")
    address = operation.get("MAC") or operation.get("mac")
    gateway_at, note = read_time(time, "", context)
    return gatt.report(
        CHARACTERISTICS[code](gatt.decode_text(content, "hex")),
        normalise_address(address) if isinstance(address, str) else "",
        gateway_at,
        [note] if note else [],
        context,
    )


FORMAT = Format("tasmota", "Tasmota sensors and Bluetooth notifications (JSON)", decode, options_check())
