"""Many devices on one connection, and a network between that can be half open."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.conftest import LOOPBACK, find_free_port

ROOT = "afterwatch/v1/clinic"


class Ward:
    """``count`` oximeters that report once a second, spread over the second; QoS 1, numbered.

    Attributes:
        ill: the numbers of the devices whose SpO2 is 80 now.
        sent: how many reports each device has sent.
        last_at: when each device published last, monotonic seconds.
    """

    def __init__(self, port: int, count: int) -> None:
        """Connect; ``start`` begins to publish."""
        self.count = count
        self.ill: set[int] = set()
        self.sent = [0] * (count + 1)
        self.last_at = [0.0] * (count + 1)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="soak", protocol=paho.MQTTv5)
        self._client.max_inflight_messages_set(1000)
        self._client.connect(LOOPBACK, port)
        self._client.loop_start()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            for number in range(1, self.count + 1):
                due += 1.0 / self.count
                if self._ending.wait(max(0.0, due - time.monotonic())):
                    return
                self._report(number)

    def _report(self, number: int) -> None:
        ill = number in self.ill
        said = {
            "measured_at": datetime.now(UTC).isoformat(),
            "boot_id": f"soak-{number}",
            "sequence": self.sent[number],
            "values": {"spo2": 80 if ill else 97, "pulse_rate": 72, "respiration_rate": 14},
        }
        self.sent[number] += 1
        self.last_at[number] = time.monotonic()
        topic = f"{ROOT}/devices/oximeter-{number}/report"
        self._client.publish(topic, json.dumps(said).encode(), qos=1)

    def stop(self) -> None:
        """Stop, and leave when all is with the broker."""
        self._ending.set()
        self._thread.join(5)
        deadline = time.monotonic() + 20
        while self._client._out_messages and time.monotonic() < deadline:
            time.sleep(0.05)
        self._client.disconnect()
        self._client.loop_stop()


class Cable:
    """A TCP way to a port that can stop carrying without anybody being told: half open, slow, or cut.

    Attributes:
        lives: how many bytes, both ways together, each next connection carries before it is cut.
        cuts: how many connections were cut so.
    """

    def __init__(self, port: int) -> None:
        """Listen on a port of its own."""
        self.port = find_free_port()
        self.carries = threading.Event()
        self.carries.set()
        self.delay_s = 0.0
        self.lives: Iterator[int] = itertools.repeat(sys.maxsize)
        self.cuts = 0
        self._to = port
        self._listener = socket.create_server((LOOPBACK, self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection((LOOPBACK, self._to), timeout=5)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                left = [next(self.lives)]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(*pair, left), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, left: list[int]) -> None:
        with contextlib.suppress(OSError):
            while read := one.recv(65536):
                self.carries.wait()
                if self.delay_s:
                    time.sleep(self.delay_s)
                other.sendall(read[: max(0, left[0])])
                left[0] -= len(read)
                if left[0] <= 0:
                    self.cuts += 1
                    break
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        """Listen no more."""
        self.carries.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
