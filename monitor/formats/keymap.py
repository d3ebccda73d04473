"""Any flat or nested JSON, by a key map in ``beds.toml``; without a map, by the names of its keys.

Law: what the map names is read and judged as everywhere else; a path that leads nowhere gives nothing, and a
message in which no path leads anywhere says so. The map is checked before the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.core.vitals import FAULTS, METRICS, Observation, Report
from monitor.formats.codes import BLOOD_PRESSURE, plain
from monitor.formats.contract import Context, Decoded, Format, Undecodable
from monitor.formats.identity import normalise_address
from monitor.formats.instants import Placed, read_any, read_epoch, read_iso, read_pattern
from monitor.formats.json_names import name_in_topic
from monitor.formats.json_payload import find, parse, records, split_path
from monitor.formats.json_records import Style, named_by, records_of
from monitor.formats.json_reports import metric_mistakes, read_records
from monitor.formats.presence import presence_report, read_presence, read_presence_payload
from monitor.formats.reading import join, judge_pressures, observe, read_pressures, refuse, shown
from monitor.formats.units import find_scale

_KNOWN = ("records", "device", "time", "gateway_time", "time_format", "presence", "mode", "values", "faults")
_MORE = ("no_value", "identity", "metrics")
_STYLE = Style(
    tuple(
        "mac macaddress bleaddr blemac serial serialnumber imei deveui deviceid devid sensorid monitorid"
        " thingname clientid device address".split()
    ),
    tuple(
        "measuredat timestamp datetime measurementtime recordedat observedat takenat sampledat sampletime"
        " eventtime devicetime createdat time ts timestamps timestampms tst t at unixtime epoch bt".split()
    ),
    tuple("gatewaytime sentat publishedat receivedat".split()),
)
_PRESENCE_TOPICS = frozenset("status state availability available lwt presence connection online".split())
_EPOCHS = {"epoch_s": 1, "epoch_ms": 1000, "epoch_us": 1_000_000, "epoch_ns": 1_000_000_000}
_TRUE = frozenset({"true", "on", "yes", "1", "active", "off-finger", "detached"})


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode one JSON message.

    Options (paths such as ``data.vitals[0].spo2``): ``values`` (metric = path, or metric = {path, unit};
    also ``blood_pressure`` for "120/80"), ``records`` (where the records are, ``*`` for each entry of a
    list or map), ``device`` (a path in the record, "key", or "topic:2"), ``time``, ``gateway_time``,
    ``time_format`` ("epoch_s", "epoch_ms", "iso" or a strptime pattern), ``presence``, ``mode``, ``faults``
    (fault = path), ``no_value`` (numbers that mean none). Without ``values``, those of
    ``json_records.read_records``.

    Raises:
        Undecodable: not JSON, an unknown mode, or nothing of the map is in it.
    """
    if (online := read_presence_payload(payload)) is not None and not payload.lstrip().startswith(b"{"):
        return presence_report(online, context, _topic_device(context))
    if not context.options.get("values"):
        return _by_names(payload, context)
    document = parse(payload)
    reports = [
        report
        for key, record in _records(document, context.options)
        if (report := _report(key, record, document, context)) is not None
    ]
    if not reports:
        raise Undecodable("nothing of options.values is in this message: check the paths")
    return Decoded(tuple(reports))


def _by_names(payload: bytes, context: Context) -> Decoded:
    """Decode a message without a map: by the names of its keys, or a bare value by its topic."""
    label = name_in_topic(context.topic)
    try:
        document = parse(payload)
    except Undecodable:
        if not label:
            raise
        document = payload[:200].decode("utf-8", "replace").strip()
    if not isinstance(document, dict | list):
        if not label:
            raise Undecodable(
                f"a bare {shown(document, 20)!r}, and the topic names no vital sign:"
                " publish on a topic such as …/spo2, or send an object"
            )
        document = {label: document}
    found = records_of(document, _STYLE, label)
    place = str(context.options.get("device", ""))
    for record in found:
        own = named_by(record, place) if place and place != "key" and not place.startswith("topic:") else ""
        record.identity = own or _topic_device(context) or record.identity
    decoded = read_records(found, _STYLE, context)
    if not decoded.reports and plain(context.topic.rsplit("/", 1)[-1]) in _PRESENCE_TOPICS:
        online = read_presence(document)
        return decoded if online is None else presence_report(online, context, _topic_device(context))
    return decoded


def _records(document: Any, options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    path = options.get("records")
    return records(document, split_path(str(path))) if path else iter([("", document)])


def _report(key: str, record: Any, document: Any, context: Context) -> Report | None:
    """Read one record by the map; ``None`` when nothing of the map is in it."""
    options = context.options
    observations = judge_pressures(_observations(record, options))
    faults = _faults(record, options.get("faults") or {})
    online = (
        read_presence(find(record, split_path(str(options["presence"])))) if "presence" in options else None
    )
    if not observations and faults is None and online is None:
        return None
    measured_at, note = _time("time", record, document, context)
    gateway_at, gateway_note = _time("gateway_time", record, document, context)
    notes = [text for text in (note, gateway_note) if text]
    return Report(
        _device(key, record, context) or context.device_id,
        context.received_at,
        measured_at,
        observations,
        faults,
        mode="drill" if _is_drill(record, document, options) else "real",
        retained=context.retained,
        gateway_at=gateway_at,
        online=online,
        notes=tuple(notes),
    )


def _observations(record: Any, options: Mapping[str, Any]) -> Iterator[Observation]:
    none_numbers = options.get("no_value", ())
    for metric, place in options["values"].items():
        path, unit = (
            (place.get("path", ""), place.get("unit", "")) if isinstance(place, Mapping) else (place, "")
        )
        given = find(record, split_path(str(path)))
        if given is None and not _is_there(record, split_path(str(path))):
            continue
        if metric == BLOOD_PRESSURE:
            yield from read_pressures(given, unit)
        elif type(given) in (int, float) and given in none_numbers:
            yield refuse(observe(metric, None, reason=f"{given}: options.no_value"), "")
        else:
            yield observe(metric, given, unit)


def _is_there(record: Any, path: tuple[str, ...]) -> bool:
    """Say whether a path leads to a null, which a device sends for "no value"."""
    above = find(record, path[:-1]) if path else None
    return isinstance(above, dict) and path[-1] in above


def _faults(record: Any, table: Mapping[str, Any]) -> tuple[str, ...] | None:
    found: list[str] | None = None
    for fault, path in table.items():
        given = find(record, split_path(str(path)))
        if given is None:
            continue
        is_on = given is True or given == 1 or (isinstance(given, str) and given.strip().lower() in _TRUE)
        found = [*(found or []), *([fault] if is_on else [])]
    return None if found is None else tuple(found)


def _time(option: str, record: Any, document: Any, context: Context) -> Placed:
    """Read a time from the record, or from the message around it."""
    path = split_path(str(context.options.get(option, "")))
    if not path:
        return None, ""
    given = find(record, path)
    given = find(document, path) if given is None else given
    form = str(context.options.get("time_format", ""))
    if given is None:
        return None, f"no {option} under {'.'.join(path)}"
    if form in _EPOCHS:
        return read_epoch(given, _EPOCHS[form], context)
    if form == "iso":
        return read_iso(given, context)
    return read_pattern(given, form, context) if form else read_any(given, context)


def _device(key: str, record: Any, context: Context) -> str:
    """Return the device's name as the map says: the map's key, a level of the topic, or a path."""
    place = str(context.options.get("device", ""))
    if not place:
        return ""
    if place == "key":
        return normalise_address(key)
    if place.startswith("topic:"):
        return _topic_device(context)
    named = find(record, split_path(place))
    return (
        normalise_address(str(named)) if isinstance(named, str | int) and not isinstance(named, bool) else ""
    )


def _topic_device(context: Context) -> str:
    kind, _, level = str(context.options.get("device", "")).partition(":")
    levels = context.topic.split("/")
    if kind != "topic" or not level.lstrip("-").isdigit() or not -len(levels) <= int(level) < len(levels):
        return ""
    return normalise_address(levels[int(level)])


def _is_drill(record: Any, document: Any, options: Mapping[str, Any]) -> bool:
    """Say whether the message is of a drill.

    Raises:
        Undecodable: a mode that is neither real nor drill.
    """
    if "mode" not in options:
        return False
    path = split_path(str(options["mode"]))
    mode = find(record, path)
    mode = find(document, path) if mode is None else mode
    if mode in (None, "real", False):
        return False
    if mode in ("drill", True):
        return True
    raise Undecodable(
        f"mode is {str(mode)[:40]!r}; it must be 'real' or 'drill': a drill never passes as real"
    )


def check(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the mistakes in a key map."""
    known = (*_KNOWN, *_MORE)
    mistakes = [
        f"options.{key}: unknown; known are {', '.join(known)}" for key in options if key not in known
    ]
    mistakes += [
        f"options.{key} must be text: a path such as 'data.time'"
        for key in ("records", "device", "time", "gateway_time", "time_format", "presence", "mode")
        if not isinstance(options.get(key, ""), str)
    ]
    mistakes += metric_mistakes(options.get("metrics", {}), "metrics")
    values = options.get("values", {})
    if not isinstance(values, Mapping):
        return (*mistakes, "options.values must be a table of metric = path")
    mistakes += [mistake for metric, place in values.items() for mistake in _value_mistakes(metric, place)]
    faults = options.get("faults", {})
    for fault in faults if isinstance(faults, Mapping) else ["(not a table)"]:
        if fault not in FAULTS:
            mistakes.append(f"options.faults.{fault}: no such fault; use one of {', '.join(FAULTS)}")
    if not isinstance(options.get("no_value", []), list):
        mistakes.append("options.no_value must be a list of numbers such as [999]")
    return tuple(mistakes)


def _value_mistakes(metric: str, place: Any) -> Iterator[str]:
    if metric != BLOOD_PRESSURE and metric not in METRICS:
        yield f"options.values.{metric}: no such metric; use {BLOOD_PRESSURE} or one of {', '.join(METRICS)}"
        return
    path, unit = (place.get("path"), place.get("unit", "")) if isinstance(place, Mapping) else (place, "")
    if not isinstance(path, str) or not path:
        yield f'options.values.{metric} must be a path, or {{path = "...", unit = "..."}}'
    own = "mm[Hg]" if metric == BLOOD_PRESSURE else METRICS[metric].unit
    if unit and find_scale(own, str(unit)) is None:
        yield join(f"options.values.{metric}.unit is {unit!r}", f"it must be a unit that becomes {own}")


FORMAT = Format("keymap", "any JSON by a key map", decode, check)
