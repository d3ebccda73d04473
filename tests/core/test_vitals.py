"""Numbers from devices: values, and what is no value."""

from __future__ import annotations

from datetime import timedelta

import pytest

from monitor.core import bed as core
from monitor.core import inputs as given
from monitor.core import record
from monitor.core.device import DeviceProfile
from monitor.core.session import Session
from monitor.core.turn import Bed, Turn
from monitor.core.vitals import FAULTS, METRICS, Report, screen, screen_pressures
from tests.core.scene import NOON, Scene, observations, protocol


@pytest.mark.parametrize(
    ("metric", "number", "words"),
    [
        ("spo2", -1, "sign for no value"),
        ("spo2", 0, "sign for no value"),
        ("spo2", 127, "not possible"),
        ("spo2", float("nan"), "not a finite"),
        ("spo2", float("inf"), "not a finite"),
        ("spo2", 10**400, "not a finite"),
        ("heart_rate", 255, "sign for no value"),
        ("heart_rate", 511, "sign for no value"),
        ("nibp_systolic", -999, "sign for no value"),
        ("temperature", 50, "not possible"),
        ("spo2", None, "no value"),
    ],
)
def test_al_29_a_sentinel_is_no_value(metric: str, number: float | None, words: str) -> None:
    """AL-29, CLINICAL §5: -1, 0, 127, 255, -999, NaN: no value, with a reason, before any limit sees it."""
    found = screen(metric, number)
    assert found.value is None
    assert found.validity == "invalid"
    assert words in found.reason


@pytest.mark.parametrize(("metric", "number"), [("nibp_systolic", 255), ("nibp_systolic", 127), ("spo2", 50)])
def test_what_can_be_is_a_value(metric: str, number: float) -> None:
    """TeleICU: abnormal values are always kept: a cuff may truly read 127 or 255."""
    assert screen(metric, number).value == number


def test_an_improbable_value_is_kept_and_marked() -> None:
    """CLINICAL §5: outside the plausibility gates: questionable, with what was known before in front."""
    found = screen("heart_rate", 240, "converted from Hz")
    assert (found.value, found.validity) == (240, "questionable")
    assert found.reason == "converted from Hz; outside 25 to 220 /min"
    assert screen("perfusion_index", 0).value == 0


def test_pressures_are_judged_together() -> None:
    """CLINICAL §5: systolic not above diastolic is no value; a narrow pair or a mean outside is in doubt."""
    pairs = {"sys": 120.0, "dia": 80.0, "nibp_mean": 93.0}
    good = observations(pairs)
    assert [o.validity for o in good] == ["valid"] * 3
    swapped = observations({"sys": 80, "dia": 120, "spo2": 97})
    assert [o.value for o in swapped] == [None, None, 97]
    narrow = observations({"sys": 85, "dia": 80, "spo2": 97})
    assert [o.validity for o in narrow] == ["questionable", "questionable", "valid"]
    odd = observations({"sys": 120, "dia": 80, "nibp_mean": 130})
    assert [o.validity for o in odd] == ["valid", "valid", "questionable"]
    assert screen_pressures(observations({"sys": 120})) == observations({"sys": 120})


def test_a_report_says_whose_clock_it_has() -> None:
    """AL-32: the device's, a gateway's, or only the time of arrival."""
    later = NOON + timedelta(seconds=1)
    assert Report("d", later, NOON).time_source == "device"
    assert Report("d", later, gateway_at=NOON).time_source == "gateway"
    assert Report("d", later).time_source == "received"
    assert [Report("d", later, gateway_at=NOON).at, Report("d", later).at] == [NOON, later]


def test_every_metric_and_fault_is_whole() -> None:
    """DESIGN §6: unit, codes and gates in order; a fault names a channel, or the whole device."""
    channels = {metric.channel for metric in METRICS.values()}
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.possible[0] <= metric.plausible[0] < metric.plausible[1] <= metric.possible[1]
        assert metric.unit
        assert metric.loinc
    assert all(fault.channel in channels | {""} for fault in FAULTS.values())


# --- corners of the core that no story reaches -------------------------------------------------------------


def test_readings_without_a_session_are_known_and_judged_by_nobody() -> None:
    """AL-28: between sessions values are kept as the newest, late ones counted for nobody, nothing alarms."""
    scene = Scene()
    scene.give(given.Associate(DeviceProfile("oximeter-1", ("spo2",))))
    scene.report(spo2=70)
    scene.report(spo2=70, measured_at=scene.now - timedelta(hours=2))
    assert scene.bed.latest["spo2"].value == 70
    assert (scene.bed.backlog, scene.rules()) == (None, set())
    with pytest.raises(LookupError, match="no session"):
        _ = Turn(Bed("bed-9"), NOON).session


def test_a_presence_message_may_carry_values() -> None:
    """P-20: 'online' and a value in one message: both count."""
    scene = Scene().start()
    scene.report(spo2=97, online=True)
    assert scene.bed.latest["spo2"].value == 97


def test_a_metric_without_limits_is_charted_only() -> None:
    """DESIGN §3: temperature and mean pressure have no limit here: kept, never an alarm."""
    scene = Scene().start()
    scene.stream(3, spo2=97, temperature=41)
    scene.cuff(120, 75, nibp_mean=200)
    assert scene.bed.latest["temperature"].value == 41
    assert scene.rules() == set()


def test_a_timer_that_never_ends_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN §5: a mistake in a timer raises, so that the old bed stands and the input is quarantined."""
    monkeypatch.setattr(core, "MOST_TIMERS", 1)
    with pytest.raises(RuntimeError, match="do not come to an end"):
        Scene().start().wait(500)


def test_a_continuous_annotation_marks_the_chart() -> None:
    """CLINICAL §0: an annotation of a continuous metric marks once and never alarms; it needs no filter."""
    base = protocol()
    [limit] = [x for x in base.limits if x.id == "spo2-low"]
    mark = type(limit)("mark", "spo2", "low", "minor", "delayed", "test", limit=95, annotation=True)
    scene = Scene().start(protocol(limits=(*base.limits, mark)))
    scene.course([97, 94, 94, 97])
    assert [o.rule for o in scene.of("LimitAnnotated")] == ["mark"]


def test_a_cuff_alarm_with_a_deadband_waits_for_it() -> None:
    """ALARMS §3.2: inside but within the deadband is not over."""
    from dataclasses import replace

    limits = tuple(replace(x, deadband=5) if x.id == "systolic-high-urgent" else x for x in protocol().limits)
    scene = Scene().start(protocol(limits=limits))
    for systolic, present in ((182, True), (178, True), (174, False)):
        scene.cuff(systolic, 90, after_s=60)
        assert ("systolic-high-urgent" in scene.rules()) is present


def test_a_session_knows_its_anchors() -> None:
    """CLINICAL §1.3: from the start, from the first or last dose, from the end of dosing."""
    session = Session("s", "P", protocol(), "real", NOON, "nurse")
    assert session.anchor("session_start") == NOON
    assert session.anchor("first_dose") is None
    assert session.dosing_ends_at() is None


def test_a_record_is_made_of_what_was_told() -> None:
    """AL-50: the record holds outcomes by their number in the journal."""
    told = Scene().start().told[-1]
    summary = record.SessionSummary("s1", "b", "P", "iv", "d", "real", NOON, "nurse")
    kept = record.SessionRecord(summary, protocol(), (record.Entry(1, told),), ())
    assert kept.entries[0].outcome.outcome == "SessionStarted"
    assert kept.deliveries == ()


def test_a_second_device_takes_the_place_of_one_that_never_had_a_value() -> None:
    """AL-53: the first oximeter is searching since the start: the second one's values are the bed's."""
    scene = Scene().start()
    scene.give(given.Associate(DeviceProfile("oximeter-2", ("spo2", "pulse_rate"))))
    scene.report(spo2=None)
    scene.now += timedelta(seconds=1)
    scene.report("oximeter-2", spo2=96)
    assert scene.bed.latest["spo2"].device_id == "oximeter-2"


def test_a_switched_off_limit_leaves_nothing_to_judge() -> None:
    """AL-28: the only limit of a metric goes off: its alarm ends and the last reading is judged by nobody."""
    only = tuple(x for x in protocol().limits if x.id in ("spo2-low-urgent", "systolic-high-urgent"))
    scene = Scene().start(protocol(limits=only))
    scene.cuff(190, 100)
    scene.give(given.SetLimit("systolic-high-urgent", "dr", "clinician", "arterial line", on=False))
    assert scene.rules() == set()
    assert (
        scene.give(given.SetLimit("spo2-low-urgent", "dr", "clinician", "x", 88))[0].outcome == "LimitChanged"
    )


def test_s_11_a_real_value_without_a_limit_ends_no_drill() -> None:
    """S-11: a real temperature during a drill is refused like the rest and ends nothing."""
    scene = Scene().start(mode="drill")
    scene.report(temperature=41, mode="real")
    assert scene.bed.session is not None


def test_af_07_a_sound_tier_and_a_mark_need_no_mending() -> None:
    """AF-07: a tier within 30 s is accepted; an annotation of a continuous metric needs no filter."""
    from dataclasses import replace

    from monitor.core.protocol import Limit, Tier
    from monitor.core.soundness import problems

    base = protocol()
    tiers = replace(base.filters["plain-15"], tiers=(Tier(80, 10),))
    mark = Limit("mark", "spo2", "low", "minor", "delayed", "test", limit=95, annotation=True)
    assert problems(replace(base, filters={**base.filters, "t": tiers}, limits=(*base.limits, mark))) == []
