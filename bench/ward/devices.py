"""Five hundred devices at 1 Hz from one process: CPU share and timing error, against a real Mosquitto.

Run: ``python -m bench.ward.devices [--beds 500] [--seconds 60]``. Beside it, in the same run, the peer: a
plain paho script that publishes as many constant payloads a second with its own network thread. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

from simulators.pace import run_ward
from simulators.plan import build_ward, plan_ward
from simulators.publisher import Broker, Publisher, Tally

SETTINGS = "allow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\nlistener {port} 127.0.0.1\n"


def broker_on(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start a Mosquitto and wait until it listens."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/sbin")
    if program is None:
        sys.exit("bench.ward: mosquitto is missing; install the system package mosquitto")
    (folder / "mosquitto.conf").write_text(SETTINGS.format(port=port))
    running = subprocess.Popen(
        [program, "-c", str(folder / "mosquitto.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return running
    running.kill()
    sys.exit("bench.ward: mosquitto did not start")


def ours(port: int, beds: int, seconds: float, *, each_its_own: bool) -> dict[str, Any]:
    """Run a ward; measure from the moment of going live."""
    plans = plan_ward(beds, 7)
    names = [device["device_id"] for plan in plans for device in plan.record()["devices"]]
    publisher = Publisher(
        Broker(f"mqtt://127.0.0.1:{port}"), "bench", "bench", names, each_its_own=each_its_own
    )
    publisher.connect(30.0)
    ward = build_ward(plans, 7, datetime.now(UTC), site="bench")
    began = time.process_time()
    ward.go_live(lambda: datetime.now(UTC))
    prepared = time.process_time() - began
    # The first turn sends the birth messages of all devices; timing counts after it.
    run_ward(ward, publisher, for_s=3.0)
    publisher.tally.late_ms.clear()
    sent, cpu, wall = publisher.tally.sent, time.process_time(), time.monotonic()
    run_ward(ward, publisher, for_s=seconds)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    tally: Tally = publisher.tally
    result = {
        "messages_per_s": round((tally.sent - sent) / wall, 1),
        "cpu_share": round(cpu / wall, 3),
        "late_p50_ms": round(tally.late_at(0.5), 2),
        "late_p99_ms": round(tally.late_at(0.99), 2),
        "confirmed_all": publisher.drain(10.0),
        "preparing_cpu_s": round(prepared, 1),
        "connections": 1 + (len(names) if each_its_own else 0),
    }
    publisher.close()
    return result


def peer(port: int, rate: int, seconds: float) -> dict[str, Any]:
    """Publish constant payloads at the same rate with paho's own thread."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="peer", protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(2000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    payload = json.dumps({"values": {"spo2": 98, "pulse_rate": 71}, "mode": "drill"})
    late, cpu, began = [], time.process_time(), time.monotonic()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        late.append((time.monotonic() - due) * 1000.0)
        client.publish(f"afterwatch/v1/bench/devices/peer-{number % 500}/report", payload, qos=1)
    wall = time.monotonic() - began
    share = (time.process_time() - cpu) / wall
    client.disconnect()
    client.loop_stop()
    late.sort()
    return {
        "messages_per_s": round(rate * seconds / wall, 1),
        "cpu_share": round(share, 3),
        "late_p99_ms": round(late[int(0.99 * len(late))], 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ward.devices", description=__doc__)
    parser.add_argument("--beds", type=int, default=500, help="each with an oximeter at 1 Hz and a cuff")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--client-per-device", action="store_true")
    chosen = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        broker = broker_on(port, Path(folder))
        try:
            found = ours(port, chosen.beds, chosen.seconds, each_its_own=chosen.client_per_device)
            other = peer(port, chosen.beds, min(chosen.seconds, 20.0))
        finally:
            broker.terminate()
            broker.wait(10)
    good = found["cpu_share"] <= 0.5 and found["late_p99_ms"] <= 50.0 and found["confirmed_all"]
    ratio = round(found["cpu_share"] / other["cpu_share"], 2) if other["cpu_share"] else None
    print(json.dumps({"ward": found, "paho": other, "cpu_ratio": ratio, "good": good}, indent=2))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
