"""Records of JSON become reports: what each key means, for which device, at which time.

Law: records of one device and one time are one report, so that a cuff's pressures are judged together. What
no rule names is counted and named, what could be mistaken for a vital sign is said, and what belongs to one
of two beds is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from monitor.core.vitals import METRICS, VALID, Observation, Report
from monitor.formats.codes import BLOOD_PRESSURE, plain
from monitor.formats.contract import MAX_UNREAD, Context, Decoded, Undecodable
from monitor.formats.hl7_alarms import fault_of
from monitor.formats.instants import read_any, read_pattern
from monitor.formats.json_names import (
    DRILL_KEYS,
    FLAGS,
    FLAGS_OF_HEALTH,
    GENERIC,
    WARMTH,
    Name,
    name_of,
    settle,
    truth,
)
from monitor.formats.json_records import Leaf, Record, Style
from monitor.formats.reading import doubt, join, judge_pressures, observe, read_pressures, refuse, shown
from monitor.formats.units import find_scale


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
        unread.update(dict.fromkeys(name for name in values.unread if not _is_time(name, style)))
        if values.observations or values.faults is not None:
            reports.append(_report(identity, group, values, context))
            subjects.setdefault(identity, set()).update(group.subjects)
        else:
            note = note or "; ".join(values.notes)
    _refuse_mixed_patients(subjects)
    said = "" if reports else join("no vital sign in it", note)[:500]
    return Decoded(tuple(reports), ignored, said, tuple(unread)[:MAX_UNREAD])


def _is_time(name: str, style: Style) -> bool:
    """Say whether a key was read as a time, so that it is not told to be unread."""
    key = plain(name.rsplit(".", 1)[-1])
    return any(key == plain(known) for known in (*style.time_keys, *style.gateway_time_keys))


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
    channel = METRICS[observations[0].metric].channel if observations else ""
    faults, drill = _flags(leaves, channel)
    if drill:
        notes.append("marked as simulated: taken as drill")
    unnamed = [leaf for leaf, name in known if not name]
    unread = tuple(".".join(leaf.path)[:80] for leaf in unnamed if type(leaf.value) in (int, float))
    return Values(judge_pressures(observations), faults, drill, len(unnamed), tuple(notes), unread)


def _flags(leaves: list[Leaf], channel: str) -> tuple[tuple[str, ...] | None, bool]:
    """Return the faults that flags tell of, ``None`` where there is no flag, and whether this is a drill."""
    faults: list[str] | None = None
    drill = False
    for leaf in leaves:
        key = plain(leaf.path[-1])
        fault = FLAGS.get(key) or FLAGS_OF_HEALTH.get(key)
        if fault and (said := truth(leaf.value)) is not None:
            faults = [*(faults or []), *([fault] if said == (key in FLAGS) else [])]
        elif word := _fault_in_words(key, leaf.value, channel):
            faults = [*(faults or []), word]
        drill = drill or (key in DRILL_KEYS and leaf.value is True)
    return None if faults is None else tuple(dict.fromkeys(faults)), drill


_WORDY = ("status", "state", "error", "message", "msg", "alarm", "warning", "fault")
_LOW = re.compile(r"(?i)low|empty|weak|crit|replace|flat")


def _fault_in_words(key: str, given: Any, channel: str) -> str:
    """Return the fault that a status in words means: {"spo2": 97, "status": "probe off"}."""
    if not isinstance(given, str) or not 2 < len(given) < 60 or not key.endswith(_WORDY):
        return ""
    fault = fault_of(given, channel)
    return "" if fault == "battery_low" and not _LOW.search(given) else fault


def _observed(
    named: list[tuple[Leaf, Name]], body_temperature: bool, notes: list[str]
) -> Iterator[tuple[Observation, Leaf]]:
    """Yield what each named leaf says; what a doubtful name means is settled by the names beside it."""
    company = {name.metric for leaf, name in named if not _is_absent(leaf.value)}
    for leaf, name in named:
        if name.metric == WARMTH and body_temperature:
            name = Name("temperature", name.unit)  # noqa: PLW2901
        if name.metric == WARMTH:  # only what stands in the same object tells whose it is
            beside = {n.metric for other, n in named if _owner(other.path) == _owner(leaf.path)}
            metric = settle(WARMTH, beside)
        else:
            metric = settle(name.metric, company)
        for one in _read(leaf, name, metric, notes):
            yield one, leaf


def _owner(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the object that a value belongs to; {"temp": {"value": 36.6}} is as {"temp": 36.6}."""
    while len(path) > 1 and plain(path[-1]) in GENERIC:
        path = path[:-1]
    return path[:-1]


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
        pressures = read_pressures(leaf.value, name.unit or leaf.unit)
        return tuple(_as_said(one, leaf) for one in pressures)
    value = leaf.value[0] if isinstance(leaf.value, list) and len(leaf.value) == 1 else leaf.value
    if isinstance(value, list):
        notes.append(f"{path}: a list, not used")
        return ()
    if metric == "":
        notes.append(
            f"{path} {shown(leaf.value, 12)}: a body's temperature or a room's? not used (options.metrics)"
        )
    if metric not in METRICS:
        return ()
    one = observe(metric, value, name.unit or _unit(leaf, metric))
    if name.metric == WARMTH and one.value is not None and one.validity != VALID:
        notes.append(f"{path} {shown(leaf.value, 12)}: hardly a body's temperature; not used")
        return ()
    return (_as_said(one, leaf),)


def _unit(leaf: Leaf, metric: str) -> str:
    """Return a value's unit; one that may be another's counts only where it fits, an unknown one never."""
    if find_scale(METRICS[metric].unit, leaf.unit):
        return leaf.unit
    foreign = leaf.owned and any(find_scale(other.unit, leaf.unit) for other in METRICS.values())
    return leaf.unit if foreign else ""


def _as_said(one: Observation, leaf: Leaf) -> Observation:
    if not leaf.said:
        return one
    why = f"the device says {leaf.said}"
    return refuse(one, why) if leaf.worthless else doubt(one, why)


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
