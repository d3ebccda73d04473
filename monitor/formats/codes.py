"""What a code means: MDC, LOINC, SNOMED CT, Philips MDIL, Mindray, Edan and reference-id names.

Law: a code becomes a metric only when its nomenclature says so. An invasive pressure is never a cuff
pressure; a blood-gas saturation is never SpO2; a pulse keeps its source. A number and a name that
contradict each other give no value. What is known and is not one of our metrics says what it is.

Sources: ISO/IEEE 11073-10101 (CLINICAL §7.1, public registries), LOINC, Philips IntelliVue data export codes,
Mindray and Edan HL7 messages as their monitors send them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from monitor.formats.code_tables import (
    EDAN,
    HL7_NAMES,
    LOINC,
    MDC,
    MDC_NAMES,
    MINDRAY,
    NPU,
    SNOMED,
    Row,
)

BLOOD_PRESSURE = "blood_pressure"  # a panel: systolic and diastolic in one value or in its parts


class Meaning(NamedTuple):
    """What a code means here.

    ``metric`` is a name of ``METRICS``, ``BLOOD_PRESSURE`` or empty (not one of ours: ``what`` says what it
    is, if known). ``rank``: of several sources of a metric in one message the lowest counts. ``remark``
    belongs into the reason of a value, ``doubt`` makes it questionable, ``clash`` leaves no value: number
    and name contradict each other.
    """

    metric: str = ""
    rank: int = 0
    what: str = ""
    remark: str = ""
    doubt: str = ""
    clash: str = ""


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
        return _mdil(code)
    if short == "loinc":
        return _row(LOINC.get(code))
    if short == "snomed":
        return _row(SNOMED.get(code))
    if not short and code in LOINC:
        return _row(LOINC[code])  # "8867-4" is of no other nomenclature
    if not short and len(code) == 6 and _mdc_number(code) in MDC:
        return _mdc(code, name)  # nor is "150456"
    if short == "npu":
        return _row(NPU.get(code))
    if short == "edan":
        return _row(EDAN.get(name.upper()))
    return _local(short, code, name, unit_group)


def _row(row: Row | None) -> Meaning:
    return Meaning(*row) if row else _UNKNOWN


def _mdc(code: str, name: str) -> Meaning:
    """Read an 11073 code in 32- or 16-bit form, checked against the reference id beside it."""
    reference = name if name.startswith(("MDC", "NOM")) else code if code.startswith(("MDC", "NOM")) else ""
    by_name = MDC_NAMES.get(reference.upper().replace("NOM_", "MDC_", 1).strip())
    by_number = MDC.get(_mdc_number(code))
    if by_number is None:
        found = _row(by_name)
        if found.metric and code and code != reference:
            return found._replace(remark=f"code {code[:12]} is not known; taken by its name {reference[:40]}")
        return found
    if by_name is None or by_name[0] == by_number[0]:
        return _row(by_number)
    if not by_number[0] and by_name[0]:
        doubt = f"code {code} means {by_number[2]}; taken by its name {reference[:40]}"
        return _row(by_name)._replace(doubt=doubt)
    clash = f"code {code} and name {reference[:40]} contradict each other"
    return Meaning(by_number[0] or by_name[0], 9, by_number[2], clash=clash)


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
    return _row(HL7_NAMES.get(plain(name)) or HL7_NAMES.get(plain(code)))


@lru_cache(maxsize=8192)
def plain(name: str) -> str:
    """Return a name reduced to its letters and digits, in lower case."""
    return "".join(sign for sign in name.lower() if sign.isalnum() or sign == "%")
