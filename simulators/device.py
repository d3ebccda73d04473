"""One device on the network: its sensors, its clock, its counter, its memory, and its troubles.

Law: a device knows only itself: no patient and no bed in what it sends. What it measured while it could not
send, it keeps and sends later with the true time of measuring, as far as its own clock knows it.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from monitor.core.vitals import FAULTS
from simulators.chance import Chance
from simulators.cuff import Cuff
from simulators.patient import Patient
from simulators.sensors import Look, Sensor
from simulators.speech import LANGUAGES, ROOT, Reading, Speaker, presence

# What can be wrong with a device, besides its own names of FAULTS (probe_off, lead_off, cuff_leak …).
TROUBLES = {
    "stuck": "repeats its last number for ever",
    "sentinel": "sends -100 for every number",
    "outlier": "the cuff reads 45 to 90 mmHg too high",
    "wrong_cuff": "the cuff is too small: reads about 12 mmHg too high",
    "auto_off": "the cuff's AUTO is switched off",
    "off": "power off: nothing is sent, the broker says offline",
    "offline": "no network: readings are kept and sent afterwards",
    "restart": "restarts once: new boot_id, counter from 0, AUTO off",
    "clock_wrong": "the clock jumps; size in seconds",
    "no_time": "sends no time of measuring",
    "bias": "the cuff is swapped for one that reads `size` mmHg higher",
}
BACKLOG_PER_S = 20.0  # a device empties its memory at this pace (assumption)
KEEPALIVE_S = 15.0  # the broker notices a lost device after one and a half of its keepalive of 10 s


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong with a device from a time on, for a while."""

    kind: str
    at_s: float
    lasts_s: float = float("inf")
    size: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a kind that nobody knows."""
        if self.kind not in TROUBLES and self.kind not in FAULTS:
            raise ValueError(f"trouble {self.kind!r} is unknown; known: {', '.join([*TROUBLES, *FAULTS])}")

    def active(self, now_s: float) -> bool:
        """Say whether it is so at ``now_s``."""
        return self.at_s <= now_s < self.at_s + self.lasts_s


class Message(NamedTuple):
    """One MQTT message and when it leaves, seconds on the session's clock."""

    at_s: float
    topic: str
    payload: bytes
    retained: bool = False
    device_id: str = ""


@dataclass(slots=True)
class Device:
    """A device with its sensors.

    Args:
        device_id: its name; also in its topic.
        kind: ``oximeter``, ``cuff``, ``monitor`` …; for people.
        site: the site's name in the topic.
        patient: whom it measures.
        start_at: the wall-clock instant of the session's second 0, aware UTC.
        chance: its own stream.
        sensors: continuous ones, read every ``period_s``.
        cuff: a cuff, if it has one.
        period_s: time between reports.
        phase_s: shift of its reports within the period, so that devices do not speak in step.
        speech: the language it speaks, a name of ``speech.LANGUAGES``.
        troubles: what will be wrong with it.
    """

    device_id: str
    kind: str
    site: str
    patient: Patient
    start_at: datetime
    chance: Chance
    sensors: Sequence[Sensor] = ()
    cuff: Cuff | None = None
    period_s: float = 1.0
    phase_s: float = 0.0
    speech: str = "native"
    troubles: list[Trouble] = field(default_factory=list)
    speed: float = 1.0
    sequence: int = 0
    boots: int = 0
    clock_offset_s: float = 0.0
    due_s: float = 0.0
    last: dict[str, float | None] = field(default_factory=dict)
    _next_report_s: float = 0.0
    _cuff_start_s: float = float("inf")
    _kept: deque[tuple[Reading, float]] = field(default_factory=deque)
    _online: bool | None = None
    _restarted: set[float] = field(default_factory=set)
    _faults: tuple[str, ...] = ()

    @property
    def topic(self) -> str:
        """Return its native topic."""
        return f"{ROOT}/{self.site}/devices/{self.device_id}/report"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of what it measures."""
        names = [name for sensor in self.sensors for name in sensor.metrics]
        return (*names, *(self.cuff.metrics if self.cuff else ()))

    @property
    def boot_id(self) -> str:
        """Return the name of this power-up, eight hex digits."""
        return hashlib.sha256(f"{self.chance.name}/boot/{self.boots}".encode()).hexdigest()[:8]

    def power_on(self, now_s: float) -> None:
        """Begin reporting at the first due time after ``now_s``."""
        self._restarted.update(at for at in self._restarts() if at < now_s)
        self._next_report_s = self._after(now_s) if self.sensors else float("inf")
        self._cuff_start_s = self.cuff.next_start_s(now_s) if self.cuff else float("inf")
        self._plan()

    def _after(self, now_s: float) -> float:
        count = (now_s + 1e-4 - self.phase_s) // self.period_s + 1
        return round(count * self.period_s + self.phase_s, 6)

    def _plan(self) -> None:
        busy = self.cuff.busy_until_s if self.cuff else None
        restart = min((at for at in self._restarts() if at not in self._restarted), default=float("inf"))
        self.due_s = min(self._next_report_s, self._cuff_start_s if busy is None else busy, restart)

    def _restarts(self) -> list[float]:
        return [trouble.at_s for trouble in self.troubles if trouble.kind == "restart"]

    def active(self, now_s: float) -> frozenset[str]:
        """Return the names of the troubles at ``now_s``."""
        if not self.troubles:
            return frozenset()
        return frozenset(trouble.kind for trouble in self.troubles if trouble.active(now_s))

    def run(self) -> list[Message]:
        """Do what is due at ``due_s``; return the messages that leave the device."""
        now_s = self.due_s
        self._restart_if_due(now_s)
        troubles = self.active(now_s)
        messages = self._presence(now_s, troubles)
        if self.cuff is not None:
            self.cuff.auto = self.cuff.auto and "auto_off" not in troubles
            self.cuff.outlier_by = self._size(now_s, "outlier")
            self.cuff.swapped_by = self._size(now_s, "bias")
        looks = self._look(now_s, troubles)
        if looks and "off" not in troubles:
            self._kept.append((self._reading(now_s, looks, troubles), now_s))
        if self._online:
            messages += self._send(now_s)
        self._plan()
        return messages

    def _look(self, now_s: float, troubles: frozenset[str]) -> list[Look]:
        """Read the sensors that are due."""
        truth = self.patient.advance(now_s)
        looks: list[Look] = []
        if now_s >= self._next_report_s:
            looks += [sensor.look(truth, troubles) for sensor in self.sensors]
            self._next_report_s = self._after(now_s)
        cuff = self.cuff
        if cuff is not None and cuff.busy_until_s is not None and now_s >= cuff.busy_until_s:
            result = cuff.finish(truth, troubles)
            looks.append(Look(result.values, (result.fault,) if result.fault else ()))
            self._cuff_start_s = cuff.next_start_s(now_s)
        elif cuff is not None and cuff.busy_until_s is None and now_s >= self._cuff_start_s:
            cuff.start(truth)
            looks += [Look({}, ("cuff_inflating",))] if cuff.announces else []
            self._cuff_start_s = float("inf")
        return looks

    def _reading(self, now_s: float, looks: list[Look], troubles: frozenset[str]) -> Reading:
        values = {name: value for look in looks for name, value in look.values.items()}
        faults = [fault for look in looks for fault in look.faults]
        faults += [
            name for name in ("battery_low", "clock_unset", "device_fault", "standby") if name in troubles
        ]
        self.last.update(values)
        said = tuple(dict.fromkeys(faults))
        ended = tuple(fault for fault in self._faults if fault not in said)
        changed = said != self._faults
        self._faults = said
        doubted = {name: "questionable" for look in looks for name in look.doubted}
        measured_at = None if "no_time" in troubles else self._stamp(now_s)
        return Reading(measured_at, values, said if said or changed else None, doubted, ended)

    def _stamp(self, now_s: float) -> datetime:
        jump = self._size(now_s, "clock_wrong")
        return self.start_at + timedelta(seconds=round(now_s / self.speed + self.clock_offset_s + jump, 3))

    def _size(self, now_s: float, kind: str) -> float:
        return sum(each.size for each in self.troubles if each.kind == kind and each.active(now_s))

    def _send(self, now_s: float) -> list[Message]:
        """Send what is kept, oldest first; a backlog goes out at its own pace."""
        messages = []
        for place in range(len(self._kept)):
            reading, _ = self._kept.popleft()
            leaves = now_s if place == 0 else round(now_s + place / BACKLOG_PER_S, 3)
            speaker = Speaker(self.device_id, self.boot_id, self.sequence)
            for said in LANGUAGES[self.speech].speak(reading, speaker):
                self.sequence += 1
                messages.append(
                    Message(leaves, said.topic or self.topic, said.payload, False, self.device_id)
                )
        return messages

    def _presence(self, now_s: float, troubles: frozenset[str]) -> list[Message]:
        online = "off" not in troubles and "offline" not in troubles
        if online == self._online:
            return []
        first = self._online is None
        self._online = online
        if first and not online:
            return []
        at_s = now_s if online else now_s + KEEPALIVE_S
        state = "online" if online else "offline"
        topic = f"{ROOT}/{self.site}/devices/{self.device_id}/status"
        at = self.start_at + timedelta(seconds=round(at_s / self.speed, 3))
        return [Message(at_s, topic, presence(state, at), True, self.device_id)]

    def _restart_if_due(self, now_s: float) -> None:
        for at_s in self._restarts():
            if at_s <= now_s and at_s not in self._restarted:
                self._restarted.add(at_s)
                self.boots += 1
                self.sequence = 0
                self._kept.clear()
                if self.cuff is not None:
                    self.cuff.auto = False
                    self.cuff.abort()
                    self._cuff_start_s = self.cuff.next_start_s(now_s)
