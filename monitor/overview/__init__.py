"""The overview: many sites on one page, the worst first (``afterwatch overview``).

Law: it only listens, to what the sites' bridges bring to a central broker, and shows a copy. No alarm depends
on it: each site's own wall and messages stay what people act on. What it has not heard lately it says so.
"""

from __future__ import annotations

import argparse
import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from monitor.config import Broker
from monitor.overview.sites import TOPICS, Sites

HERE = Path(__file__).parent
MOST_ROWS = 200
PAGES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Overview:
    """Listens to a broker and serves the page, in threads of its own."""

    def __init__(self, broker: Broker, host: str, port: int) -> None:
        """Bind the port. Raises OSError when it is taken."""
        self._sites, self._lock = Sites(), threading.Lock()
        self._broker, self.reason, self.linked = broker, "not yet connected", False
        self._client = self._make()
        try:
            self._server = ThreadingHTTPServer((host, port), _answering(self.tell))
        except OSError as fault:
            raise OSError(f"{host}:{port}: {fault.strerror}; choose another --listen or --port") from fault
        self._server.daemon_threads = True
        self.address = f"http://{host}:{self._server.server_port}/"

    def start(self) -> None:
        """Begin to listen and to serve; a broker that is away is tried again."""
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=20)
        self._client.loop_start()
        threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True).start()

    def stop(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._client.disconnect()
        self._client.loop_stop()

    def tell(self) -> dict[str, Any]:
        """Return what the page shows: the link, how many sites there are, the worst of them."""
        with self._lock:
            rows = self._sites.rows(time.monotonic(), linked=self.linked)
            passed_over = self._sites.not_understood
        states: dict[str, int] = {}
        for row in rows:
            states[row["state"]] = states.get(row["state"], 0) + 1
        return {
            "linked": self.linked,
            "reason": self.reason,
            "sites": len(rows),
            "states": states,
            "high": sum(row["counts"]["high"] for row in rows),
            "not_understood": passed_over,
            "rows": rows[:MOST_ROWS],
        }

    # --- the link -----------------------------------------------------------------------------------

    def _make(self) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._broker.password())
        if self._broker.tls_ca:
            client.tls_set_context(ssl.create_default_context(cafile=self._broker.tls_ca))
        client.reconnect_delay_set(1, 30)
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_connect_fail = self._unreachable
        client.on_message = self._take
        return client

    def _connected(self, client: paho.Client, _userdata: Any, _flags: Any, reason: Any, _more: Any) -> None:
        if reason.is_failure:
            self.reason = f"the broker refuses us: {reason}; check name, password and its access list"
            return
        client.subscribe([(topic, 1) for topic in TOPICS])
        self.linked, self.reason = True, ""

    def _disconnected(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _more: Any) -> None:
        self.linked = False
        self.reason = self.reason or f"the connection to the central broker was lost: {reason}"

    def _unreachable(self, _client: Any, _userdata: Any) -> None:
        self.linked, self.reason = False, f"no broker at {self._broker.host}:{self._broker.port}"

    def _take(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        with self._lock:
            self._sites.take(topic, bytes(message.payload), message.retain, time.monotonic())


def _answering(tell: Callable[[], dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path in PAGES:
                name, kind = PAGES[path]
                self._say(200, kind, (HERE / name).read_bytes())
            elif path == "/overview.json":
                self._say(200, "application/json", json.dumps(tell()).encode())
            elif path == "/healthz":
                linked = tell()["linked"]
                self._say(200 if linked else 503, "application/json", json.dumps({"ok": linked}).encode())
            else:
                self._say(404, "text/plain", b"not found")

        def _say(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            for name, value in HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Answering


# --- the command --------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``afterwatch overview`` takes to its parser."""
    parser.add_argument("--broker", default="127.0.0.1", help="host of the central broker (%(default)s)")
    parser.add_argument("--broker-port", type=int, default=1883, help="(%(default)s; 8883 with --tls-ca)")
    parser.add_argument("--username", default="", help="a login that may read the sites' topics only")
    parser.add_argument("--password-file", default="", help="file that holds its password")
    parser.add_argument("--tls-ca", default="", help="authority of the broker's certificate (PEM)")
    parser.add_argument("--listen", default="127.0.0.1", help="address of the page (%(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="port of the page (%(default)s)")


def run(chosen: argparse.Namespace, wait: Callable[[], object]) -> None:
    """Listen and serve until ``wait`` returns.

    Raises:
        FileNotFoundError: a file that was named is not there.
        OSError: the page's port cannot be had.
    """
    for file in filter(None, (chosen.password_file, chosen.tls_ca)):
        if not Path(file).is_file():
            raise FileNotFoundError(f"{file}: there is no such file; correct --password-file or --tls-ca")
    broker = Broker(
        host=chosen.broker,
        port=chosen.broker_port,
        username=chosen.username,
        password_file=chosen.password_file,
        tls_ca=chosen.tls_ca,
    )
    overview = Overview(broker, chosen.listen, chosen.port)
    overview.start()
    print(f"overview: {overview.address}", flush=True)
    try:
        wait()
    finally:
        overview.stop()
