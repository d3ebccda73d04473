"""What a protocol may say, to the last number that is still sound and the first that is not.

Every row changes one thing of a sound protocol and names the one place that is then refused; the shipped
protocols are sound themselves. Figures: AF-07, AL-09, AL-11, AL-20, AL-24, AL-29.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from monitor.core.protocol import (
    LIVE_PHASES,
    Baseline,
    Cadence,
    Checkpoint,
    Criterion,
    Filter,
    Hold,
    Limit,
    Protocol,
    Tier,
    Watch,
)
from monitor.core.soundness import limit_problems, problems
from tests.core.scene import protocol, protocols


def places(of: Protocol) -> list[str]:
    """Return where a protocol's problems stand; each has words and a remedy."""
    found = problems(of)
    assert all(one.text.strip() and one.remedy.strip() for one in found)
    return [one.key for one in found]


def with_limit(limit_id: str, **changes: Any) -> Protocol:
    """Return the IV protocol with one limit changed."""
    return protocol(limits=tuple(replace(x, **changes) if x.id == limit_id else x for x in protocol().limits))


def with_filter(**changes: Any) -> Protocol:
    """Return the IV protocol with its urgent SpO2 filter changed."""
    base = protocol().filters
    return protocol(filters={**base, "time-and-depth": replace(base["time-and-depth"], **changes)})


def with_first(part: str, **changes: Any) -> Protocol:
    """Return the IV protocol with the first of its watches, checkpoints ... changed."""
    first, *rest = getattr(protocol(), part)
    return protocol(**{part: (replace(first, **changes), *rest)})


def with_timing(**changes: Any) -> Protocol:
    """Return the IV protocol with its times of acknowledgement, pause and reminder changed."""
    return protocol(timing=replace(protocol().timing, **changes))


@pytest.mark.parametrize("name", sorted(protocols()))
def test_af_07_what_ships_is_sound(name: str) -> None:
    """AF-07: no shipped protocol has a problem."""
    assert places(protocols()[name]) == []


# What a limit of each metric may be at all (AL-09; proposed, ALARMS §2): both ends belong to it.
RANGES = {
    "spo2": (70, 99),
    "heart_rate": (30, 220),
    "pulse_rate": (30, 220),
    "nibp_pulse_rate": (30, 220),
    "nibp_systolic": (60, 240),
    "nibp_diastolic": (30, 150),
    "nibp_mean": (40, 180),
    "respiration_rate": (4, 60),
    "etco2": (10, 90),
    "temperature": (33, 41),
    "perfusion_index": (0.05, 10),
}


@pytest.mark.parametrize(("metric", "ends"), RANGES.items())
def test_al_09_a_limit_lies_in_the_range_of_its_metric(metric: str, ends: tuple[float, float]) -> None:
    """AL-09: the ends themselves are allowed, a hair beyond is refused with the range."""
    limit = Limit("x", metric, "high", "minor", "delayed", "test")
    for value, sound in ((ends[0], True), (ends[1], True), (ends[0] - 0.01, False), (ends[1] + 0.01, False)):
        found = list(limit_problems("here", limit, value))
        assert [one.key for one in found] == ([] if sound else ["here"]), value
        assert all(f"{ends[0]:g} to {ends[1]:g}" in one.text and "AL-09" in one.remedy for one in found)


def test_al_11_only_the_low_side_of_spo2_ends_at_85() -> None:
    """AL-11: 85 % is the lowest low limit; a high limit of SpO2 and a low one of a rate have no such end."""
    for metric, side, value, sound in (
        ("spo2", "low", 85, True),
        ("spo2", "low", 84.9, False),
        ("spo2", "high", 84, True),
        ("pulse_rate", "low", 40, True),
    ):
        limit = Limit("x", metric, side, "minor", "delayed", "test")  # type: ignore[arg-type]
        assert (list(limit_problems("here", limit, value)) == []) is sound, (metric, side, value)


def with_cadence(*numbers: float) -> Protocol:
    """Return the IV protocol with one cadence: every so many minutes, late so many for medium and high."""
    return protocol(cadence=(Cadence("dosing", numbers[0], "test", *numbers[1:]),))


def with_watch(metric: str) -> Protocol:
    """Return the IV protocol with one more metric watched."""
    return protocol(watch=(*protocol().watch, Watch(metric, 10, 30, 120, "test")))


FLOW = "filters.time-and-depth"
URGENT = "limits.spo2-low-urgent"
BEFORE = [f"{URGENT}.repeat_within_s", f"{URGENT}.confirm"]
SOUND_AND_NOT: list[tuple[str, Protocol, list[str]]] = [
    # filters (AF-07, AL-14)
    ("gate 8", with_filter(gate_s=8), []),
    ("gate 8.1", with_filter(gate_s=8.1), [f"{FLOW}.gate_s"]),
    ("gate 0", with_filter(gate_s=0), []),
    ("gate -0.1", with_filter(gate_s=-0.1), [f"{FLOW}.gate_s"]),
    ("ceiling 30", with_filter(ceiling_s=30), []),
    ("ceiling 0", with_filter(ceiling_s=0), []),
    ("ceiling 30.1", with_filter(ceiling_s=30.1), [f"{FLOW}.ceiling_s"]),
    ("ceiling -1", with_filter(ceiling_s=-1), [f"{FLOW}.ceiling_s"]),
    ("no integral", with_filter(integral=None, min_time_s=0, net_crossings=0), []),
    ("integral 0", with_filter(integral=0), [f"{FLOW}.integral"]),
    ("integral 0.5", with_filter(integral=0.5, min_time_s=0.5), []),
    ("integral alone", with_filter(min_time_s=0), [f"{FLOW}.integral"]),
    ("integral without the net", with_filter(net_crossings=0), [f"{URGENT}.filter"]),
    ("floor time 6", with_filter(floor_s=6), []),
    ("floor time 0", with_filter(floor_s=0), []),
    ("floor time 6.1", with_filter(floor_s=6.1), [f"{FLOW}.floor_s"]),
    ("floor time -1", with_filter(floor_s=-1), [f"{FLOW}.floor_s"]),
    ("floor 75", with_filter(floor=75), []),
    ("floor 74.9", with_filter(floor=74.9), [f"{URGENT}.filter"]),
    ("no floor", with_filter(floor=None, floor_s=99), [f"{URGENT}.filter"]),
    ("deadband 0", with_filter(deadband=0), []),
    ("deadband -1", with_filter(deadband=-1), [f"{FLOW}.settle_s"]),
    ("re-arm 0", with_filter(rearm_s=0), []),
    ("re-arm -1", with_filter(rearm_s=-1), [f"{FLOW}.settle_s"]),
    ("settles as it re-arms", with_filter(rearm_s=60, settle_s=60), []),
    ("settles sooner", with_filter(rearm_s=60, settle_s=59), [f"{FLOW}.settle_s"]),
    ("tiers of 0 and 30 s", with_filter(tiers=(Tier(88, 30), Tier(86, 0))), []),
    ("a tier of 31 s", with_filter(tiers=(Tier(88, 5), Tier(86, 31))), [f"{FLOW}.tiers[1].delay_s"]),
    ("a tier of -1 s", with_filter(tiers=(Tier(88, -1),)), [f"{FLOW}.tiers[0].delay_s"]),
    # limits
    ("unknown metric", with_limit("systolic-low", metric="charm"), ["limits.systolic-low.metric"]),
    ("no limit", with_limit("systolic-high", limit=None), ["limits.systolic-high.limit"]),
    ("a rise alone", with_limit("systolic-high", limit=None, rise=40), []),
    ("a share alone", with_limit("systolic-high", limit=None, rise_fraction=0.2), []),
    ("a rise of 0", with_limit("systolic-rise", rise=0), ["limits.systolic-rise.rise"]),
    ("a share of 0", with_limit("systolic-rise", rise_fraction=0), ["limits.systolic-rise.rise_fraction"]),
    ("a small rise", with_limit("systolic-rise", rise=0.5), []),
    ("no source", with_limit("systolic-high", source=" "), ["limits.systolic-high.source"]),
    ("no phase", with_limit("systolic-high", phases=()), ["limits.systolic-high.phases"]),
    ("a repeat before", with_limit("spo2-low-urgent", repeat_within_s=-1), BEFORE),
    ("a cuff filtered", with_limit("systolic-high", filter="rate-10"), ["limits.systolic-high.filter"]),
    ("no filter", with_limit("spo2-low", filter=""), ["limits.spo2-low.filter"]),
    ("unknown filter", with_limit("spo2-low", filter="nowhere"), ["limits.spo2-low.filter"]),
    ("a mark needs none", with_limit("spo2-low", filter="", annotation=True), []),
    ("a stream repeated", with_limit("spo2-low", confirm=True), ["limits.spo2-low.confirm"]),
    ("a stream repeated in time", with_limit("spo2-low", repeat_within_s=60), ["limits.spo2-low.confirm"]),
    ("a milder one may be off", with_limit("spo2-low", on=False), []),
    ("a milder one may rest", with_limit("spo2-low", phases=("dosing",)), []),
    ("the urgent one off", with_limit("spo2-low-urgent", on=False), [f"{URGENT}.on"]),
    ("the urgent one rests", with_limit("spo2-low-urgent", phases=LIVE_PHASES[:3]), [f"{URGENT}.phases"]),
    ("the urgent one in no phase", with_limit("spo2-low-urgent", phases=()), [f"{URGENT}.phases"]),
    ("a milder filter has no floor", with_limit("spo2-low", filter="rate-10"), []),
    ("the urgent one without a floor", with_limit("spo2-low-urgent", filter="rate-10"), [f"{URGENT}.filter"]),
    ("an urgent rate without a floor", with_limit("pulse-rate-low-urgent", filter="rate-10"), []),
    ("low above high", with_limit("pulse-rate-low", limit=110), ["limits.pulse-rate-low.limit"]),
    ("low below high", with_limit("pulse-rate-low", limit=109), []),
    ("no urgent SpO2", with_limit("spo2-low-urgent", harm="reversible_injury"), ["limits"]),
    ("urgent SpO2 only relative", with_limit("spo2-low-urgent", limit=None, rise=5), ["limits"]),
    ("urgent SpO2 high only", with_limit("spo2-low-urgent", side="high", limit=99), ["limits"]),
    # names
    ("two limits of a name", with_limit("spo2-low", id="systolic-low"), ["limits.systolic-low"]),
    ("two checkpoints of a name", with_first("checkpoints", id="bp-end"), ["checkpoints.bp-end"]),
    ("two criteria of a name", with_first("discharge", id="escort"), ["discharge.escort"]),
    ("two watches of a metric", with_first("watch", metric="pulse_rate"), ["watch.pulse_rate", "watch"]),
    # what must keep coming (AL-29)
    ("stale at 30", with_first("watch", stale_after_s=30), []),
    ("stale at 31", with_first("watch", stale_after_s=31, medium_after_s=31), ["watch.spo2.stale_after_s"]),
    ("stale at 0", with_first("watch", stale_after_s=0), ["watch.spo2.stale_after_s"]),
    ("stale at 0.5", with_first("watch", stale_after_s=0.5), []),
    ("all at once", with_first("watch", stale_after_s=30, medium_after_s=30, high_after_s=30), []),
    ("medium before stale", with_first("watch", medium_after_s=9), ["watch.spo2.medium_after_s"]),
    ("high before medium", with_first("watch", high_after_s=29), ["watch.spo2.medium_after_s"]),
    (
        "a cuff watched",
        with_watch("nibp_mean"),
        ["watch.nibp_mean.metric"],
    ),
    ("charm watched", with_watch("charm"), ["watch.charm.metric"]),
    ("nothing watched", protocol(watch=()), ["watch"]),
    ("no cadence", protocol(cadence=()), ["cadence"]),
    # the whole
    ("no name", replace(protocol(), name=" "), ["name"]),
    ("dosing at once", protocol(dosing_min=0), []),
    ("dosing backwards", protocol(dosing_min=-0.5), ["dosing_min"]),
    ("a baseline of one", protocol(baseline=Baseline(readings=1, apart_min=0)), []),
    ("a baseline of none", protocol(baseline=Baseline(readings=0)), ["baseline"]),
    ("a baseline backwards", protocol(baseline=Baseline(apart_min=-1)), ["baseline"]),
    ("a cuff each half minute", with_cadence(0.5, 5, 5), []),
    ("a cuff without a pause", with_cadence(0), ["cadence (dosing).every_min"]),
    ("late at once", with_cadence(5, 0, 5), ["cadence (dosing).high_late_min"]),
    ("high first", with_cadence(5, 6, 5), ["cadence (dosing).high_late_min"]),
    ("a hold on charm", protocol(hold=(Hold("charm", 1, "test"),)), ["hold (charm).metric"]),
    # checkpoints
    ("a window from its instant", with_first("checkpoints", early_min=0, late_min=0.5), []),
    ("a window that is none", with_first("checkpoints", late_min=0), ["checkpoints.bp-5.late_min"]),
    ("a window that begins after", with_first("checkpoints", early_min=-1), ["checkpoints.bp-5.late_min"]),
    ("a checkpoint of charm", with_first("checkpoints", metrics=("charm",)), ["checkpoints.bp-5.metrics"]),
    # times (AL-19, AL-20, AL-24)
    ("a pause of 600", with_timing(audio_pause_s=600, audio_pause_max_s=600), []),
    ("a pause of 601", with_timing(audio_pause_max_s=601), ["timing.audio_pause_s"]),
    ("a default over the most", with_timing(audio_pause_s=9, audio_pause_max_s=8), ["timing.audio_pause_s"]),
    ("no pause", with_timing(audio_pause_s=0), ["timing.audio_pause_s"]),
    ("an alarm pause of 120", with_timing(alarm_pause_max_s=120), []),
    ("an alarm pause of 121", with_timing(alarm_pause_max_s=121), ["timing.alarm_pause_max_s"]),
    ("an alarm pause of 0", with_timing(alarm_pause_max_s=0), ["timing.alarm_pause_max_s"]),
    ("reminded at 300", with_timing(reminder_s=300), []),
    ("reminded at 301", with_timing(reminder_s=301), ["timing.reminder_s"]),
    ("reminded always", with_timing(reminder_s=0), ["timing.reminder_s"]),
    ("a high for a second", with_timing(acknowledge_high_s=1), []),
    ("a high for nothing", with_timing(acknowledge_high_s=0), ["timing.acknowledge_high_s"]),
    ("a medium for nothing", with_timing(acknowledge_medium_s=0), ["timing.acknowledge_medium_s"]),
    ("a low for nothing", with_timing(acknowledge_low_s=0), ["timing.acknowledge_low_s"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("of", "where"), [row[1:] for row in SOUND_AND_NOT], ids=[row[0] for row in SOUND_AND_NOT]
)
def test_af_07_a_protocol_is_refused_at_the_number_that_is_unsound(of: Protocol, where: list[str]) -> None:
    """AF-07, AL-09, AL-29: the last sound number passes, the first unsound one is named, and nothing else."""
    assert places(of) == where


CRITERIA = [
    (Criterion("x", "X", "settled", "test", metric="charm"), ["discharge.x.metric"]),
    (Criterion("x", "X", "not_rising", "test", metric="charm"), ["discharge.x.metric"]),
    (Criterion("x", "X", "near_base", "test", metric="charm"), ["discharge.x.metric"]),
    (Criterion("x", "X", "recent", "test", metric="charm", minutes=1), ["discharge.x.metric"]),
    (Criterion("x", "X", "recent", "test", metric="spo2"), ["discharge.x.minutes"]),
    (Criterion("x", "X", "recent", "test", metric="spo2", minutes=0.5), []),
    (Criterion("x", "X", "elapsed", "test"), ["discharge.x.minutes"]),
    (Criterion("x", "X", "elapsed", "test", minutes=0.5), []),
    (Criterion("x", "X", "score", "test"), ["discharge.x.scale", "discharge.x.at_least"]),
    (Criterion("x", "X", "score", "test", scale="moaas"), ["discharge.x.at_least"]),
    (Criterion("x", "X", "score", "test", scale="moaas", at_least=5), []),
    (Criterion("x", "X", "score", "test", scale="moaas", at_most=5), []),
    (Criterion("x", "X", "asked", "test"), []),
]


@pytest.mark.parametrize(("criterion", "where"), CRITERIA)
def test_af_07_a_criterion_for_discharge_needs_what_its_kind_asks(
    criterion: Criterion, where: list[str]
) -> None:
    """AF-07: a metric that is measured, a duration, a scale with a bound; each where its kind uses it."""
    assert places(protocol(discharge=(criterion,))) == where


def test_af_07_of_two_sides_only_those_of_one_metric_are_compared() -> None:
    """AL-09: the low limit of one metric says nothing of the high one of another, nor a relative one."""
    base = protocol()
    limits = (
        *base.limits,
        Limit("etco2-low", "etco2", "low", "minor", "delayed", "test", limit=80, filter="rate-10"),
        Limit(
            "temperature-high", "temperature", "high", "minor", "delayed", "test", limit=39, filter="rate-10"
        ),
        Limit("etco2-rise", "etco2", "high", "minor", "delayed", "test", rise=5, filter="rate-10"),
    )
    assert places(replace(base, limits=limits)) == []


def test_af_07_a_missing_filter_is_answered_with_those_there_are() -> None:
    """AF-07: the remedy names what can be used, or says that there is nothing yet."""
    lost = [
        p for p in problems(with_limit("spo2-low", filter="nowhere")) if p.key == "limits.spo2-low.filter"
    ]
    assert all(name in lost[0].remedy for name in protocol().filters)
    assert "none is defined" in problems(replace(protocol(), filters={}))[0].remedy


def test_af_07_a_checkpoint_of_two_metrics_names_the_unknown_one() -> None:
    """AF-07: each metric of a checkpoint is looked at."""
    check = Checkpoint("x", "X", "first_dose", 5, 1, 1, "test", metrics=("nibp_systolic", "charm"))
    [found] = problems(protocol(checkpoints=(check,)))
    assert "'charm'" in found.text


def test_af_07_a_filter_nobody_uses_is_looked_at_too() -> None:
    """AF-07: it may be used tomorrow."""
    unused = Filter(ceiling_s=99)
    assert places(protocol(filters={**protocol().filters, "unused": unused})) == ["filters.unused.ceiling_s"]
