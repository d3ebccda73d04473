"""The frames of serial devices: where one begins and ends in a stream of bytes.

Law: a frame is whole or it waits; bytes that belong to no frame are counted and thrown away, so that one lost
byte costs one frame. Nothing here knows what a value means. The bridge cuts a live stream with the same code
that the decoder uses on a recording.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

MAX_FRAME = 4096  # the longest documented frame is 700 bytes
_SHORTEST_IVY = 6  # "HR=1;;" and its end
MAX_MESSAGE = 128 * 1024  # of HL7, as the decoder reads it


class Cut(NamedTuple):
    """What was found in a piece of a stream: whole frames, what is left to wait for, how much was noise."""

    frames: tuple[bytes, ...]
    rest: bytes
    noise: int


Cutter = Callable[[bytes], Cut]


def cut_ivy(stream: bytes) -> Cut:
    """Cut an Ivy Biomedical 450C stream: 0xFF ``ANSAR-B``, waveforms, 0xFB …, text lines, 0xFE.

    A frame that lost its head is kept when its text is whole: the values stand in the text alone.
    """
    frames: list[bytes] = []
    start = noise = 0
    while (end := stream.find(b"\xfe", start)) >= 0:
        if end - start < _SHORTEST_IVY:
            noise, start = noise + end + 1 - start, end + 1
            continue
        frame = stream[start : end + 1]
        start = end + 1
        head = max(0, frame.rfind(b"\xffANSAR"))
        noise, frame = noise + head, frame[head:]
        if ivy_text(frame):
            frames.append(frame)
        else:
            noise += len(frame)
    rest = stream[start:]
    if len(rest) > MAX_FRAME:
        noise += len(rest) - MAX_FRAME
        rest = rest[-MAX_FRAME:]
    return Cut(tuple(frames), rest, noise)


def ivy_text(frame: bytes) -> bytes:
    """Return the text of an Ivy frame: what follows the last filler byte 0xFB, without the 0xFE."""
    text = frame[frame.rfind(b"\xfb") + 1 :].removesuffix(b"\xfe")
    return text if b"=" in text and text.isascii() else b""


def crc8_maxim(content: bytes) -> int:
    """Return the CRC-8 of Dallas/Maxim (polynomial 0x31 reflected, start 0)."""
    crc = 0
    for byte in content:
        crc = _MAXIM[crc ^ byte]
    return crc


def crc8(content: bytes) -> int:
    """Return the CRC-8 of polynomial 0x07, start 0."""
    crc = 0
    for byte in content:
        crc = _CRC8[crc ^ byte]
    return crc


def _row(byte: int, step: Callable[[int], int]) -> int:
    for _ in range(8):
        byte = step(byte)
    return byte


_MAXIM = [_row(byte, lambda crc: crc >> 1 ^ 0x8C if crc & 1 else crc >> 1) for byte in range(256)]
_CRC8 = [_row(byte, lambda crc: (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1) for byte in range(256)]
_LONGEST_SUMMED = 64  # of a content with a CRC; the documented ones are shorter, and it bounds the work


def cut_pc60(stream: bytes) -> Cut:
    """Cut a Viatom/Creative PC-60 stream: AA 55, token, length, that many bytes, the last of them a CRC-8."""
    frames: list[bytes] = []
    at = noise = 0
    while True:
        start = stream.find(b"\xaa\x55", at)
        if start < 0:
            keep = 1 if stream[at:].endswith(b"\xaa") else 0
            return Cut(tuple(frames), stream[len(stream) - keep :], noise + len(stream) - at - keep)
        noise += start - at
        if len(stream) < start + 4:
            return Cut(tuple(frames), stream[start:], noise)
        length = stream[start + 3]
        end = start + 4 + length
        if len(stream) < end and length <= _LONGEST_SUMMED:
            return Cut(tuple(frames), stream[start:], noise)
        frame = stream[start:end]
        if 2 <= length <= _LONGEST_SUMMED and crc8_maxim(frame[:-1]) == frame[-1]:
            frames.append(frame)
            at = end
        else:
            noise += 2
            at = start + 2


def cut_bci(stream: bytes) -> Cut:
    """Cut a BCI stream (Contec CMS50, BerryMed): five bytes, only the first with its high bit set."""
    frames: list[bytes] = []
    at = noise = 0
    while at < len(stream):
        if not stream[at] & 0x80:
            at, noise = at + 1, noise + 1
            continue
        frame = stream[at : at + 5]
        later = next((index for index in range(1, len(frame)) if frame[index] & 0x80), 0)
        if later:
            at, noise = at + later, noise + later
        elif len(frame) < 5:
            break
        else:
            frames.append(frame)
            at += 5
    return Cut(tuple(frames), stream[at:], noise)


def cut_contec(stream: bytes) -> Cut:
    """Cut Contec's later form (CMS50D+, E, F): 0x01, then eight bytes with their high bit set."""
    return _cut_fixed(stream, 9, lambda frame: frame[0] == 1 and all(byte & 0x80 for byte in frame[1:]))


def cut_nonin_8(stream: bytes) -> Cut:
    """Cut Nonin's data format 8: four bytes, only the first with its high bit set."""
    return _cut_fixed(stream, 4, lambda frame: frame[0] > 127 and not any(byte & 0x80 for byte in frame[1:]))


def cut_nonin_19(stream: bytes) -> Cut:
    """Cut Nonin's Bluetooth format: ten bytes, the first of them the length; SpO2 has no high bit."""
    return _cut_fixed(stream, 10, lambda frame: frame[0] == 10 and frame[7] < 128 and frame[8] < 2)


def cut_jumper(stream: bytes) -> Cut:
    """Cut a Jumper's stream: 0x81, pulse, SpO2 (127 at most), perfusion index."""
    return _cut_fixed(stream, 4, lambda frame: frame[0] == 0x81 and frame[2] < 128)


def _cut_fixed(stream: bytes, length: int, fits: Callable[[bytes], bool]) -> Cut:
    """Cut frames of one length that have no end: a byte that begins none is noise."""
    frames: list[bytes] = []
    at = noise = 0
    while len(stream) - at >= length:
        frame = stream[at : at + length]
        if fits(frame):
            frames.append(frame)
            at += length
        else:
            at, noise = at + 1, noise + 1
    return Cut(tuple(frames), stream[at:], noise)


_NONIN_PACKET = 125  # 25 frames of five bytes, three packets a second


def cut_nonin(stream: bytes) -> Cut:
    """Cut Nonin's data formats 2 and 7: packets of 25 frames, each with its sum; the first has SYNC set."""
    frames: list[bytes] = []
    at = noise = 0
    while len(stream) - at >= _NONIN_PACKET:
        packet = stream[at : at + _NONIN_PACKET]
        if _is_nonin(packet):
            frames.append(packet)
            at += _NONIN_PACKET
        else:
            at, noise = at + 1, noise + 1
    return Cut(tuple(frames), stream[at:], noise)


def _is_nonin(packet: bytes) -> bool:
    place = 1 if packet[0] == 1 else 0  # format 2 begins each frame with 1, and its status follows
    if packet[place] & 0x81 != 0x81:
        return False
    for start in range(0, _NONIN_PACKET, 5):
        if sum(packet[start : start + 4]) & 0xFF != packet[start + 4] or not packet[start + place] & 0x80:
            return False
        if start and packet[start + place] & 1:
            return False
    return True


def cut_viatom(stream: bytes) -> Cut:
    """Cut a Viatom ring's answers: 0x55, command, its complement, block, length (16 bit), content, CRC-8."""
    frames: list[bytes] = []
    at = noise = 0
    while (start := stream.find(b"\x55", at)) >= 0:
        noise += start - at
        at = start
        head = stream[start : start + 7]
        if len(head) < 7:
            break
        end = start + 8 + int.from_bytes(head[5:7], "little")
        if head[1] ^ head[2] != 0xFF or end - start > _LONGEST_SUMMED:
            at, noise = start + 1, noise + 1
        elif len(stream) < end:
            break
        elif crc8(stream[start : end - 1]) == stream[end - 1]:
            frames.append(stream[start:end])
            at = end
        else:
            at, noise = start + 1, noise + 1
    else:
        noise, at = noise + len(stream) - at, len(stream)
    return Cut(tuple(frames), stream[at:], noise)


_LINES = {
    "masimo": re.compile(rb"\d\d/\d\d/\d\d \d\d:\d\d:\d\d [^\r\n]*SPO2=[^\r\n]*"),
    "nellcor": re.compile(rb"\d\d-[A-Za-z]{3}-\d\d \d\d:\d\d:\d\d +[0-9-][^\r\n]*"),
}


def _cut_lines(name: str, stream: bytes) -> Cut:
    """Cut a device's lines of text; another line (a heading) is noise, and the last one may grow."""
    *lines, rest = re.split(rb"[\r\n]+", stream)
    frames = tuple(line.strip() for line in lines if _LINES[name].fullmatch(line.strip()))
    noise = sum(len(line) for line in lines) - sum(len(frame) for frame in frames)
    if len(rest) > MAX_FRAME:
        rest, noise = b"", noise + len(rest)
    return Cut(frames, rest, max(0, noise))


def cut_mllp(stream: bytes) -> Cut:
    """Cut HL7's minimal lower layer: 0x0B, the message, 0x1C and (mostly) 0x0D; the messages come bare."""
    frames: list[bytes] = []
    noise = 0
    while (start := stream.find(b"\x0b")) >= 0:
        noise += len(stream[:start].strip())
        end = stream.find(b"\x1c", start)
        if end < 0:
            break
        frames.append(stream[start + 1 : end])
        stream = stream[end + 1 :]
    rest = stream[start:] if start >= 0 else b""
    noise += len(stream.strip()) if start < 0 else 0
    if len(rest) > MAX_MESSAGE:
        rest, noise = b"", noise + len(rest)
    return Cut(tuple(frames), rest, noise)


CUTTERS: dict[str, Cutter] = {
    "ivy": cut_ivy,
    "pc60": cut_pc60,
    "bci": cut_bci,
    "masimo": partial(_cut_lines, "masimo"),
    "nellcor": partial(_cut_lines, "nellcor"),
    "nonin": cut_nonin,
    "nonin8": cut_nonin_8,
    "nonin19": cut_nonin_19,
    "contec": cut_contec,
    "viatom": cut_viatom,
    "jumper": cut_jumper,
}
