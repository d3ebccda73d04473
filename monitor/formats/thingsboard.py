"""ThingsBoard: the device API and the gateway API, as devices publish to it.

Law: a map key names a device, ``ts`` is its clock in milliseconds. Attributes and calls are no readings.
"""

from __future__ import annotations

from typing import Any

from monitor.core.vitals import Report
from monitor.formats.contract import Context, Decoded, Format, Undecodable
from monitor.formats.identity import normalise_address
from monitor.formats.json_names import name_of
from monitor.formats.json_payload import parse
from monitor.formats.json_records import Record, Style, records_of
from monitor.formats.json_reports import options_check, read_records

_STYLE = Style((), ("ts",))
_NOT_TELEMETRY = ("/attributes", "/rpc", "/claim", "/provision", "/firmware")


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode telemetry, or a gateway's message that a device has come or gone.

    Options: those of ``json_records.read_records``.

    Raises:
        Undecodable: not JSON of one of the two APIs.
    """
    if any(part in context.topic for part in _NOT_TELEMETRY):
        return Decoded((), 1, "attributes or calls: no telemetry")
    document = parse(payload)
    if isinstance(document, dict) and context.topic.endswith(("/connect", "/disconnect")):
        return _presence(document, context)
    if not isinstance(document, dict | list):
        raise Undecodable("ThingsBoard telemetry is an object or a list of objects")
    records: list[Record] = []
    for identity, entry in _devices(document):
        found = _entries(entry)
        for record in found:
            record.identity = identity
        records += found
    return read_records(records, _STYLE, context)


def _presence(document: dict[str, Any], context: Context) -> Decoded:
    name = document.get("device")
    if not isinstance(name, str) or not name:
        raise Undecodable('connect and disconnect need the name of the device: {"device": name}')
    online = context.topic.endswith("/connect")
    report = Report(normalise_address(name), context.received_at, retained=context.retained, online=online)
    return Decoded((report,))


def _devices(document: Any) -> list[tuple[str, Any]]:
    """Return the devices of a message: the gateway API maps names to lists, else one without a name."""
    if not isinstance(document, dict) or all(name_of((str(name),)) for name in document):
        return [("", document)]  # {"spo2": [{"ts": …, "value": 97}]}: the names are those of values
    if document and all(is_series(entry) for entry in document.values()):
        return [(normalise_address(str(name)), entry) for name, entry in document.items()]
    return [("", document)]


def is_series(entry: Any) -> bool:
    """Say whether this is a device's list of points, as the gateway API writes it."""
    return isinstance(entry, list) and bool(entry) and all(isinstance(point, dict) for point in entry)


def _entries(entry: Any) -> list[Record]:
    """Read points: ``{"ts": …, "values": {…}}`` or plain keys, one or a list of them."""
    return records_of(entry, _STYLE)


FORMAT = Format("thingsboard", "ThingsBoard device and gateway telemetry (JSON)", decode, options_check())
