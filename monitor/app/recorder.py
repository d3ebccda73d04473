"""The writer thread: batches in, durable facts out.

Law: batches become durable in their order, as many in one commit as wait. What is durable is announced only
then. While the disk refuses, nothing is announced as durable, the loop goes on, and the writer tries again
every second without a restart (R-04); what must reach people is handed on once as it is.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from monitor.journal import Batch, Counts, Journal

RETRY_S = 1.0
# From one commit's begin to the next one's. A commit costs as much CPU as ten readings, whatever is in it: at
# 1,000 messages a second commits of one or two took half of a core from the loop (bench.latency).
APART_S = 0.005
MOST_BATCHES = 200  # in one transaction, so that one slow disk write stays short


class Job(NamedTuple):
    """A batch, and what to call when it is durable (True) or when it cannot be for now (False, once)."""

    batch: Batch
    settle: Callable[[bool], None]


class Recorder:
    """Owns the journal's writing from ``start`` to ``stop``."""

    def __init__(self, journal: Journal, trouble: Callable[[str], None]) -> None:
        """Prepare; ``trouble`` hears why the disk refuses, and an empty string when it works again."""
        self._journal, self._trouble = journal, trouble
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self.failing = ""
        self.stored = self.repeated = self.commits = 0
        self.slowest_s = 0.0

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, job: Job) -> None:
        """Take a batch; never waits."""
        self._jobs.put(job)

    def waiting(self) -> int:
        """Return about how many batches are not durable yet."""
        return self._jobs.qsize()

    def stop(self, within_s: float = 10.0) -> bool:
        """Write what waits, then end; return whether all of it became durable in time."""
        self._jobs.put(None)
        self._thread.join(within_s)
        return not self._thread.is_alive() and not self.failing

    def _run(self) -> None:
        ending = False
        while not ending:
            jobs: list[Job] = []
            one = self._jobs.get()
            while one is not None:
                jobs.append(one)
                if len(jobs) >= MOST_BATCHES or self._jobs.empty():
                    break
                one = self._jobs.get()
            ending = one is None
            if jobs:
                begun = time.monotonic()
                self._write(jobs, ending=ending)
                time.sleep(0 if ending else max(0.0, begun + APART_S - time.monotonic()))

    def _write(self, jobs: list[Job], *, ending: bool) -> None:
        told = False
        while True:
            started = time.monotonic()
            try:
                counts = self._journal.commit(job.batch for job in jobs)
            except Exception as fault:  # noqa: BLE001  whatever goes wrong here, the writer must go on
                self._refused(str(fault) or type(fault).__name__)
            else:
                self._written(counts, time.monotonic() - started)
                for job in jobs:
                    job.settle(True)
                return
            if not told:
                told = True
                for job in jobs:
                    job.settle(False)
            if ending:
                return
            time.sleep(RETRY_S)
            self._hand_on_waiting(jobs)

    def _hand_on_waiting(self, jobs: list[Job]) -> None:
        """While the disk refuses: what came meanwhile must not wait for it either."""
        while not self._jobs.empty():
            one = self._jobs.get()
            if one is None:
                self._jobs.put(None)
                return
            one.settle(False)
            jobs.append(one)

    def _refused(self, reason: str) -> None:
        if self.failing != reason:
            self.failing = reason
            self._trouble(reason)

    def _written(self, counts: Counts, took_s: float) -> None:
        self.stored += counts.stored
        self.repeated += counts.repeated
        self.commits += 1
        self.slowest_s = max(self.slowest_s, took_s)
        if self.failing:
            self.failing = ""
            self._trouble("")
