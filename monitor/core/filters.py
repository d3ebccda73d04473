"""Which side of a limit, for how long and how deep: the alarm filters.

Law: a filter is a pure function of its state and one sample (AF-01). A deeper or longer excursion never
alarms later (AF-05); a gap adds at most two nominal periods and never resets or clears (AF-06); what is
held back is bounded in time (AF-04). Formulae: ALARMS §3.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from monitor.core.protocol import Filter, Side

Verdict = Literal["idle", "pending", "held", "fires", "present", "clears"]
Path = Literal["", "ceiling", "floor", "tier", "time and depth", "net", "at once", "confirmed"]


class Boundary(NamedTuple):
    """A limit in force: its side, its value in the metric's unit, and whether the value itself violates."""

    side: Side
    value: float
    at_limit: bool = False

    def depth(self, value: float) -> float:
        """Return how far ``value`` lies beyond the limit (metric's unit; negative: inside)."""
        return self.value - value if self.side == "low" else value - self.value

    def beyond(self, value: float) -> bool:
        """Say whether ``value`` violates the limit (AL-08)."""
        depth = self.value - value if self.side == "low" else value - self.value
        return depth > 0 or (self.at_limit and depth == 0)

    def words(self) -> str:
        """Return the limit in words: ``below 90``, ``180 or above``."""
        side = "below" if self.side == "low" else "above"
        return f"{self.value:g} or {side}" if self.at_limit else f"{side} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Excursion:
    """What one filter remembers between samples; no excursion at all means idle.

    Times in seconds of sample time. ``since`` is the first sample of the present run beyond the limit,
    ``onset_at`` that of the run that fired. ``worst`` is the deepest value seen since then. ``gate_used_s``
    is for how long quality has been in doubt since the last good sample inside the limit: a dip of a signal
    that has been bad before it is not held back for as long again.
    """

    since: datetime | None = None
    beyond_s: float = 0.0
    integral: float = 0.0
    floor_s: float = 0.0
    tier_s: tuple[float, ...] = ()
    gate_used_s: float = 0.0
    crossings: tuple[datetime, ...] = ()
    clear_s: float = 0.0
    settle_s: float = 0.0
    onset_at: datetime | None = None
    path: Path = ""
    worst: float | None = None
    flaps: int = 0
    gate_exhausted: bool = False

    @property
    def fired(self) -> bool:
        """Say whether the condition is present."""
        return self.path != ""


IDLE = Excursion()


class Sample(NamedTuple):
    """One value as a filter sees it.

    ``step_s`` is the time since the metric's previous sample, at most two nominal periods (AF-06): a gap is
    no evidence of depth. ``good`` is false when the value's quality is in doubt.
    """

    value: float
    good: bool
    at: datetime
    step_s: float


def judge(chosen: Filter, limit: Boundary, state: Excursion, sample: Sample) -> tuple[Excursion, Verdict]:
    """Pass one sample through a filter.

    Returns:
        The new state and what it means: ``fires`` once when the condition becomes present, ``clears``
        once when it ends, ``held`` while the quality gate holds the sample out of the count.
    """
    beyond = limit.beyond(sample.value)
    if state is IDLE and not beyond and (sample.good or not chosen.gate_s):
        return IDLE, "idle"
    if not sample.good:
        used = state.gate_used_s + sample.step_s
        if used <= chosen.gate_s:
            return replace(state, gate_used_s=used), "present" if state.fired else "held"
        state = replace(state, gate_used_s=used, gate_exhausted=state.gate_exhausted or beyond)
    if beyond:
        return _outside(chosen, limit, state, sample)
    return _inside(chosen, limit, state, sample)


def _outside(chosen: Filter, limit: Boundary, state: Excursion, sample: Sample) -> tuple[Excursion, Verdict]:
    depth = limit.depth(sample.value)
    step = sample.step_s
    enters = state.since is None
    crossings = state.crossings
    if enters and chosen.net_crossings:
        crossings = _recent((*crossings, sample.at), sample.at, chosen.net_window_s)
    state = Excursion(  # written out: half the time of ``replace``
        since=sample.at if enters else state.since,
        beyond_s=state.beyond_s + step,
        integral=state.integral + depth * step,
        floor_s=state.floor_s + step if _reaches(limit, chosen.floor, sample.value) else 0.0,
        tier_s=_tiers(chosen, limit, state, sample),
        gate_used_s=state.gate_used_s,
        crossings=crossings,
        onset_at=state.onset_at,
        path=state.path,
        worst=_worse(limit, state.worst, sample.value),
        flaps=state.flaps + 1 if enters and state.fired else state.flaps,
        gate_exhausted=state.gate_exhausted,
    )
    if state.fired:
        return state, "present"
    path = _path(chosen, limit, state, sample.value)
    if not path:
        return state, "pending"
    return replace(state, path=path, onset_at=state.since), "fires"


def _inside(chosen: Filter, limit: Boundary, state: Excursion, sample: Sample) -> tuple[Excursion, Verdict]:
    margin = -limit.depth(sample.value)
    integral = max(0.0, state.integral - max(1.0, margin) * sample.step_s)
    state = Excursion(
        integral=integral,
        gate_used_s=0.0 if sample.good else state.gate_used_s,
        crossings=state.crossings,
        clear_s=state.clear_s,
        settle_s=state.settle_s,
        onset_at=state.onset_at,
        path=state.path,
        worst=state.worst,
        flaps=state.flaps,
        gate_exhausted=state.gate_exhausted and not sample.good,
    )
    if state.fired:
        clear = state.clear_s + sample.step_s if margin >= chosen.deadband else 0.0
        settle = state.settle_s + sample.step_s
        if clear >= chosen.rearm_s or settle >= chosen.settle_s:
            return IDLE, "clears"
        return replace(state, clear_s=clear, settle_s=settle), "present"
    crossings = _recent(state.crossings, sample.at, chosen.net_window_s)
    if not crossings and integral == 0.0 and state.gate_used_s == 0.0:
        return IDLE, "idle"
    return replace(state, crossings=crossings, worst=None), "idle"


def _path(chosen: Filter, limit: Boundary, state: Excursion, value: float) -> Path:
    """Name the path on which the filter fires now, if any; the most urgent first."""
    if chosen.ceiling_s == 0:
        return "at once"
    if chosen.floor is not None and _reaches(limit, chosen.floor, value) and state.floor_s >= chosen.floor_s:
        return "floor"
    for spent, tier in zip(state.tier_s, chosen.tiers, strict=True):
        if spent >= tier.delay_s and _reaches(limit, tier.limit, value):
            return "tier"
    if (
        chosen.integral is not None
        and state.beyond_s >= chosen.min_time_s
        and state.integral >= chosen.integral
    ):
        return "time and depth"
    if state.beyond_s >= chosen.ceiling_s:
        return "ceiling"
    if chosen.net_crossings and len(state.crossings) >= chosen.net_crossings:
        return "net"
    return ""


def _tiers(chosen: Filter, limit: Boundary, state: Excursion, sample: Sample) -> tuple[float, ...]:
    if not chosen.tiers:
        return ()
    before = state.tier_s or (0.0,) * len(chosen.tiers)
    return tuple(
        spent + sample.step_s if _reaches(limit, tier.limit, sample.value) else 0.0
        for spent, tier in zip(before, chosen.tiers, strict=True)
    )


def _reaches(limit: Boundary, mark: float | None, value: float) -> bool:
    """Say whether ``value`` is at or beyond a mark deeper than the limit."""
    if mark is None:
        return False
    return value <= mark if limit.side == "low" else value >= mark


def _worse(limit: Boundary, worst: float | None, value: float) -> float:
    if worst is None:
        return value
    return min(worst, value) if limit.side == "low" else max(worst, value)


def _recent(crossings: tuple[datetime, ...], at: datetime, window_s: float) -> tuple[datetime, ...]:
    if not crossings:
        return crossings
    oldest = at - timedelta(seconds=window_s)
    return tuple(crossing for crossing in crossings if crossing > oldest)


def why(limit: Boundary, state: Excursion, unit: str) -> str:
    """Say in words which path fired and on what evidence (AF-10): ``14 s below 90, 52 point-seconds``."""
    if state.path == "at once":
        return f"{limit.words()} {unit}, at once"
    spent = f"{state.beyond_s:.0f} s {limit.words()}"
    detail = {
        "floor": f"{state.floor_s:.0f} s at the floor (worst {state.worst:g})",
        "tier": f"worst {state.worst:g}, depth-tiered delay",
        "time and depth": f"{state.integral:.0f} point-seconds",
        "ceiling": "longer than the ceiling",
        "net": f"{len(state.crossings)} entries within the net's window",
    }[state.path]
    quality = ", low quality" if state.gate_exhausted else ""
    return f"{spent}, {detail}{quality}"


# --- cuff readings: one every 5 to 15 minutes, so no duration to measure (ALARMS §3.3) ----------------


REPEAT_S = 120.0  # a repeat follows within 2 min (ALARMS §3.3)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a cuff limit remembers: the first reading beyond it, and whether a second confirmed it."""

    first_at: datetime
    first_value: float
    repeat_due_at: datetime | None = None
    present: bool = False


def confirm(
    limit: Boundary,
    state: Confirmation | None,
    sample: Sample,
    *,
    needs_repeat: bool,
    repeat_within_s: float,
    deadband: float,
    asked_at: datetime | None = None,
) -> tuple[Confirmation | None, Verdict, Path]:
    """Pass one cuff reading through a limit.

    ``asked_at`` is from when the time for a repeat counts, if not from the reading.

    Returns:
        The new state, the verdict, and the path on which it fired. A reading in doubt needs a repeat
        whatever the limit says, and clears nothing. A missing repeat never clears the first reading: only a
        good reading inside the limit does.
    """
    stands: Verdict = "present" if state is not None and state.present else "held"
    if limit.beyond(sample.value):
        if state is None:
            return _first(sample, needs_repeat, repeat_within_s, asked_at or sample.at)
        if sample.at <= state.first_at:
            return state, stands, ""  # the same reading again, as when a limit has changed
        path: Path = "" if state.present else "confirmed"
        return replace(state, present=True, repeat_due_at=None), "fires" if path else "present", path
    if state is None:
        return None, "idle", ""
    if not sample.good:
        return state, stands, ""
    if not state.present:
        return None, "idle", ""
    if -limit.depth(sample.value) >= deadband:
        return None, "clears", ""
    return replace(state, repeat_due_at=None), "present", ""


def _first(
    sample: Sample, needs_repeat: bool, repeat_within_s: float, asked_at: datetime
) -> tuple[Confirmation, Verdict, Path]:
    """Take the first reading beyond a limit: an alarm at once, or one that waits for its repeat."""
    waits = needs_repeat or not sample.good
    within_s = repeat_within_s or (REPEAT_S if waits else 0)
    due = asked_at + timedelta(seconds=within_s) if within_s else None
    first = Confirmation(sample.at, sample.value, due, present=not waits)
    return (first, "pending", "") if waits else (first, "fires", "at once")
