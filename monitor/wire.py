"""The fast way from the socket to the inbox: whole PUBLISH packets are cut out of one large read.

Law: paho stays the client. Only what is plainly a whole PUBLISH at QoS 0 or 1 without properties is cut
here; every other packet reaches paho byte for byte, in its place, so that errors are paho's errors. Whatever
is written leaves in the order in which it was given, also when the socket takes only a part of it. One lock
for reading and writing: a TLS connection that does both at once crashes the process (seen; CPython 3.11).

Why: paho reads a message with four ``recv`` and answers it with a ``send`` and a ``select``: more CPU than
all that we do with it (docs/performance.md). ``AFTERWATCH_PLAIN_PAHO=1`` does without this file.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

READ_BYTES = 256 * 1024
PUBLISH, UP_TO_QOS_1 = 0x30, 0xF4  # of the first byte: the kind, and the QoS bit that must not be set
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Envelope(NamedTuple):
    """One message as it came; ``mid`` and ``connection`` are what its confirmation needs (0: none is due)."""

    topic: str
    payload: bytes
    received_at: datetime
    retained: bool = False
    mid: int = 0
    connection: int = 0


class Cut(NamedTuple):
    """What lies at the front of what was read.

    ``envelopes`` end at ``end``, where the next packet begins: it is of ``foreign`` bytes and paho's, or (0)
    it is not whole yet.
    """

    envelopes: list[Envelope]
    end: int
    foreign: int


def cut(read: bytes, v5: bool, now: datetime, connection: int = 0) -> Cut:
    """Cut every plain PUBLISH out of the front of ``read``, which came ``now`` on a connection.

    Written out in one piece: this is done for each message, and a call costs as much as all it does.
    """
    found: list[Envelope] = []
    keep, make = found.append, tuple.__new__
    at, size = 0, len(read)
    while at + 2 <= size:
        head, length, body = read[at], read[at + 1], at + 2
        if length > 127:
            if body < size and (more := read[body]) < 128:
                length, body = length & 127 | more << 7, body + 1
            else:
                length, body = _remaining_length(read, at + 1)
                if not body:
                    break
        end = body + length
        if end > size:
            break
        if head & UP_TO_QOS_1 != PUBLISH or length < 3:
            return Cut(found, at, end - at)
        mid_at = body + 2 + (read[body] << 8 | read[body + 1])
        payload_at = mid_at + (head & 2) + v5
        if payload_at > end or mid_at == body + 2 or (v5 and read[payload_at - 1]):
            return Cut(found, at, end - at)  # there is something unusual about it
        try:
            topic = read[body + 2 : mid_at].decode()
        except UnicodeDecodeError:
            return Cut(found, at, end - at)
        mid = read[mid_at] << 8 | read[mid_at + 1] if head & 2 else 0
        retained = head & 1 == 1
        keep(make(Envelope, (topic, read[payload_at:end], now, retained, mid, connection)))
        at = end
    return Cut(found, at, 0)


def _remaining_length(read: bytes, at: int) -> tuple[int, int]:
    """Return a packet's remaining length and where it begins; 0, 0 when it is not read yet.

    More than four bytes are no length: whatever is there is handed to paho, who ends the connection.
    """
    length = 0
    for place, digit in enumerate(read[at : at + 4]):
        length |= (digit & 127) << 7 * place
        if digit < 128:
            return length, at + place + 1
    return (0, at + 4) if len(read) >= at + 4 else (0, 0)


Take = Callable[[list[Envelope]], None]
Stamp = Callable[[], tuple[datetime, int]]


class Wire:
    """A socket as paho sees it. ``recv`` and ``pending`` are of paho's thread; anyone may write."""

    def __init__(self, line: Any, v5: bool, take: Take, stamp: Stamp) -> None:
        """Stand between ``line``, a connected socket, and paho; ``take`` gets what is cut, in order."""
        self._line, self._v5, self._take, self._stamp = line, v5, take, stamp
        self._lock = threading.Lock()
        self._read = b""  # begins where a packet begins
        self._foreign = memoryview(b"")  # the rest of a whole packet that is paho's
        self._more = False  # more than a part of a packet may be in ``_read``
        self.unsent = bytearray()

    def __getattr__(self, name: str) -> Any:
        """Be the socket in everything else."""
        return getattr(self._line, name)

    def recv(self, size: int) -> bytes:
        """Return bytes of a packet that is paho's, after the messages before it were taken.

        Raises:
            BlockingIOError: there is none now.
        """
        if not self._foreign and not self._cut():
            with self._lock:
                try:
                    fresh = self._line.recv(READ_BYTES)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as fault:
                    raise BlockingIOError from fault
            if not fresh:
                return b""
            self._read += fresh
            self._more = True
            if not self._cut():
                raise BlockingIOError
        piece, self._foreign = self._foreign[:size], self._foreign[size:]
        return bytes(piece)

    def _cut(self) -> bool:
        """Hand on what is in the front of the buffer; say whether a packet of paho's is next."""
        if not self._more:
            return False
        envelopes, end, foreign = cut(self._read, self._v5, *self._stamp())
        self._foreign = memoryview(self._read)[end : end + foreign]
        self._read = self._read[end + foreign :]
        self._more = foreign > 0
        if envelopes:
            self._take(envelopes)
        return foreign > 0

    def pending(self) -> int:
        """Return how many bytes ``recv`` can give without waiting for the network, about."""
        below = self._line.pending() if isinstance(self._line, ssl.SSLSocket) else 0
        return len(self._foreign) + self._more + below

    def send(self, packet: bytes | bytearray) -> int:
        """Write a packet, or keep what the socket does not take now; return its length."""
        with self._lock:
            self.unsent += packet
            self._push()
        return len(packet)

    def push(self) -> None:
        """Write what the socket did not take before."""
        with self._lock:
            self._push()

    def _push(self) -> None:
        try:
            while self.unsent:
                del self.unsent[: self._line.send(self.unsent)]
        except _NOT_NOW:
            pass  # it goes when there is room

    def confirm(self, mids: Iterable[int]) -> None:
        """Write the PUBACKs of messages, in order, as one piece."""
        self.send(b"".join([b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids]))


class Client(paho.Client):
    """A paho client whose messages come in bulk; ``take`` gets them in paho's thread, in their order."""

    def __init__(self, *arguments: Any, take: Take, stamp: Stamp, **more: Any) -> None:
        """Make a client with paho's arguments; ``stamp`` says when and on which connection something came."""
        self._wire: Wire | None = None
        super().__init__(*arguments, **more)
        self._take, self._stamp = take, stamp

    def _create_socket(self) -> Any:
        line = super()._create_socket()
        self._wire = Wire(line, self._protocol == MQTTProtocolVersion.MQTTv5, self._take, self._stamp)
        return self._wire

    def want_write(self) -> bool:
        """Say whether something waits to be written."""
        return super().want_write() or bool(self._wire and self._wire.unsent)

    def loop_write(self) -> MQTTErrorCode:
        """Write what waits."""
        if self._wire and self._wire.unsent:
            try:
                self._wire.push()
            except OSError:
                self._wire.unsent.clear()  # the connection is gone; whoever reads next finds it so
        return super().loop_write()

    def confirm(self, mids: list[int]) -> None:
        """Send PUBACKs, in order; on a connection that is gone they are not owed."""
        if self._wire and mids:
            with suppress(OSError):
                self._wire.confirm(mids)
