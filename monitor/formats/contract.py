"""What every decoder takes and gives.

Law: a decoder is a pure function of the bytes and their context. It returns what the message says, with a
reason for every number it converted or refused, or it raises ``Undecodable``; it never drops a value in
silence and never raises anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from monitor.core.vitals import Report


class Undecodable(ValueError):
    """A payload that holds no report; the text says where and why, for the quarantine."""


@dataclass(slots=True)  # not frozen: one is made for every message, and freezing triples its cost
class Context:
    """What a decoder may know besides the bytes; nobody changes it but in ``memory``.

    ``device_id`` is the device that ``beds.toml`` names for the topic (a message that names its own
    devices overrides it); ``zone`` is the device's, for times without an offset; ``options`` are the
    format's own settings (a key map, a code table), checked when the configuration was read. ``memory``
    belongs to the caller, one for each device: a format whose messages lean on an earlier one (the births of
    Sparkplug) keeps the little it must know there, and nowhere else.
    """

    device_id: str
    received_at: datetime
    topic: str = ""
    retained: bool = False
    zone: tzinfo | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    memory: MutableMapping[str, Any] = field(default_factory=dict)


class Decoded(NamedTuple):
    """The reports of one message, and what in it was not a vital sign.

    ``ignored`` counts the parts that are understood and hold no vital sign (a gateway's advertisement of
    a thermometer); they are no error. Empty ``reports`` with a reason in ``note`` is a good message.
    ``unread`` are the names, as they were sent, of values that no rule knows: what a site may name in the
    device's options (the first ``MAX_UNREAD``).
    """

    reports: tuple[Report, ...]
    ignored: int = 0
    note: str = ""
    unread: tuple[str, ...] = ()


MAX_UNREAD = 100


Decoder = Callable[[bytes, Context], Decoded]


MAX_PAYLOAD_BYTES = 16 * 1024  # ALARMS S-05

OptionCheck = Callable[[Mapping[str, Any]], tuple[str, ...]]


def takes_no_options(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the mistakes in the options of a format that has none."""
    return tuple(f"options.{key}: this format takes no options; remove it" for key in options)


class Format(NamedTuple):
    """One row of the table of formats: its name in ``beds.toml`` and ``decode --format``, and how it works.

    ``check`` names every mistake in ``[devices.options]``; the configuration calls it before the start.
    ``max_payload_bytes`` is more than the rule of S-05 where the standard's messages are larger.
    """

    name: str
    title: str
    decode: Decoder
    check: OptionCheck = takes_no_options
    max_payload_bytes: int = MAX_PAYLOAD_BYTES
