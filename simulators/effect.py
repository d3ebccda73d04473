"""From drug level to what it does: pressure, heart rate, sedation, dissociation.

Law: an effect follows the level at its site of action and fades while the level stays, because the body
adapts and S-norketamine opposes. A model of the plasma level alone cannot fit: by nose the level after 90
minutes is still three quarters of its peak while the pressure is back to normal (CLINICAL §4.4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from simulators.pharmacology import Levels, Number


@dataclass(frozen=True, slots=True)
class Response:
    """One effect that rises with the level and adapts.

    ``raw = top · Ce^steepness / (half_level^steepness + Ce^steepness) / (1 + N / opposing_half_level)`` and
    ``effect = raw - adapted_share · T`` with ``dT/dt = adapting_per_min · (raw - T)``; ``Ce`` follows the
    plasma level at ``onset_per_min``, ``N`` is S-norketamine. Levels in ng/mL, ``top`` in the effect's unit.
    """

    top: Number
    half_level: Number
    steepness: float
    onset_per_min: Number
    adapting_per_min: Number
    adapted_share: Number
    opposing_half_level: Number


# Systolic pressure, mmHg. Shape after CLINICAL §4.4 (Hill drive less an adapting term), with Kamp 2021's
# opposing S-norketamine; onset 0.238 /min is Navarrete 2024's ke0. The other five were fitted to Yale 2024 by
# vein (16.0 at 40 min, back by 90) and the nasal trials on a population (bench/ward/fit_pressure.py).
PRESSURE = Response(126.4, 209.1, 1.504, 0.241, 0.0339, 0.564, 210.1)

# How much of the mind is affected, 0 to about 1: peak 30 to 45 min, gone in 1 to 1.5 h by nose (J&J sedation
# 2025, CLINICAL §3.1); dissociation at 100-250 ng/mL of racemate (Zanos 2018). Shape assumed like pressure's.
MIND = Response(1.6, 95.0, 2.0, 0.10, 0.03, 0.75, 90.0)

DIASTOLIC_PER_SYSTOLIC = 11.0 / 16.0  # Yale 2024: 11.0 of 16.0 mmHg at 40 min
RATE_PER_SYSTOLIC = (
    0.25  # /min per mmHg: 0.2 in CLINICAL §4.4; Vankawala 2021 found 4.1 /min beside 12.6 mmHg
)


class Drive(NamedTuple):
    """State of one response: the level at its site, ng/mL, and what the body has adapted to."""

    site_level: Number = 0.0
    adapted: Number = 0.0


def step(response: Response, drive: Drive, levels: Levels, step_min: float) -> tuple[Drive, Number]:
    """Carry one response over ``step_min`` at constant plasma levels; return its state and the effect.

    Implicit Euler: stable for any step, and exact enough below half a minute (fastest rate 0.24 /min).
    """
    pull = step_min * response.onset_per_min
    site = (drive.site_level + pull * levels.ketamine) / (1.0 + pull)
    power = site**response.steepness
    raw = response.top * power / (response.half_level**response.steepness + power)
    raw = raw / (1.0 + levels.norketamine / response.opposing_half_level)
    habit = step_min * response.adapting_per_min
    adapted = (drive.adapted + habit * raw) / (1.0 + habit)
    return Drive(site, adapted), raw - response.adapted_share * adapted


def slow_decay(response: Response, slow: Number) -> Response:
    """Return the response of a subject in whom the pressure stays up for hours.

    The US label speaks of four hours; 5 % of subjects are simulated so (CLINICAL §3.2, an assumption).

    Args:
        response: the typical response.
        slow: 1 for such a subject, 0 for others (or an array of them).
    """
    return replace(
        response,
        adapted_share=response.adapted_share * (1.0 - 0.6 * slow),
        opposing_half_level=response.opposing_half_level * (1.0 + 2.0 * slow),
        top=response.top * (1.0 - 0.25 * slow),  # as high at the peak as anyone's, but longer
    )
