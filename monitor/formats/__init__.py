"""Device payloads become reports: one file per format, all listed in one table.

To add a format: write its file with a ``FORMAT`` and name it in ``_MODULES``; nothing else changes.

A format's file is imported when its row is first asked for: all of them take a tenth of a start and ten
megabytes, and a site speaks few. The configuration asks for each that ``beds.toml`` names, to check its
options, before anything is heard: no message waits for an import.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from monitor.formats.contract import MAX_PAYLOAD_BYTES, Context, Decoded, Format, Undecodable
from monitor.formats.native import FORMAT as NATIVE

__all__ = ["FORMATS", "MAX_PAYLOAD_BYTES", "Context", "Decoded", "Format", "Undecodable", "decode"]

# Name in ``beds.toml`` -> the file here that holds its row.
_MODULES = {
    "native": "native",
    "hl7v2": "hl7v2",
    "fhir": "fhir",
    "gatt": "gatt",
    "theengs": "theengs",
    "openmqttgateway": "theengs",
    "thingsboard": "thingsboard",
    "tasmota": "tasmota",
    "zigbee2mqtt": "zigbee2mqtt",
    "esphome": "esphome",
    "ava4": "ava4",
    "keymap": "keymap",
    "sparkplug": "sparkplug",
    "serial": "serial_device",
}


class _Rows(dict[str, Format]):
    """The rows that were asked for; another is fetched."""

    def __missing__(self, name: str) -> Format:
        row: Format = import_module(f"monitor.formats.{_MODULES[name]}").FORMAT
        self[name] = row = row._replace(name=name)
        return row


_rows = _Rows(native=NATIVE)  # any stranger's, and the self-check's: always here


class _Table(Mapping[str, Format]):
    """Every format by name, in the order of the documentation."""

    def __getitem__(self, name: str) -> Format:
        return _rows[name]

    def __contains__(self, name: object) -> bool:
        return name in _MODULES

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


FORMATS: Mapping[str, Format] = _Table()


def decode(name: str, payload: bytes, context: Context, limit: int = 0) -> Decoded:
    """Decode one payload by the format called ``name``.

    ``limit`` is the most bytes that are read; 0 is the format's own limit, which bounds the time that one
    message can take from the loop. A recording read from a file may be longer.

    Raises:
        Undecodable: the payload holds no report; the text is the reason for the quarantine.
    """
    row = _rows[name]
    limit = limit or row.max_payload_bytes
    if len(payload) > limit:
        raise Undecodable(f"payload of {len(payload)} bytes; at most {limit} are read (S-05)")
    try:
        return row.decode(payload, context)
    except Undecodable:
        raise
    except Exception as fault:  # a decoder's own mistake must never stop the loop (P-25)
        raise Undecodable(f"the {name} decoder failed: {type(fault).__name__}: {fault}") from fault
