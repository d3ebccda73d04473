"""Figures about alarms, by logs written by hand: each figure can be counted on the fingers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from monitor.core.figures import ISA_SPLIT, TOLD, TOP_SHARE, indicators, overloaded, percentile
from monitor.core.outcomes import Outcome
from tests.core.scene import NOON


def said(name: str, minute: float, alarm: str = "", session: str = "", **more: Any) -> Outcome:
    """Return an outcome that was told a number of minutes after noon."""
    at = NOON + timedelta(minutes=minute)
    return Outcome(name, at, "bed-1", session, alarm, **{"mode": "real", **more})  # type: ignore[arg-type]


def raised(minute: float, alarm: str, session: str = "", **more: Any) -> Outcome:
    """Return an alarm that was raised, medium if not said."""
    return said("AlarmRaised", minute, alarm, session, **{"priority": "medium", "kind": "technical", **more})


def judged(minute: float, alarm: str, word: str, **more: Any) -> Outcome:
    """Return what a person said that an alarm was."""
    return said("DispositionRecorded", minute, alarm, detail={"disposition": word}, **more)


def hour(log: list[Outcome], until: float = 60) -> dict[str, Any]:
    """Return the figures from noon until so many minutes later."""
    return indicators(log, NOON, NOON + timedelta(minutes=until))


def test_af_14_alarms_per_session_hour() -> None:
    """AF-14: sessions count with the part of them that lies in the span; a drill and the house do not."""
    before = {"started_at": (NOON - timedelta(hours=3)).isoformat()}
    log = [
        said("SessionStarted", 0, session="late told", detail=before),  # 60 min in the span
        said("SessionStarted", 30, session="quiet"),  # 30 min
        raised(5, "a", "from before"),  # 20 min: it began before the span
        raised(10, "b", "late told"),
        raised(10, "c", "late told"),
        raised(11, "of the house"),
        raised(12, "x", "drill", mode="drill"),
        said("SessionStarted", 12, session="drill", mode="drill"),
        said("SessionEnded", 20, session="from before"),
        said("SessionEnded", 130, session="quiet"),
    ]
    found = hour(log)
    assert (found["sessions"], found["session_hours"]) == (3, 1.83)
    assert found["per_session_hour"] == 1.64  # 3 alarms in 110 min
    assert found["alarms"] == 4
    assert hour([])["per_session_hour"] is None


def test_af_14_non_actionable_share_is_of_what_people_judged() -> None:
    """AF-14: known and artefact of all judged; the last word counts; drills and the unjudged do not."""
    log = [raised(n, name) for n, name in enumerate("abcdef")]
    log += [judged(9, "a", "actionable"), judged(9, "b", "known"), judged(9, "c", "artefact")]
    log += [judged(9, "d", "known"), judged(10, "d", "actionable"), judged(10, "e", "drill")]
    log += [judged(11, "of last month", "known")]
    found = hour(log)
    assert (found["judged"], found["non_actionable_percent"]) == (4, 50.0)
    assert hour([raised(1, "a")])["non_actionable_percent"] is None


def test_af_14_time_to_acknowledge_p50_and_p90() -> None:
    """AF-14: the first acknowledgement of each alarm counts; the percentiles are times that were measured."""
    log = [raised(0, str(n)) for n in range(11)]
    for n in range(10):  # after 6, 12 ... 60 s; the eleventh is never acknowledged
        log += [said("AlarmAcknowledged", (n + 1) / 10, str(n)), said("AlarmAcknowledged", 30, str(n))]
    found = hour(log)
    names = ("acknowledged", "acknowledge_p50_s", "acknowledge_p90_s", "acknowledge_worst_s")
    assert [found[name] for name in names] == [10, 30.0, 54.0, 60.0]
    assert percentile([], 0.9) is None
    assert percentile([7.0], 0.5) == percentile([7.0], 0.9) == 7.0


@pytest.mark.parametrize(
    ("alarms_of_sessions", "percent"),
    [([8, 1, 1], 80.0), ([5] + [1] * 9, 35.7), ([5, 4] + [1] * 9, 50.0), ([0], None)],
)
def test_af_14_share_of_the_noisiest_tenth(alarms_of_sessions: list[int], percent: float | None) -> None:
    """AF-14: of so many sessions the noisiest tenth, at least one, had so much of all alarms."""
    log = []
    for session, count in enumerate(alarms_of_sessions):
        log.append(said("SessionStarted", 0, session=f"s{session}"))
        log += [raised(1, f"{session}-{n}", f"s{session}") for n in range(count)]
    assert hour(log)["top_tenth_percent"] == percent


# --- too many alarms for one person (AF-15) -----------------------------------------------------------------


def load(log: list[Outcome], at: datetime = NOON + timedelta(minutes=60)) -> dict[str, int]:
    """Return who had too many by then; Anna and Ben are on duty."""
    return overloaded(log, ("anna", "ben"), at)


def useless(count: int, to: str = "anna", minute: float = 0, **more: Any) -> list[Outcome]:
    """Return alarms that were offered to a person and ended before anybody answered."""
    log = []
    for n in range(count):
        name = f"{to}-{minute}-{n}"
        log.append(raised(minute, name, **more))
        log.append(said("AlarmOffered", minute, name, detail={"people": [to]}, **more))
        log.append(said("AlarmEnded", minute + 1, name, **more))
    return log


def test_af_15_thirty_useless_alarms_in_two_hours_are_told_of() -> None:
    """AF-15: 30 and not 29, of each person alone, within the last 120 min, and never of a drill."""
    assert load(useless(29) + useless(29, "ben")) == {}
    assert load(useless(30) + useless(29, "ben")) == {"anna": 30}
    log = useless(15) + useless(15, minute=100)
    assert load(log, NOON + timedelta(minutes=119.9)) == {"anna": 30}
    assert load(log, NOON + timedelta(minutes=120)) == {}
    assert load(log, NOON + timedelta(minutes=99)) == {}
    assert load(useless(30, mode="drill")) == {}
    assert load(useless(30, rule="alarm-load:ben")) == {}


def test_af_15_what_a_person_answered_or_called_actionable_does_not_count() -> None:
    """AF-15: useless is what somebody says is known or artefact, or what ended unanswered and unjudged."""
    log = useless(30)
    name = log[0].alarm_id
    assert load([*log, said("AlarmAcknowledged", 0.5, name, by="anna")]) == {}
    assert load([*log, said("AlarmAccepted", 0.5, name, by="ben")]) == {}
    assert load([*log, judged(50, name, "actionable")]) == {}
    assert load([one for one in log if (one.outcome, one.alarm_id) != ("AlarmEnded", name)]) == {}
    answered = [*log, said("AlarmAcknowledged", 0.5, name, by="anna")]
    assert load([*answered, judged(50, name, "artefact")]) == {"anna": 30}
    assert load([*answered, judged(50, name, "known")]) == {"anna": 30}


def test_af_15_an_alarm_is_of_those_who_got_it_and_one_offered_to_nobody_is_of_all_on_duty() -> None:
    """AF-15: it sounded for all; who answered in another's place had it too, and nobody has one twice."""
    unoffered = [one for one in useless(30) if one.outcome != "AlarmOffered"]
    assert load(unoffered) == {"anna": 30, "ben": 30}
    assert overloaded(unoffered, (), NOON + timedelta(minutes=60)) == {}
    log = useless(30, "anna")
    for one in [one for one in log if one.outcome == "AlarmRaised"]:
        log += [said("AlarmAccepted", 1, one.alarm_id, by=by) for by in ("carla", "anna")]
        log.append(judged(9, one.alarm_id, "known"))
    assert load(log) == {"anna": 30, "carla": 30}


def test_al_56_the_split_of_priorities_stands_beside_its_target() -> None:
    """AL-56: of all that were raised, by priority, kind and rule; ISA-18.2 asks for 5, 15 and 80 %."""
    assert (ISA_SPLIT, TOP_SHARE) == ({"high": 5, "medium": 15, "low": 80}, 0.1)
    log = [raised(n, f"m{n}", rule="a") for n in range(4)]
    log += [raised(5, "h", rule="b", priority="high", kind="physiological")]
    log += [raised(6, f"l{n}", rule="c", priority="low") for n in range(3)]
    log += [raised(7, "m0", rule="a"), raised(7, "d", rule="d", mode="drill")]
    found = hour(log)
    assert found["by_priority"] == {"high": 1, "medium": 4, "low": 3}
    assert found["share"] == {"high": 12.5, "medium": 50.0, "low": 37.5}
    assert found["target_share"] == ISA_SPLIT
    assert found["by_kind"] == {"technical": 7, "physiological": 1}
    assert found["by_rule"] == {"a": 4, "c": 3, "b": 1}
    assert hour([])["share"] == {"high": 0.0, "medium": 0.0, "low": 0.0}
    many = [raised(n, f"r{n}", rule=f"r{n}") for n in range(13)]
    assert len(hour(many)["by_rule"]) == 12


def test_af_14_what_is_not_told_of_a_session_lasted_the_whole_span() -> None:
    """AF-14: an alarm or an end shows a session that began before; none runs longer than the span."""
    assert hour([raised(10, "a", "s")])["session_hours"] == 1.0
    assert hour([said("SessionEnded", 30, session="s")])["session_hours"] == 0.5
    assert hour([said("SessionEnded", 90, session="s")])["session_hours"] == 1.0
    begun = [said("SessionStarted", 15, session="s")]
    assert hour([*begun, raised(20, "a", "s")])["session_hours"] == 0.75
    assert hour([*begun, said("SessionEnded", 45, session="s")])["session_hours"] == 0.5
    assert (
        hour([said("SessionStarted", 15, session="s"), said("SessionEnded", 10, session="s")])[
            "session_hours"
        ]
        == 0
    )
    assert hour([])["session_hours"] == 0
    assert [hour([])[name] for name in ("alarms", "sessions", "judged", "acknowledged")] == [0, 0, 0, 0]


def test_af_14_percentiles_are_nearest_ranks() -> None:
    """AF-14: of 1 to 10 the half is 5, nine tenths 9, all of it 10; never below the first."""
    values = [float(n) for n in range(1, 11)]
    assert [percentile(values, share) for share in (0.0, 0.05, 0.1, 0.11, 0.5, 0.9, 1.0)] == [
        1,
        1,
        1,
        2,
        5,
        9,
        10,
    ]
    known, unknown = said("AlarmAcknowledged", 1, "a"), said("AlarmAcknowledged", 1, "unknown")
    found = hour([raised(0, "a"), known, unknown])
    assert (found["acknowledged"], found["acknowledge_worst_s"]) == (1, 60.0)
    assert hour([])["acknowledge_worst_s"] is None


def test_af_14_a_log_needs_only_what_the_figures_are_made_of() -> None:
    """AF-14: whoever reads the journal for them may leave out everything else."""
    assert set(TOLD) == {
        "SessionStarted",
        "SessionEnded",
        "AlarmRaised",
        "AlarmEnded",
        "AlarmOffered",
        "AlarmAcknowledged",
        "AlarmAccepted",
        "AlarmRejected",
        "DispositionRecorded",
    }
