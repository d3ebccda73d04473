"""The web server in a thread of its own.

Law: a page, however slow, never holds up the loop; stopping is quick and closes every page.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import uvicorn

START_WITHIN_S = 15.0
STOP_WITHIN_S = 5.0
SEND_BUFFER = (
    256 * 1024
)  # for each page; the kernel's own megabytes would hide for minutes that one has stalled


class Server:
    """uvicorn on a socket that is bound before the thread starts, so that a taken port is an error here."""

    def __init__(self, application: Any, host: str = "127.0.0.1", port: int = 0) -> None:
        """Serve ``application`` on ``host``; port 0 takes a free one; read ``port`` then."""
        self._application = application
        self.host, self.port = host, port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Bind and serve; return when pages can be asked for. Raises OSError for a port that is taken."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        try:
            listener.bind((self.host, self.port))
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        settings = uvicorn.Config(
            self._application,
            ws="websockets-sansio",
            ws_per_message_deflate=False,  # on a clinic's own network the processor is dearer than the wire
            ws_max_size=4096,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=2,
            limit_concurrency=1000,
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="web", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_WITHIN_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not self._server.started:
            raise RuntimeError("the web server did not start; see its message above")

    @property
    def url(self) -> str:
        """Return where the pages are."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def stop(self) -> None:
        """Close every page and end the thread, within five seconds."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is None or thread is None:
            return
        server.should_exit = True
        thread.join(STOP_WITHIN_S)
        if thread.is_alive():
            server.force_exit = True
            thread.join(STOP_WITHIN_S)
