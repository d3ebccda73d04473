"""What a code means: MDC, LOINC, SNOMED CT, Philips MDIL, Mindray, Edan and reference-id names.

Law: a code becomes a metric only when its nomenclature says so. An invasive pressure is never a cuff
pressure; a blood-gas saturation is never SpO2; a pulse keeps its source. A number and a name that
contradict each other give no value. What is known and is not one of our metrics says what it is.

Sources: ISO/IEEE 11073-10101 (CLINICAL §7.1, public registries), LOINC, Philips IntelliVue data export codes,
Mindray and Edan HL7 messages as their monitors send them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from monitor.core.vitals import METRICS, PRESSURES
from monitor.formats.code_tables import (
    EDAN,
    HL7_NAMES,
    LINES,
    LOINC,
    MDC,
    MDC_NAMES,
    MDC_REFERENCES,
    MINDRAY,
    NPU,
    SNOMED,
    Row,
)
from monitor.formats.units import find_scale

BLOOD_PRESSURE = "blood_pressure"  # a panel: systolic and diastolic in one value or in its parts


class Meaning(NamedTuple):
    """What a code means here.

    ``metric`` is a name of ``METRICS``, ``BLOOD_PRESSURE`` or empty (not one of ours: ``what`` says what it
    is, if known). ``rank``: of several sources of a metric in one message the lowest counts. ``remark``
    belongs into the reason of a value, ``doubt`` makes it questionable, ``clash`` leaves no value: number
    and name contradict each other (``other`` is what the name means), unless ``by_unit`` settles it.
    """

    metric: str = ""
    rank: int = 0
    what: str = ""
    remark: str = ""
    doubt: str = ""
    clash: str = ""
    other: str = ""


_UNKNOWN = Meaning()
_SYSTEMS = {
    "mdc": "mdc",
    "iso11073": "mdc",
    "11073_10101": "mdc",
    "11073-10101": "mdc",
    "mdcx": "mdc",
    "2.16.840.1.113883.6.24": "mdc",
    "urn:oid:2.16.840.1.113883.6.24": "mdc",
    "urn:iso:std:iso:11073:10101": "mdc",
    "urn:oid:1.2.840.10004.1.1.1.0.0.1": "mdc",
    "urn:oid:1.3.111.2.11073.10101": "mdc",
    "ln": "loinc",
    "loinc": "loinc",
    "lnc": "loinc",
    "http://loinc.org": "loinc",
    "https://loinc.org": "loinc",
    "urn:oid:2.16.840.1.113883.6.1": "loinc",
    "2.16.840.1.113883.6.1": "loinc",
    "sct": "snomed",
    "snomed": "snomed",
    "snomed-ct": "snomed",
    "snomedct": "snomed",
    "snm": "snomed",
    "http://snomed.info/sct": "snomed",
    "urn:oid:2.16.840.1.113883.6.96": "snomed",
    "mdil": "mdil",
    "mdil-alert": "mdil",
    "ehc": "edan",
    "urn:oid:1.2.208.176.2.1": "npu",
    "npu": "npu",
    "mindray": "mindray",
    "99mndry": "mindray private",
}
_PRECEDENCE = ("mdc", "mdil", "loinc", "snomed", "npu", "edan", "mindray", "")


def system_of(text: str) -> str:
    """Return our short name of a coding system; an unknown one stays as written, in lower case."""
    key = text.strip().lower()
    return _SYSTEMS.get(key, key)


def precedence(system: str) -> int:
    """Return how much a coding of ``system`` counts beside others of the same observation; lowest first.

    11073 names the source of a pulse, LOINC 8867-4 does not (FHIR PHD profiles send both).
    """
    short = system_of(system)
    return _PRECEDENCE.index(short) if short in _PRECEDENCE else len(_PRECEDENCE)


@lru_cache(maxsize=8192)
def meaning_of(system: str, code: str, name: str = "", unit_group: str = "") -> Meaning:
    """Return what a code means.

    Args:
        system: the coding system as sent (OBX-3.3, FHIR ``system``); may be empty.
        code: the code as sent.
        name: its name or reference id as sent; may be empty.
        unit_group: Mindray's module number (OBX-4), which confirms a code that has no system.

    Returns:
        The meaning; an empty one when nothing is known.
    """
    short, code, name = system_of(system), code.strip(), name.strip()
    if code.startswith("MDC") and not name.startswith("MDC"):
        code, name = name, code  # some senders put the reference id first
    if short == "mdc" or name.startswith(("MDC_", "NOM_")) or code.startswith(("MDC_", "NOM_")):
        return _mdc(code, name)
    if short == "mdil":
        return _nomenclature(_mdil(code), code, name)
    if short == "loinc" and _LOINC_NUMBER.fullmatch(code):
        return _numbered(LOINC.get(code), code, name)
    if short == "snomed" and code.isdigit():
        return _numbered(SNOMED.get(code), code, name)
    if not short and code in LOINC:
        return _checked(_row(LOINC[code]), code, name)  # "8867-4" is of no other nomenclature
    if not short and len(code) == 6 and _mdc_number(code) in MDC:
        return _mdc(code, name)  # nor is "150456"
    if short == "npu":
        return _row(NPU.get(code))
    if short == "edan":
        return _nomenclature(_row(EDAN.get(name.upper())), code, name)
    return _local(short, code, name, unit_group)


_LOINC_NUMBER = re.compile(r"\d{1,7}-\d")


def by_unit(meaning: Meaning, unit: str) -> Meaning:
    """Settle a clash of number and name by the unit, if it fits one of them alone: two of three agree."""
    fits = [
        metric
        for metric in (meaning.metric, meaning.other)
        if metric in METRICS and find_scale(METRICS[metric].unit, unit)
    ]
    if len(fits) != 1:
        return meaning
    return Meaning(fits[0], 9, doubt=f"{meaning.clash}; taken by its unit {unit[:24]}")


def _row(row: Row | None) -> Meaning:
    return Meaning(*row) if row else _UNKNOWN


def _spoken(name: str) -> Row | None:
    """Return what a plain name says; Nihon Kohden writes "VITAL" before each of its own."""
    key = plain(name)
    return HL7_NAMES.get(key) or HL7_NAMES.get(key.removeprefix("vital"))


def _nomenclature(found: Meaning, code: str, name: str) -> Meaning:
    """Return what a code means, or what its name says where the sender has broken the code."""
    if found.metric or found.what:
        return _checked(found, code, name)
    spoken = _row(_spoken(name))
    if spoken.metric and code != name:
        return spoken._replace(remark=_by_name(code, name))
    return spoken


def _numbered(row: Row | None, code: str, name: str) -> Meaning:
    """Return what a number of a public nomenclature means; an unknown one beside a plain name is doubted."""
    if row is not None:
        return _checked(_row(row), code, name)
    spoken = _row(_spoken(name))
    return spoken._replace(doubt=_by_name(code, name)) if spoken.metric else spoken


_RATES = frozenset({"heart_rate", "pulse_rate", "nibp_pulse_rate"})  # a name for a pulse is seldom exact


def _checked(found: Meaning, code: str, name: str) -> Meaning:
    """Return what a code means, unless the name beside it plainly says something else."""
    row = _spoken(name) if found.metric and name else None
    if row is None or row[0] == found.metric or {row[0], found.metric} <= _RATES:
        return found
    if not row[0] or found.metric == BLOOD_PRESSURE or row[0] == BLOOD_PRESSURE:
        return _row(row) if not row[0] else found
    return Meaning(found.metric, 9, clash=_contradiction(code, name), other=row[0])


def _contradiction(code: str, name: str) -> str:
    return f"code {code[:12]} and name {name[:40]} contradict each other"


def _by_name(code: str, name: str) -> str:
    return f"code {code[:12]} is not known; taken by its name {name[:40]}"


def _mdc(code: str, name: str) -> Meaning:
    """Read an 11073 code in 32- or 16-bit form, checked against the reference id beside it."""
    reference = name if name.startswith(("MDC", "NOM")) else code if code.startswith(("MDC", "NOM")) else ""
    reference = reference.upper().replace("NOM_", "MDC_", 1).strip()
    number = _mdc_number(code)
    by_number, by_name = MDC.get(number), MDC_NAMES.get(reference)
    if by_name is None and reference:
        by_name = _spoken(reference.removeprefix("MDC_"))
    if by_number is None:
        found = _row(by_name or _spoken(name) or _spoken(code))
        if found.metric and code and not code.startswith(("MDC", "NOM")) and code != name:
            return found._replace(remark=_by_name(code, reference or name))
        return found
    if not reference:
        return _checked(_row(by_number), code, name)
    if by_name is None:
        return _unknown_name(by_number, code, reference)
    if by_name[0] == by_number[0]:
        return _row(by_number)
    if not by_number[0]:
        return _more_exact(_row(by_name), number, code, reference)
    return Meaning(by_number[0], 9, by_number[2], clash=_contradiction(code, reference), other=by_name[0])


def _more_exact(found: Meaning, number: int, code: str, reference: str) -> Meaning:
    """Take a metric by its name where the number is not one: a broader term of the same thing, or another."""
    said = f"code {code[:12]} means {MDC[number][2]}; taken by its name {reference[:40]}"
    if set(MDC_REFERENCES[number].split("_")) < set(reference.split("_")):
        return found._replace(remark=said)
    return found._replace(doubt=said)


# What the reference ids of a metric have in common; an unknown id without any of it is of something else.
_WORDS = {
    "heart_rate": "ECG HEART HR CARD BEAT",
    "pulse_rate": "PULS PULSE PLETH OXIM PR",
    "nibp_pulse_rate": "PULS PULSE PR",
    "spo2": "OXIM SAT SPO2",
    "perfusion_index": "PERF PI",
    "respiration_rate": "RESP RR",
    "etco2": "CO2 ETCO2",
    "temperature": "TEMP",
}


def _unknown_name(by_number: Row, code: str, reference: str) -> Meaning:
    """Return what a known number means beside a reference id that we do not know."""
    if not by_number[0]:
        return _row(by_number)
    words = set(_WORDS.get(by_number[0], "PRESS NIBP CUFF BP").split())
    if words.isdisjoint(reference.split("_")):
        return Meaning(by_number[0], 9, by_number[2], clash=_contradiction(code, reference))
    return _row(by_number)._replace(doubt=f"its name {reference[:40]} is not known to us")


def _mdc_number(code: str) -> int:
    """Return the 32-bit code; a 16-bit one is of partition 2, where all vital signs are (CLINICAL §7.1)."""
    if not (code.isascii() and code.isdigit()) or len(code) > 10:
        return -1
    number = int(code)
    return number + 131072 if 0 < number < 65536 else number


def _mdil(code: str) -> Meaning:
    """Read Philips' form of an 11073 code: partition and code in hexadecimal, "0002-4bb8"."""
    partition, _, low = code.partition("-")
    try:
        return _row(MDC.get(int(partition, 16) << 16 | int(low, 16))) if len(code) == 9 else _UNKNOWN
    except ValueError:
        return _UNKNOWN


def _local(system: str, code: str, name: str, unit_group: str) -> Meaning:
    """Read a code without a nomenclature: Mindray's numbers if name or module confirm them, else names."""
    row = MINDRAY.get(code)
    if row is not None and system in {"", "mindray", "l", "99mndry"}:
        names, meaning = row
        if plain(name) in names or (not name and unit_group.startswith("21") and len(unit_group) == 4):
            return _row(meaning)
    if system == "mindray private":
        return _UNKNOWN
    if row is not None and not row[1][0] and plain(name) in row[0]:
        return _row(row[1])
    together = _spoken(code + name) if name else None  # "NIBP^Sys", "SpO2^PR"
    if (found := together or _spoken(name)) is None and (found := _spoken(code)) and _LIMITS.search(name):
        return Meaning(what="a limit or a setting")
    if found and found[0] in _OF_A_LINE and not LINES.isdisjoint(map(plain, (code, name, unit_group))):
        return Meaning(what="of a line inside the body")
    return _row(found)


_LIMITS = re.compile(
    r"(?i)\b(limits?|alarms?|thresholds?|upper|lower|high|low|min(imum)?|max(imum)?|settings?|set|target|avg|average|delta|baseline)\b"
)
_OF_A_LINE = frozenset({*PRESSURES, BLOOD_PRESSURE, "pulse_rate"})


@lru_cache(maxsize=8192)
def plain(name: str) -> str:
    """Return a name reduced to its letters and digits, in lower case."""
    return "".join(sign for sign in name.lower() if sign.isalnum() or sign == "%")
