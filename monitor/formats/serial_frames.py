"""The frames of serial devices: where one begins and ends in a stream of bytes.

Law: a frame is whole or it waits; bytes that belong to no frame are counted and thrown away, so that one lost
byte costs one frame. Nothing here knows what a value means. The bridge cuts a live stream with the same code
that the decoder uses on a recording.
"""

from __future__ import annotations

from collections.abc import Callable
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
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8C if crc & 1 else crc >> 1
    return crc


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
        end = start + 4 + stream[start + 3]
        if len(stream) < end:
            return Cut(tuple(frames), stream[start:], noise)
        frame = stream[start:end]
        if stream[start + 3] >= 2 and crc8_maxim(frame[:-1]) == frame[-1]:
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


CUTTERS: dict[str, Cutter] = {"ivy": cut_ivy, "pc60": cut_pc60, "bci": cut_bci}
