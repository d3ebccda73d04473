"""Serial lines and serial servers: bytes become frames, frames become messages.

Law: a device without a clock gets the time at which it was heard, so that what waited in the spool never
passes as new. A lost line is opened again for as long as it takes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import serial

from monitor.bridge.courier import Courier
from monitor.bridge.mllp import receive
from monitor.formats.serial_frames import CUTTERS, cut_mllp

log = logging.getLogger("afterwatch.bridge")

RETRY_S = (0.5, 5.0)
READ_S = 0.5
PROTOCOLS = ("mllp", *CUTTERS)


def envelope(frame: bytes, now: datetime) -> bytes:
    """Return a frame of a device without a clock, with the time at which it was heard."""
    return json.dumps({"at": now.isoformat(), "frame": frame.hex()}).encode()


class Port(Protocol):
    """Bytes in and out."""

    def read(self) -> bytes:
        """Return what has come; empty when nothing came for half a second. Raises OSError when it is lost."""
        ...

    def write(self, content: bytes) -> None:
        """Send bytes."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class SerialPort:
    """A serial port of this machine."""

    def __init__(self, name: str, baud: int) -> None:
        """Open it. Raises OSError (pyserial's is one) when it is not there."""
        self._port = serial.Serial(name, baud, timeout=READ_S)

    def read(self) -> bytes:
        """Return what has come."""
        return bytes(self._port.read(1) + self._port.read(self._port.in_waiting))

    def write(self, content: bytes) -> None:
        """Send bytes."""
        self._port.write(content)

    def close(self) -> None:
        """Close it."""
        self._port.close()


class SocketPort:
    """A monitor or serial server that listens on TCP."""

    def __init__(self, address: tuple[str, int]) -> None:
        """Connect. Raises OSError when nobody listens."""
        self._socket = socket.create_connection(address, timeout=5.0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket.settimeout(READ_S)

    def read(self) -> bytes:
        """Return what has come."""
        try:
            content = self._socket.recv(65536)
        except TimeoutError:
            return b""
        if not content:
            raise ConnectionResetError("the other side closed the connection")
        return content

    def write(self, content: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(content)

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class Line:
    """One port, cut into frames, and opened again when it is lost."""

    def __init__(self, open_port: Callable[[], Port], protocol: str, courier: Courier) -> None:
        """Prepare; ``run`` reads."""
        self._open_port, self._protocol, self._courier = open_port, protocol, courier
        self._cut = cut_mllp if protocol == "mllp" else CUTTERS[protocol]
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let ``run`` return."""
        self._stopping.set()

    def run(self) -> None:
        """Read until told to stop."""
        wait_s = RETRY_S[0]
        while not self._stopping.is_set():
            try:
                with contextlib.closing(self._open_port()) as port:
                    log.info("the line is open")
                    wait_s = RETRY_S[0]
                    self._courier.say(True)
                    self._listen(port)
            except OSError as fault:
                self._courier.say(False)
                log.warning("the line is lost: %s; trying again in %.1f s", fault, wait_s)
                self._stopping.wait(wait_s)
                wait_s = min(wait_s * 2, RETRY_S[1])

    def _listen(self, port: Port) -> None:
        rest = b""
        while not self._stopping.is_set():
            content = port.read()
            if not content:
                continue
            cut = self._cut(rest + content)
            rest = cut.rest
            if cut.noise:
                log.debug("%d bytes belong to no frame", cut.noise)
            for frame in cut.frames:
                if self._protocol == "mllp":
                    port.write(receive(frame, self._courier.deliver).payload)
                else:
                    self._courier.hand_over(envelope(frame, datetime.now(UTC)))
