"""Patients and their devices: what is true, what a device says of it, and what its network does to that.

Law: a device knows only itself. What it measured is written down here as it left the sensor, so that nobody
needs to ask the monitor what was sent.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson

from tests.simulation.broker import Broker
from tests.simulation.tasks import Scheduler

OXIMETER = ("spo2", "pulse_rate")
CUFF = ("nibp_systolic", "nibp_diastolic", "nibp_mean", "nibp_pulse_rate")
# What a sensor can say without being doubted (`vitals.screen`); what is beyond is other tests' matter.
SANE = {"spo2": (55, 100), "pulse_rate": (32, 200), "nibp_systolic": (65, 250), "nibp_diastolic": (35, 140)}


class Sent(NamedTuple):
    """One report as its device knows it. ``plain``: good values, no fault, a clock that is right."""

    device: str
    boot: str
    sequence: int
    true_at: float
    measured_at: datetime
    values: dict[str, float]
    mode: str
    plain: bool
    period_s: float
    payload: bytes


class Garbage(NamedTuple):
    """A payload that is no report."""

    device: str
    payload: bytes


class Episode(NamedTuple):
    """The patient's metric goes by ``depth`` (its unit, signed), for a while, at ``ramp_s`` each way."""

    metric: str
    at_s: float
    lasts_s: float
    depth: float
    ramp_s: float


@dataclass
class Patient:
    """What is true of one patient."""

    chance: random.Random
    base: dict[str, float] = field(
        default_factory=lambda: {
            "spo2": 97.0,
            "pulse_rate": 72.0,
            "nibp_systolic": 122.0,
            "nibp_diastolic": 76.0,
        }
    )
    episodes: list[Episode] = field(default_factory=list)

    def truth(self, metric: str, now_s: float) -> float:
        """Return the value of a metric now."""
        value = self.base[metric] + self.chance.choice((-1.0, 0.0, 0.0, 0.0, 1.0))
        for one in self.episodes:
            if one.metric == metric and one.at_s <= now_s < one.at_s + one.lasts_s:
                part = min(
                    1.0, (now_s - one.at_s) / one.ramp_s, (one.at_s + one.lasts_s - now_s) / one.ramp_s
                )
                value += one.depth * part
        low, high = SANE[metric]
        return float(round(min(max(value, low), high)))

    def fall_ill(self, now_s: float) -> None:
        """Begin an episode: a fall of SpO2, short or long, deep or along the limit; a pulse; a pressure."""
        draw = self.chance
        metric = draw.choice(("spo2", "spo2", "spo2", "pulse_rate", "nibp_systolic"))
        depth = {
            "spo2": -draw.choice((5, 7, 8, 9, 12, 20)),
            "pulse_rate": draw.choice((-35, -25, 45, 70)),
            "nibp_systolic": draw.choice((45, 65, 90, -40)),
        }[metric]
        self.episodes = [one for one in self.episodes if one.at_s + one.lasts_s > now_s]
        ramp = draw.choice((0.5, 5.0, 30.0))
        self.episodes.append(Episode(metric, now_s, draw.choice((8, 20, 45, 90, 240, 600)), depth, ramp))


@dataclass
class Network:
    """What may happen to a message on its way to the broker; probabilities of one message."""

    chance: random.Random
    loss: float = 0.0
    double: float = 0.0
    late: float = 0.0
    garbage: float = 0.0
    retain: float = 0.0


@dataclass
class Device:
    """An oximeter or a cuff."""

    name: str
    metrics: tuple[str, ...]
    period_s: float
    patient: Patient
    scheduler: Scheduler
    broker: Broker
    network: Network
    chance: random.Random
    on_sent: Callable[[Sent | Garbage], None]
    mode: str = "real"
    whole_seconds: bool = False
    in_step: bool = False
    online: bool = True
    powered: bool = True
    offset_s: float = 0.0
    clock_wrong_until: float = 0.0
    doubted_until: float = 0.0
    fault: str = ""
    boots: int = 0
    sequence: int = 0
    _kept: deque[Sent] = field(default_factory=lambda: deque(maxlen=2000))
    _said_fault: str = ""

    @property
    def topic(self) -> str:
        """Return where it reports."""
        return f"{self.broker.root}/devices/{self.name}/report"

    def power_on(self) -> None:
        """Begin to report."""
        self.presence("online")
        self.scheduler.after(0.25 if self.in_step else self.chance.random() * self.period_s, self._tick)

    def restart(self) -> None:
        """Begin anew with an empty memory and a new boot id."""
        self.boots += 1
        self.sequence = 0
        self._kept.clear()

    def presence(self, state: str) -> None:
        """Let the broker say whether it is there."""
        at = self.scheduler.clock.now().isoformat()
        payload = orjson.dumps({"state": state, "at": at})
        self.broker.publish(f"{self.broker.root}/devices/{self.name}/status", payload, retain=True)

    def _tick(self) -> None:
        self.scheduler.after(self.period_s, self._tick)
        if not self.powered:
            return
        self._kept.append(self._measure())
        if self.online:
            for place in range(len(self._kept)):
                self._leave(self._kept.popleft(), place * 0.05)

    def _measure(self) -> Sent:
        now_s = self.scheduler.now_s
        values = {name: self._read(name, now_s) for name in self.metrics}
        if "nibp_systolic" in values:  # a pressure that no heart can make is another test's
            values["nibp_diastolic"] = min(values["nibp_diastolic"], values["nibp_systolic"] - 20)
            values["nibp_mean"] = values["nibp_diastolic"] + 10
        at = self.scheduler.clock.now() + timedelta(seconds=self.offset_s)
        at = at.replace(microsecond=0 if self.whole_seconds else at.microsecond // 1000 * 1000)
        boot = f"{self.name}-{self.boots}"
        said: dict[str, object] = {
            "measured_at": at.isoformat(),
            "boot_id": boot,
            "sequence": self.sequence,
            "mode": self.mode,
            "values": values,
        }
        doubted = now_s < self.doubted_until
        if doubted:
            said["quality"] = dict.fromkeys(values, "questionable")
        if self.fault or self._said_fault:
            said["faults"] = [self.fault] if self.fault else []
        plain = not (doubted or self.fault or self.offset_s or now_s < self.clock_wrong_until)
        self._said_fault = self.fault
        payload = orjson.dumps(said)
        made = Sent(
            self.name, boot, self.sequence, now_s, at, values, self.mode, plain, self.period_s, payload
        )
        self.sequence += 1
        return made

    def _read(self, name: str, now_s: float) -> float:
        if name == "nibp_mean":
            return 0.0
        if name == "nibp_pulse_rate":
            return self.patient.truth("pulse_rate", now_s)
        return self.patient.truth(name, now_s)

    def _leave(self, one: Sent, wait_s: float) -> None:
        network, draw = self.network, self.network.chance
        if network.garbage and draw.random() < network.garbage:
            bad = Garbage(self.name, draw.choice((b"", b"{", b"[1]", b'{"values":{}}', b"\xff\xfe")) + b" ")
            self.on_sent(bad)
            self.broker.publish(self.topic, bad.payload, bad)
        # A lost word about a fault leaves it standing until the device speaks of faults again (docs/wire.md).
        if network.loss and draw.random() < network.loss and b'"faults"' not in one.payload:
            return
        self.on_sent(one)
        wait_s += 0.001 + (draw.random() * 4 if network.late and draw.random() < network.late else 0.0)
        retain = bool(network.retain) and draw.random() < network.retain
        for _ in range(2 if network.double and draw.random() < network.double else 1):
            self.scheduler.after(
                wait_s, lambda: self.broker.publish(self.topic, one.payload, one, retain=retain)
            )
            wait_s += draw.random() * 2
