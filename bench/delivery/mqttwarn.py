"""mqttwarn beside us: another program that hears the same alarm on the same broker and posts it to the web.

It is no dependency of ours. It is installed once into an environment of its own in the folder for temporary
files, in the version that is named here, and runs with its own defaults (one worker) but for the time after
which it gives up a request, which is ours.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho

VERSION = "0.36.1"  # of 2026-07
READY = "clients/mqttwarn"  # where it says so once it follows
READY_WITHIN_S = 60.0
FILTER = "import json\n\n\ndef later(topic, message):\n    return json.loads(message)['phase'] != 'start'\n"


def install() -> Path | None:
    """Return the program, installed if need be; `None` when it cannot be had."""
    home = Path(tempfile.gettempdir()) / f"bench-mqttwarn-{VERSION}-python{sys.version_info.minor}"
    program, done = home / "bin" / "mqttwarn", home / "installed"
    if not done.exists():
        venv.create(home, with_pip=True, clear=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, f"mqttwarn=={VERSION}"], check=False).returncode:
            return None
        done.touch()
    return program


@contextmanager
def following(
    program: Path, folder: Path, port: int, topic: str, addresses: Mapping[str, str], deadline_s: float
) -> Iterator[None]:
    """Let it follow a topic and post each `start` to every address, in their order."""
    folder.mkdir()
    (folder / "udf.py").write_text(FILTER)
    targets = ",\n".join(f" '{name}': ['post', '{url}', None, None, True]" for name, url in addresses.items())
    (folder / "mqttwarn.ini").write_text(
        f"[defaults]\nhostname = '127.0.0.1'\nport = {port}\nclientid = 'mqttwarn'\nprotocol = 4\n"
        f"lwt = '{READY}'\n"
        f"logfile = 'stream://sys.stderr'\nloglevel = INFO\nfunctions = 'udf.py'\nlaunch = http_urllib\n"
        f"[config:http_urllib]\ntimeout = {deadline_s:g}\ntargets = {{\n{targets}\n }}\n"
        f"[{topic}]\nfilter = later()\n"
        f"targets = {', '.join(f'http_urllib:{name}' for name in addresses)}\n"
    )
    log = folder / "log"
    with log.open("wb") as output:
        command = [str(program), "--config-file", str(folder / "mqttwarn.ini")]
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
    try:
        if not follows(port):
            raise SystemExit(f"mqttwarn did not start:\n{log.read_text(errors='replace')[-2000:]}")
        yield
    finally:
        process.kill()
        process.wait()


def follows(port: int) -> bool:
    """Wait until it says on the broker that it has subscribed; say whether it did in time."""
    said = threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_connect = lambda one, *_: one.subscribe(READY)
    client.on_message = lambda *_: said.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    found = said.wait(READY_WITHIN_S)
    client.disconnect()
    client.loop_stop()
    return found
