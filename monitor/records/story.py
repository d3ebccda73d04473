"""One session's record, told by subject: doses, cuff readings, alarms, gaps, checkpoints, readiness.

Law: everything here is a reading of the record's entries and traces. Nothing is judged anew, nothing is
interpolated or carried forward, and what was withdrawn stays, marked as withdrawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

from monitor.clockface import instant
from monitor.core.outcomes import Outcome, OutcomeName
from monitor.core.protocol import RANK, Checkpoint, Criterion, Priority
from monitor.core.record import Delivery, SessionRecord, Trace
from monitor.core.vitals import METRICS

CUFF = ("nibp_systolic", "nibp_diastolic", "nibp_mean", "nibp_pulse_rate")
# Where a protocol watches a metric it says how old a value may be; for what no protocol watches, this.
GAP_AFTER_S = 30.0
BREAK_AFTER_S = 10.0
SLOW_PERIODS = 2.5  # a device that reports each minute has no gap after ten seconds
EVERY_S = 300.0  # what is sent of a continuous metric: lowest and highest of each five minutes, as measured
NEAR = timedelta(seconds=30)  # how far from a cuff reading a saturation may be and still stand beside it


# What people do about an alarm, in words.
ANSWERS = {
    "AlarmAcknowledged": "acknowledged",
    "AlarmAccepted": "accepted",
    "AlarmRejected": "passed on",
    "AlarmReset": "seen after its end",
    "AlarmPaused": "paused",
}


class Dose(NamedTuple):
    """One dose as it was recorded; ``withdrawn`` is the outcome that struck it."""

    at: datetime
    amount_mg: float
    route: str
    by: str
    reason: str
    withdrawn: Outcome | None


class Cuff(NamedTuple):
    """One cuff measurement, in mmHg and /min; ``mark`` says what was doubtful, ``source`` who measured."""

    at: datetime
    source: str
    values: dict[str, float]
    mark: str

    @property
    def pressure(self) -> str:
        """Return it as people write it: ``138/82 (101)``."""
        pair = f"{_whole(self.values.get(CUFF[0]))}/{_whole(self.values.get(CUFF[1]))}"
        return pair + (f" ({_whole(self.values[CUFF[2]])})" if CUFF[2] in self.values else "")

    @property
    def complete(self) -> bool:
        """Say whether it has a systolic and a diastolic value."""
        return CUFF[0] in self.values and CUFF[1] in self.values


@dataclass
class AlarmStory:
    """One alarm from its first entry to its last."""

    alarm_id: str
    first: Outcome
    steps: list[Outcome] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)

    @property
    def onset_at(self) -> datetime:
        """Return the first evidence."""
        return _instant_in(self.first, "onset_at")

    @property
    def worst(self) -> Priority:
        """Return the highest priority that it reached."""
        ranks = [one.priority for one in (self.first, *self.steps) if one.priority]
        return max(ranks, key=lambda one: RANK[one], default="low")

    @property
    def ended(self) -> Outcome | None:
        """Return the entry of its end, or ``None`` while it is present."""
        return next((one for one in self.steps if one.outcome == "AlarmEnded"), None)

    @property
    def answers(self) -> list[Outcome]:
        """Return what people did about it, oldest first."""
        return [one for one in self.steps if one.outcome in ANSWERS]

    @property
    def dispositions(self) -> list[Outcome]:
        """Return what people said that it turned out to be."""
        return [one for one in self.steps if one.outcome == "DispositionRecorded"]


class Gap(NamedTuple):
    """A time without a value of a continuous metric, and the device's words for it."""

    metric: str
    device_id: str
    from_at: datetime
    to_at: datetime
    why: str


class Due(NamedTuple):
    """One checkpoint: when it was due, what was told of it, and the reading nearest to it in its window."""

    checkpoint: Checkpoint
    due_at: datetime | None
    told: str
    reading: Cuff | None


class Answered(NamedTuple):
    """One discharge criterion as it stood when a person confirmed."""

    criterion: Criterion
    words: str


class Story:
    """The record by subject; every list is oldest first."""

    def __init__(self, record: SessionRecord) -> None:
        """Read a record."""
        self.record = record
        self.outcomes = [entry.outcome for entry in record.entries]
        self.doses = list(_doses(self.outcomes))
        self.cuffs = _cuffs(record, self.outcomes)
        self.alarms = _alarms(record, self.outcomes)
        self.lines = [trace for trace in record.traces if not METRICS[trace.metric].aperiodic]

    def named(self, *names: OutcomeName) -> list[Outcome]:
        """Return the entries of these kinds."""
        return [one for one in self.outcomes if one.outcome in names]

    @property
    def started_at(self) -> datetime:
        """Return when the session began."""
        return self.record.summary.started_at

    @property
    def ended_at(self) -> datetime:
        """Return when it ended, or the last thing known of one that still runs."""
        if self.record.summary.ended_at is not None:
            return self.record.summary.ended_at
        last = [instant(trace.at[-1]) for trace in self.record.traces if trace.at]
        return max([self.started_at, *last, *(one.at for one in self.outcomes)])

    @property
    def standing(self) -> list[Dose]:
        """Return the doses that were not withdrawn."""
        return [dose for dose in self.doses if dose.withdrawn is None]

    @property
    def first_dose_at(self) -> datetime | None:
        """Return the instant of the first standing dose."""
        return min((dose.at for dose in self.standing), default=None)

    def minute(self, at: datetime) -> str:
        """Return the whole minute from the first dose, signed, or an empty text when there is none."""
        first = self.first_dose_at
        return "" if first is None else signed(int((at - first) // timedelta(minutes=1)))

    def beside(self, metric: str, at: datetime) -> float | None:
        """Return the plainly valid value of a metric nearest to an instant, if one is within 30 s."""
        found = [
            (abs(second - at.timestamp()), value)
            for trace in self.lines
            if trace.metric == metric
            for position, second, value in _around(trace, at)
            if value is not None and position not in trace.marks
        ]
        distance, value = min(found, default=(NEAR.total_seconds() + 1, 0.0))
        return value if distance <= NEAR.total_seconds() else None

    def checkpoints(self) -> list[Due]:
        """Return the protocol's checkpoints with what was told and read."""
        return [self._due(checkpoint) for checkpoint in self.record.protocol.checkpoints]

    def _due(self, checkpoint: Checkpoint) -> Due:
        told = [one for one in self.outcomes if one.rule == checkpoint.id]
        dues = [_instant_in(one, "due_at") for one in told if one.outcome == "CheckpointDue"]
        words = {"CheckpointMet": "met", "CheckpointMissed": "missed", "CheckpointDue": "due, not read"}
        state = next((words[one.outcome] for one in reversed(told) if one.outcome in words), "not reached")
        if not dues:
            return Due(checkpoint, None, state, None)
        early, late = timedelta(minutes=checkpoint.early_min), timedelta(minutes=checkpoint.late_min)
        return Due(checkpoint, dues[-1], state, self.nearest(dues[-1], early, late))

    def nearest(self, due_at: datetime, early: timedelta, late: timedelta) -> Cuff | None:
        """Return the complete cuff reading nearest to an instant within its window, never another."""
        inside = [cuff for cuff in self.cuffs if cuff.complete and due_at - early <= cuff.at <= due_at + late]
        return min(inside, key=lambda cuff: abs(cuff.at - due_at), default=None)

    def gaps(self) -> list[Gap]:
        """Return the times without a value that the protocol calls an alarm of at least medium priority."""
        found = [gap for trace in self.lines for gap in _gaps(trace, self._gap_after_s(trace), self.ended_at)]
        return sorted(found, key=lambda gap: gap.from_at)

    def never_measured(self) -> list[str]:
        """Return the watched metrics of which the record holds no value at all."""
        seen = {trace.metric for trace in self.record.traces if any(one is not None for one in trace.values)}
        wanted = [watch.metric for watch in self.record.protocol.watch if not watch.if_provided]
        return [metric for metric in wanted if metric not in seen]

    def _gap_after_s(self, trace: Trace) -> float:
        watched = [
            watch.medium_after_s for watch in self.record.protocol.watch if watch.metric == trace.metric
        ]
        return max(min(watched, default=GAP_AFTER_S), SLOW_PERIODS * period_s(trace))

    def break_after_s(self, trace: Trace) -> float:
        """Return after how many seconds without a value a drawn line must break."""
        watched = [
            watch.stale_after_s for watch in self.record.protocol.watch if watch.metric == trace.metric
        ]
        return max(min(watched, default=BREAK_AFTER_S), SLOW_PERIODS * period_s(trace))

    def readiness(self) -> list[Answered]:
        """Return the discharge criteria as they stood when a person confirmed; never judged here."""
        confirmed = self.named("ReadinessConfirmed")
        if not confirmed:
            return []
        unmet = [str(words) for words in confirmed[-1].detail.get("overridden", ())]
        return [Answered(one, _criterion_words(one, unmet)) for one in self.record.protocol.discharge]

    def extreme(self, metric: str, side: str) -> tuple[float, datetime] | None:
        """Return the highest or lowest plainly valid value of a metric, and when."""
        found = [
            (value, at)
            for trace in self.record.traces
            if trace.metric == metric
            for position, (at, value) in enumerate(zip(trace.at, trace.values, strict=True))
            if value is not None and position not in trace.marks
        ]
        if not found:
            return None
        chosen = max(found, key=lambda one: (one[0], -one[1])) if side == "high" else min(found)
        return chosen[0], instant(chosen[1])


def signed(minute: int) -> str:
    """Return a minute with its sign: ``+40``, ``0``, ``−5``."""
    return f"{minute:+d}".replace("-", "−") if minute else "0"


def period_s(trace: Trace) -> float:
    """Return the usual time between a trace's measurements, in seconds."""
    steps = [b - a for a, b in zip(trace.at, trace.at[1:], strict=False) if b > a]
    return float(median(steps)) if steps else 0.0


def runs(trace: Trace, break_after_s: float) -> Iterator[list[int]]:
    """Yield the stretches of a trace that may be joined by a line, as positions."""
    run: list[int] = []
    for position, (at, value) in enumerate(zip(trace.at, trace.values, strict=True)):
        if run and (value is None or at - trace.at[run[-1]] > break_after_s):
            yield run
            run = []
        if value is not None:
            run.append(position)
    if run:
        yield run


def lowest_and_highest(trace: Trace) -> list[int]:
    """Return the positions of the lowest and the highest value of each five minutes, oldest first."""
    bins: dict[int, list[int]] = {}
    for position, (at, value) in enumerate(zip(trace.at, trace.values, strict=True)):
        if value is not None:
            bins.setdefault(int(at // EVERY_S), []).append(position)
    chosen: set[int] = set()
    for positions in bins.values():
        low = min(positions, key=lambda one: trace.values[one] or 0.0)
        high = max(positions, key=lambda one: trace.values[one] or 0.0)
        chosen |= {low} if trace.values[low] == trace.values[high] else {low, high}
    return sorted(chosen)


def _gaps(trace: Trace, after_s: float, ended_at: datetime) -> Iterator[Gap]:
    last: int | None = None
    for position, value in enumerate(trace.values):
        if value is None:
            continue
        if last is not None and trace.at[position] - trace.at[last] > after_s:
            yield _gap(trace, last, trace.at[position])
        last = position
    if last is not None and ended_at.timestamp() - trace.at[last] > after_s:
        yield _gap(trace, last, ended_at.timestamp())


def _gap(trace: Trace, last: int, until: float) -> Gap:
    inside = [
        trace.marks[position]
        for position in range(last + 1, len(trace.at))
        if position in trace.marks and trace.at[position] <= until
    ]
    why = ", ".join(dict.fromkeys(inside)) or "nothing received"
    return Gap(trace.metric, trace.device_id, instant(trace.at[last]), instant(until), why)


def _around(trace: Trace, at: datetime) -> Iterator[tuple[int, float, float | None]]:
    import bisect

    centre, reach = at.timestamp(), NEAR.total_seconds()
    low = bisect.bisect_left(trace.at, centre - reach)
    high = bisect.bisect_right(trace.at, centre + reach)
    for position in range(low, high):
        yield position, trace.at[position], trace.values[position]


def _doses(outcomes: list[Outcome]) -> Iterator[Dose]:
    struck = [one for one in outcomes if one.outcome == "DoseWithdrawn"]
    for one in outcomes:
        if one.outcome != "DoseRecorded":
            continue
        at = _instant_in(one, "given_at")
        withdrawn = next((s for s in struck if _instant_in(s, "given_at") == at and s.at >= one.at), None)
        if withdrawn is not None:
            struck.remove(withdrawn)
        yield Dose(
            at, float(one.value or 0.0), str(one.detail.get("route", "")), one.by, one.reason, withdrawn
        )


def _cuffs(record: SessionRecord, outcomes: list[Outcome]) -> list[Cuff]:
    found: dict[tuple[float, str], Cuff] = {}
    for trace in record.traces:
        if trace.metric not in CUFF:
            continue
        for position, (second, value) in enumerate(zip(trace.at, trace.values, strict=True)):
            old = found.get((second, trace.device_id), Cuff(instant(second), trace.device_id, {}, ""))
            values = old.values if value is None else {**old.values, trace.metric: value}
            marks = dict.fromkeys(filter(None, (old.mark, trace.marks.get(position, ""))))
            found[second, trace.device_id] = old._replace(values=values, mark="; ".join(marks))
    for one in outcomes:
        if one.outcome == "ManualRecorded":
            at = _instant_in(one, "read_at")
            values = {str(k): float(v) for k, v in dict(one.detail.get("values", {})).items() if k in CUFF}
            key = (at.timestamp(), f"manual:{one.by}")
            if values and key not in found:
                found[key] = Cuff(at, key[1], values, "")
    return sorted(found.values(), key=lambda cuff: (cuff.at, cuff.source))


def _alarms(record: SessionRecord, outcomes: list[Outcome]) -> list[AlarmStory]:
    stories: dict[str, AlarmStory] = {}
    for one in outcomes:
        if one.alarm_id in stories:
            stories[one.alarm_id].steps.append(one)
        elif one.alarm_id and one.outcome != "DispositionRecorded":
            stories[one.alarm_id] = AlarmStory(one.alarm_id, one)
    for delivery in record.deliveries:
        if delivery.alarm_id in stories:
            stories[delivery.alarm_id].deliveries.append(delivery)
    return list(stories.values())


def _instant_in(outcome: Outcome, key: str) -> datetime:
    """Return an instant of an outcome's detail; the outcome's own when it has none."""
    text: Any = outcome.detail.get(key)
    return datetime.fromisoformat(text) if isinstance(text, str) and text else outcome.at


def _criterion_words(criterion: Criterion, unmet: list[str]) -> str:
    start = f"{criterion.label}: "
    return next((words.removeprefix(start) for words in unmet if words.startswith(start)), "met")


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
