"""The bridge: monitors that do not speak MQTT, brought to the broker (``afterwatch bridge``).

Law: what was heard is on disk before anything else happens to it, and leaves the disk only when the broker has
confirmed it. A sender over MLLP hears "AA" after that confirmation and never before; in doubt it hears "AE" and
the message is sent all the same, for twice is better than not at all. A device without a clock gets the time at
which it was heard, so that what waited here never passes as new.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import re
import socketserver
import sqlite3
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as paho
import serial
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from monitor.config import Broker
from monitor.formats import Undecodable, er7
from monitor.formats.serial_frames import CUTTERS, cut_mllp

log = logging.getLogger("afterwatch.bridge")

CONFIRMED_WITHIN_S = 10.0  # how long an MLLP sender waits for the broker before it hears AE
SPOOL_MESSAGES = 200_000  # a monitor that speaks once a second, for two days
IN_FLIGHT = 200  # messages that the broker has not yet confirmed
RETRY_S = (0.5, 5.0)
READ_S = 0.5
MLLP_SENDERS = 64
PROTOCOLS = ("mllp", *CUTTERS)


# --- what was heard is on disk -------------------------------------------------------------------------------


class Waiting(NamedTuple):
    """One message in the spool."""

    id: int
    payload: bytes


class Spool:
    """Messages on disk in the order in which they were heard, until the broker has them."""

    def __init__(self, file: Path, limit: int = SPOOL_MESSAGES) -> None:
        """Open or make the spool."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._limit = limit
        self._store = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._store.execute("PRAGMA journal_mode=WAL")
        self._store.execute("PRAGMA synchronous=FULL")
        self._store.execute(
            "CREATE TABLE IF NOT EXISTS waiting (id INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB)"
        )
        self.count = int(self._one("SELECT count(*) FROM waiting"))
        self.lost = 0

    def append(self, payload: bytes) -> int:
        """Keep a message durably and return its number; at the limit the oldest goes, and is counted."""
        with self._lock:
            number = self._store.execute("INSERT INTO waiting (payload) VALUES (?)", (payload,)).lastrowid
            self.count += 1
            if self.count > self._limit:
                self._store.execute("DELETE FROM waiting WHERE id = (SELECT min(id) FROM waiting)")
                self.count -= 1
                self.lost += 1
                if self.lost % 1000 == 1:
                    log.error("the spool is full (%d): %d oldest messages were lost", self._limit, self.lost)
            return int(number or 0)

    def after(self, number: int, count: int) -> list[Waiting]:
        """Return the next messages behind a number."""
        with self._lock:
            rows = self._store.execute(
                "SELECT id, payload FROM waiting WHERE id > ? ORDER BY id LIMIT ?", (number, count)
            )
            return [Waiting(*row) for row in rows]

    def done(self, number: int) -> None:
        """Forget a message that the broker has."""
        with self._lock:
            self.count -= self._store.execute("DELETE FROM waiting WHERE id = ?", (number,)).rowcount

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._store.close()

    def _one(self, question: str) -> Any:
        return self._store.execute(question).fetchone()[0]


# --- from the disk to the broker -----------------------------------------------------------------------------


class Courier:
    """Carries the spool to the broker at QoS 1, in order, for as long as it takes."""

    def __init__(self, broker: Broker, topic: str, spool: Spool) -> None:
        """Prepare; ``start`` begins."""
        self._broker, self._topic, self._spool = broker, topic, spool
        self._lock = threading.Condition()
        self._flying: dict[int, int] = {}  # mid -> number in the spool
        self._carried = 0  # the newest number that was handed to the client
        self._outcomes: dict[int, str] = {}  # number -> what became of it; only of those that are waited for
        self._awaited: set[int] = set()
        self._stopping = False
        self._client = self._make()
        self._thread = threading.Thread(target=self._carry, name="courier", daemon=True)

    def start(self) -> None:
        """Connect, now or as soon as the broker is there."""
        broker = self._broker
        self._client.connect_async(broker.host, broker.port, keepalive=20)
        self._client.loop_start()
        self._thread.start()

    def stop(self) -> None:
        """Stop; what the broker has not confirmed stays in the spool."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()
        self._thread.join(5.0)
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def connected(self) -> bool:
        """Say whether the broker is there."""
        return self._client.is_connected()

    def hand_over(self, payload: bytes) -> None:
        """Keep a message durably and let it be carried; return when it is on disk."""
        self._spool.append(payload)
        with self._lock:
            self._lock.notify_all()

    def deliver(self, payload: bytes, within_s: float = CONFIRMED_WITHIN_S) -> str:
        """Keep a message, and wait for the broker.

        Returns:
            An empty text when the broker has confirmed it, else why not; it is carried on all the same.
        """
        with self._lock:
            number = self._spool.append(payload)
            self._awaited.add(number)
            self._lock.notify_all()
            self._lock.wait_for(lambda: number in self._outcomes or self._stopping, within_s)
            self._awaited.discard(number)
            outcome = self._outcomes.pop(number, None)
        return (
            f"kept here; the broker has not confirmed it within {within_s:g} s"
            if outcome is None
            else outcome
        )

    def _make(self) -> paho.Client:
        broker = self._broker
        name = re.sub(r"[^A-Za-z0-9]+", "-", self._topic).strip("-")
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"afterwatch-bridge-{name}"[:64],
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        if broker.username:
            client.username_pw_set(broker.username, broker.password())
        if broker.tls_ca:
            client.tls_set_context(ssl.create_default_context(cafile=broker.tls_ca))
        client.reconnect_delay_set(1, 5)
        client.max_inflight_messages_set(IN_FLIGHT)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        return client

    def _on_connect(self, _client: paho.Client, _userdata: Any, _flags: Any, reason: Any, _more: Any) -> None:
        if reason.is_failure:
            log.error("the broker refuses the bridge: %s (check broker.username and its access list)", reason)
        with self._lock:
            self._lock.notify_all()

    def _on_publish(self, _client: paho.Client, _userdata: Any, mid: int, reason: Any, _more: Any) -> None:
        refusal = f"the broker refuses it: {reason}" if reason.is_failure else ""
        if refusal:
            log.error("%s on %s; it is not sent again", refusal, self._topic)
        with self._lock:
            number = self._flying.pop(mid, None)
            if number is None:
                return
            self._spool.done(number)
            if number in self._awaited:
                self._outcomes[number] = refusal
            self._lock.notify_all()

    def _carry(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(self._has_room, READ_S)
                if self._stopping:
                    return
                if not self._has_room():
                    continue
                for waiting in self._spool.after(self._carried, IN_FLIGHT - len(self._flying)):
                    sent = self._client.publish(self._topic, waiting.payload, qos=1)
                    self._flying[sent.mid] = waiting.id
                    self._carried = waiting.id

    def _has_room(self) -> bool:
        if self._stopping:
            return True
        behind = self._spool.count > len(self._flying)
        return behind and self._client.is_connected() and len(self._flying) < IN_FLIGHT


# --- MLLP: a monitor or gateway sends, and hears AA when the broker has it ------------------------------------


class Answer(NamedTuple):
    """The answer to one HL7 message; no bytes where the sender wants none (MSH-15 and MSH-16 NE)."""

    code: str
    payload: bytes


def receive(message: bytes, deliver: Callable[[bytes], str]) -> Answer:
    """Take one HL7 message and return its acknowledgement.

    Args:
        message: the message without its MLLP signs.
        deliver: keeps and sends it; returns why it is not confirmed, or an empty text.
    """
    try:
        header = er7.read_messages(message)[0].segments[0]
    except Undecodable as fault:
        log.error("a message without MSH was refused: %s", fault)
        return Answer("AR", acknowledgement(["MSH", "|", r"^~\&"], "AR", "no MSH segment"))
    why = deliver(message)
    code = "AE" if why else "AA"
    if why:
        log.warning("AE: %s", why)
    wants = {er7.field_of(header, index).strip().upper() for index in (15, 16)}
    return Answer(code, b"" if wants == {"NE"} else acknowledgement(header, code, why))


def acknowledgement(header: list[str], code: str, why: str = "") -> bytes:
    """Return the ACK to a message with this MSH segment, with its separators and control id."""
    sign, encoding = header[1], er7.field_of(header, 2) or r"^~\&"
    component = encoding[:1] or "^"
    kind = er7.field_of(header, 9).split(component)
    trigger = kind[1] if len(kind) > 1 else "R01"
    now = datetime.now(UTC)
    control_id = er7.field_of(header, 10)
    fields = ["MSH", encoding, "Afterwatch", "", er7.field_of(header, 3), er7.field_of(header, 4)]
    fields += [
        f"{now:%Y%m%d%H%M%S}+0000",
        "",
        component.join(("ACK", trigger, "ACK")),
        f"{now:%Y%m%d%H%M%S%f}",
    ]
    fields += [er7.field_of(header, 11) or "P", er7.field_of(header, 12) or "2.6"]
    answer = sign.join(fields) + "\r" + sign.join(["MSA", code, control_id, why]).rstrip(sign) + "\r"
    return b"\x0b" + answer.encode("utf-8", "replace") + b"\x1c\r"


class _Sender(socketserver.BaseRequestHandler):
    """One connected sender."""

    server: MllpListener

    def handle(self) -> None:
        """Read messages and answer each, until the sender hangs up."""
        if not self.server.places.acquire(blocking=False):
            log.error("more than %d senders: %s refused", MLLP_SENDERS, self.client_address[0])
            return
        try:
            self._converse()
        except OSError as fault:
            log.info("%s went away: %s", self.client_address[0], fault)
        finally:
            self.server.places.release()

    def _converse(self) -> None:
        rest = b""
        while content := self.request.recv(65536):
            cut = cut_mllp(rest + content)
            rest = cut.rest
            if cut.noise:
                log.warning("%d bytes from %s are outside of MLLP", cut.noise, self.client_address[0])
            for message in cut.frames:
                self.request.sendall(receive(message, self.server.deliver).payload)


class MllpListener(socketserver.ThreadingTCPServer):
    """Listens for HL7 senders."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], deliver: Callable[[bytes], str]) -> None:
        """Bind; ``serve_forever`` listens. Raises OSError when the port is taken."""
        self.deliver = deliver
        self.places = threading.BoundedSemaphore(MLLP_SENDERS)
        super().__init__(address, _Sender)


# --- serial lines and serial servers --------------------------------------------------------------------------


def envelope(frame: bytes, now: datetime) -> bytes:
    """Return a frame of a device without a clock, with the time at which it was heard."""
    return json.dumps({"at": now.isoformat(), "frame": frame.hex()}).encode()


class Line:
    """A serial port (``/dev/ttyUSB0``) or a serial server (``socket://host:port``), opened again when lost."""

    def __init__(self, url: str, baud: int, protocol: str, courier: Courier) -> None:
        """Prepare; ``run`` reads."""
        self._url, self._baud, self._protocol, self._courier = url, baud, protocol, courier
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let ``run`` return."""
        self._stopping.set()

    def run(self) -> None:
        """Read until told to stop."""
        wait_s = RETRY_S[0]
        while not self._stopping.is_set():
            try:
                with contextlib.closing(serial.serial_for_url(self._url, self._baud, timeout=READ_S)) as port:
                    log.info("hearing %s", self._url)
                    wait_s = RETRY_S[0]
                    self._listen(port)
            except (serial.SerialException, OSError) as fault:
                log.warning("%s: %s; trying again in %.1f s", self._url, fault, wait_s)
                self._stopping.wait(wait_s)
                wait_s = min(wait_s * 2, RETRY_S[1])

    def _listen(self, port: Any) -> None:
        rest = b""
        while not self._stopping.is_set():
            content = port.read(max(1, port.in_waiting))
            if not content:
                continue
            cut = (cut_mllp if self._protocol == "mllp" else CUTTERS[self._protocol])(rest + content)
            rest = cut.rest
            if cut.noise:
                log.debug("%d bytes from %s belong to no frame", cut.noise, self._url)
            for frame in cut.frames:
                if self._protocol == "mllp":
                    port.write(receive(frame, self._courier.deliver).payload)
                else:
                    self._courier.hand_over(envelope(frame, datetime.now(UTC)))


# --- the command ----------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``afterwatch bridge`` takes to its parser."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--mllp", metavar="HOST:PORT", help="listen for HL7 v2 over MLLP")
    source.add_argument("--tcp", metavar="HOST:PORT", help="connect to a monitor or serial server")
    source.add_argument("--serial", metavar="PORT", help="a serial port, such as /dev/ttyUSB0")
    parser.add_argument("--topic", required=True, help="topic to publish on, as in beds.toml")
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, default="mllp", help="for --tcp and --serial (%(default)s)"
    )
    parser.add_argument("--baud", type=int, default=9600, help="for --serial (%(default)s)")
    parser.add_argument("--spool", type=Path, help="file for what waits (bridge-TOPIC.db in the store)")
    parser.add_argument("--for", dest="seconds", type=float, help="end after so many seconds")


def split_address(text: str, usual_port: int = 2575) -> tuple[str, int]:
    """Return host and port of HOST:PORT.

    Raises:
        ValueError: the port is no number; the text says so.
    """
    host, _, port = text.rpartition(":") if ":" in text else (text, "", str(usual_port))
    if not port.isdigit() or not 0 <= int(port) < 65536:
        raise ValueError(f"{text!r}: write it as HOST:PORT, such as 0.0.0.0:{usual_port}")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 (the installer chose to listen to all)


def run(broker: Broker, store: Path, chosen: argparse.Namespace) -> int:
    """Run the bridge until it is told to stop; return the exit code.

    Args:
        broker: from ``clinic.toml``.
        store: the folder for the spool, unless ``--spool`` names a file.
        chosen: the arguments of ``add_arguments``.
    """
    name = re.sub(r"[^A-Za-z0-9]+", "-", chosen.topic).strip("-")
    spool = Spool(chosen.spool or store / f"bridge-{name}.db")
    courier = Courier(broker, chosen.topic, spool)
    courier.start()
    try:
        with _source(chosen, courier) as ended:
            ended.wait(chosen.seconds)
    except KeyboardInterrupt:
        pass
    finally:
        deadline = time.monotonic() + 2.0
        while spool.count and courier.connected and time.monotonic() < deadline:
            time.sleep(0.02)
        courier.stop()
        if spool.count:
            log.warning("%d messages wait in the spool for the next start", spool.count)
        spool.close()
    return 0


@contextlib.contextmanager
def _source(chosen: argparse.Namespace, courier: Courier) -> Iterator[threading.Event]:
    """Run the listener or the line in a thread of its own."""
    ended = threading.Event()
    if chosen.mllp:
        listener = MllpListener(split_address(chosen.mllp), courier.deliver)
        target, stop = listener.serve_forever, listener.shutdown
    else:
        url = chosen.serial or "socket://{}:{}".format(*split_address(chosen.tcp))
        line = Line(url, chosen.baud, chosen.protocol, courier)
        target, stop = line.run, line.stop
    thread = threading.Thread(target=target, name="source", daemon=True)
    thread.start()
    try:
        yield ended
    finally:
        stop()
        thread.join(5.0)
        if chosen.mllp:
            listener.server_close()
