"""Node-RED and mqttwarn as subscribers of the same broker: what a clinic would take from the shelf.

The law: each is installed once, in the version named here, into the folder for temporary files, and runs with
its own defaults. Node-RED reads the JSON and compares with a limit in a function node; mqttwarn appends each
message to a file. Neither keeps a reading durably before it confirms, which we do: they are asked for less.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.delivery import mqttwarn
from bench.ingest import load
from bench.ingest.site import cpu_s
from tests.conftest import LOOPBACK, find_free_port

NODE_RED = "4.1.15"  # of 2026-11
READY, DONE = "bench/ready/", "bench/done"
WITHIN_S = 180.0
JUDGE = """
const values = msg.payload.values;
const low = values.spo2 < 90;
let left = context.get("left");
if (left === undefined) left = COUNT;
context.set("left", left - 1);
if (left === 1) return { topic: "bench/done", payload: low ? "low" : "well" };
return low ? { topic: "bench/alarm", payload: values.spo2 } : null;
"""


class Used(NamedTuple):
    """When the last message was through (monotonic seconds) and the CPU time of all, in seconds."""

    ended: float
    cpu_s: float


Work = Callable[[], Used]  # waits until everything is through


def install_node_red() -> Path | None:
    """Return the program, installed if need be; `None` when it cannot be had."""
    npm = shutil.which("npm")
    home = Path(tempfile.gettempdir()) / f"bench-node-red-{NODE_RED}"
    program, done = home / "node_modules" / ".bin" / "node-red", home / "installed"
    if not done.exists():
        if npm is None:
            return None
        home.mkdir(exist_ok=True)
        command = [npm, "install", "--prefix", str(home), "--no-audit", "--no-fund", "--loglevel=error"]
        if subprocess.run([*command, f"node-red@{NODE_RED}"], check=False, stdout=sys.stderr).returncode:
            return None
        done.touch()
    return program


@contextmanager
def node_red(program: Path, folder: Path, port: int, count: int) -> Iterator[Work]:
    """Let Node-RED judge so many messages."""
    folder.mkdir()
    ready = READY + folder.name  # of this run: what an earlier one said is retained
    flow = [
        {"id": "tab", "type": "tab", "label": "bench"},
        {"id": "mqtt", "type": "mqtt-broker", "broker": LOOPBACK, "port": str(port), "clientid": "node-red",
         "protocolVersion": "4", "keepalive": "60", "cleansession": True,
         "birthTopic": ready, "birthPayload": "yes", "birthRetain": "true"},
        {"id": "in", "type": "mqtt in", "z": "tab", "topic": f"{load.ELSEWHERE}/devices/+/report", "qos": "1",
         "datatype": "json", "broker": "mqtt", "wires": [["judge"]]},
        {"id": "judge", "type": "function", "z": "tab", "func": JUDGE.replace("COUNT", str(count)),
         "outputs": 1, "wires": [["out"]]},
        {"id": "out", "type": "mqtt out", "z": "tab", "qos": "1", "broker": "mqtt", "wires": []},
    ]  # fmt: skip
    (folder / "flows.json").write_text(json.dumps(flow))
    (folder / "settings.js").write_text(
        "module.exports = {flowFile: 'flows.json', disableEditor: true, logging: {console: {level: 'warn'}}};"
    )
    line = load.connect(port, "bench-watch", ready, DONE)
    line.settimeout(WITHIN_S)
    command = [str(program), "--userDir", str(folder), "--port", str(find_free_port())]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "NODE_ENV": "production"}
        )
    try:
        _hear(line, ready)
        time.sleep(1.0)  # it subscribes after it said so
        used = cpu_s(process.pid)

        def work() -> Used:
            _hear(line, DONE)
            return Used(time.monotonic(), cpu_s(process.pid) - used)

        yield work
    finally:
        process.kill()
        process.wait()
        line.close()


def _hear(line: load.socket.socket, topic: str) -> None:
    heard = b""
    while topic.encode() not in heard:
        fresh = line.recv(4096)
        if not fresh:
            raise SystemExit("the broker closed the connection of the bench")
        heard += fresh


@contextmanager
def mqttwarn_to_file(program: Path, folder: Path, port: int, count: int) -> Iterator[Work]:
    """Let mqttwarn append so many messages to a file."""
    folder.mkdir()
    kept = folder / "readings"
    (folder / "mqttwarn.ini").write_text(
        f"[defaults]\nhostname = '{LOOPBACK}'\nport = {port}\nclientid = 'mqttwarn'\nprotocol = 4\n"
        f"lwt = '{mqttwarn.READY}'\nlogfile = 'stream://sys.stderr'\nloglevel = ERROR\nlaunch = file\n"
        f"[config:file]\nappend_newline = True\ntargets = {{ 'kept': ['{kept}'] }}\n"
        f"[{load.ELSEWHERE}/devices/+/report]\ntargets = file:kept\nqos = 1\n"
    )
    with (folder / "log").open("wb") as log:
        command = [str(program), "--config-file", str(folder / "mqttwarn.ini")]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        if not mqttwarn.follows(port):
            raise SystemExit(
                f"mqttwarn did not start:\n{(folder / 'log').read_text(errors='replace')[-2000:]}"
            )
        used = cpu_s(process.pid)

        def work() -> Used:
            deadline = time.monotonic() + WITHIN_S
            while not kept.exists() or kept.read_bytes().count(b"\n") < count:
                if time.monotonic() > deadline:
                    raise SystemExit("mqttwarn did not come to an end")
                time.sleep(0.02)
            return Used(time.monotonic(), cpu_s(process.pid) - used)

        yield work
    finally:
        process.kill()
        process.wait()
