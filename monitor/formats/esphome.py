"""ESPHome: one topic for each sensor with a bare number, and the node's birth and last will.

Law: the topic says which sensor it is; a sensor that its name does not explain is named in the options.
"""

from __future__ import annotations

from typing import Any

from monitor.formats.contract import Context, Decoded, Format, Undecodable
from monitor.formats.json_payload import parse_object
from monitor.formats.json_records import Leaf, Record, Style, records_of
from monitor.formats.json_reports import options_check, read_records
from monitor.formats.presence import decode_presence

_STYLE = Style()
_NO_SENSOR = frozenset({"debug", "command", "set", "config"})  # of what "<node>/#" hears
_TRUE, _FALSE = frozenset({"on", "true", "1"}), frozenset({"off", "false", "0"})


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode ``<node>/sensor/<name>/state``, ``<node>/binary_sensor/<name>/state`` or ``<node>/status``.

    Options: those of ``json_records.read_records``; in ``metrics`` the key is the sensor's name.

    Raises:
        Undecodable: the topic names no sensor and the payload is no JSON object.
    """
    levels = context.topic.split("/")
    if levels[-1] == "status":
        return decode_presence(payload, context)
    if levels[-1] in _NO_SENSOR:
        return Decoded((), 1, "a log, a command or a discovery: no sensor's state")
    if payload.lstrip()[:1] == b"{":
        return read_records(records_of(parse_object(payload), _STYLE), _STYLE, context)
    if len(levels) < 3 or levels[-1] != "state":
        raise Undecodable(
            "which sensor this is stands in ESPHome's topic (<node>/sensor/<name>/state): check the topic"
        )
    text = payload[:200].decode("utf-8", "replace").strip()
    value: Any = text
    if levels[-3] == "binary_sensor":
        value = True if text.lower() in _TRUE else False if text.lower() in _FALSE else text
    return read_records([Record(leaves=[Leaf((levels[-2],), value)])], _STYLE, context)


FORMAT = Format("esphome", "ESPHome sensors (one number a topic)", decode, options_check())
