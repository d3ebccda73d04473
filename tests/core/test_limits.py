"""Limits: priorities, boundaries, changes, what a session is pinned to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitor.core import inputs as given
from monitor.core.protocol import (
    PRIORITY,
    RANK,
    Baseline,
    Cadence,
    Filter,
    Harm,
    Hold,
    Limit,
    Onset,
    Priority,
)
from monitor.core.session import boundary_of
from monitor.core.soundness import problems
from tests.core.scene import Scene, protocol, protocols

CELLS: list[tuple[Harm, Onset, Priority]] = [
    ("death_or_irreversible", "immediate", "high"),
    ("death_or_irreversible", "prompt", "high"),
    ("death_or_irreversible", "delayed", "medium"),
    ("reversible_injury", "immediate", "high"),
    ("reversible_injury", "prompt", "medium"),
    ("reversible_injury", "delayed", "low"),
    ("minor", "immediate", "medium"),
    ("minor", "prompt", "low"),
    ("minor", "delayed", "low"),
]


@pytest.mark.parametrize(("harm", "onset", "priority"), CELLS)
def test_al_01_priority_is_computed_from_harm_and_onset(harm: Harm, onset: Onset, priority: Priority) -> None:
    """AL-01: nine cells of the table; a rule has no priority of its own."""
    limit = Limit("x", "spo2", "low", harm, onset, "test", limit=90)
    assert limit.priority == priority
    assert len(PRIORITY) == 9
    assert "priority" not in Limit.__dataclass_fields__


@pytest.mark.parametrize("name", sorted(protocols()))
def test_al_01_every_rule_of_every_protocol_has_a_cell(name: str) -> None:
    """AL-01: no rule without a cell; and what ships is found sound."""
    assert all(limit.priority in RANK for limit in protocols()[name].limits)
    assert problems(protocols()[name]) == []


@pytest.mark.parametrize(
    ("values", "rule", "violates"),
    [
        ({"spo2": 89}, "spo2-low-urgent", True),
        ({"spo2": 90}, "spo2-low-urgent", False),
        ({"spo2": 92}, "spo2-low", True),
        ({"spo2": 93}, "spo2-low", False),
        ({"pulse": 131}, "pulse-rate-high-urgent", True),
        ({"pulse": 130}, "pulse-rate-high-urgent", False),
        ({"pulse": 40}, "pulse-rate-low-urgent", True),
        ({"pulse": 41}, "pulse-rate-low-urgent", False),
        ({"pulse": 49}, "pulse-rate-low", True),
        ({"pulse": 50}, "pulse-rate-low", False),
    ],
)
def test_al_08_the_limit_itself_is_pinned(values: dict[str, float], rule: str, violates: bool) -> None:
    """AL-08: 89 at limit 90 violates, 90 does not; at_limit rules include the limit; the text says which."""
    scene = Scene().start()
    scene.stream(40, **{"spo2": 97, **values})
    assert (rule in scene.rules()) is violates
    if violates:
        limit = next(x for x in protocol().limits if x.id == rule)
        side = "below" if limit.side == "low" else "above"
        words = f"{limit.limit:g} or {side}" if limit.at_limit else f"{side} {limit.limit:g}"
        assert scene.alarm(rule).limit == words


@pytest.mark.parametrize(
    ("systolic", "rule", "violates"),
    [
        (180, "systolic-high-urgent", True),
        (179, "systolic-high-urgent", False),
        (90, "systolic-low-urgent", True),
        (91, "systolic-low-urgent", False),
    ],
)
def test_al_08_cuff_limits_include_what_the_protocol_says(systolic: float, rule: str, violates: bool) -> None:
    """AL-08, CLINICAL §1.3: SBP >= 180 and <= 90 are urgent and alarm on the first reading."""
    scene = Scene().start()
    scene.cuff(systolic, 70)
    assert (rule in scene.rules()) is violates


REFUSED = [
    ({"value": 60}, "outside 70 to 99"),
    ({"value": 84}, "AL-11"),
    ({"value": float("nan")}, "outside"),
    ({"value": 92, "role": "nurse"}, "clinician"),
    ({"value": 92, "reason": " "}, "reason"),
    ({"limit_id": "nonsense", "value": 92}, "no limit"),
    ({"on": False}, "AF-07"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED)
def test_al_09_a_limit_change_outside_the_rules_is_refused(change: dict[str, object], words: str) -> None:
    """AL-09, AL-11, AF-07: sanity range, role, reason; the urgent SpO2 limit is never off."""
    scene = Scene().start()
    asked = {"limit_id": "spo2-low-urgent", "by": "dr", "role": "clinician", "reason": "COPD", **change}
    told = scene.give(given.SetLimit(**asked))  # type: ignore[arg-type]
    assert [o.outcome for o in told] == ["Refused"]
    assert words in told[0].reason
    assert scene.bed.session is not None
    assert not scene.bed.session.changes


def test_al_09_a_limit_cannot_cross_its_opposite() -> None:
    """AL-09: lo < hi, with everything in force."""
    scene = Scene().start()
    told = scene.give(given.SetLimit("pulse-rate-low", "dr", "clinician", "athlete", 115))
    assert "would cross" in told[0].reason
    told = scene.give(given.SetLimit("pulse-rate-high", "dr", "clinician", "athlete", 45))
    assert "would cross" in told[0].reason
    assert Scene().give(given.SetLimit("pulse-rate-low", "dr", "clinician", "x", 45))[0].outcome == "Refused"


def test_al_09_a_change_takes_effect_at_a_stated_reading_and_is_told() -> None:
    """AL-09: who, why, from what to what, and after which reading."""
    scene = Scene().start()
    scene.stream(3, spo2=97)
    at = scene.now
    told = scene.give(given.SetLimit("spo2-low-urgent", "dr", "clinician", "COPD", 87), after_s=0.5)
    [changed] = [o for o in told if o.outcome == "LimitChanged"]
    assert (changed.by, changed.reason, changed.value, changed.detail["was"]) == ("dr", "COPD", 87, 90)
    assert changed.detail["after_reading"] == at.isoformat()
    scene.course([88] * 60)
    assert "spo2-low-urgent" not in scene.rules()
    scene.course([86] * 31)
    assert scene.alarm("spo2-low-urgent").limit == "below 87"


def test_al_10_the_next_session_starts_from_the_preset() -> None:
    """AL-10: a limit set for one patient ends with that session; the session names what it started from."""
    scene = Scene().start()
    scene.give(given.SetLimit("spo2-low-urgent", "dr", "clinician", "COPD", 87))
    scene.give(given.EndSession("nurse", "done"))
    scene.start(session_id="s2")
    scene.course([97] * 3 + [88] * 31)
    assert scene.alarm("spo2-low-urgent").limit == "below 90"
    digests = [o.detail["protocol_digest"] for o in scene.of("SessionStarted")]
    assert digests == [protocol().digest] * 2
    assert protocol(version="2").digest != protocol().digest


def test_al_28_a_limit_change_is_judged_at_once() -> None:
    """AL-28: the last cuff reading is judged by the new limit; a switched-off limit ends its alarm."""
    scene = Scene().start()
    scene.cuff(185, 90)
    assert "systolic-high-urgent" in scene.rules()
    scene.give(given.SetLimit("systolic-high-urgent", "dr", "clinician", "known hypertension", 200))
    assert "systolic-high-urgent" not in scene.rules()
    scene.give(given.SetLimit("systolic-high-urgent", "dr", "clinician", "treated", 180))
    assert "systolic-high-urgent" in scene.rules()
    scene.give(given.SetLimit("systolic-high-urgent", "dr", "clinician", "arterial line", on=False))
    assert "systolic-high-urgent" not in scene.rules()


def test_al_28_a_changed_limit_never_takes_one_reading_for_two() -> None:
    """AL-28, ALARMS §3.3: judging the last reading again is no repeat of it."""
    scene = Scene().start()
    scene.cuff(165, 90)
    scene.give(given.SetLimit("systolic-high", "dr", "clinician", "stricter", 150))
    assert "systolic-high" not in scene.rules()
    scene.cuff(166, 90, after_s=60)
    assert "systolic-high" in scene.rules()


def test_al_28_a_phase_ends_what_is_not_watched_in_it() -> None:
    """AL-28: limits of one phase only; their alarms end with it, the milder ones first and without sound."""
    limits = tuple(
        replace(x, phases=("baseline",)) if x.id.startswith("spo2-low") else x for x in protocol().limits
    )
    scene = Scene().start(protocol(limits=limits))
    scene.course([97] * 5 + [84] * 40)
    scene.give(given.RecordDose(35, "iv", "nurse", reason="go"))
    assert not {"spo2-low", "spo2-low-urgent"} & scene.rules()
    assert not scene.of("AlarmResumed")
    scene.course([84] * 40)
    assert not {"spo2-low", "spo2-low-urgent"} & scene.rules()


def test_al_12_the_delays_of_an_alarm_are_kept() -> None:
    """AL-12: onset (t1) and decision (t2) are stored for each alarm; device averaging is in its profile."""
    scene = Scene().start()
    scene.course([97] * 5 + [89] * 40)
    alarm = scene.alarm("spo2-low-urgent")
    assert alarm.present_at - alarm.onset_at == timedelta(seconds=29)
    assert scene.of("AlarmRaised", "spo2-low-urgent")[0].detail["onset_at"] == alarm.onset_at.isoformat()
    assert "averaging_s" in scene.bed.devices["oximeter-1"].profile.__dataclass_fields__


def changed(**limit: object) -> list[str]:
    """Return the keys of the problems when the urgent SpO2 limit is changed."""
    limits = tuple(
        replace(x, **limit) if x.id == "spo2-low-urgent" else x  # type: ignore[arg-type]
        for x in protocol().limits
    )
    return [p.key for p in problems(protocol(limits=limits))]


def refiltered(**fields: object) -> list[str]:
    """Return the keys of the problems when the default filter is changed."""
    chosen = replace(protocol().filters["time-and-depth"], **fields)  # type: ignore[arg-type]
    filters: dict[str, Filter] = {**protocol().filters, "time-and-depth": chosen}
    return [p.key for p in problems(protocol(filters=filters))]


def test_al_11_a_profile_below_85_is_refused() -> None:
    """AL-11: a default profile cannot put the SpO2 low limit under 85 %."""
    assert changed(limit=84.0) == ["limits.spo2-low-urgent.limit"]
    assert changed(limit=85.0) == []


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"gate_s": 9.0}, "filters.time-and-depth.gate_s"),
        ({"gate_s": -1.0}, "filters.time-and-depth.gate_s"),
        ({"ceiling_s": 31.0}, "filters.time-and-depth.ceiling_s"),
        ({"ceiling_s": float("inf")}, "filters.time-and-depth.ceiling_s"),
        ({"floor": None}, "limits.spo2-low-urgent.filter"),
        ({"floor": 60.0}, "limits.spo2-low-urgent.filter"),
        ({"floor_s": 7.0}, "filters.time-and-depth.floor_s"),
        ({"min_time_s": 0.0}, "filters.time-and-depth.integral"),
        ({"net_crossings": 0}, "limits.spo2-low-urgent.filter"),
        ({"settle_s": 5.0}, "filters.time-and-depth.settle_s"),
    ],
)
def test_af_07_an_unsafe_filter_is_refused(fields: dict[str, object], key: str) -> None:
    """AF-07, AF-08: gate over 8 s, no ceiling, no floor, delay over 30 s, integral alone or without net."""
    assert key in refiltered(**fields)


def test_af_07_a_protocol_with_holes_is_refused_with_every_mistake_at_once() -> None:
    """AF-07: each mistake has place, words and remedy."""
    base = protocol()
    [urgent] = [x for x in base.limits if x.id == "spo2-low-urgent"]
    broken = replace(
        base,
        limits=(
            *(x for x in base.limits if x.id != "spo2-low-urgent"),
            replace(urgent, on=False, source="", filter="nowhere", latching=False),
            replace(urgent, id="a", limit=None),
            replace(urgent, id="b", metric="charm"),
            replace(urgent, id="c", rise=-1.0, confirm=True),
            replace(urgent, id="c", side="high", limit=80.0),
            replace(urgent, id="d", metric="nibp_systolic", limit=100.0),
        ),
        watch=(*(w for w in base.watch if w.metric != "spo2"), replace(base.watch[0], metric="nibp_mean")),
        cadence=(),
        checkpoints=(replace(base.checkpoints[0], late_min=0, metrics=("charm",)),),
        discharge=(
            replace(base.discharge[0], minutes=0),
            replace(base.discharge[1], metric="charm"),
            replace(base.discharge[6], scale="", at_least=None),
        ),
        timing=replace(
            base.timing, audio_pause_max_s=601, alarm_pause_max_s=300, reminder_s=900, acknowledge_high_s=0
        ),
        filters={
            **base.filters,
            "tiers": Filter(ceiling_s=30, tiers=(replace_tier(31),), floor=85, source="test"),
        },
    )
    found = problems(broken)
    keys = {p.key for p in found}
    assert {
        "limits.spo2-low-urgent.source",
        "limits.spo2-low-urgent.filter",
        "limits.spo2-low-urgent.on",
        "limits.a.limit",
        "limits.b.metric",
        "limits.c.rise",
        "limits.c.confirm",
        "limits.c",
        "limits.spo2-low.limit",
        "limits.d.filter",
        "watch",
        "watch.nibp_mean.metric",
        "cadence",
        "checkpoints.bp-5.late_min",
        "checkpoints.bp-5.metrics",
        "discharge.observed.minutes",
        "discharge.pressure-recent.metric",
        "discharge.alert.scale",
        "discharge.alert.at_least",
        "timing.audio_pause_s",
        "timing.alarm_pause_max_s",
        "timing.reminder_s",
        "timing.acknowledge_high_s",
        "filters.tiers.tiers[0].delay_s",
    } <= keys
    assert all(p.text and p.remedy for p in found)


def replace_tier(delay_s: float) -> object:
    """Return a tier with a delay in seconds."""
    from monitor.core.protocol import Tier

    return Tier(85, delay_s)


def test_af_07_watch_ages_must_grow_and_be_short() -> None:
    """AL-29: stale after 30 s at most, then medium, then high; and an urgent SpO2 limit there must be."""
    base = protocol()
    watch = (replace(base.watch[0], stale_after_s=31, medium_after_s=20), *base.watch[1:])
    keys = {p.key for p in problems(replace(base, watch=watch))}
    assert keys == {"watch.spo2.stale_after_s", "watch.spo2.medium_after_s"}
    without = tuple(x for x in base.limits if x.id != "spo2-low-urgent")
    assert [p.text for p in problems(replace(base, limits=without))] == ["no urgent SpO2 low limit"]


def test_a_limit_is_found_by_its_id_or_not_at_all() -> None:
    """AL-09: a wrong id is an error, never another limit."""
    assert protocol().limit("spo2-low").limit == 93
    with pytest.raises(KeyError):
        protocol().limit("nonsense")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"phases": ()}, "limits.spo2-low-urgent.phases"),
        ({"phases": ("dosing", "observation")}, "limits.spo2-low-urgent.phases"),
        ({"on": False}, "limits.spo2-low-urgent.on"),
        ({"repeat_within_s": -1.0}, "limits.spo2-low-urgent.repeat_within_s"),
    ],
)
def test_af_07_the_urgent_spo2_limit_cannot_be_made_to_rest_unseen(change: dict[str, Any], key: str) -> None:
    """AF-07: a limit that is live in no phase, or not in every live one, is refused by name."""
    limits = tuple(
        replace(limit, **change) if limit.id == "spo2-low-urgent" else limit for limit in protocol().limits
    )
    assert key in {problem.key for problem in problems(protocol(limits=limits))}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"name": " "}, "name"),
        ({"dosing_min": -1.0}, "dosing_min"),
        ({"baseline": Baseline(readings=0)}, "baseline"),
        ({"cadence": (Cadence("dosing", 0.0, "test"),)}, "cadence (dosing).every_min"),
        ({"cadence": (Cadence("dosing", 5.0, "test", 6.0, 5.0),)}, "cadence (dosing).high_late_min"),
        ({"hold": (Hold("pressure", 140.0, "test"),)}, "hold (pressure).metric"),
    ],
)
def test_af_07_numbers_that_mean_nothing_are_refused(change: dict[str, Any], key: str) -> None:
    """AF-07, AL-09: each with its place; nothing is silently taken for something else."""
    assert key in {problem.key for problem in problems(replace(protocol(), **change))}


def test_al_27_a_limit_switched_off_and_on_raises_another_alarm() -> None:
    """AL-27, AL-45: the last reading is judged anew, from then on: the old alarm's name is not used again."""
    scene = Scene().start()
    scene.cuff(190, 100)
    for on in (False, True):
        scene.give(given.SetLimit("systolic-high-urgent", "dr", "clinician", "as agreed", on=on), after_s=5)
    first, second = scene.of("AlarmRaised", "systolic-high-urgent")
    assert first.alarm_id != second.alarm_id
    assert second.detail["onset_at"] == scene.now.isoformat()


def test_al_09_switching_a_limit_on_keeps_the_value_that_was_set() -> None:
    """AL-09: 95 was set for this patient; off and on again is 95, not the preset 93."""
    scene = Scene().start()
    for change in ({"value": 95.0}, {"on": False}, {"on": True}):
        scene.give(given.SetLimit("spo2-low", "dr", "clinician", "as agreed", **change))  # type: ignore[arg-type]
    assert scene.bed.session is not None
    assert scene.bed.session.plan["spo2"].low == 95


def test_al_09_a_limit_cannot_be_switched_on_across_another() -> None:
    """AL-09: the low limit was raised while the high one was off."""
    scene = Scene().start()
    changes: tuple[tuple[str, bool, float | None], ...] = (
        ("pulse-rate-high", False, None),
        ("pulse-rate-low", True, 120.0),
        ("pulse-rate-high", True, None),
    )
    for rule, on, value in changes:
        scene.give(given.SetLimit(rule, "dr", "clinician", "as agreed", value, on))
    assert "would cross pulse-rate-low at 120" in scene.of("Refused")[0].reason


def test_al_28_a_limit_tightened_below_the_last_reading_asks_for_a_repeat_from_now() -> None:
    """AL-28: 158 was read 5 min ago; with the limit at 150 a repeat is asked for, and not missed at once."""
    scene = Scene().start()
    scene.cuff(158, 80)
    scene.stream(300, spo2=97)
    scene.give(given.SetLimit("systolic-high", "dr", "clinician", "as agreed", 150))
    assert len(scene.of("ReadingUnconfirmed", "systolic-high")) == 1
    scene.stream(120, spo2=97)
    assert "repeat:cuff" not in scene.rules()
    scene.stream(1, spo2=97)
    assert "repeat:cuff" in scene.rules()
    scene.give(given.SetLimit("systolic-high", "dr", "clinician", "as before", 160))
    assert scene.of("ReadingNotConfirmed")[0].reason == "first 158, the limit is 160 now mm[Hg]"


def test_al_28_a_limit_that_begins_with_a_phase_judges_the_last_reading() -> None:
    """AL-28: 185 was read before the dose; a limit that is live from the dose on does not wait 10 min."""
    limits = tuple(
        replace(x, phases=("dosing", "observation", "ready")) if x.id == "systolic-high-urgent" else x
        for x in protocol().limits
    )
    scene = Scene().start(protocol(limits=limits))
    scene.cuff(185, 80)
    assert "systolic-high-urgent" not in scene.rules()
    scene.give(given.RecordDose(35, "iv", "nurse", reason="known"), after_s=60)
    assert scene.alarm("systolic-high-urgent").onset_at == scene.now


def test_al_07_the_limit_in_force_is_the_change_and_off_is_none() -> None:
    """AL-07: what a page shows beside a value is what the filters use."""
    scene = Scene().start()
    limit = next(x for x in protocol().limits if x.id == "pulse-rate-high-urgent")

    def in_force() -> float | None:
        assert scene.bed.session is not None
        found = boundary_of(scene.bed.session, limit)
        return found and found.value

    assert in_force() == 130
    scene.give(given.SetLimit(limit.id, "dr", "clinician", "an athlete", 125))
    assert in_force() == 125
    scene.give(given.SetLimit(limit.id, "dr", "clinician", "agreed", None, False))
    assert in_force() is None


def test_a_mark_on_a_streaming_value_is_made_beyond_its_limit_only() -> None:
    """CLINICAL 3.3: an annotation marks the chart and never alarms, of any metric."""
    mark = Limit("spo2-mark", "spo2", "low", "minor", "delayed", "a test", limit=85.0, annotation=True)
    scene = Scene().start(protocol(limits=(*protocol().limits, mark)))
    scene.stream(3, spo2=97)
    scene.stream(1, spo2=89)  # beyond another limit, not beyond the mark
    assert scene.of("LimitAnnotated") == []
    scene.stream(1, spo2=84)
    assert [one.rule for one in scene.of("LimitAnnotated")] == ["spo2-mark"]
    assert "spo2-mark" not in scene.rules()


def test_al_22_an_alarm_of_a_floor_cannot_be_paused_whatever_its_priority() -> None:
    """AL-22: a medium limit that fired at its floor guards that floor; by another path it may be paused."""
    base = protocol()
    limits = tuple(x for x in base.limits if x.id == "spo2-low")
    filters = {"sustained-30": replace(base.filters["sustained-30"], floor=85, floor_s=6)}
    for course, pausable in (([84] * 8, False), ([91] * 32, True)):
        scene = Scene().start(protocol(limits=limits, filters=filters))
        scene.course([97, *course])
        assert scene.alarm("spo2-low").pausable is pausable
