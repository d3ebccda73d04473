"""What is not measured: the alarm that absence is, and that it never ends another."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.core import inputs as given
from monitor.core.device import DeviceProfile
from monitor.core.protocol import Watch
from monitor.core.vitals import FAULTS, Report
from tests.core.scene import NOON, OXIMETER, Scene, protocol

URGENT, NO_DATA = "spo2-low-urgent", "no-data:oximeter"


def desaturated() -> Scene:
    """Return a scene in which the urgent SpO2 alarm is present."""
    scene = Scene().start()
    scene.course([97] * 5 + [84] * 8)
    return scene


def test_al_29_missing_data_freezes_the_condition() -> None:
    """AL-29: data stops: a technical alarm at 10 s; the SpO2 alarm stays, frozen, until values come."""
    scene = desaturated()
    scene.wait(9.5)
    assert NO_DATA not in scene.rules()
    scene.wait(1)
    assert (scene.alarm(NO_DATA).kind, scene.alarm(NO_DATA).priority) == ("technical", "low")
    assert scene.alarm(URGENT).frozen
    scene.wait(7200)
    assert URGENT in scene.rules()
    scene.course([84])
    assert not scene.alarm(URGENT).frozen
    assert NO_DATA not in scene.rules()
    assert scene.names("AlarmFrozen", "AlarmThawed") == ["AlarmFrozen", "AlarmThawed"]


def test_al_29_no_value_is_as_good_as_silence() -> None:
    """AL-29: sentinels are no value: they neither alarm nor clear, and the channel counts as missing."""
    scene = desaturated()
    scene.course([None] * 5 + [127] * 5 + [0] * 5 + [-100] * 5)
    assert scene.alarm(URGENT).frozen
    assert NO_DATA in scene.rules()
    assert scene.alarm(URGENT).worst == 84


def test_al_29_silence_grows_worse_with_time() -> None:
    """ALARMS §3.8: low at 10 s, medium at 30 s, high at 120 s; each at its instant, one tick or many."""
    scene = Scene().start()
    scene.stream(5, spo2=97)
    last = scene.now
    scene.wait(500)
    steps = scene.of("AlarmRaised", NO_DATA) + scene.of("AlarmEscalated", NO_DATA)
    assert [(o.priority, (o.at - last).total_seconds()) for o in steps] == [
        ("low", 10),
        ("medium", 30),
        ("high", 120),
    ]


def test_al_30_nothing_ever_arrived() -> None:
    """AL-30, P-14: a session in which no sample ever comes alarms from its start on."""
    scene = Scene()
    scene.start()
    scene.wait(11)
    assert "nothing received since the session began" in scene.alarm(NO_DATA).text
    assert scene.alarm(NO_DATA).metric == "spo2"


def test_al_30_what_will_not_be_measured_is_not_missed() -> None:
    """AL-30: the session says what is left out, and why; without a reason it does not start."""
    scene = Scene()
    scene.start(without=("spo2", "pulse_rate"))
    assert scene.told[-1].outcome == "Refused"
    scene.start(without=("spo2", "pulse_rate"), reason="oximeter at repair; checked by hand")
    scene.wait(300)
    assert NO_DATA not in scene.rules()


def test_al_29_a_slow_device_is_given_its_own_time() -> None:
    """AL-29: a device that reports every 20 s is not missing after 10 s; the cap is 2.5 of its periods."""
    scene = Scene()
    scene.give(given.Associate(DeviceProfile("oximeter-1", ("spo2", "pulse_rate"), 20.0)))
    scene.give(given.StartSession("s1", "P", Scene().start().bed.session.protocol, "nurse"))  # type: ignore[union-attr]
    scene.stream(1, spo2=97)
    scene.wait(49)
    assert NO_DATA not in scene.rules()
    scene.wait(2)
    assert NO_DATA in scene.rules()


def test_al_29_only_what_a_bed_has_is_expected() -> None:
    """AL-29: the ECG rate is watched once a device of the bed measures it, until that is taken off."""
    scene = Scene().start()
    scene.stream(60, spo2=97)
    assert scene.rules() == set()
    scene.give(given.Associate(DeviceProfile("ecg-1", ("heart_rate",))))
    scene.report("ecg-1", hr=70)
    scene.stream(11, spo2=97)
    assert "no-data:ecg" in scene.rules()
    scene.give(given.Dissociate("ecg-1", "nurse"))
    assert scene.rules() == set()
    scene.stream(200, spo2=97)
    assert scene.rules() == set()


def test_al_29_a_device_that_never_spoke_is_not_missed_after_it_left() -> None:
    """AL-29: its profile made it expected; with the device goes the expectation."""
    scene = Scene().start()
    scene.give(given.Associate(DeviceProfile("ecg-1", ("heart_rate",))))
    scene.stream(11, spo2=97)
    assert "no-data:ecg" in scene.rules()
    scene.give(given.Dissociate("ecg-1", "nurse"))
    assert scene.rules() == set()


def test_al_02_taking_a_device_away_ends_no_physiological_alarm() -> None:
    """AL-02, AL-29: the heart-rate alarm stays, frozen; the required SpO2 counts on from its last value."""
    scene = Scene().start()
    scene.give(given.Associate(DeviceProfile("ecg-1", ("heart_rate",))))
    for _ in range(12):
        scene.stream(1, spo2=84)
        scene.report("ecg-1", hr=140)
    assert {URGENT, "heart-rate-high-urgent"} <= scene.rules()
    scene.give(given.Dissociate("ecg-1", "nurse"))
    scene.give(given.Dissociate("oximeter-1", "nurse"))
    scene.wait(11)
    assert scene.alarm("heart-rate-high-urgent").frozen
    assert scene.alarm(URGENT).frozen
    assert scene.alarm(NO_DATA).priority == "low"
    assert scene.give(given.Dissociate("oximeter-1"))[0].outcome == "Refused"


@pytest.mark.parametrize("fault", sorted(name for name, f in FAULTS.items() if f.channel == "oximeter"))
def test_al_31_what_the_device_says_of_itself_is_a_technical_alarm(fault: str) -> None:
    """AL-31: probe off, searching, motion ...: a technical alarm with its text; it ends when it is over."""
    scene = desaturated()
    scene.report(faults=(fault,))
    texts = [alarm.text for alarm in scene.bed.alarms.values() if alarm.kind == "technical"]
    assert any(FAULTS[fault].text in text for text in texts)
    assert scene.alarm(URGENT).kind == "physiological"
    scene.stream(2, spo2=84, faults=())
    assert [a.key for a in scene.bed.alarms.values() if a.kind == "technical"] == []


def test_al_31_a_probe_that_is_off_measures_nothing() -> None:
    """AL-31, AL-29: what comes with probe off is no value, at once, and never clears."""
    scene = desaturated()
    scene.stream(3, spo2=99, faults=("probe_off",))
    assert "SpO2 probe off" in scene.alarm(NO_DATA).text
    assert scene.alarm(URGENT).frozen
    scene.stream(60, spo2=99, faults=("probe_off",))
    assert URGENT in scene.rules()
    scene.stream(1, spo2=None, faults=())
    assert NO_DATA in scene.rules(), "the fault is over, but there is no value yet"
    scene.stream(13, spo2=97)
    assert scene.rules() == set()


def test_al_31_faults_known_before_the_session_count_in_it() -> None:
    """AL-28, AL-31: a device that said low perfusion before the start is not forgotten at the start."""
    scene = Scene()
    scene.give(given.Associate(OXIMETER))
    scene.report(spo2=97, faults=("low_perfusion", "probe_off"))
    assert scene.rules() == set()
    scene.start()
    assert "fault:oximeter-1:low_perfusion" in scene.rules()
    scene.wait(1)
    assert "SpO2 probe off" in scene.alarm(NO_DATA).text


def test_al_31_a_fault_of_the_whole_device_blocks_its_channels() -> None:
    """AL-31: standby is a fault of every channel of the device."""
    scene = Scene().start()
    scene.stream(3, spo2=97)
    scene.report(faults=("standby",))
    assert "device in standby" in scene.alarm(NO_DATA).text


def test_al_31_a_cuff_fault_ends_with_the_next_measurement() -> None:
    """AL-31: 'measurement failed' is of one measurement; the next reading is not thrown away."""
    scene = Scene().start()
    scene.report("cuff-1", faults=("cuff_error",))
    assert scene.alarm("fault:cuff-1:cuff_error").priority == "medium"
    scene.cuff(190, 100)
    assert "fault:cuff-1:cuff_error" not in scene.rules()
    assert "systolic-high-urgent" in scene.rules()


def test_p_45_a_lost_broker_is_one_alarm_and_not_one_for_each_channel() -> None:
    """P-45: without the link silence says nothing of devices; conditions freeze; then it counts anew."""
    scene = desaturated()
    scene.give(given.LoseLink())
    scene.give(given.LoseLink())
    assert scene.alarm(URGENT).frozen
    scene.wait(600)
    assert NO_DATA not in scene.rules()
    scene.give(given.RestoreLink())
    scene.wait(9)
    assert NO_DATA not in scene.rules()
    scene.wait(2)
    assert NO_DATA in scene.rules()


def test_a_last_will_is_an_alarm_at_once_and_a_report_takes_it_back() -> None:
    """P-20: 'offline' needs no waiting; a device that reports is there whatever its last will said."""
    scene = Scene().start()
    scene.stream(3, spo2=97)
    scene.give(given.Observe(Report("oximeter-1", scene.now, online=False)))
    assert "oximeter-1 is offline" in scene.alarm(NO_DATA).text
    scene.give(given.Observe(Report("oximeter-1", scene.now, online=True)), after_s=1)
    assert NO_DATA in scene.rules(), "it is back, but no value has come"
    scene.stream(1, spo2=97)
    assert NO_DATA not in scene.rules()
    scene.give(given.Observe(Report("oximeter-1", scene.now, online=False)))
    scene.stream(2, spo2=97)
    assert NO_DATA not in scene.rules()


@pytest.mark.parametrize("key", ["disk", "annunciator", "delivery"])
def test_al_36_what_is_found_outside_is_a_technical_alarm(key: str) -> None:
    """AL-36, AL-39: no live annunciator, a dead channel, a full disk: present until it is over."""
    scene = desaturated()
    scene.give(given.ReportCondition(key, "medium", "cannot"))
    assert scene.alarm(key).kind == "technical"
    scene.give(given.ReportCondition(key, "high", "cannot at all"))
    assert (scene.alarm(key).priority, scene.alarm(key).text) == ("high", "cannot at all")
    scene.give(given.ReportCondition(key, "high", "cannot yet"))
    assert scene.alarm(key).text == "cannot yet"
    scene.give(given.EndSession("nurse", "moved"))
    assert scene.rules() == {key}, "what is wrong with the equipment does not end with the session"
    scene.start(session_id="s2")
    assert key in scene.rules()
    scene.give(given.ClearCondition(key))
    scene.give(given.ClearCondition(key))
    assert key not in scene.rules()


@pytest.mark.parametrize("key", [URGENT, NO_DATA])
def test_al_02_a_condition_from_outside_never_takes_the_place_of_the_cores_own(key: str) -> None:
    """AL-02: no name makes a technical condition of a physiological one, or ends it."""
    scene = desaturated()
    if key == NO_DATA:
        scene.wait(11)
    before = scene.alarm(key)
    assert scene.give(given.ReportCondition(key, "low", "x"))[0].outcome == "Refused"
    scene.give(given.ClearCondition(key))
    assert scene.alarm(key) == before


def test_al_30_silence_counts_from_when_a_device_came_to_serve_the_bed() -> None:
    """AL-30: a module brought in mid-session is waited for as long as any other, not missed at once."""
    scene = Scene().start()
    scene.stream(300, spo2=97)
    scene.give(given.Associate(DeviceProfile("ecg-1", ("heart_rate",))))
    scene.stream(9, spo2=97)
    assert "no-data:ecg" not in scene.rules()
    scene.stream(2, spo2=97)
    first = scene.alarm("no-data:ecg")
    assert first.priority == "low"
    scene.give(given.Dissociate("ecg-1", "nurse"))
    scene.give(given.Associate(DeviceProfile("ecg-1", ("heart_rate",))))
    scene.stream(11, spo2=97)
    assert scene.alarm("no-data:ecg").alarm_id != first.alarm_id, "another silence is another alarm"


def test_al_29_what_is_measured_after_all_must_go_on() -> None:
    """AL-29: a session without SpO2 gets a probe: from its first value on its silence is an alarm."""
    scene = Scene().start(without=("spo2", "pulse_rate"), reason="probe at repair")
    scene.wait(300)
    assert NO_DATA not in scene.rules()
    scene.stream(30, spo2=97)
    scene.wait(11)
    assert NO_DATA in scene.rules()
    scene.give(given.Dissociate("oximeter-1", "nurse"))
    assert NO_DATA not in scene.rules(), "taken off again, as the session began"


def test_low_quality_is_over_when_nobody_counts_it_any_more() -> None:
    """ALARMS §3.2: the limit that counted a bad value is switched off: the technical alarm goes with it."""
    scene = Scene().start()
    scene.stream(3, spo2=97)
    scene.stream(12, spo2=97, pulse=115, good=False)
    assert "low-quality:pulse_rate" in scene.rules()
    for rule in ("pulse-rate-high", "pulse-rate-high-urgent"):
        scene.give(given.SetLimit(rule, "dr", "clinician", "known", on=False))
    assert "low-quality:pulse_rate" not in scene.rules()


def test_low_quality_of_a_device_that_left_ends_with_the_other_ones_values() -> None:
    """ALARMS §3.2: only sources that measure can be counted as real in spite of low quality."""
    scene = Scene().start()
    scene.give(given.Associate(DeviceProfile("oximeter-2", ("spo2", "pulse_rate"))))
    scene.stream(3, spo2=97)
    for _ in range(12):
        scene.stream(1, spo2=97)
        scene.report("oximeter-2", spo2=88, good=False)
    assert "low-quality:spo2" in scene.rules()
    scene.stream(12, spo2=97)
    assert "low-quality:spo2" not in scene.rules()


def test_al_29_what_a_person_reads_ends_the_alarm_of_a_silent_device() -> None:
    """AL-29, issue 3 §8: a measurement by hand is a measurement; the silence stays an alarm of its own."""
    scene = desaturated()
    scene.give(given.RecordManual({"spo2": 97}, "nurse"), after_s=9)
    assert URGENT in scene.rules(), "the oximeter still measures"
    scene.give(given.RecordManual({"spo2": 97}, "nurse"), after_s=3)
    assert URGENT not in scene.rules()
    assert NO_DATA in scene.rules()


def test_what_a_person_read_stands_for_ten_minutes() -> None:
    """Issue 3 §8: the device's good values end a person's low reading only when it is that old."""
    scene = Scene().start()
    scene.stream(3, spo2=97)
    scene.give(given.RecordManual({"spo2": 84}, "nurse"))
    scene.stream(600, spo2=97)
    assert URGENT in scene.rules()
    scene.stream(15, spo2=97)
    assert URGENT not in scene.rules()


def test_al_32_what_a_person_enters_long_after_reading_it_raises_nothing() -> None:
    """AL-32, AL-33: notes of half an hour ago are charted and counted, and are no alarm of now."""
    scene = Scene().start()
    scene.stream(1500, spo2=97)
    early = scene.now - timedelta(minutes=20)
    assert "overdue:cuff" in scene.rules()
    scene.give(given.RecordManual({"spo2": 84, "nibp_systolic": 190, "nibp_diastolic": 80}, "nurse", early))
    scene.stream(600, spo2=97)
    assert not {URGENT, "systolic-high-urgent"} & {one.rule for one in scene.of("AlarmRaised")}
    assert scene.bed.session is not None
    assert scene.bed.session.readings["nibp_systolic"][-1].at == early
    assert scene.of("BacklogSummarised")[0].detail["beyond"] == 2


def test_al_30_what_a_known_device_measures_from_now_on_is_missed_in_its_time() -> None:
    """AL-30: the installer adds a metric to a device; its silence is told when due, at no later tick."""
    watch = Watch("respiration_rate", 30, 60, 120, "test", if_provided=True)
    scene = Scene().start(protocol(watch=(watch,), cadence=()))
    scene.give(given.Associate(replace(OXIMETER, metrics=("spo2", "respiration_rate"))))
    scene.wait(29.9)
    assert scene.rules() == set()
    [raised] = scene.wait(0.2)
    assert (raised.outcome, raised.rule) == ("AlarmRaised", "no-data:respiration")
    assert raised.at == NOON + timedelta(seconds=30)


def test_al_31_a_cuff_value_ends_the_faults_of_the_cuff_only() -> None:
    """AL-31: who has just measured has no cuff fault; its battery is as low as before, and said so once."""
    scene = Scene().start()
    scene.report("cuff-1", faults=("cuff_error", "battery_low"))
    assert {"fault:cuff-1:cuff_error", "fault:cuff-1:battery_low"} <= scene.rules()
    scene.cuff(120)
    assert scene.bed.devices["cuff-1"].faults == ("battery_low",)
    assert "fault:cuff-1:cuff_error" not in scene.rules()
    assert "fault:cuff-1:battery_low" in scene.rules()
