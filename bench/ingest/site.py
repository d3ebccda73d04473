"""A broker and a monitor as they ship, each a process of its own, with a running session on every bed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

from monitor import config
from monitor.app.loop import Monitor
from monitor.clock import SteppedClock
from monitor.core import inputs as given
from tests.conftest import LOOPBACK, Mosquitto, find_free_port, program

TICKS = os.sysconf("SC_CLK_TCK")
IDLE = 0.06  # of a core
QUIET = "log_type error"  # the broker's own log would be part of what is measured


@contextmanager
def broker(folder: Path) -> Iterator[Mosquitto]:
    """Run Mosquitto with the settings that we ship."""
    one = Mosquitto(program("mosquitto", "mosquitto"), folder / "broker", QUIET)
    try:
        yield one
    finally:
        one.stop()


class Site:
    """`afterwatch run` over `beds` beds, each with an oximeter and a session."""

    def __init__(self, folder: Path, broker_port: int, beds: int) -> None:
        self.folder, self.port, self.beds = folder, find_free_port(), beds
        self.ready_s = 0.0
        folder.mkdir(parents=True)
        shutil.copytree(config.default_folder() / "protocols", folder / "protocols")
        (folder / "clinic.toml").write_text(
            f'[broker]\nport = {broker_port}\n[store]\npath = "store"\n[web]\nport = {self.port}\n'
        )
        (folder / "beds.toml").write_text("".join(map(_bed, range(beds))))
        self._start_sessions()
        self._process: subprocess.Popen[bytes] | None = None

    def _start_sessions(self) -> None:
        read = config.load(self.folder)
        monitor = Monitor(read, SteppedClock(datetime.now(UTC)), "bench")
        monitor.recorder.start()
        for number in range(self.beds):
            start = given.StartSession(f"s-{number}", "P", read.protocols["iv-ketamine"], "bench")
            monitor.ward.do(f"bed-{number}", start)
        monitor._hand_over(everything=True)  # noqa: SLF001  the loop itself must not run here
        monitor.recorder.stop(60)
        monitor.journal.close()

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start, and return when it is connected to the broker."""
        begun = time.monotonic()
        command = [sys.executable, "-m", "monitor", "run", "--config", str(self.folder)]
        with (self.folder / "run.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **(environment or {})}
            )
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > begun + 60:
                raise RuntimeError((self.folder / "run.log").read_text()[-3000:])
            time.sleep(0.02)
        self.ready_s = time.monotonic() - begun

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://{LOOPBACK}:{self.port}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def cpu_s(self) -> float:
        """Return the CPU time it has used, in seconds."""
        return cpu_s(self.pid)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def settle(self, within_s: float = 60) -> None:
        """Return when it has nothing left to do: a start after a silence of every bed is full of alarms."""
        deadline, used = time.monotonic() + within_s, self.cpu_s()
        while time.monotonic() < deadline:
            time.sleep(1.0)
            before, used = used, self.cpu_s()
            if used - before <= IDLE:
                return

    def memory_mb(self) -> float:
        """Return its resident memory, in MB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1000
        return 0.0

    def stored(self) -> int:
        """Return how many readings are durable: the number of the last row that another process can see."""
        with closing(sqlite3.connect(f"file:{self.folder}/store/journal.db?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT coalesce(max(id), 0) FROM reading").fetchone()[0])

    def await_stored(self, count: int, within_s: float = 180) -> float:
        """Return when `count` readings were durable (monotonic seconds)."""
        deadline = time.monotonic() + within_s
        while self.stored() < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.stored()} of {count} readings are durable after {within_s} s")
            time.sleep(0.01)
        return time.monotonic()


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _bed(number: int) -> str:
    return (
        f'[[beds]]\nid = "bed-{number}"\nlabel = "Bed {number}"\n'
        f'[[devices]]\nid = "ox-{number}"\nbed = "bed-{number}"\nmetrics = ["spo2", "pulse_rate"]\n'
    )
