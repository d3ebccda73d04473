"""The protocol as data: phases, limits, filters, checkpoints and discharge criteria of one route.

Law: every number that decides something stands here, with its source, and none of it is code. A protocol
is read once, checked, and pinned to the session that starts from it (AL-10).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Phase = Literal["baseline", "dosing", "observation", "ready", "ended"]
Priority = Literal["high", "medium", "low"]
Side = Literal["low", "high"]
Harm = Literal["death_or_irreversible", "reversible_injury", "minor"]
Onset = Literal["immediate", "prompt", "delayed"]
Anchor = Literal["session_start", "first_dose", "last_dose", "dosing_end"]

PHASES: tuple[Phase, ...] = ("baseline", "dosing", "observation", "ready", "ended")
LIVE_PHASES: tuple[Phase, ...] = ("baseline", "dosing", "observation", "ready")
RANK: dict[Priority, int] = {"high": 3, "medium": 2, "low": 1}

# Harm if nobody acts × how quickly it starts (ALARMS §1.1, after IEC 60601-1-8 Table 1).
PRIORITY: dict[tuple[Harm, Onset], Priority] = {
    ("death_or_irreversible", "immediate"): "high",
    ("death_or_irreversible", "prompt"): "high",
    ("death_or_irreversible", "delayed"): "medium",
    ("reversible_injury", "immediate"): "high",
    ("reversible_injury", "prompt"): "medium",
    ("reversible_injury", "delayed"): "low",
    ("minor", "immediate"): "medium",
    ("minor", "prompt"): "low",
    ("minor", "delayed"): "low",
}


@dataclass(frozen=True, slots=True)
class Tier:
    """One step of a depth-tiered delay: beyond ``limit`` (metric's unit) for ``delay_s`` seconds."""

    limit: float
    delay_s: float


@dataclass(frozen=True, slots=True)
class Filter:
    """How long and how deep an excursion must be before it is an alarm (ALARMS §3.2).

    Any path fires on its own: ``ceiling_s`` seconds beyond the limit whatever the depth (0: at once);
    ``floor`` (metric's unit) reached for ``floor_s``; ``integral`` (unit × s) AND ``min_time_s``; a tier;
    ``net_crossings`` entries within ``net_window_s``. A low-quality sample is held out of the count for at
    most ``gate_s`` seconds since the last good one inside the limit; after that it counts as real. A closed
    alarm needs ``rearm_s`` at least ``deadband`` inside the limit, or ``settle_s`` inside it at all.
    """

    ceiling_s: float
    integral: float | None = None
    min_time_s: float = 0.0
    floor: float | None = None
    floor_s: float = 0.0
    tiers: tuple[Tier, ...] = ()
    net_crossings: int = 0
    net_window_s: float = 60.0
    gate_s: float = 8.0
    deadband: float = 0.0
    rearm_s: float = 10.0
    settle_s: float = 60.0
    source: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """One alarm limit of one metric on one side, in the metric's unit.

    ``limit`` is absolute. ``rise`` (unit) and ``rise_fraction`` are relative to the patient's baseline and
    can only tighten the absolute one; without a baseline they are off. ``at_limit`` says that the limit
    itself is a violation (AL-08). A cuff metric has no ``filter``: ``confirm`` asks for a second reading
    before it alarms, ``repeat_within_s`` for a second reading at all. ``annotation`` marks the chart and
    never alarms. ``phases`` are those in which it is live. ``pausable`` false: no alarm pause (AL-22).
    """

    id: str
    metric: str
    side: Side
    harm: Harm
    onset: Onset
    source: str
    limit: float | None = None
    rise: float | None = None
    rise_fraction: float | None = None
    at_limit: bool = False
    filter: str = ""
    confirm: bool = False
    repeat_within_s: float = 0.0
    deadband: float = 0.0
    latching: bool = False
    annotation: bool = False
    pausable: bool = True
    on: bool = True
    phases: tuple[Phase, ...] = LIVE_PHASES

    @property
    def priority(self) -> Priority:
        """Return the priority computed from harm × onset (AL-01)."""
        return PRIORITY[self.harm, self.onset]


@dataclass(frozen=True, slots=True)
class Watch:
    """A continuous metric that must keep coming: ages in seconds at which its absence is low, medium, high.

    ``if_provided``: only once a device of the bed lists it or has sent it.
    """

    metric: str
    stale_after_s: float
    medium_after_s: float
    high_after_s: float
    source: str
    if_provided: bool = False


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often the cuff must measure in a phase, and how late (minutes past due) is medium and high."""

    phase: Phase
    every_min: float
    source: str
    medium_late_min: float = 2.0
    high_late_min: float = 5.0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A measurement due at a time of the session's clock, met by any reading inside its window (minutes)."""

    id: str
    label: str
    anchor: Anchor
    at_min: float
    early_min: float
    late_min: float
    source: str
    metrics: tuple[str, ...] = ("nibp_systolic",)
    mandatory: bool = True


@dataclass(frozen=True, slots=True)
class Hold:
    """A pre-dose prompt: a baseline reading above this (metric's unit) asks to hold and measure again."""

    metric: str
    above: float
    source: str
    repeat_after_min: float = 5.0


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition for discharge; which fields count depends on ``kind``.

    ``elapsed``: ``minutes`` since ``anchor``. ``settled``: last ``metric`` at most the greater of
    ``absolute`` and baseline + ``margin``. ``not_rising``: last two readings of ``metric``.
    ``near_base``: ``metric`` at least baseline - ``margin``. ``recent``: ``metric`` read within
    ``minutes``. ``score``: the last ``scale`` between ``at_least`` and ``at_most``. ``asked``: a person
    says yes.
    """

    id: str
    label: str
    kind: Literal["elapsed", "settled", "not_rising", "near_base", "recent", "score", "asked"]
    source: str
    metric: str = ""
    anchor: Anchor = "last_dose"
    minutes: float = 0.0
    absolute: float = 0.0
    margin: float = 0.0
    scale: str = ""
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """What makes a patient's baseline: readings before the dose, and how far apart (minutes)."""

    readings: int = 2
    apart_min: float = 1.0
    source: str = "ALARMS §3.3"


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of acknowledgement, pause and reminder, in seconds (ALARMS AL-19, AL-20, AL-24)."""

    acknowledge_high_s: float = 600.0
    acknowledge_medium_s: float = 1200.0
    acknowledge_low_s: float = 3600.0
    audio_pause_s: float = 120.0
    audio_pause_max_s: float = 600.0
    alarm_pause_max_s: float = 120.0
    reminder_s: float = 300.0
    medium_breaks_pause: bool = True
    same_limb_hold_s: float = 60.0


@dataclass(frozen=True)  # without slots: the digest is worked out once
class Protocol:
    """Everything that one route's session is watched by."""

    name: str
    title: str
    route: Literal["iv", "in", "im"]
    version: str
    reviewed_by: str
    dosing_min: float
    limits: tuple[Limit, ...]
    watch: tuple[Watch, ...]
    cadence: tuple[Cadence, ...]
    filters: dict[str, Filter]
    checkpoints: tuple[Checkpoint, ...] = ()
    hold: tuple[Hold, ...] = ()
    discharge: tuple[Criterion, ...] = ()
    baseline: Baseline = field(default_factory=Baseline)
    timing: Timing = field(default_factory=Timing)

    def __hash__(self) -> int:
        """Return a hash of the content, worked out once."""
        return int(self.digest, 16)

    def limit(self, limit_id: str) -> Limit:
        """Return the limit of that id; raises ``KeyError`` when there is none."""
        for limit in self.limits:
            if limit.id == limit_id:
                return limit
        raise KeyError(limit_id)

    @cached_property
    def digest(self) -> str:
        """Return 16 hex digits that change with any content: what a session is pinned to."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]
