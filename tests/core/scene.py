"""A bed on a stage: what tests of the core say, and what came of it.

The law: time is a number that the scene moves; nothing here reads a clock. Every outcome is kept, so that a
story can ask afterwards what was told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from monitor.config import default_folder, load
from monitor.core import inputs as given
from monitor.core.alarms import Alarm
from monitor.core.bed import advance
from monitor.core.device import DeviceProfile
from monitor.core.inputs import Input
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Protocol
from monitor.core.turn import Bed
from monitor.core.vitals import Mode, Observation, Report, screen, screen_pressures

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OXIMETER = DeviceProfile("oximeter-1", ("spo2", "pulse_rate"), 1.0)
CUFF = DeviceProfile("cuff-1", ("nibp_systolic", "nibp_diastolic", "nibp_mean"), 60.0)
SHORT = {
    "pulse": "pulse_rate",
    "hr": "heart_rate",
    "rr": "respiration_rate",
    "sys": "nibp_systolic",
    "dia": "nibp_diastolic",
}


@cache
def protocols() -> dict[str, Protocol]:
    """Return the protocols that ship with the product, by name."""
    return load(default_folder()).protocols


def protocol(name: str = "iv-ketamine", **changes: Any) -> Protocol:
    """Return a protocol that ships with the product, with fields changed."""
    return replace(protocols()[name], **changes)


def observations(values: dict[str, float | None], good: bool = True) -> tuple[Observation, ...]:
    """Return screened observations of values by (short) metric name, in the metrics' units."""
    found = tuple(screen(SHORT.get(name, name), value) for name, value in values.items())
    if not good:
        found = tuple(o._replace(validity="questionable") if o.value is not None else o for o in found)
    return screen_pressures(found)


class Scene:
    """One bed, moved by inputs; ``told`` holds every outcome, ``now`` the instant."""

    def __init__(self, bed: Bed | None = None, now: datetime = NOON) -> None:
        """Begin with a bed and an instant."""
        self.bed = bed or Bed("bed-1")
        self.now = now
        self.told: list[Outcome] = []

    def give(self, one: Input, *, after_s: float = 0.0) -> tuple[Outcome, ...]:
        """Give the bed one input, ``after_s`` seconds from the last; return what came of it."""
        self.now += timedelta(seconds=after_s)
        self.bed, outcomes = advance(self.bed, one, self.now)
        self.told.extend(outcomes)
        return outcomes

    def wait(self, seconds: float) -> tuple[Outcome, ...]:
        """Let time pass with one tick at its end."""
        return self.give(given.Tick(), after_s=seconds)

    def start(self, of: Protocol | str = "iv-ketamine", mode: Mode = "real", **more: Any) -> Scene:
        """Associate an oximeter and a cuff and start a session."""
        chosen = of if isinstance(of, Protocol) else protocols()[of]
        for profile in (OXIMETER, CUFF):
            self.give(given.Associate(profile))
        values = {"session_id": "s1", "patient_code": "P-7", "by": "nurse", **more}
        self.give(given.StartSession(protocol=chosen, mode=mode, **values))
        return self

    def report(self, device: str = "oximeter-1", *, good: bool = True, **values: Any) -> tuple[Outcome, ...]:
        """Let a device report values now (metric's unit); ``faults``, ``sequence`` ... go to the report."""
        fields = {name: values.pop(name) for name in list(values) if name in Report._fields}
        fields.setdefault("measured_at", self.now)
        report = Report(device, self.now, observations=observations(values, good), **fields)
        return self.give(given.Observe(report))

    def stream(self, seconds: int, *, good: bool = True, **values: float | None) -> list[Outcome]:
        """Let the oximeter report the same values once a second; return what was told meanwhile."""
        before = len(self.told)
        values.setdefault("pulse", 72)
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            self.report(good=good, **values)
        return self.told[before:]

    def course(self, spo2: list[float | None], *, good: bool = True) -> list[Outcome]:
        """Let the oximeter report a course of SpO2, one value a second."""
        before = len(self.told)
        for value in spo2:
            self.stream(1, good=good, spo2=value)
        return self.told[before:]

    def cuff(
        self, systolic: float, diastolic: float = 75, *, after_s: float = 1.0, **more: Any
    ) -> tuple[Outcome, ...]:
        """Let the cuff report one measurement, ``after_s`` seconds later."""
        self.now += timedelta(seconds=after_s)
        return self.report("cuff-1", sys=systolic, dia=diastolic, **more)

    def names(self, *wanted: str) -> list[str]:
        """Return the names of the outcomes told so far, in order; only those ``wanted`` when given."""
        return [o.outcome for o in self.told if not wanted or o.outcome in wanted]

    def of(self, name: str, rule: str = "") -> list[Outcome]:
        """Return the outcomes of a name (and rule) told so far."""
        return [o for o in self.told if o.outcome == name and rule in ("", o.rule)]

    def alarm(self, key: str) -> Alarm:
        """Return the present alarm of a rule."""
        return self.bed.alarms[key]

    def rules(self) -> set[str]:
        """Return the rules whose alarms are present."""
        return set(self.bed.alarms)

    def latched(self) -> Iterator[Alarm]:
        """Yield the alarms that ended unseen."""
        yield from self.bed.latched.values()
