"""From one clinic to ten thousand: what one broker, one disk and one line carry (`python -m bench.scale`).

A clinic here is six beds in session eight hours a day: an oximeter each that reports every second and a
cuff each that reports every five minutes, as the drills' devices do. The broker is a real Mosquitto at the
natural rate of so many clinics for a few seconds, with one subscriber that hears everything (the central
agent) in C, `mosquitto_sub -q 1`. What one machine cannot offer is marked, not guessed; bytes come from real
messages and a real journal, cost is arithmetic on them.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from monitor import formats
from monitor.journal import Batch, Journal
from tests.conftest import LOOPBACK, Mosquitto, program

BEDS, HOURS = 6, 8
RATE = BEDS * (1 + 1 / 300)  # messages a second of a clinic in session
PER_DAY = RATE * HOURS * 3600
CLINICS = (1, 10, 100, 1000, 3000, 10_000)
AT = datetime(2026, 11, 23, 10, tzinfo=UTC)
TICKS = os.sysconf("SC_CLK_TCK")
CHUNK_S = 0.01


class Load(NamedTuple):
    """What the broker did at the rate of so many clinics."""

    clinics: int
    offered: float
    delivered: float
    cpu: float
    memory_mb: float


def payload(sequence: int) -> bytes:
    """Return a report of an oximeter as our simulated devices write it."""
    at = (AT + timedelta(seconds=sequence)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    values = {"pulse_rate": 68 + sequence % 7, "spo2": 97 - sequence % 3}
    body = {"measured_at": at, "boot_id": "b7f1", "sequence": sequence, "mode": "drill", "values": values}
    return json.dumps(body, separators=(",", ":")).encode()


def packet(topic: str, body: bytes, mid: int) -> bytes:
    """Return an MQTT 3.1.1 PUBLISH at QoS 1."""
    name = topic.encode()
    rest = len(name).to_bytes(2, "big") + name + mid.to_bytes(2, "big") + body
    length, size = b"", len(rest)
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (128 if size else 0)])
        if not size:
            return b"\x32" + length + rest


def connect(port: int, name: bytes) -> socket.socket:
    """Open a connection of a gateway, and throw away whatever it is told."""
    link = socket.create_connection((LOOPBACK, port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name
    link.sendall(b"\x10" + bytes([len(body)]) + body)
    assert link.recv(4)[3] == 0

    def drain() -> None:
        with suppress(OSError):  # closed under its feet: the load is over
            while link.recv(65536):
                pass

    threading.Thread(target=drain, daemon=True).start()
    return link


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def load(broker: Mosquitto, clinics: int, seconds: float) -> Load:
    """Offer the natural rate of so many clinics; return what came through."""
    count = max(60, int(clinics * RATE * seconds))
    topics = [
        f"afterwatch/v1/c{number % clinics}/devices/oximeter-{number % BEDS}/report"
        for number in range(count)
    ]
    packets = [packet(topic, payload(number), number % 65535 + 1) for number, topic in enumerate(topics)]
    hear = [program("mosquitto_sub", "mosquitto-clients"), "-h", LOOPBACK, "-p", str(broker.port), "-q", "1"]
    agent = subprocess.Popen(
        [*hear, "-t", "afterwatch/v1/+/devices/+/report", "-C", str(count), "-F", "%l"],
        stdout=subprocess.DEVNULL,
    )
    time.sleep(0.5)
    link = connect(broker.port, b"scale")
    began, cpu = time.monotonic(), cpu_s(broker.pid)
    each = max(1, int(clinics * RATE * CHUNK_S))
    for start in range(0, count, each):
        link.sendall(b"".join(packets[start : start + each]))
        wait_s = began + (start + each) / (clinics * RATE) - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
    offered_s = time.monotonic() - began
    agent.wait(120)
    took_s = time.monotonic() - began
    used = cpu_s(broker.pid) - cpu
    link.close()
    return Load(clinics, count / offered_s, count / took_s, used / count * 1e6, memory_mb(broker.pid))


def queued_bytes(broker: Mosquitto, count: int = 50_000) -> float:
    """Return the broker's memory for one message that waits for a monitor that is away."""
    hear = [program("mosquitto_sub", "mosquitto-clients"), "-h", LOOPBACK, "-p", str(broker.port), "-q", "1"]
    subprocess.run([*hear, "-c", "-i", "away", "-t", "afterwatch/#", "-E"], check=True)
    before = memory_mb(broker.pid)
    link = connect(broker.port, b"queue")
    topic = "afterwatch/v1/clinic/devices/oximeter-1/report"
    link.sendall(b"".join(packet(topic, payload(number), number % 65535 + 1) for number in range(count)))
    time.sleep(3)
    link.close()
    return (memory_mb(broker.pid) - before) * 1e6 / count


def journal_bytes(count: int) -> int:
    """Return how large a closed journal of so many messages (two values each) is."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        for start in range(0, count, 500):
            batch = Batch()
            for number in range(start, start + 500):
                received_at = AT + timedelta(seconds=number)
                context = formats.Context("oximeter-1", received_at, "", False, None, {})
                decoded = formats.decode("native", payload(number), context)
                batch.readings += [("bed-1", one) for one in decoded.reports]
            journal.commit([batch])
        journal.close()
        return sum(file.stat().st_size for file in Path(folder).iterdir() if not file.name.endswith("-wal"))


def stored_bytes(few: int = 20_000, many: int = 60_000) -> float:
    """Return the bytes that one message more takes in the journal."""
    return (journal_bytes(many) - journal_bytes(few)) / (many - few)


def main() -> None:
    """Measure, and print the tables of docs/scale.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of load at each size (%(default)s)")
    chosen = parser.parse_args()
    executable = program("mosquitto", "mosquitto")
    wire = len(packet("afterwatch/v1/clinic/devices/oximeter-1/report", payload(1000), 1)) + 4 + 29 + 40
    with tempfile.TemporaryDirectory() as folder:
        broker = Mosquitto(executable, Path(folder) / "load")
        print("clinics  messages/s  offered/s  through/s  broker us/message  broker MB")
        for clinics in CLINICS:
            one = load(broker, clinics, chosen.seconds)
            note = "" if one.offered > 0.95 * clinics * RATE else "  (not offered: this machine's limit)"
            print(
                f"{clinics:7,}  {clinics * RATE:10,.0f}  {one.offered:9,.0f}  {one.delivered:9,.0f}  "
                f"{one.cpu:17.1f}  {one.memory_mb:9.0f}{note}"
            )
        broker.stop()
        broker = Mosquitto(executable, Path(folder) / "queue")
        queued = queued_bytes(broker)
        broker.stop()
    stored = stored_bytes()
    print(f"\nmessages of a clinic: {RATE:.2f}/s in session, {PER_DAY:,.0f} a day ({BEDS} beds, {HOURS} h)")
    print(f"on the line: {wire} bytes a message with TLS and TCP; {PER_DAY * wire / 1e6:,.0f} MB a day")
    print(f"in the journal: {stored:.0f} bytes a message; {PER_DAY * stored / 1e6:,.1f} MB a day")
    hours = 2**30 / queued / RATE / 3600
    print(f"waiting in the broker: {queued:.0f} bytes a message; 1 GiB is {hours:,.0f} h of a clinic")


if __name__ == "__main__":
    main()
