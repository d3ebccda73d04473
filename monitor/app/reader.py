"""From a message to reports: which device it is from, which format it speaks, whose name it carries.

Law: what ``beds.toml`` says decides; a device that names itself in the payload is found by its address, and a
stranger stays a stranger. What a simulated device says, or what is said on its topic, is a drill, whatever
the message claims and whomever it names (S-10).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from monitor import formats
from monitor.config import SIMULATED, Configuration, DeviceEntry
from monitor.core.vitals import METRICS, Report
from monitor.formats.identity import normalise_address, serving
from monitor.mqtt import Envelope, Routes

MOST_TOPICS = 20_000  # whose source is remembered
_ORDER = {name: place for place, name in enumerate(METRICS)}


class Source(NamedTuple):
    """Whose messages come on a topic, and how they are read."""

    device_id: str
    format: str
    zone: tzinfo | None
    options: Mapping[str, Any]
    memory: dict[str, Any]
    drill: bool


class Reader:
    """Reads the messages of one site; used by the loop's thread alone."""

    def __init__(self, configuration: Configuration) -> None:
        """Learn the devices and their topics."""
        entries = configuration.ward.devices
        self.devices: dict[str, DeviceEntry] = {entry.id: entry for entry in entries}
        self._head = f"{configuration.root}/devices/"
        self._depth = self._head.count("/") + 1
        self._routes = Routes({entry.topic: entry.id for entry in entries if entry.topic})
        self._simulated = Routes({one.topic: one.id for one in entries if one.topic and one.simulated})
        self._addresses = {normalise_address(one.address): one.id for one in entries if one.address}
        self._memory: dict[str, dict[str, Any]] = {entry.id: {} for entry in entries}
        self._sources: dict[str, Source] = {}

    def source_of(self, topic: str) -> Source:
        """Return whose messages come on a topic; a stranger is called by the topic's device, or the topic."""
        known = self._sources.get(topic)
        if known is not None:
            return known
        device_id = self._device_of(topic)
        drill = device_id.startswith(SIMULATED) or self._simulated.device_of(topic) is not None
        entry = self.devices.get(device_id)
        if entry is None:
            return Source(device_id, "native", None, {}, {}, drill)
        presence = topic.startswith(self._head) and topic.endswith("/status")
        spoken = "native" if presence else entry.format
        found = Source(device_id, spoken, entry.zoneinfo(), entry.options, self._memory[device_id], drill)
        if len(self._sources) < MOST_TOPICS:  # a device may publish below a wildcard under any name
            self._sources[topic] = found
        return found

    def _device_of(self, topic: str) -> str:
        if topic.startswith(self._head) and topic.count("/") == self._depth:
            return topic[len(self._head) : topic.rindex("/")]
        return self._routes.device_of(topic) or topic

    def read(self, envelope: Envelope, source: Source, now: datetime) -> list[Report]:
        """Return the reports of a message that is taken as received ``now``.

        Raises:
            formats.Undecodable: it holds none; the text is the reason for the quarantine.
        """
        topic, payload, _, retained, *_ = envelope
        device_id, spoken, zone, options, memory, _ = source
        context = formats.Context(device_id, now, topic, retained, zone, options, memory)
        return [
            self._named(_in_order(report), source)
            for report in formats.decode(spoken, payload, context).reports
        ]

    def _named(self, report: Report, source: Source) -> Report:
        named = report.device_id
        if named not in self.devices:
            named = serving(named, source.device_id, self._addresses, self.devices)
            report = report._replace(device_id=named)
        if report.mode == "real" and (source.drill or named.startswith(SIMULATED)):
            return report._replace(mode="drill")
        return report


def _in_order(report: Report) -> Report:
    """Return the report with its values in the order of the table, as the journal keeps them."""
    last = 0
    for one in report.observations:
        place = _ORDER[one.metric]
        if place < last:
            ordered = sorted(report.observations, key=lambda one: _ORDER[one.metric])
            return report._replace(observations=tuple(ordered))
        last = place
    return report
