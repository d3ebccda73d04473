"""The monitor without its pages, as a process that may be killed: `python -m tests.crash.process FOLDER`."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from monitor import config
from monitor.app.loop import Monitor
from monitor.clock import SystemClock


def main(folder: Path) -> int:
    """Run until told to stop; 0 when everything became durable."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    monitor = Monitor(config.load(folder), SystemClock(), f"b{threading.get_native_id()}")
    monitor.start()
    while not monitor.link.connected and not over.wait(0.01):
        pass
    print("ready", flush=True)
    over.wait()
    return 0 if monitor.stop() else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
