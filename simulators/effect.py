"""From drug level to what it does: heart and vessels, sedation, dissociation.

Law: an effect follows the level of S-ketamine at its site of action and fades while the level stays, for
S-norketamine opposes it (Kamp 2021) and the body adapts. A model of the plasma level alone cannot fit: by
nose the level after 90 minutes is still three quarters of its peak, and the pressure is back (CLINICAL §4.4).

Pressure is not drawn: stimulation raises the heart's output, the vessels give way a little, and what is left
is the rise of mean pressure as a share of the patient's own. So it saturates, as it does in people, and who
has a high pressure has a larger rise. Nothing but arithmetic: the same bytes on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from simulators.pharmacology import Levels, Number


@dataclass(frozen=True, slots=True)
class Response:
    """One effect that rises with the level, is opposed by the metabolite, and adapts.

    ``raw = top · Ce² / (half² + Ce²)`` with ``half = half_level · (1 + N / opposing_level)``: S-norketamine,
    ``N``, competes for the same site. ``Ce`` follows the plasma level at ``onset_per_min``.
    ``effect = raw - adapted_share · T`` with ``dT/dt = adapting_per_min · (raw - T)``.
    Levels in ng/mL, ``top`` in the effect's unit.
    """

    top: Number
    half_level: Number
    onset_per_min: Number
    adapting_per_min: Number
    adapted_share: Number
    opposing_level: Number


# What stimulation adds to the heart's output, as a share of it at rest. Onset: Navarrete 2024's ke0, 0.20 to
# 0.28 /min (another endpoint). The other five and DILATION were fitted together (bench/ward/fit_pressure.py)
# to four published figures: Yale 2024 by vein (16.0 mmHg at 40 min, back afterwards), the nasal trials (about
# 10 at 40 and 2 at 90 min), cardiac output +40 to 50 % after two hours up to 320 ng/mL (Sigtermans 2009), and
# mean pressure at most +27 % at 1959 ng/mL (Långsjö 2005).
STIMULATION = Response(1.285, 85.5, 0.242, 0.0439, 0.487, 109.0)
DILATION = 0.535  # resistance falls to 1 / (1 + DILATION · stimulation)

# How much of the mind is affected, 0 to about 1. Fitted to sedation by nose: onset about 15, peak 30 to 45
# min, gone in 1 to 1.5 h, in 34.7 % of sessions and 61.9 % of patients (J&J sedation 2025, CLINICAL §3.1).
# Its shape is assumed to be like pressure's.
MIND = Response(1.0, 75.0, 0.12, 0.02, 0.57, 350.0)

# Rise of systolic and diastolic pressure for one of mean pressure, shares: Yale 2024, 16.0 and 11.0 mmHg.
SYSTOLIC_PER_MEAN, DIASTOLIC_PER_MEAN = 0.968, 1.039
# The baroreflex holds the pulse while the stimulation is weak: its share of the output grows with the square.
# Between Vankawala 2021 (4.1 /min beside 12.6 mmHg) and Långsjö 2005 (+43.5 % at 1959 ng/mL).
RATE_PER_SQUARE = 0.52


class Drive(NamedTuple):
    """State of one response: the level at its site, ng/mL, and what the body has adapted to."""

    site_level: Number = 0.0
    adapted: Number = 0.0


def step(response: Response, drive: Drive, levels: Levels, step_min: float) -> tuple[Drive, Number]:
    """Carry one response over ``step_min`` at constant plasma levels; return its state and the effect.

    Implicit Euler: stable for any step, and exact enough below half a minute (fastest rate 0.25 /min).
    """
    pull = step_min * response.onset_per_min
    site = (drive.site_level + pull * levels.ketamine) / (1.0 + pull)
    half = response.half_level * (1.0 + levels.norketamine / response.opposing_level)
    square = site * site
    raw = response.top * square / (half * half + square)
    habit = step_min * response.adapting_per_min
    adapted = (drive.adapted + habit * raw) / (1.0 + habit)
    return Drive(site, adapted), raw - response.adapted_share * adapted


def pressure_rise(stimulation: Number) -> Number:
    """Return the rise of mean arterial pressure as a share of itself: output times resistance."""
    return (1.0 + stimulation) / (1.0 + DILATION * stimulation) - 1.0


def rate_rise(stimulation: Number) -> Number:
    """Return the rise of the heart rate as a share of itself."""
    return RATE_PER_SQUARE * stimulation * abs(stimulation)


def scaled(response: Response, factor: Number) -> Response:
    """Return the response of someone who answers ``factor`` times as strongly."""
    return replace(response, top=response.top * factor)


def slow_decay(response: Response, slow: Number) -> Response:
    """Return the response of a subject in whom the pressure stays up for hours.

    The US label speaks of four hours; 5 % of subjects are simulated so (CLINICAL §3.2, an assumption): the
    peak is anyone's, but they adapt less and the metabolite opposes less.

    Args:
        response: the typical response.
        slow: 1 for such a subject, 0 for others (or an array of them).
    """
    return replace(
        response,
        adapted_share=response.adapted_share * (1.0 - 0.6 * slow),
        opposing_level=response.opposing_level * (1.0 + 2.0 * slow),
        top=response.top * (1.0 - 0.25 * slow),
    )
