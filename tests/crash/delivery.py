"""Monitors that may be killed, one after the other: `python -m tests.crash.delivery FOLDER`.

One line of JSON on the standard input is one wish, one line of the standard output its answer. "start" forks
a process in which a whole monitor runs, without broker and pages, and does what the following lines say until
somebody kills it (its id is in the answer); then the next "start" is waited for. Forking spares every monitor
but the first the second that it takes to import everything.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import orjson

from monitor import config
from monitor.app.loop import STATION, Monitor
from monitor.app.messenger import Messenger
from monitor.clock import SystemClock
from monitor.core import inputs as given
from monitor.core.escalation import Ladder, Level

START = b'{"do":"start"}\n'
WAIT_S = 0.5  # of each level; what is asked of an installer is ten seconds and more
LADDER = Ladder({"high": (Level(("anna",), WAIT_S), Level(("ben",), WAIT_S))}, {}, ())


def hear() -> bytes:
    """Return the next wish; byte by byte, so that what is for the next process stays for it."""
    line = bytearray()
    while not line.endswith(b"\n"):
        one = os.read(0, 1)
        if not one:
            return b""
        line += one
    return bytes(line)


def say(**answer: Any) -> None:
    """Answer a wish."""
    os.write(1, orjson.dumps(answer) + b"\n")


def live(folder: Path) -> None:
    """Be a monitor that has just started, as `Site.start` makes it; do what is asked."""
    configuration = config.load(folder)
    monitor = Monitor(configuration, SystemClock(), f"b{os.getpid()}")
    messenger = Messenger(configuration, monitor.clock, monitor.settle)
    messenger.remember(monitor.station_bed())
    monitor.messenger = messenger
    monitor.start()
    monitor.submit(STATION, given.SetLadder(LADDER)).result(60)
    messenger.submit(monitor.left_due)
    say(pid=os.getpid(), open=[one.key for one in monitor.left_due])
    while line := hear():
        wish = orjson.loads(line)
        key = wish.get("key", "")
        alarm = monitor.station_bed().alarms.get(key)
        alarm_id = alarm.alarm_id if alarm else ""
        match wish["do"]:
            case "raise":
                one: Any = given.ReportCondition(key, "high", f"{key} is wrong")
            case "clear":
                one = given.ClearCondition(key)
            case "accept":
                one = given.Accept(alarm_id, wish["by"])
            case "reject":
                one = given.Reject(alarm_id, wish["by"])
            case _:
                own = alarm.ownership if alarm else None
                say(state=own and own.state, owner=own and own.owner, level=own and own.level)
                continue
        future = monitor.submit(STATION, one)
        if wish.get("wait", True):
            say(durable=future.result(60).durable)


def main(folder: Path) -> int:
    """Start monitors until nobody asks for one any more."""
    while line := hear():
        if line != START:
            continue  # of this the last one was still reading when it was killed
        if (child := os.fork()) == 0:
            live(folder)
            os._exit(0)
        os.waitpid(child, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
