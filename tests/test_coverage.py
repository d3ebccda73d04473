"""The gates on coverage (R-16).

No branch of alarm core, journal and outboxes without a test of its own; of the rest, what all tests reach,
also in the processes that they start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

# The outboxes send messages (with `notify` all that they send, and by what) and records.
WHOLE = ("monitor/core/", "monitor/journal.py", "monitor/notify/", "monitor/records/outbox.py")
THEIR_TESTS = (
    "tests/core",
    "tests/test_journal.py",
    "tests/notify",
    "tests/app/test_messenger.py",
    "tests/records/test_outbox.py",
)


REST_AT_LEAST = 0.85


def measure(folder: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run tests with coverage of branches; return what became of them, and what is said of each file."""
    found = folder / "coverage.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", str(os.cpu_count()), "-p", "no:cacheprovider"),
            *("--cov-branch", f"--cov-report=json:{found}", *words),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "COVERAGE_FILE": str(folder / "coverage")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, json.loads(found.read_text())["files"]


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_r_16_every_branch_of_core_journal_and_outbox_is_taken_by_its_own_tests(tmp_path: Path) -> None:
    """R-16: 100 % of lines and branches; what is missing is named by file and line."""
    measured = [f"--cov={one.removesuffix('.py').rstrip('/').replace('/', '.')}" for one in WHOLE]
    done, files = measure(tmp_path, *measured, *THEIR_TESTS)
    assert done.returncode == 0, done.stdout[-3000:]
    assert len([name for name in files if name.startswith("monitor/core/")]) > 25, sorted(files)
    missing = {
        name: one["missing_lines"] + one["missing_branches"]
        for name, one in files.items()
        if one["missing_lines"] or one["missing_branches"]
    }
    assert missing == {}


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_r_16_the_rest_is_reached_to_85_percent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """R-16: lines and branches of all that is neither core, journal nor outbox; the least reached named."""
    slow = ("--timeout", "600", "--dist", "loadfile", "--deselect", "tests/test_coverage.py")
    done, files = measure(tmp_path, "--cov=monitor", "--cov=simulators", *slow, "tests")
    rest = {name: one["summary"] for name, one in files.items() if not name.startswith(WHOLE)}
    assert len(rest) > 150, done.stdout[-3000:]
    reached = sum(one["covered_lines"] + one["covered_branches"] for one in rest.values())
    there = sum(one["num_statements"] + one["num_branches"] for one in rest.values())
    least = sorted(rest, key=lambda name: rest[name]["percent_covered"])[:10]
    with capsys.disabled():
        print(f"\n{done.stdout.strip().splitlines()[-1]}")
        print(f"the rest: {reached} of {there} lines and branches, {reached / there:.1%}; least reached:")
        for name in least:
            print(f"  {rest[name]['percent_covered']:5.1f} % {name}")
    assert reached >= REST_AT_LEAST * there
