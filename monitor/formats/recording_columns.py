"""What the columns of a recording mean, by the names that makers, hospitals and people give them.

Law: a column is used when its name can mean one thing only; which ones are not used is said, with the reason.
A file has a row for each value (``measured_at,metric,value``) or a column for each metric.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from monitor.core.vitals import METRICS
from monitor.formats.codes import BLOOD_PRESSURE, plain
from monitor.formats.json_names import Name, name_of, settle
from monitor.formats.units import convert

OURS = ("measured_at", "metric", "value")


class Meaning(NamedTuple):
    """What a column of values holds: a metric, and the unit that its head names (empty: the metric's own)."""

    metric: str
    unit: str


class Columns(NamedTuple):
    """Where things stand in a line.

    ``at``: the cells that make up the time. ``per_second``: how many of what they count make a second, or 0
    where they tell the time of day. ``step``: they count from the line before. ``metric`` and ``value``: in
    a file of a row for each value; ``metrics``: in one of a column for each metric. ``groups``: columns that
    tell patients or stays apart, by name. ``unused``: columns without a meaning here, with the reason.
    """

    at: tuple[int, ...]
    per_second: float
    step: bool
    received: int | None
    device: int | None
    metric: int | None
    value: int | None
    unit: int | None
    metrics: dict[int, Meaning]
    groups: dict[int, str]
    unused: dict[str, str]


_TIMES = frozenset(
    "measuredat time timestamp datetime charttime recordedat observedat readingtime measurementtime"
    " recordtime timeofmeasurement measuretime timeutc datetimeutc timestamputc utctime localtime"
    " datetimelocal timestamplocal effectivetime effectivedatetime sampletime when".split()
)
_DATES = frozenset("date day measurementdate recorddate chartdate readingdate".split())
_CLOCKS = frozenset("time clock timeofday hour".split())
_RECEIVED = frozenset("receivedat received receivetime storetime storedat arrivedat arrivaltime".split())
_DEVICES = frozenset("deviceid device sensor sensorid monitor monitorid devicename".split())
_METRICS = frozenset("metric signal parameter param vital vitalsign vitalname measure item label".split())
_VALUES = frozenset("value valuenum numericvalue result reading measurement".split())
_UNITS = frozenset("unit units uom valueuom valueunit".split())
_GROUPS = frozenset(
    "id patient patientid subject subjectid participant participantid caseid case recordid encounter stay"
    " stayid icustayid patientunitstayid hadmid mrn visit visitid sessionid".split()
)
_COUNTED = frozenset("t time elapsed elapsedtime relativetime offset timeoffset timestamp dt step".split())
_PER_SECOND = {"s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0}
_PER_SECOND |= {"ms": 1e3, "msec": 1e3, "milliseconds": 1e3, "us": 1e6}
_PER_SECOND |= {"min": 1 / 60, "mins": 1 / 60, "minute": 1 / 60, "minutes": 1 / 60}
# eICU counts minutes from the admission to the unit (eicu-crd.mit.edu, vitalAperiodic).
_COUNTED_AS = {"observationoffset": 1 / 60, "step_s": 1.0}
_STEPS = frozenset({"step", "dt"})
_BRACKETS = re.compile(r"(.*?)\s*[\[(]([^\])]*)[\])]\s*")  # "SpO2 [%]", "Temp (degC)"
# What hospitals call the parts of a cuff's pressure: "noninvasivemean", "NBPDias", "SYST".
_OF_CUFF = re.compile(r"((?:noninvasive|nibp|nbp)?(?:bp)?)(sys|dias?|mean|map|syst|diast|systolic|diastolic)")
_PRESSURES = {"s": "nibp_systolic", "d": "nibp_diastolic", "m": "nibp_mean"}


def columns_of(names: Sequence[str]) -> Columns | None:
    """Return what a first line says; ``None`` when it names no time, or nothing that is measured."""
    plains = [plain(name) for name in names]
    at, per_second, step = _time(names, plains)
    if not at:
        return None
    rest = {place: plains[place] for place in range(len(names)) if place not in at}
    metric, value = _first(rest, _METRICS), _first(rest, _VALUES)
    received, device, unit = _first(rest, _RECEIVED), _first(rest, _DEVICES), _first(rest, _UNITS)
    groups = {place: names[place].strip() for place, name in rest.items() if name in _GROUPS}
    if metric is not None and value is not None:
        return Columns(at, per_second, step, received, device, metric, value, unit, {}, groups, {})
    taken = {received, device, *groups}
    metrics, unused = _metrics({place: names[place] for place in rest if place not in taken})
    if not metrics:
        return None
    return Columns(at, per_second, step, received, device, None, None, None, metrics, groups, unused)


def missing(names: Sequence[str]) -> list[str]:
    """Return which of our own columns a first line does not name."""
    return sorted(set(OURS) - {name.strip().lower() for name in names})


def _first(places: dict[int, str], names: Iterable[str]) -> int | None:
    return next((place for place, name in places.items() if name in names), None)


def _time(names: Sequence[str], plains: Sequence[str]) -> tuple[tuple[int, ...], float, bool]:
    """Return the places of the time, what it counts to the second, and whether in steps."""
    places = dict(enumerate(plains))
    date = _first(places, _DATES)
    clock = _first(places, _CLOCKS)
    if date is not None and clock is not None:
        return (date, clock), 0.0, False
    counted = [(place, *_count(name)) for place, name in enumerate(names) if _count(name)[0]]
    told = _first(places, OURS[:1]) if "measured_at" in names else None
    told = _first(places, _TIMES) if told is None else told
    if told is None and counted:
        place, per_second, step = counted[0]
        return (place,), per_second, step
    if told is None:
        told = date
    return ((), 0.0, False) if told is None else ((told,), 0.0, False)


def _count(name: str) -> tuple[float, bool]:
    """Return how many of what a column counts make a second (0: it counts no time), and whether in steps."""
    low = name.strip().lower()
    if low in _COUNTED_AS:
        return _COUNTED_AS[low], low.startswith("step")
    if low in _PER_SECOND and low not in ("s", "us", "ms"):
        return _PER_SECOND[low], False
    words = [word for word in re.split(r"[^a-z]+", low) if word]
    if len(words) < 2 or words[-1] not in _PER_SECOND or "".join(words[:-1]) not in _COUNTED:
        return 0.0, False
    return _PER_SECOND[words[-1]], words[0] in _STEPS


def _metrics(heads: dict[int, str]) -> tuple[dict[int, Meaning], dict[str, str]]:
    known: dict[int, Meaning] = {}
    unused: dict[str, str] = {}
    for place, head in heads.items():
        name, unit = _named(head)
        if name is None:
            unused[head.strip()] = "names nothing that is measured here"
        else:
            known[place] = Meaning(name.metric, unit or name.unit)
    company = {meaning.metric for meaning in known.values()}
    found: dict[int, Meaning] = {}
    for place, meaning in known.items():
        metric, head = settle(meaning.metric, company), heads[place].strip()
        if metric in [one.metric for one in found.values()]:
            unused[head] = f"another column holds {metric} already"
        elif not metric:
            unused[head] = "may be a room's temperature"
        elif metric != BLOOD_PRESSURE and meaning.unit and not _measures(metric, meaning.unit):
            unused[head] = f"{meaning.unit!r} is no unit of {metric}"
        else:
            found[place] = Meaning(metric, meaning.unit)
    return found, unused


def _measures(metric: str, unit: str) -> bool:
    return convert(METRICS[metric].unit, 1.0, unit)[0] is not None


def _named(head: str) -> tuple[Name | None, str]:
    """Return what the head of a column names, and the unit in it."""
    text, unit = head, ""
    if match := _BRACKETS.fullmatch(head.strip()):
        text, unit = match.groups()
    word = plain(text)
    of_cuff = _OF_CUFF.fullmatch(word.removesuffix("mmhg"))
    if of_cuff and (of_cuff[1] or of_cuff[2] != "mean"):
        return Name(_PRESSURES[of_cuff[2][0]], "mmHg" if word.endswith("mmhg") else ""), unit.strip()
    return name_of((text,)), unit.strip()


def metric_named(text: str, company: Iterable[str]) -> str:
    """Return the metric that a cell names, beside the others of the file; empty when it names none."""
    low = text.strip().lower()
    if low in METRICS:
        return low
    name, _ = _named(text)
    found = settle(name.metric, {*company}) if name else ""
    return found if found in METRICS else ""
