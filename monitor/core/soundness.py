"""Which protocols are refused, and why.

Law: alarm fatigue is not cured by moving limits, by long delays or by trusting a quality flag for ever
(ALARMS §3.4, AF-07, AL-11). A protocol that does so is refused with the place and the remedy, all at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from monitor.core.protocol import LIVE_PHASES, Checkpoint, Criterion, Filter, Limit, Protocol
from monitor.core.vitals import METRICS


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it stands, what it is, what to do."""

    key: str
    text: str
    remedy: str


# The range in which a limit can lie at all, in the metric's unit (AL-09; proposed figures, ALARMS §2).
SANITY: dict[str, tuple[float, float]] = {
    "spo2": (70, 99),
    "heart_rate": (30, 220),
    "pulse_rate": (30, 220),
    "nibp_pulse_rate": (30, 220),
    "nibp_systolic": (60, 240),
    "nibp_diastolic": (30, 150),
    "nibp_mean": (40, 180),
    "respiration_rate": (4, 60),
    "etco2": (10, 90),
    "temperature": (33, 41),
    "perfusion_index": (0.05, 10),
}
SPO2_LOWEST = 85.0  # AL-11: the lowest SpO2 low limit that a profile may carry
FLOOR_LOWEST = 75.0  # a floor far below the limit is no floor; proposed
GATE_MAX_S = 8.0  # AF-07
DELAY_MAX_S = 30.0  # AF-07, †
STALE_CAP_S = 30.0  # AL-29


def problems(protocol: Protocol) -> list[Problem]:
    """List every mistake in a protocol that its shape alone does not show."""
    return [
        *_whole(protocol),
        *_names(protocol),
        *(p for name, f in protocol.filters.items() for p in filter_problems(f"filters.{name}", f)),
        *(p for limit in protocol.limits for p in _limit(protocol, limit)),
        *_order(protocol.limits),
        *_coverage(protocol),
        *(p for checkpoint in protocol.checkpoints for p in _checkpoint(checkpoint)),
        *(p for criterion in protocol.discharge for p in _criterion(criterion)),
        *_timing(protocol),
    ]


def filter_problems(key: str, chosen: Filter) -> Iterator[Problem]:
    """List what AF-07 refuses in one filter."""
    if chosen.gate_s > GATE_MAX_S:
        yield Problem(
            f"{key}.gate_s",
            f"a quality gate of {chosen.gate_s:g} s hides real events",
            f"use at most {GATE_MAX_S:g} s (AF-07); 15 s lost 30 of 843 short deep dips on the bench",
        )
    elif chosen.gate_s < 0:
        yield Problem(f"{key}.gate_s", f"{chosen.gate_s:g} s is no duration", "use 0 s for no gate")
    if not 0 <= chosen.ceiling_s <= DELAY_MAX_S:
        yield Problem(
            f"{key}.ceiling_s",
            f"a ceiling of {chosen.ceiling_s:g} s is no ceiling",
            f"use 0 to {DELAY_MAX_S:g} s (AF-07)",
        )
    if chosen.integral is not None and not (chosen.integral > 0 and chosen.min_time_s > 0):
        yield Problem(
            f"{key}.integral",
            "an integral alone fires on a spike of two seconds",
            "set integral and min_time_s above 0 (ALARMS §3.5)",
        )
    if chosen.floor is not None and not 0 <= chosen.floor_s <= 6:
        yield Problem(
            f"{key}.floor_s", f"{chosen.floor_s:g} s at the floor is too long", "use 0 to 6 s (AL-14)"
        )
    if chosen.deadband < 0 or chosen.rearm_s < 0 or chosen.settle_s < chosen.rearm_s:
        yield Problem(
            f"{key}.settle_s",
            "settle_s is the second way to close",
            "use deadband, rearm_s >= 0, settle_s >= rearm_s",
        )
    for number, tier in enumerate(chosen.tiers):
        if not 0 <= tier.delay_s <= DELAY_MAX_S:
            yield Problem(
                f"{key}.tiers[{number}].delay_s", f"{tier.delay_s:g} s", f"use 0 to {DELAY_MAX_S:g} s"
            )


def limit_problems(key: str, limit: Limit, value: float) -> Iterator[Problem]:
    """List what is wrong with ``value`` (metric's unit) as the absolute limit of a rule (AL-09, AL-11)."""
    low, high = SANITY[limit.metric]
    unit = METRICS[limit.metric].unit
    if not low <= value <= high:
        yield Problem(
            key, f"{value:g} {unit} is outside {low:g} to {high:g}", "use a limit inside that range (AL-09)"
        )
    elif limit.metric == "spo2" and limit.side == "low" and value < SPO2_LOWEST:
        yield Problem(
            key,
            f"an SpO2 low limit of {value:g} % leaves {value:g} to {SPO2_LOWEST:g} % unseen",
            f"use {SPO2_LOWEST:g} % or more (AL-11)",
        )


def _names(protocol: Protocol) -> Iterator[Problem]:
    groups: list[tuple[str, Iterable[str]]] = [
        ("limits", [limit.id for limit in protocol.limits]),
        ("checkpoints", [checkpoint.id for checkpoint in protocol.checkpoints]),
        ("discharge", [criterion.id for criterion in protocol.discharge]),
        ("watch", [watch.metric for watch in protocol.watch]),
    ]
    for group, names in groups:
        seen: set[str] = set()
        for name in names:
            if name in seen:
                yield Problem(f"{group}.{name}", "the same name twice", "give each its own")
            seen.add(name)


def _limit(protocol: Protocol, limit: Limit) -> Iterator[Problem]:
    key = f"limits.{limit.id}"
    if limit.metric not in METRICS:
        yield Problem(f"{key}.metric", f"unknown metric {limit.metric!r}", f"use one of {', '.join(METRICS)}")
        return
    if limit.limit is None and limit.rise is None and limit.rise_fraction is None:
        yield Problem(f"{key}.limit", "neither limit nor rise", "give limit, rise or rise_fraction")
    if limit.limit is not None:
        yield from limit_problems(f"{key}.limit", limit, limit.limit)
    for name, rise in (("rise", limit.rise), ("rise_fraction", limit.rise_fraction)):
        if rise is not None and rise <= 0:
            yield Problem(
                f"{key}.{name}",
                f"{rise:g} is not above 0",
                "give how far from the baseline, as a positive number",
            )
    if not limit.source.strip():
        yield Problem(f"{key}.source", "no source", "say where the number comes from")
    yield from _live(limit, key)
    if METRICS[limit.metric].aperiodic:
        if limit.filter:
            yield Problem(
                f"{key}.filter", "a cuff reading has no duration", "use confirm and repeat_within_s instead"
            )
    elif not limit.annotation:
        yield from _filtered(protocol, limit, key)


def _live(limit: Limit, key: str) -> Iterator[Problem]:
    """List why a limit would rest without anybody's notice."""
    if not limit.phases:
        yield Problem(f"{key}.phases", "live in no phase: nobody would see it", "name phases, or on = false")
    if limit.repeat_within_s < 0:
        yield Problem(f"{key}.repeat_within_s", "a time before the reading", "use seconds above 0, or none")
    if not _is_urgent_spo2(limit):
        return
    if not limit.on:
        yield Problem(f"{key}.on", "the urgent SpO2 limit cannot be off by default", "leave it on (AF-07)")
    resting = [phase for phase in LIVE_PHASES if limit.phases and phase not in limit.phases]
    if resting:
        text = f"the urgent SpO2 limit rests in {', '.join(resting)}"
        yield Problem(f"{key}.phases", text, "name every live phase (AF-07)")


def _is_urgent_spo2(limit: Limit) -> bool:
    return limit.metric == "spo2" and limit.side == "low" and limit.priority == "high"


def _filtered(protocol: Protocol, limit: Limit, key: str) -> Iterator[Problem]:
    chosen = protocol.filters.get(limit.filter)
    if chosen is None:
        names = ", ".join(protocol.filters) or "none is defined"
        yield Problem(f"{key}.filter", f"no filter {limit.filter!r}", f"name one of [filters]: {names}")
        return
    if limit.confirm or limit.repeat_within_s:
        yield Problem(
            f"{key}.confirm", "only a cuff reading can be repeated", "remove confirm and repeat_within_s"
        )
    if _is_urgent_spo2(limit) and (chosen.floor is None or chosen.floor < FLOOR_LOWEST):
        yield Problem(
            f"{key}.filter",
            f"filter {limit.filter!r} has no floor for the urgent SpO2 limit",
            "set floor (for example 85) and floor_s (AL-14, AF-07)",
        )
    if chosen.integral is not None and not chosen.net_crossings:
        yield Problem(
            f"{key}.filter",
            f"filter {limit.filter!r} uses an integral without the net",
            "set net_crossings = 3 (AF-08)",
        )


def _order(limits: tuple[Limit, ...]) -> Iterator[Problem]:
    """A low limit must lie below every high limit of its metric."""
    lows = [x for x in limits if x.side == "low" and x.limit is not None]
    highs = [x for x in limits if x.side == "high" and x.limit is not None]
    for low in lows:
        for high in highs:
            if low.metric == high.metric and (low.limit or 0) >= (high.limit or 0):
                yield Problem(
                    f"limits.{low.id}.limit",
                    f"the low limit {low.limit:g} is not below the high limit {high.limit:g} of {high.id}",
                    "exchange or correct them (AL-09)",
                )


def _coverage(protocol: Protocol) -> Iterator[Problem]:
    watched = {watch.metric: watch for watch in protocol.watch}
    for watch in protocol.watch:
        key = f"watch.{watch.metric}"
        if watch.metric not in METRICS or METRICS[watch.metric].aperiodic:
            yield Problem(
                f"{key}.metric", f"{watch.metric!r} is no continuous metric", "name one, such as spo2"
            )
        if not 0 < watch.stale_after_s <= STALE_CAP_S:
            yield Problem(
                f"{key}.stale_after_s", f"{watch.stale_after_s:g} s", f"use up to {STALE_CAP_S:g} s (AL-29)"
            )
        if not watch.stale_after_s <= watch.medium_after_s <= watch.high_after_s:
            yield Problem(f"{key}.medium_after_s", "the ages do not grow", "stale <= medium <= high")
    if "spo2" not in watched:
        yield Problem(
            "watch", "SpO2 is not watched", "add [[watch]] metric = 'spo2' (REMS: oximetry each session)"
        )
    if not any(
        x.metric == "spo2" and x.side == "low" and x.priority == "high" and x.limit for x in protocol.limits
    ):
        yield Problem("limits", "no urgent SpO2 low limit", "add one with harm death_or_irreversible")
    if not protocol.cadence:
        yield Problem(
            "cadence", "the cuff has no cadence", "add [[cadence]] so that a missing reading is noticed"
        )


def _whole(protocol: Protocol) -> Iterator[Problem]:
    """List numbers of the protocol itself that mean nothing."""
    if not protocol.name.strip():
        yield Problem("name", "no name", "give the name that sessions and commands use")
    if protocol.dosing_min < 0:
        yield Problem(
            "dosing_min", f"{protocol.dosing_min:g} min is no duration", "use minutes, 0 for at once"
        )
    if protocol.baseline.readings < 1 or protocol.baseline.apart_min < 0:
        yield Problem("baseline", "a baseline needs a reading", "use readings >= 1 and apart_min >= 0")
    for cadence in protocol.cadence:
        if cadence.every_min <= 0:
            key = f"cadence ({cadence.phase}).every_min"
            yield Problem(key, f"every {cadence.every_min:g} min", "use minutes above 0")
        if not 0 < cadence.medium_late_min <= cadence.high_late_min:
            key = f"cadence ({cadence.phase}).high_late_min"
            yield Problem(key, "high before medium", "use 0 < medium_late_min <= high_late_min")
    for hold in protocol.hold:
        if hold.metric not in METRICS:
            remedy = f"use one of {', '.join(METRICS)}"
            yield Problem(f"hold ({hold.metric}).metric", f"unknown metric {hold.metric!r}", remedy)


def _checkpoint(checkpoint: Checkpoint) -> Iterator[Problem]:
    key = f"checkpoints.{checkpoint.id}"
    if checkpoint.early_min < 0 or checkpoint.late_min <= 0:
        yield Problem(
            f"{key}.late_min", "the window is empty", "use early_min >= 0 and late_min > 0 (minutes)"
        )
    for metric in checkpoint.metrics:
        if metric not in METRICS:
            yield Problem(f"{key}.metrics", f"unknown metric {metric!r}", f"use one of {', '.join(METRICS)}")


def _criterion(criterion: Criterion) -> Iterator[Problem]:
    key = f"discharge.{criterion.id}"
    if criterion.kind in ("settled", "not_rising", "near_base", "recent") and criterion.metric not in METRICS:
        yield Problem(
            f"{key}.metric", f"unknown metric {criterion.metric!r}", f"use one of {', '.join(METRICS)}"
        )
    if criterion.kind in ("elapsed", "recent") and criterion.minutes <= 0:
        yield Problem(f"{key}.minutes", "no duration", "give minutes above 0")
    if criterion.kind == "score" and not criterion.scale:
        yield Problem(f"{key}.scale", "no scale", "name the scale, such as moaas or dissociation")
    if criterion.kind == "score" and criterion.at_least is None and criterion.at_most is None:
        yield Problem(f"{key}.at_least", "no bound", "give at_least or at_most")


def _timing(protocol: Protocol) -> Iterator[Problem]:
    timing = protocol.timing
    if not 0 < timing.audio_pause_s <= timing.audio_pause_max_s <= 600:
        yield Problem(
            "timing.audio_pause_s", "audio pause out of range", "at most 600 s, default 120 s (AL-20)"
        )
    if not 0 < timing.alarm_pause_max_s <= 120:
        yield Problem(
            "timing.alarm_pause_max_s", "alarm pause out of range", "use up to 120 s (ALARMS §3.4 rank 6)"
        )
    if not 0 < timing.reminder_s <= 300:
        yield Problem("timing.reminder_s", "reminder out of range", "use up to 300 s (AL-24)")
    for name in ("acknowledge_high_s", "acknowledge_medium_s", "acknowledge_low_s"):
        if getattr(timing, name) <= 0:
            yield Problem(f"timing.{name}", "an acknowledgement must last", "use seconds above 0 (AL-19)")
