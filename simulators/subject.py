"""Who the patient is: age, body, baseline, and how strongly this one responds.

Law: every difference between people is drawn here, once, from named chances; nothing later invents another.
The same lines draw one patient (floats) or a population (numpy arrays), so both are the same people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from simulators.chance import Chance
from simulators.effect import (
    DIASTOLIC_PER_MEAN,
    MIND,
    STIMULATION,
    SYSTOLIC_PER_MEAN,
    Response,
    pressure_rise,
    rate_rise,
    scaled,
    slow_decay,
)
from simulators.pharmacology import Disposition, Number


class Draws(Protocol):
    """Named chances: the same name gives the same number (or array) again."""

    def normal(self, name: str) -> Number:
        """Draw from the standard normal distribution."""
        ...

    def uniform(self, name: str) -> Number:
        """Draw evenly from 0 to 1."""
        ...

    def exp(self, power: Number) -> Number:
        """Return e to a power."""
        ...

    def clip(self, value: Number, low: float, high: float) -> Number:
        """Keep a value between two bounds."""
        ...


class OneSubject:
    """Named chances of a single subject."""

    def __init__(self, chance: Chance) -> None:
        """Draw from the branches of ``chance``."""
        self._chance = chance

    def normal(self, name: str) -> float:
        """Draw from the standard normal distribution."""
        return self._chance.branch(name).normal()

    def uniform(self, name: str) -> float:
        """Draw evenly from 0 to 1."""
        return self._chance.branch(name).uniform()

    def exp(self, power: float) -> float:
        """Return e to a power, rounded above the digits in which C libraries differ."""
        return round(math.exp(power), 9)

    def clip(self, value: float, low: float, high: float) -> float:
        """Keep a value between two bounds."""
        return min(max(value, low), high)


@dataclass(frozen=True, slots=True)
class Site:
    """One clinic: how strongly its patients' pressure answers, relative to the calibration site.

    Mean rises differ several-fold between clinics (CLINICAL §0: Emory 3.3, Yale 16.0 mmHg).
    """

    pressure_factor: Number = 1.0


# Yale answers strongly: the mean of fifteen series is 12.6 mmHg (Vankawala 2021), Emory's 3.3.
SITE_MEDIAN, SITE_LOG_SD = 0.70, 0.55
# With the noise below: Yale's SD of 11.2 at 40 min. Severe hypertension was seen in 23 sessions of 17
# patients (Yale), so occasions differ as much as people do.
SUBJECT_LOG_SD = 0.24
OCCASION_LOG_SD = 0.24
# Stiff arteries turn the same stroke into a larger systolic rise: surges grow with age (Yale 2024, odds 1.04
# for a year).
SYSTOLIC_PER_YEAR = 0.007


def draw_site(draws: Draws) -> Site:
    """Draw a clinic."""
    return Site(SITE_MEDIAN * draws.exp(SITE_LOG_SD * draws.normal("site")))


class Rises(NamedTuple):
    """What the drug adds: pressures mmHg, rate /min."""

    systolic: Number
    diastolic: Number
    rate: Number


@dataclass(frozen=True, slots=True)
class Subject:
    """One person on one treatment day. Pressures mmHg, rates /min, saturations %, volumes L."""

    age_years: Number
    weight_kg: Number
    hypertensive: Number
    slow: Number
    systolic: Number
    diastolic: Number
    heart_rate: Number
    respiration_rate: Number
    temperature: Number
    resting_spo2: Number
    lung_volume_l: Number
    anxiety_mmhg: Number
    swing_systolic: Number
    swing_diastolic: Number
    systolic_factor: Number
    diastolic_factor: Number
    rate_factor: Number
    body: Disposition
    stimulation: Response
    mind: Response
    pigment: Number
    perfusion: Number

    def rises(self, stimulation: Number) -> Rises:
        """Return what a stimulation of the heart adds to this one's own numbers."""
        mean = pressure_rise(stimulation)
        return Rises(
            self.systolic * self.systolic_factor * SYSTOLIC_PER_MEAN * mean,
            self.diastolic * self.diastolic_factor * DIASTOLIC_PER_MEAN * mean,
            self.heart_rate * self.rate_factor * rate_rise(stimulation),
        )


def draw_subject(
    draws: Draws,
    site: Site = Site(),
    *,
    age_years: Number | None = None,
    weight_kg: Number | None = None,
    hypertensive: Number | None = None,
) -> Subject:
    """Draw a person; what is given is kept and the rest fits it.

    Ages as in Perez-Ruixo 2021 (18 to 86, median 45; weight median 74 kg); hypertension rises with age
    (Emory 2018: 36 % at a mean age of 57). Baselines N(122-125, 12-13) and N(77, 8) are assumptions
    (CLINICAL §3.3), so is the pulse.
    """
    age = draws.clip(46.0 + 14.0 * draws.normal("age"), 18.0, 86.0) if age_years is None else age_years
    weight = 74.0 * draws.exp(0.2 * draws.normal("weight")) if weight_kg is None else weight_kg
    if hypertensive is None:
        hypertensive = 1.0 * (draws.uniform("hypertension") < draws.clip(0.0115 * (age - 25.0), 0.02, 0.7))
    slow = 1.0 * (draws.uniform("slow") < 0.05)
    systolic_own = draws.normal("systolic")
    diastolic_own = 0.6 * systolic_own + 0.8 * draws.normal("diastolic")
    today = draws.normal("baseline_today")
    # Swings: with the cuff's error they make a placebo's largest change, 6.1/4.9 mmHg, from 65 years on
    # 11.1/6.8 (Doherty 2020).
    older = draws.clip(age - 45.0, 0.0, 40.0)
    return Subject(
        age_years=age,
        weight_kg=weight,
        hypertensive=hypertensive,
        slow=slow,
        systolic=121.5 + 0.3 * (age - 46.0) + 9.0 * hypertensive + 9.0 * systolic_own + 6.3 * today,
        diastolic=76.0 + 4.0 * hypertensive + 5.7 * diastolic_own + 4.0 * today,
        heart_rate=draws.clip(72.0 - 0.08 * (age - 46.0) + 9.0 * draws.normal("rate"), 48.0, 105.0),
        respiration_rate=draws.clip(14.5 + 2.0 * draws.normal("respiration"), 10.0, 20.0),
        temperature=36.7 + 0.25 * draws.normal("temperature"),
        resting_spo2=draws.clip(97.6 - 0.02 * (age - 46.0) + 0.8 * draws.normal("saturation"), 94.0, 99.5),
        lung_volume_l=draws.clip(2.4 + 0.4 * draws.normal("lungs"), 1.4, 3.6),
        anxiety_mmhg=draws.clip(1.0 + 1.5 * draws.normal("anxiety"), 0.0, 8.0),
        swing_systolic=3.8 * (1.0 + 0.028 * older),
        swing_diastolic=3.3 * (1.0 + 0.019 * older),
        systolic_factor=1.0 + SYSTOLIC_PER_YEAR * (age - 46.0),
        diastolic_factor=draws.exp(0.12 * draws.normal("ratio")),
        rate_factor=(1.0 - 0.3 * hypertensive) * (1.0 + 0.6 * draws.normal("rate_ratio")),
        body=_draw_body(draws, age, weight),
        stimulation=_draw_stimulation(draws, site, slow),
        mind=scaled(MIND, draws.exp(0.5 * draws.normal("mind") + 0.35 * draws.normal("mind_today"))),
        pigment=draws.uniform("pigment"),
        perfusion=2.5 * draws.exp(0.5 * draws.normal("perfusion")),
    )


def _draw_stimulation(draws: Draws, site: Site, slow: Number) -> Response:
    own = SUBJECT_LOG_SD * draws.normal("pressure") + OCCASION_LOG_SD * draws.normal("pressure_today")
    # The mean, not the median, of a lognormal is calibrated.
    mean_of_lognormal = -0.5 * (SUBJECT_LOG_SD**2 + OCCASION_LOG_SD**2)
    return slow_decay(scaled(STIMULATION, site.pressure_factor * draws.exp(own + mean_of_lognormal)), slow)


def _draw_body(draws: Draws, age: Number, weight: Number) -> Disposition:
    """Draw a disposition: between-subject variation of Perez-Ruixo 2021, table 3; Clements 25 % assumed."""

    def spread(name: str, log_sd: float) -> Number:
        return draws.exp(log_sd * draws.normal(name))

    typical = Disposition()
    odds = 0.54 / 0.46 * spread("nose_fraction", 0.708)
    return Disposition(
        weight_kg=weight,
        clements_v1_l_per_kg=typical.clements_v1_l_per_kg * spread("v1", 0.2),
        clements_k10=typical.clements_k10 * spread("k10", 0.25),
        im_ka=typical.im_ka * spread("im_ka", 0.4),
        nose_fraction=odds / (1.0 + odds),
        nose_ka=typical.nose_ka * spread("nose_ka", 0.565),  # CV 61.5 %
        gut_ka=typical.gut_ka * spread("gut_ka", 1.005),  # CV 132 %
        vc=typical.vc * spread("vc", 0.270),  # CV 27.5 %
        vp1=typical.vp1 * spread("vp1", 0.467),  # CV 49.3 %
        qh=(typical.qh - 2.19 / 60.0 * draws.clip(age - 60.0, 0.0, 40.0)) * spread("qh", 0.229),  # CV 23.2 %
        vh=typical.vh * spread("vh", 0.336),  # CV 34.6 %
        kel=typical.kel * spread("kel", 0.944),  # CV 120 %
        kmet=typical.kmet * spread("kmet", 0.294),  # the paper leaves the figure out: 30 % as in nlmixr2lib
        nor_vc=typical.nor_vc * spread("nor_vc", 0.309),  # CV 31.6 %
        nor_cl=typical.nor_cl * spread("nor_cl", 0.250),  # CV 25.4 %
    )
