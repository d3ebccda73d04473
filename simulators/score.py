"""What a drill was worth: what was to be raised and was, how soon, and what staff did.

Law: the score is a function of the drill, the truth and the outcomes; it ranks no person. Delay is counted
from the moment at which the patient (not a device) crossed the line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from simulators.drill import Drill, Expectation, Forbidden, Task, crossing
from simulators.patient import Truth

# What a person's act becomes in the monitor's words.
OUTCOME_OF = {
    "acknowledge": ("AlarmAcknowledged", "AlarmReset"),  # a latched alarm is acknowledged by resetting it
    "accept": ("AlarmAccepted",),
    "reset": ("AlarmReset",),
    "pause_audio": ("AudioPaused",),
    "dose": ("DoseRecorded",),
    "end_dosing": ("PhaseChanged",),
    "manual": ("ManualRecorded",),
    "score": ("ScoreRecorded",),
    "note": ("NoteRecorded",),
    "answer": ("Answered",),
    "confirm_ready": ("ReadinessConfirmed",),
    "end_session": ("SessionEnded",),
}


@dataclass(frozen=True, slots=True)
class Heard:
    """One outcome of the monitor, on the session's clock."""

    minute: float
    outcome: str
    bed: str = ""
    rule: str = ""
    kind: str = ""
    priority: str = ""
    by: str = ""
    reason: str = ""
    alarm_id: str = ""
    value: float | None = None
    metric: str = ""
    what: str = ""


DETAILS = ("scale", "note", "route", "phase", "input")  # what an outcome was about, in the monitor's words


def heard(line: Mapping[str, Any], second_0: datetime) -> Heard:
    """Read one outcome of the monitor: a line of ``afterwatch replay --jsonl``, or a message of a topic."""
    at = datetime.fromisoformat(line["at"])
    detail = line.get("detail") or {}
    return Heard(
        round((at - second_0).total_seconds() / 60.0, 4),
        line["outcome"],
        line.get("bed_id", ""),
        line.get("rule", ""),
        line.get("kind", ""),
        line.get("priority", ""),
        line.get("by", ""),
        line.get("reason", ""),
        line.get("alarm_id", ""),
        line.get("value"),
        line.get("metric", ""),
        line.get("what") or next((str(detail[key]) for key in DETAILS if key in detail), ""),
    )


@dataclass(slots=True)
class Check:
    """One line of the score. ``seconds`` is a delay where there is one, ``limit_s`` the longest good one."""

    what: str
    bed: str
    met: bool | None
    text: str
    role: str = ""
    minute: float | None = None
    seconds: float | None = None
    limit_s: float | None = None


@dataclass(slots=True)
class Scorecard:
    """The score of one run.

    ``met`` is every alarm that came: ``seconds`` until somebody acknowledged or accepted it, ``met`` whether
    anybody did; the text says when the patient was not as the device said.
    """

    drill: str
    title: str
    raised: list[Check] = field(default_factory=list)
    forbidden: list[Check] = field(default_factory=list)
    unexpected: list[Check] = field(default_factory=list)
    staff: list[Check] = field(default_factory=list)
    met: list[Check] = field(default_factory=list)
    missed_checkpoints: list[str] = field(default_factory=list)
    injects: list[str] = field(default_factory=list)
    played_at: str = ""
    mode: str = ""

    @property
    def passed(self) -> bool:
        """Say whether the monitor did what it should: nothing missing, late, forbidden or unexpected."""
        return all(check.met for check in self.raised + self.forbidden) and not self.unexpected

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "passed": self.passed}


def score(
    name: str, drill: Drill, outcomes: Sequence[Heard], truths: Mapping[str, Sequence[Truth]]
) -> Scorecard:
    """Score one run.

    Args:
        name: of the drill.
        drill: what should have happened.
        outcomes: what the monitor said, in the order of time.
        truths: what was true, by bed, session seconds.
    """
    card = Scorecard(name, drill.title)
    within = [one for one in outcomes if drill.starts_at_min <= one.minute <= drill.ends_at_min]
    used: set[int] = set()
    card.raised = [_raised(expected, within, truths, used) for expected in drill.expect]
    card.forbidden = [_forbidden(each, within) for each in drill.forbid]
    card.unexpected = _unexpected(drill, within, used)
    done: set[int] = set()
    card.staff = [_did(task, within, done) for task in drill.staff]
    card.met = [_met(one, within, truths.get(one.bed, ())) for one in within if one.outcome == "AlarmRaised"]
    card.missed_checkpoints = [
        f"{one.bed}: {one.reason or one.rule} at {one.minute:.0f} min"
        for one in within
        if one.outcome == "CheckpointMissed"
    ]
    return card


def truth_minute(expected: Expectation, truths: Sequence[Truth]) -> float | None:
    """Return when the truth that an expectation names first held, within fifteen minutes before it."""
    if expected.truth is None:
        return None
    wanted = crossing(expected.truth)
    before: bool | None = None
    for truth in truths:
        now = wanted.holds(getattr(truth, wanted.name))
        minute = truth.at_s / 60.0
        if now and not before and expected.from_min - 15.0 <= minute <= expected.to_min:
            return minute
        before = now
    return None


def _raised(
    expected: Expectation,
    outcomes: Sequence[Heard],
    truths: Mapping[str, Sequence[Truth]],
    used: set[int],
) -> Check:
    what = f"{expected.outcome} {expected.rule}"
    span = f"{expected.from_min:g} to {expected.to_min:g} min"
    for place, one in enumerate(outcomes):
        if place not in used and _fits(expected, one):
            used.add(place)
            return _in_time(expected, one, what, truth_minute(expected, truths.get(expected.bed, ())))
    near = [
        f"{one.rule} ({one.priority}) at {one.minute:.1f}"
        for one in outcomes
        if one.outcome == expected.outcome and one.bed == expected.bed
    ]
    text = f"not in {span}; there were {', '.join(near) or 'none'}"
    return Check(what, expected.bed, False, text, limit_s=expected.within_s)


def _fits(expected: Expectation, one: Heard) -> bool:
    return (
        one.outcome == expected.outcome
        and one.bed == expected.bed
        and fnmatchcase(one.rule, expected.rule)
        and expected.priority in (None, one.priority)
        and expected.from_min <= one.minute <= expected.to_min
    )


def _in_time(expected: Expectation, one: Heard, what: str, since_min: float | None) -> Check:
    check = Check(what, one.bed, True, f"at {one.minute:.2f} min", minute=one.minute)
    check.limit_s = expected.within_s
    if expected.truth is None:
        return check
    if since_min is None:
        check.met, check.text = False, f"{check.text}, but {expected.truth!r} was never true"
        return check
    check.seconds = round((one.minute - since_min) * 60.0, 1)
    check.text += f", {check.seconds:.0f} s after {expected.truth}"
    if expected.within_s is not None and check.seconds > expected.within_s:
        check.met, check.text = False, f"{check.text}: later than {expected.within_s:g} s"
    return check


def _forbidden(each: Forbidden, outcomes: Sequence[Heard]) -> Check:
    found = [
        one
        for one in outcomes
        if one.outcome == each.outcome
        and fnmatchcase(one.bed, each.bed)
        and fnmatchcase(one.rule, each.rule)
        and each.from_min <= one.minute <= each.to_min
    ]
    what = f"no {each.outcome} {each.rule}"
    text = ", ".join(f"{one.rule or one.outcome} at {one.minute:.2f} min" for one in found) or "none"
    return Check(what, each.bed, not found, text)


def _unexpected(drill: Drill, outcomes: Sequence[Heard], used: set[int]) -> list[Check]:
    return [
        Check(one.rule, one.bed, False, f"{one.priority} at {one.minute:.2f} min: {one.reason}")
        for place, one in enumerate(outcomes)
        if one.outcome == "AlarmRaised"
        and place not in used
        and not any(fnmatchcase(one.rule, allowed) for allowed in drill.may)
    ]


def _did(task: Task, outcomes: Sequence[Heard], done: set[int]) -> Check:
    """Judge one task of staff: the time from the alarm (or from its minute) to the act.

    One act is one task: ``done`` holds the places of those that are counted already.
    """
    what = task.say or f"{task.does} {task.after}".strip()
    check = Check(what, task.bed, None, "", task.role, limit_s=task.within_s)
    since = _since(task, outcomes)
    if since is None:
        check.text = f"{task.after} was not raised: nothing to do"
        return check
    for place, one in enumerate(outcomes):
        if place not in done and one.minute >= since - 1e-6 and _is_it(task, one):
            done.add(place)
            check.minute, check.seconds = one.minute, round((one.minute - since) * 60.0, 1)
            check.met = check.seconds <= task.within_s
            check.text = f"after {check.seconds:.0f} s"
            return check
    check.met, check.text = False, "not done"
    return check


def _is_it(task: Task, one: Heard) -> bool:
    """Say whether an outcome is what a task asks for."""
    if one.by == "monitor":  # what it tidies up by itself is nobody's deed
        return False
    if one.bed != task.bed or one.outcome not in (("Refused",) if task.refused else OUTCOME_OF[task.does]):
        return False
    if task.refused:
        return True
    if task.does in ("acknowledge", "accept", "reset"):
        return one.rule == task.after
    wanted = {"score": task.scale, "note": task.kind, "dose": task.route, "answer": task.criterion}
    asked = wanted.get(task.does, "")
    return asked in ("", one.rule if task.does == "answer" else one.what)


# How far a device may be from the patient before its alarm counts as a false one: truth, name and tolerance.
_TRUTH_OF = {
    "spo2": ("spo2", 4.0),
    "pulse_rate": ("pulse_rate", 15.0),
    "heart_rate": ("heart_rate", 15.0),
    "nibp_systolic": ("systolic", 20.0),
    "nibp_diastolic": ("diastolic", 15.0),
    "respiration_rate": ("respiration_rate", 4.0),
}
LOOK_BACK_S = 90.0  # a cuff takes half a minute, an oximeter averages


def _met(alarm: Heard, outcomes: Sequence[Heard], truths: Sequence[Truth]) -> Check:
    """Tell how one alarm was met, and whether the patient was as the device said."""
    check = Check(
        alarm.rule, alarm.bed, False, f"{alarm.priority} at {alarm.minute:.2f} min", minute=alarm.minute
    )
    for one in outcomes:
        known = one.outcome in ("AlarmAcknowledged", "AlarmAccepted", "AlarmReset")
        if known and (one.bed, one.rule) == (alarm.bed, alarm.rule) and one.minute >= alarm.minute:
            check.met, check.seconds = True, round((one.minute - alarm.minute) * 60.0, 1)
            check.text += f", {one.outcome.removeprefix('Alarm').lower()} after {check.seconds:.0f} s"
            break
    else:
        check.text += ", met by nobody"
    check.text += _falsehood(alarm, truths)
    return check


def _falsehood(alarm: Heard, truths: Sequence[Truth]) -> str:
    if alarm.metric not in _TRUTH_OF or alarm.value is None:
        return ""
    name, tolerance = _TRUTH_OF[alarm.metric]
    now_s = alarm.minute * 60.0
    lately = [getattr(truth, name) for truth in truths if now_s - LOOK_BACK_S <= truth.at_s <= now_s + 1.0]
    if not lately:
        return ""
    nearest = min(lately, key=lambda value: abs(value - alarm.value))
    if abs(nearest - alarm.value) <= tolerance:
        return ""
    return f"; FALSE: the device said {alarm.value:g}, the patient had {nearest:.0f}"


def _since(task: Task, outcomes: Sequence[Heard]) -> float | None:
    if not task.after:
        return task.at_min
    raised = [
        one.minute
        for one in outcomes
        if one.outcome == "AlarmRaised" and one.rule == task.after and one.bed == task.bed
    ]
    return raised[0] if raised else None


def compare(now: Scorecard, before: Mapping[str, Any]) -> list[str]:
    """Return what changed against an earlier run of the same drill, one line each."""
    lines = []
    for part, checks in (("raised", now.raised), ("staff", now.staff)):
        earlier = {(row["what"], row["bed"]): row for row in before.get(part, ())}
        for check in checks:
            row = earlier.get((check.what, check.bed))
            if row and row["seconds"] is not None and check.seconds is not None:
                lines.append(
                    f"{check.what} ({check.bed}): {check.seconds:.0f} s, before {row['seconds']:.0f} s "
                    f"({check.seconds - row['seconds']:+.0f} s)"
                )
    return lines


def by_role(card: Scorecard) -> list[str]:
    """Return what each role had to do and did in time, in the order of the alphabet: no ranking."""
    lines = []
    for role in sorted({check.role for check in card.staff if check.met is not None}):
        own = [check for check in card.staff if check.role == role and check.met is not None]
        times = sorted(check.seconds for check in own if check.seconds is not None)
        middle = f", half of it within {times[(len(times) - 1) // 2]:.0f} s" if times else ""
        lines.append(f"{role}: {sum(bool(check.met) for check in own)} of {len(own)} tasks in time{middle}")
    return lines
