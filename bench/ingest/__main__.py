"""Durable readings a second, beside other subscribers of the same broker: `python -m bench.ingest`.

The law: one Mosquitto, one sender as fast as the broker reads, and one subscriber at a time, in turn, on the
same machine; medians of the rounds. The monitor is the whole one (decoded, judged, journalled with fsync,
confirmed, web served), with a session on every bed, and counts a reading when another process can read it
from the journal. The C program `mosquitto_sub -q 1` does nothing with a message but confirm it: it is what
the broker can give. CPU is of the subscriber alone, user and system, and is less noisy than the rate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import promise
from bench.delivery import mqttwarn
from bench.ingest import strangers
from bench.ingest.load import ELSEWHERE, ROOT
from bench.ingest.site import Site, broker
from monitor.mqtt import PLAIN
from tests.conftest import LOOPBACK, Mosquitto, program

BEDS = (50, 500, 5000)
COUNT, PLAIN_COUNT = 20_000, 1_000
OURS, C = "afterwatch", "mosquitto_sub -q 1 (C)"
STRANGERS_COUNT = 5_000
Begin = Callable[[Path, Path, int, int], AbstractContextManager[strangers.Work]]
STRANGERS: tuple[tuple[str, Callable[[], Path | None], Begin], ...] = (
    ("Node-RED, a function node", strangers.install_node_red, strangers.node_red),
    ("mqttwarn, to a file", mqttwarn.install, strangers.mqttwarn_to_file),
)
ALLOWED_US, ALLOWED_SHARE, ALLOWED_GROWTH = 25.0, 0.95, 1.2
ALLOWED_MB, ALLOWED_READY_S = 150.0, 1.5


class Run(NamedTuple):
    """What one subscriber did in one round."""

    rate: float
    cpu_us: float


def load(port: int, beds: int, count: int, first: int, root: str = ELSEWHERE) -> float:
    """Send reports; return when that began (monotonic seconds)."""
    command = [sys.executable, "-m", "bench.ingest.load", *map(str, (port, beds, count, first)), root]
    return float(json.loads(subprocess.check_output(command))["begun"])


def run_c(port: int, beds: int, count: int, first: int) -> Run:
    """Measure `mosquitto_sub -q 1`."""
    command = [program("mosquitto_sub", "mosquitto-clients"), "-h", LOOPBACK, "-p", str(port), "-q", "1"]
    command += ["-t", f"{ELSEWHERE}/devices/+/report", "-C", str(count)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        time.sleep(0.3)  # it does not say when it has subscribed
        begun = load(port, beds, count, first)
        _, state, used = os.wait4(process.pid, 0)
        ended = time.monotonic()
        process.returncode = os.waitstatus_to_exitcode(state)
    return Run(count / (ended - begun), (used.ru_utime + used.ru_stime) / count * 1e6)


def run_peer(kind: str, port: int, beds: int, count: int, first: int) -> Run:
    """Measure a subscriber of `bench.ingest.peers`."""
    command = [sys.executable, "-m", "bench.ingest.peers", kind, str(port), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        begun = load(port, beds, count, first)
        said = json.loads(process.stdout.readline())
    return Run(count / (said["ended"] - begun), said["cpu_s"] / count * 1e6)


def run_stranger(program: Path, begin: Begin, folder: Path, port: int, beds: int, first: int) -> Run:
    """Measure a program that others made."""
    count = STRANGERS_COUNT
    with begin(program, folder / f"stranger-{first}", port, count) as work:
        begun = load(port, beds, count, first)
        ended, used = work()
    return Run(count / (ended - begun), used / count * 1e6)


class Ours:
    """The monitor, started for a round and stopped after it, so that nobody else is subscribed meanwhile."""

    def __init__(self, folder: Path, server: Mosquitto, beds: int) -> None:
        self._server, self._beds = server, beds
        self._site = Site(folder, server.port, beds)
        self.ready_s: list[float] = []
        self.memory_mb: list[float] = []

    def run(self, count: int, *, plain: bool = False) -> Run:
        """Measure one round, after one reading of every bed; no device's counter ever jumps."""
        site, port = self._site, self._server.port
        first = had = site.stored()
        site.start({PLAIN: str(int(plain))})
        try:
            self.ready_s.append(site.ready_s)
            load(port, self._beds, self._beds, first, ROOT)
            site.await_stored(had + self._beds)
            site.settle()
            used = site.cpu_s()
            begun = load(port, self._beds, count, first + self._beds, ROOT)
            ended = site.await_stored(had + self._beds + count)
            used = site.cpu_s() - used
            self.memory_mb.append(site.memory_mb())
        finally:
            site.stop()
        return Run(count / (ended - begun), used / count * 1e6)


def measure(beds: int, rounds: int, count: int) -> tuple[dict[str, list[Run]], Ours]:
    """Let every subscriber have its turn, `rounds` times."""
    found: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory(prefix="afterwatch-bench-") as name, broker(Path(name)) as server:
        ours = Ours(Path(name) / "site", server, beds)
        turns: dict[str, Callable[[int], Run]] = {
            OURS: lambda _: ours.run(count),
            C: lambda first: run_c(server.port, beds, count, first),
            "afterwatch, plain paho": lambda _: ours.run(count // 4, plain=True),
            "paho, nothing to do": lambda first: run_peer("noop", server.port, beds, count, first),
            "paho, a commit each": lambda first: run_peer("plain", server.port, beds, PLAIN_COUNT, first),
        }
        for who, install, begin in STRANGERS:
            program = install()
            if program is None:
                print(f"{who} is not here and cannot be had: it is left out", flush=True)
                continue
            turns[who] = lambda first, program=program, begin=begin: run_stranger(  # type: ignore[misc]
                program, begin, Path(name), server.port, beds, first
            )
        first = 0  # of a sequence that only grows
        for _ in range(rounds):
            for who, run in turns.items():
                found.setdefault(who, []).append(run(first))
                first += count + beds
    return found, ours


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__.splitlines()[0])
    parser.add_argument("--beds", type=int, nargs="+", default=list(BEDS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=COUNT, help=f"messages of a round ({COUNT})")
    given = parser.parse_args()
    print(f"readings/s, durable; CPU of the subscriber; medians of {given.rounds} rounds of {given.count}")
    print(f"{'beds':>5}  {'subscriber':<26}{'readings/s':>11}{'CPU us each':>13}{'x mosquitto_sub':>17}")
    costs, well = [], True
    for beds in given.beds:
        found, ours = measure(beds, given.rounds, given.count)
        peer = found[C]
        for who, runs in found.items():
            share = median(one.rate / other.rate for one, other in zip(runs, peer, strict=True))
            cpu = median(one.cpu_us for one in runs)
            print(
                f"{beds:>5}  {who:<26}{median(one.rate for one in runs):>11.0f}{cpu:>13.1f}{share:>17.3f}",
                flush=True,
            )
            if who == OURS:
                costs.append(cpu)
                well &= promise(f"ingest: CPU of a message, {beds} beds", cpu, ALLOWED_US, "us")
                name = f"ingest: rate beside mosquitto_sub -q 1, {beds} beds"
                well &= promise(name, share, ALLOWED_SHARE, "x", at_least=True)
        ready, memory = median(ours.ready_s), median(ours.memory_mb)
        print(
            f"{beds:>5}  ready after {ready:.2f} s (start of Python included), {memory:.0f} MB resident",
            flush=True,
        )
        well &= promise(f"memory, {beds} beds", memory, ALLOWED_MB, "MB")
        well &= promise(f"start to ready, {beds} beds", ready, ALLOWED_READY_S, "s")
    growth = costs[-1] / costs[0]
    name = f"ingest: cost of a message with {given.beds[-1]} beds beside {given.beds[0]}"
    return 0 if promise(name, growth, ALLOWED_GROWTH, "x") and well else 1


if __name__ == "__main__":
    sys.exit(main())
