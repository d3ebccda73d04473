"""One site, whole: journal, loop, link, messages, pages. What ``afterwatch run`` and the demo start.

Law: what is started here is stopped here, in an order in which nothing that happened is lost (AL-52).
"""

from __future__ import annotations

import gc
import logging
import secrets
import shutil
import signal
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from monitor import notify, records, web
from monitor.app.drill_runs import DrillRuns
from monitor.app.loop import STATION, Monitor
from monitor.app.messenger import Messenger
from monitor.app.upkeep import Upkeep
from monitor.app.watchdog import Watchdog
from monitor.clock import SystemClock
from monitor.config import Configuration
from monitor.core import figures
from monitor.core import inputs as given
from monitor.journal import Due
from monitor.records.outbox import Outbox
from monitor.schema import FILE
from monitor.series.embedded import Embedded
from monitor.web.users import signing_key

if TYPE_CHECKING:
    from monitor.series.mirror import Mirror

log = logging.getLogger("afterwatch")
ANSWER_KEY = "answer.key"
FLUSH_S = 4.0
ANSWER_S = 5.0
RARELY = (20_000, 20, 50)  # a message makes some 40 objects, none of them in circles
MOST_TOLD = 100_000  # words about alarms in two hours: fourteen a second


class Site:
    """Everything of one site, from start to stop."""

    def __init__(self, configuration: Configuration, version: str = "") -> None:
        """Open the journal and bring every bed back; nothing is heard or served yet.

        Raises:
            JournalError: the journal cannot be used.
        """
        self.configuration = configuration
        self.clock = SystemClock()
        self.monitor = Monitor(configuration, self.clock, secrets.token_hex(4), version)
        self.archive = self._open_archive()
        self.mirror = self._open_mirror()
        self.outbox = self._open_outbox()
        self.users = web.Users(configuration.store / "users.json")
        self._answers = self._make_answers()
        self.drills = DrillRuns(configuration, self.monitor, log.warning)
        self.messenger = Messenger(
            configuration,
            self.clock,
            self.monitor.settle,
            self._answers.link if configuration.clinic.web.public_url else None,
        )
        self.messenger.remember(self.monitor.station_bed())
        self.monitor.messenger = self.messenger
        self.upkeep = Upkeep(
            configuration,
            self.clock.now,
            self.monitor.report_condition,
            self._overloaded,
            self.messenger.try_all,
        )
        self.application = web.build(
            self.monitor, self.archive, configuration, self.users, exports=self._exports(), **self._doings()
        )
        self.monitor.on_change = self.application.hub.changed
        settings = configuration.clinic.web
        self.server = web.Server(self.application, settings.host, settings.port)
        outside = configuration.clinic.watchdog
        self.watchdog = Watchdog(
            self.monitor,
            self.messenger.plan,
            self.messenger.submit,
            outside.ping_url(),
            outside.ping_every_s,
        )
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin to listen and to serve. Raises OSError when the web port cannot be had."""
        self.monitor.start()
        self._set_ladders()
        self.messenger.submit(self.monitor.left_due)
        self.server.start()
        self.watchdog.start()
        self.upkeep.start()
        for follower in (self.mirror, self.outbox):
            if follower is not None:
                follower.start()
        if gc.isenabled():  # whoever switched it off before anything was made has made no garbage to speak of
            gc.collect()
        gc.freeze()  # what a start brought lives as long as we do: no search for garbage goes over it again
        gc.set_threshold(*RARELY)

    def stop(self) -> bool:
        """Tell those who rely on us, then end; return whether everything became durable."""
        self.drills.stop_all()
        running = [bed.bed_id for bed in self.monitor.beds().values() if bed.session is not None]
        if running:
            self._say_that_it_ends(f"the monitor is being stopped while {', '.join(running)} in session")
        self.watchdog.stop()
        self.upkeep.stop()
        for follower in (self.mirror, self.outbox):
            if follower is not None:
                follower.stop()
        self.server.stop()
        return self.monitor.stop()

    def _say_that_it_ends(self, text: str) -> None:
        """Send what staff must know; a loop or a disk that does not answer keeps nothing from ending."""
        try:
            self.monitor.submit(STATION, given.ReportCondition("stopping", "high", text)).result(ANSWER_S)
            self.messenger.flush(FLUSH_S)
            self.monitor.submit(STATION, given.ClearCondition("stopping")).result(ANSWER_S)
        except TimeoutError:
            log.error("%s: not durable within %.0f s, it ends all the same", text, ANSWER_S)

    def run_until_told(self) -> None:
        """Sleep until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ended.set())
        self._ended.wait()

    # --- followers of the journal ------------------------------------------------------------------------

    def _open_archive(self) -> Embedded:
        series = self.configuration.clinic.series
        if series.url and series.read:
            from monitor.series.remembered import Remembered

            return Remembered(self.configuration.store, series, self.configuration.clinic.site.id)
        return Embedded(self.configuration.store)

    def _open_mirror(self) -> Mirror | None:
        clinic = self.configuration.clinic
        if not clinic.series.url:
            return None
        from monitor.series.mirror import Mirror  # its library takes a fifth of the start

        def on_lag(lag_s: float, why: str) -> None:
            text = f"the mirror is {lag_s:.0f} s behind: {why}"
            self.monitor.report_condition("mirror", "low" if why else None, text)

        return Mirror(self.configuration.store, clinic.series, clinic.site.id, on_lag)

    def _open_outbox(self) -> Outbox | None:
        clinic = self.configuration.clinic
        if not clinic.fhir.url:
            return None

        def on_trouble(why: str) -> None:
            self.monitor.report_condition("fhir", "low" if why else None, why)

        return Outbox(
            self.configuration.store, self.archive, clinic.fhir, clinic.site, on_trouble, self.clock.now
        )

    # --- what the pages may ask for ---------------------------------------------------------------------

    def _make_answers(self) -> notify.Answers:
        people = [one.id for one in self.configuration.clinic.notify.people]
        targets = [one.id for one in self.configuration.clinic.notify.targets]
        key = signing_key(self.configuration.store / ANSWER_KEY)
        return notify.Answers(key, self.configuration.clinic.web.public_url, [*people, *targets])

    def _exports(self) -> Mapping[str, Any]:
        site = self.configuration.clinic.site

        def maker(row: Any) -> Any:
            return lambda session_id: row.render(self.archive.record(session_id), site)

        return {
            name: web.Export(
                row.media_type,
                row.suffix,
                row.title,
                maker(row),
                routes=("in",) if name.startswith("rems") else (),  # the REMS is esketamine's (CLINICAL §2)
            )
            for name, row in records.EXPORTS.items()
        }

    def _doings(self) -> Mapping[str, Any]:
        return {
            "test_routes": self._test_routes,
            "read_answer": self._read_answer,
            "duty_changed": self._set_ladders,
            "drill_runs": self.drills,
            "figures": self._figures,
            "sign_in_refused": self.monitor.station.refusals.count,
        }

    def _figures(self) -> Mapping[str, float]:
        """Return what Prometheus is told of disk, messages and mirror (docs/operating.md §7)."""
        store = self.configuration.store
        disk = shutil.disk_usage(store)
        found = {
            "disk_free_bytes": disk.free,
            "disk_free_ratio": disk.free / disk.total,
            "journal_bytes": sum(file.stat().st_size for file in store.glob(f"{FILE}*")),
            "messages_delivered": self.messenger.delivered,
            "messages_unsettled": self.messenger.waiting(),
            "targets_not_delivering": len(self.messenger.dead_channels()),
        }
        if self.mirror is not None:
            found |= {
                "mirror_lag_seconds": self.mirror.lag(),
                "mirror_points_written": self.mirror.written,
                "mirror_points_refused": self.mirror.refused,
            }
        return found

    def _read_answer(self, token: str) -> tuple[str, str, str]:
        found = self._answers.read(token)
        return found.bed_id, found.alarm_id, found.holder

    def _on_duty(self) -> list[str]:
        return [one.name for one in self.users.list() if one.on_duty]

    def _overloaded(self, now: datetime) -> Mapping[str, int]:
        since = now - figures.SLOWDOWN_SPAN
        log = self.archive.log(names=figures.TOLD, from_at=since, limit=MOST_TOLD)
        return figures.overloaded((entry.outcome for entry in log), self._on_duty(), now)

    def _set_ladders(self) -> None:
        """Offer every bed's alarms to the people who are on duty now."""
        ladder = self.configuration.clinic.notify.ladder(on_duty=self._on_duty())
        for bed_id, bed in self.monitor.beds().items():
            if bed.ladder != ladder:
                self.monitor.submit(bed_id, given.SetLadder(ladder))

    def _test_routes(self) -> Sequence[Mapping[str, Any]]:
        return [one._asdict() for one in self.upkeep.test_messages()]


def new_session_id(now: datetime) -> str:
    """Return a session id that sorts by time."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


__all__ = ["Due", "Site", "new_session_id"]
