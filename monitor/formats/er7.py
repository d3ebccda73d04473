"""HL7 v2 on the wire (ER7): bytes into messages, segments and fields.

Law: separators and character set are what the message's own MSH says. Line ends may be CR, LF or both; MLLP
framing, byte order marks and blank lines are taken off. Nothing here knows what a field means.

Why not a library on this path: decision 11 in ``docs/decisions``. The hl7 library is the judge in
``tests/formats/test_er7.py``: both must read every message alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from monitor.formats.contract import Undecodable

_LINE_ENDS = re.compile("[\r\n\x0b\x1c\x1d\x1e\u2028]+")
_MAX_MESSAGES = 500  # a batch of a ward; bounds the work of one payload
_JUNK = " \t\x00\ufeff"

# MSH-18, HL7 table 0211, to Python's codec; compared without spaces, in upper case.
_CHARACTER_SETS = {
    "ASCII": "ascii",
    "UNICODEUTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "UNICODE": "utf-8",
    "UNICODEUTF-16": "utf-16",
    "UNICODEUTF-32": "utf-32",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/5": "iso8859-5",
    "8859/7": "iso8859-7",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "ISOIR6": "ascii",
    "ISOIR14": "iso2022_jp",
    "ISOIR87": "iso2022_jp",
    "ISOIR100": "iso8859-1",
    "KSX1001": "euc_kr",
    "GB18030-2000": "gb18030",
    "GB18030": "gb18030",
    "BIG-5": "big5",
    "WINDOWS-1252": "cp1252",
}
_ESCAPES = {"F": 0, "S": 1, "R": 2, "E": 3, "T": 4}


class Separators(NamedTuple):
    """The five signs of a message's MSH-1 and MSH-2."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


class Message(NamedTuple):
    """One message. ``segments`` are lists of raw fields with the name at 0; in MSH the index is HL7's own."""

    separators: Separators
    segments: list[list[str]]


def read_messages(payload: bytes) -> list[Message]:
    """Split a payload into its messages; a batch (FHS, BHS) or several frames hold more than one.

    Raises:
        Undecodable: no MSH segment, so that neither separators nor type are known.
    """
    messages: list[Message] = []
    for raw in _LINE_ENDS.split(read_text(payload)):
        line = raw.strip(_JUNK)
        if line.startswith("MSH") and len(line) > 3 and not line[3].isalnum():
            separators = _separators(line)
            fields = line.split(separators.field)
            fields.insert(1, separators.field)
            messages.append(Message(separators, [fields]))
        elif messages and line:
            messages[-1].segments.append(line.split(messages[-1].separators.field))
        if len(messages) > _MAX_MESSAGES:
            raise Undecodable(
                f"more than {_MAX_MESSAGES} messages in one payload: let the gateway send fewer"
            )
    if not messages:
        raise Undecodable("not HL7 v2: no MSH segment; check that topic and format belong together")
    return messages


def read_text(payload: bytes) -> str:
    """Return the payload as text by its byte order mark or its MSH-18; a wrong byte costs one sign only."""
    if payload.startswith((b"\xff\xfe", b"\xfe\xff")):
        return payload.decode("utf-16", "replace")
    if payload[:1] == b"\x00" or payload[1:2] == b"\x00":
        return payload.decode("utf-16-be" if payload[:1] == b"\x00" else "utf-16-le", "replace")
    return payload.decode(_codec(payload), "replace")


def _codec(payload: bytes) -> str:
    if payload.isascii() and b"\x1b" not in payload:
        return "ascii"
    start = payload.find(b"MSH")
    header = payload[start : start + 2048].split(b"\r")[0].split(b"\n")[0].decode("latin-1")
    fields = header.split(header[3:4] or "|")
    named = fields[17].split("~")[-1].upper().replace(" ", "") if len(fields) > 17 else ""
    codec = _CHARACTER_SETS.get(named, "utf-8")
    if codec in {"utf-16", "utf-32", "ascii"}:  # said, but not so: the bytes are not of that form
        return "utf-8"
    return codec


def _separators(line: str) -> Separators:
    """Read MSH-1 and MSH-2; what is missing is the usual sign."""
    field = line[3]
    own = line[4:].split(field, 1)[0]
    usual = Separators()
    return Separators(field, *(own[i : i + 1] or usual[i + 1] for i in range(4)))


def field_of(segment: list[str], index: int) -> str:
    """Return a field, empty when the segment is shorter."""
    return segment[index] if len(segment) > index else ""


def component_of(field: str, index: int, separators: Separators) -> str:
    """Return a component (from 0) of a field's first repetition, with its escapes undone."""
    if separators.repetition in field:
        field = field.split(separators.repetition, 1)[0]
    parts = field.split(separators.component)
    return unescape(parts[index].strip(), separators) if len(parts) > index else ""


def repetitions_of(field: str, separators: Separators) -> Iterator[str]:
    """Yield the repetitions of a field that are not empty."""
    return (part for part in field.split(separators.repetition) if part)


def unescape(text: str, separators: Separators) -> str:
    r"""Undo ``\\F\\ \\S\\ \\T\\ \\R\\ \\E\\`` and ``\\Xdd…\\``; an unknown escape stays as it is."""
    if separators.escape not in text:
        return text
    sign = re.escape(separators.escape)
    return re.sub(f"{sign}([^{sign}]{{1,64}}){sign}", lambda match: _escape(match, separators), text)


def _escape(match: re.Match[str], separators: Separators) -> str:
    code = match[1]
    if code in _ESCAPES:
        return separators[_ESCAPES[code]]
    if code[0] == "X":
        try:
            return bytes.fromhex(code[1:]).decode("utf-8", "replace")
        except ValueError:
            return match[0]
    return match[0]
