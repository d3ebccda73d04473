"""What a browser finds at the follower of a pair: that it is not the wall, and how it follows.

Law: it never looks like a wall. It answers 503, so that whatever stands before both of them sends people to
the other one.
"""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from monitor.notify import DISCLAIMER

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="2">
<title>Afterwatch: standing by</title>
<body style="font:20px/1.5 system-ui,sans-serif;max-width:38em;margin:15vh auto;padding:0 1em">
<h1>Standing by</h1><p>This monitor shows nothing: the other one of the pair is active. Open the wall there.
This page becomes the wall by itself if the other falls silent.</p><p>{says}</p>
<p><small>{disclaimer}</small></p>
"""


class StandbyPage:
    """A small server on the port that the wall takes later."""

    def __init__(self, host: str, port: int, says: Callable[[], str]) -> None:
        """Bind the port; ``says`` tells in words how it follows. Raises OSError when the port is taken."""
        self._server = ThreadingHTTPServer((host, port), _answering(says))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2.0)


def _answering(says: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/healthz":
                kind, body = (
                    "application/json",
                    orjson.dumps({"ok": False, "role": "standby", "says": says()}),
                )
            else:
                page = _PAGE.format(says=html.escape(says()), disclaimer=DISCLAIMER)
                kind, body = "text/html; charset=utf-8", page.encode()
            self.send_response(503)
            for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))),
                                ("Cache-Control", "no-store"), ("Connection", "close")):  # fmt: skip
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Answering
