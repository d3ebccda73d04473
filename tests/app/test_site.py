"""A site put together: what it tells machines that ask, and whoever leads the shift."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from starlette.testclient import TestClient

from monitor import config
from monitor.app.site import Site
from monitor.journal import Batch
from tests.conftest import REPOSITORY
from tests.core.scene import NOON
from tests.core.test_figures import useless

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


def test_af_15_who_leads_is_told_by_a_low_alarm_of_the_station_that_ends_with_its_cause(
    tmp_path: Path,
) -> None:
    """AF-15: from the journal's own words of two hours."""
    (tmp_path / "protocols").symlink_to(REPOSITORY / "config" / "protocols")
    (tmp_path / "beds.toml").write_text('[[beds]]\nid = "bed-1"\n')
    (tmp_path / "clinic.toml").write_text("")
    site = Site(config.load(tmp_path))

    def look() -> dict[str, str]:
        site.upkeep.look_at_load()
        site.monitor.turn(0.0)
        present = site.monitor.station_bed().alarms.values()
        return {one.key: f"{one.priority}: {one.text}" for one in present if one.key.startswith("alarm-load")}

    try:
        assert look() == {}
        moved = site.clock.now() - timedelta(minutes=10) - NOON
        told = [one._replace(at=one.at + moved) for one in useless(30, "nora")]
        site.monitor.journal.commit([Batch(outcomes=told)])
        words = "low: nora had 30 alarms in 120 min that needed no action"
        assert look() == {"alarm-load:nora": words}
        site.upkeep._now = lambda: site.clock.now() + timedelta(hours=2)
        assert look() == {}
    finally:
        site.messenger.stop()
        site.monitor.journal.close()
