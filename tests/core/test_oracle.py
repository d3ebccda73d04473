"""The core and the oracle see the same thing, second by second."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from monitor.core import inputs as given
from monitor.core.bed import advance
from monitor.core.protocol import Protocol
from monitor.core.turn import Bed
from monitor.core.vitals import Report
from tests.core.oracle import Oracle
from tests.core.scene import NOON, OXIMETER, observations, protocol

RULES = {"spo2": "spo2-low-urgent", "pulse": "pulse-rate-high", "silence": "no-data:oximeter"}
Seen = tuple[tuple[tuple[str, str, str, bool], ...], int, int, bool]


def small() -> Protocol:
    """Return a protocol of the two limits that the oracle knows, and no cuff."""
    limits = tuple(limit for limit in protocol().limits if limit.id in RULES.values())
    watch = tuple(watch for watch in protocol().watch if not watch.if_provided)
    return protocol(limits=limits, watch=watch, cadence=(), checkpoints=())


class Pair:
    """The core and the oracle, given the same."""

    def __init__(self) -> None:
        """Start a session in both."""
        self.oracle = Oracle()
        self.bed = Bed("bed-1")
        self.raised = 0
        self.give(given.Associate(OXIMETER))
        self.give(given.StartSession("s1", "P", small(), "nurse"))

    def give(self, one: given.Input) -> None:
        """Give the core an input at the oracle's second."""
        self.bed, told = advance(self.bed, one, NOON + timedelta(seconds=self.oracle.t))
        self.raised += sum(outcome.outcome == "AlarmRaised" for outcome in told)

    def core_sees(self) -> Seen:
        """Return what the core says is so."""
        names = {rule: name for name, rule in RULES.items()}
        alarms = sorted((names[a.key], a.priority, a.signal, a.frozen) for a in self.bed.alarms.values())
        return tuple(alarms), len(self.bed.latched), self.raised, self.bed.audio_pause is not None

    def oracle_sees(self) -> Seen:
        """Return what the oracle says is so."""
        alarms = sorted((n, a.priority, a.signal, a.frozen) for n, a in self.oracle.alarms.items())
        return tuple(alarms), self.oracle.latched, self.oracle.raised, self.oracle.paused_until is not None

    def sample(self, spo2: float, pulse: float) -> None:
        """Give both one sample."""
        self.oracle.sample(spo2, pulse)
        at = NOON + timedelta(seconds=self.oracle.t)
        found = observations({"spo2": spo2, "pulse": pulse})
        self.give(given.Observe(Report("oximeter-1", at, at, found)))

    def act(self, what: str, chance: random.Random) -> None:
        """Do to both what a person does."""
        name = chance.choice(list(RULES))
        alarm = self.bed.alarms.get(RULES[name])
        alarm_id = alarm.alarm_id if alarm else "none"
        seconds = chance.choice([5, 60, 120])
        if what == "acknowledge":
            self.oracle.acknowledge(name)
            self.give(given.Acknowledge(alarm_id, "nurse"))
        elif what == "pause audio":
            self.oracle.pause_audio(seconds)
            self.give(given.PauseAudio("nurse", seconds))
        elif what == "resume audio":
            self.oracle.resume_audio()
            self.give(given.ResumeAudio("nurse"))
        elif what == "pause alarm":
            self.oracle.pause_alarm(name, seconds)
            self.give(given.PauseAlarm(alarm_id, "nurse", seconds, "moving"))
        elif what == "resume alarm":
            self.oracle.resume_alarm(name)
            self.give(given.ResumeAlarm(alarm_id, "nurse"))
        else:
            self.oracle.reset()
            latched = next(iter(self.bed.latched), "none")
            self.give(given.ResetAlarm(latched, "nurse"))


ACTS = ("acknowledge", "acknowledge", "pause audio", "resume audio", "pause alarm", "resume alarm", "reset")


def compare(seed: int, steps: int) -> set[Seen]:
    """Walk both through random seconds; fail at the first at which they differ; return what was seen."""
    chance = random.Random(seed)
    pair = Pair()
    spo2, pulse, silent_until = 96.0, 80.0, 0
    seen: set[Seen] = set()
    for step in range(steps):
        pair.oracle.pass_second()
        pair.give(given.Tick())
        if chance.random() < 0.02:
            spo2 = chance.choice([97, 95, 92, 91, 90, 89, 88, 86, 85, 84, 75])
        elif chance.random() < 0.1:
            spo2 = min(99, max(70, spo2 + chance.choice([-2, -1, 1, 2])))
        if chance.random() < 0.02:
            pulse = chance.choice([80, 107, 108, 110, 111, 125])
        if chance.random() < 0.004:
            silent_until = step + chance.choice([2, 3, 9, 10, 11, 29, 31, 119, 121, 900])
        if step >= silent_until:
            pair.sample(spo2, pulse)
        if chance.random() < 0.03:
            pair.act(chance.choice(ACTS), chance)
        core, oracle = pair.core_sees(), pair.oracle_sees()
        assert core == oracle, f"seed {seed}, step {step} (SpO2 {spo2}, pulse {pulse})"
        seen.add((core[0], 0, 0, core[3]))
    return seen


@pytest.mark.parametrize("seed", range(4))
def test_r_07_the_core_agrees_with_an_independent_oracle(seed: int) -> None:
    """R-07, ALARMS §1.9: 20,000 random seconds in four sessions; no divergence, and much was seen."""
    assert len(compare(seed, 5_000)) > 30


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_r_07_the_core_agrees_with_an_independent_oracle_for_a_million_steps() -> None:
    """R-07: no divergence in 1,000,000 random seconds."""
    for seed in range(100, 200):
        compare(seed, 10_000)
