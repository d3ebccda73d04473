"""Who watches the loop: a thread of its own that needs nothing from it (R-21, AL-49).

Law: it asks the loop for nothing and waits for nothing. When the loop stands still it tells people itself,
past the journal; while all is well it tells somebody outside, who notices when that stops.
"""

from __future__ import annotations

import logging
import threading
import urllib.request
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from monitor.core.bed import Bed, advance
from monitor.core.inputs import ReportCondition
from monitor.core.outcomes import Outcome
from monitor.journal import Due

log = logging.getLogger("afterwatch")

LOOK_S = 0.5
STALLED_S = 2.0
PING_TIMEOUT_S = 5.0


class Watched(Protocol):
    """What the watchdog looks at."""

    def stalled_s(self) -> float:
        """Return for how long the loop has not come round."""
        ...

    def station_bed(self) -> Bed:
        """Return the station's bed as it is."""
        ...

    def now(self) -> datetime:
        """Return the present instant."""
        ...

    def report_condition(self, key: str, priority: None, text: str) -> None:
        """Put a condition in line for when the loop comes round again."""
        ...


class Watchdog:
    """Looks twice a second; pings an address outside while all is well."""

    def __init__(
        self,
        watched: Watched,
        plan: Callable[[tuple[Outcome, ...], Bed, datetime], list[Due]],
        submit: Callable[[list[Due]], None],
        ping_url: str = "",
        ping_every_s: float = 30.0,
    ) -> None:
        """Prepare; ``plan`` and ``submit`` are the messenger's."""
        self._watched, self._plan, self._submit = watched, plan, submit
        self._url, self._every_s = ping_url, ping_every_s
        self._ending = threading.Event()
        self._told = False
        self._threads = [threading.Thread(target=self._look, name="watchdog", daemon=True)]
        if ping_url:
            self._threads.append(threading.Thread(target=self._ping, name="dead-man ping", daemon=True))

    def start(self) -> None:
        """Begin to look."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ending.set()
        for thread in self._threads:
            if thread.is_alive():  # a site whose start failed is stopped too
                thread.join(PING_TIMEOUT_S + 1)

    def _look(self) -> None:
        while not self._ending.wait(LOOK_S):
            stalled_s = self._watched.stalled_s()
            if stalled_s > STALLED_S and not self._told:
                self._told = True
                self._tell(stalled_s)
            elif stalled_s < LOOK_S * 2:
                self._told = False

    def _tell(self, stalled_s: float) -> None:
        """Tell people what the loop cannot: the core says what the alarm would be, the workers send it."""
        log.error("the loop has stood still for %.1f s", stalled_s)
        text = f"the monitor has stood still for {stalled_s:.0f} s: look at the bedside monitors"
        now = self._watched.now()
        bed, outcomes = advance(self._watched.station_bed(), ReportCondition("stalled", "high", text), now)
        self._submit(self._plan(outcomes, bed, now))

    def _ping(self) -> None:
        while not self._ending.wait(self._every_s):
            if self._watched.stalled_s() > STALLED_S:
                continue
            try:
                with urllib.request.urlopen(self._url, timeout=PING_TIMEOUT_S):  # noqa: S310  checked at load
                    pass
            except OSError as fault:
                log.warning("the dead-man address outside does not answer: %s", type(fault).__name__)
