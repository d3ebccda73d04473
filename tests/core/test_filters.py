"""The filters: how long and how deep before a reading is an alarm."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from monitor.core.filters import IDLE, Boundary, Confirmation, Excursion, Sample, confirm, judge, why
from monitor.core.protocol import Filter, Tier
from monitor.core.vitals import screen
from tests.core.scene import NOON, Scene, protocols

BELOW_90 = Boundary("low", 90)
DEFAULT = protocols()["iv-ketamine"].filters["time-and-depth"]
PLAIN = protocols()["iv-ketamine"].filters["plain-15"]
FLAGGED = "f"  # after a number of a course: the quality is in doubt


def fires_after(chosen: Filter, course: list[str | int], step_s: float = 1) -> float:
    """Return seconds of samples until the filter fires (infinite: never); ``84f`` is flagged low quality."""
    state = IDLE
    for number, word in enumerate(course, 1):
        value, good = float(str(word).rstrip(FLAGGED)), not str(word).endswith(FLAGGED)
        sample = Sample(value, good, NOON + timedelta(seconds=number * step_s), step_s)
        state, verdict = judge(chosen, BELOW_90, state, sample)
        if verdict == "fires":
            return number * step_s
    return float("inf")


def test_af_09_the_worked_example_of_the_integral_fires_at_11_seconds() -> None:
    """AF-09: L 90, S 50, readings 88 (2 s), 86 (3 s), 84: at 1 Hz it fires at 11 s (continuous 10.67)."""
    integral = Filter(ceiling_s=300, integral=50, min_time_s=1)
    assert fires_after(integral, [88] * 2 + [86] * 3 + [84] * 10) == 11
    assert fires_after(integral, [88] * 4 + [86] * 6 + [84] * 60, step_s=0.5) == 11
    fine = [88] * 200 + [86] * 300 + [84] * 2000
    assert fires_after(integral, fine, step_s=0.01) == pytest.approx(10.67, abs=0.01)


@pytest.mark.parametrize(
    ("course", "seconds"),
    [
        ([89] * 60, 30),  # the ceiling
        ([84] * 60, 6),  # the floor
        ([86] * 60, 13),  # time and depth: 13 s x 4 points
        ([80] * 60, 6),
        ([90] * 60, float("inf")),  # the limit itself does not violate
        ([88] * 9 + [95] * 60, float("inf")),
    ],
)
def test_al_14_the_default_profile_fires_when_its_paths_say(course: list[str | int], seconds: float) -> None:
    """AL-14: ceiling 30 s, time and depth (10 s, 50 point-seconds); 6 s at the floor bypass the delay."""
    assert fires_after(DEFAULT, course) == seconds


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 8, 15, 30])
@pytest.mark.parametrize("chosen", [DEFAULT, PLAIN], ids=["time and depth", "plain"])
def test_af_04_a_continuous_dip_is_told_within_its_bound(chosen: Filter, depth: int) -> None:
    """AF-04: below the limit within 30 s + gate 8 s + 2 samples, at the floor within 6 s + 8 s + 2."""
    worst: list[str | int] = [f"{90 - depth}f"] * 200
    bound = (6 if 90 - depth <= 85 else chosen.ceiling_s) + 8 + 2
    assert fires_after(chosen, worst) <= bound


def test_af_04_the_gate_is_a_budget_for_the_excursion() -> None:
    """ALARMS §3.2: 8 s bad, 1 s good, over and over, holds a flat 88 % no longer than the ceiling + gate."""
    assert fires_after(DEFAULT, (["88f"] * 8 + [88]) * 40) <= 38
    assert fires_after(DEFAULT, (["80f"] * 8 + [80]) * 40) <= 16


def test_the_gate_refills_on_a_good_sample_inside_only() -> None:
    """ALARMS §3.2: the budget is refilled by a good sample at or above the limit."""
    used = ["88f"] * 8
    bad_inside = fires_after(DEFAULT, [*used, "95f", *["84f"] * 20])
    assert bad_inside < fires_after(DEFAULT, [*used, 95, *["84f"] * 20])


def test_the_gate_counts_from_when_the_signal_went_bad() -> None:
    """ALARMS §3.2: frozen while bad for 8 s at most: a dip of a signal bad before it waits no more."""
    assert fires_after(DEFAULT, ["97f"] * 20 + ["84f"] * 20) == 26
    assert fires_after(DEFAULT, ["97f"] * 4 + ["84f"] * 20) == 14
    assert fires_after(DEFAULT, ["97f"] * 20 + [97] + ["84f"] * 20) == 35
    assert fires_after(replace(DEFAULT, gate_s=0), ["97f"] * 20 + ["84f"] * 20) == 26


def test_low_quality_of_a_normal_value_is_no_alarm() -> None:
    """ALARMS §3.4 rank 5: a bad signal at 97 % tells nothing; a value that counts in spite of it does."""
    scene = Scene().start()
    scene.course([97] * 30, good=False)
    assert scene.rules() == set()
    scene.course([88], good=False)
    assert scene.rules() == {"low-quality:spo2"}


def test_af_16_without_quality_the_gate_is_off() -> None:
    """AF-16: a format that says nothing of quality gates nothing; the value counts at once as it stands."""
    assert screen("spo2", 84).validity == "valid"
    assert fires_after(DEFAULT, [84] * 60) == fires_after(replace(DEFAULT, gate_s=0), [84] * 60)


def test_af_08_the_net_catches_what_flickers() -> None:
    """AF-08: three entries within 60 s fire though none lasts."""
    assert fires_after(DEFAULT, [89, 91, 89, 91, 89]) == 5
    assert fires_after(DEFAULT, [89, *[91] * 40, 89, *[91] * 40, 89]) == float("inf")
    assert fires_after(replace(DEFAULT, net_crossings=0), [89, 91] * 30) == float("inf")


def test_a_tier_fires_after_its_own_delay() -> None:
    """ALARMS §3.2, depth-tiered: (90, 20), (80, 15), (70, 10), (60, 0); without delay it fires at once."""
    tiers = (Tier(90, 20), Tier(80, 15), Tier(70, 10), Tier(60, 0))
    chosen = Filter(ceiling_s=30, tiers=tiers)
    assert [fires_after(chosen, [v] * 60) for v in (89, 79, 69, 59)] == [20, 15, 10, 1]
    assert fires_after(chosen, [69] * 9 + [79] * 60) == 15


def closes_after(course: list[float], step_s: float = 1) -> float:
    """Return seconds after which a fired alarm of the default profile closes (infinite: never)."""
    state, at = Excursion(path="floor", since=NOON, worst=80.0), NOON
    for number, value in enumerate(course, 1):
        at += timedelta(seconds=step_s)
        state, verdict = judge(DEFAULT, BELOW_90, state, Sample(value, True, at, step_s))
        if verdict == "clears":
            return number * step_s
    return float("inf")


def test_an_alarm_closes_beyond_the_deadband_or_when_it_has_settled() -> None:
    """ALARMS §3.2: closes after 10 s at 92 or more, or 60 s at 90 or 91; a return starts both anew."""
    assert closes_after([92] * 60) == 10
    assert closes_after([91] * 90) == 60
    assert closes_after([91, 93] * 60) == 60
    assert closes_after(([92] * 9 + [89]) * 20) == float("inf")


def test_a_return_within_the_rearm_time_is_the_same_alarm() -> None:
    """ALARMS §1.9: end and restart within the re-arm window is one alarm with a flap count (P-42)."""
    scene = Scene().start()
    scene.course([97] * 3 + [80] * 10)
    first = scene.alarm("spo2-low-urgent").alarm_id
    scene.course([93] * 5 + [85] * 5 + [94] * 5 + [79] * 5)
    again = scene.alarm("spo2-low-urgent")
    assert (again.alarm_id, again.flaps, again.worst) == (first, 2, 79)
    assert len(scene.of("AlarmRaised", "spo2-low-urgent")) == 1


@pytest.mark.parametrize(
    ("course", "words"),
    [
        ([84] * 60, "6 s below 90, 6 s at the floor (worst 84)"),
        ([86] * 60, "13 s below 90, 52 point-seconds"),
        ([89] * 60, "30 s below 90, longer than the ceiling"),
        ([89, 91, 89, 91, 89], "1 s below 90, 3 entries within the net's window"),
        (["84f"] * 60, "6 s below 90, 6 s at the floor (worst 84), low quality"),
    ],
)
def test_af_10_the_text_says_which_path_fired(course: list[str | int], words: str) -> None:
    """AF-10, P-44: an alarm explains itself: how long, how deep, on which path."""
    scene = Scene().start()
    scene.stream(3, spo2=97)
    for word in course:
        scene.stream(1, spo2=float(str(word).rstrip(FLAGGED)), good=not str(word).endswith(FLAGGED))
    raised = scene.of("AlarmRaised", "spo2-low-urgent")[0]
    assert raised.reason.endswith(f"%: {words}")
    assert raised.detail["limit"] == "below 90"


def test_af_10_the_other_paths_have_words_too() -> None:
    """AF-10: a tier and a limit without delay say so."""
    fired = Excursion(path="tier", beyond_s=15, worst=70)
    assert why(BELOW_90, fired, "%") == "15 s below 90, worst 70, depth-tiered delay"
    assert why(Boundary("high", 130, True), Excursion(path="at once"), "/min") == "130 or above /min, at once"


def test_a_limit_without_delay_fires_at_once() -> None:
    """ALARMS §3.8: a site may set 0 s; then the first sample beyond fires."""
    assert fires_after(Filter(ceiling_s=0), [95, 89]) == 2


def test_the_same_cuff_reading_never_confirms_itself() -> None:
    """ALARMS §3.3: a repeat is another reading; judging one twice (a limit changes) confirms nothing."""
    limit = Boundary("high", 160)
    sample = Sample(165, True, NOON, 0)
    first, verdict, _ = confirm(limit, None, sample, needs_repeat=True, repeat_within_s=120, deadband=0)
    assert verdict == "pending"
    again = confirm(limit, first, sample, needs_repeat=True, repeat_within_s=120, deadband=0)
    assert again == (first, "held", "")


def test_a_low_quality_excursion_is_told_as_such_and_ends_with_it() -> None:
    """ALARMS §3.2: after the gate the value counts as real; a technical 'low quality' says so meanwhile."""
    scene = Scene().start()
    scene.course([97] * 3)
    scene.course([86] * 9, good=False)
    assert scene.alarm("low-quality:spo2").priority == "low"
    scene.course([97] * 2)
    assert "low-quality:spo2" not in scene.rules()


# --- every number that a filter keeps -----------------------------------------------------------------------


def at(second: float) -> datetime:
    """Return an instant so many seconds after noon."""
    return NOON + timedelta(seconds=second)


@pytest.mark.parametrize(
    ("limit", "value", "depth", "beyond", "words"),
    [
        (Boundary("low", 90), 90, 0, False, "below 90"),
        (Boundary("low", 90), 89.5, 0.5, True, "below 90"),
        (Boundary("low", 90, True), 90, 0, True, "90 or below"),
        (Boundary("low", 90, True), 91, -1, False, "90 or below"),
        (Boundary("high", 160), 160, 0, False, "above 160"),
        (Boundary("high", 160), 163, 3, True, "above 160"),
        (Boundary("high", 160, True), 160, 0, True, "160 or above"),
        (Boundary("high", 160, True), 150, -10, False, "160 or above"),
    ],
)
def test_al_08_a_boundary_knows_its_side(
    limit: Boundary, value: float, depth: float, beyond: bool, words: str
) -> None:
    """AL-08: how far beyond, whether the limit itself violates, and in which words."""
    assert (limit.depth(value), limit.beyond(value), limit.words()) == (depth, beyond, words)


ALL_PATHS = Filter(
    ceiling_s=60, integral=100, min_time_s=20, floor=140, floor_s=6, tiers=(Tier(125, 9), Tier(130, 4)),
    net_crossings=3, net_window_s=30, gate_s=4, deadband=3, rearm_s=3, settle_s=8,
)  # fmt: skip
ABOVE_120 = Boundary("high", 120)


def follow(
    course: list[tuple[float, bool]], state: Excursion = IDLE, chosen: Filter = ALL_PATHS
) -> list[Any]:
    """Return state and verdict after each sample, one a second."""
    found = []
    for second, (value, good) in enumerate(course, 1):
        state, verdict = judge(chosen, ABOVE_120, state, Sample(value, good, at(second), 1.0))
        found.append((state, verdict))
    return found


def test_af_01_an_excursion_is_counted_second_by_second() -> None:
    """AF-01, ALARMS §3.2: time beyond, area, time at floor and tiers, worst, entries; inside it drains."""
    course = [(122, True), (126, True), (131, True), (124, True), (118, True), (126, True)]
    states = [state for state, _ in follow(course)]
    assert [verdict for _, verdict in follow(course)] == ["pending"] * 4 + ["idle", "pending"]
    assert [state.beyond_s for state in states] == [1, 2, 3, 4, 0, 1]
    assert [state.integral for state in states] == [2, 8, 19, 23, 21, 27]  # inside by 2: it drains by 2
    assert [state.tier_s for state in states] == [(0, 0), (1, 0), (2, 1), (0, 0), (), (1, 0)]
    assert [state.worst for state in states] == [122, 126, 131, 131, None, 126]
    assert [state.since for state in states] == [at(1)] * 4 + [None, at(6)]
    assert [state.crossings for state in states] == [(at(1),)] * 5 + [(at(1), at(6))]
    assert {state.floor_s for state in states} == {0}
    shallow = [state.integral for state, _ in follow([(123, True), (120, True), (120, True)])]
    assert shallow == [3, 2, 1]  # inside by less than a unit it drains by one


@pytest.mark.parametrize(
    ("course", "second", "path"),
    [
        ([140] * 9, 4, "tier"),
        ([139] * 9, 4, "tier"),
        ([129] * 20, 9, "tier"),
        ([125] * 20, 9, "tier"),
        ([124] * 40, 25, "time and depth"),  # 25 s by 4 units: 100
        ([124.9] * 40, 21, "time and depth"),
        ([121] * 70, 60, "ceiling"),
        ([121, 119] * 4, 5, "net"),
        ([121, 119] + [119] * 30 + [121, 119] * 2, None, ""),  # the first entry is over 30 s old
    ],
)
def test_al_14_a_filter_fires_on_the_path_that_is_full_first(
    course: list[float], second: int | None, path: str
) -> None:
    """AL-14, AF-08: at its very second, once, with the first sample of the run as onset."""
    found = follow([(value, True) for value in course])
    fired = [number for number, (_, verdict) in enumerate(found, 1) if verdict == "fires"]
    assert fired == ([second] if second else [])
    if second:
        state = found[second - 1][0]
        assert (state.path, state.fired) == (path, True)
        assert state.onset_at == (at(5) if path == "net" else at(1))


def test_al_14_the_floor_is_a_time_without_a_break() -> None:
    """AL-14: 6 s at the floor or beyond; a second above it begins the count anew."""
    plain = replace(ALL_PATHS, tiers=(), integral=None)
    found = follow([(v, True) for v in [140] * 5 + [139] + [141] * 6], chosen=plain)
    assert [verdict for _, verdict in found] == ["pending"] * 11 + ["fires"]
    assert (found[-1][0].path, found[-1][0].floor_s, found[4][0].floor_s, found[5][0].floor_s) == (
        "floor",
        6,
        5,
        0,
    )
    assert follow([(121, True)], chosen=replace(plain, ceiling_s=0))[0][0].path == "at once"


def test_af_04_the_gate_counts_doubt_and_a_good_value_inside_fills_it() -> None:
    """AF-04: four seconds are held, the fifth counts; told as low quality until a good value inside."""
    found = follow([(130, False)] * 6 + [(118, False), (118, True)])
    assert [verdict for _, verdict in found] == ["held"] * 4 + ["pending"] * 2 + ["idle"] * 2
    states = [state for state, _ in found]
    assert [state.beyond_s for state in states] == [0, 0, 0, 0, 1, 2, 0, 0]
    assert [state.gate_used_s for state in states] == [1, 2, 3, 4, 5, 6, 7, 0]
    assert [state.gate_exhausted for state in states] == [False] * 4 + [True] * 3 + [False]
    inside = follow([(118, False)] * 6)
    assert not any(state.gate_exhausted for state, _ in inside)
    assert follow([(118, False)], chosen=replace(ALL_PATHS, gate_s=0)) == [(IDLE, "idle")]


def fired(**more: Any) -> Excursion:
    """Return the state of an alarm that is present, begun at noon."""
    return Excursion(path="ceiling", onset_at=NOON, worst=150, **more)


def test_an_alarm_closes_at_its_very_second_and_counts_its_returns() -> None:
    """AL-06: re-armed after 3 s well inside, or 8 s inside at all; a return begins both anew."""
    well = follow([(117, True)] * 3, fired())
    assert [(state.clear_s, verdict) for state, verdict in well] == [
        (1, "present"),
        (2, "present"),
        (0, "clears"),
    ]
    assert well[-1][0] is IDLE
    near = follow([(118, True)] * 8, fired())
    assert [verdict for _, verdict in near] == ["present"] * 7 + ["clears"]
    assert [state.clear_s for state, _ in near] == [0] * 8
    mixed = follow([(117, True), (117, True), (118, True), (117, True)], fired())
    assert [(state.clear_s, state.settle_s) for state, _ in mixed] == [(1, 1), (2, 2), (0, 3), (1, 4)]
    back = follow([(117, True), (125, True), (151, True), (117, True), (122, True)], fired())
    assert [state.flaps for state, _ in back] == [0, 1, 1, 1, 2]
    assert [state.worst for state, _ in back] == [150, 150, 151, 151, 151]
    assert {verdict for _, verdict in back} == {"present"}
    assert {state.onset_at for state, _ in back} == {NOON}
    assert {state.path for state, _ in back} == {"ceiling"}
    assert [state.clear_s for state, _ in back] == [1, 0, 0, 1, 0]
    doubt = follow([(117, False)] * 4, fired())
    assert [(state.clear_s, verdict) for state, verdict in doubt] == [(0, "present")] * 4


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (Excursion(path="at once"), "above 120 %, at once"),
        (
            Excursion(path="floor", beyond_s=9, floor_s=6, worst=141),
            "9 s above 120, 6 s at the floor (worst 141)",
        ),
        (Excursion(path="tier", beyond_s=9, worst=131), "9 s above 120, worst 131, depth-tiered delay"),
        (
            Excursion(path="time and depth", beyond_s=14, integral=52.4, worst=1),
            "14 s above 120, 52 point-seconds",
        ),
        (Excursion(path="ceiling", beyond_s=60, worst=1), "60 s above 120, longer than the ceiling"),
        (
            Excursion(path="net", beyond_s=1, worst=1, crossings=(NOON,) * 3, gate_exhausted=True),
            "1 s above 120, 3 entries within the net's window, low quality",
        ),
    ],
)
def test_af_10_each_path_says_on_what_evidence_it_fired(state: Excursion, words: str) -> None:
    """AF-10: seconds, depth, area or entries, and whether the quality was in doubt."""
    assert why(ABOVE_120, state, "%") == words


# --- a cuff reading and its repeat (ALARMS §3.3) ------------------------------------------------------------

FIRST = Confirmation(NOON, 165, at(120))
HELD = Confirmation(NOON, 165, None, True)


def take(
    value: float, state: Confirmation | None = None, second: float = 60, *, good: bool = True, **more: Any
) -> tuple[Any, ...]:
    """Pass one cuff reading, so many seconds after noon, through a limit of 160."""
    rule = {"needs_repeat": True, "repeat_within_s": 0.0, "deadband": 5.0, **more}
    return confirm(Boundary("high", 160), state, Sample(value, good, at(second), 0.0), **rule)


def test_a_first_reading_beyond_asks_for_its_repeat() -> None:
    """ALARMS §3.3: within 2 min or the rule's own time; a good one that needs none alarms at once."""
    assert take(165) == (Confirmation(at(60), 165, at(180)), "pending", "")
    assert take(165, repeat_within_s=90.0) == (Confirmation(at(60), 165, at(150)), "pending", "")
    assert take(165, asked_at=at(100)) == (Confirmation(at(60), 165, at(220)), "pending", "")
    once = {"needs_repeat": False}
    assert take(165, **once) == (Confirmation(at(60), 165, None, True), "fires", "at once")
    assert take(165, repeat_within_s=90.0, **once) == (
        Confirmation(at(60), 165, at(150), True),
        "fires",
        "at once",
    )
    assert take(165, good=False, **once) == (Confirmation(at(60), 165, at(180)), "pending", "")
    assert take(160) == (None, "idle", "")


def test_a_repeat_confirms_dismisses_or_leaves_it_open() -> None:
    """ALARMS §3.3: another reading confirms, a good one inside dismisses, one in doubt does neither."""
    assert take(161, FIRST) == (replace(FIRST, present=True, repeat_due_at=None), "fires", "confirmed")
    assert take(161, FIRST, 0) == (FIRST, "held", "")
    assert take(161, HELD, 0) == (HELD, "present", "")
    assert take(190, HELD) == (HELD, "present", "")
    assert take(150, FIRST) == (None, "idle", "")
    assert take(150, FIRST, good=False) == (FIRST, "held", "")
    assert take(150, HELD, good=False) == (HELD, "present", "")
    assert take(155, HELD) == (None, "clears", "")
    waiting = replace(HELD, repeat_due_at=at(120))
    assert take(156, waiting) == (HELD, "present", "")
    assert take(160, HELD, deadband=0.0) == (None, "clears", "")
