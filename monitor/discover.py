"""Discovery: listen to a broker and propose lines for ``beds.toml`` (``afterwatch devices discover``).

Law: it only listens. What it proposes are comments and lines to be read by a person; it names no bed, for
which device stands at which bed nobody can hear.
"""

from __future__ import annotations

import argparse
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from monitor.config import Broker
from monitor.core.vitals import METRICS, Report
from monitor.formats import Context, Undecodable, decode
from monitor.formats.recognise import recognise

MAX_DEVICES = 500
MAX_TOPICS = 2000
_HEAD = """\
# {} messages, {} devices that measure something. Read each line, add the bed, and correct the
# interval of what measures now and then. docs/devices.md explains every key.
"""
_OURS = re.compile(r"^afterwatch/v1/[^/]+/devices/([^/]+)/(report|status)$")


@dataclass(slots=True)
class Heard:
    """One device as it was heard: by its name in the messages, else by its topic."""

    format: str
    name: str
    topics: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    at: list[datetime] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)
    newest: dict[str, float | None] = field(default_factory=dict)

    @property
    def interval_s(self) -> float | None:
        """Return the usual time between two messages, in seconds, or ``None`` after a single one."""
        gaps = [(b - a).total_seconds() for a, b in zip(self.at, self.at[1:], strict=False)]
        return median(gaps) if gaps else None


class Findings:
    """What was heard so far."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.messages = 0
        self.devices: dict[tuple[str, str], Heard] = {}
        self.unread: dict[str, int] = {}
        self.names: dict[str, tuple[str, ...]] = {}

    def add(self, topic: str, payload: bytes, received_at: datetime, retained: bool = False) -> None:
        """Take one message; a retained one tells what a device is, not how often it speaks."""
        self.messages += 1
        context = Context(topic, received_at, topic, retained)
        found = recognise(payload, context)
        if found is None:
            if topic in self.unread or len(self.unread) < MAX_TOPICS:
                self.unread[topic] = self.unread.get(topic, 0) + 1
                self.names[topic] = unread_names(payload, context)
            return
        for report in found.decoded.reports:
            self._note(found.format, topic, report)

    def _note(self, name: str, topic: str, report: Report) -> None:
        ours = _OURS.match(topic)
        named = ours[1] if ours else report.device_id
        if (name, named) not in self.devices and len(self.devices) >= MAX_DEVICES:
            return
        heard = self.devices.setdefault((name, named), Heard(name, named))
        heard.topics.add(topic)
        heard.metrics.update(one.metric for one in report.observations)
        heard.newest.update({one.metric: one.value for one in report.observations})
        heard.notes.update(note for note in report.notes if "no zone" in note or "metrics" in note)
        if report.observations and not report.retained and len(heard.at) < 1000:
            heard.at.append(report.received_at)

    def propose(self) -> str:
        """Return TOML: a ``[[devices]]`` for each device that measures something, and what else was heard."""
        measuring = [heard for heard in self.devices.values() if heard.metrics]
        parts = [_HEAD.format(self.messages, len(measuring))]
        taken: set[str] = set()
        parts += [
            _entry(heard, taken) for heard in sorted(measuring, key=lambda heard: (heard.format, heard.name))
        ]
        only_there = sorted(heard.name for heard in self.devices.values() if not heard.metrics)
        if only_there:
            parts.append(f"# Heard to be online or offline only: {', '.join(map(_shown, only_there))}\n")
        if self.unread:
            rows = sorted(self.unread.items(), key=lambda row: -row[1])
            named = "".join(
                f"#   {count:6d}  {_shown(topic)}{self._holds(topic)}\n" for topic, count in rows[:40]
            )
            more = f"#   ... and {len(rows) - 40} more topics\n" if len(rows) > 40 else ""
            parts.append(
                "# No vital sign that we know on these topics (messages, topic, what they hold).\n"
                '# If a key is one, name it: format = "keymap" and options.metrics (docs/devices.md):\n'
                f"{named}{more}"
            )
        return "\n".join(parts)

    def _holds(self, topic: str) -> str:
        names = self.names.get(topic, ())
        return f": {_shown(', '.join(names))}" if names else ""


def unread_names(payload: bytes, context: Context) -> tuple[str, ...]:
    """Return the keys of a JSON message whose numbers no rule knows."""
    try:
        return decode("keymap", payload, context).unread[:8]
    except Undecodable:
        return ()


def _entry(heard: Heard, taken: set[str]) -> str:
    """Return one proposed device, with an id that is not ``taken``."""
    topic = _common(sorted(heard.topics))
    own = any(map(_OURS.match, heard.topics))
    lines = [
        "[[devices]]",
        f'id = "{_identifier(heard.name, taken)}"',
        '# bed = "bed-1"',
        f'format = "{heard.format}"',
    ]
    if not own:
        lines.append(f"topic = {_quoted(topic)}")
        if heard.name not in heard.topics:
            lines.append(f"address = {_quoted(heard.name)}")
    metrics = [name for name in METRICS if name in heard.metrics]
    lines.append(f"metrics = [{', '.join(_quoted(name) for name in metrics)}]")
    interval_s = heard.interval_s
    if interval_s is None:
        lines.append("expected_interval_s = 300  # heard once only")
    else:
        lines.append(f"expected_interval_s = {max(1, round(interval_s, 0)):g}")
    if any("no zone" in note for note in heard.notes):
        lines.append('# zone = "Europe/Berlin"  # it writes local times without an offset: name its zone')
    newest = ", ".join(
        f"{name} {'no value' if value is None else format(value, 'g')}"
        for name, value in heard.newest.items()
    )
    return "\n".join([f"# newest: {newest}", *lines, ""])


def _common(topics: list[str]) -> str:
    """Return the topic filter that fits all of these topics."""
    if len(topics) == 1:
        return topics[0]
    split = [topic.split("/") for topic in topics]
    if len({len(levels) for levels in split}) == 1:
        return "/".join(level[0] if len(set(level)) == 1 else "+" for level in zip(*split, strict=True))
    same = 0
    while len({tuple(levels[: same + 1]) for levels in split}) == 1:
        same += 1
    return "/".join([*split[0][:same], "#"])


def _identifier(name: str, taken: set[str]) -> str:
    stem = re.sub(r"[^A-Za-z0-9_.:-]+", "-", name).strip("-._:")[:56] or "device"
    number, found = 1, stem
    while found in taken:
        number += 1
        found = f"{stem}-{number}"
    taken.add(found)
    return found


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in escaped) + '"'


def _shown(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text[:120])


# --- listening ----------------------------------------------------------------------------------------------


def listen(
    broker: Broker,
    seconds: float,
    topic: str = "#",
    progress: Callable[[Findings, float], None] | None = None,
) -> Findings:
    """Listen to a broker.

    Args:
        broker: where.
        seconds: how long.
        topic: what to subscribe to.
        progress: called once a second with what was found and the seconds that are left.

    Raises:
        ConnectionError: the broker is not there or does not let us in; the text names the remedy.
    """
    findings, lock, ready, refusal = Findings(), threading.Lock(), threading.Event(), [""]

    def connected(client: paho.Client, _userdata: Any, _flags: Any, reason: Any, _more: Any) -> None:
        if reason.is_failure:
            refusal[0] = f"the broker refuses us: {reason}; check broker.username and its access list"
        else:
            client.subscribe(topic, qos=0)
        ready.set()

    def received(_client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            name = message.topic
        except UnicodeDecodeError:
            return
        with lock:
            findings.add(name, bytes(message.payload), datetime.now(UTC), message.retain)

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
    if broker.username:
        client.username_pw_set(broker.username, broker.password())
    if broker.tls_ca:
        client.tls_set_context(ssl.create_default_context(cafile=broker.tls_ca))
    client.on_connect, client.on_message = connected, received
    try:
        client.connect(broker.host, broker.port, keepalive=20)
    except OSError as fault:
        raise ConnectionError(
            f"no broker at {broker.host}:{broker.port}: {fault}; see clinic.toml"
        ) from fault
    client.loop_start()
    try:
        if not ready.wait(10) or refusal[0]:
            raise ConnectionError(refusal[0] or f"the broker at {broker.host}:{broker.port} does not answer")
        _wait(seconds, findings, lock, progress)
    finally:
        client.disconnect()
        client.loop_stop()
    return findings


def _wait(
    seconds: float,
    findings: Findings,
    lock: threading.Lock,
    progress: Callable[[Findings, float], None] | None,
) -> None:
    left = seconds
    pause = threading.Event()
    while left > 0:
        pause.wait(min(1.0, left))
        left -= 1.0
        if progress is not None:
            with lock:
                progress(findings, max(0.0, left))


# --- the command --------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``afterwatch devices discover`` takes to its parser."""
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to listen (%(default)g)")
    parser.add_argument("--topic", default="#", help="what to listen to (%(default)s: everything)")


def run(broker: Broker, chosen: argparse.Namespace, out: Callable[[str], None] = print) -> int:
    """Listen and print the proposal; return the exit code (1: nothing was heard)."""
    findings = listen(broker, chosen.seconds, chosen.topic)
    out(findings.propose())
    return 0 if findings.messages else 1
