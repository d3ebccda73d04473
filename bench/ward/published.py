"""The simulated patients beside every published figure that they can be compared with.

Run: ``python -m bench.ward.published [--count 20000]``. Each row says whether the figure was *fitted* (it
shaped a parameter) or *predicted* (nothing was turned to meet it), what was published, what the model gives
with its 95 % interval, and whether the two meet. Sources: CLINICAL §3.1, §3.3, §4.3, §4.4, and abstracts that
are named here. A row that does not meet is a finding, not a fault of this program: docs/drills.md says which.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np

from simulators.effect import STIMULATION, Drive, pressure_rise, rate_rise, step
from simulators.pharmacology import EMPTY, Disposition, Dose, DrugInBody, Levels, flow_rates, runge_kutta
from simulators.population import SEDATED, Population, Study, shares, simulate
from simulators.subject import SITE_LOG_SD, SITE_MEDIAN, Site

Array = Any
Kind = Literal["fitted", "predicted"]
SEED = 7
COUNT = 20_000
STEP_MIN = 0.25
TRIAL_MINUTES = (40, 60, 90)  # when the nasal trials measured within 1.5 h
WEEKS_4 = 8  # sessions, twice a week
ADULTS, ELDERLY = (46.0, 11.0, 18.0, 64.0), (70.0, 4.5, 65.0, 86.0)
ARM = 110  # patients in an arm of a nasal trial: 113 and 109 by placebo, 114 to 116 by esketamine
ARM_65 = 68  # 72 and 65 in the trial from 65 years on


class Figure(NamedTuple):
    """One figure: ``low`` to ``high`` was published, ``found ± half`` comes out of the model."""

    name: str
    source: str
    kind: Kind
    low: float
    high: float
    found: float
    half: float = 0.0

    @property
    def meets(self) -> bool:
        """Say whether the two intervals meet."""
        return self.found - self.half <= self.high and self.found + self.half >= self.low


# --- the studies --------------------------------------------------------------------------------------------


@cache
def studied(study: Study, count: int) -> Population:
    """Return the population of a study, made once."""
    return simulate(count, SEED, study)


def yale(count: int) -> Population:
    """138 patients, 2342 infusions: seventeen each; measured every ten minutes of the infusion."""
    return studied(Study(sessions=17, minutes=(10, 20, 30, 40)), count)


def nasal(count: int, *, placebo: bool = False, elderly: bool = False) -> list[Population]:
    """Four weeks of a nasal trial: eight sessions each, one reading before; half by 56 mg, half by 84 mg.

    From 65 years on the dose began at 28 mg and was raised as borne: 56 mg is taken for all of it.
    """
    return [
        studied(
            Study(
                "in-esketamine",
                sprays,
                placebo=placebo,
                sessions=WEEKS_4,
                age=ELDERLY if elderly else ADULTS,
                hold=(150.0, 90.0) if elderly else (140.0, 90.0),
                readings=1,
                minutes=TRIAL_MINUTES,
            ),
            count,
        )
        for sprays in ((2,) if placebo or elderly else (2, 3))
    ]


def over(
    people: Sequence[Population], figure: Callable[[Population], tuple[float, float]]
) -> tuple[float, float]:
    """Return a figure over populations of the same size: their mean, and half its interval."""
    found = [figure(each) for each in people]
    return sum(each[0] for each in found) / len(found), max(each[1] for each in found)


# --- statistics ---------------------------------------------------------------------------------------------


def mean_at(people: Population, name: str, minute: int) -> tuple[float, float]:
    """Return the mean change at a minute, and half its interval."""
    return mean(people.change(name)[people.minutes.index(minute)])


def mean(values: Array) -> tuple[float, float]:
    """Return the mean and half its 95 % interval."""
    return float(values.mean()), 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5


def sd_at(people: Population, name: str, minute: int) -> tuple[float, float]:
    """Return the SD of the change at a minute, and half its interval."""
    change = people.change(name)[people.minutes.index(minute)]
    sd = float(change.std(ddof=1))
    return sd, 1.96 * sd / (2.0 * len(change)) ** 0.5


def percent(hit: Array) -> tuple[float, float]:
    """Return a share in percent, and half its interval."""
    share = float(hit.mean())
    return 100 * share, 196 * (share * (1.0 - share) / len(hit)) ** 0.5


def of_persons(people: Population, hit: Array) -> tuple[float, float]:
    """Return the share of persons, %, of whose sessions at least one was hit."""
    _, place = np.unique(people.person, return_inverse=True)
    return percent(np.bincount(place, hit) > 0)


def severe(people: Population) -> Array:
    """Say in which sessions a reading was at or above 180 or 110."""
    return ((people.systolic >= 180.0) | (people.diastolic >= 110.0)).any(axis=0)


def marked(people: Population) -> Array:
    """Say in which sessions a rise was at least 40 systolic or 25 diastolic."""
    return ((people.change("systolic") >= 40.0) | (people.change("diastolic") >= 25.0)).any(axis=0)


def largest_mean_maximum(people: Population, name: str, arm: int) -> tuple[float, float]:
    """Return what the trials reported: of eight dosing days, the largest mean of each session's maximum.

    The largest of eight means of some hundred people lies above the mean of all by chance alone. Arms of that
    size are cut from the population; the half width is that of a single trial (2 SD of the arms).
    """
    maximum = people.change(name).max(axis=0)
    day = np.arange(people.count) % WEEKS_4
    days = [maximum[day == each] for each in range(WEEKS_4)]
    arms = min(len(each) for each in days) // arm
    found = [max(each[arm * at : arm * (at + 1)].mean() for each in days) for at in range(arms)]
    return float(np.mean(found)), 2.0 * float(np.std(found, ddof=1))


def odds_per_year(people: Population, hit: Array) -> tuple[float, float]:
    """Return the odds ratio of a hit for a year of age, and half its interval (logistic regression)."""
    x = np.column_stack([np.ones(people.count), people.age_years - people.age_years.mean()])
    weights = np.zeros(2)
    for _ in range(20):  # Newton
        p = 1.0 / (1.0 + np.exp(-x @ weights))
        information = (x * (p * (1.0 - p))[:, None]).T @ x
        weights = weights + np.linalg.solve(information, x.T @ (hit - p))
    se = float(np.linalg.inv(information)[1, 1] ** 0.5)
    return float(np.exp(weights[1])), 1.96 * se


# --- the drug alone, in a typical subject -------------------------------------------------------------------


def stimulation_of(levels: Sequence[Levels]) -> list[float]:
    """Return the stimulation at each step of given levels."""
    drive, found = Drive(), []
    for level in levels:
        drive, effect = step(STIMULATION, drive, level, STEP_MIN)
        found.append(float(effect))
    return found


def held(target: Callable[[float], float], minutes: float) -> list[Levels]:
    """Return the levels while a pump holds S-ketamine at a target, ng/mL: the metabolite follows."""
    body, state, found = Disposition(), EMPTY, []
    volume = body.clements_v1_l_per_kg * body.weight_kg
    for at in range(int(minutes / STEP_MIN)):
        level = target((at + 1) * STEP_MIN)
        state = (state[0], level * volume / 1000.0, *state[2:])
        state = runge_kutta(lambda each: flow_rates(body, each, 0.0, 0.0), state, STEP_MIN)
        found.append(Levels(level, state[9] / body.nor_vc * 1000.0))
    return found


def pushed(mg_per_kg: float, minutes: float) -> list[Levels]:
    """Return the levels after an anaesthetic dose of the racemate, pushed over a minute."""
    drug = DrugInBody(Disposition(), [Dose(0.0, mg_per_kg * 70.0, "iv", 1.0)])
    return [drug.advance((at + 1) * STEP_MIN) for at in range(int(minutes / STEP_MIN))]


# --- the table ----------------------------------------------------------------------------------------------


def figures(count: int = COUNT) -> Iterator[Figure]:
    """Give every figure, in the order of CLINICAL §3.1, §3.3, §4.4."""
    yield from _by_vein(count)
    yield from _sites(count)
    yield from _by_nose(count)
    yield from _mind(count)
    yield from _forecast(count)
    yield from _volunteers()


def _by_vein(count: int) -> Iterator[Figure]:
    people = yale(count)
    source = "Yale 2024"
    # 138 patients: the interval of their mean is taken as SD / sqrt(138), patients being what differs.
    for name, published, sd in (("systolic", 16.0, 11.2), ("diastolic", 11.0, 8.45)):
        half = 1.96 * sd / 138**0.5
        low, high = published - half, published + half
        yield Figure(f"IV {name} +mmHg, 40 min", source, "fitted", low, high, *mean_at(people, name, 40))
        spread = 1.96 * sd / (2 * 138) ** 0.5
        yield Figure(
            f"IV {name}, SD at 40 min", source, "fitted", sd - spread, sd + spread, *sd_at(people, name, 40)
        )
    hit = severe(people)
    yield Figure("IV >=180 or >=110, % of sessions", source, "predicted", 0.65, 1.47, *percent(hit))
    yield Figure("IV >=180 or >=110, % of patients", source, "predicted", 7.4, 19.0, *of_persons(people, hit))
    surge = people.change("systolic").max(axis=0) >= 20.0
    yield Figure(
        "IV odds of a surge, per year of age", source, "predicted", 1.02, 1.05, *odds_per_year(people, surge)
    )
    after = studied(Study(minutes=(40, 90)), count)
    yield Figure(
        "IV systolic +mmHg, 90 min: back",
        "CLINICAL 4.4",
        "fitted",
        -2.0,
        2.0,
        *mean_at(after, "systolic", 90),
    )


def _sites(count: int) -> Iterator[Figure]:
    people = studied(Study(sites=200, minutes=(30, 40)), count)
    pooled = people.change("systolic")[1], people.change("diastolic")[1], people.change("rate")[1]
    for name, low, high, found in zip(
        ("systolic +mmHg", "diastolic +mmHg", "pulse +/min"),
        (10.4, 6.9, 0.6),
        (14.8, 10.1, 7.6),
        pooled,
        strict=True,
    ):
        yield Figure(
            f"IV many clinics, {name}", "Vankawala 2021, 15 series", "fitted", low, high, *mean(found)
        )
    low, high = SITE_MEDIAN * np.exp(-1.96 * SITE_LOG_SD), SITE_MEDIAN * np.exp(1.96 * SITE_LOG_SD)
    for name, factor, published in (("Emory 2018", 0.24, 3.28), ("Zheng, 741 infusions", 0.45, 7.4)):
        site = studied(Study(site=Site(factor), minutes=(30, 40)), count)
        found = mean_at(site, "systolic", 30 if name.startswith("Emory") else 40)
        yield Figure(
            f"clinic at {factor:g} of Yale's answer, systolic",
            name,
            "fitted",
            published - 1.5,
            published + 1.5,
            *found,
        )
        yield Figure("  ... and such a clinic is among 95 %", name, "predicted", low, high, factor)
    for name, first, second in (
        ("from 50 years on less under 50", Study(age=(57, 6, 50, 86)), Study(age=(36, 8, 18, 50))),
        ("hypertensive less others", Study(hypertensive=1.0), Study(hypertensive=0.0)),
    ):
        one, other = (studied(each, count).change("systolic").max(axis=0) for each in (first, second))
        (a, x), (b, y) = mean(one), mean(other)
        yield Figure(
            f"IV maximum, {name}, mmHg",
            "Zheng; Yale: larger",
            "predicted",
            0.1,
            15.0,
            a - b,
            (x * x + y * y) ** 0.5,
        )
    pulse = [studied(Study(hypertensive=each), count) for each in (1.0, 0.0)]
    (a, x), (b, y) = (mean_at(each, "rate", 40) for each in pulse)
    yield Figure(
        "IV pulse, hypertensive less others, /min",
        "Zheng: smaller",
        "predicted",
        -5.0,
        -0.1,
        a - b,
        (x * x + y * y) ** 0.5,
    )


def _by_nose(count: int) -> Iterator[Figure]:
    both = [studied(Study("in-esketamine", sprays, minutes=(40, 90)), count) for sprays in (2, 3)]
    for minute, low, high in ((40, 10.0, 13.0), (90, 1.0, 4.0)):
        found = [mean_at(each, "systolic", minute) for each in both]
        middle, half = 0.5 * sum(each[0] for each in found), 0.5 * sum(each[1] for each in found)
        yield Figure(
            f"nose systolic +mmHg, {minute} min", "CLINICAL 3.2, 4.4", "fitted", low, high, middle, half
        )
    rows = (
        (False, True, "fitted", (6.1, 4.9)),
        (True, True, "fitted", (11.1, 6.8)),
        (False, False, "predicted", (13.3, 8.7)),
        (True, False, "predicted", (16.0, 9.5)),
    )
    for elderly, placebo, kind, published in rows:
        people = nasal(count, placebo=placebo, elderly=elderly)
        who = f"{'65+' if elderly else '18-64'} y, {'placebo' if placebo else 'esketamine'}"
        for name, value in zip(("systolic", "diastolic"), published, strict=True):
            arm = ARM_65 if elderly else ARM
            found = over(people, lambda each: largest_mean_maximum(each, name, arm))  # noqa: B023
            yield Figure(
                f"nose largest mean maximum, {who}, {name}", "Doherty 2020", kind, value, value, *found
            )  # type: ignore[arg-type]  # one of the two words
    yield from _shares_by_nose(count)


def _shares_by_nose(count: int) -> Iterator[Figure]:
    label, poster = "US label 2021", "Psych Congress 2019 poster"
    rows: tuple[
        tuple[str, str, Callable[[Population], tuple[float, float]], bool, float, float, float, float], ...
    ] = (
        (
            ">=40/25 once in 4 weeks, % of patients",
            label,
            lambda each: of_persons(each, marked(each)),
            False,
            8,
            19,
            1,
            4,
        ),
        (
            ">=40/25, % of sessions",
            "CLINICAL 3.1",
            lambda each: percent(marked(each)),
            False,
            1.0,
            2.6,
            0.1,
            0.5,
        ),
        (
            ">=180/110 in 4 weeks, % of 18-64 y",
            poster,
            lambda each: of_persons(each, severe(each)),
            False,
            2.0,
            4.9,
            0,
            0.9,
        ),
        (
            ">=180/110 in 4 weeks, % of 65+ y",
            poster,
            lambda each: of_persons(each, severe(each)),
            True,
            4.9,
            20.7,
            1.7,
            15.0,
        ),
    )
    for name, source, figure, elderly, low, high, low_placebo, high_placebo in rows:
        found = over(nasal(count, elderly=elderly), figure)
        yield Figure(f"nose {name}", source, "predicted", low, high, *found)
        found = over(nasal(count, elderly=elderly, placebo=True), figure)
        yield Figure("  ... by placebo", source, "predicted", low_placebo, high_placebo, *found)


def _mind(count: int) -> Iterator[Figure]:
    minutes = np.arange(5, 125, 5)
    people = [
        studied(Study("in-esketamine", sprays, sessions=WEEKS_4, minutes=tuple(minutes)), count)
        for sprays in (2, 3)
    ]
    source = "J&J sedation 2025"

    def share(each: Population) -> tuple[float, float]:
        return percent((each.mind >= SEDATED).any(axis=0))

    def persons(each: Population) -> tuple[float, float]:
        return of_persons(each, (each.mind >= SEDATED).any(axis=0))

    yield Figure("nose sedated, % of sessions", source, "fitted", 32.0, 37.5, *over(people, share))
    yield Figure("nose sedated, % of patients", source, "fitted", 58.0, 66.0, *over(people, persons))
    mind = np.concatenate([each.mind for each in people], axis=1)
    sedated = mind >= SEDATED
    ever = sedated[:, sedated.any(axis=0)]
    begins = np.median(minutes[ever.argmax(axis=0)])
    over_by = np.median(minutes[len(minutes) - 1 - ever[::-1].argmax(axis=0)]) + 5.0
    peaks = float(minutes[mind.mean(axis=1).argmax()])
    for name, low, high, found in (
        ("begins", 10, 20, begins),
        ("peaks", 30, 45, peaks),
        ("is over", 60, 90, over_by),
    ):
        yield Figure(f"nose sedation {name} at, min", source, "fitted", low, high, float(found))
    for minute, low, high in ((90, 90.0, 100.0), (120, 96.5, 100.0)):
        clear = percent(~sedated[list(minutes).index(minute)])
        yield Figure(
            f"nose not sedated at {minute} min, %", "Psych Congress 2019", "predicted", low, high, *clear
        )


def _forecast(count: int) -> Iterator[Figure]:
    bounds = ((23, 24), (4, 4), (15, 15), (6, 6), (1.6, 1.7))
    people = studied(Study(minutes=(40,)), count)
    for share, (low, high) in zip(shares(people), bounds, strict=True):
        half = 196 * (share.at_peak * (1 - share.at_peak) / people.count) ** 0.5
        # The forecast itself rests on an assumed baseline: a fifth of its value is taken as its own width.
        found = 100 * share.at_peak, half
        yield Figure(
            f"IV {share.rule}, % at 40 min",
            "CLINICAL 3.3 forecast",
            "predicted",
            0.8 * low,
            1.2 * high,
            *found,
        )


def _volunteers() -> Iterator[Figure]:
    ramp = stimulation_of(held(lambda minute: 40.0 * min(1 + minute // 15, 8), 120))
    yield Figure(
        "S-ketamine to 320 ng/mL: cardiac output +%", "Sigtermans 2009", "fitted", 40.0, 50.0, 100 * ramp[-1]
    )
    deep = stimulation_of(held(lambda minute: 159.0 if minute <= 40 else 1959.0, 80))
    yield Figure(
        "S-ketamine 1959 ng/mL: mean pressure at most +%",
        "Långsjö 2005",
        "fitted",
        22.0,
        32.0,
        100 * pressure_rise(max(deep)),
    )
    yield Figure(
        "S-ketamine 1959 ng/mL: heart rate at most +%",
        "Långsjö 2005",
        "predicted",
        30.0,
        57.0,
        100 * rate_rise(max(deep)),
    )
    push = [100 * pressure_rise(each) for each in stimulation_of(pushed(2.0, 20))]
    yield Figure(
        "2 mg/kg pushed: pressure +% within minutes",
        "Swiss SmPC",
        "predicted",
        20.0,
        25.0,
        push[int(4 / STEP_MIN)],
    )
    yield Figure(
        "2 mg/kg pushed: pressure +% after 15 min",
        "Swiss SmPC",
        "predicted",
        -5.0,
        5.0,
        push[int(15 / STEP_MIN)],
    )
    drug = DrugInBody(Disposition(), [Dose(0.0, 35.0, "iv", 40.0)])
    yield Figure(
        "IV racemate after 40 min, ng/mL",
        "Zarate 2006",
        "predicted",
        150.0,
        220.0,
        2 * float(drug.advance(40).ketamine),
    )


def table(rows: Sequence[Figure]) -> str:
    """Return the figures as a table."""
    lines = [f"{'figure':58} {'source':27} {'kind':9} {'published':>15} {'model':>15}"]
    for row in rows:
        published = f"{row.low:.4g}" if row.low == row.high else f"{row.low:.4g} to {row.high:.4g}"
        found = f"{row.found:.4g} ± {row.half:.2g}" if row.half else f"{row.found:.4g}"
        mark = "" if row.meets else "  DIFFERS"
        lines.append(f"{row.name:58} {row.source:27} {row.kind:9} {published:>15} {found:>15}{mark}")
    met = sum(row.meets for row in rows)
    guessed = [row for row in rows if row.kind == "predicted"]
    lines.append(
        f"{met} of {len(rows)} figures meet; of the {len(guessed)} that were predicted, "
        f"{sum(row.meets for row in guessed)}"
    )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ward.published", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="sessions of each study (%(default)s)")
    print(table(list(figures(parser.parse_args().count))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
