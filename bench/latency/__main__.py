"""Publish to alarm message, at another subscriber: `python -m bench.latency`.

The law: the whole monitor as it ships and a Mosquitto as we ship it, 1,000 msg/s over 500 beds in session. A
report now and then says that the battery is low, which is an alarm at once; the time is from before that
report is written to the socket until the alarm's `start` has been read from another one. Beside it, in the
same seconds, an echo: a message to a paho program that only publishes it again. Then all of it on a disk
whose every fsync takes 10 ms longer, and on one that stalls for 500 ms at every fifth.
"""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

from bench import promise
from bench.ingest import load
from bench.ingest.site import Site, broker
from bench.shim import slow_disk
from monitor.wire import cut

PING, PONG = "bench/ping", "bench/pong"
ALARM_EVERY = 47  # reports; no divisor of the beds, so that every bed has its turn
WARM_S = 3.0


class Times(NamedTuple):
    """Milliseconds from publish to arrival, of alarms and of echoes; alarms that never came."""

    alarms: list[float]
    echoes: list[float]
    missing: int
    cpu_us: float


def drive(port: int, beds: int, rate: int, seconds: float) -> Times:
    """Send reports at `rate`, and gather when alarms and echoes come back."""
    sender = load.connect(port, "bench-devices")
    heard = load.connect(port, "bench-pager", f"{load.ROOT}/beds/+/alarm", PONG)
    alarm_sent: dict[str, float] = {}
    echo_sent: dict[bytes, float] = {}
    alarms, echoes, rest, low = [], [], b"", set[int]()
    begun, number, last = time.monotonic(), 0, int(rate * seconds)
    while number < last or time.monotonic() < begun + seconds + 2:
        wait = begun + number / rate - time.monotonic() if number < last else 0.1
        readable, _, _ = select.select([heard, sender], [], [], max(wait, 0))
        if sender in readable:
            sender.recv(65_536)
        if heard in readable:
            rest += heard.recv(262_144)
            now = time.monotonic()
            messages, end, foreign = cut(rest, v5=False, now=datetime.now(UTC))
            rest = rest[end + foreign :]
            heard.sendall(b"".join(b"\x40\x02" + one.mid.to_bytes(2, "big") for one in messages if one.mid))
            for one in messages:
                if one.topic == PONG:
                    echoes.append(now - echo_sent.pop(one.payload))
                    continue
                said = json.loads(one.payload)
                if said["phase"] == "start" and said["rule"] in alarm_sent:
                    alarms.append(now - alarm_sent.pop(said["rule"]))
        if wait > 0 or number >= last:
            continue
        bed, warm = number % beds, number > rate * WARM_S
        ends, more = bed in low, b""
        if ends or (warm and number % ALARM_EVERY == 0):
            more = b',"faults":[]' if ends else b',"faults":["battery_low"]'
            (low.discard if ends else low.add)(bed)
        body = load.payload(load.instant(), 10**9 + number // beds, more)
        if more and not ends:
            alarm_sent[f"fault:ox-{bed}:battery_low"] = time.monotonic()
        sender.sendall(load.publish(load.report_topic(bed), body, number % 60_000 + 1))
        if warm and number % ALARM_EVERY == ALARM_EVERY // 2:
            echo_sent[b"%d" % number] = time.monotonic()
            sender.sendall(load.publish(PING, b"%d" % number, 60_001 + number % 5000))
        number += 1
    return Times(alarms, echoes, len(alarm_sent), 0.0)


def measure(beds: int, rate: int, seconds: float, disk: Mapping[str, int] | None = None) -> Times:
    """Run a monitor of its own and drive it."""
    with tempfile.TemporaryDirectory(prefix="afterwatch-bench-") as name, broker(Path(name)) as server:
        site = Site(Path(name) / "site", server.port, beds)
        echo = subprocess.Popen([sys.executable, "-m", "bench.latency.echo", str(server.port), PING, PONG])
        try:
            site.start(slow_disk(Path(name), **disk) if disk else None)
            before = site.cpu_s()
            found = drive(server.port, beds, rate, seconds)
            return found._replace(cpu_us=(site.cpu_s() - before) / (rate * seconds) * 1e6)
        finally:
            echo.kill()
            echo.wait()
            site.stop()


def percentiles(seconds: list[float]) -> tuple[float, float, float]:
    """Return p50, p99 and p99.9, in milliseconds."""
    found = quantiles(seconds, n=1000, method="inclusive")
    return found[499] * 1e3, found[989] * 1e3, found[998] * 1e3


DISKS: dict[str, Mapping[str, int] | None] = {
    "disk as it is": None,
    "every fsync + 10 ms": {"every_ms": 10},
    "every 5th fsync stalls 500 ms": {"stall_ms": 500, "stall_every": 5},
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="of each row (20)")
    parser.add_argument("--beds", type=int, default=500)
    parser.add_argument("--rate", type=int, default=1000, help="messages a second (1000)")
    given = parser.parse_args()
    print(
        f"publish -> alarm message, ms, {given.rate} msg/s over {given.beds} beds; aims: p99 3, slow disk 10"
    )
    print(
        f"{'':<31}{'n':>5}{'p50':>8}{'p99':>8}{'p99.9':>8}{'echo p50':>10}{'p99':>8}"
        f"{'x echo p99':>12}{'us/msg':>8}"
    )
    kept = True
    for name, disk in DISKS.items():
        times = measure(given.beds, given.rate, given.seconds, disk)
        (p50, p99, p999), (e50, e99, _) = percentiles(times.alarms), percentiles(times.echoes)
        shown = (
            f"{p50:>8.2f}{p99:>8.2f}{p999:>8.2f}{e50:>10.2f}{e99:>8.2f}{p99 / e99:>12.1f}{times.cpu_us:>8.0f}"
        )
        print(f"{name:<31}{len(times.alarms):>5}{shown}", flush=True)
        if times.missing:
            print(f"{times.missing} alarms never came")
        kept &= times.missing == 0
        kept &= promise(f"latency: p99, {name}", p99, 10 if disk else 3, "ms")
        if not disk:
            kept &= promise("latency: p99 beside a raw echo", p99 / e99, 5, "x")
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
