"""What is done beside the work: journal and messages tested daily, the old removed, room and load watched.

Law: upkeep never touches what runs. The check is a process of its own that gives way to everything: a year of
readings is minutes of work, and in our own process it would take Python's lock from the loop. What is found
wrong is a technical alarm of the station (S-13, AL-50).
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from monitor.config import Configuration
from monitor.core.figures import ALARM_LOAD, SLOWDOWN_SPAN
from monitor.core.protocol import Priority
from monitor.notify import Trial
from monitor.series.retention import retain

log = logging.getLogger("afterwatch")

LOOK_EVERY_S = 60.0
FIRST_AFTER = timedelta(seconds=60)  # a start is busy enough
NIGHT = time(3)
# A disk is seldom looked at. At a tenth, weeks are left (docs/scale.md); at a thirtieth, somebody must act.
ROOM: tuple[tuple[float, Priority], ...] = ((1 / 30, "medium"), (1 / 10, "low"))
GENTLY = ("nice", "-n", "19")
NOT_SOUND = 1  # exit code of `afterwatch verify`

Report = Callable[[str, Priority | None, str], None]


class Upkeep:
    """A thread that sleeps nearly always."""

    def __init__(
        self,
        configuration: Configuration,
        now: Callable[[], datetime],
        report: Report,
        overloaded: Callable[[datetime], Mapping[str, int]] = lambda _: {},
        try_targets: Callable[[], Iterable[Trial]] = lambda: (),
    ) -> None:
        """Prepare; ``report`` is the monitor's ``report_condition``.

        ``overloaded``: who had too many alarms by then, with how many (`monitor.core.figures.overloaded`).
        ``try_targets`` sends a test message to every target.
        """
        self._configuration, self._now, self.report_condition = configuration, now, report
        self._zone, self._try_targets = ZoneInfo(configuration.clinic.site.zone), try_targets
        self._overloaded, self._told_of = overloaded, frozenset[str]()
        self._check_due_at = now() + FIRST_AFTER
        self._test_at = configuration.clinic.notify.test_at
        self._test_due_at = next_time(now(), self._zone, self._test_at) if self._test_at else None
        self._ending = threading.Event()
        self._checking: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin to sleep."""
        self._thread.start()

    def stop(self) -> None:
        """End; a check on its way is given up."""
        self._ending.set()
        checking = self._checking
        if checking is not None:
            checking.kill()

    def _run(self) -> None:
        while not self._ending.wait(LOOK_EVERY_S):
            try:
                self.look()
            except Exception as fault:  # whatever it met, it looks again, and says so
                log.exception("upkeep")
                self.report_condition("journal-check", "medium", _cannot(str(fault)))

    def look(self) -> None:
        """Do what is due now."""
        self.look_for_room()
        self.look_at_load()
        now = self._now()
        if self._test_at and self._test_due_at and now >= self._test_due_at:
            self._test_due_at = next_time(now, self._zone, self._test_at)
            self.test_messages()
        if now >= self._check_due_at:
            self._check_due_at = next_time(now, self._zone, NIGHT)
            self.check()

    def look_for_room(self) -> None:
        """Say it while there is still time, when the journal's disk fills."""
        disk = shutil.disk_usage(self._configuration.store)
        for share, priority in ROOM:
            if disk.free < share * disk.total:
                text = f"less than {share:.0%} of the journal's disk is free"
                self.report_condition("disk-room", priority, text)
                return
        self.report_condition("disk-room", None, "")

    def look_at_load(self) -> None:
        """Tell whoever leads when somebody had so many useless alarms that answers slow down (AF-15)."""
        found, minutes = self._overloaded(self._now()), SLOWDOWN_SPAN.total_seconds() / 60
        for name in self._told_of - found.keys():
            self.report_condition(f"{ALARM_LOAD}{name}", None, "")
        for name, count in found.items():
            text = f"{name} had {count} alarms in {minutes:.0f} min that needed no action"
            self.report_condition(f"{ALARM_LOAD}{name}", "low", text)
        self._told_of = frozenset(found)

    def test_messages(self) -> list[Trial]:
        """Send a test message to every target; one that does not take it is a high alarm (AL-34)."""
        trials = list(self._try_targets())
        missed = [f"{one.target} ({one.text})" for one in trials if not one.delivered]
        text = f"the test message did not reach {', '.join(missed)}"[:200]
        self.report_condition("message-test", "high" if missed else None, text)
        return trials

    def check(self) -> None:
        """Verify the journal, and remove what the clinic's policy says.

        Raises:
            FileNotFoundError, sqlite3.Error: nothing could be removed now.
        """
        code, said, faults = self._verify()
        if self._ending.is_set():
            return
        if code:  # nothing is removed from a file that is not sound, or was not looked through
            first = (faults.splitlines() or ["no word of why"])[0]
            sound = code == NOT_SOUND
            text = f"the journal is not sound: {first}"[:200] if sound else _cannot(first)
            self.report_condition("journal-check", "high" if sound else "medium", text)
            return
        self.report_condition("journal-check", None, "")
        log.info("nightly check: %s", said.strip())
        store = self._configuration.clinic.store
        if store.keep_readings_days or store.keep_records_days:
            retain(
                self._configuration.store,
                self._now(),
                readings_days=store.keep_readings_days,
                records_days=store.keep_records_days,
                mirrored=bool(self._configuration.clinic.series.url),
            )

    def _verify(self) -> tuple[int, str, str]:
        """Run `afterwatch verify`; return its exit code, what it said, and what it found."""
        folder, pipe = str(self._configuration.folder), subprocess.PIPE
        words = [*GENTLY, sys.executable, "-m", "monitor", "verify", "--config", folder]
        with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True) as checking:  # noqa: S603  our own
            self._checking = checking
            said, faults = checking.communicate()
        self._checking = None
        return checking.returncode, said, faults


def next_time(now: datetime, zone: ZoneInfo, clock: time) -> datetime:
    """Return when it is next that time of day in a zone."""
    local = now.astimezone(zone)
    today = datetime.combine(local.date(), clock, zone)
    return today if today > local else datetime.combine(local.date() + timedelta(days=1), clock, zone)


def _cannot(why: str) -> str:
    return f"the nightly check could not be done: {why}"[:200]
