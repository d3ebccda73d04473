"""What many sites said, in order of who needs somebody; and what is not known is never shown as well."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.overview.sites import MOST_BEDS, MOST_BYTES, SILENT_AFTER_S, Sites

ROOT = "afterwatch/v1"


def beat(sites: Sites, name: str, now: float, *, retained: bool = False, **more: Any) -> None:
    """Let a site's monitor say that it is there."""
    said = {"state": "online", "boot_id": "b", "ok": True, **more}
    sites.take(f"{ROOT}/{name}/monitor/status", json.dumps(said).encode(), retained, now)


def lists(sites: Sites, name: str, bed: str, *alarms: dict[str, Any], mode: str = "real") -> None:
    """Let a site say the alarms of a bed."""
    said = {"boot_id": "b", "seq": 1, "mode": mode, "alarms": list(alarms)}
    sites.take(f"{ROOT}/{name}/beds/{bed}/alarms", json.dumps(said).encode(), True, 0.0)


def alarm(priority: str, **more: Any) -> dict[str, Any]:
    """Make an alarm as it stands in a bed's list."""
    return {
        "alarm_id": "a",
        "rule": "r",
        "kind": "physiological",
        "priority": priority,
        "text": priority,
        **more,
    }


def order(sites: Sites, now: float = 1.0, *, linked: bool = True) -> list[str]:
    """Return the names of the sites as the page shows them."""
    return [row["site"] for row in sites.rows(now, linked=linked)]


def test_the_worst_site_is_the_first() -> None:
    """Issue 8, item 3: high alarms, then sites of which nobody knows, then the milder, then the well."""
    sites = Sites()
    for name in ("well", "low", "medium", "accepted", "high", "unwell", "stopped", "drilling"):
        beat(sites, name, 0.0, ok=name != "unwell")
    beat(sites, "stopped", 0.0, state="stopped")
    beat(sites, "silent", -2 * SILENT_AFTER_S)
    lists(sites, "low", "bed-1", alarm("low"))
    lists(sites, "medium", "bed-1", alarm("low"), alarm("medium"))
    lists(sites, "accepted", "bed-1", alarm("high", acknowledged_by="Nora"))
    lists(sites, "high", "bed-2", alarm("high"))
    lists(sites, "drilling", "bed-1", alarm("high"), mode="drill")
    assert order(sites) == [
        "high", "silent", "accepted", "medium", "low", "unwell", "drilling", "well", "stopped",
    ]  # fmt: skip


def test_a_silent_site_with_a_high_alarm_stays_above() -> None:
    """DESIGN §5: missing data never ends an alarm."""
    sites = Sites()
    beat(sites, "a", 0.0)
    lists(sites, "a", "bed-1", alarm("high"))
    beat(sites, "b", 100.0)
    row = sites.rows(100.0, linked=True)[0]
    assert (row["site"], row["state"], row["heard_s"]) == ("a", "silent", 100)


@pytest.mark.parametrize(
    ("happened", "state"),
    [
        (lambda sites: beat(sites, "a", 100.0), "live"),
        (lambda sites: beat(sites, "a", 100.0 - SILENT_AFTER_S), "live"),
        (lambda sites: beat(sites, "a", 99.9 - SILENT_AFTER_S), "silent"),
        (lambda sites: beat(sites, "a", 100.0, ok=False), "unwell"),
        (lambda sites: beat(sites, "a", 100.0, retained=True), "unknown"),
        (lambda sites: beat(sites, "a", 100.0, state="offline"), "offline"),
        (lambda sites: beat(sites, "a", 100.0, state="stopped"), "stopped"),
        (lambda sites: lists(sites, "a", "bed-1"), "unknown"),
    ],
)
def test_only_a_beat_that_came_while_we_listened_is_a_sign_of_life(happened: Any, state: str) -> None:
    """DESIGN §5: what the broker kept from yesterday says "online" too."""
    sites = Sites()
    happened(sites)
    assert sites.rows(100.0, linked=True)[0]["state"] == state
    assert sites.rows(100.0, linked=False)[0]["state"] == "unknown"


def test_of_one_site_the_alarm_that_needs_somebody_is_shown() -> None:
    """AL-05: real before drill, worse before milder, open before accepted, covered ones not at all."""
    sites = Sites()
    lists(sites, "a", "bed-1", alarm("high", text="covered", covered_by="x"))
    lists(
        sites,
        "a",
        "bed-2",
        alarm("medium", text="taken", acknowledged_by="Nora"),
        alarm("medium", text="open"),
    )
    lists(sites, "a", "bed-3", alarm("high", text="drill"), mode="drill")
    row = sites.rows(0.0, linked=True)[0]
    assert (row["worst"]["text"], row["worst"]["bed"]) == ("open", "bed-2")
    assert row["counts"] == {"high": 0, "medium": 2, "low": 0}
    assert (row["beds"], row["in_session"]) == (3, 3)


def test_an_emptied_topic_takes_bed_and_site_away() -> None:
    """A site that moved out is cleared by an empty retained message, as MQTT does it."""
    sites = Sites()
    beat(sites, "a", 0.0)
    lists(sites, "a", "bed-1", alarm("high"))
    sites.take(f"{ROOT}/a/beds/bed-1/alarms", b"", False, 0.0)
    assert sites.rows(0.0, linked=True)[0]["worst"] is None
    sites.take(f"{ROOT}/a/monitor/status", b"", False, 0.0)
    assert order(sites) == []


@given(st.text(max_size=40), st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_is_published_there_does_not_stop_it(topic: str, payload: bytes) -> None:
    """P-25: a stranger's message is counted and passed over."""
    sites = Sites()
    for one in (topic, f"{ROOT}/a/beds/b/alarms", f"{ROOT}/a/monitor/status"):
        sites.take(one, payload, False, 0.0)
        sites.rows(0.0, linked=True)
    json.dumps(sites.rows(1.0, linked=True))


ODD = [
    b"[]",
    b"3",
    b"null",
    b'{"alarms":3}',
    b'{"alarms":[3]}',
    b'{"alarms":null}',
    b"{",
    b"x" * (MOST_BYTES + 1),
]


@pytest.mark.parametrize("payload", ODD)
def test_what_is_no_list_changes_nothing(payload: bytes) -> None:
    """P-25: an alarm that is shown stays until a real list says otherwise."""
    sites = Sites()
    lists(sites, "a", "bed-1", alarm("high"))
    sites.take(f"{ROOT}/a/beds/bed-1/alarms", payload, False, 0.0)
    assert sites.not_understood == 1
    assert sites.rows(0.0, linked=True)[0]["worst"]["priority"] == "high"


def test_an_unknown_priority_is_not_taken_lightly() -> None:
    """A newer site's word that we do not know is shown first, not last."""
    sites = Sites()
    beat(sites, "new", 0.0)
    lists(sites, "new", "bed-1", alarm("critical"))
    beat(sites, "old", 0.0)
    lists(sites, "old", "bed-1", alarm("medium"))
    assert order(sites) == ["new", "old"]


def test_r_14_what_is_kept_is_bounded() -> None:
    """R-14: a site that invents beds without end fills nothing but a count."""
    sites = Sites()
    for number in range(MOST_BEDS + 7):
        lists(sites, "a", f"bed-{number}")
    assert sites.rows(0.0, linked=True)[0]["beds"] == MOST_BEDS
    assert sites.not_understood == 7
