"""One patient's treatment: phases, doses, baseline, limits in force, checkpoints.

Law: a session is pinned to the protocol it started from. What changes afterwards (a limit, a phase, a
correction) is added with who, when and why; nothing is erased (AL-09, AL-10).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from statistics import median
from typing import NamedTuple

from monitor.core.filters import Boundary
from monitor.core.protocol import RANK, Anchor, Checkpoint, Filter, Limit, Phase, Protocol
from monitor.core.vitals import Mode

# Of each cuff metric: enough to find those of an hour ago when a dose is recorded late (a window that had its
# reading is not missed), at a cadence of 5 min.
KEPT_READINGS = 16


@dataclass(frozen=True, slots=True)
class Dose:
    """One administration: amount in mg, route, when, by whom; ``ended_at`` for an infusion that stopped."""

    at: datetime
    amount_mg: float
    route: str
    by: str
    ended_at: datetime | None = None
    withdrawn: str = ""


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A limit set for this session: its value in the metric's unit, or off; by whom, when and why."""

    limit: float | None
    on: bool
    by: str
    at: datetime
    reason: str


class Point(NamedTuple):
    """One value at one instant (metric's unit)."""

    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Score:
    """A person's score of the patient on a named scale (MOAA/S 0 to 5; dissociation 0 to 4)."""

    scale: str
    value: float
    by: str
    at: datetime


class Rule(NamedTuple):
    """A limit in force now: its boundary with everything applied, and its filter (cuff metrics have none)."""

    limit: Limit
    boundary: Boundary
    filter: Filter | None


class Band(NamedTuple):
    """What is in force for one metric; a value strictly between ``low`` and ``high`` violates no rule.

    ``near`` is the value at which readiness for discharge turns, if it depends on this metric.
    """

    rules: tuple[Rule, ...]
    low: float
    high: float
    near: float | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """The state of one session; ``plan`` and ``standing`` are derived from the rest, never stored.

    ``plan`` is what is in force for each metric; ``standing`` the doses that stand, oldest first.

    ``told_at`` is when the monitor was told of it, at or after ``started_at``: what was not measured before
    then is no omission that could still be helped.
    """

    session_id: str
    patient_code: str
    protocol: Protocol
    mode: Mode
    started_at: datetime
    started_by: str
    phase: Phase = "baseline"
    phase_at: datetime | None = None
    doses: tuple[Dose, ...] = ()
    baseline: dict[str, tuple[Point, ...]] = field(default_factory=dict)
    readings: dict[str, tuple[Point, ...]] = field(default_factory=dict)
    changes: dict[str, LimitChange] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    answers: dict[str, bool] = field(default_factory=dict)
    checkpoints: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    held: dict[str, datetime] = field(default_factory=dict)
    same_limb: bool = False
    ready_by: str = ""
    annotated: tuple[str, ...] = ()
    ready_announced: bool = False
    told_at: datetime | None = None
    plan: Mapping[str, Band] = field(init=False, compare=False, repr=False, default_factory=dict)
    standing: tuple[Dose, ...] = field(init=False, compare=False, repr=False, default=())

    def __post_init__(self) -> None:
        """Derive what is in force for each metric, and which doses stand."""
        doses = [dose for dose in self.doses if not dose.withdrawn]
        object.__setattr__(self, "standing", tuple(sorted(doses, key=lambda dose: dose.at)))
        object.__setattr__(self, "plan", plan_of(self))

    def base(self, metric: str) -> float | None:
        """Return the baseline of a metric (its unit), or ``None`` while there are too few readings."""
        points = self.baseline.get(metric, ())
        if len(points) < self.protocol.baseline.readings:
            return None
        return float(median(point.value for point in points))

    def anchor(self, anchor: Anchor) -> datetime | None:
        """Return the instant of an anchor, or ``None`` if it has not happened."""
        doses = self.standing
        if anchor == "session_start":
            return self.started_at
        if not doses:
            return None
        if anchor == "first_dose":
            return doses[0].at
        if anchor == "last_dose":
            return doses[-1].at
        return self.dosing_ends_at()

    def dosing_ends_at(self) -> datetime | None:
        """Return when dosing ended or is expected to end, or ``None`` before the first dose."""
        doses = self.standing
        if not doses:
            return None
        last = doses[-1]
        return last.ended_at or last.at + timedelta(minutes=self.protocol.dosing_min)


Changes = tuple[tuple[str, LimitChange], ...]
Bases = tuple[tuple[str, float], ...]


def plan_of(session: Session) -> Mapping[str, Band]:
    """Return what is in force for each metric, the worst priority first."""
    bases = ((metric, session.base(metric)) for metric in session.baseline)
    known = tuple((metric, base) for metric, base in bases if base is not None)
    return _plan(session.protocol, session.phase, tuple(session.changes.items()), known)


@lru_cache(maxsize=4096)  # most sessions are watched by the same plan, and it is worked out at every change
def _plan(protocol: Protocol, phase: Phase, changes: Changes, bases: Bases) -> Mapping[str, Band]:
    changed, base = dict(changes), dict(bases)
    found: dict[str, list[Rule]] = {}
    for limit in protocol.limits:
        boundary = _boundary(limit, changed.get(limit.id), base.get(limit.metric))
        if boundary is None or phase not in limit.phases:
            continue
        chosen = protocol.filters.get(limit.filter)
        found.setdefault(limit.metric, []).append(Rule(limit, boundary, chosen))
    plan = {metric: _band(rules) for metric, rules in found.items()}
    for criterion in protocol.discharge:
        if criterion.kind == "near_base" and criterion.metric in base:
            band = plan.get(criterion.metric, _band([]))
            plan[criterion.metric] = band._replace(near=base[criterion.metric] - criterion.margin)
    return plan


def _band(rules: list[Rule]) -> Band:
    rules.sort(key=lambda rule: -RANK[rule.limit.priority] + 10 * rule.limit.annotation)
    lows = [rule.boundary.value for rule in rules if rule.boundary.side == "low"]
    highs = [rule.boundary.value for rule in rules if rule.boundary.side == "high"]
    return Band(tuple(rules), max(lows, default=-math.inf), min(highs, default=math.inf))


def boundary_of(session: Session, limit: Limit) -> Boundary | None:
    """Return the limit in force with change and baseline applied, or ``None`` when it is off."""
    return _boundary(limit, session.changes.get(limit.id), session.base(limit.metric))


def _boundary(limit: Limit, change: LimitChange | None, base: float | None) -> Boundary | None:
    """Apply change and baseline (the metric's unit) to a limit.

    A relative limit can only tighten the absolute one; without a baseline it is off (ALARMS §3.3).
    """
    if not (change.on if change else limit.on):
        return None
    absolute = change.limit if change and change.limit is not None else limit.limit
    relative = _relative(limit, base)
    known = [value for value in (absolute, relative) if value is not None]
    if not known:
        return None
    tightest = max(known) if limit.side == "low" else min(known)
    return Boundary(limit.side, tightest, limit.at_limit)


def _relative(limit: Limit, base: float | None) -> float | None:
    if base is None or (limit.rise is None and limit.rise_fraction is None):
        return None
    rises = [limit.rise, None if limit.rise_fraction is None else base * limit.rise_fraction]
    rise = min(value for value in rises if value is not None)
    return base - rise if limit.side == "low" else base + rise


def with_reading(session: Session, metric: str, point: Point) -> dict[str, tuple[Point, ...]]:
    """Return the cuff readings with one added; only the last few of each metric are kept."""
    return {**session.readings, metric: (*session.readings.get(metric, ()), point)[-KEPT_READINGS:]}


def due_at(session: Session, checkpoint: Checkpoint) -> datetime | None:
    """Return when a checkpoint is due, or ``None`` while its anchor has not happened."""
    anchor = session.anchor(checkpoint.anchor)
    return None if anchor is None else anchor + timedelta(minutes=checkpoint.at_min)


def window(session: Session, checkpoint: Checkpoint) -> tuple[datetime, datetime] | None:
    """Return first and last instant of a checkpoint's window, or ``None`` while it has no time."""
    due = due_at(session, checkpoint)
    if due is None:
        return None
    return due - timedelta(minutes=checkpoint.early_min), due + timedelta(minutes=checkpoint.late_min)


def cuff_due_at(session: Session) -> datetime | None:
    """Return when the next cuff reading is due by the cadence of the phase, or ``None`` without a cadence.

    It counts from the last cuff reading, or from the later of session start and first dose before any.
    """
    for cadence in session.protocol.cadence:
        if cadence.phase == session.phase:
            last = session.readings.get("nibp_systolic", ())
            start = max(filter(None, (session.started_at, session.phase_at, session.told_at)))
            since = last[-1].at if last else start
            return since + timedelta(minutes=cadence.every_min)
    return None
