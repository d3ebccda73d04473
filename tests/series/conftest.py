"""Real time series stores on loopback: VictoriaMetrics and InfluxDB 1.6 of Debian, a 2.x where one is named.

The law: InfluxDB 1.6 has no v2 write; a passage in front of it changes that one address and, when a test
asks, behaves as networks do: refuses, or loses the answer of what was stored.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson
import pytest

from monitor.config import Series
from monitor.core.vitals import METRICS
from monitor.series.influx import Influx
from tests.conftest import LOOPBACK, find_free_port, program

Value = tuple[str, str, int, float]  # metric, device, milliseconds, value


def call(address: str, body: bytes | None = None, **more: str) -> bytes:
    """Ask a store over HTTP."""
    with urllib.request.urlopen(urllib.request.Request(address, body, more), timeout=20) as reply:
        return bytes(reply.read())


def await_answer(process: subprocess.Popen[bytes], address: str) -> None:
    """Wait until a store answers."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            call(address)
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{address} does not answer")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a store that we started."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="session")
def _victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One VictoriaMetrics for each worker."""
    executable = program("victoria-metrics", "victoria-metrics")
    address = f"{LOOPBACK}:{find_free_port()}"
    folder = tmp_path_factory.mktemp("victoria")
    # Two samples of one series in one millisecond are one: what makes writing twice be writing once here.
    settings = ("-dedup.minScrapeInterval=1ms", "-retentionPeriod=100y", f"-storageDataPath={folder}")
    process = subprocess.Popen(
        [executable, f"-httpListenAddr={address}", *settings], stderr=subprocess.DEVNULL, cwd=folder
    )
    try:
        await_answer(process, f"http://{address}/health")
        yield f"http://{address}"
    finally:
        end(process)


@pytest.fixture(scope="session")
def influx_1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of one InfluxDB 1.6 for each worker."""
    executable = program("influxd", "influxdb")
    folder = tmp_path_factory.mktemp("influx")
    port, other = find_free_port(), find_free_port()
    (folder / "influx.conf").write_text(
        f'reporting-disabled = true\nbind-address = "{LOOPBACK}:{other}"\n'
        f'[meta]\ndir = "{folder}/meta"\n[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\n'
        f'[http]\nbind-address = "{LOOPBACK}:{port}"\nlog-enabled = false\n'
        "[monitor]\nstore-enabled = false\n[continuous_queries]\nenabled = false\n"
    )
    process = subprocess.Popen(
        [executable, "run", "-config", str(folder / "influx.conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await_answer(process, f"http://{LOOPBACK}:{port}/ping")
        yield f"http://{LOOPBACK}:{port}"
    finally:
        end(process)


class Passage:
    """A way to a store that can be bad.

    Attributes:
        moods: what the next writes meet: `pass`, `busy` (503), `lost` (stored, but nobody hears of it),
            `cut` (neither); when none is left, `pass`.
        seen: how often what was asked.
    """

    def __init__(self, store: str, write: str) -> None:
        """Listen; `write` is the path to which v2 writes go."""
        self.moods: list[str] = []
        self.always = "pass"
        self.seen: Counter[str] = Counter()
        passage = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                passage.seen[self.path.partition("?")[0]] += 1
                if self.path == "/health":
                    self._answer(200, b'{"name":"influxdb","status":"pass"}')
                else:
                    self._answer(200, call(store + self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                passage.seen["write"] += 1
                mood = passage.moods.pop(0) if passage.moods else passage.always
                if mood == "busy":
                    self._answer(503, b"{}", ("Retry-After", "0"))
                    return
                code, said = (204, b"") if mood == "cut" else self._forward(body)
                if mood in ("cut", "lost"):
                    self.close_connection = True
                    self.connection.close()
                    return
                self._answer(code, said)

            def _forward(self, body: bytes) -> tuple[int, bytes]:
                asked = {key: one[0] for key, one in parse_qs(urlsplit(self.path).query).items()}
                address = (
                    f"{store}{write}?{urlencode({'db': asked['bucket'], 'precision': asked['precision']})}"
                )
                encoding = self.headers.get("content-encoding") or "identity"
                try:
                    return 204, call(address, body, **{"Content-Encoding": encoding})
                except urllib.error.HTTPError as refused:
                    return refused.code, refused.read()

            def _answer(self, code: int, body: bytes, *headers: tuple[str, str]) -> None:
                self.send_response(code)
                for name, text in (*headers, ("Content-Length", str(len(body)))):
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Door)
        self._server.daemon_threads = True
        self.address = f"http://{LOOPBACK}:{self._server.server_port}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Store:
    """A store under test: how to write to it, and what it holds of a site, asked without our reading code."""

    def __init__(self, settings: Series, read: Callable[[str], list[Value]], passage: Passage | None) -> None:
        """Keep what a test needs."""
        self.settings, self.values, self._passage = settings, read, passage

    @property
    def passage(self) -> Passage:
        """The way to it, where it leads through a passage."""
        assert self._passage is not None
        return self._passage


def _values_of_victoria(address: str, site: str) -> list[Value]:
    call(f"{address}/internal/force_flush")
    query = urlencode({"match[]": f'{{site="{site}",device!=""}}'})
    found = []
    for line in call(f"{address}/api/v1/export?{query}").splitlines():
        series = orjson.loads(line)
        metric = series["metric"]["__name__"].removeprefix("vitals_")
        if metric in METRICS:
            for at, value in zip(series["timestamps"], series["values"], strict=True):
                found.append((metric, series["metric"]["device"], at, float(value)))
    return sorted(found)


def _values_of_influx(settings: Series, site: str) -> list[Value]:
    influx, found = Influx(settings), []
    for metric in METRICS:
        query = f"SELECT \"{metric}\" FROM vitals WHERE site = '{site}' GROUP BY device"
        for series in influx.query(query):
            for at, value in series["values"]:
                found.append((metric, series["tags"]["device"], at // 1000, float(value)))
    influx.close()
    return sorted(found)


STORES = ("victoria-metrics", "influxdb-1.6", "influxdb-2")


@pytest.fixture
def influx_store(influx_1: str) -> Iterator[Store]:
    """Give a database of its own in InfluxDB 1.6, behind a passage."""
    bucket = f"b{secrets.token_hex(4)}"
    call(f"{influx_1}/query", urlencode({"q": f"CREATE DATABASE {bucket}"}).encode())
    passage = Passage(influx_1, "/write")
    settings = Series(url=passage.address, bucket=bucket)
    yield Store(settings, lambda site: _values_of_influx(settings, site), passage)
    passage.close()
    call(f"{influx_1}/query", urlencode({"q": f"DROP DATABASE {bucket}"}).encode())


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Store:
    """Give each store that a mirror may have."""
    if request.param == "influxdb-1.6":
        return request.getfixturevalue("influx_store")  # type: ignore[no-any-return]
    if request.param == "victoria-metrics":
        address = request.getfixturevalue("_victoria")
        return Store(Series(url=address), lambda site: _values_of_victoria(address, site), None)
    return _influx_2()


def _influx_2() -> Store:
    keys = {
        name: os.environ.get(f"AFTERWATCH_TEST_INFLUXDB_{name}") for name in ("URL", "TOKEN", "ORG", "BUCKET")
    }
    if not all(keys.values()):
        # No package brings a 2.x server: whoever has one names it, and CI has none.
        pytest.skip("set AFTERWATCH_TEST_INFLUXDB_URL, _TOKEN, _ORG and _BUCKET to a real InfluxDB 2.x")
    settings = Series(
        url=str(keys["URL"]),
        org=str(keys["ORG"]),
        bucket=str(keys["BUCKET"]),
        token_env="AFTERWATCH_TEST_INFLUXDB_TOKEN",
    )
    return Store(settings, lambda site: _values_of_influx(settings, site), None)


@pytest.fixture
def site() -> str:
    """Give a site's id that no other test has: a store is shared by many sites."""
    return f"site-{secrets.token_hex(4)}"
