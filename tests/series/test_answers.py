"""What time series stores may answer: each is told, none stops the mirror for ever, no point is lost unsaid.

The law: a made-up store gives the answers of InfluxDB 1.x, 2.x, 3.x and Cloud, as their documentation and
reports show them; no package brings a server of 2.x or 3.x.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from monitor.config import Series
from monitor.series.cursor import read_cursor
from monitor.series.influx import Influx, Unreachable
from monitor.series.mirror import Mirror
from tests.conftest import LOOPBACK, wait_for
from tests.series.test_mirror import fill

SITE, READINGS = "s", 30


class Answer(NamedTuple):
    """What a store says to a write."""

    code: int
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    kept: Callable[[str], bool] = lambda _line: False  # which lines it has all the same


GOOD = Answer(204, kept=lambda _line: True)


class Oracle:
    """A store that answers by a rule; it has what it said it has."""

    def __init__(self) -> None:
        """Listen on loopback."""
        self.rule: Callable[[list[str]], Answer] = lambda _lines: GOOD
        self.lines: set[str] = set()
        self.asked: list[dict[str, Any]] = []
        self.reply: tuple[int, bytes] = (200, b'{"results":[{"statement_id":0}]}')
        self.wait = threading.Event()
        self.wait.set()
        oracle = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._say(*oracle.reply)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                lines = body.decode().split("\n")
                oracle.asked.append({"path": self.path, "headers": dict(self.headers), "lines": lines})
                oracle.wait.wait(20)
                answer = oracle.rule(lines)
                oracle.lines |= {line for line in lines if answer.kept(line)}
                self._say(answer.code, answer.body.encode(), *answer.headers)

            def _say(self, code: int, body: bytes, *headers: tuple[str, str]) -> None:
                self.send_response(code)
                for name, text in (*headers, ("Content-Length", str(len(body)))):
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Door)
        self._server.daemon_threads = True
        self.settings = Series(url=f"http://{LOOPBACK}:{self._server.server_port}", timeout_s=5.0)
        serve = {"poll_interval": 0.05}
        threading.Thread(target=self._server.serve_forever, kwargs=serve, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self.wait.set()
        self._server.shutdown()
        self._server.server_close()

    def vitals(self) -> set[str]:
        """Return what it has of readings."""
        return {line for line in self.lines if line.startswith("vitals")}


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    """Give a store that answers by a rule."""
    made = Oracle()
    yield made
    made.close()


@pytest.fixture
def all_lines(tmp_path: Path) -> set[str]:
    """Fill a journal; return every line that a store should have of it."""
    fill(tmp_path, range(READINGS))
    store = Oracle()
    mirror = Mirror(tmp_path, store.settings, SITE)
    while mirror.step():
        pass
    mirror.stop()
    store.close()
    (tmp_path / "mirror.json").unlink()
    assert len(store.vitals()) >= READINGS
    return store.vitals()


def caught_up(folder: Path, oracle: Oracle) -> Mirror:
    """Mirror until nothing waits."""
    mirror = Mirror(folder, oracle.settings, SITE)
    while mirror.step():
        pass
    mirror.stop()
    return mirror


# --- a store that takes nothing now -------------------------------------------------------------------------

NOT_NOW = {
    "a wrong token": (Answer(401, '{"code":"unauthorized","message":"unauthorized access"}'), "401", 0.0),
    "no right to the bucket": (Answer(403, '{"code":"forbidden"}'), "403", 0.0),
    "no such bucket": (Answer(404, '{"code":"not found","message":"bucket \\"x\\" not found"}'), "404", 0.0),
    "a quota": (Answer(429, '{"code":"too many requests"}', (("Retry-After", "7"),)), "429", 7.0),
    "a quota without end": (Answer(429, "{}", (("Retry-After", "86400"),)), "429", 600.0),
    "a fault of its own": (Answer(500, '{"code":"internal error"}'), "500", 0.0),
    "overload": (Answer(503, "{}", (("Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"),)), "503", 0.0),
    "a proxy": (Answer(502, "<html>Bad Gateway</html>"), "502", 0.0),
    # 400 and about retention, but nothing was taken: not to be believed.
    "a lost policy": (Answer(400, '{"error":"retention policy not found: autogen"}'), "400", 0.0),
}


@pytest.mark.parametrize("why", NOT_NOW)
def test_p_54_a_store_that_takes_nothing_is_told_asked_again_and_loses_nothing(
    tmp_path: Path, oracle: Oracle, all_lines: set[str], why: str
) -> None:
    """P-54: whatever concerns the store itself is a reason in words; the cursor stays."""
    answer, said, later_s = NOT_NOW[why]
    oracle.rule = lambda _lines: answer
    mirror = Mirror(tmp_path, oracle.settings, SITE)
    with pytest.raises(Unreachable, match=said) as met:
        mirror.step()
    assert met.value.retry_after_s == later_s
    assert len(oracle.asked) == 1, "no hidden second try: whether to try again is decided in one place"
    oracle.rule = lambda lines: GOOD if lines[0].startswith("mirror") else answer
    with pytest.raises(Unreachable, match=said) as met:
        mirror.step()
    assert met.value.retry_after_s == later_s
    assert read_cursor(tmp_path).reading == 0
    assert not oracle.vitals()
    oracle.rule = lambda _lines: GOOD
    assert mirror.step() in (True, False)
    mirror.stop()
    assert oracle.vitals() == all_lines


def test_p_54_a_store_that_does_not_answer_is_told(
    tmp_path: Path, oracle: Oracle, all_lines: set[str]
) -> None:
    """P-54: taken and never answered is not taken; later it is there once."""
    oracle.wait.clear()
    hurried = oracle.settings.model_copy(update={"timeout_s": 1.0})
    mirror = Mirror(tmp_path, hurried, SITE)
    with pytest.raises(Unreachable, match=r"(?i)timed out"):
        mirror.step()
    mirror.stop()
    oracle.wait.set()
    caught_up(tmp_path, oracle)
    assert oracle.vitals() == all_lines


def test_p_54_a_store_is_not_pressed_before_the_time_it_names(tmp_path: Path, oracle: Oracle) -> None:
    """P-54: 429 with Retry-After is waited for, also when our own back-off would come sooner."""
    fill(tmp_path, range(3))
    oracle.rule = lambda lines: GOOD if lines[0].startswith("mirror") else NOT_NOW["a quota"][0]
    waits: list[float] = []

    class Ended(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            if len(waits) == 3:
                self.set()
            return self.is_set()

    mirror = Mirror(tmp_path, oracle.settings, SITE)
    mirror._ended = Ended()
    mirror.start()
    wait_for(lambda: len(waits) == 3)
    mirror.stop()
    assert min(waits) >= 7.0


# --- a store that takes not all -----------------------------------------------------------------------------


def by_time(lines: set[str]) -> list[str]:
    """Return lines in the order of their instants."""
    return sorted(lines, key=lambda line: (int(line.rsplit(" ", 1)[1]), line))


BAD_LINE = {
    # all or nothing: 1.x, 2.x on what it cannot parse; Cloud
    "400 of 2.x": (Answer(400, '{"code":"invalid","message":"unable to parse"}'), False),
    "413": (Answer(413, '{"code":"request too large"}'), False),
    # the rest was taken
    "422 of 2.x": (
        Answer(
            422, '{"code":"unprocessable entity","message":"partial write: field type conflict dropped=1"}'
        ),
        True,
    ),
    "400 of 3.x": (
        Answer(
            400,
            '{"error":"partial write of line protocol occurred","data":[{"original_line":"vitals,s",'
            '"line_number":8,"error_message":"invalid column type for column \'spo2\'"}]}',
        ),
        True,
    ),
    "500 of 2.0": (
        Answer(500, '{"code":"internal error","message":"partial write: field type conflict dropped=1"}'),
        True,
    ),
}


@pytest.mark.parametrize("how", BAD_LINE)
def test_p_54_one_bad_point_costs_itself_whatever_the_store_calls_it(
    tmp_path: Path, oracle: Oracle, all_lines: set[str], how: str
) -> None:
    """P-54: one point that is refused for good is named, counted and left behind; every other is there."""
    bad = {by_time(all_lines)[7]}
    answer, partly = BAD_LINE[how]
    refusing = answer._replace(kept=lambda line: partly and line not in bad)
    oracle.rule = lambda lines: refusing if bad & {*lines} else GOOD
    mirror = caught_up(tmp_path, oracle)
    assert mirror.refused == 1
    assert str(answer.code) in mirror.refusal
    assert oracle.vitals() == all_lines - bad
    assert read_cursor(tmp_path).reading == READINGS


@pytest.mark.parametrize("most", [400, 2000])
def test_p_54_a_body_that_is_too_large_goes_in_pieces(
    tmp_path: Path, oracle: Oracle, all_lines: set[str], most: int
) -> None:
    """P-54: 413 is of the batch, not of its points."""
    too_large = Answer(
        413, '{"code":"request too large","message":"cannot read data: points batch is too large"}'
    )
    oracle.rule = lambda lines: too_large if sum(map(len, lines)) > most else GOOD
    mirror = caught_up(tmp_path, oracle)
    assert mirror.refused == 0
    assert oracle.vitals() == all_lines


OLD = {
    "1.x": Answer(400, '{"error":"partial write: points beyond retention policy dropped=4"}'),
    "2.0": Answer(
        500,
        '{"code":"internal error","message":"unexpected error writing points to database: partial write: '
        'points beyond retention policy dropped=4"}',
    ),
    "2.x": Answer(
        422,
        '{"code":"unprocessable entity","message":"failure writing points to database: partial write: '
        'dropped 4 points outside retention policy of duration 8760h0m0s - oldest point vitals,bed=bed-1"}',
    ),
    "3.x": Answer(
        400,
        '{"error":"partial write of line protocol occurred","data":[{"error_message":"data in table '
        'vitals is outside of the retention period"}]}',
    ),
}


@pytest.mark.parametrize("version", OLD)
def test_p_54_what_is_too_old_for_the_store_does_not_hold_up_what_is_not(
    tmp_path: Path, oracle: Oracle, all_lines: set[str], version: str
) -> None:
    """P-54: points beyond the store's retention are told once a batch and never sent again one by one."""
    old = set(by_time(all_lines)[:4])
    answer = OLD[version]._replace(kept=lambda line: line not in old)
    oracle.rule = lambda lines: answer if old & {*lines} else GOOD
    mirror = caught_up(tmp_path, oracle)
    assert oracle.vitals() == all_lines - old
    assert "retention" in mirror.refusal
    assert len(oracle.asked) <= 4
    assert read_cursor(tmp_path).reading == READINGS


# --- what is sent, and what comes back ----------------------------------------------------------------------


@pytest.mark.parametrize("code", [200, 202, 204])
def test_every_way_of_saying_yes_is_one(
    tmp_path: Path, oracle: Oracle, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Issue 8: 1.x, VictoriaMetrics and 3.x answer 204, proxies and old versions 200; each is a write."""
    fill(tmp_path, range(5))
    monkeypatch.setenv("STORE_TOKEN", "a token")
    oracle.rule = lambda _lines: Answer(code, kept=lambda _line: True)
    oracle.settings = oracle.settings.model_copy(
        update={"token_env": "STORE_TOKEN", "org": "our clinic", "bucket": "after/watch"}
    )
    mirror = caught_up(tmp_path, oracle)
    assert (mirror.refused, read_cursor(tmp_path).reading) == (0, 5)
    for asked in oracle.asked:
        words = parse_qs(urlsplit(asked["path"]).query)
        assert urlsplit(asked["path"]).path == "/api/v2/write"
        assert words == {"org": ["our clinic"], "bucket": ["after/watch"], "precision": ["ns"]}
        assert asked["headers"]["Authorization"] == "Token a token"
        assert asked["headers"]["Content-Encoding"] == "gzip"


ODD_REPLIES = {
    "an error in words": (
        200,
        b'{"results":[{"statement_id":0,"error":"database not found: x"}]}',
        "not found",
    ),
    "no results": (200, b'{"results":[]}', "."),
    "a page of a proxy": (200, b"<html>sign in</html>", "."),
    "no right": (401, b'{"error":"authorization failed"}', "401"),
    "busy": (503, b"", "503"),
}


@pytest.mark.parametrize("what", ODD_REPLIES)
def test_a_question_that_is_not_answered_is_said_so(oracle: Oracle, what: str) -> None:
    """P-54: a chart never takes a refusal for an empty trace."""
    code, body, said = ODD_REPLIES[what]
    oracle.reply = (code, body)
    now = datetime.now(UTC)
    with pytest.raises(Unreachable, match=said):
        Influx(oracle.settings).traces(SITE, "bed-1", now, now)
    oracle.reply = (200, b'{"results":[{"statement_id":0}]}')
    assert Influx(oracle.settings).traces(SITE, "bed-1", now, now) == []
