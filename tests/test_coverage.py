"""The gate on coverage (R-16): no branch of alarm core, journal and outboxes without a test of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_r_16_every_branch_of_core_journal_and_outbox_is_taken_by_its_own_tests(tmp_path: Path) -> None:
    """R-16: 100 % of lines and branches; what is missing is named by file and line."""
    found = tmp_path / "coverage.json"
    measured = [f"--cov={one.removesuffix('.py').rstrip('/').replace('/', '.')}" for one in WHOLE]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", str(os.cpu_count()), "-p", "no:cacheprovider"),
            *(*measured, "--cov-branch", f"--cov-report=json:{found}", *THEIR_TESTS),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "COVERAGE_FILE": str(tmp_path / "coverage")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    files = json.loads(found.read_text())["files"]
    assert len([name for name in files if name.startswith("monitor/core/")]) > 25, sorted(files)
    missing = {
        name: one["missing_lines"] + one["missing_branches"]
        for name, one in files.items()
        if one["missing_lines"] or one["missing_branches"]
    }
    assert missing == {}
