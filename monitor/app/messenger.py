"""Between the loop and those who tell people: outcomes become rows that are due, results become rows settled.

Law: a notification is in the journal before it is sent, and its result after; what a restart finds due is
sent, what is settled is not (P-35, P-36). Nothing here waits for a service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from monitor import notify
from monitor.clock import Clock
from monitor.config import Configuration, Target
from monitor.core import flood
from monitor.core.outcomes import Outcome
from monitor.core.turn import Bed
from monitor.core.vitals import Mode
from monitor.journal import Due, Settled
from monitor.notify.message import Link

__all__ = ["Messenger"]


DIGEST_EVERY = timedelta(seconds=60)
Flooded = tuple[str, Mode]  # a target and a mode: a drill's alarms hold back no real one (S-11)


class Messenger:
    """Plans, sends and reports for one site."""

    def __init__(
        self,
        configuration: Configuration,
        clock: Clock,
        settle: Callable[[Settled, Sequence[Due]], None],
        link: Link | None = None,
    ) -> None:
        """Start a worker for each target; ``settle`` takes each result, and what is to go out instead."""
        self._configuration, self._clock, self._link, self._settle = configuration, clock, link, settle
        self.may_speak: Callable[[], bool] = lambda: True
        targets = configuration.clinic.notify.targets
        self._notifier = notify.Notifier(targets, self._report, clock, self._connect)
        self._floods: dict[Flooded, flood.Flood] = {}
        self._digested: dict[Flooded, datetime] = {}
        self.delivered = 0

    def plan(self, outcomes: Iterable[Outcome], bed: Bed, now: datetime) -> list[Due]:
        """Return the notifications that outcomes make due; in a flood the milder ones wait (AL-55)."""
        return [
            _due(one)
            for outcome in outcomes
            for one in notify.plan(outcome, bed, self._configuration, now, self._link)
            if self._admitted(one, outcome, now)
        ]

    def _admitted(self, one: notify.Notification, outcome: Outcome, now: datetime) -> bool:
        if outcome.outcome not in ("AlarmRaised", "AlarmEscalated"):
            return True
        of = (one.target, one.mode)
        self._floods[of], told = flood.admit(self._floods.get(of, flood.CALM), one.priority, now)
        return told == "tell"

    def digests(self, now: datetime) -> list[Due]:
        """Return, at most once a minute for each target, the words for what waits in a flood."""
        found: list[Due] = []
        for of, before in self._floods.items():
            after, words = flood.digest(before)
            if words and now - self._digested.get(of, now - DIGEST_EVERY) >= DIGEST_EVERY:
                self._floods[of], self._digested[of] = after, now
                found.append(_due(notify.collected(words, *of, self._configuration, now)))
        return found

    def cancels(self, outcomes: Iterable[Outcome], bed: Bed) -> list[tuple[str, str]]:
        """Return the alarms of which nothing more is to be sent, with the reason (P-35)."""
        return [
            (alarm_id, f"{outcome.outcome} {outcome.by}".strip())
            for outcome in outcomes
            for alarm_id in notify.cancels(outcome, bed)
        ]

    def submit(self, due: Iterable[Due]) -> None:
        """Send them; a key that waits already is ignored."""
        self._notifier.submit(filter(None, map(self._load, due)))

    def _load(self, one: Due) -> notify.Notification | None:
        """Return a message as it was kept; one that is damaged is settled as that (R-05)."""
        try:
            return notify.load(one.body)._replace(late=one.late)
        except (ValueError, KeyError, TypeError):
            self._settle(Settled(one.key, "failed", 0, "damaged in the journal", self._clock.now()), ())
            return None

    def remember(self, station: Bed) -> None:
        """Go on as before a restart: a target that did not deliver then is dead until it delivers (AL-38)."""
        for key, alarm in station.alarms.items():
            if key.startswith(notify.CHANNEL):
                dead = notify.Dead(alarm.onset_at, "nothing was delivered since the restart")
                self._notifier.presume(key.removeprefix(notify.CHANNEL), dead)

    def try_all(self) -> list[notify.Trial]:
        """Send a test message to every target; one that takes it is dead no more."""
        trials = notify.try_targets(self._configuration.clinic.notify.targets)
        for one in trials:
            if one.delivered:
                self._notifier.presume(one.target, None)
        return trials

    def cancel(self, alarm_id: str) -> None:
        """Send nothing more about an alarm."""
        self._notifier.cancel(alarm_id)

    def dead_channels(self) -> Mapping[str, str]:
        """Return the targets that do not deliver, with what their last attempt said."""
        return {
            name: f"{dead.text} (since {dead.since:%H:%M} UTC)"
            for name, dead in self._notifier.channels().items()
        }

    def waiting(self) -> int:
        """Return how many messages are not settled."""
        return self._notifier.waiting()

    def flush(self, seconds: float) -> bool:
        """Wait until everything is settled, at most ``seconds``; say whether it is (AL-52)."""
        return self._notifier.flush(seconds)

    def stop(self) -> None:
        """End the workers; what is not settled stays due in the journal."""
        self._notifier.stop()

    def _connect(self, target: Target) -> Callable[[notify.Notification], notify.Sent]:
        send = notify.connect(target)
        in_doubt = notify.Sent(False, "another monitor may have taken over; tried again")
        return lambda one: send(one) if self.may_speak() else in_doubt

    def _report(self, result: notify.Result) -> None:
        """Hand a result back to the loop; a failure goes on to the next channel (AL-39)."""
        if result.state == "delivered":
            self.delivered += 1
        instead: list[Due] = []
        if result.undelivered:
            made = notify.divert(result.notification, self._configuration.clinic.notify, result.at)
            instead = [_due(one) for one in made]
        settled = Settled(result.key, result.state, result.attempts, result.text, result.at, result.final)
        self._settle(settled, instead)


def _due(one: notify.Notification) -> Due:
    return Due(one.key, one.alarm_id, one.session_id, one.target, one.created_at, notify.dump(one))
