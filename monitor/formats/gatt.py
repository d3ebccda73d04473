"""Bluetooth GATT values as gateways forward them: 2A35, 2A37, 2A5E, 2A5F, 2A1C; hex, base64 or bytes.

Law: which characteristic it is stands in the topic, the payload or the options, and is never guessed from the
bytes. The device's own time is local; what the gateway writes beside it is the gateway's.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from monitor.core.vitals import Report
from monitor.formats.codes import plain
from monitor.formats.contract import Context, Decoded, Format, Undecodable
from monitor.formats.gatt_values import CHARACTERISTICS, Content
from monitor.formats.identity import normalise_address
from monitor.formats.instants import place, read_any
from monitor.formats.json_payload import find, parse, split_path
from monitor.formats.reading import judge_pressures

_MAX_VALUES = 500  # of one message; bounds its work
_ENCODINGS = ("auto", "hex", "base64", "raw")
_PAYLOAD_KEYS = (
    "value",
    "data",
    "payload",
    "raw",
    "hex",
    "bytes",
    "notification",
    "valueHex",
    "value_hex",
    "rawData",
)
_ADDRESS_KEYS = ("mac", "address", "addr", "ble_addr", "device", "id")
UUID_KEYS = ("characteristic", "char", "uuid", "characteristic_uuid", "characteristicUuid")
_TIME_KEYS = ("timestamp", "time", "ts")
# A characteristic's number, not in the midst of a longer one such as an address: "2A37", "0x2a37", its UUID.
_UUID = re.compile(
    r"(?<![0-9a-f])(?:0x|0000)?(2a[0-9a-f]{2})(?:-0000-1000-8000-00805f9b34fb)?(?![0-9a-f])", re.IGNORECASE
)
_NAMES = {
    "bloodpressuremeasurement": "2a35",
    "intermediatecuffpressure": "2a36",
    "heartratemeasurement": "2a37",
    "plxspotcheck": "2a5e",
    "plxcontinuous": "2a5f",
    "temperaturemeasurement": "2a1c",
    "intermediatetemperature": "2a1e",
}


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode one characteristic's value.

    Options: ``characteristic`` ("2A35"…; else found in the topic or the JSON), ``encoding`` ("hex", "base64",
    "raw", "auto"), ``key``, ``address_key``, ``time_key`` (paths, when the payload is JSON).

    Raises:
        Undecodable: which characteristic it is cannot be told, or its bytes are cut short or not readable.
    """
    document = _document(payload)
    if isinstance(document, list):
        decoded = [_one(b"", entry, context) for entry in document[:_MAX_VALUES]]
        return Decoded(
            tuple(found for one in decoded for found in one.reports),
            sum(one.ignored for one in decoded),
            "; ".join(dict.fromkeys(one.note for one in decoded if one.note))[:500],
        )
    return _one(payload, document, context)


def _one(payload: bytes, document: dict[str, Any] | None, context: Context) -> Decoded:
    name = _characteristic(document, context)
    if name not in CHARACTERISTICS:
        return Decoded((), 1, f"Bluetooth characteristic {name} holds no vital sign of ours")
    content = CHARACTERISTICS[name](_value_bytes(payload, document, context))
    identity, gateway_at, notes = _surroundings(document, context)
    return report(content, identity, gateway_at, notes, context)


def report(
    content: Content, identity: str, gateway_at: datetime | None, notes: list[str], context: Context
) -> Decoded:
    """Return what one characteristic said as a decoded message, with what was known around it."""
    measured_at = None
    notes = [*notes, *content.notes]
    if content.moment is not None:
        measured_at, note = place(content.moment, str(content.moment), context)
        notes += [note] if note else []
    if content.drill:
        notes.append("demonstration or test data: taken as drill")
    if not content.observations:
        return Decoded((), 1, "; ".join(notes))
    found = Report(
        identity or context.device_id,
        context.received_at,
        measured_at,
        judge_pressures(content.observations),
        content.faults,
        mode="drill" if content.drill else "real",
        retained=context.retained,
        gateway_at=gateway_at,
        notes=tuple(notes),
    )
    return Decoded((found,))


def _document(payload: bytes) -> dict[str, Any] | list[dict[str, Any]] | None:
    if payload.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] not in (b"{", b"["):
        return None
    try:
        found = parse(payload)
    except Undecodable:  # raw bytes may begin with "{" too, and "[0, 80]" are the bytes themselves
        return None
    if isinstance(found, list) and found and all(isinstance(entry, dict) for entry in found):
        return found
    return found if isinstance(found, dict) else None


def find_characteristic(text: str) -> str | None:
    """Return the short code ("2a35") of the characteristic that a topic or UUID names, or ``None``.

    A code that holds a vital sign counts before one that does not (a battery's, 2A19).
    """
    found = [code.lower() for code in _UUID.findall(text)]
    words = plain(text)
    named = [code for name, code in _NAMES.items() if name in words]
    return next((code for code in found if code in CHARACTERISTICS), next(iter(named + found), None))


def _characteristic(document: dict[str, Any] | None, context: Context) -> str:
    candidates = [str(context.options.get("characteristic", "")), context.topic]
    if document is not None:
        candidates[1:1] = [str(document[key])[:64] for key in UUID_KEYS if key in document]
    for text in candidates:
        if (code := find_characteristic(text)) is not None:
            return code
    raise Undecodable(
        "which characteristic this is stands neither in the topic nor in the payload:"
        f" set options.characteristic to one of {', '.join(CHARACTERISTICS)}"
    )


def _value_bytes(payload: bytes, document: dict[str, Any] | None, context: Context) -> bytes:
    encoding = context.options.get("encoding", "auto")
    if document is None:
        if encoding == "raw" or (encoding == "auto" and _is_binary(payload)):
            return payload
        if (listed := _listed(payload)) is not None:
            return listed
        try:
            return decode_text(payload.decode("ascii"), encoding)
        except UnicodeDecodeError:
            raise Undecodable(f"not {encoding} text: set options.encoding to 'raw'") from None
    key = context.options.get("key")
    paths = [split_path(str(key))] if key else [(name,) for name in _PAYLOAD_KEYS]
    for path in paths:
        given = find(document, path)
        if isinstance(given, str):
            return decode_text(given, encoding)
        if (listed := _bytes_of(given)) is not None:
            return listed
    raise Undecodable(f"no bytes under {', '.join('.'.join(path) for path in paths)}: set options.key")


def _listed(payload: bytes) -> bytes | None:
    """Return the bytes of a bare list of numbers: "[0, 80]"."""
    if not payload.startswith(b"["):
        return None
    try:
        return _bytes_of(parse(payload))
    except Undecodable:
        return None


def _bytes_of(given: Any) -> bytes | None:
    if isinstance(given, list) and given and all(type(part) is int and 0 <= part < 256 for part in given):
        return bytes(given)
    return None


def _is_binary(payload: bytes) -> bool:
    """Say whether there are bytes that no text has."""
    return any(byte < 32 and byte not in b"\t\r\n" for byte in payload) or not payload.isascii()


def decode_text(text: str, encoding: str) -> bytes:
    """Return the bytes that a text stands for; hex is tried before base64, as both may fit."""
    text = text.strip()
    plain = re.sub(r"0x|[\s:,\-\[\]]", "", text, flags=re.IGNORECASE)
    if encoding in {"auto", "hex"}:
        try:
            return bytes.fromhex(plain)
        except ValueError:
            if encoding == "hex":
                raise Undecodable(f"{text[:40]!r} is not hexadecimal: check options.encoding") from None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Undecodable(
            f"{text[:40]!r} is neither hexadecimal nor base64: check options.encoding"
        ) from None


def _surroundings(
    document: dict[str, Any] | None, context: Context
) -> tuple[str, datetime | None, list[str]]:
    """Return the device's address, the gateway's time and notes from the JSON around the bytes."""
    if document is None:
        return "", None, []
    paths = (
        [split_path(str(context.options.get("address_key", "")))]
        if "address_key" in context.options
        else [(key,) for key in _ADDRESS_KEYS]
    )
    named = next((found for path in paths if isinstance(found := find(document, path), str) and found), "")
    keys = [context.options["time_key"]] if "time_key" in context.options else list(_TIME_KEYS)
    given = next((found for key in keys if (found := find(document, split_path(str(key)))) is not None), None)
    at, note = read_any(given, context)
    return normalise_address(named), at, [note] if note else []


def check(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the mistakes in a device's options for this format."""
    known = {"characteristic", "encoding", "key", "address_key", "time_key"}
    mistakes = [
        f"options.{key}: unknown; known are {', '.join(sorted(known))}" for key in options if key not in known
    ]
    if options.get("encoding", "auto") not in _ENCODINGS:
        mistakes.append(
            f"options.encoding is {options['encoding']!r}; it must be one of {', '.join(_ENCODINGS)}"
        )
    if (
        "characteristic" in options
        and find_characteristic(str(options["characteristic"])) not in CHARACTERISTICS
    ):
        mistakes.append(
            f"options.characteristic is {options['characteristic']!r}; known: {', '.join(CHARACTERISTICS)}"
        )
    return tuple(mistakes)


FORMAT = Format("gatt", "Bluetooth GATT bytes (2A35, 2A37, 2A5E, 2A5F, 2A1C)", decode, check)
