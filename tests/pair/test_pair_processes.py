"""A pair of real processes at a real broker: killed, frozen, stopped in order (R-20, P-46)."""

from __future__ import annotations

import time

import pytest

from tests.conftest import LOOPBACK, Running, wait_for
from tests.pair.pairs import Patient, Two, follows, go_on, rows, said, stop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def fall(patient: Patient, two: Two, bed: str) -> str:
    """Let a patient's SpO2 fall; return the id of the high alarm that is told."""
    patient.spo2 = 70
    wait_for(lambda: two.high(bed), f"the alarm of {bed} on the broker")
    return two.high(bed)[0]["alarm_id"]


def test_r_20_the_other_takes_over_from_a_killed_monitor_and_back_and_misses_nothing(
    two: Two, patients: list[Patient]
) -> None:
    """R-20, P-46: kill -9 twice; sessions, acknowledgements and readings go on at the other."""
    two.start()
    two.begin_sessions(two.one)
    known = fall(patients[1], two, "bed-2")
    two.acknowledge(two.one, "bed-2", known)
    since = patients[0].sent
    two.one.kill()
    killed = time.monotonic()
    patients[0].spo2 = 70  # falls while nobody is there
    gap_s = wait_for(lambda: "is active" in said(two.other), "the takeover")
    wait_for(lambda: two.high("bed-1"), "the alarm on the broker")
    wait_for(lambda: two.pager.of("Room 1"), "the message")
    told_s = two.pager.of("Room 1")[0][0] - killed
    print(f"\nkill: active after {gap_s:.1f} s, message of a fall in the gap after {told_s:.1f} s")
    again = two.high("bed-2")[0]
    assert (again["alarm_id"], again["acknowledged_by"]) == (known, "nina")
    until = patients[0].sent
    wait_for(lambda: newest(two.other) >= until, "the readings")
    missing = set(range(since, until)) - sequences(two.other)
    assert not missing, f"readings {sorted(missing)[:5]} are in no journal"
    two.one.start()
    wait_for(lambda: follows(two.one), "the first to follow")
    time.sleep(2.5)
    two.other.kill()
    back_s = wait_for(lambda: said(two.one).count("is active") == 2, "the way back")
    print(f"kill of the other: active after {back_s:.1f} s")
    wait_for(lambda: two.high("bed-2") and two.high("bed-1"), "both alarms")
    assert two.high("bed-2")[0]["alarm_id"] == known


def newest(monitor: Running) -> int:
    """Return the newest sequence of the first oximeter in a journal."""
    return max(sequences(monitor), default=0)


def sequences(monitor: Running) -> set[int]:
    """Return which reports of the first oximeter a journal holds."""
    device = "(SELECT id FROM name WHERE name='oximeter-1')"
    found = rows(monitor, f"SELECT sequence FROM reading WHERE device={device}")
    return {number for (number,) in found if number is not None}


def test_r_20_a_frozen_monitor_that_wakes_steps_down_before_it_says_a_word(
    two: Two, patients: list[Patient]
) -> None:
    """R-20: SIGSTOP; the other takes over; after SIGCONT nothing of the old one reaches broker or people."""
    two.start()
    two.begin_sessions(two.one)
    stop(two.one)
    frozen = time.monotonic()
    patients[0].spo2 = 70
    gap_s = wait_for(lambda: "is active" in said(two.other), "the takeover")
    wait_for(lambda: two.pager.of("Room 1"), "the message")
    print(f"\nfreeze: active after {gap_s:.1f} s, told after {two.pager.of('Room 1')[0][0] - frozen:.1f} s")
    boot = two.boot("bed-1")
    heard, told = len(two.ear.heard), len(two.pager.got)
    go_on(two.one)
    wait_for(lambda: "steps down" in said(two.one), "the old one to step down")
    wait_for(lambda: said(two.one).count("monitor a follows") == 2, "the old one to follow")
    fall(patients[1], two, "bed-2")
    wait_for(lambda: two.pager.of("Room 2"), "the message of the second room")
    spoken = [words for topic, words, _ in two.ear.heard[heard:] if "/beds/" in topic]
    assert spoken
    assert {one["boot_id"] for one in spoken} == {boot}
    titles = [title for _, title in two.pager.got[told:] if "HIGH" in title and "Room" in title]
    assert len(titles) == len(set(titles)), f"told twice: {titles}"


def test_r_20_a_planned_stop_hands_over_at_once(two: Two, patients: list[Patient]) -> None:
    """R-20, AL-52: SIGTERM releases the lease; the other need not wait for it to run out."""
    two.start()
    two.begin_sessions(two.one)
    assert two.one.stop() == 0
    gap_s = wait_for(lambda: "is active" in said(two.other), "the takeover")
    print(f"\nplanned stop: active {gap_s:.1f} s after the end of the other")
    assert "claims the lease" in said(two.other)
    patients[0].spo2 = 70
    wait_for(lambda: two.pager.of("Room 1"), "the message")


def test_p_46_both_hold_the_same_log_and_a_monitor_with_another_secret_never_takes_over(
    two: Two, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-46, AL-50: what is followed is the same outcome by outcome; a wrong secret is told, not obeyed."""
    two.other.start()  # first, so that it hears the other from the beginning
    wait_for(lambda: "is active" in said(two.other), "the second alone")
    two.other.kill()
    two.one.people(nina="nurse")
    two.one.start()
    wait_for(lambda: "is active" in said(two.one), "the first")
    two.other.start()
    wait_for(lambda: follows(two.other), "the second to follow")
    two.begin_sessions(two.one)
    fall(patients[0], two, "bed-1")
    last = "SELECT body FROM outcome WHERE bed_id LIKE 'bed-%' ORDER BY id DESC LIMIT 3"
    wait_for(lambda: rows(two.one, last) == rows(two.other, last), "the same outcomes")
    assert len(rows(two.other, last)) == 3
    assert (two.other.store / "users.json").read_bytes() == (two.one.store / "users.json").read_bytes()
    two.other.stop()
    monkeypatch.setenv("AFTERWATCH_TEST_PAIR", "another secret, just as long as that")
    before = said(two.other).count("is active")
    two.other.start()
    wait_for(lambda: "both monitors need the same secret" in said(two.other), "the word about the secret")
    time.sleep(8)
    assert said(two.other).count("is active") == before
    assert said(two.one).count("steps down") == 0


def test_r_20_the_page_of_the_follower_is_no_wall(two: Two) -> None:
    """R-20: the follower answers 503 and says what it is, with the sentence that stands everywhere."""
    import httpx

    two.start()
    answer = httpx.get(two.other.address)
    assert answer.status_code == 503
    assert "Standing by" in answer.text
    assert "not a primary alarm" in answer.text
    health = httpx.get(f"{two.other.address}/healthz")
    assert (health.status_code, health.json()["role"]) == (503, "standby")
    assert LOOPBACK in two.one.address
    assert httpx.get(f"{two.one.address}/healthz").status_code == 200
