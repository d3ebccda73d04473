"""What HL7 v2 alarms say of the device: IHE PCD-04 (ORU^R40) and Mindray's alarm messages.

Law: a technical alarm becomes a fault of our table, or a note when its words fit none; a physiological
alarm of a bedside monitor is a note, never a value and never an alarm of ours. Words decide, then the
source's code. Sources: IHE PCD TF-2 (PCD-04), Mindray alarm lists 54 and 56, ALARMS §1.7.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from monitor.core.vitals import METRICS
from monitor.formats.codes import BLOOD_PRESSURE, meaning_of
from monitor.formats.er7 import Separators, component_of, field_of, repetitions_of
from monitor.formats.reading import shown

TECHNICAL_TYPES = frozenset({"ST", "SA"})  # technical, advisory; SP is physiological

_SYSTEMS = frozenset({"MDC", "MDCX", "MDIL", "L"})  # coding systems beside the words

# Words of an alarm, the channel they need ("" = any), and the fault; the first row that fits counts.
_FAULT_WORDS: tuple[tuple[str, str, str], ...] = (
    (r"batt\w*", "", "battery_low"),
    (r"standby|stand-by", "", "standby"),
    (r"clock|time.?sync", "", "clock_unset"),
    (r"search\w*|pulse.?search|no.?puls\w*|non.?pulsatile|pulse.?not.?found", "oximeter", "searching"),
    (r"low.?perf\w*|perf\w*.?low|weak.?pulse|weak.?signal|low.?signal", "oximeter", "low_perfusion"),
    (r"light|interfer\w*", "oximeter", "interference"),
    (r"motion|mov\w+", "oximeter", "motion"),
    (
        (
            r"off|disconn\w*|unplug\w*|no.?sensor|no.?probe|sensor.?absent|displac\w*|no.?finger|no.?contact"
            r"|finger.?(out|absent)|removed|not.?worn|check.?(probe|sensor)"
        ),
        "oximeter",
        "probe_off",
    ),
    (r"fail\w*|fault\w*|malf\w*|defect\w*|error|err|replace|incompat\w*|unknown", "oximeter", "probe_fault"),
    (r"leads?.?off|electrode|disconn\w*|leads?.?fail\w*|off", "ecg", "lead_off"),
    (r"nois\w*|artifact|artefact|interfer\w*|unstable", "ecg", "ecg_noise"),
    (r"leak\w*|loose\w*|air.?hose|pneumatic", "cuff", "cuff_leak"),
    (r"motion|mov\w+", "cuff", "cuff_motion"),
    (
        r"fail\w*|error|err|over.?time|time.?out|over.?pressure|unable|invalid|occlu\w*|malf\w*|weak",
        "cuff",
        "cuff_error",
    ),
    (r"cuff", "cuff", "cuff_error"),
    (r"off|disconn\w*|fail\w*|lost|nois\w*|erratic|error", "respiration", "respiration_lost"),
    (
        r"off|disconn\w*|fail\w*|occlu\w*|block\w*|calib\w*|zero\w*|warm\w*|malf\w*|error",
        "capnograph",
        "capnograph_fault",
    ),
    (r"leads?.?off", "", "lead_off"),
    (r"nois\w*|artifact|artefact|erratic", "", "artefact"),
)
_ROWS = tuple((re.compile(rf"\b(?:{words})\b"), channel, fault) for words, channel, fault in _FAULT_WORDS)

# Words that name the instrument when the alarm's source code does not.
_CHANNEL_WORDS = (
    (re.compile(r"\b(spo2|sp02|pleth|oximet\w*|puls\w*.?oxim|spo₂|finger)\b"), "oximeter"),
    (re.compile(r"\b(ecg|ekg)\b"), "ecg"),
    (re.compile(r"\b(nibp|nbp|cuff|noninv\w*)\b"), "cuff"),
    (re.compile(r"\b(co2|etco2|capno\w*)\b"), "capnograph"),
    (re.compile(r"\b(resp|rr|apnea|apnoea)\b"), "respiration"),
)
# Of the ECG where nothing else is known: respiration is measured through the same leads.
_LEADS = re.compile(r"\b(leads?|electrode)\b")


class Alarm(NamedTuple):
    """One alarm of a bedside monitor. ``fault`` is empty when its words fit none of ours."""

    text: str
    phase: str
    active: bool
    technical: bool
    fault: str
    watchdog: bool
    source: str


def read_alarm(rows: Iterable[list[str]], separators: Separators) -> Alarm | None:
    """Read the OBX segments of one PCD-04 alarm (one OBR group).

    Returns:
        The alarm, or ``None`` when the group has no alarm segment.
    """
    texts: list[str] = []
    phase, active, technical, source, found = "start", True, False, "", False
    for row in rows:
        code, name = (component_of(field_of(row, 3), part, separators) for part in (0, 1))
        name = name if name.startswith("MDC") else code
        given = field_of(row, 5)
        flags = {flag.upper() for flag in repetitions_of(field_of(row, 8), separators)}
        technical = technical or bool(flags & TECHNICAL_TYPES)
        if name.startswith(("MDC_EVT", "MDCX_EVT")):
            found = True
            parts = given.split(separators.component)
            texts += [name.removeprefix("MDC_EVT_"), *(part for part in parts if part not in _SYSTEMS)]
        elif "EVENT_PHASE" in name or "EVT_PHASE" in name:
            phase = given.strip().lower() or phase
        elif name.endswith(("ALARM_STATE", "ALERT_STATE")):
            active = given.strip().lower() not in {"inactive", "off"}
        elif name.endswith("ALERT_TYPE"):
            technical = technical or given.strip().upper() in TECHNICAL_TYPES
        elif name.endswith(("ALERT_TEXT", "ALARM_TEXT")):
            texts.append(given)
        elif name.endswith("ALERT_SOURCE"):
            source = given
        else:
            source = source or field_of(row, 3)
    if not found:
        return None
    return _alarm(" ".join(texts), phase, active, technical, source, separators)


def _alarm(
    text: str, phase: str, active: bool, technical: bool, source: str, separators: Separators
) -> Alarm:
    text = " ".join(text.replace("MDC_EVT_", " ").replace("_", " ").split())
    active = active and phase != "end"
    channel = _channel_of_code(source, separators)
    watchdog = "WATCHDOG" in text.upper()
    fault = fault_of(text, channel) if technical else ""
    return Alarm(shown(text, 80), phase, active, technical, fault, watchdog, shown(source, 40))


def _channel_of_code(source: str, separators: Separators) -> str:
    code, name = (component_of(source, part, separators) for part in (0, 1))
    meaning = meaning_of("MDC" if name.startswith("MDC") else "", code, name)
    if meaning.metric == BLOOD_PRESSURE:
        return "cuff"
    if meaning.metric:
        return METRICS[meaning.metric].channel
    text = f"{code} {name}".replace("_", " ").lower()
    return _named(text) or _by_leads(text)


def _named(text: str) -> str:
    return next((channel for words, channel in _CHANNEL_WORDS if words.search(text)), "")


def _by_leads(text: str) -> str:
    return "ecg" if _LEADS.search(text) else ""


def fault_of(text: str, channel: str = "") -> str:
    """Return the fault of our table that an alarm's words mean, or an empty text.

    Args:
        text: the words of the alarm as the device sent them.
        channel: the instrument it concerns, if known; one that the words name goes before it.
    """
    plain = text.replace("_", " ").lower()
    channel = _named(plain) or channel or _by_leads(plain)
    for words, needs, fault in _ROWS:
        if (not needs or needs == channel) and words.search(plain):
            return fault
    return ""


def read_inop(identifier: str, given: str, separators: Separators) -> str:
    """Return the fault of a Philips technical alarm in an OBX: "5^HardInop^MDIL-ALERT", else nothing."""
    if "MDIL-ALERT" not in identifier.upper():
        return ""
    name = component_of(identifier, 1, separators).lower()
    return fault_of(given) if name.endswith("inop") else ""


def read_mindray_alarms(
    rows: Iterable[list[str]], separators: Separators
) -> tuple[tuple[str, ...], list[str]]:
    """Read a Mindray list of alarms (messages 54 and 56): faults and notes.

    The list is complete: what it does not name has ended.
    """
    faults: list[str] = []
    notes: list[str] = []
    for row in rows:
        number = component_of(field_of(row, 3), 0, separators)
        text = component_of(field_of(row, 5), 1, separators)
        if number not in {"2", "4"} or not text:
            continue
        fault = fault_of(text) if number == "4" else ""
        what = "technical" if number == "4" else "physiological"
        notes.append(f"{what} alarm of the monitor: {shown(text.strip('* '))}")
        if fault:
            faults.append(fault)
    return tuple(dict.fromkeys(faults)), notes
