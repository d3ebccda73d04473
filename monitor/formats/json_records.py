"""JSON of gateways and fleets, read by the names of its keys: the engine behind one small file for each kind.

Law: a list of objects is a list of records, each with the nearest device name and time above it; records of
one device and one time are one report, so that a cuff's pressures are judged together. What no rule names
is counted, and what could be mistaken for a vital sign is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from monitor.core.vitals import METRICS, Observation, Report
from monitor.formats.codes import BLOOD_PRESSURE, plain
from monitor.formats.contract import MAX_UNREAD, Context, Decoded, Undecodable
from monitor.formats.identity import normalise_address
from monitor.formats.instants import read_any, read_pattern
from monitor.formats.json_names import (
    DRILL_KEYS,
    FLAGS,
    GENERIC,
    NOT_MEASURED,
    WARMTH,
    Name,
    name_of,
    settle,
)
from monitor.formats.reading import join, judge_pressures, observe, read_pressures, refuse, shown
from monitor.formats.units import find_scale

_MAX_LEAVES = 2000
_MAX_DEPTH = 12
# {"name": "spo2", "value": 97}
_LABELS = dict.fromkeys(
    "name metric key type parameter param code n sensor sensorType sensor_type label field vital vitalType"
    " vital_type observation channel kind measure measurement display".split()
)
_UNITS = dict.fromkeys(("unit", "units", "uom", "unit_of_measurement", "unitOfMeasure", "u"))
_SUBJECTS = ("patientid", "patient", "patientcode", "mrn", "bedid", "bed", "bedno", "room", "subjectid",
             "subject", "userid", "user", "citiz")  # fmt: skip
_CLOCK_TIME = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Style:
    """How one kind of gateway writes: which keys name the device and the times, and what a "temp" is.

    ``time_keys`` are the device's clock, ``gateway_time_keys`` the gateway's; in the order of trust. Keys
    are compared without case and signs: ``timestamp`` is also "timeStamp" and "time_stamp".
    ``day_first`` is the pattern of times written with slashes.
    """

    identity_keys: tuple[str, ...] = ()
    time_keys: tuple[str, ...] = ()
    gateway_time_keys: tuple[str, ...] = ()
    day_first: str = ""
    body_temperature: bool = False


class Leaf(NamedTuple):
    """One value in a record, with its path, the unit that stands beside it, and where its record stands."""

    path: Path
    value: Any
    unit: str = ""
    above: Path = ()


@dataclass(slots=True)
class Record:
    """What one part of a message says of one device at one time; times as they were sent."""

    identity: str = ""
    at: Any = None
    gateway_at: Any = None
    leaves: list[Leaf] = field(default_factory=list)
    subject: str = ""


def records_of(document: Any, style: Style, label: str = "") -> list[Record]:
    """Split a document into its records; ``label`` names a value that has no name: {"value": 97}."""
    budget = [_MAX_LEAVES]
    return list(_walk(document, Record(), style, 0, budget, label))


def _walk(
    node: Any, above: Record, style: Style, depth: int, budget: list[int], label: str = "", place: Path = ()
) -> Iterator[Record]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(node, list):
        for entry in node:
            yield from _walk(entry, above, style, depth + 1, budget, label, place)
    elif isinstance(node, dict):
        here = Record()
        lists: list[tuple[Path, list[Any]]] = []
        _flatten(node, (), here.leaves, lists, depth, budget, label)
        if place:
            here.leaves = [leaf._replace(above=place) for leaf in here.leaves]
        values = _shallowest(here.leaves)
        here.subject = _named(values, _SUBJECTS) or above.subject
        here.identity = _named(values, style.identity_keys) or above.identity
        here.at = _dated(_first(values, style.time_keys, above.at), values)
        here.gateway_at = _first(values, style.gateway_time_keys, above.gateway_at)
        if here.leaves:
            yield here
        for path, entries in lists:
            yield from _walk(entries, here, style, depth + 1, budget, label, (*place, *path))


def _flatten(
    node: dict[str, Any],
    path: Path,
    leaves: list[Leaf],
    lists: list[tuple[Path, list[Any]]],
    depth: int,
    budget: list[int],
    label: str = "",
) -> None:
    """Collect the values of an object and of the objects in it; lists that hold objects are kept apart."""
    if depth > _MAX_DEPTH:
        return
    unit = _text_under(node, _UNITS, "")
    label = _text_under(node, _LABELS, label)
    for key, value in node.items():
        budget[0] -= 1
        if budget[0] < 0:
            return
        if isinstance(value, dict | list) and plain(key) in NOT_MEASURED:
            leaves.append(Leaf((*path, key), None))
        elif isinstance(value, dict):
            _flatten(value, (*path, key), leaves, lists, depth + 1, budget)
        elif isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
            lists.append(((*path, key), value))
        elif label and plain(key) in GENERIC and name_of((label,)):
            leaves.append(Leaf((label,), value, unit))
        else:
            leaves.append(Leaf((*path, key), value, unit))


def _text_under(node: dict[str, Any], keys: dict[str, None], otherwise: str) -> str:
    """Return the text under the first of ``keys`` that has one."""
    if node.keys().isdisjoint(keys):
        return otherwise
    return next((node[key] for key in keys if isinstance(node.get(key), str)), otherwise)


def _shallowest(leaves: list[Leaf]) -> dict[str, Leaf]:
    """Return, for each key compared without case and signs, the leaf with a value that lies least deep."""
    found: dict[str, Leaf] = {}
    for leaf in leaves:
        if leaf.value not in (None, ""):
            known = found.setdefault(plain(leaf.path[-1]), leaf)
            if len(leaf.path) < len(known.path):
                found[plain(leaf.path[-1])] = leaf
    return found


def _first(values: Mapping[str, Leaf], keys: tuple[str, ...], otherwise: Any) -> Any:
    """Return the value under the first of ``keys`` that has one."""
    for key in keys:
        if (found := values.get(plain(key))) is not None:
            return found.value
    return otherwise


def _dated(time: Any, values: Mapping[str, Leaf]) -> Any:
    """Return a time with the date that stands beside it, where date and time are two keys."""
    if isinstance(time, str) and _CLOCK_TIME.fullmatch(time.strip()):
        date = _first(values, ("date", "day"), None)
        if isinstance(date, str):
            return f"{date.strip()} {time.strip()}"
    return time


def _named(values: Mapping[str, Leaf], keys: tuple[str, ...]) -> str:
    """Return the device's name under ``keys``; a placeholder of zeros names nobody."""
    for key in keys:
        leaf = values.get(plain(key))
        found = leaf.value if leaf else None
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(found) if abs(found) < 1 << 64 else None
        if isinstance(found, str) and found.strip("0:- "):
            return normalise_address(found)
    return ""


def named_by(record: Record, place: str) -> str:
    """Return the device's name under a key, or under a dotted path, of a record."""
    found = next((leaf for leaf in record.leaves if ".".join(leaf.path) == place), None)
    return _named(_shallowest([found] if found else record.leaves), (found.path[-1] if found else place,))


# --- from records to reports
# ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Group:
    """The records of one device at one time."""

    measured_at: datetime | None
    gateway_at: datetime | None
    leaves: list[Leaf] = field(default_factory=list)
    subjects: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def read_records(records: Iterable[Record], style: Style, context: Context) -> Decoded:
    """Turn records into reports, one for each device and time.

    Options: ``identity`` ("payload", the default, or "topic"), ``metrics`` (a table of the site's own keys to
    metrics; "ignore" takes a key away), ``time_format``.

    Raises:
        Undecodable: several patients, and nothing that tells their devices apart.
    """
    groups: dict[tuple[str, datetime | None, datetime | None], _Group] = {}
    by_topic = context.options.get("identity") == "topic"
    for record in records:
        identity = "" if by_topic else record.identity
        at, note = read_time(record.at, style.day_first, context)
        gateway_at, gateway_note = read_time(record.gateway_at, style.day_first, context)
        group = groups.setdefault((identity, at, gateway_at), _Group(at, gateway_at))
        group.leaves += record.leaves
        group.subjects.add(record.subject)
        group.notes += [text for text in (note, gateway_note) if text]
    reports: list[Report] = []
    ignored = 0
    note = ""
    unread: dict[str, None] = {}
    subjects: dict[str, set[str]] = {}
    for (identity, _, _), group in groups.items():
        values = read_leaves(group.leaves, context.options.get("metrics") or {}, style.body_temperature)
        ignored += values.ignored
        unread.update(dict.fromkeys(values.unread))
        if values.observations or values.faults is not None:
            reports.append(_report(identity, group, values, context))
            subjects.setdefault(identity, set()).update(group.subjects)
        else:
            note = note or "; ".join(values.notes)
    _refuse_mixed_patients(subjects)
    said = "" if reports else join("no vital sign in it", note)[:500]
    return Decoded(tuple(reports), ignored, said, tuple(unread)[:MAX_UNREAD])


def _refuse_mixed_patients(subjects: Mapping[str, set[str]]) -> None:
    """Refuse several patients under one device.

    Raises:
        Undecodable: two patients' readings would go to one device.
    """
    for named in subjects.values():
        if len(named) > 1:
            raise Undecodable(
                f"{len(named)} patients or beds and no key that tells their devices apart: name it by a key"
                " map (format keymap, options.records and options.device), or send one patient a message"
            )


def _report(identity: str, group: _Group, values: Values, context: Context) -> Report:
    return Report(
        identity or context.device_id,
        context.received_at,
        group.measured_at,
        values.observations,
        values.faults,
        mode="drill" if values.drill else "real",
        retained=context.retained,
        gateway_at=group.gateway_at,
        notes=tuple(dict.fromkeys([*group.notes, *values.notes])),
    )


def read_time(given: Any, day_first: str, context: Context) -> tuple[datetime | None, str]:
    """Read a time of unknown form; ``options.time_format`` or ``day_first`` for those with slashes."""
    pattern = str(context.options.get("time_format") or "")
    if not pattern and day_first and isinstance(given, str) and given[2:3] == "/":
        pattern = day_first
    if pattern and isinstance(given, str) and given.strip():
        return read_pattern(given, pattern, context)
    return read_any(given, context)


class Values(NamedTuple):
    """What the leaves of one report say."""

    observations: tuple[Observation, ...]
    faults: tuple[str, ...] | None
    drill: bool
    ignored: int
    notes: tuple[str, ...]
    unread: tuple[str, ...]


def read_leaves(leaves: list[Leaf], own: Mapping[str, Any], body_temperature: bool) -> Values:
    """Read the values of one device at one time by the names of their keys.

    Args:
        leaves: the values.
        own: the site's own keys (the last name or the dotted path) to metrics or "ignore".
        body_temperature: a bare temperature is the patient's.
    """
    known = [(leaf, _own_name(leaf, own) or name_of(leaf.path)) for leaf in leaves]
    named = [(leaf, name) for leaf, name in known if name]
    notes: list[str] = []
    observations = _settled(_observed(named, body_temperature, notes), notes)
    faults, drill = _flags(leaves)
    if drill:
        notes.append("marked as simulated: taken as drill")
    unnamed = [leaf for leaf, name in known if not name]
    unread = tuple(".".join(leaf.path)[:80] for leaf in unnamed if type(leaf.value) in (int, float))
    return Values(judge_pressures(observations), faults, drill, len(unnamed), tuple(notes), unread)


def _flags(leaves: list[Leaf]) -> tuple[tuple[str, ...] | None, bool]:
    """Return the faults that flags tell of, ``None`` where there is no flag, and whether this is a drill."""
    faults: list[str] | None = None
    drill = False
    for leaf in leaves:
        if isinstance(leaf.value, bool):
            key = plain(leaf.path[-1])
            if key in FLAGS:
                faults = [*(faults or []), *([FLAGS[key]] if leaf.value else [])]
            drill = drill or (key in DRILL_KEYS and leaf.value)
    return None if faults is None else tuple(dict.fromkeys(faults)), drill


def _observed(
    named: list[tuple[Leaf, Name]], body_temperature: bool, notes: list[str]
) -> Iterator[tuple[Observation, Leaf]]:
    """Yield what each named leaf says; what a doubtful name means is settled by the names beside it."""
    company = {name.metric for leaf, name in named if not _is_absent(leaf.value)}
    for leaf, name in named:
        if name.metric == WARMTH:  # only what stands in the same object tells whose it is
            beside = {n.metric for other, n in named if other.path[:-1] == leaf.path[:-1]}
            metric = "temperature" if body_temperature else settle(WARMTH, beside)
        else:
            metric = settle(name.metric, company)
        for one in _read(leaf, name, metric, notes):
            yield one, leaf


def _settled(read: Iterable[tuple[Observation, Leaf]], notes: list[str]) -> list[Observation]:
    """Return one observation of each metric: the first with a value, or none where two beds are mixed."""
    seen: dict[str, tuple[Observation, Leaf]] = {}
    mixed: dict[str, str] = {}
    for one, leaf in read:
        rival, other = seen.get(one.metric, (None, leaf))
        if rival is None or (rival.value is None and one.value is not None):
            seen[one.metric] = (one, leaf)
        elif one.value != rival.value:
            sent = "no value" if one.value is None else f"{one.value:g}"
            notes.append(f"second {one.metric} under {'.'.join(leaf.path)[:60]}: {sent}, not used")
            if one.value is not None and _are_siblings(leaf, other):
                places = (".".join((*found.above, *found.path))[:40] for found in (other, leaf))
                mixed[one.metric] = f"several, under {' and '.join(places)}"
    return [
        refuse(one, f"{mixed[metric]}: whose is which? Name them by a key map") if metric in mixed else one
        for metric, (one, _) in seen.items()
    ]


def _are_siblings(leaf: Leaf, other: Leaf) -> bool:
    """Say whether two values stand under one name in two objects of one parent: {"a": {x}, "b": {x}}."""
    first, second = (*leaf.above, *leaf.path), (*other.above, *other.path)
    if len(first) != len(second) or first[-1] != second[-1]:
        return False
    return sum(one != two for one, two in zip(first, second, strict=True)) == 1


def _own_name(leaf: Leaf, own: Mapping[str, Any]) -> Name | None:
    if not own:
        return None
    metric = own.get(".".join(leaf.path), own.get(leaf.path[-1]))
    return Name(str(metric)) if metric else None


def _is_absent(value: Any) -> bool:
    return value is None or value == ""


def _read(leaf: Leaf, name: Name, metric: str, notes: list[str]) -> tuple[Observation, ...]:
    path = ".".join(leaf.path)[:60]
    if metric == BLOOD_PRESSURE:
        return read_pressures(leaf.value, name.unit or leaf.unit)
    if isinstance(leaf.value, list):
        notes.append(f"{path}: a list, not used")
        return ()
    if metric == "":
        notes.append(
            f"{path} {shown(leaf.value, 12)}: a body's temperature or a room's? not used (options.metrics)"
        )
    if metric not in METRICS:
        return ()
    unit = name.unit or (leaf.unit if find_scale(METRICS[metric].unit, leaf.unit) else "")
    return (observe(metric, leaf.value, unit),)


# --- options
# -------------------------------------------------------------------------------------------------


def options_check(*more: str) -> Callable[[Mapping[str, Any]], tuple[str, ...]]:
    """Return the check of the options that all formats of this engine share; ``more`` are a format's own."""
    known = ("identity", "metrics", "time_format", *more)

    def check(options: Mapping[str, Any]) -> tuple[str, ...]:
        mistakes = [
            f"options.{key}: unknown; known are {', '.join(known)}" for key in options if key not in known
        ]
        if options.get("identity", "payload") not in {"payload", "topic"}:
            mistakes.append(f"options.identity is {options['identity']!r}; it must be 'payload' or 'topic'")
        if not isinstance(options.get("time_format", ""), str):
            mistakes.append("options.time_format must be a strptime pattern such as '%d/%m/%Y %H:%M:%S'")
        return (*mistakes, *metric_mistakes(options.get("metrics", {}), "metrics"))

    return check


def metric_mistakes(table: Any, key: str) -> list[str]:
    """Return the mistakes in a table of names to metrics."""
    if not isinstance(table, Mapping):
        return [f"options.{key} must be a table of key = metric"]
    return [
        f"options.{key}.{name} is {metric!r}; it must be a metric ({', '.join(METRICS)}) or ignore"
        for name, metric in table.items()
        if metric != "ignore" and metric not in METRICS
    ]
