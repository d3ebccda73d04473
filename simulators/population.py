"""A population: thousands of sessions at once, and the table of what their pressure did.

Law: the same equations and the same named differences as the single patient (``subject``, ``effect``,
``pharmacology``), run on arrays. Nothing here is fitted to the table that it prints.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulators.effect import Drive, step
from simulators.patient import DRIFT_S, DRUG_STEP_S, SWING_S
from simulators.pharmacology import DrugInBody
from simulators.plan import doses_of
from simulators.subject import Site, Subject, draw_site, draw_subject

Array = Any  # a numpy array with one float for each session
CUFF_SD = (3.5, 2.8)  # mmHg, as in cuff.py
RATE_SD = 3.0  # /min: swings and breath of the pulse, as in patient.py
WAVE_SD = 2.0 / 2.0**0.5, 1.2 / 2.0**0.5  # Mayer waves of patient.py, seen at a random moment
MINUTES = tuple(range(5, 125, 5))
YALE = Site()  # the clinic of the calibration
SEDATED = 0.45  # of the mind: MOAA/S 4 or less, as in patient.py


class ManySubjects:
    """Named chances of a population: one number for each session.

    Args:
        seed: of all streams.
        count: how many sessions.
        each: how many of them, one after another, are of the same person; only what is called ``…_today``
            differs between those.
    """

    def __init__(self, seed: int | str, count: int, each: int = 1) -> None:
        """Draw from streams named under ``seed``."""
        self._seed, self.count, self._each = seed, count, each

    def stream(self, name: str) -> np.random.Generator:
        """Return the generator of a name."""
        digest = hashlib.sha256(f"{self._seed}/{name}".encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))

    def _spread(self, name: str, draw: Callable[[int], Array]) -> Array:
        if self._each == 1 or name.endswith("_today"):
            return draw(self.count)
        return np.repeat(draw(-(-self.count // self._each)), self._each)[: self.count]

    def normal(self, name: str) -> Array:
        """Draw from the standard normal distribution."""
        return self._spread(name, self.stream(name).standard_normal)

    def uniform(self, name: str) -> Array:
        """Draw evenly from 0 to 1."""
        return self._spread(name, self.stream(name).random)

    def exp(self, power: Array) -> Array:
        """Return e to a power."""
        return np.exp(power)

    def clip(self, value: Array, low: float, high: float) -> Array:
        """Keep values between two bounds."""
        return np.clip(value, low, high)


@dataclass(frozen=True, slots=True)
class Study:
    """Who comes, what is given, how it is measured: in this, published series differ.

    Args:
        protocol: one of ``plan.PROTOCOLS``.
        sprays: devices of a nasal dose.
        placebo: the same session without the drug.
        site: the clinic.
        sites: number of clinics they are spread over instead; 0 is ``site`` alone.
        sessions: how many sessions, one after another, are of the same person.
        age: mean, SD, lowest and highest, years; ``None`` draws the ages of ``subject``.
        hypertensive: ``None`` draws it by age; 0 or 1 for everybody.
        hold: systolic and diastolic above which nobody is given the drug.
        readings: how many the baseline is the mean of.
        minutes: when the cuff measures, minutes since the first dose.
    """

    protocol: str = "iv-ketamine"
    sprays: int = 2
    placebo: bool = False
    site: Site = YALE
    sites: int = 0
    sessions: int = 1
    age: tuple[float, float, float, float] | None = None
    hypertensive: float | None = None
    hold: tuple[float, float] = (140.0, 90.0)
    readings: int = 2
    minutes: Sequence[int] = MINUTES


@dataclass(frozen=True, slots=True)
class Population:
    """Sessions as a cuff saw them: arrays of minutes × sessions, baselines, and who they are of."""

    study: Study
    systolic: Array
    diastolic: Array
    rate: Array
    mind: Array
    base_systolic: Array
    base_diastolic: Array
    base_rate: Array
    person: Array
    age_years: Array
    hypertensive: Array
    held: int
    seconds: float

    @property
    def minutes(self) -> tuple[int, ...]:
        """Return when the cuff measured."""
        return tuple(self.study.minutes)

    @property
    def count(self) -> int:
        """Return how many sessions were given (those held before the dose are not)."""
        return int(self.systolic.shape[1])

    def change(self, name: str) -> Array:
        """Return the change from baseline: minutes × sessions."""
        found: Array = getattr(self, name) - getattr(self, f"base_{name}")
        return found


def simulate(count: int, seed: int, study: Study = Study()) -> Population:
    """Simulate ``count`` sessions as a study has them; the seed decides everything."""
    began = time.process_time()
    draws = ManySubjects(seed, count, study.sessions)
    subject = _people(draws, seed, study)
    stimulation, mind = _drug(subject, study)
    before, looks = _living(draws, subject, study)
    seen: dict[str, list[Array]] = {"systolic": [], "diastolic": [], "rate": []}
    for at, minute in enumerate(study.minutes):
        fright = subject.anxiety_mmhg * np.exp(-minute / 15.0)
        drug = subject.rises(stimulation[at])
        seen["systolic"].append(subject.systolic + drug.systolic + fright + looks[at][0])
        seen["diastolic"].append(subject.diastolic + drug.diastolic + 0.5 * fright + looks[at][1])
        seen["rate"].append(subject.heart_rate + drug.rate + looks[at][2])
    base = (
        subject.systolic + subject.anxiety_mmhg + before[0],
        subject.diastolic + 0.5 * subject.anxiety_mmhg + before[1],
        subject.heart_rate + before[2],
    )
    given = (base[0] <= study.hold[0]) & (base[1] <= study.hold[1])
    return Population(
        study,
        **{name: np.array(rows)[:, given] for name, rows in seen.items()},
        mind=np.array(mind)[:, given],
        base_systolic=base[0][given],
        base_diastolic=base[1][given],
        base_rate=base[2][given],
        person=(np.arange(count) // study.sessions)[given],
        age_years=np.broadcast_to(subject.age_years, count)[given],
        hypertensive=np.broadcast_to(subject.hypertensive, count)[given],
        held=int(count - given.sum()),
        seconds=time.process_time() - began,
    )


def _people(draws: ManySubjects, seed: int, study: Study) -> Subject:
    """Draw everybody."""
    site, age = study.site, None
    if study.sites:
        factors = draw_site(ManySubjects(f"{seed}/sites", study.sites)).pressure_factor
        site = Site(factors[np.arange(draws.count) // study.sessions % study.sites])
    if study.age:
        mean, sd, low, high = study.age
        age = np.clip(mean + sd * draws.normal("age"), low, high)
    return draw_subject(draws, site, age_years=age, hypertensive=study.hypertensive)


def _drug(subject: Subject, study: Study) -> tuple[list[Array], list[Array]]:
    """Return what the drug does at each minute: to the heart, and to the mind."""
    doses = () if study.placebo else doses_of(study.protocol, subject.weight_kg, study.sprays)
    drug = DrugInBody(subject.body, doses)
    heart, head = Drive(), Drive()
    stimulation = sedation = np.zeros_like(subject.weight_kg)
    found: tuple[list[Array], list[Array]] = ([], [])
    for minute in study.minutes:
        while drug.now_min < minute - 1e-9:
            levels = drug.advance(round(drug.now_min + DRUG_STEP_S / 60.0, 9))
            heart, stimulation = step(subject.stimulation, heart, levels, DRUG_STEP_S / 60.0)
            head, sedation = step(subject.mind, head, levels, DRUG_STEP_S / 60.0)
        found[0].append(stimulation)
        found[1].append(sedation)
    return found


Look = tuple[Array, Array, Array]


def _living(draws: ManySubjects, subject: Subject, study: Study) -> tuple[Look, list[Look]]:
    """Return what life and cuff add to each reading: at baseline, and at each minute."""
    stream = draws.stream("living")

    def normal() -> Array:
        return stream.standard_normal(draws.count)

    swings = {"shared": (SWING_S, normal()), "own": (SWING_S, normal()), "drift": (DRIFT_S, normal())}

    def look(gap_s: float, readings: int) -> Look:
        for name, (constant_s, level) in swings.items():
            keep = np.exp(-gap_s / constant_s)
            swings[name] = constant_s, keep * level + np.sqrt(1.0 - keep**2) * normal()
        shared, own, drift = (level for _, level in swings.values())
        cuff, share = normal(), readings**-0.5
        systolic = subject.swing_systolic * shared + WAVE_SD[0] * normal() + CUFF_SD[0] * cuff
        diastolic = subject.swing_diastolic * (0.6 * shared + 0.8 * own) + WAVE_SD[1] * normal()
        diastolic = diastolic + CUFF_SD[1] * (0.5 * cuff + 0.866 * normal())
        return (
            systolic * share + subject.swing_systolic * drift,
            diastolic * share + 0.6 * subject.swing_diastolic * drift,
            RATE_SD * share * normal(),
        )

    before = look(300.0, study.readings)
    gaps = [b - a for a, b in zip((0, *study.minutes), study.minutes, strict=False)]
    return before, [look(gap * 60.0, 1) for gap in gaps]


@dataclass(frozen=True, slots=True)
class Share:
    """How many sessions a rule fires in: at the peak reading, and at any reading; shares of 1."""

    rule: str
    at_peak: float
    at_any: float


def shares(population: Population) -> list[Share]:
    """Return how often each rule of CLINICAL §3.3 fires; the peak is at 40 min (15 by muscle)."""
    peak_min = 15 if population.study.protocol == "im-ketamine" else 40
    peak = population.minutes.index(peak_min)
    systolic, diastolic = population.systolic, population.diastolic
    up_s, up_d = population.change("systolic"), population.change("diastolic")
    rules: list[tuple[str, Array]] = [
        ("rise of systolic > 20 %", up_s > 0.2 * population.base_systolic),
        ("rise of systolic > 30 %", up_s > 0.3 * population.base_systolic),
        ("> 160 or > 100", (systolic > 160.0) | (diastolic > 100.0)),
        ("rise >= 40 or >= 25", (up_s >= 40.0) | (up_d >= 25.0)),
        (">= 180 or >= 110", (systolic >= 180.0) | (diastolic >= 110.0)),
    ]
    return [Share(rule, float(hit[peak].mean()), float(hit.any(axis=0).mean())) for rule, hit in rules]


def table(population: Population) -> str:
    """Return the population in words: change by minute, mean ± SD with its interval, and the shares."""
    count = population.count
    rate = (count + population.held) / max(population.seconds, 1e-9)
    held = f"{population.held} more held above 140/90 before the dose"
    lines = [
        f"{population.study.protocol}: {count} sessions, {held}; {rate:.0f} sessions/s of one core",
        "change from baseline, mean ± SD (95 % interval of the mean)",
        f"{'min':>5}  {'systolic mmHg':>28}  {'diastolic mmHg':>28}  {'heart rate /min':>28}",
    ]
    changes = [population.change(name) for name in ("systolic", "diastolic", "rate")]
    for at, minute in enumerate(population.minutes):
        cells = "  ".join(f"{_cell(change[at]):>28}" for change in changes)
        lines.append(f"{minute:5d}  {cells}")
    lines += ["", f"{'share of sessions':28}  {'at the peak':>18}  {'at any reading':>18}"]
    for share in shares(population):
        lines.append(
            f"{share.rule:28}  {_share(share.at_peak, count):>18}  {_share(share.at_any, count):>18}"
        )
    return "\n".join(lines)


def _cell(values: Array) -> str:
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    half = 1.96 * sd / len(values) ** 0.5
    return f"{mean:5.1f} ± {sd:4.1f} ({mean - half:.1f} to {mean + half:.1f})"


def _share(share: float, count: int) -> str:
    half = 1.96 * (share * (1.0 - share) / count) ** 0.5
    return f"{100 * share:.1f} ± {100 * half:.1f} %"
