"""Random stories of a session: what may happen to a bed, drawn by hypothesis or from a seed.

The law: a story is a list of plain steps; ``perform`` turns it into inputs and instants, which can then be
given again in other ways (with more ticks, twice, after restarts) and must come to the same.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st

from monitor.core import inputs as given
from monitor.core.bed import advance
from monitor.core.device import DeviceProfile
from monitor.core.inputs import Input
from monitor.core.outcomes import Outcome
from monitor.core.turn import Bed
from monitor.core.vitals import Report
from tests.core.scene import CUFF, NOON, OXIMETER, observations, protocols

SPO2 = (97, 97, 95, 93, 92, 91, 90, 89, 88, 86, 84, 70, 0, 127, None)
PULSE = (72, 72, 51, 50, 45, 40, 38, 110, 115, 131, 140, None)
SYSTOLIC = (120, 138, 145, 165, 165, 182, 101, 95, 88, 230, None)
DIASTOLIC = (75, 88, 95, 105, 112, None)
WAITS = (0.25, 1, 3, 9, 11, 35, 130, 400, 700, 1300)
ACTS = (
    "acknowledge",
    "acknowledge",
    "acknowledge milder",
    "reset",
    "pause audio",
    "resume audio",
    "pause alarm",
    "resume alarm",
    "dose",
    "end dosing",
    "withdraw",
    "limit",
    "limit off",
    "limit on",
    "same limb",
    "inflate",
    "deflate",
    "probe off",
    "probe on",
    "offline",
    "manual",
    "score",
    "answer",
    "lose link",
    "restore link",
    "condition",
    "over",
    "refuse",
    "skip",
    "late",
    "clock",
    "old manual",
    "early dose",
    "take second",
    "swap first",
    "ready",
    "end session",
)
SECOND = DeviceProfile("oximeter-2", ("spo2", "pulse_rate"))
CLOCKS = (0, 3, 8, 40, 70, 3600)  # seconds that the oximeter's clock may be behind


class Step(NamedTuple):
    """One step: what, with which numbers; what they mean depends on what."""

    what: str
    one: Any = None
    two: Any = None
    three: Any = None


def drawn(*parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    """Return the strategy of steps whose parts are drawn one by one."""
    return st.tuples(*parts).map(lambda drawn: Step(*drawn))


def steps() -> st.SearchStrategy[Step]:
    """Return the strategy of one step."""
    return st.one_of(
        drawn(
            st.just("stream"),
            st.sampled_from(SPO2),
            st.sampled_from(PULSE),
            st.tuples(st.integers(1, 35), st.booleans()),
        ),
        drawn(
            st.sampled_from(["both", "second"]),
            st.sampled_from(SPO2),
            st.sampled_from(SPO2),
            st.tuples(st.integers(1, 35), st.booleans()),
        ),
        drawn(st.just("cuff"), st.sampled_from(SYSTOLIC), st.sampled_from(DIASTOLIC)),
        drawn(st.just("wait"), st.sampled_from(WAITS)),
        drawn(st.sampled_from(ACTS), st.integers(0, 5)),
    )


def stories(most: int = 40) -> st.SearchStrategy[list[Step]]:
    """Return the strategy of stories of up to ``most`` steps."""
    return st.lists(steps(), min_size=1, max_size=most)


def seeded(seed: int, length: int) -> list[Step]:
    """Return the story of a seed: mostly streams, as a session is."""
    chance = random.Random(seed)
    story = []
    for _ in range(length):
        draw = chance.random()
        if draw < 0.05:
            what = chance.choice(("both", "second"))
            lasts = (chance.randint(1, 35), chance.random() < 0.8)
            story.append(Step(what, chance.choice(SPO2), chance.choice(SPO2), lasts))
        elif draw < 0.6:
            story.append(
                Step(
                    "stream",
                    chance.choice(SPO2),
                    chance.choice(PULSE),
                    (chance.randint(1, 35), chance.random() < 0.8),
                )
            )
        elif draw < 0.7:
            story.append(Step("cuff", chance.choice(SYSTOLIC), chance.choice(DIASTOLIC)))
        elif draw < 0.8:
            story.append(Step("wait", chance.choice(WAITS)))
        else:
            story.append(Step(chance.choice(ACTS), chance.randint(0, 5)))
    return story


class Given(NamedTuple):
    """An input and its instant."""

    one: Input
    now: datetime


@dataclass
class Performance:
    """A story as it was played: every input with its instant, every outcome, every bed between."""

    bed: Bed = field(default_factory=lambda: Bed("bed-1"))
    now: datetime = NOON
    inputs: list[Given] = field(default_factory=list)
    told: list[Outcome] = field(default_factory=list)
    beds: list[Bed] = field(default_factory=list)
    sequence: Counter[str] = field(default_factory=Counter)
    behind: timedelta = timedelta(0)

    def give(self, one: Input) -> tuple[Outcome, ...]:
        """Give the bed an input now."""
        self.bed, outcomes = advance(self.bed, one, self.now)
        self.inputs.append(Given(one, self.now))
        self.told.extend(outcomes)
        self.beds.append(self.bed)
        return outcomes

    def report(self, device: str, values: dict[str, float | None], good: bool = True, **more: Any) -> None:
        """Give a report of a device, numbered; the first oximeter's clock may be behind."""
        self.sequence[device] += 1
        measured_at = self.now - (self.behind if device == OXIMETER.device_id else timedelta(0))
        fields = {"measured_at": measured_at, "boot_id": "b", "sequence": self.sequence[device], **more}
        found = observations(values, good)
        self.give(given.Observe(Report(device, self.now, observations=found, **fields)))


def perform(story: Iterable[Step], start: datetime = NOON, protocol: str = "iv-ketamine") -> Performance:
    """Play a story from its beginning."""
    played = Performance(now=start)
    for profile in (OXIMETER, CUFF):
        played.give(given.Associate(profile))
    played.give(given.StartSession("s1", "P", protocols()[protocol], "nurse"))
    for step in story:
        play(played, step)
    return played


def play(played: Performance, step: Step) -> None:
    """Play one step."""
    if step.what == "stream":
        seconds, good = step.three
        for _ in range(seconds):
            played.now += timedelta(seconds=1)
            played.report("oximeter-1", {"spo2": step.one, "pulse": step.two}, good)
    elif step.what in ("both", "second"):
        _second(played, step)
    elif step.what == "cuff":
        played.now += timedelta(seconds=1)
        played.report("cuff-1", {"sys": step.one, "dia": step.two})
    elif step.what == "wait":
        played.now += timedelta(seconds=step.one)
        played.give(given.Tick())
    else:
        _act(played, step.what, step.one)


def _second(played: Performance, step: Step) -> None:
    """Let a second oximeter measure, beside the first or alone."""
    if SECOND.device_id not in played.bed.devices:
        played.give(given.Associate(SECOND))
    seconds, good = step.three
    for _ in range(seconds):
        played.now += timedelta(seconds=1)
        if step.what == "both":
            played.report(OXIMETER.device_id, {"spo2": step.one, "pulse": 72})
        played.report(SECOND.device_id, {"spo2": step.two, "pulse": 72}, good)


def _act(played: Performance, what: str, number: int) -> None:
    alarms = [*played.bed.alarms.values(), *played.bed.latched.values()]
    alarm_id = alarms[number % len(alarms)].alarm_id if alarms else "none"
    limits = protocols()["iv-ketamine"].limits
    limit = limits[number * 5 % len(limits)]
    value = limit.limit + (3 if limit.side == "high" else -3) if limit.limit else None
    doses = played.bed.session.standing if played.bed.session else ()
    inputs: dict[str, Callable[[], Input]] = {
        "acknowledge": lambda: given.Acknowledge(alarm_id, "nurse"),
        "acknowledge milder": lambda: given.AcknowledgeMilder(
            tuple((one.alarm_id, one.priority) for one in alarms if one.priority != "high"), "nurse"
        ),
        "reset": lambda: given.ResetAlarm(alarm_id, "nurse"),
        "pause audio": lambda: given.PauseAudio("nurse", (None, 60, 600, 700, 5, 120)[number]),
        "resume audio": lambda: given.ResumeAudio("nurse"),
        "pause alarm": lambda: given.PauseAlarm(alarm_id, "nurse", 20 * number, "moving"),
        "resume alarm": lambda: given.ResumeAlarm(alarm_id, "nurse"),
        "dose": lambda: given.RecordDose(35, "iv", "nurse", reason="go"),
        "end dosing": lambda: given.EndDosing("nurse"),
        "withdraw": lambda: given.WithdrawDose(doses[-1].at if doses else NOON, "nurse", "mistake"),
        "limit": lambda: given.SetLimit(limit.id, "dr", "clinician", "as agreed", value),
        "limit off": lambda: given.SetLimit(limit.id, "dr", "clinician", "as agreed", on=False),
        "limit on": lambda: given.SetLimit(limit.id, "dr", "clinician", "as agreed"),
        "same limb": lambda: given.SetSameLimb(number < 4, "nurse"),
        "manual": lambda: given.RecordManual({"respiration_rate": 6 + number, "spo2": 88 + number}, "nurse"),
        "score": lambda: given.RecordScore("moaas", number, "nurse"),
        "answer": lambda: given.Answer("escort", number > 1, "nurse"),
        "lose link": given.LoseLink,
        "restore link": given.RestoreLink,
        "condition": lambda: given.ReportCondition("disk", ("low", "medium", "high")[number % 3], "full"),  # type: ignore[arg-type]
        "over": lambda: given.ClearCondition("disk"),
        "refuse": lambda: given.RefuseReport("oximeter-1", "not JSON"),
        "old manual": lambda: given.RecordManual(
            {"nibp_systolic": 150 + 10 * number, "spo2": 85 + number},
            "nurse",
            played.now - timedelta(minutes=4 * number),
        ),
        "early dose": lambda: given.RecordDose(
            28, "in", "nurse", played.now - timedelta(minutes=9 * number), "go"
        ),
        "take second": lambda: given.Dissociate(SECOND.device_id, "nurse"),
        "ready": lambda: given.ConfirmReady("nurse", "well"),
        "end session": lambda: given.EndSession("nurse", "left" if number == 5 else ""),
    }
    if what in inputs:
        played.give(inputs[what]())
    elif what == "skip":
        played.sequence["oximeter-1"] += number
    elif what == "clock":
        played.behind = timedelta(seconds=CLOCKS[number])
    elif what == "swap first":
        played.give(given.Dissociate("oximeter-1", "nurse"))
        played.give(given.Associate(OXIMETER))
    elif what == "late":
        played.report(
            "oximeter-1", {"spo2": 80}, measured_at=played.now - timedelta(seconds=30 + 10 * number)
        )
    else:
        faults = {"inflate": ("cuff_inflating",), "probe off": ("probe_off",)}.get(what, ())
        device = "cuff-1" if "flate" in what else "oximeter-1"
        online = False if what == "offline" else None
        played.report(device, {}, faults=None if what == "offline" else faults, online=online)


def again(inputs: Iterable[Given], between: Callable[[Bed], Bed] | None = None) -> tuple[Bed, list[Outcome]]:
    """Give inputs to a new bed; ``between`` is done with it after each."""
    bed, told = Bed("bed-1"), []
    for one, now in inputs:
        bed, outcomes = advance(bed, one, now)
        told.extend(outcomes)
        if between is not None:
            bed = between(bed)
    return bed, told
