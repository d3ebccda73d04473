"""The record as one HL7 v2.5.1 message, ORU^R01, for systems that take nothing else.

Law: the message says what the record says: one group (OBR) for each cuff measurement, for the lowest and
highest of each five minutes of what is continuous, and for each gap, dose, score, note and alarm. Text is
escaped, instants carry their offset; a struck dose has the status D, a value that is missing the status X, a
drill the processing id T.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from monitor.clockface import Clockface, instant
from monitor.config import Site
from monitor.core.outcomes import Outcome
from monitor.core.record import SessionRecord, Trace
from monitor.core.vitals import METRICS
from monitor.records.sections import SCALES
from monitor.records.story import ANSWERS, CUFF, AlarmStory, Cuff, Dose, Gap, Story, lowest_and_highest

# Order matters: the escape sign itself comes first.
ESCAPES = (("\\", "\\E\\"), ("|", "\\F\\"), ("^", "\\S\\"), ("~", "\\R\\"), ("&", "\\T\\"))
LOCAL = "99AFTERWATCH"


class Result(NamedTuple):
    """One OBX; ``code`` is id, text and system, ``unit`` UCUM, ``source`` the device or the person."""

    kind: str
    code: tuple[str, str, str]
    value: str
    unit: str
    status: str
    at: datetime
    source: str
    remark: str = ""


class Group(NamedTuple):
    """One OBR: its code and instant, and its results."""

    code: tuple[str, str, str]
    at: datetime
    results: tuple[Result, ...]


def render(record: SessionRecord, site: Site) -> bytes:
    """Return the message: segments end with a carriage return, UTF-8, without MLLP's frame.

    Raises:
        ValueError: there is no such zone.
    """
    story, clock = Story(record), Clockface(site.zone)
    summary = record.summary
    segments = [_header(story, clock, site.identity)]
    patient = _join(summary.patient_code, "", "", site.identity, "PI")
    segments.append(_segment("PID", "1", "", patient, "", "^^^^^^S"))
    drill = "DRILL: simulated patient. " if summary.mode == "drill" else ""
    segments.append(_segment("NTE", "1", "L", _text(f"{drill}Secondary notification: not a primary alarm.")))
    visit = {2: "O", 3: _join("", "", summary.bed_id), 19: _text(summary.session_id)}
    visit |= {44: _stamp(summary.started_at, clock)}
    visit |= {45: _stamp(summary.ended_at, clock) if summary.ended_at else ""}
    segments.append(_segment("PV1", "1", *(visit.get(field, "") for field in range(2, 46))))
    groups = sorted(_groups(story), key=lambda group: group.at)
    for number, group in enumerate(groups, start=1):
        segments += _group(number, group, clock, summary.session_id)
    return "".join(f"{segment}\r" for segment in segments).encode("utf-8", "replace")


def _header(story: Story, clock: Clockface, identity: str) -> str:
    summary = story.record.summary
    at = summary.signed_at or story.ended_at
    control = hashlib.sha256(f"{summary.session_id}\n{at.isoformat()}".encode()).hexdigest()[:20]
    mode = "T" if summary.mode == "drill" else "P"
    fields = [
        "AFTERWATCH",
        _text(identity),
        "",
        "",
        _stamp(at, clock),
        "",
        "ORU^R01^ORU_R01",
        control,
        mode,
        "2.5.1",
    ]
    return "|".join(["MSH", "^~\\&", *fields, "", "", "", "", "", "UNICODE UTF-8"])


def _group(number: int, group: Group, clock: Clockface, session_id: str) -> Iterator[str]:
    status = "X" if all(one.status in "XD" for one in group.results) else "F"
    order = {1: str(number), 3: _text(f"{session_id}-{number}"), 4: _join(*group.code)}
    order |= {7: _stamp(group.at, clock), 25: status}
    yield _segment("OBR", *(order.get(field, "") for field in range(1, 26)))
    for position, one in enumerate(group.results, start=1):
        field = {1: str(position), 2: one.kind, 3: _join(*one.code), 4: "1", 5: _text(one.value)}
        field |= {
            6: _join(one.unit, "", "UCUM") if one.unit else "",
            11: one.status,
            14: _stamp(one.at, clock),
        }
        by_hand = one.source.startswith("manual:")
        field |= {16 if by_hand else 18: _text(one.source.removeprefix("manual:"))}
        yield _segment("OBX", *(field.get(index, "") for index in range(1, 19)))
        if one.remark:
            yield _segment("NTE", "1", "L", _text(one.remark))


# --- what goes into the groups ------------------------------------------------------------------------------


def _groups(story: Story) -> Iterator[Group]:
    for cuff in story.cuffs:
        yield _cuff(cuff)
    for trace in story.lines:
        yield from _continuous(trace)
    for gap in story.gaps():
        yield _gap(gap)
    for dose in story.doses:
        yield _dose(dose)
    for one in story.named("ScoreRecorded"):
        yield _score(one)
    for one in story.named("NoteRecorded"):
        yield _note(one)
    for one in story.named("RecordCorrected"):
        yield _correction(one)
    for alarm in story.alarms:
        yield _alarm(alarm)


def _cuff(cuff: Cuff) -> Group:
    shown = [metric for metric in CUFF if metric in cuff.values] or list(CUFF[:2])
    results = [_number(metric, cuff.values.get(metric), cuff.at, cuff.source, cuff.mark) for metric in shown]
    return Group(("85354-9", "blood pressure", "LN"), cuff.at, tuple(results))


def _continuous(trace: Trace) -> Iterator[Group]:
    for position in lowest_and_highest(trace):
        at, mark = instant(trace.at[position]), trace.marks.get(position, "")
        result = _number(trace.metric, trace.values[position], at, trace.device_id, mark)
        yield Group(result.code, at, (result,))


def _gap(gap: Gap) -> Group:
    words = f"no value until {gap.to_at.isoformat()}: {gap.why}"
    result = _number(gap.metric, None, gap.from_at, gap.device_id, "")._replace(remark=words)
    return Group(result.code, gap.from_at, (result,))


def _number(metric: str, value: float | None, at: datetime, source: str, mark: str) -> Result:
    shown = METRICS[metric]
    code = (shown.loinc, shown.label, "LN")
    remark = f"doubtful: {mark}" if mark else ""
    status = "X" if value is None else "F"
    return Result("NM", code, "" if value is None else f"{value:g}", shown.unit, status, at, source, remark)


def _dose(dose: Dose) -> Group:
    struck = dose.withdrawn
    remark = f"struck: {struck.reason} ({struck.by})" if struck else dose.reason
    code = ("dose", f"dose given, route {dose.route}", LOCAL)
    source = f"manual:{dose.by}"
    result = Result("NM", code, f"{dose.amount_mg:g}", "mg", "D" if struck else "F", dose.at, source, remark)
    return Group(code, dose.at, (result,))


def _score(one: Outcome) -> Group:
    scale, at = str(one.detail.get("scale", "")), _when(one, "scored_at")
    code = (scale, SCALES.get(scale, scale), LOCAL)
    value = "" if one.value is None else f"{one.value:g}"
    return Group(code, at, (Result("NM", code, value, "{score}", "F", at, f"manual:{one.by}"),))


def _note(one: Outcome) -> Group:
    code, at = ("note", str(one.detail.get("note") or "note"), LOCAL), _when(one, "noted_at")
    return Group(code, at, (Result("TX", code, one.reason, "", "F", at, f"manual:{one.by}"),))


def _correction(one: Outcome) -> Group:
    code = ("correction", f"correction of entry {one.detail.get('entry_id')}", LOCAL)
    words = str(one.detail.get("text", ""))
    return Group(code, one.at, (Result("TX", code, words, "", "F", one.at, f"manual:{one.by}", one.reason),))


def _alarm(alarm: AlarmStory) -> Group:
    first = alarm.first
    code = ("alarm", f"{first.kind} alarm, {alarm.worst} priority", LOCAL)
    results = [Result("TX", code, first.reason, "", "F", first.at, "", f"rule {first.rule}")]
    for one in alarm.answers:
        answer = ("alarm-answer", "answer of a person", LOCAL)
        results.append(Result("TX", answer, ANSWERS[one.outcome], "", "F", one.at, f"manual:{one.by}"))
    if alarm.ended:
        code_of_end = ("alarm-end", "alarm ended", LOCAL)
        results.append(Result("TX", code_of_end, alarm.ended.reason, "", "F", alarm.ended.at, ""))
    return Group(code, first.at, tuple(results))


def _when(one: Outcome, key: str) -> datetime:
    text = one.detail.get(key)
    return datetime.fromisoformat(text) if isinstance(text, str) and text else one.at


# --- syntax -------------------------------------------------------------------------------------------------


def _segment(name: str, *fields: str) -> str:
    return "|".join([name, *fields]).rstrip("|")


def _join(*parts: str) -> str:
    return "^".join(_text(part) for part in parts).rstrip("^")


def _text(text: str) -> str:
    """Return text as a field holds it: separators and line ends escaped, no other control sign."""
    for sign, escaped in ESCAPES:
        text = text.replace(sign, escaped)
    lines = "\\.br\\".join(text.splitlines())
    return "".join(max(sign, " ") for sign in lines)


def _stamp(at: datetime, clock: Clockface) -> str:
    """Return an instant as HL7 writes it, to the millisecond, with its offset."""
    local = clock.local(at)
    return f"{local:%Y%m%d%H%M%S}.{local.microsecond // 1000:03d}{local:%z}"[:24]
