"""What is done once a night: the journal checked from end to end, and what is too old removed with proof.

Law: upkeep never touches what runs; what it finds wrong is a technical alarm of the station (S-13, AL-50).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

from monitor.config import Configuration
from monitor.core.protocol import Priority
from monitor.journal import JournalError
from monitor.safekeeping import verify
from monitor.series.retention import retain

log = logging.getLogger("afterwatch")

EVERY_S = 24 * 3600.0
FIRST_AFTER_S = 60.0  # a start is busy enough

Report = Callable[[str, Priority | None, str], None]


class Upkeep:
    """A thread that sleeps nearly always."""

    def __init__(self, configuration: Configuration, now: Callable[[], datetime], report: Report) -> None:
        """Prepare; ``report`` is the monitor's ``report_condition``."""
        self._configuration, self._now, self.report_condition = configuration, now, report
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin to sleep."""
        self._thread.start()

    def stop(self) -> None:
        """End; a check on its way is not waited for."""
        self._ending.set()

    def _run(self) -> None:
        wait_s = FIRST_AFTER_S
        while not self._ending.wait(wait_s):
            wait_s = EVERY_S
            begun = time.monotonic()
            try:
                self.once()
            except (JournalError, OSError, ValueError) as fault:
                text = f"the nightly check could not be done: {fault}"[:200]
                self.report_condition("journal-check", "medium", text)
            log.info("upkeep took %.1f s", time.monotonic() - begun)

    def once(self) -> None:
        """Check, and remove what the clinic's policy says.

        Raises:
            JournalError: the journal cannot be read at all.
        """
        configuration = self._configuration
        found = verify(configuration.store)
        if found.faults:
            text = f"the journal is not sound: {found.faults[0]}"[:200]
            self.report_condition("journal-check", "high", text)
            return  # nothing is removed from a file that is not sound
        self.report_condition("journal-check", None, "")
        log.info("the journal is sound; anchor %s", found.anchor)
        store = configuration.clinic.store
        if store.keep_readings_days or store.keep_records_days:
            retain(
                configuration.store,
                self._now(),
                readings_days=store.keep_readings_days,
                records_days=store.keep_records_days,
                mirrored=bool(configuration.clinic.series.url),
            )
