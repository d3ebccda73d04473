"""The words of the printed record, section by section: which rows each table has.

Law: every entry of the record belongs to a section; what no section knows stands under "Further entries".
Nothing is left out because there is much of it. Numbers are as measured, times are the site's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from monitor.clockface import Clockface, duration
from monitor.core.outcomes import Outcome
from monitor.core.record import Trace
from monitor.core.vitals import METRICS
from monitor.records.story import ANSWERS, AlarmStory, Cuff, Due, Gap, Story

SCALES = {"moaas": "MOAA/S (0 to 5)", "dissociation": "dissociation (0 to 4)", "nausea": "nausea (0 to 3)"}
STRUCK = "\x00"  # before words that are printed struck through; no text of a person can begin with it
SHADE = {"high": "#fbe6e4", "medium": "#fef5e2", "low": "#ffffff"}

# Entries whose content stands in a section of its own; all others are listed at the end.
TOLD_ELSEWHERE = frozenset(
    "SessionStarted SessionEnded DoseRecorded DoseWithdrawn ScoreRecorded NoteRecorded PhaseChanged "
    "CheckpointDue CheckpointMet CheckpointMissed LimitChanged BaselineEstablished AlarmRaised "
    "AlarmEscalated AlarmEnded AlarmLatched AlarmAcknowledged AlarmReset AlarmPaused Answered "
    "AlarmAccepted AlarmRejected DispositionRecorded RecordCorrected RecordSigned "
    "ReadyForDischarge ReadinessLost ReadinessConfirmed".split()
)


NEAREST = (
    "The complete cuff reading nearest to the due time within the window; never one from outside it. Minutes "
    "count from the first dose; saturation is the valid value nearest to the reading, at most 30 s from it."
)
ANSWERED = (
    "Numbers are those of the chart (H, M, L: priority; T: technical). An acknowledgement says that a person "
    "knew of the alarm, not that it was resolved. “Delivered” says that the target took the message, not "
    "that it was read."
)


class Section(NamedTuple):
    """One table: its title, sentences, columns with their shares of the width, rows, and shaded rows."""

    title: str
    columns: tuple[str, ...] = ()
    widths: tuple[float, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    words: tuple[str, ...] = ()
    shades: tuple[tuple[int, str], ...] = ()


def facts(story: Story, clock: Clockface) -> list[tuple[str, str]]:
    """Return who, what and when, as pairs of name and words."""
    record = story.record
    summary, protocol = record.summary, record.protocol
    start = next(iter(story.named("SessionStarted")), None)
    without = ", ".join(_label(str(one)) for one in (start.detail.get("without", ()) if start else ()))
    ended = f"{clock.full(summary.ended_at)} by {summary.ended_by}" if summary.ended_at else "still running"
    reasons = [one.reason for one in story.named("SessionEnded") if one.reason]
    total = sum(dose.amount_mg for dose in story.standing)
    return [
        ("Patient code", summary.patient_code),
        ("Bed", summary.bed_id),
        ("Started", f"{clock.full(summary.started_at)} by {summary.started_by}"),
        ("Ended", f"{ended}" + (f"; reason: {reasons[-1]}" if reasons else "")),
        ("Lasted", duration(story.ended_at - summary.started_at)),
        ("Mode", "DRILL: simulated patient" if summary.mode == "drill" else "real"),
        (
            "Protocol",
            f"{protocol.title}; {protocol.name} version {protocol.version} ({summary.protocol_digest})",
        ),
        ("Limits signed by", protocol.reviewed_by or "not reviewed by a clinician"),
        ("Doses", f"{total:g} mg in {len(story.standing)}" if story.standing else "none recorded"),
        ("Not measured", f"{without}: {start.reason}" if without and start else _unmeasured(story)),
        ("Light, sound, messages", _start_up(start, clock)),
        ("Alarms", f"{summary.alarms} physiological, {summary.high} of them high priority"),
        ("Time zone", f"{clock.zone.key}, UTC{clock.offset(summary.started_at)} at the start"),
    ]


def _start_up(start: Outcome | None, clock: Clockface) -> str:
    """Return what was proved as the session began, and why it began without the rest (AL-51)."""
    test = start.detail.get("start_up") if start else None
    if not test:
        return "no start-up test in this record"
    words = [str(one) for one in test["missing"]]
    if test["at"]:
        words.insert(0, f"seen and heard by {test['by']} {clock.full(datetime.fromisoformat(test['at']))}")
    if test["override"]:
        words.append(f"started all the same: {test['override']}")
    return "; ".join(words)


def _unmeasured(story: Story) -> str:
    return ", ".join(_label(metric) for metric in story.never_measured()) or "nothing that was watched"


def sections(story: Story, clock: Clockface, digest: str) -> Iterator[Section]:
    """Yield the sections in the order of the page."""
    teller = _Teller(story, clock)
    yield teller.checkpoints()
    yield teller.doses()
    yield teller.alarms()
    yield teller.cuffs()
    yield teller.measured()
    yield teller.gaps()
    yield teller.scores()
    yield teller.notes()
    yield teller.limits()
    yield teller.readiness()
    corrections = teller.corrections()
    if corrections.rows:
        yield corrections
    further = teller.further()
    if further.rows:
        yield further
    yield teller.sign_off(digest)


class _Teller:
    """Tells one story by one clock."""

    def __init__(self, story: Story, clock: Clockface) -> None:
        self.story, self.clock = story, clock

    def checkpoints(self) -> Section:
        columns = (
            "Checkpoint",
            "Due (min)",
            "Window",
            "Told",
            "Read at (min)",
            "Pressure mmHg",
            "Cuff pulse",
            "SpO2 %",
            "By",
        )
        rows = tuple(self._checkpoint(due) for due in self.story.checkpoints())
        words = (NEAREST,)
        return Section(
            "Readings at the protocol's checkpoints",
            columns,
            (30, 17, 19, 12, 17, 20, 11, 10, 16),
            rows,
            words,
        )

    def _checkpoint(self, due: Due) -> tuple[str, ...]:
        point, cuff = due.checkpoint, due.reading
        name = point.label + ("" if point.mandatory else " (optional)")
        if due.due_at is None:
            return (name, "", "", due.told, *[""] * 5)
        window = f"−{point.early_min:g} to +{point.late_min:g} min"
        when = f"{self.clock.time(due.due_at)} ({self.story.minute(due.due_at)})"
        if cuff is None:
            return (name, when, window, due.told, "no reading in the window", *[""] * 4)
        return (name, when, window, due.told, self._when(cuff.at), *self._reading(cuff))

    def _reading(self, cuff: Cuff) -> tuple[str, ...]:
        pulse, spo2 = cuff.values.get("nibp_pulse_rate"), self.story.beside("spo2", cuff.at)
        mark = f"\n{cuff.mark}" if cuff.mark else ""
        return cuff.pressure + mark, _number(pulse), _number(spo2), _source(cuff.source)

    def _when(self, at: datetime) -> str:
        minute = self.story.minute(at)
        return self.clock.time(at) + (f" ({minute})" if minute else "")

    def doses(self) -> Section:
        rows = []
        for dose in self.story.doses:
            struck = dose.withdrawn
            note = dose.reason
            if struck is not None:
                note = f"struck {self.clock.time(struck.at)} by {struck.by}: {struck.reason}"
            sign = STRUCK if struck else ""
            rows.append(
                (
                    sign + self.clock.time(dose.at, seconds=True),
                    self.story.minute(dose.at),
                    f"{sign}{dose.amount_mg:g} mg",
                    dose.route,
                    dose.by,
                    note,
                )
            )
        phases = "; ".join(
            f"{self.clock.time(one.at)} {one.detail.get('phase', '')} ({self._words(one)}, {one.by})"
            for one in self.story.named("PhaseChanged")
        )
        words = (f"Phases: {phases}.",) if phases else ()
        return Section(
            "Doses and phases",
            ("Given at", "Min", "Dose", "Route", "Recorded by", "Remark"),
            (20, 8, 12, 9, 28, 58),
            tuple(rows),
            words,
        )

    def alarms(self) -> Section:
        columns = ("No.", "Priority", "Raised", "What was told", "Answered by", "Ended", "Notified")
        numbered = list(enumerate(self.story.alarms, start=1))
        rows = tuple(self._alarm(number, alarm) for number, alarm in numbered)
        shades = tuple((row, SHADE[alarm.worst]) for row, (_, alarm) in enumerate(numbered))
        words = (ANSWERED,)
        return Section(
            "Alarms, and who answered when", columns, (7, 14, 20, 52, 32, 31, 28), rows, words, shades
        )

    def _alarm(self, number: int, alarm: AlarmStory) -> tuple[str, ...]:
        first = alarm.first
        kind = alarm.worst if first.kind == "physiological" else f"{alarm.worst}\ntechnical"
        raised = self.clock.time(first.at, seconds=True)
        if alarm.onset_at < first.at:
            raised += f"\nonset {self.clock.time(alarm.onset_at, seconds=True)}"
        worse = [
            f"{one.priority} from {self.clock.time(one.at, seconds=True)}"
            for one in alarm.steps
            if one.outcome == "AlarmEscalated"
        ]
        told = "\n".join([self._words(first), *worse])
        answers = (
            "\n".join(self._answer(alarm, one) for one in alarm.answers) or f"nobody{self._covered(alarm)}"
        )
        for one in alarm.dispositions:
            judged = f"judged {one.detail.get('disposition')} by {one.by} {self.clock.time(one.at)}"
            answers += f"\n{judged}: {one.reason}" if one.reason else f"\n{judged}"
        return str(number), kind, raised, told, answers, self._ended(alarm), self._notified(alarm)

    def _covered(self, alarm: AlarmStory) -> str:
        ids = [one.alarm_id for one in self.story.alarms]
        cover = alarm.first.detail.get("covered_by")
        return f"; No. {ids.index(cover) + 1} spoke for it" if cover in ids else ""

    def _answer(self, alarm: AlarmStory, one: Outcome) -> str:
        did = ANSWERS[one.outcome]
        reason = f": {one.reason}" if one.outcome in ("AlarmPaused", "AlarmRejected") else ""
        after = duration(one.at - alarm.first.at)
        return f"{one.by} {self.clock.time(one.at, seconds=True)}, {did} after {after}{reason}"

    def _ended(self, alarm: AlarmStory) -> str:
        if alarm.ended is None:
            return "present at the end of the record"
        lasted = duration(alarm.ended.at - alarm.first.at)
        words = f"{self.clock.time(alarm.ended.at, seconds=True)} after {lasted}\n{self._words(alarm.ended)}"
        if any(one.outcome == "AlarmLatched" for one in alarm.steps):
            words += "; nobody had acknowledged it"
        worst = alarm.ended.detail.get("worst")
        if isinstance(worst, int | float) and alarm.first.metric:
            words += f"; worst {worst:g}"
        return words

    def _notified(self, alarm: AlarmStory) -> str:
        lines = []
        for one in alarm.deliveries:
            when = f" {self.clock.time(one.settled_at, seconds=True)}" if one.settled_at else ""
            tries = f", {one.attempts} tries" if one.attempts > 1 else ""
            lines.append(f"{one.target}: {one.state}{when}{tries}")
        return "\n".join(lines) or "no notification"

    def cuffs(self) -> Section:
        rows = tuple(
            (self.clock.time(cuff.at, seconds=True), self.story.minute(cuff.at), *self._reading(cuff))
            for cuff in self.story.cuffs
            if cuff.values or cuff.mark
        )
        columns = ("Read at", "Min", "Pressure mmHg (mean)", "Cuff pulse /min", "SpO2 %", "Measured by")
        return Section("All blood pressure readings", columns, (24, 10, 50, 20, 15, 60), rows)

    def measured(self) -> Section:
        rows = []
        for trace in sorted(self.story.record.traces, key=_order):
            values = [value for value in trace.values if value is not None]
            doubtful = sum(1 for position in trace.marks if trace.values[position] is not None)
            unit = METRICS[trace.metric].unit.replace("mm[Hg]", "mmHg").replace("Cel", "°C")
            low, high = self._extreme(trace.metric, "low"), self._extreme(trace.metric, "high")
            rows.append(
                (
                    f"{_label(trace.metric)}, {unit}",
                    trace.device_id,
                    str(len(values)),
                    str(doubtful),
                    str(len(trace.values) - len(values)),
                    low,
                    high,
                )
            )
        columns = ("Metric", "Device", "Values", "Doubtful", "No value", "Lowest valid", "Highest valid")
        baselines = "; ".join(
            f"{_label(one.metric)} {one.value:g}"
            for one in self.story.named("BaselineEstablished")
            if one.value is not None
        )
        needed = self.story.record.protocol.baseline.readings
        words = (f"Baseline, median of {needed} readings before the dose: {baselines}.",) if baselines else ()
        return Section("What was measured", columns, (34, 32, 14, 14, 14, 30, 30), tuple(rows), words)

    def _extreme(self, metric: str, side: str) -> str:
        found = self.story.extreme(metric, side)
        return "" if found is None else f"{found[0]:g} at {self.clock.time(found[1], seconds=True)}"

    def gaps(self) -> Section:
        never = self.story.never_measured()
        words = (f"Never measured: {', '.join(_label(metric) for metric in never)}.",) if never else ()
        rows = tuple(self._gap(gap) for gap in self.story.gaps())
        return Section(
            "Gaps in what was watched",
            ("Metric", "Device", "From", "To", "For", "Why, as far as told"),
            (20, 28, 20, 20, 18, 60),
            rows,
            words,
        )

    def _gap(self, gap: Gap) -> tuple[str, ...]:
        spans = (self.clock.time(gap.from_at, seconds=True), self.clock.time(gap.to_at, seconds=True))
        return (_label(gap.metric), gap.device_id, *spans, duration(gap.to_at - gap.from_at), gap.why)

    def scores(self) -> Section:
        rows = tuple(
            (
                self._of(one, "scored_at"),
                SCALES.get(str(one.detail.get("scale")), str(one.detail.get("scale"))),
                _number(one.value),
                one.by,
            )
            for one in self.story.named("ScoreRecorded")
        )
        return Section("Scores", ("Scored at (min)", "Scale", "Score", "By"), (28, 45, 15, 60), rows)

    def notes(self) -> Section:
        rows = tuple(
            (self._of(one, "noted_at"), str(one.detail.get("note", "")).replace("_", " "), one.reason, one.by)
            for one in self.story.named("NoteRecorded")
        )
        return Section(
            "Notes, symptoms and interventions",
            ("At (min)", "Kind", "In a person's words", "By"),
            (25, 20, 90, 32),
            rows,
        )

    def limits(self) -> Section:
        rows = []
        for one in self.story.named("LimitChanged"):
            was = _limit(one.detail.get("was"), bool(one.detail.get("was_on", True)))
            rows.append(
                (
                    self._when(one.at),
                    one.rule,
                    was,
                    _limit(one.value, bool(one.detail.get("on", True))),
                    one.reason,
                    one.by,
                )
            )
        words = () if rows else ("The protocol's limits were in force throughout.",)
        return Section(
            "Limits changed for this session",
            ("At (min)", "Limit", "Was", "Became", "Reason", "By"),
            (25, 30, 13, 13, 50, 34),
            tuple(rows),
            words,
        )

    def readiness(self) -> Section:
        confirmed = self.story.named("ReadinessConfirmed")
        told = self.story.named("ReadyForDischarge", "ReadinessLost")
        words = [f"{self._when(one.at)}: {self._ready(one)}." for one in told]
        words += [
            f"Confirmed {self._when(one.at)} by {one.by}"
            + (f"; reason given: {one.reason}." if one.reason else ".")
            for one in confirmed
        ]
        if not confirmed:
            words.append("Readiness was not confirmed by a person.")
        answers = {
            one.rule: f"answered {one.reason} by {one.by} {self.clock.time(one.at)}"
            for one in self.story.named("Answered")
        }
        rows = tuple(
            (
                one.criterion.label,
                self.clock.words(one.words, confirmed[-1].at),
                answers.get(one.criterion.id, ""),
            )
            for one in (self.story.readiness() if confirmed else ())
        )
        return Section(
            "Readiness for discharge",
            ("Criterion", "When a person confirmed", "Asked of a person"),
            (60, 60, 50),
            rows,
            tuple(words),
        )

    def _ready(self, one: Outcome) -> str:
        met = one.outcome == "ReadyForDischarge"
        return "every criterion met" if met else f"no longer: {self._words(one)}"

    def corrections(self) -> Section:
        entries = {entry.id: entry.outcome for entry in self.story.record.entries}
        rows = []
        for one in self.story.named("RecordCorrected"):
            number = one.detail.get("entry_id")
            wrong = entries.get(number) if isinstance(number, int) else None
            was = f"{_spaced(wrong.outcome)} {self.clock.time(wrong.at, seconds=True)}" if wrong else "entry"
            was += f" (no. {number}): {self._words(wrong) if wrong else ''}".rstrip(": ")
            rows.append((self.clock.full(one.at), was, str(one.detail.get("text", "")), one.reason, one.by))
        columns = ("At", "Entry, which stays", "What is right", "Why", "By")
        return Section("Corrections", columns, (26, 45, 45, 35, 25), tuple(rows))

    def further(self) -> Section:
        rows = tuple(
            (self.clock.time(one.at, seconds=True), _spaced(one.outcome), self._further(one), one.by)
            for one in self.story.outcomes
            if one.outcome not in TOLD_ELSEWHERE or self._strayed(one)
        )
        return Section("Further entries", ("At", "Entry", "What was told", "By"), (20, 33, 88, 30), rows)

    def _strayed(self, one: Outcome) -> bool:
        """Say whether it is a word about an alarm that this record does not hold."""
        return one.outcome == "DispositionRecorded" and one.alarm_id not in {
            a.alarm_id for a in self.story.alarms
        }

    def _further(self, one: Outcome) -> str:
        subject = " ".join(filter(None, (one.rule, _label(one.metric) if one.metric else "")))
        words = self._words(one)
        until = one.detail.get("until")
        if isinstance(until, str) and one.outcome == "AudioPaused":
            words = f"until {self.clock.time(datetime.fromisoformat(until), seconds=True)}"
        if one.outcome == "ManualRecorded":
            read = ", ".join(f"{_label(name)} {value:g}" for name, value in one.detail["values"].items())
            words = f"{read}, read at {self._of(one, 'read_at')}"
        if "people" in one.detail or "on_duty" in one.detail:
            people = ", ".join(str(name) for name in one.detail.get("people", one.detail.get("on_duty", ())))
            words = f"{words} (to {people or 'nobody'})".strip()
        if "input" in one.detail:
            subject = str(one.detail["input"])
        return f"{subject}: {words}" if subject and words else subject or words

    def sign_off(self, digest: str) -> Section:
        summary = self.story.record.summary
        words = [
            f"Content digest (SHA-256 of the record's JSON Lines): {digest}",
            f"{len(self.story.record.entries)} entries.",
        ]
        if summary.signed_by and summary.signed_at:
            words.append(f"Signed by {summary.signed_by}, {self.clock.full(summary.signed_at)}.")
            words += [f"{one.by}: {one.reason}" for one in self.story.named("RecordSigned") if one.reason]
            return Section("Sign-off", words=tuple(words))
        words.append("Not signed.")
        return Section(
            "Sign-off",
            ("Name", "Date and time", "Signature"),
            (60, 40, 70),
            (("\n\n", "", ""),),
            tuple(words),
        )

    def _of(self, one: Outcome, key: str) -> str:
        text: Any = one.detail.get(key)
        return self._when(datetime.fromisoformat(text) if isinstance(text, str) and text else one.at)

    def _words(self, one: Outcome) -> str:
        return self.clock.words(one.reason, one.at).replace("mm[Hg]", "mmHg")


def _order(trace: Trace) -> tuple[int, str]:
    return list(METRICS).index(trace.metric), trace.device_id


def _spaced(name: str) -> str:
    """Return ``ReadingUnconfirmed`` as people write it: ``Reading unconfirmed``."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).capitalize()


def _label(metric: str) -> str:
    return METRICS[metric].label if metric in METRICS else metric


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _source(source: str) -> str:
    return f"{source.partition(':')[2]} (by hand)" if source.startswith("manual:") else source


def _limit(value: Any, on: bool) -> str:
    if not on:
        return "off"
    return f"{value:g}" if isinstance(value, int | float) else "as in the protocol"
