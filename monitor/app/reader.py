"""From a message to reports: which device it is from, which format it speaks, whose name it carries.

Law: what ``beds.toml`` says decides; a device that names itself in the payload is found by its address, and a
stranger stays a stranger. What a simulated device says, or what is said on its topic, is a drill, whatever
the message claims and whomever it names (S-10).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from monitor import formats
from monitor.config import SIMULATED, Configuration, DeviceEntry
from monitor.core.vitals import METRICS, Report
from monitor.formats.identity import normalise_address, serving
from monitor.mqtt import Envelope, Routes

_ORDER = {name: place for place, name in enumerate(METRICS)}


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
        self._memory: dict[str, dict[str, Any]] = {}

    def device_of(self, topic: str) -> str:
        """Return the device that a topic belongs to; the topic itself when nobody has it."""
        if topic.startswith(self._head) and topic.count("/") == self._depth:
            return topic[len(self._head) : topic.rindex("/")]
        return self._routes.device_of(topic) or topic

    def read(self, envelope: Envelope, device_id: str) -> list[Report]:
        """Return the reports of a message, with the time of arrival that the envelope carries.

        Raises:
            formats.Undecodable: it holds none; the text is the reason for the quarantine.
        """
        entry = self.devices.get(device_id)
        topic = envelope.topic
        if entry is None:
            context = formats.Context(device_id, envelope.received_at, topic, envelope.retained)
            decoded = formats.decode("native", envelope.payload, context)
        else:
            memory = self._memory.setdefault(device_id, {})
            context = formats.Context(
                device_id,
                envelope.received_at,
                topic,
                envelope.retained,
                entry.zoneinfo(),
                entry.options,
                memory,
            )
            presence = topic.startswith(self._head) and topic.endswith("/status")
            decoded = formats.decode("native" if presence else entry.format, envelope.payload, context)
        drill = device_id.startswith(SIMULATED) or self._simulated.device_of(topic) is not None
        return [self._named(_in_order(report), device_id, drill=drill) for report in decoded.reports]

    def _named(self, report: Report, on_topic: str, *, drill: bool) -> Report:
        named = report.device_id
        if named not in self.devices:
            named = serving(named, on_topic, self._addresses, self.devices)
            report = report._replace(device_id=named)
        if report.mode == "real" and (drill or named.startswith(SIMULATED)):
            return report._replace(mode="drill")
        return report


def _in_order(report: Report) -> Report:
    """Return the report with its values in the order of the table, as the journal keeps them."""
    values = report.observations
    if len(values) > 1 and any(_ORDER[a.metric] > _ORDER[b.metric] for a, b in pairwise(values)):
        return report._replace(observations=tuple(sorted(values, key=lambda one: _ORDER[one.metric])))
    return report
