"""The bridge: HL7 over MLLP, TCP and serial lines to a real broker, and what happens while it is away."""

from __future__ import annotations

import argparse
import json
import os
import pty
import socket
import sqlite3
import subprocess
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from monitor import bridge
from monitor.bridge.mllp import acknowledgement, receive
from monitor.config import Broker
from monitor.formats import Context, decode
from tests.conftest import LOOPBACK, REPOSITORY, Mosquitto, find_free_port, wait_for
from tests.formats.corpus import HL7, IVY
from tests.formats.speech import NOON

TOPIC = "hl7/ward"


class Ear:
    """A plain subscriber that keeps what it hears, in order; its session outlives a restart of the broker."""

    def __init__(self, port: int, topic: str = TOPIC) -> None:
        """Subscribe and wait until the broker knows."""
        self.heard: list[bytes] = []
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="ear", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _c, _u, message: self.heard.append(bytes(message.payload))
        self._client.connect(LOOPBACK, port)
        self._client.loop_start()
        assert self._ready.wait(10)

    def close(self) -> None:
        """Hang up."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """Give a running broker."""
    return mosquitto()


@pytest.fixture
def ear(broker: Mosquitto) -> Iterator[Ear]:
    """Give a subscriber."""
    listener = Ear(broker.port)
    yield listener
    listener.close()


class Carried:
    """A spool and its courier."""

    def __init__(self, port: int, file: Path, topic: str = TOPIC) -> None:
        """Start them."""
        self.spool = bridge.Spool(file)
        self.courier = bridge.Courier(Broker(host=LOOPBACK, port=port), topic, self.spool)
        self.courier.start()

    def stop(self) -> None:
        """Stop them."""
        self.courier.stop()
        self.spool.close()


@pytest.fixture
def carried(broker: Mosquitto, tmp_path: Path) -> Iterator[Carried]:
    """Give a spool and its courier on a running broker."""
    both = Carried(broker.port, tmp_path / "spool.db")
    wait_for(lambda: both.courier.connected)
    yield both
    both.stop()


def mllp(message: bytes) -> bytes:
    """Frame a message."""
    return b"\x0b" + message + b"\x1c\r"


def ask(connection: socket.socket, content: bytes) -> bytes:
    """Send and read one answer."""
    connection.sendall(content)
    answer = b""
    while not answer.endswith(b"\x1c\r"):
        piece = connection.recv(4096)
        assert piece, "the bridge hung up"
        answer += piece
    return answer


@pytest.fixture
def listener(carried: Carried) -> Iterator[tuple[str, int]]:
    """Give the address of a running MLLP listener."""
    with bridge.MllpListener((LOOPBACK, 0), carried.courier.deliver) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server.server_address  # type: ignore[misc]
        server.shutdown()
        thread.join(5)


# --- MLLP ---------------------------------------------------------------------------------------------------


def test_aa_comes_after_the_broker_has_the_message(
    listener: tuple[str, int], ear: Ear, carried: Carried
) -> None:
    """Issue 7.6: HL7 over MLLP, ACK only after the broker's; the message arrives byte for byte."""
    with socket.create_connection(listener, 5) as connection:
        answer = ask(connection, mllp(HL7))
    assert b"MSA|AA|1\r" in answer
    assert carried.spool.count == 0
    wait_for(lambda: ear.heard == [HL7])
    report = decode("hl7v2", ear.heard[0], Context("x", NOON)).reports[0]
    assert report.device_id == "ICU^^B7"


def test_many_messages_on_one_connection_keep_their_order(listener: tuple[str, int], ear: Ear) -> None:
    """Issue 7.6: whatever pieces the bytes arrive in."""
    messages = [HL7.replace(b"|1|P|", f"|{number}|P|".encode()) for number in range(40)]
    stream = b"".join(map(mllp, messages))
    answers = b""
    with socket.create_connection(listener, 5) as connection:
        for at in range(0, len(stream), 700):
            connection.sendall(stream[at : at + 700])
        while answers.count(b"\x1c\r") < len(messages):
            answers += connection.recv(65536)
    assert [f"MSA|AA|{number}\r".encode() in answers for number in range(40)] == [True] * 40
    wait_for(lambda: len(ear.heard) == 40)
    assert ear.heard == messages


def test_without_a_broker_the_sender_hears_ae_and_nothing_is_lost(
    broker: Mosquitto, carried: Carried, ear: Ear
) -> None:
    """Issue 7.6: no AA without the broker; what was heard is kept and sent when it is back."""
    broker.stop()
    wait_for(lambda: not carried.courier.connected)
    answer = receive(HL7, partial(carried.courier.deliver, within_s=0.3))
    assert answer.code == "AE"
    assert b"MSA|AE|1|kept here; the broker has not confirmed it" in answer.payload
    assert carried.spool.count == 1
    broker.start()
    wait_for(lambda: ear.heard == [HL7], within_s=20)
    wait_for(lambda: carried.spool.count == 0)


def test_what_is_no_hl7_is_answered_ar(listener: tuple[str, int], ear: Ear) -> None:
    """P-25: a stranger's bytes are refused and do not reach the broker."""
    with socket.create_connection(listener, 5) as connection:
        assert b"MSA|AR||no MSH segment" in ask(connection, mllp(b"GET / HTTP/1.1"))
        assert b"MSA|AA|1\r" in ask(connection, mllp(HL7))
    wait_for(lambda: ear.heard == [HL7])


def test_the_answer_speaks_the_senders_language() -> None:
    """HL7 2.9.2: separators, control id, processing id and version of the sender; or none."""
    header = ["MSH", "#", r"*~\&", "MON", "WARD", "", "", "2026", "", "ORU*R01", "77", "T", "2.4"]
    answer = acknowledgement(header, "AA").decode()
    assert answer.startswith("\x0bMSH#*~\\&#Afterwatch##MON#WARD#")
    assert "#ACK*R01*ACK#" in answer
    assert answer.endswith("#T#2.4\rMSA#AA#77\r\x1c\r")
    never = HL7.replace(b"|P|2.6", b"|P|2.6|||NE|NE")
    assert receive(never, lambda _message: "").payload == b""


# --- the spool ----------------------------------------------------------------------------------------------


def test_the_spool_outlives_a_kill_and_is_sent_in_order(broker: Mosquitto, ear: Ear, tmp_path: Path) -> None:
    """Issue 7.6: a durable spool: killed with the broker away, started again, everything arrives in order."""
    broker.stop()
    file = tmp_path / "spool.db"
    code = (
        "import os, sys; from pathlib import Path; from monitor.bridge import Spool\n"
        "spool = Spool(Path(sys.argv[1]))\n"
        "for number in range(50): spool.append(str(number).encode())\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], cwd=REPOSITORY, check=False)
    assert done.returncode == -9
    broker.start()
    both = Carried(broker.port, file)
    try:
        wait_for(lambda: both.spool.count == 0)
        wait_for(lambda: len(ear.heard) >= 50)
    finally:
        both.stop()
    assert ear.heard == [str(number).encode() for number in range(50)]


def test_a_broker_restarted_in_the_middle_loses_nothing(broker: Mosquitto, tmp_path: Path) -> None:
    """Issue 7.6: at least once, over a broker that restarts: every message reaches it."""
    heard: set[bytes] = set()
    both = Carried(broker.port, tmp_path / "spool.db")
    ear = Ear(broker.port)
    try:
        for number in range(300):
            both.courier.hand_over(b"%d" % number)
            if number == 150:
                broker.restart()
        wait_for(lambda: both.spool.count == 0, within_s=30)
        wait_for(lambda: heard.update(ear.heard) or len(heard) == 300, within_s=20)
    finally:
        both.stop()
        ear.close()


def test_a_full_spool_loses_the_oldest_and_counts(tmp_path: Path) -> None:
    """Issue 7.6: a spool has a bound; what it costs is counted and logged."""
    spool = bridge.Spool(tmp_path / "s.db", limit=3)
    for number in range(5):
        spool.append(b"%d" % number)
    assert [waiting.payload for waiting in spool.after(0, 10)] == [b"2", b"3", b"4"]
    assert (spool.count, spool.lost) == (3, 2)
    spool.close()


def test_the_spool_is_durable(tmp_path: Path) -> None:
    """R-01: every append is flushed to the disk before it returns."""
    spool = bridge.Spool(tmp_path / "s.db")
    (level,) = spool._store.execute("PRAGMA synchronous").fetchone()
    assert level == 2
    spool.close()
    with sqlite3.connect(tmp_path / "s.db") as store:
        assert store.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# --- lines --------------------------------------------------------------------------------------------------


def test_a_serial_port_becomes_reports_with_the_time_they_were_heard(carried: Carried, ear: Ear) -> None:
    """Issue 7.6: a serial device on a real terminal; the frame keeps the time at which it was heard."""
    device, ours = pty.openpty()
    tty.setraw(device)
    tty.setraw(ours)
    line = bridge.Line(partial(bridge.SerialPort, os.ttyname(ours), 9600), "ivy", carried.courier)
    thread = threading.Thread(target=line.run, daemon=True)
    thread.start()
    try:
        # Opening a port throws away what came before; a monitor goes on speaking.
        wait_for(lambda: os.write(device, IVY[:100]) and os.write(device, IVY[100:]) and len(ear.heard) > 2)
    finally:
        line.stop()
        thread.join(5)
        os.close(device)
        os.close(ours)
    (report,) = decode("serial", ear.heard[1], Context("ivy", NOON)).reports
    assert {one.metric: one.value for one in report.observations}["spo2"] == 98
    assert report.measured_at is not None
    assert json.loads(ear.heard[1])["frame"] == IVY.hex()


def test_a_tcp_monitor_is_called_again_when_it_hangs_up(carried: Carried, ear: Ear) -> None:
    """Issue 7.6: the client side of TCP reconnects for as long as it takes."""
    with socket.create_server((LOOPBACK, 0)) as server:
        address = server.getsockname()
        line = bridge.Line(partial(bridge.SocketPort, address), "mllp", carried.courier)
        thread = threading.Thread(target=line.run, daemon=True)
        thread.start()
        try:
            for _ in range(2):
                connection, _peer = server.accept()
                with connection:
                    assert b"MSA|AA|1\r" in ask(connection, mllp(HL7))
        finally:
            line.stop()
            thread.join(5)
    wait_for(lambda: ear.heard == [HL7, HL7])


def test_presence_follows_the_line_and_the_last_will(broker: Mosquitto, tmp_path: Path) -> None:
    """P-17, P-19: retained online while the line is open; the broker says offline when the bridge is gone."""
    topic = "afterwatch/v1/clinic/devices/ivy/status"
    ear = Ear(broker.port, topic)
    spool = bridge.Spool(tmp_path / "p.db")
    courier = bridge.Courier(Broker(host=LOOPBACK, port=broker.port), TOPIC, spool, topic)
    courier.start()
    try:
        wait_for(lambda: ear.heard)
        courier.say(True)
        wait_for(lambda: ear.heard[-1] == b'{"state":"online"}')
        courier._client.socket().shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
        wait_for(lambda: ear.heard[-2:] == [b'{"state":"offline"}', b'{"state":"online"}'])
        (report,) = decode("native", ear.heard[-1], Context("ivy", NOON)).reports
        assert report.online is True
    finally:
        courier.stop()
        spool.close()
        ear.close()


# --- the command --------------------------------------------------------------------------------------------


def chosen(*arguments: str) -> argparse.Namespace:
    """Parse the arguments of the command."""
    parser = argparse.ArgumentParser()
    bridge.add_arguments(parser)
    return parser.parse_args(arguments)


def test_the_command_runs_and_ends(broker: Mosquitto, ear: Ear, tmp_path: Path) -> None:
    """Issue 7.6: afterwatch bridge --mllp, from its arguments to a stored message."""
    port = find_free_port()
    asked = chosen("--mllp", f"{LOOPBACK}:{port}", "--topic", TOPIC, "--for", "2")
    place = Broker(host=LOOPBACK, port=broker.port)
    thread = threading.Thread(target=bridge.run, args=(place, tmp_path, asked), daemon=True)
    thread.start()

    def connect() -> socket.socket | None:
        try:
            return socket.create_connection((LOOPBACK, port), 5)
        except OSError:
            return None

    found: list[socket.socket | None] = [None]
    wait_for(lambda: found.insert(0, connect()) or found[0])
    with found[0] as connection:  # type: ignore[union-attr]
        assert b"MSA|AA|1\r" in ask(connection, mllp(HL7))
    wait_for(lambda: ear.heard == [HL7])
    thread.join(10)
    assert not thread.is_alive()
    assert (tmp_path / "bridge-hl7-ward.db").is_file()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.0.0.0:2575", ("0.0.0.0", 2575)), ("[::1]:99", ("::1", 99)), ("monitor", ("monitor", 2575))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    """The command takes HOST:PORT."""
    assert bridge.split_address(text) == expected


def test_a_wrong_address_names_the_remedy() -> None:
    """DESIGN §7: errors name the remedy."""
    with pytest.raises(ValueError, match="write it as HOST:PORT"):
        bridge.split_address("host:port")
