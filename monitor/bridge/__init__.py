"""The bridge: monitors that do not speak MQTT, brought to the broker (``afterwatch bridge``).

Law: what was heard is on disk before anything else happens to it, and leaves the disk only when the broker
has confirmed it.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from monitor.bridge.courier import Courier
from monitor.bridge.line import PROTOCOLS, Line, SerialPort, SocketPort
from monitor.bridge.mllp import MllpListener
from monitor.bridge.spool import Spool
from monitor.config import Broker

__all__ = [
    "Courier",
    "Line",
    "MllpListener",
    "SerialPort",
    "SocketPort",
    "Spool",
    "add_arguments",
    "run",
    "split_address",
]

log = logging.getLogger("afterwatch.bridge")


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
    parser.add_argument(
        "--presence", default="", metavar="TOPIC", help="topic for online and offline (retained)"
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
    courier = Courier(broker, chosen.topic, spool, chosen.presence)
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
    if chosen.mllp:
        with MllpListener(split_address(chosen.mllp), courier.deliver) as listener:
            courier.say(True)
            yield from _beside(listener.serve_forever, listener.shutdown)
        return
    open_port = (
        partial(SerialPort, chosen.serial, chosen.baud)
        if chosen.serial
        else partial(SocketPort, split_address(chosen.tcp))
    )
    line = Line(open_port, chosen.protocol, courier)
    yield from _beside(line.run, line.stop)


def _beside(work: Callable[[], None], stop: Callable[[], None]) -> Iterator[threading.Event]:
    thread = threading.Thread(target=work, name="source", daemon=True)
    thread.start()
    try:
        yield threading.Event()
    finally:
        stop()
        thread.join(5.0)
