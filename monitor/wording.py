"""A protocol in clinical words: what ``afterwatch check`` prints and a clinician signs.

Law: every limit in force is said, with its filter, its priority and its source; nothing is rounded away.
"""

from __future__ import annotations

from monitor.core.protocol import LIVE_PHASES, Filter, Limit, Protocol
from monitor.core.vitals import METRICS


def effective_limits(protocol: Protocol) -> list[str]:
    """Return a protocol's limits, watches, checkpoints and criteria as lines of text."""
    lines = [
        f"{protocol.title} ({protocol.name}, version {protocol.version}, digest {protocol.digest})",
        f"  reviewed by: {protocol.reviewed_by or 'NOBODY YET: a clinician of the site must sign it off'}",
    ]
    ordered = sorted(protocol.limits, key=lambda one: (list(METRICS).index(one.metric), one.side))
    lines += [f"  {limit_words(limit, protocol)}" for limit in ordered]
    for watch in protocol.watch:
        given = ", once a device gives it" if watch.if_provided else ""
        lines.append(
            f"  {METRICS[watch.metric].label}: no value for {watch.stale_after_s:g} s low, "
            f"{watch.medium_after_s:g} s medium, {watch.high_after_s:g} s high{given}  [{watch.source}]"
        )
    lines += [
        f"  cuff every {one.every_min:g} min in {one.phase}  [{one.source}]" for one in protocol.cadence
    ]
    lines += [
        f"  {point.label}: {point.at_min:g} min after {point.anchor.replace('_', ' ')}, "
        f"from {point.early_min:g} min before to {point.late_min:g} min after  [{point.source}]"
        for point in protocol.checkpoints
    ]
    for hold in protocol.hold:
        metric = METRICS[hold.metric]
        lines.append(
            f"  before the dose: {metric.label} above {hold.above:g} {metric.unit} asks to hold and measure "
            f"again after {hold.repeat_after_min:g} min  [{hold.source}]"
        )
    lines += [f"  discharge: {one.label}  [{one.source}]" for one in protocol.discharge]
    return lines


def limit_words(limit: Limit, protocol: Protocol) -> str:
    """Return one limit in words, with its filter, priority and source."""
    metric = METRICS[limit.metric]
    side = "below" if limit.side == "low" else "above"
    words = [f"{metric.label} {_where(limit, side, metric.unit)}:"]
    if limit.annotation:
        words.append("marked on the chart, no alarm")
    else:
        words.append(f"{limit.priority} ({limit.harm.replace('_', ' ')}, {limit.onset})")
        chosen = protocol.filters.get(limit.filter)
        words.append(filter_words(chosen, metric.unit) if chosen else _cuff(limit))
    if not limit.on:
        words.append("OFF unless set for a session")
    if limit.phases != LIVE_PHASES:
        words.append(f"in {', '.join(limit.phases)}")
    return " ".join(words) + f"  [{limit.source}]"


def _where(limit: Limit, side: str, unit: str) -> str:
    found = []
    if limit.limit is not None:
        found.append(
            f"{limit.limit:g} {unit} or {side}" if limit.at_limit else f"{side} {limit.limit:g} {unit}"
        )
    if limit.rise is not None:
        found.append(f"{limit.rise:g} {unit} {side} baseline")
    if limit.rise_fraction is not None:
        found.append(f"{limit.rise_fraction:.0%} {side} baseline")
    return ", or ".join(found)


def filter_words(chosen: Filter, unit: str) -> str:
    """Return when a filter lets an excursion become an alarm."""
    ways = ["at once" if chosen.ceiling_s == 0 else f"after {chosen.ceiling_s:g} s"]
    if chosen.integral is not None:
        ways.append(f"from {chosen.integral:g} {unit} × s and {chosen.min_time_s:g} s")
    ways += [f"beyond {tier.limit:g} after {tier.delay_s:g} s" for tier in chosen.tiers]
    if chosen.floor is not None:
        ways.append(f"at {chosen.floor:g} after {chosen.floor_s:g} s")
    if chosen.net_crossings:
        ways.append(f"{chosen.net_crossings} times in {chosen.net_window_s:g} s")
    return "; ".join(ways)


def _cuff(limit: Limit) -> str:
    if limit.confirm:
        return f"when a second reading within {limit.repeat_within_s:g} s confirms it"
    if limit.repeat_within_s:
        return f"at the first reading; a second is asked for within {limit.repeat_within_s:g} s"
    return "at the first reading"
