"""Whatever is asked of the HTTP interface, by whom: it answers as its own description says, and goes on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.app.test_running_site import Ear, begin_session, rows
from tests.conftest import LOOPBACK, PASSWORD, Mosquitto, Running, missing

EXAMPLES = int(os.environ.get("AFTERWATCH_FUZZ_EXAMPLES", "30"))  # of each operation, for each role
ROLES = {"nina": "nurse", "carla": "clinician", "otto": "operator", "ada": "admin"}
SECRET = "hush-0123456789abcdef"  # in the address of a target
# Signing out ends what the run needs; people and their own passwords are the role matrix's (tests/web).
LEFT_OUT = r"/(sign-in|sign-out|me/password|admin/users.*)$"
CHECKS = (
    "not_a_server_error,content_type_conformance,response_schema_conformance,response_headers_conformance"
)


@pytest.fixture
def schemathesis() -> str:
    """Give the program that makes requests from a description."""
    beside = Path(sys.executable).with_name("schemathesis")
    found = str(beside) if beside.exists() else shutil.which("schemathesis")
    if found is None:
        missing("schemathesis", "install the extra `dev` (make prove does)")
    return str(found)


@pytest.fixture
def site(mosquitto: Callable[..., Mosquitto], running: Callable[..., Running]) -> tuple[Running, Mosquitto]:
    """Give a monitor with people of every role, a session, and secrets that must not come out."""
    broker = mosquitto()
    target = f'[[notify.targets]]\nid = "desk"\nurl = "json://{LOOPBACK}:9/{SECRET}"\n'
    monitor = running(broker.port, 2, target + '[[notify.routes]]\ntargets = ["desk"]\n')
    monitor.people(**ROLES)
    monitor.start()
    begin_session(monitor).close()
    return monitor, broker


def seat(monitor: Running, name: str) -> list[str]:
    """Sign somebody in; return the headers of a browser that is."""
    with httpx.Client(base_url=monitor.address, timeout=60, headers={"Origin": monitor.address}) as http:
        assert http.post("/api/v1/sign-in", json={"name": name, "password": PASSWORD}).status_code == 200
        found = re.search(r'name="csrf" content="([^"]+)"', http.get("/").text)
        assert found
        cookie = "; ".join(f"{key}={value}" for key, value in http.cookies.items())
    return [f"Cookie: {cookie}", f"X-CSRF-Token: {found.group(1)}", f"Origin: {monitor.address}"]


@pytest.mark.prove
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", [*ROLES, ""])
def test_the_api_keeps_to_its_description_whatever_is_asked(
    site: tuple[Running, Mosquitto], schemathesis: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 9.9, V16.5.3: no server error, no answer of another shape; no secret and no patient comes out."""
    monitor, broker = site
    ear = Ear(broker.port)
    headers = [one for header in (seat(monitor, name) if name else []) for one in ("--header", header)]
    command = [
        *(schemathesis, "run", f"{monitor.address}/api/v1/openapi.json", "--checks", CHECKS),
        *("--max-examples", str(EXAMPLES), "--seed", "1", "--phases", "examples,coverage,fuzzing"),
        *("--exclude-path-regex", LEFT_OUT, "--request-timeout", "60", "--suppress-health-check", "all"),
        *("--continue-on-failure", "--no-color", *headers),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=monitor.folder, errors="replace"
    )
    with capsys.disabled():
        print(f"\n{name or 'nobody'}: {done.stdout[-1200:]}")
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    assert httpx.get(f"{monitor.address}/healthz", timeout=60).status_code == 200
    said = monitor.log.read_text(errors="replace")
    said += httpx.get(f"{monitor.address}/metrics", timeout=60).text
    said += "".join(str(one) for one in ear.heard)
    ear.end()
    for what in (SECRET, PASSWORD, "K-0042"):
        assert what not in said, f"{what} came out"
    assert "Traceback" not in monitor.log.read_text(errors="replace")
    assert rows(monitor, "SELECT body FROM outcome WHERE body LIKE '%monitor-fault%'") == []
