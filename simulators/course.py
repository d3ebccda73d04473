"""What happens to a patient besides the drug: episodes, and numbers that a drill prescribes.

Law: an episode changes causes (breathing, vessels, rhythm, movement) and the numbers follow; only a script
prescribes numbers, and it does so as an offset, so that the living noise stays on top.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

EpisodeKind = Literal[
    "surge",
    "vasovagal",
    "anxiety",
    "vomiting",
    "movement",
    "apnoea",
    "laryngospasm",
    "hypoventilation",
    "fibrillation",
    "bigeminy",
    "supraventricular",
    "bradycardia",
    "oxygen",
    "shivering",
]
EPISODE_KINDS: tuple[str, ...] = get_args(EpisodeKind)


@dataclass(slots=True)
class Causes:
    """What episodes change at one instant; pressures mmHg, rates /min, shares 0 to 1."""

    systolic: float = 0.0
    diastolic: float = 0.0
    heart_rate: float = 0.0
    respiration_rate: float = 0.0
    ventilation_share: float = 1.0
    respiration_target: float | None = None
    airway_closed: bool = False
    not_breathing: bool = False
    moving: float = 0.0
    perfusion_share: float = 1.0
    pulse_deficit: float = 0.0
    irregular: float = 0.0
    heart_rate_target: float | None = None
    target_share: float = 0.0
    inspired_oxygen_mmhg: float = 0.0


@dataclass(frozen=True, slots=True)
class Episode:
    """Something that happens to a patient.

    Args:
        kind: a name of ``EPISODE_KINDS``.
        at_s: when it begins, seconds on the session's clock.
        lasts_s: how long.
        size: how strong, in the unit of the kind (see ``KINDS``); ``None`` takes its usual size.
    """

    kind: EpisodeKind
    at_s: float
    lasts_s: float
    size: float | None = None

    def strength(self, now_s: float) -> float:
        """Return 0 to 1: how far the episode has come on, with its rise and fall."""
        kind = KINDS[self.kind]
        since, left = now_s - self.at_s, self.at_s + self.lasts_s - now_s
        if since < 0.0 or left < 0.0:
            return 0.0
        rise = min(kind.rise_s, self.lasts_s / 2.0)
        return 1.0 if rise <= 0.0 else min(since / rise, left / rise, 1.0)

    def act(self, causes: Causes, now_s: float) -> None:
        """Add this episode's part to the causes at ``now_s``."""
        strength = self.strength(now_s)
        if strength > 0.0:
            kind = KINDS[self.kind]
            kind.act(causes, strength, kind.usual_size if self.size is None else self.size)


def _surge(causes: Causes, strength: float, size: float) -> None:
    causes.systolic += size * strength
    causes.diastolic += 0.6 * size * strength
    causes.heart_rate += 0.1 * size * strength


def _vasovagal(causes: Causes, strength: float, size: float) -> None:
    causes.systolic -= size * strength
    causes.diastolic -= 0.55 * size * strength
    causes.heart_rate -= 0.75 * size * strength
    causes.perfusion_share *= 1.0 - 0.7 * strength


def _anxiety(causes: Causes, strength: float, size: float) -> None:
    causes.systolic += size * strength
    causes.diastolic += 0.5 * size * strength
    causes.heart_rate += 0.8 * size * strength
    causes.respiration_rate += 4.0 * strength


def _vomiting(causes: Causes, strength: float, size: float) -> None:
    causes.systolic += 15.0 * size * strength
    causes.diastolic += 8.0 * size * strength
    causes.heart_rate += 18.0 * size * strength
    causes.moving = max(causes.moving, 0.9 * strength)


def _movement(causes: Causes, strength: float, size: float) -> None:
    causes.moving = max(causes.moving, size * strength)
    causes.heart_rate += 4.0 * size * strength


def _shivering(causes: Causes, strength: float, size: float) -> None:
    causes.moving = max(causes.moving, 0.6 * size * strength)
    causes.perfusion_share *= 1.0 - 0.6 * strength


def _apnoea(causes: Causes, strength: float, size: float) -> None:  # noqa: ARG001  one signature for all kinds
    causes.ventilation_share = 0.0
    causes.not_breathing = True


def _laryngospasm(causes: Causes, strength: float, size: float) -> None:
    causes.ventilation_share *= 1.0 - size
    causes.airway_closed = True
    causes.respiration_rate += 10.0 * strength  # the chest works against the closed cords


def _hypoventilation(causes: Causes, strength: float, size: float) -> None:
    causes.respiration_target = size
    causes.target_share = max(causes.target_share, strength)


def _fibrillation(causes: Causes, strength: float, size: float) -> None:
    causes.heart_rate += size * strength
    causes.irregular = max(causes.irregular, strength)
    causes.pulse_deficit = max(causes.pulse_deficit, 0.15 * strength)


def _bigeminy(causes: Causes, strength: float, size: float) -> None:
    causes.pulse_deficit = max(causes.pulse_deficit, 0.5 * size)  # every second beat makes no pulse
    causes.irregular = max(causes.irregular, 0.3 * strength)


def _heart_rate_to(causes: Causes, strength: float, size: float) -> None:
    causes.heart_rate_target = size
    causes.target_share = max(causes.target_share, strength)


def _oxygen(causes: Causes, strength: float, size: float) -> None:
    # Each L/min by cannula adds about four points of inspired oxygen (a rule of thumb; West).
    causes.inspired_oxygen_mmhg += 0.04 * size * 713.0 * strength


class Kind(NamedTuple):
    """How one kind of episode acts, its usual size, and how fast it comes and goes."""

    act: Callable[[Causes, float, float], None]
    usual_size: float
    rise_s: float
    unit: str


KINDS: Mapping[str, Kind] = {
    "surge": Kind(_surge, 45.0, 180.0, "mmHg systolic above the drug's own effect"),
    "vasovagal": Kind(_vasovagal, 40.0, 20.0, "mmHg systolic lost; the pulse falls with it"),
    "anxiety": Kind(_anxiety, 15.0, 60.0, "mmHg systolic"),
    "vomiting": Kind(_vomiting, 1.0, 5.0, "strength, 1 is usual"),
    "movement": Kind(_movement, 0.8, 1.0, "share of the hand that moves, 0 to 1"),
    "shivering": Kind(_shivering, 1.0, 20.0, "strength, 1 is usual"),
    "apnoea": Kind(_apnoea, 1.0, 0.0, "none: breathing stops"),
    "laryngospasm": Kind(_laryngospasm, 1.0, 2.0, "share of the airway that is closed, 0 to 1"),
    "hypoventilation": Kind(_hypoventilation, 6.0, 60.0, "breaths per minute that are left"),
    "fibrillation": Kind(_fibrillation, 35.0, 10.0, "/min added; one beat in seven makes no pulse"),
    "bigeminy": Kind(_bigeminy, 1.0, 2.0, "share of extra beats that make no pulse, 0 to 1"),
    "supraventricular": Kind(_heart_rate_to, 165.0, 3.0, "heart rate reached, /min"),
    "bradycardia": Kind(_heart_rate_to, 38.0, 20.0, "heart rate reached, /min"),
    "oxygen": Kind(_oxygen, 4.0, 15.0, "L/min by nasal cannula"),
}

# What a script may prescribe; names of the metrics as a device reports them.
SCRIPTED = ("systolic", "diastolic", "heart_rate", "spo2", "respiration_rate", "temperature")
LEAD_IN_S = 300.0  # a script takes over the pressure within five minutes before its first point
LET_GO_S = 300.0  # and lets go as slowly after its last


class Point(NamedTuple):
    """One prescribed number at one time of the session."""

    at_s: float
    value: float


@dataclass(slots=True)
class Script:
    """Prescribed numbers of one metric, joined by straight lines."""

    points: Sequence[Point]
    lead_in_s: float = LEAD_IN_S
    let_go_s: float = LET_GO_S

    def value(self, now_s: float) -> float:
        """Return the prescribed number; before the first and after the last point, that point's."""
        points = self.points
        if now_s <= points[0].at_s:
            return points[0].value
        for before, after in itertools.pairwise(points):
            if now_s < after.at_s:
                share = (now_s - before.at_s) / (after.at_s - before.at_s)
                return before.value + (after.value - before.value) * share
        return points[-1].value

    def hold(self, now_s: float) -> float:
        """Return 0 to 1: how much the script rules at ``now_s``."""
        early, late = self.points[0].at_s - now_s, now_s - self.points[-1].at_s
        if early > 0.0:
            return 0.0 if self.lead_in_s <= 0.0 else max(0.0, 1.0 - early / self.lead_in_s)
        if late > 0.0:
            return 0.0 if self.let_go_s <= 0.0 else max(0.0, 1.0 - late / self.let_go_s)
        return 1.0

    def apply(self, natural: float, now_s: float) -> float:
        """Return the number that results from what nature made of it and what the script wants."""
        hold = self.hold(now_s)
        return natural if hold <= 0.0 else natural + (self.value(now_s) - natural) * hold
