"""Real places for messages on loopback: HTTP in every mood, mail, and a socket that never answers.

Law: nothing here pretends to be apprise; what arrives is what a receiver would see.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller

WITHIN_S = 240.0  # a very busy machine; where a test's own limit is lower, that one counts


class Arrived(NamedTuple):
    """One request: when (monotonic seconds), its path, headers and JSON body; the place's mood then."""

    at: float
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    mood: str


class HttpPlace:
    """A web server that keeps what it is sent; ``mood`` chooses how it answers and may change.

    ``200`` and other numbers: that code. ``hang``: never answers. ``drip``: a byte now and then, for ever.
    ``hold``: takes the message, and answers 200 when it is told to (``let_go``).
    """

    def __init__(self, mood: str = "200") -> None:
        """Listen on a loopback port of its own."""
        self.mood = mood
        self.let_go = threading.Event()
        self.arrived: list[Arrived] = []
        self.came = threading.Condition()
        self.over = threading.Event()
        place = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers.get("content-length", 0)))
                body, mood = json.loads(text or b"{}"), place.mood
                place.keep(Arrived(time.monotonic(), self.path, dict(self.headers), body, mood))
                with contextlib.suppress(OSError):
                    place.answer(self, mood)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def keep(self, one: Arrived) -> None:
        """Remember a request."""
        with self.came:
            self.arrived.append(one)
            self.came.notify_all()

    def answer(self, request: BaseHTTPRequestHandler, mood: str) -> None:
        """Answer in the mood in which the request came."""
        if mood == "hang":
            self.over.wait()
            return
        if mood == "hold":
            self.let_go.wait()
        drips = mood == "drip"
        request.send_response(int(mood) if mood.isdigit() else 200)
        request.send_header("content-length", "1000000" if drips else "2")
        request.end_headers()
        request.wfile.write(b"{}")
        while drips and not self.over.wait(0.2):
            request.wfile.write(b" ")
            request.wfile.flush()

    def wait(self, count: int = 1, seconds: float = WITHIN_S) -> list[Arrived]:
        """Return what came once there are ``count``; fail when there are not in time."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.arrived) >= count, seconds), self.arrived
            return list(self.arrived)

    def close(self) -> None:
        """Let every request go and stop."""
        self.over.set()
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()


class MailPlace:
    """A mail server that keeps what it is sent."""

    def __init__(self, port: int) -> None:
        """Listen on ``port`` of loopback."""
        self.arrived: list[EmailMessage] = []
        self.came = threading.Condition()
        self.port = port
        self._controller = Controller(self, hostname="127.0.0.1", port=port, ready_timeout=WITHIN_S)
        self._controller.start()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a message."""
        with self.came:
            self.arrived.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
            self.came.notify_all()
        return "250 taken"

    def wait(self, count: int = 1, seconds: float = WITHIN_S) -> list[EmailMessage]:
        """Return the messages once there are ``count``."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.arrived) >= count, seconds), self.arrived
            return list(self.arrived)

    def close(self) -> None:
        """Stop."""
        self._controller.stop()


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """Give a port that accepts connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]
