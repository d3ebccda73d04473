"""Sparkplug B: births, data and deaths of edge nodes and their devices (protobuf).

Law: a metric is known by its name or by the alias that the birth gave it; an alias nobody has explained is
said, never guessed. A bad or stale quality, ``is_null`` and a death leave no value. A historical value
keeps its time.

The message types are built from the field numbers of the published specification (Eclipse Sparkplug 3.0,
chapter 6, "Google Protocol Buffer Schema"); fields that we do not read are left out, which protobuf allows.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from monitor.core.vitals import INVALID, METRICS, Observation, Report
from monitor.formats.contract import Context, Decoded, Format, Undecodable
from monitor.formats.instants import read_epoch
from monitor.formats.json_names import name_of, settle
from monitor.formats.json_reports import metric_mistakes
from monitor.formats.reading import doubt, join, judge_pressures, observe, refuse, shown
from monitor.formats.units import find_scale

_F = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "uint32": _F.TYPE_UINT32,
    "uint64": _F.TYPE_UINT64,
    "bool": _F.TYPE_BOOL,
    "string": _F.TYPE_STRING,
    "bytes": _F.TYPE_BYTES,
    "float": _F.TYPE_FLOAT,
    "double": _F.TYPE_DOUBLE,
}
# message: (field, number, type); a type in brackets is repeated, one with a star belongs to the value's
# oneof.
SCHEMA: dict[str, tuple[tuple[str, int, str], ...]] = {
    "Payload": (
        ("timestamp", 1, "uint64"),
        ("metrics", 2, "[Metric]"),
        ("seq", 3, "uint64"),
        ("uuid", 4, "string"),
        ("body", 5, "bytes"),
    ),
    "Metric": (
        ("name", 1, "string"),
        ("alias", 2, "uint64"),
        ("timestamp", 3, "uint64"),
        ("datatype", 4, "uint32"),
        ("is_historical", 5, "bool"),
        ("is_transient", 6, "bool"),
        ("is_null", 7, "bool"),
        ("properties", 9, "PropertySet"),
        ("int_value", 10, "uint32*"),
        ("long_value", 11, "uint64*"),
        ("float_value", 12, "float*"),
        ("double_value", 13, "double*"),
        ("boolean_value", 14, "bool*"),
        ("string_value", 15, "string*"),
        ("bytes_value", 16, "bytes*"),
    ),
    "PropertySet": (("keys", 1, "[string]"), ("values", 2, "[PropertyValue]")),
    "PropertyValue": (
        ("type", 1, "uint32"),
        ("is_null", 2, "bool"),
        ("int_value", 3, "uint32*"),
        ("long_value", 4, "uint64*"),
        ("float_value", 5, "float*"),
        ("double_value", 6, "double*"),
        ("boolean_value", 7, "bool*"),
        ("string_value", 8, "string*"),
    ),
}


def _payload_class() -> Any:
    """Build the message types from the table."""
    package = "afterwatch.sparkplug"
    file = descriptor_pb2.FileDescriptorProto(
        name="afterwatch/sparkplug.proto", package=package, syntax="proto2"
    )
    for name, rows in SCHEMA.items():
        message = file.message_type.add(name=name)
        if any(kind.endswith("*") for _, _, kind in rows):
            message.oneof_decl.add(name="value")
        for column, number, kind in rows:
            label = _F.LABEL_REPEATED if kind[0] == "[" else _F.LABEL_OPTIONAL
            plain = kind.strip("[]*")
            row = message.field.add(name=column, number=number, label=label)
            if plain in _SCALARS:
                row.type = _SCALARS[plain]
            else:
                row.type, row.type_name = _F.TYPE_MESSAGE, f".{package}.{plain}"
            if kind.endswith("*"):
                row.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Payload"))


Payload = _payload_class()

_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}  # Int8 to Int64: two's complement in an unsigned field
_GOOD = 192  # property "Quality"
_REFUSED = {0: "bad", 500: "stale"}
_MESSAGES = frozenset({"NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH"})
_REBIRTH = "send the edge node the rebirth command, or name its aliases in options.aliases"


@dataclass(slots=True)
class _Group:
    """The metrics of one message with one time."""

    at: datetime | None
    seen: dict[str, Observation] = field(default_factory=dict)


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode one message of ``spBv1.0/<group>/<type>/<node>[/<device>]``.

    A birth's aliases are kept in ``context.memory``. Options: ``metrics`` (the site's metric names to ours),
    ``aliases`` (alias numbers to our metrics).

    Raises:
        Undecodable: not Sparkplug B, or only aliases that no birth has explained.
    """
    levels = context.topic.split("/")
    kind = levels[2].upper() if len(levels) > 3 else "DDATA"
    identity = "/".join(levels[3:5]) if len(levels) > 3 else ""
    if kind == "STATE" or levels[1:2] == ["STATE"] or kind.endswith("CMD"):
        return Decoded((), 1, "host state or command: no reading")
    message = Payload()
    try:
        message.ParseFromString(payload)
    except DecodeError:
        raise Undecodable("not Sparkplug B: the bytes are no protobuf of its schema") from None
    if kind not in _MESSAGES:
        raise Undecodable(f"Sparkplug message type {shown(kind, 20)!r} is unknown")
    sent_at, note = _instant(message.timestamp, context)
    notes = [f"timestamp: {note}"] if note else []
    if kind.endswith("DEATH"):
        dead = Report(
            identity or context.device_id, context.received_at, retained=context.retained, online=False
        )
        return Decoded((dead,))
    groups, ignored = _read_metrics(message, kind, identity, context, notes)
    online = True if kind.endswith("BIRTH") else None
    return _reports(groups, sent_at, message, identity, online, ignored, context, notes)


def _reports(
    groups: list[_Group],
    sent_at: datetime | None,
    message: Any,
    identity: str,
    online: bool | None,
    ignored: int,
    context: Context,
    notes: list[str],
) -> Decoded:
    # It counts to 255 and begins again: it orders, it does not identify.
    numbered = [f"seq {message.seq}"] if message.HasField("seq") else []
    if not groups and online is not None:
        groups = [_Group(None)]
    reports = tuple(
        Report(
            identity or context.device_id,
            context.received_at,
            group.at,
            judge_pressures(group.seen.values()),
            retained=context.retained,
            gateway_at=sent_at,
            online=online,
            notes=(*notes, *numbered),
        )
        for group in groups
    )
    return Decoded(reports, ignored, "" if reports else "no vital sign of ours in it")


def _read_metrics(
    message: Any, kind: str, identity: str, context: Context, notes: list[str]
) -> tuple[list[_Group], int]:
    """Read the metrics, grouped by their time.

    Raises:
        Undecodable: every metric has an alias that nobody has explained.
    """
    births: MutableMapping[str, Any] = context.memory
    known: dict[str, str] = dict(births.get(f"sparkplug {identity}", {}))
    if kind.endswith("BIRTH"):
        known = {}
    own = context.options.get("metrics") or {}
    aliases = context.options.get("aliases") or {}
    names: list[tuple[Any, str]] = []
    unexplained = 0
    for metric in message.metrics:
        name = _text(metric.name)
        alias = str(metric.alias) if metric.HasField("alias") else ""
        if name and alias and kind.endswith("BIRTH"):
            known[alias] = name
        name = name or known.get(alias, "")
        meant = aliases.get(alias, "") if not name else own.get(name) or _meaning(name)
        unexplained += not name and not meant
        names.append((metric, str(meant)))
    if kind.endswith("BIRTH"):
        births[f"sparkplug {identity}"] = known
    if unexplained and unexplained == len(message.metrics):
        raise Undecodable(f"{unexplained} aliases and no birth that explains them: {_REBIRTH}")
    if unexplained:
        notes.append(f"{unexplained} metrics with an alias that no birth explains: {_REBIRTH}")
    return _grouped(names, context, notes)


def _grouped(names: list[tuple[Any, str]], context: Context, notes: list[str]) -> tuple[list[_Group], int]:
    company = {meant for _, meant in names if meant}
    groups: dict[datetime | None, _Group] = {}
    ignored = 0
    for metric, meant in names:
        target = settle(meant, company) if meant else ""
        if target not in METRICS:
            ignored += 1
            continue
        at, note = _instant(metric.timestamp, context) if metric.HasField("timestamp") else (None, "")
        if note:
            notes.append(f"{target}: {note}")
        group = groups.setdefault(at, _Group(at))
        one = _observation(target, metric)
        if target not in group.seen or group.seen[target].value is None:
            group.seen[target] = one
        else:
            notes.append(f"second {target}: not used")
    return list(groups.values()), ignored


def _meaning(name: str) -> str:
    """Return what a metric's name means: "Vitals/SpO2" is a path."""
    found = name_of(tuple(step for step in name.replace(".", "/").split("/") if step))
    return found.metric if found else ""


def _observation(target: str, metric: Any) -> Observation:
    properties = _properties(metric)
    unit = str(properties.get("engUnit") or properties.get("unit") or "")
    if metric.is_null:
        return Observation(target, None, INVALID, "is_null: no value")
    one = observe(target, _value(metric), unit if find_scale(METRICS[target].unit, unit) else "")
    quality = properties.get("Quality", properties.get("quality"))
    if quality in _REFUSED and quality is not False:
        one = refuse(one, f"quality {_REFUSED[quality]}")
    elif quality is not None and quality != _GOOD:
        one = doubt(one, f"quality {shown(quality, 12)}")
    return one._replace(reason=join(one.reason, "historical")) if metric.is_historical else one


def _value(metric: Any) -> Any:
    """Return a metric's value; signed integers lie as two's complement in unsigned fields."""
    chosen = metric.WhichOneof("value")
    if chosen is None:
        return None
    value = _text(getattr(metric, chosen))
    bits = _SIGNED_BITS.get(metric.datatype)
    if bits and chosen in {"int_value", "long_value"}:
        size = 32 if chosen == "int_value" else 64
        raw = value & ((1 << min(bits, size)) - 1)
        return raw - (1 << min(bits, size)) if raw >> (min(bits, size) - 1) else raw
    if chosen == "float_value":
        return _shortest(value)
    return value


def _text(value: Any) -> Any:
    """Return a text that was no UTF-8, which protobuf gives as bytes, with its wrong bytes replaced."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _shortest(value: float) -> float:
    """Return the decimal that was written into a 32-bit float: 36.6 and not 36.59999847."""
    for digits in range(6, 10):
        text = f"{value:.{digits}g}"
        if struct.pack("<f", float(text)) == struct.pack("<f", value):
            return float(text)
    return value


def _properties(metric: Any) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for key, value in zip(metric.properties.keys, metric.properties.values, strict=False):
        chosen = value.WhichOneof("value")
        if chosen and not value.is_null:
            found[_text(key)] = _text(getattr(value, chosen))
    return found


def _instant(given: int, context: Context) -> tuple[datetime | None, str]:
    return read_epoch(given, 1000, context) if given else (None, "")


def check(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the mistakes in a device's options for this format."""
    mistakes = [
        f"options.{key}: unknown; known are metrics, aliases"
        for key in options
        if key not in {"metrics", "aliases"}
    ]
    for key in ("metrics", "aliases"):
        mistakes += metric_mistakes(options.get(key, {}), key)
    return tuple(mistakes)


FORMAT = Format("sparkplug", "Sparkplug B (protobuf)", decode, check)
