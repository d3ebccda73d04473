"""From the socket to the inbox, with and without ``monitor.wire``: the same messages, in one order."""

from __future__ import annotations

import queue
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from monitor import mqtt, wire
from monitor.clock import SystemClock
from monitor.config import Broker
from monitor.mqtt import Envelope, Link, Will
from tests.conftest import LOOPBACK, Mosquitto, find_free_port, program, wait_for

NOW = datetime(2026, 11, 27, 9, tzinfo=UTC)
WITHIN_S = 15.0
V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311


@pytest.fixture(params=["wire", "plain paho"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with our way of reading, and with paho's."""
    monkeypatch.setenv(mqtt.PLAIN, "1" if request.param == "plain paho" else "0")
    return str(request.param)


class Box:
    """An inbox that keeps what comes."""

    def __init__(self) -> None:
        """Begin empty and not connected."""
        self.messages: queue.SimpleQueue[Envelope] = queue.SimpleQueue()
        self.changes: queue.SimpleQueue[tuple[bool, str]] = queue.SimpleQueue()

    def put(self, several: list[Envelope]) -> None:
        """Keep messages."""
        for one in several:
            self.messages.put(one)

    def link_changed(self, connected: bool, reason: str) -> None:
        """Keep a change of the link."""
        self.changes.put((connected, reason))

    def take(self, count: int) -> list[Envelope]:
        """Wait for so many messages."""
        return [self.messages.get(timeout=WITHIN_S) for _ in range(count)]

    def await_connected(self, reason: str = "") -> None:
        """Wait until the link is up."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            connected, why = self.changes.get(timeout=WITHIN_S)
            if connected:
                assert reason in why
                return
        raise AssertionError("the link did not come up")


def make_link(broker: Broker, box: Box, protocol: MQTTProtocolVersion = V5) -> Link:
    """Return a link that follows t/#, at a version of the protocol."""
    link = Link(broker, ["t/#"], Will("w", b"offline", b"online"), box, SystemClock())
    link._protocol = protocol
    link._client = link._make()
    return link


@pytest.fixture
def linked() -> Iterator[Callable[..., tuple[Link, Box]]]:
    """Give a function that connects a link; each is stopped at the end."""
    links: list[Link] = []

    def begin(port: int, protocol: MQTTProtocolVersion = V5, **more: Any) -> tuple[Link, Box]:
        box = Box()
        link = make_link(Broker(host=LOOPBACK, port=port, **more), box, protocol)
        links.append(link)
        link.start()
        box.await_connected("5" if protocol == V5 else "3.1.1")
        link.publish("t/probe", b"")  # comes back only when the broker knows what we follow
        others = []
        while (one := box.take(1)[0]).topic != "t/probe":
            others.append(one)
        link.confirm([one])
        box.put(others)
        return link, box

    yield begin
    for link in links:
        link.stop()


Secure = Callable[..., tuple[Mosquitto, int, str]]


@pytest.fixture
def secure(tmp_path: Path, mosquitto: Callable[..., Mosquitto]) -> Secure:
    """Give a function that starts a broker and returns it with its TLS port and the certificate to trust."""

    def begin(extra: str = "") -> tuple[Mosquitto, int, str]:
        key, certificate, port = tmp_path / "key.pem", tmp_path / "cert.pem", find_free_port()
        subprocess.run(
            [
                *(program("openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
                *("-days", "2", "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            ],
            check=True,
            capture_output=True,
        )
        listener = f"listener {port} {LOOPBACK}\ncertfile {certificate}\nkeyfile {key}"
        return mosquitto(f"{extra}\n{listener}"), port, str(certificate)

    return begin


class Device:
    """A plain paho client that publishes and waits until the broker has it."""

    def __init__(self, port: int) -> None:
        """Connect."""
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=V5)
        self._client.connect(LOOPBACK, port)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, qos: int = 1, **more: Any) -> None:
        """Publish, and return when the broker has confirmed."""
        self._client.publish(topic, payload, qos, **more).wait_for_publish(WITHIN_S)

    def end(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def device() -> Iterator[Callable[[int], Device]]:
    """Give a function that connects a device."""
    devices: list[Device] = []

    def begin(port: int) -> Device:
        devices.append(Device(port))
        return devices[-1]

    yield begin
    for one in devices:
        one.end()


# --- against a real broker ----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [V5, V311])
def test_p_01_every_kind_of_message_arrives_whole_and_in_order(
    mosquitto: Callable[..., Mosquitto],
    linked: Callable[..., tuple[Link, Box]],
    device: Callable[[int], Device],
    way: str,
    protocol: MQTTProtocolVersion,
) -> None:
    """P-01: tiny and big, QoS 0 and 1 and 2, with and without properties; both ways give the same."""
    broker = mosquitto()
    link, box = linked(broker.port, protocol)
    sender = device(broker.port)
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = ("unit", "kPa")
    sent = [
        ("t/a", b"", 1, {}),
        ("t/b", b"x", 0, {}),
        ("t/c", b"y" * 127, 1, {}),
        ("t/d", b"z" * 700_000, 1, {}),
        ("t/e", b"properties", 1, {"properties": properties}),
        ("t/f/\u00b5\U0001f600", "\u00b5".encode() * 9000, 1, {}),
        ("t/g", b"twice", 2, {}),
        *(("t/h", b"%d" % number, 1, {}) for number in range(300)),
    ]
    for topic, payload, qos, more in sent:
        sender.publish(topic, payload, qos, **more)
    came = box.take(len(sent))
    assert [(one.topic, one.payload) for one in came] == [(topic, payload) for topic, payload, *_ in sent], (
        way
    )
    assert [one.mid > 0 for one in came] == [qos > 0 for _, _, qos, _ in sent]
    assert not any(one.retained for one in came)
    link.confirm(came)


def test_p_20_a_retained_message_says_that_it_is(
    mosquitto: Callable[..., Mosquitto],
    linked: Callable[..., tuple[Link, Box]],
    device: Callable[[int], Device],
    way: str,
) -> None:
    """P-20: what the broker kept is marked, what comes live is not."""
    broker = mosquitto()
    sender = device(broker.port)
    sender.publish("t/kept", b"old", retain=True)
    _, box = linked(broker.port)
    first = box.take(1)[0]
    sender.publish("t/kept", b"new", retain=True)
    second = box.take(1)[0]
    assert (first.payload, first.retained, second.payload, second.retained) == (
        b"old",
        True,
        b"new",
        False,
    ), way


@pytest.mark.parametrize("protocol", [V5, V311])
def test_p_01_what_is_not_confirmed_comes_again_and_what_is_does_not(
    mosquitto: Callable[..., Mosquitto],
    linked: Callable[..., tuple[Link, Box]],
    device: Callable[[int], Device],
    way: str,
    protocol: MQTTProtocolVersion,
) -> None:
    """P-01: a lost connection brings the unconfirmed again; old confirmations are not owed on a new one."""
    broker = mosquitto()
    link, box = linked(broker.port, protocol)
    sender = device(broker.port)
    for number in range(50):
        sender.publish("t/n", b"%d" % number)
    came = box.take(50)
    link.confirm(came[:20])
    wait_for(
        lambda: not link._client.want_write(), "the confirmations to leave"
    )  # plain paho writes them later
    sender.publish("t/n", b"after")  # the broker has read the confirmations when this is answered
    came += box.take(1)
    line: Any = link._client.socket()
    line.shutdown(socket.SHUT_RDWR)
    box.await_connected()
    again = box.take(31)
    assert [one.payload for one in again] == [one.payload for one in came[20:]], way
    link.confirm(came[20:])  # of the lost connection: not sent
    link.confirm(again)
    sender.publish("t/n", b"last")
    assert box.take(1)[0].payload == b"last"
    assert box.messages.empty()


def test_p_18_a_broker_that_restarts_is_found_again(
    mosquitto: Callable[..., Mosquitto],
    linked: Callable[..., tuple[Link, Box]],
    device: Callable[[int], Device],
    way: str,
) -> None:
    """P-18: after a restart of the broker what it kept for us arrives, before anything new."""
    broker = mosquitto()
    _, box = linked(broker.port)
    sender = device(broker.port)
    for number in range(10):
        sender.publish("t/n", b"%d" % number)
    box.take(10)
    broker.restart()
    box.await_connected()
    assert [one.payload for one in box.take(10)] == [b"%d" % number for number in range(10)], way


@pytest.mark.parametrize("tls", [False, True], ids=["in the clear", "TLS"])
def test_p_01_publishing_and_confirming_at_once_mixes_nothing(
    secure: Secure,
    linked: Callable[..., tuple[Link, Box]],
    device: Callable[[int], Device],
    way: str,
    tls: bool,
) -> None:
    """P-01, S-01: two threads write while a third reads; the broker understands every packet.

    Over TLS paho's own way crashed the process here: it wrote beside its own thread's reading.
    """
    broker, port, certificate = secure("log_type error")
    link, box = linked(port, tls_ca=certificate) if tls else linked(broker.port)
    sender = device(broker.port)
    over = threading.Event()

    def speak() -> None:
        number = 0
        while not over.is_set():
            link.publish("out/of/us", b"%06d" % number + b"p" * 50_000)
            number += 1
            over.wait(0.001)

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        for number in range(300):
            sender.publish("t/n", b"%d" % number)
            link.confirm(box.take(1))
    finally:
        over.set()
        speaker.join()
    assert link.connected, f"{way}: {link.reason}"
    assert link.connection == 1


def test_s_01_a_tls_link_reads_and_confirms(
    secure: Secure,
    linked: Callable[..., tuple[Link, Box]],
    device: Callable[[int], Device],
    way: str,
) -> None:
    """S-01: over TLS too, where one record holds several messages and one message several records."""
    broker, port, certificate = secure()
    link, box = linked(port, tls_ca=certificate)
    sender = device(broker.port)
    payloads = [b"%d" % number * 10 for number in range(200)] + [b"big" * 50_000]
    for payload in payloads:
        sender.publish("t/n", payload)
    came = box.take(len(payloads))
    assert [one.payload for one in came] == payloads, way
    link.confirm(came)
    assert isinstance(link._client.socket()._line if way == "wire" else link._client.socket(), ssl.SSLSocket)  # type: ignore[union-attr]


# --- against paho's own parser ------------------------------------------------------------------------------


def length_of(size: int) -> bytes:
    """Return a remaining length as MQTT writes it."""
    found = bytearray()
    while True:
        size, digit = divmod(size, 128)
        found.append(digit | (128 if size else 0))
        if not size:
            return bytes(found)


@st.composite
def publishes(draw: st.DrawFn, v5: bool) -> bytes:
    """Draw a PUBLISH of any flags, topic, payload and properties."""
    flags = draw(st.integers(0, 15))
    topic = draw(st.one_of(st.text(max_size=40).map(str.encode), st.binary(max_size=5)))
    properties = draw(st.sampled_from([b"\0", b"\0", b"\x02\x01\x01", b"\x05\x26\0\0\0\0"])) if v5 else b""
    mid = draw(st.integers(0, 65535).map(lambda one: struct.pack("!H", one))) if flags & 6 else b""
    body = struct.pack("!H", len(topic)) + topic + mid + properties + draw(st.binary(max_size=300))
    return bytes([0x30 | flags]) + length_of(len(body)) + body


def others() -> st.SearchStrategy[bytes]:
    """Draw packets of other kinds, and some that are no packets at all."""
    return st.builds(
        lambda head, body: bytes([head]) + length_of(len(body)) + body,
        st.integers(0, 255),
        st.binary(max_size=200),
    )


class Fed:
    """A socket that gives what it was fed, in the pieces in which it was fed."""

    def __init__(self, pieces: list[bytes]) -> None:
        """Take the pieces."""
        self.pieces = pieces

    def recv(self, _: int) -> bytes:
        """Return the next piece."""
        if not self.pieces:
            raise BlockingIOError
        return self.pieces.pop(0)


@given(st.data(), st.booleans())
def test_p_01_cutting_gives_what_pahos_parser_gives_and_leaves_it_the_rest(
    data: st.DataObject, v5: bool
) -> None:
    """P-01: any stream in any pieces: what is cut equals paho's reading, all else is paho's byte for byte."""
    packets = data.draw(st.lists(st.one_of(publishes(v5), publishes(v5), others()), max_size=20))
    stream = b"".join(packets)
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    ends = [0, *places, len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(ends) if a < b]
    order: list[bytes | Envelope] = []
    one = wire.Wire(Fed(pieces), v5, order.extend, lambda: (NOW, 7))
    while pieces or one.pending():
        try:
            piece = one.recv(data.draw(st.integers(1, 400)))
        except BlockingIOError:
            continue
        order.append(piece)
    at = 0
    for packet in packets:
        while at < len(order) and order[at] == b"":
            at += 1
        found = order[at]
        if isinstance(found, Envelope):
            body = packet[2:] if packet[1] < 128 else packet[3:]
            theirs = _packet.decode_publish(packet[0], body, V5 if v5 else V311)
            same = Envelope(theirs.topic.decode(), theirs.payload, NOW, theirs.retain, theirs.mid, 7)
            assert found == same
            assert theirs.qos < 2
            at += 1
            continue
        left = packet
        while left:
            part = order[at]
            assert not isinstance(part, Envelope)
            assert left.startswith(part)
            left, at = left[len(part) :], at + 1
    assert at == len(order)


@given(st.lists(publishes(v5=True), min_size=1, max_size=10))
def test_p_01_plain_messages_are_all_cut(packets: list[bytes]) -> None:
    """P-01: a PUBLISH at QoS 0 or 1 with a topic in UTF-8 and no property never takes the slow way."""
    for packet in packets:
        body = packet[2:] if packet[1] < 128 else packet[3:]
        size = struct.unpack("!H", body[:2])[0]
        topic, after = body[2 : 2 + size], body[2 + size + (2 if packet[0] & 6 else 0) :]
        plain = not packet[0] & 4 and size and after[0] == 0
        try:
            topic.decode()
        except UnicodeDecodeError:
            plain = False
        assert bool(wire.cut(packet, True, NOW).envelopes) == bool(plain)


class Slow:
    """A socket that takes a few bytes now and then."""

    def __init__(self) -> None:
        """Begin with room for some bytes."""
        self.taken, self.room = b"", 3

    def send(self, given: bytes) -> int:
        """Take what there is room for."""
        if not self.room:
            raise BlockingIOError
        part, self.room = bytes(given[: self.room]), 0
        self.taken += part
        return len(part)


def test_p_01_what_a_full_socket_does_not_take_goes_first_later() -> None:
    """P-01: confirmations that did not fit are sent before anything newer, and none is lost."""
    slow = Slow()
    one = wire.Wire(slow, v5=True, take=lambda _: None, stamp=lambda: (NOW, 7))
    one.confirm([1, 2])
    one.send(b"later")
    assert one.unsent
    while one.unsent:
        slow.room = 2
        one.push()
    assert slow.taken == b"\x40\x02\0\1\x40\x02\0\2later"
