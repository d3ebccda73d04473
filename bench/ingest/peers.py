"""Other subscribers, which say when they are ready: `python -m bench.ingest.peers KIND PORT COUNT`.

`noop` is paho with nothing to do. `plain` is the script that everybody writes first: JSON decoded, one row,
one commit (`synchronous=FULL`), then the confirmation.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bench.ingest.load import ELSEWHERE

Keep = Callable[[paho.MQTTMessage], None]


def plain(folder: Path) -> Keep:
    """Return what makes one message durable."""
    db = sqlite3.connect(folder / "plain.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE reading (at TEXT, topic TEXT, spo2 REAL, pulse_rate REAL)")

    def keep(message: paho.MQTTMessage) -> None:
        said = json.loads(message.payload)
        values = said["values"]
        row = (said["measured_at"], message.topic, values["spo2"], values["pulse_rate"])
        db.execute("INSERT INTO reading VALUES (?, ?, ?, ?)", row)

    return keep


def main(kind: str, port: int, count: int) -> None:
    left, begun = count, 0.0
    with tempfile.TemporaryDirectory() as folder:
        keep: Keep = plain(Path(folder)) if kind == "plain" else lambda _: None

        def take(client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
            nonlocal left
            keep(message)
            client.ack(message.mid, message.qos)
            left -= 1
            if not left:
                used = time.process_time() - begun
                print(json.dumps({"ended": time.monotonic(), "cpu_s": used}), flush=True)

        client = paho.Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True
        )
        client.on_message = take
        client.on_connect = lambda who, *_: who.subscribe(f"{ELSEWHERE}/devices/+/report", 1)
        client.on_subscribe = lambda *_: print("ready", flush=True)
        begun = time.process_time()
        client.connect("127.0.0.1", port)
        while left:
            client.loop(1.0)
        client.disconnect()
        client.loop(0.1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
