"""JSON of gateways and fleets, read by the names of its keys: the engine behind one small file for each kind.

Law: a list of objects is a list of records, each with the nearest device name and time above it; what the
device says against a value stays with it. What the keys mean is ``json_reports``'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from monitor.core.vitals import PRESSURES
from monitor.formats.codes import BLOOD_PRESSURE, plain
from monitor.formats.contract import Undecodable
from monitor.formats.identity import normalise_address
from monitor.formats.json_names import (
    GENERIC,
    NOT_MEASURED,
    WARMTH,
    name_of,
    verdict,
)
from monitor.formats.json_payload import parse_object
from monitor.formats.reading import shown

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
_OF_ITS_OWNER = frozenset({"id", "code"})
_PRESSED = frozenset({*PRESSURES, BLOOD_PRESSURE})
_WARM = frozenset({"temperature", WARMTH})
_UNIT_OF = dict.fromkeys(("bp", "pressure", "nibp", "bloodpressure"), _PRESSED)
_UNIT_OF |= dict.fromkeys(("temp", "temperature"), _WARM)
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
    """One value in a record, with its path, the unit that stands beside it, and where its record stands.

    ``owned``: the unit is this value's for certain. ``said`` is what the device itself says against it, such
    as "valid false"; ``worthless``: it is no value.
    """

    path: Path
    value: Any
    unit: str = ""
    above: Path = ()
    owned: bool = False
    said: str = ""
    worthless: bool = False


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
        base: dict[str, Any] = {}
        for entry in node:
            if isinstance(entry, dict) and ("bt" in entry or base):  # the base time of SenML (RFC 8428) lasts
                base = {"bt": entry.get("bt", base.get("bt"))}
                entry = {**base, **entry}  # noqa: PLW2901
            yield from _walk(entry, above, style, depth + 1, budget, label, place)
    elif isinstance(node, dict) and (rows := _rows(node, style)):
        yield from _walk(rows, above, style, depth + 1, budget, label, place)
    elif isinstance(node, dict):
        here = Record()
        lists: list[tuple[Path, list[Any]]] = []
        _flatten(node, (), here.leaves, lists, depth, budget, label)
        if place:
            here.leaves = [leaf._replace(above=place) for leaf in here.leaves]
        here.leaves = _marked(_united(here.leaves))
        timed = _split_off(here.leaves, style)
        values = _shallowest(here.leaves)
        here.subject = _named(values, _SUBJECTS) or above.subject
        here.identity = _named(values, style.identity_keys) or above.identity
        here.at = _dated(_first(values, style.time_keys, above.at), values)
        here.gateway_at = _first(values, style.gateway_time_keys, above.gateway_at)
        if here.leaves:
            yield here
        for at, leaves in timed:
            yield Record(here.identity, at, here.gateway_at, leaves, here.subject)
        for path, entries in lists:
            named = path[-1] if name_of(path[-1:]) else label  # {"spo2": [{"t": 1, "v": 97}]}
            yield from _walk(entries, here, style, depth + 1, budget, named, (*place, *path))


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
            passed = label if plain(key) in GENERIC or key == "fields" else ""
            _flatten(value, (*path, key), leaves, lists, depth + 1, budget, passed)
        elif isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
            lists.append(((*path, key), value))
        elif isinstance(value, str) and (inner := _object_in(value)):
            _flatten(inner, (*path, key), leaves, lists, depth + 1, budget)
        elif label and plain(key) in GENERIC and value != label and name_of((label,)):
            leaves.append(Leaf((*path, label), value, unit, owned=bool(unit)))
        else:
            leaves.append(Leaf((*path, key), value, unit, owned=bool(unit) and plain(key) in GENERIC))


def _object_in(text: str) -> dict[str, Any]:
    """Return the object that a text holds as JSON, as a gateway wraps it; empty when it is only text."""
    if not (text.startswith("{") and text.endswith("}")):
        return {}
    try:
        return parse_object(text.encode("utf-8", "replace"))
    except Undecodable:
        return {}


def _rows(node: dict[str, Any], style: Style) -> list[dict[str, Any]]:
    """Return an object of columns as its rows: {"time": [1, 2], "spo2": [97, 98]}; empty when it is none."""
    times = next((v for k, v in node.items() if isinstance(v, list) and plain(k) in _time_keys(style)), [])
    if len(times) < 2 or any(isinstance(one, dict | list) for one in times):
        return []
    columns = {k: v for k, v in node.items() if isinstance(v, list) and len(v) == len(times)}
    rest = {k: v for k, v in node.items() if k not in columns}
    return [{**rest, **{k: v[row] for k, v in columns.items()}} for row in range(len(times))]


@lru_cache(maxsize=64)
def _time_keys(style: Style) -> frozenset[str]:
    return frozenset(map(plain, style.time_keys))


def _united(leaves: list[Leaf]) -> list[Leaf]:
    """Give values the unit under a name of its own that says whose it is: {"temp": 98.4, "tempUnit": "F"}."""
    for unit in leaves:
        key = plain(unit.path[-1]).removesuffix("s")
        if isinstance(unit.value, str) and key.endswith("unit") and key != "unit":
            whose = _UNIT_OF.get(key[:-4]) or {name.metric for name in [name_of((key[:-4],))] if name}
            leaves = [
                leaf._replace(unit=unit.value, owned=True)
                if leaf.path[:-1] == unit.path[:-1] and (name := name_of(leaf.path)) and name.metric in whose
                else leaf
                for leaf in leaves
            ]
    return leaves


def _marked(leaves: list[Leaf]) -> list[Leaf]:
    """Mark the values of which the device says itself that they are not to be trusted."""
    for flag in leaves:
        if (found := verdict(flag.path[-1], flag.value)) is not None:
            said = f"{flag.path[-1]} {shown(flag.value, 12)}"[:60]
            leaves = [
                leaf._replace(said=said, worthless=leaf.worthless or found.worthless)
                if _is_meant(leaf, found.metric, flag.path[:-1])
                else leaf
                for leaf in leaves
            ]
    return leaves


def _is_meant(leaf: Leaf, metric: str, where: Path) -> bool:
    name = name_of(leaf.path)
    return name is not None and leaf.path[: len(where)] == where and metric in ("", name.metric)


def _split_off(leaves: list[Leaf], style: Style) -> list[tuple[Any, list[Leaf]]]:
    """Take out of a record the objects whose values have times of their own, where several have."""
    times = {
        leaf.path[:-1]: leaf.value
        for leaf in leaves
        if len(leaf.path) > 1 and leaf.value not in (None, "") and plain(leaf.path[-1]) in _time_keys(style)
    }
    if len(times) < 2:
        return []
    timed = {leaf.path[:-1] for leaf in leaves if leaf.path[:-1] in times and name_of(leaf.path)}
    if len(timed) < 2:
        return []
    split = [(times[place], [leaf for leaf in leaves if leaf.path[:-1] == place]) for place in sorted(timed)]
    leaves[:] = [leaf for leaf in leaves if leaf.path[:-1] not in timed]
    return split


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
            key = plain(leaf.path[-1])
            known = found.setdefault(key, leaf)
            if len(leaf.path) < len(known.path):
                found[key] = leaf
            if key in _OF_ITS_OWNER and len(leaf.path) > 1:  # {"device": {"id": 7}} is {"deviceId": 7}
                found.setdefault(plain(leaf.path[-2]) + key, leaf)
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
