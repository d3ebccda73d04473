"""Devices on one raw connection, as fast as the broker reads: `... PORT BEDS COUNT FIRST ROOT`.

The law: what is measured must not wait for what measures. Packets are built from templates, about 2 us each,
so that on two cores the sender takes as little as it can from the broker and the subscriber.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

HOST = "127.0.0.1"
ROOT = "afterwatch/v1/clinic"
ELSEWHERE = "afterwatch/v1/others"  # what the monitor does not follow, so that the broker keeps none for it
CHUNK = 50  # messages that share one time of measurement; each is of another bed


def text(value: str) -> bytes:
    """Return a string as MQTT writes it."""
    body = value.encode()
    return struct.pack("!H", len(body)) + body


def packet(kind: int, body: bytes) -> bytes:
    """Return a packet with its remaining length."""
    length, left = bytearray(), len(body)
    while True:
        left, digit = divmod(left, 128)
        length.append(digit | (128 if left else 0))
        if not left:
            return bytes([kind]) + bytes(length) + body


def publish(topic: str, payload: bytes, mid: int) -> bytes:
    """Return a PUBLISH at QoS 1 of MQTT 3.1.1."""
    return packet(0x32, text(topic) + struct.pack("!H", mid) + payload)


def connect(port: int, name: str, *topics: str) -> socket.socket:
    """Return a connected MQTT 3.1.1 socket, with its subscriptions at QoS 1 made."""
    line = socket.create_connection((HOST, port))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.sendall(packet(0x10, text("MQTT") + bytes([4, 2, 0, 0]) + text(name)))
    assert line.recv(4)[3] == 0, "the broker refuses us"
    if topics:
        line.sendall(packet(0x82, b"\0\1" + b"".join(text(topic) + b"\1" for topic in topics)))
        assert line.recv(4 + len(topics))[0] == 0x90
    return line


def report_topic(bed: int, root: str = ROOT) -> str:
    """Return where the oximeter of a bed reports."""
    return f"{root}/devices/ox-{bed}/report"


def payload(at: bytes, sequence: int, more: bytes = b"") -> bytes:
    """Return a report of two values, as an oximeter sends it, always of the same length."""
    values = b'"values":{"spo2":%d,"pulse_rate":%d}' % (96 + sequence % 3, 70 + sequence % 9)
    head = b'{"measured_at":"%b","boot_id":"b1","sequence":%d,"mode":"real",' % (at, sequence)
    return head + values + more + b"}"


def instant() -> bytes:
    """Return the present time as devices write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def packets(beds: int, count: int, first: int, root: str) -> Iterator[bytes]:
    """Yield reports in chunks, every bed in its turn; `first` is the number of the first message."""
    length = len(payload(instant(), 10**9))
    heads = [publish(report_topic(bed, root), bytes(length), 0)[: -length - 2] for bed in range(beds)]
    for start in range(first, first + count, CHUNK):
        at = instant()
        yield b"".join(
            heads[number % beds]
            + struct.pack("!H", number % 65_535 + 1)
            + payload(at, 10**9 + number // beds)
            for number in range(start, min(start + CHUNK, first + count))
        )


def send(port: int, beds: int, count: int, first: int, root: str) -> dict[str, float]:
    """Send `count` reports; return when it began and when all were confirmed (monotonic seconds)."""
    line = connect(port, f"bench-load-{time.monotonic_ns()}")
    line.setblocking(False)
    begun, confirmed, left, source = time.monotonic(), 0, b"", packets(beds, count, first, root)
    while confirmed < 4 * count:
        left = left or next(source, b"")
        readable, writable, _ = select.select([line], [line] if left else [], [], 10)
        assert readable or writable, "the broker has stopped"
        if readable:
            confirmed += len(line.recv(65_536))
        if writable:
            left = left[line.send(left) :]
    return {"begun": begun, "ended": time.monotonic(), "cpu_s": time.process_time()}


if __name__ == "__main__":
    port, beds, count, first = map(int, sys.argv[1:5])
    print(json.dumps(send(port, beds, count, first, sys.argv[5])))
