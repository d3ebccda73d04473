"""What tests of the simulators have at hand: the command, an ear at the broker, the monitor's own core."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as paho

from monitor import config
from monitor.config import Configuration
from monitor.core.outcomes import as_json
from monitor.replay import replay_envelopes
from simulators.__main__ import main
from tests.conftest import LOOPBACK, Mosquitto

REPOSITORY = Path(__file__).resolve().parents[2]
WITHIN_S = 60.0  # two busy cores


class Told(NamedTuple):
    """What a command wrote."""

    stdout: str
    stderr: str


def drill(*words: str, code: int = 0) -> Told:
    """Run the command as an operator does, in this process; its exit code must be ``code``."""
    stdout, stderr = io.StringIO(), io.StringIO()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            found = main(words)
    except SystemExit as left:  # argparse's way of saying wrong use
        found = int(left.code or 0)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert found == code, stderr.getvalue()
    return Told(stdout.getvalue(), stderr.getvalue())


@cache
def shipped() -> Configuration:
    """Return the configuration that ships with the monitor."""
    return config.load(REPOSITORY / "config")


def by_core(lines: Iterable[str]) -> Iterator[str]:
    """Replay a session's lines through the monitor's core in this process, as the command does in its own."""
    for outcome in replay_envelopes(lines, shipped().protocols):
        yield json.dumps(as_json(outcome))


class Heard(NamedTuple):
    """One message that came."""

    topic: str
    payload: str
    retained: bool


class Ear:
    """A subscriber that is there before anything is sent, and waits for what must come."""

    def __init__(self, broker: Mosquitto, topic: str = "afterwatch/v1/#", client_id: str = "") -> None:
        """Subscribe; a ``client_id`` makes a session that outlives a restart of the broker."""
        self.heard: list[Heard] = []
        self._came = threading.Condition()
        subscribed = threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=not client_id,
            reconnect_on_failure=True,
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._message
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect(LOOPBACK, broker.port)
        self._client.loop_start()
        assert subscribed.wait(WITHIN_S), "the broker did not let us subscribe"

    def _message(self, _client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        with self._came:
            payload = bytes(message.payload).decode()
            self.heard.append(Heard(message.topic, payload, message.retain))
            self._came.notify_all()

    def until(self, held: Callable[[list[Heard]], bool], what: str) -> list[Heard]:
        """Return all that came as soon as ``held`` is true of it."""
        with self._came:
            assert self._came.wait_for(lambda: held(self.heard), WITHIN_S), f"{what}: {self.heard[-5:]}"
            return list(self.heard)

    def say(self, topic: str, words: str) -> None:
        """Publish, and wait until the broker has it."""
        self._client.publish(topic, words, qos=1).wait_for_publish(WITHIN_S)

    def close(self) -> None:
        """Listen no more."""
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def ear(broker: Mosquitto, topic: str = "afterwatch/v1/#", client_id: str = "") -> Iterator[Ear]:
    """Give an ear at the broker."""
    one = Ear(broker, topic, client_id)
    try:
        yield one
    finally:
        one.close()
