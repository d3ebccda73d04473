"""What is in force for a metric, what is due when, and what readiness asks: by hand-made sessions."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from monitor.core import inputs as given
from monitor.core import readiness
from monitor.core.protocol import Criterion, Limit
from monitor.core.session import (
    KEPT_READINGS,
    Dose,
    LimitChange,
    Point,
    Session,
    boundary_of,
    cuff_due_at,
    due_at,
    window,
    with_reading,
)
from monitor.core.turn import Bed, Reading
from tests.core.scene import NOON, Scene, protocol


def after(minutes: float) -> datetime:
    """Return an instant so many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def points(*values: float, every_min: float = 5) -> tuple[Point, ...]:
    """Return readings from noon on."""
    return tuple(Point(after(n * every_min), value) for n, value in enumerate(values))


def session(**more: Any) -> Session:
    """Return a session since noon under the IV protocol."""
    fields = {"protocol": protocol(), "mode": "real", "started_at": NOON, "started_by": "nina", **more}
    return Session("s1", "P", **fields)


def rule(side: str, **more: Any) -> Limit:
    """Return a limit of the systolic pressure."""
    fields = {
        "id": "x",
        "metric": "nibp_systolic",
        "harm": "minor",
        "onset": "delayed",
        "source": "test",
        **more,
    }
    return Limit(side=side, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limit", "base", "value"),
    [
        (rule("high", limit=160), None, 160),
        (rule("high", limit=160, rise=40), None, 160),
        (rule("high", limit=160, rise=40), 110, 150),  # tighter
        (rule("high", limit=160, rise=40), 130, 160),  # it cannot loosen
        (rule("low", limit=90, rise=20), 120, 100),
        (rule("low", limit=90, rise=20), 100, 90),
        (rule("low", rise_fraction=0.2), 100, 80),
        (rule("high", rise_fraction=0.2), 100, 120),
        (rule("high", rise=30, rise_fraction=0.2), 100, 120),  # the smaller of both
        (rule("high", rise=10, rise_fraction=0.2), 100, 110),
        (rule("high", rise=40), None, None),
        (rule("high"), 120, None),
        (rule("high", limit=160, on=False), None, None),
    ],
)
def test_al_07_a_relative_limit_only_tightens(limit: Limit, base: float | None, value: float | None) -> None:
    """AL-07, ALARMS §3.3: from the baseline on either side; off without one; the smaller rise counts."""
    readings = {} if base is None else {"nibp_systolic": points(base, base)}
    found = boundary_of(session(baseline=readings), limit)
    assert (found.value if found else None) == (pytest.approx(value) if value else None)
    assert found is None or (found.side, found.at_limit) == (limit.side, limit.at_limit)


def test_al_07_a_change_takes_the_place_of_the_limit_and_its_switch() -> None:
    """AL-07, AL-09: its value if it has one, on or off as it says; the baseline still tightens it."""
    limit = rule("high", limit=160, rise=40)
    for change, base, value in (
        (LimitChange(170, True, "dr", NOON, "why"), None, 170),
        (LimitChange(None, True, "dr", NOON, "why"), None, 160),
        (LimitChange(170, True, "dr", NOON, "why"), 110, 150),
        (LimitChange(170, False, "dr", NOON, "why"), None, None),
    ):
        readings = {} if base is None else {"nibp_systolic": points(base, base)}
        found = boundary_of(session(baseline=readings, changes={"x": change}), limit)
        assert (found.value if found else None) == value
    asleep = replace(limit, on=False)
    woken = boundary_of(session(changes={"x": LimitChange(None, True, "dr", NOON, "why")}), asleep)
    assert woken is not None


def test_al_05_a_plan_has_the_worst_first_marks_last_and_its_tightest_bounds() -> None:
    """AL-05, AL-08: between the bounds no rule is violated; what is not live in the phase is not in it."""
    band = session().plan["nibp_systolic"]
    assert [(one.limit.priority, one.limit.annotation) for one in band.rules] == [
        ("high", False),
        ("high", False),
        ("medium", False),
        ("medium", False),
    ]
    assert (band.low, band.high, band.near) == (100, 160, None)
    based = session(baseline={"nibp_systolic": points(110, 110)}).plan["nibp_systolic"]
    assert (based.low, based.high) == (100, 132)  # the mark at + 20 %
    assert based.rules[-1].limit.annotation
    only = protocol(limits=(rule("high", limit=160), rule("low", limit=90, phases=("dosing",), id="y")))
    assert (session(protocol=only).plan["nibp_systolic"].low) == -math.inf
    asleep = session(protocol=protocol(limits=(rule("low", limit=90),)))
    assert asleep.plan["nibp_systolic"].high == math.inf
    assert asleep.plan["nibp_systolic"].rules[0].filter is None
    assert session().plan["spo2"].rules[0].filter == protocol().filters["time-and-depth"]


def test_readiness_turns_at_the_baseline_less_its_margin() -> None:
    """CLINICAL §1.3: only the criterion that asks for it, only with a baseline, also without any limit."""
    assert session().plan["spo2"].near is None
    assert session(baseline={"spo2": points(97, 97)}).plan["spo2"].near == 95
    assert session(baseline={"nibp_systolic": points(120, 120)}).plan["nibp_systolic"].near is None
    bare = session(protocol=protocol(limits=()), baseline={"spo2": points(97, 99)})
    assert bare.plan["spo2"] == ((), -math.inf, math.inf, 96)


def test_a_baseline_is_the_median_of_enough_readings() -> None:
    """ALARMS §3.3: two at least; one that is far off does not carry the rest along."""
    for values, base in (((), None), ((120,), None), ((120, 130), 125), ((120, 130, 190), 130)):
        assert session(baseline={"nibp_systolic": points(*values)}).base("nibp_systolic") == base


def test_anchors_count_the_doses_that_stand_by_their_own_time() -> None:
    """CLINICAL §1.3: the first, the last, the end of dosing; no struck one; late ones find their place."""
    late, early = Dose(after(9), 28, "iv", "n"), Dose(after(3), 28, "iv", "n")
    struck = Dose(after(1), 28, "iv", "n", withdrawn="mistake")
    of = session(doses=(late, early, struck))
    assert of.standing == (early, late)
    assert of.anchor("session_start") == NOON
    assert (of.anchor("first_dose"), of.anchor("last_dose")) == (after(3), after(9))
    assert of.anchor("dosing_end") == of.dosing_ends_at() == after(49)
    stopped = session(doses=(early, replace(late, ended_at=after(20))))
    assert stopped.dosing_ends_at() == after(20)
    for anchor in ("first_dose", "last_dose", "dosing_end"):
        assert session(doses=(struck,)).anchor(anchor) is None  # type: ignore[arg-type]
    check = protocol().checkpoints[0]  # 5 min after the first dose, 2 min early to 3 min late
    assert due_at(of, check) == after(8)
    assert window(of, check) == (after(6), after(11))
    assert due_at(session(), check) is window(session(), check) is None


def test_of_a_cuff_the_last_readings_are_kept() -> None:
    """CLINICAL §1.3: an hour of them at 5 min, the oldest goes; each metric has its own."""
    held = session(readings={"nibp_systolic": points(*range(KEPT_READINGS))})
    more = with_reading(held, "nibp_systolic", Point(after(99), 200))
    assert [one.value for one in more["nibp_systolic"]] == [*range(1, KEPT_READINGS), 200]
    assert [one.value for one in with_reading(held, "nibp_mean", Point(NOON, 90))["nibp_mean"]] == [90]
    assert KEPT_READINGS * 5 >= 60


def test_a_cuff_is_due_from_its_last_reading_or_the_beginning() -> None:
    """CLINICAL §1.3: by the phase's cadence (10 min); before any reading from start, phase and word of it."""
    assert cuff_due_at(session()) == after(10)
    assert cuff_due_at(session(phase_at=after(3))) == after(13)
    assert cuff_due_at(session(phase_at=after(3), told_at=after(4))) == after(14)
    assert cuff_due_at(session(readings={"nibp_systolic": points(120, 121)}, told_at=after(9))) == after(15)
    assert cuff_due_at(session(phase="observation", readings={"nibp_systolic": points(120)})) == after(15)
    assert cuff_due_at(session(phase="ended")) is None


# --- readiness ----------------------------------------------------------------------------------------------


def judged(criterion: Criterion, at: datetime, latest: dict[str, Reading] | None = None, **more: Any) -> Any:
    """Return the answer to one criterion: met, not met or not measured, and when time alone changes it."""
    of = session(protocol=protocol(discharge=(criterion,)), **more)
    [one] = readiness.judge(Bed("bed-1", of, latest=latest or {}), at)
    assert one.criterion == criterion
    return one.answer, one.due_at, one.words


def asked(kind: str, **more: Any) -> Criterion:
    """Return a criterion of a kind."""
    return Criterion("x", "X", kind, "test", **more)  # type: ignore[arg-type]


def test_readiness_by_time_turns_at_its_instant() -> None:
    """CLINICAL §1.3: not before it, from it on; without its anchor it is not measured."""
    dose = (Dose(NOON, 28, "iv", "n", ended_at=after(40)),)
    hour = asked("elapsed", anchor="dosing_end", minutes=60)
    assert judged(hour, after(99), doses=dose) == ("not met", after(100), "not before 13:40 UTC")
    assert judged(hour, after(100), doses=dose) == ("met", None, "since 13:40 UTC")
    assert judged(hour, after(100)) == ("not measured", None, "no dosing end yet")


def test_readiness_by_pressure_has_its_bound_from_line_and_baseline() -> None:
    """CLINICAL §1.3: at most 140 or 10 above the baseline, the greater; the bound itself is met."""
    settled = asked("settled", metric="nibp_systolic", absolute=140, margin=10)
    for value, base, answer in (
        (140, None, "met"),
        (141, None, "not met"),
        (141, 135, "met"),
        (145, 135, "met"),
        (146, 135, "not met"),
        (140, 110, "met"),
    ):
        base_of = {} if base is None else {"nibp_systolic": points(base, base)}
        found = judged(settled, after(9), readings={"nibp_systolic": points(200, value)}, baseline=base_of)
        assert (found[0], found[1]) == (answer, None)
        assert f"{value} at 12:05 UTC" in found[2]
        assert ("(no baseline)" in found[2]) is (base is None)
    assert judged(settled, after(9)) == ("not measured", None, "no reading")


def test_readiness_by_two_readings_compares_the_last_two() -> None:
    """CLINICAL §1.3: not rising: the last is not above the one before; an older one says nothing."""
    level = asked("not_rising", metric="nibp_systolic")
    for values, answer in (((), "not measured"), ((120,), "not measured"), ((120, 120), "met")):
        assert judged(level, after(9), readings={"nibp_systolic": points(*values)})[0] == answer
    for values, answer, words in (
        ((110, 130, 125), "met", "130 then 125 mm[Hg]"),
        ((150, 120, 121), "not met", "120 then 121 mm[Hg]"),
    ):
        found = judged(level, after(99), readings={"nibp_systolic": points(*values)})
        assert found == (answer, None, words)


def test_readiness_by_a_recent_reading_lasts_as_long_as_it_says() -> None:
    """CLINICAL §1.3: within 20 min of the last reading, not at 20 min any more."""
    recent = asked("recent", metric="nibp_systolic", minutes=20)
    readings = {"nibp_systolic": points(120, 121)}
    assert judged(recent, after(24.9), readings=readings) == ("met", after(25), "read at 12:05 UTC")
    assert judged(recent, after(25), readings=readings) == ("not measured", None, "none within 20 min")
    assert judged(recent, after(1)) == ("not measured", None, "none within 20 min")


def test_readiness_by_saturation_needs_a_fresh_value_and_a_baseline() -> None:
    """CLINICAL §1.3, AL-29: baseline less 2 points; a device's value lasts 30 s, a person's 10 min."""
    near = asked("near_base", metric="spo2", margin=2)
    base = {"spo2": points(97, 97)}

    def value(of: float | None, seen: datetime | None = NOON) -> Reading:
        return Reading(of, "valid", NOON, "oximeter-1", "", NOON, seen)

    def found(at: datetime, **latest: Reading) -> Any:
        slots = {name.replace("_by_hand", "@manual"): one for name, one in latest.items()}
        return judged(near, at, slots, baseline=base)

    half, ten = after(0.5), after(10)
    assert found(NOON, spo2=value(95)) == ("met", half, "95, at least 95 %")
    assert found(NOON, spo2=value(94)) == ("not met", half, "94, at least 95 %")
    assert found(half - timedelta(seconds=1), spo2=value(95))[0] == "met"
    assert found(half, spo2=value(95)) == ("not measured", None, "no fresh value")
    assert found(half, spo2=value(95), spo2_by_hand=value(94)) == ("not met", ten, "94, at least 95 %")
    assert found(NOON, spo2=value(95), spo2_by_hand=value(94))[:2] == ("met", half)
    assert found(ten, spo2_by_hand=value(99))[0] == "not measured"
    assert found(NOON, spo2=value(None))[0] == found(NOON, spo2=value(99, None))[0] == "not measured"
    assert judged(near, NOON, {"spo2": value(99)}) == ("not measured", None, "no baseline")


def test_readiness_by_score_and_by_word() -> None:
    """CLINICAL §1.3: between its bounds, which belong to it; a person's yes or no."""
    from monitor.core.session import Score

    for value, low, high, answer in (
        (5, 5, None, "met"),
        (4, 5, None, "not met"),
        (0, None, 0, "met"),
        (1, None, 0, "not met"),
        (3, 2, 4, "met"),
        (1, 2, 4, "not met"),
        (5, 2, 4, "not met"),
    ):
        of = asked("score", scale="moaas", at_least=low, at_most=high)
        scores = {"moaas": Score("moaas", value, "nina", NOON)}
        assert judged(of, after(1), scores=scores) == (answer, None, f"moaas {value} at 12:00 UTC by nina")
    assert judged(asked("score", scale="moaas", at_least=5), NOON) == (
        "not measured",
        None,
        "moaas not scored",
    )
    word = asked("asked")
    assert judged(word, NOON) == ("not measured", None, "not answered")
    assert judged(word, NOON, answers={"x": True}) == ("met", None, "answered yes")
    assert judged(word, NOON, answers={"x": False}) == ("not met", None, "answered no")


def test_readiness_of_nothing_is_never_met() -> None:
    """CLINICAL §1.3: without a session or without criteria nobody is ready."""
    assert readiness.judge(Bed("bed-1"), NOON) == ()
    assert not readiness.all_met(())
    scene = Scene().start(protocol(discharge=()))
    scene.give(given.RecordDose(28, "iv", "nina"))
    scene.give(given.EndDosing("nina"))
    assert "ReadyForDischarge" not in scene.names()
