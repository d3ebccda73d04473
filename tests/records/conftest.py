"""A FHIR server for tests: it does transactions as R4 says, and fails as it is told to."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

Answer = tuple[int, dict[str, str], bytes]


class Stub:
    """A FHIR server on loopback: it keeps resources by identity and answers as it is told to first."""

    def __init__(self) -> None:
        self.first: list[Callable[[], Answer]] = []
        self.kept: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.awake = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stub.bodies.append(body)
                stub.requests.append((self.path, dict(self.headers)))
                code, headers, answer = stub.first.pop(0)() if stub.first else stub.transact(body)
                self.send_response(code)
                for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                    self.send_header(name, value)
                with contextlib.suppress(OSError):  # the other side may have lost its patience
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """The server's base address."""
        return f"http://127.0.0.1:{self.port}/fhir"

    def drowse(self) -> Answer:
        """Answer only when it is woken, and then that it was busy."""
        self.awake.wait(60)
        return 503, {}, b""

    def transact(self, body: bytes) -> Answer:
        """Do a transaction as FHIR R4 says: PUT replaces by search, POST with ifNoneExist creates once."""
        found = json.loads(Bundle.model_validate_json(body).model_dump_json())
        entries = []
        for one in found["entry"]:
            request, kind = one["request"], one["resource"]["resourceType"]
            key = f"{kind}?{request['ifNoneExist']}" if request["method"] == "POST" else request["url"]
            status = "200 OK" if key in self.kept else "201 Created"
            if not (request["method"] == "POST" and key in self.kept):
                self.kept[key] = one["resource"]
            place = list(self.kept).index(key)
            entries.append({"response": {"status": status, "location": f"{kind}/{place}/_history/1"}})
        return (
            200,
            {},
            json.dumps({"resourceType": "Bundle", "type": "transaction-response", "entry": entries}).encode(),
        )


@pytest.fixture
def stub() -> Iterator[Stub]:
    """Give a stub server on a port of its own."""
    server = Stub()
    yield server
    server.server.shutdown()
    server.server.server_close()
