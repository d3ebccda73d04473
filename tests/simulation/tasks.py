"""Time, threads and queues from a seed: the monitor's own code runs on these instead of the machine's.

Law: one task runs at a time, on greenlets; which of those that can run goes next is drawn from the seed; time
passes only when none can. So a run is a function of its seed: every interleaving at a blocking call can
happen, and the same seed makes the same one again.
"""

from __future__ import annotations

import heapq
import queue
import random
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet  # type: ignore[import-untyped]

BEGINNING = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
Act = Callable[[], object]


class PowerCut(BaseException):
    """The machine stops here: nothing catches it, as nothing catches a power cut."""


class Task:
    """One thread of the monitor."""

    __slots__ = ("done", "kept", "name", "token", "waiters", "woken")

    def __init__(self, act: Act, name: str, hub: greenlet) -> None:
        """Prepare; the scheduler starts it."""
        self.kept = greenlet(act, hub)
        self.name = name
        self.token = 0
        self.woken = False
        self.done = False
        self.waiters: deque[Task] = deque()


class Clock:
    """The wall clock: reckoned from the scheduler's time when somebody asks."""

    def __init__(self, scheduler: Scheduler) -> None:
        """Begin at the beginning."""
        self._scheduler = scheduler
        self._told_us, self._told = 0, BEGINNING

    def now(self) -> datetime:
        """Return the instant it is."""
        now_us = self._scheduler.now_us
        if now_us != self._told_us:
            self._told_us, self._told = now_us, BEGINNING + timedelta(microseconds=now_us)
        return self._told


class Scheduler:
    """Runs tasks and acts at their simulated times, in microseconds since the beginning."""

    def __init__(self, chance: random.Random, together: bool = False) -> None:
        """Begin at time 0 with nothing to do; ``together``: no task runs between acts of one instant."""
        self.now_us = 0
        self.clock = Clock(self)
        self.now_s = 0.0
        self.switches = 0
        self._chance, self._together = chance, together
        self._ready: list[Task] = []
        self._tasks: set[Task] = set()
        self._acts: list[tuple[int, int, Act | Task, int]] = []  # a task: if its token is still this
        self._count = 0
        self._current: Task | None = None
        self._hub = getcurrent()

    def after(self, seconds: float, act: Act) -> None:
        """Do something later; what is due at the same time happens in the order in which it was asked."""
        self._plan(seconds, act)

    def _plan(self, seconds: float, act: Act | Task, token: int = 0) -> None:
        self._count += 1
        at_us = self.now_us + (round(seconds * 1e6) if seconds > 0 else 0)
        heapq.heappush(self._acts, (at_us, self._count, act, token))

    def spawn(self, act: Act, name: str) -> Task:
        """Start a task."""

        def run() -> None:
            act()
            task.done = True
            self._tasks.discard(task)
            for one in task.waiters:
                self.wake(one)

        task = Task(run, name, self._hub)
        self._tasks.add(task)
        self._ready.append(task)
        return task

    def park(self, timeout_s: float | None = None) -> bool:
        """Let others run until somebody wakes this task; return whether somebody did in time."""
        task = self._current
        assert task is not None, "something blocks outside any task"
        task.token += 1
        task.woken = False
        if timeout_s is not None:
            self._plan(timeout_s, task, task.token)
        self._hub.switch()
        return task.woken

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass for this task; the network, which hands over in an act, has no time."""
        if self._current is not None:
            self.park(seconds)

    def current(self) -> Task | None:
        """Return the task that runs, or ``None`` outside any."""
        return self._current

    def wake(self, task: Task) -> None:
        """Let a parked task go on."""
        if not task.done and not task.woken:
            task.woken = True
            task.token += 1
            self._ready.append(task)

    def run_ready(self, fuse: int = -1) -> None:
        """Run every task that can run, until none can; no time passes.

        Raises:
            PowerCut: so many switches as ``fuse`` says have happened.
        """
        ready = self._ready
        while ready:
            count = len(ready)
            task = ready.pop(self._chance.randrange(count) if count > 1 else 0)
            if task.done:
                continue
            self.switches += 1
            if self.switches == fuse:
                raise PowerCut
            self._current = task
            try:
                task.kept.switch()
            finally:
                self._current = None

    def step(self, until_us: int) -> bool:
        """Let time pass to the next thing that is to be done, and do it; return whether there was one."""
        acts, done = self._acts, False
        while acts and acts[0][0] <= until_us and not (done and acts[0][0] > self.now_us):
            at_us, _, act, token = heapq.heappop(acts)
            if not isinstance(act, Task):
                self._pass(at_us)
                act()
            elif act.token == token and not act.done:  # nobody has woken it meanwhile
                self._pass(at_us)
                act.token += 1
                self._ready.append(act)
            else:
                continue
            done = True
            if not self._together:
                break
        if not done:
            self._pass(until_us)
        return done

    def _pass(self, at_us: int) -> None:
        if at_us > self.now_us:
            self.now_us = at_us
            self.now_s = at_us / 1e6

    def kill_all(self) -> None:
        """End every task where it stands, as a power cut does."""
        self._ready.clear()
        for task in sorted(self._tasks, key=lambda one: one.name):
            task.done = True
            if task.kept:
                task.kept.throw(GreenletExit)
        self._tasks.clear()
        self._ready.clear()


class SimpleQueue:
    """``queue.SimpleQueue`` on tasks."""

    def __init__(self, scheduler: Scheduler) -> None:
        """Begin empty."""
        self._scheduler = scheduler
        self._items: deque[Any] = deque()
        self._waiters: deque[Task] = deque()

    def put(self, item: Any, *_: Any, **__: Any) -> None:
        """Add an item; never waits."""
        self._items.append(item)
        if self._waiters:
            self._scheduler.wake(self._waiters.popleft())

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest item, waiting for one."""
        while not self._items:
            if not block or timeout == 0:
                raise queue.Empty
            me = self._scheduler.current()
            assert me is not None
            self._waiters.append(me)
            if not self._scheduler.park(timeout):
                self._waiters.remove(me)
                raise queue.Empty
        return self._items.popleft()

    def get_nowait(self) -> Any:
        """Take the oldest item if there is one."""
        return self.get(block=False)

    put_nowait = put

    def qsize(self) -> int:
        """Return how many items wait."""
        return len(self._items)

    def empty(self) -> bool:
        """Say whether nothing waits."""
        return not self._items


class Condition:
    """``threading.Condition`` on tasks: no task is interrupted, so there is nothing to lock."""

    def __init__(self, scheduler: Scheduler, *_: Any) -> None:
        """Begin with nobody waiting."""
        self._scheduler = scheduler
        self._waiters: list[Task] = []

    def __enter__(self) -> bool:
        """Do nothing."""
        return True

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    acquire = release = __exit__

    def notify_all(self) -> None:
        """Wake everybody who waits."""
        waiters, self._waiters = self._waiters, []
        for one in waiters:
            self._scheduler.wake(one)

    notify = notify_all

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until somebody notifies."""
        me = self._scheduler.current()
        assert me is not None
        self._waiters.append(me)
        woken = self._scheduler.park(timeout)
        if me in self._waiters:
            self._waiters.remove(me)
        return woken

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until something holds."""
        until = None if timeout is None else self._scheduler.now_s + timeout
        while not predicate():
            left = None if until is None else until - self._scheduler.now_s
            if left is not None and left <= 0:
                return predicate()
            self.wait(left)
        return True


class Event(Condition):
    """``threading.Event`` on tasks."""

    def __init__(self, scheduler: Scheduler) -> None:
        """Begin unset."""
        super().__init__(scheduler)
        self._set = False

    def set(self) -> None:
        """Set it for good."""
        self._set = True
        self.notify_all()

    def is_set(self) -> bool:
        """Say whether it is set."""
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set."""
        if not self._set:
            super().wait(timeout)
        return self._set


class Thread:
    """``threading.Thread`` as a task."""

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        target: Callable[..., object],
        name: str = "",
        args: tuple[Any, ...] = (),
        daemon: bool = True,
    ) -> None:
        """Prepare; ``start`` starts it."""
        self._scheduler, self._act, self.name = scheduler, partial(target, *args), name
        self._task: Task | None = None

    def start(self) -> None:
        """Start it."""
        self._task = self._scheduler.spawn(self._act, self.name)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        me = self._scheduler.current()
        if self._task is not None and not self._task.done and me is not None:
            self._task.waiters.append(me)
            self._scheduler.park(timeout)

    def is_alive(self) -> bool:
        """Say whether it runs."""
        return self._task is not None and not self._task.done


def stand_ins(scheduler: Scheduler) -> dict[str, SimpleNamespace]:
    """Return what takes the place of the modules ``threading``, ``queue`` and ``time``."""
    return {
        "threading": SimpleNamespace(
            Thread=partial(Thread, scheduler),
            Event=partial(Event, scheduler),
            Condition=partial(Condition, scheduler),
            Lock=partial(Condition, scheduler),
            RLock=partial(Condition, scheduler),
        ),
        "queue": SimpleNamespace(
            SimpleQueue=partial(SimpleQueue, scheduler),
            Queue=lambda _most=0: SimpleQueue(scheduler),
            Empty=queue.Empty,
            Full=queue.Full,
        ),
        "time": SimpleNamespace(
            monotonic=lambda: scheduler.now_s,
            monotonic_ns=lambda: scheduler.now_us * 1000,
            perf_counter=lambda: scheduler.now_s,
            time=lambda: scheduler.clock.now().timestamp(),
            sleep=scheduler.sleep,
        ),
    }
