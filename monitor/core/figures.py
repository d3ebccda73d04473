"""Figures about alarms: how many, how many of use, how soon answered, and who had too many.

Law: pure; everything follows from what was told, the people on duty and ``until`` or ``now``. A drill counts
nowhere, and no figure ever changes an alarm.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from monitor.core.outcomes import Outcome

# What the figures are made of; whoever reads a log need not read more.
TOLD = (
    "SessionStarted SessionEnded AlarmRaised AlarmEnded AlarmOffered AlarmAcknowledged AlarmAccepted "
    "AlarmRejected DispositionRecorded"
).split()
ISA_SPLIT = {"high": 5, "medium": 15, "low": 80}  # AL-56, ISA-18.2 via ALARMS §1.5
TOP_SHARE = 0.1  # the noisiest tenth of sessions has 57 to 82 % of all alarms (ALARMS §3.4, row 7)
# Nurses who had had 30 or more non-actionable alarms in the 120 min before answered later (AF-15, Bonafide
# 2015, PMC4456276: a children's hospital; nobody has measured it where ketamine is given).
SLOWDOWN_ALARMS = 30
SLOWDOWN_SPAN = timedelta(minutes=120)
ALARM_LOAD = "alarm-load:"  # the technical alarm that says so; it counts for nobody
NO_ACTION = ("known", "artefact")


def indicators(outcomes: Iterable[Outcome], since: datetime, until: datetime) -> dict[str, Any]:
    """Return how the alarms of a span were (AF-14, AL-56), as JSON values.

    Args:
        outcomes: those named in ``TOLD``, oldest first.
        since, until: the span, aware UTC.
    """
    told = [one for one in outcomes if one.mode != "drill"]
    raised = {one.alarm_id: one for one in told if one.outcome == "AlarmRaised"}
    by = Counter[str](one.priority for one in raised.values())
    hours = _session_hours(told, since, until)
    loads = sorted(_loads(raised.values(), hours).values(), reverse=True)
    top = loads[: math.ceil(TOP_SHARE * len(loads))]
    judged = [word for name, word in _judged(told).items() if name in raised and word != "drill"]
    times = _answered_after_s(told, raised)
    return {
        "alarms": len(raised),
        "by_priority": {name: by.get(name, 0) for name in ISA_SPLIT},
        "share": {name: _percent(by.get(name, 0), len(raised)) or 0.0 for name in ISA_SPLIT},
        "target_share": ISA_SPLIT,
        "by_kind": dict(Counter(one.kind for one in raised.values())),
        "by_rule": dict(Counter(one.rule for one in raised.values()).most_common(12)),
        "sessions": len(hours),
        "session_hours": round(sum(hours.values()), 2),
        "per_session_hour": round(sum(loads) / sum(hours.values()), 2) if sum(hours.values()) else None,
        "judged": len(judged),
        "non_actionable_percent": _percent(sum(word in NO_ACTION for word in judged), len(judged)),
        "top_tenth_percent": _percent(sum(top), sum(loads)),
        "acknowledged": len(times),
        "acknowledge_p50_s": percentile(times, 0.5),
        "acknowledge_p90_s": percentile(times, 0.9),
        "acknowledge_worst_s": times[-1] if times else None,
    }


def overloaded(outcomes: Iterable[Outcome], on_duty: Collection[str], now: datetime) -> dict[str, int]:
    """Return who had so many alarms without need of action that answers slow down, with how many (AF-15).

    Whose alarm it was: those it was offered to and those who answered; one that was offered to nobody was
    everybody's on duty, for it sounded. It needed no action when a person said so afterwards (known,
    artefact), or when it ended before anybody answered and nobody has said what it was.

    Args:
        outcomes: those named in ``TOLD``, oldest first, of at least ``SLOWDOWN_SPAN``.
        on_duty: names of the people on duty.
        now: the end of the span, aware UTC.
    """
    told = [one for one in outcomes if one.mode != "drill"]
    offered, answered, ended = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set), set[str]()
    for one in told:
        if one.outcome == "AlarmOffered":
            offered[one.alarm_id] |= {str(name) for name in one.detail.get("people", ())}
        elif one.outcome in ("AlarmAcknowledged", "AlarmAccepted", "AlarmRejected"):
            answered[one.alarm_id].add(one.by)
        elif one.outcome == "AlarmEnded":
            ended.add(one.alarm_id)
    judged, count = _judged(told), Counter[str]()
    for one in told:
        name = one.alarm_id
        recent = one.outcome == "AlarmRaised" and now - SLOWDOWN_SPAN < one.at <= now
        if not recent or one.rule.startswith(ALARM_LOAD):
            continue
        unsaid = name not in judged and name in ended and name not in answered
        if unsaid or judged.get(name) in NO_ACTION:
            count.update(offered.get(name, set(on_duty)) | answered.get(name, set()))
    return {name: number for name, number in sorted(count.items()) if number >= SLOWDOWN_ALARMS}


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile of sorted values: one that was measured, none of nothing."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else None


def _percent(part: float, whole: float) -> float | None:
    return round(100 * part / whole, 1) if whole else None


def _session_hours(told: Iterable[Outcome], since: datetime, until: datetime) -> Mapping[str, float]:
    """Return how long each session ran within the span, in hours; of what is not told, it ran throughout."""
    begun, ended = dict[str, datetime](), dict[str, datetime]()
    for one in told:
        if one.outcome == "SessionStarted":
            begun[one.session_id] = datetime.fromisoformat(one.detail.get("started_at", one.at.isoformat()))
        elif one.outcome == "SessionEnded":
            ended[one.session_id] = one.at
            begun.setdefault(one.session_id, since)
        elif one.outcome == "AlarmRaised" and one.session_id:
            begun.setdefault(one.session_id, since)
    spans = {name: min(ended.get(name, until), until) - max(at, since) for name, at in begun.items()}
    return {name: max(0.0, span.total_seconds()) / 3600 for name, span in spans.items()}


def _loads(raised: Iterable[Outcome], sessions: Iterable[str]) -> dict[str, int]:
    """Return how many alarms each session had, also none."""
    had = Counter(one.session_id for one in raised)
    return {name: had.get(name, 0) for name in sessions}


def _judged(told: Iterable[Outcome]) -> dict[str, str]:
    """Return what people said of alarms; the last word on each counts."""
    said = [one for one in told if one.outcome == "DispositionRecorded"]
    return {one.alarm_id: str(one.detail.get("disposition", "")) for one in said}


def _answered_after_s(told: Iterable[Outcome], raised: Mapping[str, Outcome]) -> list[float]:
    """Return after how many seconds each alarm was first acknowledged, the soonest first."""
    found: dict[str, float] = {}
    for one in told:
        if one.outcome == "AlarmAcknowledged" and one.alarm_id in raised:
            found.setdefault(one.alarm_id, (one.at - raised[one.alarm_id].at).total_seconds())
    return sorted(found.values())
