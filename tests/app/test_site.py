"""A site put together: what it tells machines that ask."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.testclient import TestClient

from monitor import config
from monitor.app.site import Site
from tests.conftest import REPOSITORY

RUNBOOK = (REPOSITORY / "docs" / "operating.md").read_text(encoding="utf-8")


def test_r_18_every_figure_of_the_runbook_is_there_and_none_is_secret(tmp_path: Path) -> None:
    """R-18, issue 8: queues, lag, disk, clock and delivery, by the names that docs/operating.md gives."""
    (tmp_path / "protocols").symlink_to(REPOSITORY / "config" / "protocols")
    (tmp_path / "beds.toml").write_text('[[beds]]\nid = "bed-1"\n')
    (tmp_path / "clinic.toml").write_text(
        '[series]\nurl = "http://127.0.0.1:9"\n'
        '[[notify.targets]]\nid = "pager"\nurl = "json://127.0.0.1:9/hidden"\n'
        '[[notify.routes]]\ntargets = ["pager"]\n'
    )
    site = Site(config.load(tmp_path))
    site.monitor.self_check.took_s = 0.1  # as after the first round
    try:
        reply = TestClient(site.application, base_url="http://127.0.0.1").get("/metrics")
        text = reply.text
    finally:
        site.messenger.stop()
        site.monitor.journal.close()
    rows = [row for row in RUNBOOK.splitlines() if row.startswith("  | ") and "`" in row]
    named = [name for row in rows for name in re.findall(r"`(\w+)(?:\{[^`]*\})?`", row.split("|")[1])]
    named += [re.sub("^_", "afterwatch_", name) for name in named if name.startswith("_")]
    wanted = [name for name in named if not name.startswith("_")]
    assert len(wanted) > 20
    given = {
        *re.findall(r"^(\w+)", text, re.MULTILINE),
        *re.findall(r'^afterwatch_health\{name="(\w+)"', text, re.MULTILINE),
    }
    assert [name for name in wanted if name not in given] == []
    assert "hidden" not in text
    assert re.search(r"^afterwatch_mirror_lag_seconds 0\.0$", text, re.MULTILINE)
