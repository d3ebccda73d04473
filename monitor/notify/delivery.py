"""The way out: one worker for each target, and what became of each message.

Law: no target waits for another (AL-48), and none is believed further than it can be: "delivered" means that
the service took the message, never that anybody saw it. An attempt that does not end in time is left behind
and counts as failed; what it says later is still heard. A message is tried after 2, 4, 8 … 60 s until its
deadline (P-32), the high ones first, and every attempt is reported.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from monitor.clock import Clock
from monitor.config import Target
from monitor.core.protocol import RANK, Priority
from monitor.notify.message import Notification
from monitor.notify.service import Connect, Send, Sent, connect

RETRY_FIRST_S, RETRY_LONGEST_S = 2.0, 60.0  # P-32
LATE_S: dict[Priority, float] = {"high": 30.0, "medium": 60.0, "low": 60.0}  # AL-39
MOST_STUCK = 3  # attempts of one target left behind; more would only pile up threads
STUCK_FORGOTTEN_S = 300.0

State = Literal["delivered", "retrying", "late", "failed", "expired"]
FINAL: tuple[State, ...] = ("delivered", "failed", "expired")


class Result(NamedTuple):
    """What became of one attempt, or of waiting.

    ``delivered``: the service took it. ``retrying``: failed for now, next at ``next_at``. ``late``: still not
    delivered after 30 s (high) or 60 s; said once, and it goes on trying. ``failed``: trying again cannot
    help. ``expired``: its deadline passed.
    """

    notification: Notification
    state: State
    attempts: int
    text: str
    at: datetime
    next_at: datetime | None = None

    @property
    def key(self) -> str:
        """Return the identity of the message."""
        return self.notification.key

    @property
    def target(self) -> str:
        """Return where it was to go."""
        return self.notification.target

    @property
    def final(self) -> bool:
        """Say whether nothing more will be tried."""
        return self.state in FINAL

    @property
    def undelivered(self) -> bool:
        """Say whether the next channel is to be told (AL-39): once, whatever else goes wrong after that."""
        return self.state in ("late", "failed") and not self.notification.late


class Dead(NamedTuple):
    """A target that does not deliver: since when, and what its last attempt said."""

    since: datetime
    text: str


class Notifier:
    """Sends notifications; safe to call from any thread. ``report`` is called from the workers."""

    def __init__(
        self,
        targets: Iterable[Target],
        report: Callable[[Result], None],
        clock: Clock,
        connect: Connect = connect,
    ) -> None:
        """Start a worker for each target."""
        self._channels = {one.id: _Channel(one, report, clock, connect) for one in targets}
        self._report, self._clock = report, clock

    def submit(self, notifications: Iterable[Notification]) -> None:
        """Take messages to be sent; one whose key is waiting already is not taken twice."""
        for one in notifications:
            channel = self._channels.get(one.target)
            if channel is not None:
                channel.put(one)
            else:
                text = f"no target {one.target!r} in clinic.toml"
                self._report(Result(one, "failed", one.attempts, text, self._clock.now()))

    def cancel(self, alarm_id: str) -> None:
        """Forget what waits for an alarm; an attempt on its way is not called back (P-35)."""
        for channel in self._channels.values():
            channel.cancel(alarm_id)

    def channels(self) -> dict[str, Dead]:
        """Return the targets that do not deliver: a permanent failure, or a message late (AL-38, AL-39)."""
        found = {name: channel.dead() for name, channel in self._channels.items()}
        return {name: dead for name, dead in found.items() if dead is not None}

    def presume(self, target: str, dead: Dead | None) -> None:
        """Take a target for dead (as before a restart, AL-38) or alive (it was tried) until more is known."""
        channel = self._channels.get(target)
        if channel is not None:
            channel.presume(dead)

    def waiting(self) -> int:
        """Return how many messages are not settled."""
        return sum(channel.waiting() for channel in self._channels.values())

    def flush(self, seconds: float) -> bool:
        """Wait until everything is settled, at most ``seconds``; say whether it is (AL-52)."""
        until = self._clock.now() + timedelta(seconds=seconds)
        return all(channel.wait_empty(until) for channel in self._channels.values())

    def stop(self) -> None:
        """Stop the workers; what waits stays unsettled, and so in the journal."""
        for channel in self._channels.values():
            channel.stop()


class _Waiting:
    """A message that is not settled."""

    __slots__ = ("attempts", "next_at", "notification")

    def __init__(self, notification: Notification) -> None:
        self.notification = notification
        self.attempts = notification.attempts
        self.next_at = notification.next_at or notification.created_at

    @property
    def late_at(self) -> datetime:
        return self.notification.created_at + timedelta(seconds=LATE_S[self.notification.priority])

    def order(self) -> tuple[int, datetime]:
        return -RANK[self.notification.priority], self.next_at


class _Attempt(NamedTuple):
    """One call of the service, in a thread of its own."""

    number: int
    key: str
    began_at: datetime


class _Channel:
    """One target: what waits for it, its worker, and the attempts left behind."""

    def __init__(
        self, target: Target, report: Callable[[Result], None], clock: Clock, open_: Connect
    ) -> None:
        self._target, self._tell, self._clock, self._open = target, report, clock, open_
        self._deadline = timedelta(seconds=target.deadline_s)
        self._send: Send | None = None
        self._waiting: dict[str, _Waiting] = {}
        self._current: _Attempt | None = None
        self._stuck: dict[int, datetime] = {}
        self._answers: list[tuple[_Attempt, Sent]] = []
        self._count = 0
        self._failing: Dead | None = None
        self._dead = False
        self._stopped = self._telling = False
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name=f"notify {target.id}", daemon=True).start()

    # --- from other threads -----------------------------------------------------------------------------

    def put(self, notification: Notification) -> None:
        with self._changed:
            self._waiting.setdefault(notification.key, _Waiting(notification))
            self._changed.notify_all()

    def cancel(self, alarm_id: str) -> None:
        with self._changed:
            for key, one in list(self._waiting.items()):
                if one.notification.alarm_id == alarm_id and not one.notification.follow_up:
                    del self._waiting[key]
            self._changed.notify_all()

    def dead(self) -> Dead | None:
        with self._changed:
            return self._failing if self._dead else None

    def presume(self, dead: Dead | None) -> None:
        with self._changed:
            self._failing, self._dead = dead, dead is not None

    def waiting(self) -> int:
        with self._changed:
            return len(self._waiting)

    def wait_empty(self, until: datetime) -> bool:
        with self._changed:
            left = (until - self._clock.now()).total_seconds()
            return self._changed.wait_for(lambda: not self._waiting and not self._telling, max(0.0, left))

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    # --- the worker -------------------------------------------------------------------------------------

    def _work(self) -> None:
        """Settle what is known, start what is due, sleep until the next of either."""
        with suppress(Exception):  # whatever it is, the first attempt meets it again and says so
            self._send = self._open(self._target)  # before the first alarm: loading takes most of a second
        while True:
            with self._changed:
                now = self._clock.now()
                results = [*self._hear(now), *self._give_up(now), *self._look(now)]
                begun = None if self._stopped else self._choose(now)
                if self._stopped and not results:
                    return
                if not results and begun is None:
                    self._changed.wait(self._sleep_s(now))
                    continue
                self._telling = bool(results)
            if begun is not None:
                self._start(*begun)
            self._tell_all(results)

    def _tell_all(self, results: list[Result]) -> None:
        for result in results:
            try:
                self._tell(result)
            except Exception:  # a worker that dies here would be a dead channel that nobody notices
                logging.getLogger(__name__).exception("the result of %s was not taken", result.key)
        with self._changed:
            self._telling = False
            self._changed.notify_all()

    def _hear(self, now: datetime) -> Iterable[Result]:
        """Take what attempts have said; a late success still counts, a late failure is known already."""
        answers, self._answers = self._answers, []
        for attempt, sent in answers:
            left_behind = self._stuck.pop(attempt.number, None) is not None
            if attempt is self._current:
                self._current = None
            one = self._waiting.get(attempt.key)
            if sent.delivered:
                self._failing, self._dead = None, False
            if one is not None and (sent.delivered or not left_behind):
                yield self._settle(one, sent, attempt, now)

    def _give_up(self, now: datetime) -> Iterable[Result]:
        """Leave an attempt behind that has not ended in time; the next one gets a connection of its own."""
        attempt = self._current
        if attempt is None or now - attempt.began_at < self._deadline:
            return
        self._stuck[attempt.number], self._current, self._send = attempt.began_at, None, None
        one = self._waiting.get(attempt.key)
        sent = Sent(False, f"no answer within {self._target.deadline_s:g} s")
        if one is not None:
            yield self._settle(one, sent, attempt, now)
        else:
            self._failed(sent, attempt.began_at)

    def _settle(self, one: _Waiting, sent: Sent, attempt: _Attempt, now: datetime) -> Result:
        one.attempts += 1
        if sent.delivered:
            del self._waiting[attempt.key]
            return Result(one.notification, "delivered", one.attempts, sent.text, now)
        self._failed(sent, attempt.began_at)
        if sent.permanent:
            self._dead = True
            del self._waiting[attempt.key]
            return Result(one.notification, "failed", one.attempts, sent.text, now)
        wait = min(RETRY_FIRST_S * 2 ** min(one.attempts - 1, 10), RETRY_LONGEST_S)
        one.next_at = now + timedelta(seconds=wait)
        return Result(one.notification, "retrying", one.attempts, sent.text, now, one.next_at)

    def _failed(self, sent: Sent, at: datetime) -> None:
        since = self._failing.since if self._failing is not None else at
        self._failing = Dead(since, sent.text)

    def _look(self, now: datetime) -> Iterable[Result]:
        """Drop what is too old, and say once what is late; neither needs the target to answer."""
        for number, began_at in list(self._stuck.items()):
            if (now - began_at).total_seconds() > STUCK_FORGOTTEN_S:
                del self._stuck[number]
        for key, one in list(self._waiting.items()):
            on_its_way = self._current is not None and self._current.key == key
            text = self._failing.text if self._failing is not None else "the target is busy"
            if one.notification.deadline_at <= now and not on_its_way:
                del self._waiting[key]
                self._failing, self._dead = self._failing or Dead(now, text), True
                yield Result(one.notification, "expired", one.attempts, text, now)
            elif not one.notification.late and one.late_at <= now:
                self._failing, self._dead = self._failing or Dead(one.notification.created_at, text), True
                yield Result(one.notification, "late", one.attempts, text, now, one.next_at)
                one.notification = one.notification._replace(late=True)

    def _choose(self, now: datetime) -> tuple[_Attempt, Notification] | None:
        """Take the due message of the highest priority, the longest due first, unless one is on its way."""
        if self._current is not None or len(self._stuck) >= MOST_STUCK:
            return None
        due = [one for one in self._waiting.values() if one.next_at <= now]
        if not due:
            return None
        one = min(due, key=_Waiting.order)
        self._count += 1
        self._current = _Attempt(self._count, one.notification.key, now)
        return self._current, one.notification

    def _sleep_s(self, now: datetime) -> float | None:
        """Return seconds until time alone changes something, or ``None`` when only others can."""
        instants = [self._current.began_at + self._deadline] if self._current is not None else []
        free = self._current is None and len(self._stuck) < MOST_STUCK
        for one in self._waiting.values():
            on_its_way = self._current is not None and self._current.key == one.notification.key
            instants += [] if on_its_way else [one.notification.deadline_at]
            instants += [] if one.notification.late else [one.late_at]
            instants += [one.next_at] if free else []
        if self._waiting:
            instants += [at + timedelta(seconds=STUCK_FORGOTTEN_S) for at in self._stuck.values()]
        return max(0.001, (min(instants) - now).total_seconds()) if instants else None

    # --- the attempt ------------------------------------------------------------------------------------

    def _start(self, attempt: _Attempt, notification: Notification) -> None:
        name = f"notify {self._target.id} {attempt.number}"
        threading.Thread(target=self._try, args=(attempt, notification), name=name, daemon=True).start()

    def _try(self, attempt: _Attempt, notification: Notification) -> None:
        sent = Sent(False, "the attempt ended without a word")
        try:
            send = self._send
            if send is None:
                send = self._send = self._open(self._target)
            sent = send(notification)
        except Exception as fault:  # noqa: BLE001 - whatever a service's plugin raises is a failed attempt
            sent = Sent(False, f"the plugin of the service failed ({type(fault).__name__})")
        finally:
            with self._changed:
                self._answers.append((attempt, sent))
                self._changed.notify_all()
