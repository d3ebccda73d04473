"""Cuff readings: repeat-confirm, hard ceiling, missing repeats, the same limb, values that are carried."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.core import inputs as given
from monitor.core.device import DeviceProfile
from monitor.core.vitals import Report
from tests.core.scene import CUFF, OXIMETER, Scene, observations, protocol

MINUTE = 60.0


def cuffed() -> Scene:
    """Return a scene of the cuff alone."""
    return Scene().start(without=("spo2", "pulse_rate"), reason="a story of the cuff")


def test_a_high_reading_is_confirmed_by_a_repeat() -> None:
    """ALARMS §3.3, drill 2: 168/102, repeat 164/100 within 2 min: then it alarms, with both in the text."""
    scene = cuffed()
    scene.cuff(168, 95)
    assert scene.rules() == set()
    assert scene.names("ReadingUnconfirmed") == ["ReadingUnconfirmed"]
    scene.cuff(164, 95, after_s=90)
    assert (
        scene.alarm("systolic-high").text
        == "systolic 164 mm[Hg]: 168, repeat 164 mm[Hg], above 160 (confirmed)"
    )
    assert scene.alarm("systolic-high").priority == "medium"
    scene.cuff(150, 95, after_s=10 * MINUTE)
    assert "systolic-high" not in scene.rules()


def test_a_repeat_inside_the_limit_is_told_and_alarms_nothing() -> None:
    """ALARMS §3.3: not confirmed: both readings are in the record."""
    scene = cuffed()
    scene.cuff(168, 80)
    scene.cuff(150, 80, after_s=90)
    assert scene.rules() == set()
    assert scene.of("ReadingNotConfirmed")[0].reason == "first 168, repeat 150 mm[Hg]"


def test_the_hard_ceiling_alarms_on_the_first_reading() -> None:
    """ALARMS §3.3, drill 3: 186/112 fires at once and asks for a repeat within 2 min."""
    scene = cuffed()
    scene.cuff(186, 112)
    assert {"systolic-high-urgent", "diastolic-high-urgent"} <= scene.rules()
    assert scene.alarm("systolic-high-urgent").priority == "high"
    scene.wait(121)
    assert scene.alarm("repeat:cuff").kind == "technical"


def test_a_missing_repeat_is_a_technical_alarm_and_clears_nothing() -> None:
    """ALARMS §3.3: the first reading stands as unconfirmed; the next one above the limit confirms it."""
    scene = cuffed()
    scene.cuff(168, 80)
    scene.wait(120)
    assert "repeat:cuff" not in scene.rules()
    scene.wait(1)
    assert "no repeat of systolic 168" in scene.alarm("repeat:cuff").text
    assert "systolic-high" not in scene.rules()
    scene.cuff(163, 80, after_s=5 * MINUTE)
    assert "systolic-high" in scene.rules()
    assert "repeat:cuff" not in scene.rules()


def test_a_reading_in_doubt_needs_a_repeat_even_at_the_ceiling() -> None:
    """CLINICAL §5: a pulse pressure under 10 is suspect: held for one repeat, no longer."""
    scene = cuffed()
    scene.cuff(188, 180)
    assert "systolic-high-urgent" not in scene.rules()
    scene.wait(121)
    assert "repeat:cuff" in scene.rules()
    scene.cuff(189, 181, after_s=10)
    assert "systolic-high-urgent" in scene.rules()


def test_drill_7_a_single_outlier_at_the_ceiling() -> None:
    """Drill 7: 221/148, then 139/84: told at once (hard ceiling), ended by the repeat, latched until seen."""
    scene = cuffed()
    scene.cuff(221, 148)
    scene.cuff(139, 84, after_s=90)
    assert scene.rules() == set()
    assert {alarm.key for alarm in scene.latched()} == {"systolic-high-urgent", "diastolic-high-urgent"}


def test_a_rise_from_the_patients_own_baseline_alarms() -> None:
    """ALARMS §3.3: median of 2 pre-dose readings 5 min apart; +40 alarms; without a baseline it is off."""
    scene = cuffed()
    scene.cuff(110, 70)
    scene.cuff(111, 70, after_s=MINUTE)
    assert not scene.of("BaselineEstablished"), "too close together for a second reading"
    scene.cuff(152, 70, after_s=MINUTE)
    scene.cuff(152, 70, after_s=MINUTE)
    assert scene.rules() == set(), "no baseline, no relative limit"
    scene.cuff(114, 70, after_s=5 * MINUTE)
    assert scene.of("BaselineEstablished")[0].value == 112
    scene.cuff(152, 70, after_s=MINUTE)
    scene.cuff(152, 70, after_s=MINUTE)
    assert "systolic-rise" in scene.rules()


def test_the_baseline_only_tightens() -> None:
    """ALARMS §3.3: a high baseline never lifts the absolute ceiling."""
    scene = cuffed()
    for _ in range(2):
        scene.cuff(138, 88, after_s=5 * MINUTE)
    scene.cuff(170, 88, after_s=5 * MINUTE)
    scene.cuff(170, 88, after_s=MINUTE)
    assert "systolic-high" in scene.rules()
    assert "systolic-rise" not in scene.rules()


def test_twenty_percent_marks_the_chart_once_and_never_alarms() -> None:
    """CLINICAL §0 row 4: +20 % is an annotation."""
    scene = cuffed()
    for _ in range(2):
        scene.cuff(100, 70, after_s=5 * MINUTE)
    for _ in range(3):
        scene.cuff(125, 70, after_s=5 * MINUTE)
    assert len(scene.of("LimitAnnotated")) == 1
    assert scene.rules() == set()


def test_a_cuff_value_keeps_its_own_time() -> None:
    """ALARMS §1.6: a value measured 40 s before its message is placed there; it never lies in the future."""
    scene = Scene().start()
    for own_s, placed_s in ((-40, -40), (30, 0)):
        scene.now += timedelta(seconds=300)
        [systolic] = observations({"sys": 120})
        own = systolic._replace(measured_at=scene.now + timedelta(seconds=own_s))
        scene.give(given.Observe(Report("cuff-1", scene.now, scene.now, (own,))))
        assert scene.bed.latest["nibp_systolic"].at == scene.now + timedelta(seconds=placed_s)


@pytest.mark.parametrize("timed", [True, False])
def test_a_carried_cuff_value_is_not_a_new_measurement(timed: bool) -> None:
    """TeleICU: the last BP in every message: it confirms nothing, and the cuff still becomes overdue."""
    scene = Scene()
    for profile in (OXIMETER, CUFF):
        scene.give(given.Associate(profile))
    scene.start()
    [systolic] = observations({"sys": 165})
    measured = scene.now + timedelta(seconds=1)
    if timed:
        systolic = systolic._replace(measured_at=measured)
    for _ in range(14 * 60):
        scene.now += timedelta(seconds=1)
        values = (*observations({"spo2": 97, "pulse": 70}), systolic)
        scene.give(given.Observe(Report("oximeter-1", scene.now, scene.now, values)))
    assert "systolic-high" not in scene.rules()
    assert len(scene.of("ReadingUnconfirmed")) == 1
    assert "overdue:cuff" in scene.rules()
    scene.now += timedelta(seconds=1)
    scene.give(given.Observe(Report("oximeter-1", scene.now, scene.now, observations({"sys": 166}))))
    assert "systolic-high" in scene.rules()
    assert "overdue:cuff" not in scene.rules()


def test_the_same_pressure_measured_again_is_a_new_measurement() -> None:
    """ALARMS §3.3: two real readings may be equal; a minute apart they are two."""
    scene = Scene().start()
    scene.cuff(165, 80)
    scene.cuff(165, 80, after_s=130)
    assert "systolic-high" in scene.rules()


def squeezed(spo2: float, seconds: int, same: bool = True) -> Scene:
    """Return a scene in which the cuff inflates for ``seconds`` while SpO2 reads ``spo2``."""
    scene = Scene().start()
    scene.give(given.SetSameLimb(same, "nurse"))
    scene.stream(5, spo2=97)
    scene.report("cuff-1", faults=("cuff_inflating",))
    scene.stream(seconds, spo2=spo2)
    return scene


def test_al_54_the_cuff_on_the_same_limb_is_waited_for() -> None:
    """AL-54, drill 6: while the cuff squeezes the probe's limb, SpO2 88 is held back, for 60 s at most."""
    assert squeezed(88, 59).rules() == set()
    assert "spo2-low-urgent" in squeezed(88, 95).rules()
    assert "spo2-low-urgent" in squeezed(88, 40, same=False).rules()


def test_al_54_never_at_the_floor() -> None:
    """AL-54: the deep floor (85) stays live, itself included."""
    assert "spo2-low-urgent" in squeezed(84, 8).rules()
    assert "spo2-low-urgent" in squeezed(85, 8).rules()
    assert squeezed(86, 8).rules() == set()


def test_al_54_a_dropout_in_each_cycle_makes_no_alarm() -> None:
    """AL-54, drill 6: no value while the cuff is up, 40 s each cycle: nothing; no longer than that."""
    scene = squeezed(97, 1)
    scene.stream(40, spo2=None, pulse=None)
    scene.report("cuff-1", faults=())
    scene.stream(60, spo2=97)
    assert not scene.of("AlarmRaised")
    scene.report("cuff-1", faults=("cuff_inflating",))
    scene.stream(72, spo2=None, pulse=None)
    assert "no-data:oximeter" in scene.rules()


def test_al_54_an_oximeter_that_searches_under_the_cuff_is_no_news() -> None:
    """AL-54, drill 6: ``searching`` while the cuff is up and a moment longer; for ever is an alarm."""
    scene = squeezed(97, 1)
    scene.report("oximeter-1", faults=("searching",))
    scene.stream(40, spo2=None, pulse=None)
    scene.report("cuff-1", faults=())
    scene.stream(5, spo2=None, pulse=None)
    assert not scene.of("AlarmRaised")
    scene.stream(30, spo2=None, pulse=None)
    assert "no-data:oximeter" in scene.rules()


def test_al_54_only_the_same_limbs_channel_is_held() -> None:
    """AL-54: it only suppresses what the cuff disturbs; an ECG rate of 140 alarms."""
    scene = squeezed(97, 1)
    for _ in range(12):
        scene.stream(1, spo2=97)
        scene.report(hr=140, measured_at=scene.now)
    assert "heart-rate-high-urgent" in scene.rules()
    idle = Scene()
    assert idle.give(given.SetSameLimb(True, "nurse"))[0].outcome == "Refused"


def test_a_reading_in_doubt_ends_no_alarm() -> None:
    """ALARMS §3.3: 186/112, then 120/115 with a pulse pressure of 5: only a good reading inside ends it."""
    scene = cuffed()
    scene.cuff(186, 100)
    scene.cuff(120, 115, after_s=90)
    assert "systolic-high-urgent" in scene.rules()
    scene.wait(31)
    assert "repeat:cuff" in scene.rules(), "a reading in doubt is no repeat"
    scene.cuff(121, 80, after_s=60)
    assert "systolic-high-urgent" not in scene.rules()


def test_a_repeat_in_doubt_neither_confirms_nor_dismisses() -> None:
    """ALARMS §3.3: the first reading stands until a good one comes."""
    scene = cuffed()
    scene.cuff(168, 80)
    scene.cuff(120, 115, after_s=60)
    assert scene.of("ReadingNotConfirmed") == []
    scene.cuff(165, 80, after_s=60)
    assert "systolic-high" in scene.rules()


def test_a_repeat_within_the_deadband_is_a_repeat() -> None:
    """ALARMS §3.3: it keeps the alarm, and nobody is asked for another."""
    limits = tuple(
        replace(x, deadband=5.0) if x.id == "systolic-high-urgent" else x for x in protocol().limits
    )
    scene = Scene().start(
        protocol(limits=limits), without=("spo2", "pulse_rate"), reason="a story of the cuff"
    )
    scene.cuff(186, 80)
    scene.cuff(178, 80, after_s=60)
    scene.wait(200)
    assert "systolic-high-urgent" in scene.rules()
    assert "repeat:cuff" not in scene.rules()
    scene.cuff(175, 80, after_s=60)
    assert "systolic-high-urgent" not in scene.rules()


def test_al_32_a_cuff_value_that_waited_for_its_devices_next_message_is_news() -> None:
    """AL-32: a monitor that speaks every 2 min sends 190 measured 100 s ago: it alarms; 200 s is too late."""
    for age_s, rings in ((100, True), (200, False)):
        scene = Scene()
        scene.give(given.Associate(DeviceProfile("monitor-1", ("nibp_systolic", "nibp_diastolic"), 120.0)))
        scene.start(without=("spo2", "pulse_rate"), reason="a story of the cuff")
        scene.now += timedelta(minutes=8)
        measured_at = scene.now - timedelta(seconds=age_s)
        own = tuple(one._replace(measured_at=measured_at) for one in observations({"sys": 190, "dia": 100}))
        scene.give(given.Observe(Report("monitor-1", scene.now, scene.now, own)))
        assert ("systolic-high-urgent" in scene.rules()) == rings


def test_al_54_the_oximeter_is_excused_only_while_the_cuff_is_up() -> None:
    """AL-54: the cuff lets go after 20 s: a probe that stays silent is missed 20 s later, not 50."""
    scene = squeezed(97, 1)
    scene.stream(20, spo2=None, pulse=None)
    scene.report("cuff-1", faults=())
    scene.stream(19, spo2=None, pulse=None)
    assert "no-data:oximeter" not in scene.rules()
    scene.stream(1, spo2=None, pulse=None)
    assert "no-data:oximeter" in scene.rules()


def test_a_cuff_that_was_up_before_the_session_excuses_nothing_for_long() -> None:
    """AL-54: between sessions the cap is the product's own."""
    scene = Scene()
    scene.give(given.Associate(CUFF))
    scene.report("cuff-1", faults=("cuff_inflating",))
    assert scene.bed.cuff_until == scene.now + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("seconds", "beside", "interval_s", "carried"),
    [
        (15, {}, 60.0, True),  # a cycle takes 20 s or more
        (15.1, {}, 60.0, False),
        (20, {"spo2": 97}, 10.0, True),  # among others: within two of the device's periods
        (20.1, {"spo2": 97}, 10.0, False),
        (15, {"spo2": 97}, 1.0, True),
        (15.1, {"spo2": 97}, 1.0, False),
        (15.1, {"sys": None}, 60.0, False),
    ],
)
def test_the_same_cuff_values_are_carried_within_a_cycle_or_two_periods(
    seconds: float, beside: dict[str, float | None], interval_s: float, carried: bool
) -> None:
    """CLINICAL §5: equal values of one device, without a time of their own, sooner than a cycle."""
    scene = Scene().start(protocol(watch=(), cadence=()))
    scene.give(given.Associate(DeviceProfile("monitor", ("spo2", "nibp_diastolic"), interval_s)))
    scene.report("monitor", dia=75, **beside)
    before = scene.bed.latest["nibp_diastolic"]
    scene.now += timedelta(seconds=seconds)
    scene.report("monitor", dia=75, **beside)
    after = scene.bed.latest["nibp_diastolic"]
    assert after.seen_at == scene.now
    assert (after.at == before.at) is carried
    scene.now += timedelta(seconds=1)
    scene.report("monitor", dia=76, **beside)
    assert scene.bed.latest["nibp_diastolic"].at == scene.now
    scene.now += timedelta(seconds=1)
    scene.report("cuff-1", dia=76)
    assert scene.bed.latest["nibp_diastolic"].device_id == "cuff-1"
