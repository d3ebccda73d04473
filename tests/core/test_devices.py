"""Which of a device's readings are live: clocks, counters, backlogs, two devices, two modes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.core import inputs as given
from monitor.core.device import DeviceProfile
from monitor.core.vitals import Report
from tests.core.scene import OXIMETER, Scene, observations

URGENT = "spo2-low-urgent"
HOUR = timedelta(hours=1)


def skewed_stream(scene: Scene, seconds: int, offset: timedelta, **values: float | None) -> None:
    """Let the oximeter report once a second with its clock off by ``offset`` (positive: behind)."""
    values.setdefault("pulse", 72)
    for _ in range(seconds):
        scene.now += timedelta(seconds=1)
        scene.report(measured_at=scene.now - offset, **values)


@pytest.mark.parametrize("offset", [HOUR, -HOUR, 19 * 365 * 24 * HOUR, timedelta(seconds=30)])
def test_al_13_a_clock_that_jumps_loses_and_invents_nothing(offset: timedelta) -> None:
    """AL-13: the device's clock jumps (DST, NTP, reset): no false alarm but its clock's own, none lost."""
    scene = Scene().start()
    scene.stream(30, spo2=97)
    skewed_stream(scene, 60, offset, spo2=97)
    assert scene.rules() == {"clock:oximeter-1"}
    skewed_stream(scene, 8, offset, spo2=84)
    assert URGENT in scene.rules()
    scene.stream(60, spo2=97)
    assert scene.rules() == set(), "the clock agrees again"


def test_al_13_the_desaturation_during_the_jump_itself_is_found() -> None:
    """AL-13: the reading that jumps is the first below the limit: the alarm is at most 6 s later."""
    scene = Scene().start()
    scene.stream(30, spo2=97)
    skewed_stream(scene, 12, HOUR, spo2=84)
    assert URGENT in scene.rules()


def test_al_32_a_skewed_clock_is_a_technical_low() -> None:
    """AL-32: skew over 5 s is told with its size; readings are placed by arrival."""
    scene = Scene().start()
    skewed_stream(scene, 12, timedelta(seconds=-8), spo2=97)
    alarm = scene.alarm("clock:oximeter-1")
    assert (alarm.priority, alarm.kind) == ("low", "technical")
    assert "8 s ahead" in alarm.text
    assert scene.bed.latest["spo2"].at == scene.now
    for offset, words in ((timedelta(minutes=30), "30 min behind"), (3 * HOUR, "3.0 h behind")):
        scene = Scene().start()
        skewed_stream(scene, 20, offset, spo2=97)
        assert words in scene.alarm("clock:oximeter-1").text


def test_al_32_a_wrong_clock_that_drifts_is_still_believed_live() -> None:
    """AL-32: an offset that slowly grows is one clock, not a backlog."""
    scene = Scene().start()
    for second in range(200):
        scene.now += timedelta(seconds=1)
        scene.report(measured_at=scene.now - HOUR - timedelta(seconds=second / 50), spo2=97, pulse=70)
    assert scene.rules() == {"clock:oximeter-1"}
    scene.now += timedelta(seconds=1)
    scene.report(measured_at=scene.now - 3 * HOUR, spo2=97, pulse=70)
    assert scene.bed.devices["oximeter-1"].offset is None, "another jump: to be proved anew"


@pytest.mark.parametrize("trust", [False, True])
def test_al_32_a_clock_that_is_not_trusted_is_not_used(trust: bool) -> None:
    """AL-32: trust_clock = false, or the device saying its clock is unset: the time of arrival counts."""
    scene = Scene()
    scene.give(given.Associate(replace(OXIMETER, trust_clock=trust)))
    scene.start()
    scene.give(given.Associate(replace(OXIMETER, trust_clock=trust)))
    faults = ("clock_unset",) if trust else None
    for _ in range(8):
        scene.now += timedelta(seconds=1)
        scene.report(measured_at=scene.now - 100 * HOUR, spo2=84, pulse=70, faults=faults)
    assert URGENT in scene.rules()


def test_al_32_late_and_out_of_order_readings_never_alarm() -> None:
    """AL-32: later than 60 s, or older than what is known: charted, never a 'now' alarm, never a clear."""
    scene = Scene().start()
    scene.stream(30, spo2=97)
    for second in range(20):
        scene.report(measured_at=scene.now - timedelta(seconds=100 - second), spo2=80)
        scene.report(measured_at=scene.now - timedelta(seconds=20 - second / 2), spo2=80)
    assert URGENT not in scene.rules()
    scene.course([84] * 8)
    for second in range(30):
        scene.report(measured_at=scene.now - timedelta(seconds=40 - second), spo2=99)
    assert URGENT in scene.rules()


def test_al_33_a_backlog_is_summarised_once_and_does_not_alarm() -> None:
    """AL-33: six hours come at once: one summary, no alarm of the past; the live ones are as ever."""
    scene = Scene().start()
    scene.stream(10, spo2=97)
    scene.wait(6 * 3600)
    resumed = scene.now
    for minute in range(360):
        for value in (97, 80):
            scene.report(
                measured_at=resumed - timedelta(minutes=362 - minute, seconds=-value / 4), spo2=value
            )
    assert URGENT not in scene.rules()
    scene.course([84] * 40)
    assert URGENT in scene.rules()
    [summary] = scene.of("BacklogSummarised")
    assert summary.detail["count"] == 720
    assert summary.detail["beyond"] == 360


def test_al_33_a_late_cuff_reading_counts_for_what_was_due() -> None:
    """AL-33: read in its window, arrived late: the checkpoint is met, the overdue alarm ends; no BP alarm."""
    scene = Scene().start()
    scene.cuff(120)
    scene.give(given.RecordDose(35, "iv", "nurse"))
    for _ in range(13 * 60):
        scene.stream(1, spo2=97)
    assert {"overdue:cuff", "missed:bp-5"} <= scene.rules()
    scene.report("cuff-1", measured_at=scene.now - timedelta(minutes=7), sys=190, dia=100)
    assert not {"overdue:cuff", "missed:bp-5", "systolic-high-urgent"} & scene.rules()
    scene.report("cuff-1", measured_at=scene.now - timedelta(hours=5), sys=190, dia=100)
    assert scene.bed.session is not None
    assert len(scene.bed.session.readings["nibp_systolic"]) == 2, "before the session: not of this patient"


def test_p_20_a_retained_report_is_not_live() -> None:
    """P-20, S-06: what the broker replays at a subscribe neither alarms nor clears."""
    scene = Scene().start()
    scene.course([84] * 8)
    for _ in range(20):
        scene.report(spo2=99, retained=True)
        scene.now += timedelta(seconds=1)
    assert URGENT in scene.rules()
    assert scene.alarm(URGENT).frozen


def test_p_27_a_message_that_comes_twice_counts_once() -> None:
    """P-27: at-least-once delivery: the same boot and number again changes nothing."""
    scene = Scene().start()
    for number in range(20):
        scene.now += timedelta(seconds=1)
        for _ in range(3):
            scene.report(spo2=86, boot_id="b", sequence=number)
        expected = (number + 1) * 4 - 4
        track = scene.bed.tracks["spo2"][URGENT]
        if number < 12:
            assert track.integral == expected  # type: ignore[union-attr]


def test_p_28_missing_messages_are_told_and_a_late_one_fills_the_gap() -> None:
    """P-28, AL-32: a hole in the counter is a technical low after 5 s; reordering alone is none."""
    scene = Scene().start()
    for number in (1, 2, 4, 3, 5):
        scene.now += timedelta(seconds=1)
        scene.report(spo2=97, boot_id="b", sequence=number)
    for number in range(6, 20):
        scene.now += timedelta(seconds=1)
        scene.report(spo2=97, boot_id="b", sequence=number)
    assert "sequence:oximeter-1" not in scene.rules()
    for number in range(25, 35):
        scene.now += timedelta(seconds=1)
        scene.report(spo2=97, boot_id="b", sequence=number)
    assert scene.alarm("sequence:oximeter-1").text == "oximeter-1: 5 messages missing"
    scene.report(spo2=97, boot_id="b", sequence=22, measured_at=scene.now - timedelta(seconds=12))
    assert scene.alarm("sequence:oximeter-1").text == "oximeter-1: 4 messages missing"
    for number in (20, 21, 23, 24):
        scene.report(spo2=97, boot_id="b", sequence=number, measured_at=scene.now - timedelta(seconds=12))
    assert "sequence:oximeter-1" not in scene.rules()


def test_p_28_of_two_gaps_the_one_is_filled_that_the_late_message_is_of() -> None:
    """P-28: a late message of the second hole leaves the first as it is."""
    scene = Scene().start()
    for number in (1, 5, 10):
        scene.now += timedelta(seconds=1)
        scene.report(spo2=97, boot_id="b", sequence=number)
    scene.stream(6, spo2=97)
    assert scene.alarm("sequence:oximeter-1").text == "oximeter-1: 7 messages missing"
    scene.report(spo2=97, boot_id="b", sequence=7, measured_at=scene.now - timedelta(seconds=7))
    assert scene.bed.devices["oximeter-1"].missing == ((2, 4), (6, 6), (8, 9))


def test_p_28_a_gap_that_never_fills_is_given_up() -> None:
    """P-28: after ten minutes it stays in the record only; without a session nobody is bothered."""
    scene = Scene().start()
    for number in (1, 5):
        scene.now += timedelta(seconds=1)
        scene.report(spo2=97, boot_id="b", sequence=number)
    scene.wait(6)
    assert "sequence:oximeter-1" in scene.rules()
    scene.wait(600)
    assert "sequence:oximeter-1" not in scene.rules()
    idle = Scene()
    idle.give(given.Associate(OXIMETER))
    for number in (1, 5):
        idle.report(spo2=97, boot_id="b", sequence=number)
    idle.wait(700)
    assert idle.bed.devices["oximeter-1"].gap_at is None
    assert idle.rules() == set()


@pytest.mark.parametrize("timed", [True, False])
def test_p_28_a_device_that_counts_anew_is_not_a_repeat(timed: bool) -> None:
    """P-28: without a boot id a restart shows by its time going on, or by a great fall of the number."""
    scene = Scene().start()
    for number in [*range(500, 520), *range(40)]:
        scene.now += timedelta(seconds=1)
        scene.report(spo2=97, pulse=70, sequence=number, measured_at=scene.now if timed else None)
    assert scene.bed.latest["spo2"].at == scene.now
    assert scene.rules() == set()


def test_a_new_boot_begins_a_new_count() -> None:
    """P-28: a restart with its own boot id makes no gap."""
    scene = Scene().start()
    for boot, number in (("a", 500), ("a", 501), ("b", 0), ("b", 1)):
        scene.now += timedelta(seconds=1)
        scene.report(spo2=97, pulse=70, boot_id=boot, sequence=number)
    scene.stream(10, spo2=97)
    assert scene.rules() == set()


def test_al_53_a_device_serves_one_bed() -> None:
    """AL-53: what a device says that does not serve this bed is refused, never mixed in."""
    scene = Scene().start()
    told = scene.give(given.Observe(Report("stranger", scene.now, observations=observations({"spo2": 60}))))
    assert [o.outcome for o in told] == ["Refused"]
    assert "spo2" not in scene.bed.latest
    scene.stream(5, spo2=97)
    scene.give(given.Dissociate("oximeter-1", "nurse"))
    told = scene.report(spo2=60)
    assert [o.outcome for o in told] == ["Refused"]


def test_al_53_two_devices_of_one_kind_are_noticed() -> None:
    """AL-53, CLINICAL §5: makes differ: two monitors in one session are told, each judged by itself."""
    scene = Scene().start()
    scene.give(given.Associate(DeviceProfile("oximeter-2", ("spo2", "pulse_rate"))))
    for _ in range(8):
        scene.stream(1, spo2=97)
        scene.report("oximeter-2", spo2=84)
    assert scene.alarm("two-sources:oximeter").text == "SpO2 from oximeter-1 and oximeter-2: makes can differ"
    assert URGENT in scene.rules()
    for _ in range(20):
        scene.stream(1, spo2=97)
        scene.report("oximeter-2", spo2=84)
    assert URGENT in scene.rules(), "the first device's good values never end what the second measures"
    for _ in range(12):
        scene.stream(1, spo2=97)
        scene.report("oximeter-2", spo2=97)
    assert URGENT not in scene.rules()
    scene.give(given.Dissociate("oximeter-2", "nurse"))
    assert "two-sources:oximeter" not in scene.rules()


def test_al_53_both_low_then_both_well() -> None:
    """AL-53: an alarm that two devices hold ends when both are inside."""
    scene = Scene().start()
    scene.give(given.Associate(DeviceProfile("oximeter-2", ("spo2", "pulse_rate"))))
    for value, other in [(84, 84)] * 8 + [(97, 84)] * 20:
        scene.stream(1, spo2=value)
        scene.report("oximeter-2", spo2=other)
    assert URGENT in scene.rules()
    scene.course([97] * 3)
    for _ in range(12):
        scene.stream(1, spo2=97)
        scene.report("oximeter-2", spo2=97)
    assert URGENT not in scene.rules()


def test_al_53_the_second_takes_over_when_the_first_falls_silent() -> None:
    """AL-53: an alarm that the second device holds goes on under its values and can end by them."""
    scene = Scene().start()
    scene.give(given.Associate(DeviceProfile("oximeter-2", ("spo2", "pulse_rate"))))
    scene.stream(3, spo2=97)
    for _ in range(30):
        scene.now += timedelta(seconds=1)
        scene.report("oximeter-2", spo2=84, pulse=70)
    assert URGENT in scene.rules()
    for _ in range(12):
        scene.now += timedelta(seconds=1)
        scene.report("oximeter-2", spo2=97, pulse=70)
    assert URGENT not in scene.rules()
    assert "no-data:oximeter" not in scene.rules()


def test_two_cuffs_in_one_session_are_noticed() -> None:
    """CLINICAL §5, drill 12: two monitors with different bias, swapped in mid-session."""
    scene = Scene().start()
    scene.give(given.Associate(DeviceProfile("cuff-2", ("nibp_systolic",))))
    scene.cuff(130)
    scene.now += timedelta(minutes=5)
    scene.report("cuff-2", sys=141, dia=80)
    assert "two-sources:cuff" in scene.rules()


def test_malformed_reports_are_an_alarm_until_the_device_speaks_sense() -> None:
    """AL-31, DESIGN §3: what was refused is in the quarantine; a technical low says so for a minute."""
    scene = Scene().start()
    scene.give(given.RefuseReport("oximeter-1", "not JSON"))
    assert scene.alarm("refused:oximeter-1").text == "oximeter-1: message refused: not JSON"
    scene.stream(61, spo2=97)
    assert "refused:oximeter-1" not in scene.rules()
    assert scene.give(given.RefuseReport("stranger", "not JSON")) == ()
    idle = Scene()
    idle.give(given.Associate(OXIMETER))
    idle.give(given.RefuseReport("oximeter-1", "not JSON"))
    idle.wait(61)
    assert idle.rules() == set()


def test_s_10_drill_and_real_never_share_a_session() -> None:
    """S-10: a drill's reading in a real session is refused with a technical medium."""
    scene = Scene().start()
    for _ in range(10):
        scene.now += timedelta(seconds=1)
        scene.report(spo2=70, mode="drill")
    assert scene.alarm("refused:oximeter-1").priority == "medium"
    assert URGENT not in scene.rules()
    assert "spo2" not in scene.bed.latest


def test_s_11_a_real_high_reading_ends_the_drill() -> None:
    """S-11: a real device reports SpO2 80 while this bed has a drill: the drill ends, and it is told high."""
    scene = Scene().start(mode="drill")
    scene.report(spo2=97, mode="real")
    assert scene.bed.session is not None, "a normal value ends nothing"
    scene.report(spo2=80, pulse=70, mode="real")
    assert scene.bed.session is None
    assert scene.alarm("drill-ended").priority == "high"
    assert "SpO2 80, below 90, from oximeter-1" in scene.of("SessionEnded")[0].reason


def test_al_27_a_device_known_already_is_not_told_again() -> None:
    """AL-27: associating anew (a restart, a new profile) tells nothing and forgets nothing."""
    scene = Scene().start()
    scene.stream(3, spo2=97)
    before = scene.bed.devices["oximeter-1"]
    assert scene.give(given.Associate(replace(OXIMETER, expected_interval_s=2))) == ()
    after = scene.bed.devices["oximeter-1"]
    assert (after.seen_at, after.profile.expected_interval_s) == (before.seen_at, 2)


SECOND = DeviceProfile("oximeter-2", ("spo2", "pulse_rate"))


def both(scene: Scene, first: float | None, second: float | None, seconds: int) -> Scene:
    """Let two oximeters report SpO2 once a second; ``None`` is a device that says nothing."""
    for _ in range(seconds):
        scene.now += timedelta(seconds=1)
        for device, value in (("oximeter-1", first), ("oximeter-2", second)):
            if value is not None:
                scene.report(device, spo2=value, pulse=72)
    return scene


def two_oximeters() -> Scene:
    """Return a scene in which two oximeters have begun to measure."""
    scene = Scene().start()
    scene.give(given.Associate(SECOND))
    return both(scene, 97, 97, 3)


def test_al_29_an_alarm_of_a_device_that_fell_silent_ends_by_the_one_that_measures() -> None:
    """AL-29, AL-53: the patient is measured: by values in range, and by no silence, the alarm ends."""
    scene = both(two_oximeters(), 97, 84, 8)
    both(scene, 97, None, 10)
    assert URGENT in scene.rules(), "the second device's silence alone ends nothing"
    both(scene, 91, None, 30)
    assert URGENT in scene.rules(), "inside, but not settled"
    both(scene, 97, None, 12)
    assert URGENT not in scene.rules()
    assert "now 97" in scene.of("AlarmEnded", URGENT)[0].reason


def test_al_29_an_alarm_ended_by_one_device_can_be_raised_by_the_other_again() -> None:
    """AL-29, AL-53: a device that comes back after its alarm has ended begins a new one."""
    scene = both(two_oximeters(), 84, 84, 8)
    both(scene, 84, None, 12)
    both(scene, 97, None, 12)
    assert URGENT not in scene.rules()
    both(scene, 97, 80, 8)
    assert URGENT in scene.rules()


def test_al_53_taking_over_loses_no_alarm_of_the_first_device() -> None:
    """AL-53, AL-29: the first raised it and fell silent; the second, at 92, goes on with it and ends it."""
    scene = both(two_oximeters(), 84, 92, 8)
    both(scene, None, 92, 8)
    assert URGENT in scene.rules()
    both(scene, None, 97, 12)
    assert URGENT not in scene.rules()


def test_al_29_a_second_device_without_a_value_does_not_count_silence_from_elsewhere() -> None:
    """AL-29: the first fell silent after 5 min; a second that only says 'no value' makes it no older."""
    scene = Scene().start()
    scene.stream(300, spo2=97)
    scene.give(given.Associate(SECOND))
    for _ in range(20):
        scene.now += timedelta(seconds=1)
        scene.report("oximeter-2", spo2=None, pulse=None)
    assert scene.alarm("no-data:oximeter").priority == "low"
    assert "nothing received" not in scene.alarm("no-data:oximeter").text


def test_al_53_the_worst_value_of_any_device_is_kept() -> None:
    """AL-50, AL-53: what the record calls worst is the deepest that any source has measured."""
    scene = both(two_oximeters(), 88, 80, 40)
    both(scene, 88, None, 1)
    assert scene.alarm(URGENT).worst == 80


def test_al_29_a_probe_that_is_off_freezes_nothing_that_another_device_measures() -> None:
    """AL-29: the alarm moves with the second device; it is not frozen and thawed each second."""
    scene = both(two_oximeters(), 97, 84, 8)
    for _ in range(12):
        scene.now += timedelta(seconds=1)
        scene.report(spo2=None, pulse=None, faults=("probe_off",))
        scene.report("oximeter-2", spo2=84, pulse=72)
    assert scene.names("AlarmFrozen", "AlarmThawed") == []
    assert "no-data:oximeter" not in scene.rules(), "the second device has taken the first one's place"


def test_al_26_an_alarm_that_a_stored_bed_lacks_is_raised_by_the_next_sample() -> None:
    """AL-26, P-05: a filter that has fired without an alarm (an older version's journal) is not silent."""
    scene = Scene().start()
    scene.course([97] * 3 + [84] * 8)
    lost = scene.bed.copy()
    del lost.alarms[URGENT]
    scene.bed = lost
    scene.course([84])
    assert URGENT in scene.rules()
    cleared = scene.bed.copy()
    del cleared.alarms[URGENT]
    scene.bed = cleared
    scene.course([97] * 12)
    assert URGENT not in scene.rules()
    scene.course([84] * 8)
    for _ in range(12):  # also when it clears with the very sample that would have raised it
        lost = scene.bed.copy()
        lost.alarms.pop(URGENT, None)
        scene.bed = lost
        scene.course([97])
    assert URGENT not in scene.rules()


@pytest.mark.parametrize("back_s", [6, 30, 59, 61, 3600])
@pytest.mark.parametrize("spo2", [97, 84])
def test_al_13_a_clock_set_back_hides_nobody(back_s: int, spo2: float) -> None:
    """AL-13: set back by NTP or by hand: no silence, and what falls just then is told within 12 s."""
    scene = Scene().start()
    scene.stream(30, spo2=97)
    skewed_stream(scene, 12, timedelta(seconds=back_s), spo2=spo2)
    skewed_stream(scene, 60, timedelta(seconds=back_s), spo2=97)
    raised = [one.rule for one in scene.of("AlarmRaised")]
    assert sorted(raised) == sorted(["clock:oximeter-1"] + [URGENT] * (spo2 == 84))


def test_al_13_two_messages_of_one_instant_are_both_live() -> None:
    """AL-13, AL-32: a monitor whose clock is 20 s behind sends SpO2 and pulse apart, with the same time."""
    scene = Scene().start()
    for _ in range(30):
        scene.now += timedelta(seconds=1)
        for values in ({"spo2": 97}, {"pulse": 72}):
            scene.report(measured_at=scene.now - timedelta(seconds=20), **values)
    assert scene.rules() == {"clock:oximeter-1"}
    assert scene.bed.backlog is None


def test_al_13_a_wrong_clock_that_is_set_back_further_hides_nobody() -> None:
    """AL-13: an hour behind and believed, then 40 s more: proved anew, without a silence."""
    scene = Scene().start()
    skewed_stream(scene, 30, HOUR, spo2=97)
    skewed_stream(scene, 60, HOUR + timedelta(seconds=40), spo2=97)
    assert [one.rule for one in scene.of("AlarmRaised")] == ["clock:oximeter-1"]
    scene.report(measured_at=scene.now - HOUR - timedelta(seconds=55), spo2=60)
    assert scene.bed.latest["spo2"].value == 97, "one old reading is not the clock's"


def test_al_13_a_clock_that_says_it_is_set_and_is_40_s_behind_hides_nobody() -> None:
    """AL-13, AL-32: from 'placed by arrival' to 'placed by its clock' no reading is dropped for long."""
    scene = Scene().start()
    for faults in [("clock_unset",)] * 10 + [()] * 50:
        scene.now += timedelta(seconds=1)
        scene.report(measured_at=scene.now - timedelta(seconds=40), spo2=97, pulse=72, faults=faults)
    assert "no-data:oximeter" not in {one.rule for one in scene.of("AlarmRaised")}


def test_p_28_a_device_that_counts_anew_under_its_old_boot_id_is_not_a_repeat() -> None:
    """P-28, P-27: its number falls and its time goes on: a repeat carries the time that it had."""
    scene = Scene().start()
    for number in [*range(5000, 5020), *range(30)]:
        scene.now += timedelta(seconds=1)
        scene.report(spo2=97, pulse=70, boot_id="b", sequence=number)
        scene.report(spo2=60, pulse=70, boot_id="b", sequence=number)
    assert scene.bed.latest["spo2"].at == scene.now
    assert scene.bed.latest["spo2"].value == 97
    assert scene.rules() == set()


# --- faults whose end is lost, alarms that are heard again ------------------------------------------------


def test_al_31_a_device_that_was_switched_off_and_on_has_the_faults_that_it_says_then() -> None:
    """AL-31: a fault whose end was lost stands while the device runs on, not beyond its next start."""
    scene = Scene().start()
    scene.stream(5, spo2=97)
    scene.report(spo2=97, faults=("probe_off",), boot_id="b1", sequence=1)
    scene.stream(5, spo2=97, boot_id="b1")  # it says nothing of faults: the fault stands, on the safe side
    assert scene.bed.latest["spo2"].value is None
    scene.now += timedelta(seconds=1)
    scene.report(spo2=97, boot_id="b2", sequence=0)
    assert scene.bed.latest["spo2"].value == 97
    scene.now += timedelta(seconds=1)
    scene.report(spo2=97, faults=("probe_off",), boot_id="b2", sequence=1)
    assert scene.bed.latest["spo2"].value is None


def test_al_31_a_fault_that_is_over_does_not_begin_again_by_a_report_that_was_overtaken() -> None:
    """AL-31: two reports exchanged on the network: the probe was off and is on again; the patient is watched.

    Found by simulation, seed 1000986.
    """
    scene = Scene().start()
    scene.stream(5, spo2=97)
    scene.now += timedelta(seconds=3)
    for number, faults in ((1, ()), (3, ()), (2, ("probe_off",))):
        at = scene.now + timedelta(seconds=number - 3)
        scene.report(spo2=97, faults=faults, measured_at=at, boot_id="b", sequence=number)
    assert scene.bed.devices["oximeter-1"].faults == ()
    scene.stream(5, spo2=85, boot_id="b")
    assert scene.bed.latest["spo2"].value == 85
    scene.now += timedelta(seconds=1)
    scene.report(spo2=97, faults=("probe_off",), boot_id="b", sequence=4)
    assert scene.bed.devices["oximeter-1"].faults == ("probe_off",)


def test_al_31_a_device_that_counts_anew_is_believed_its_faults() -> None:
    """AL-31, P-28: its numbers are low again; what it says of faults then is no old word."""
    scene = Scene().start()
    for number, faults in ((5000, ()), (5001, ()), (0, ("probe_off",)), (1, ()), (2, ("probe_off",))):
        scene.now += timedelta(seconds=1)
        scene.report(spo2=97, faults=faults, sequence=number)
        assert scene.bed.devices["oximeter-1"].faults == faults


def test_al_31_a_late_report_that_ends_a_fault_has_the_last_word() -> None:
    """AL-31, AL-33: after it an older one, also late, neither begins the fault nor ends another."""
    scene = Scene().start()
    scene.report(spo2=97, faults=("probe_off",), boot_id="b", sequence=1)
    scene.now += timedelta(seconds=100)
    scene.report(spo2=97, faults=(), boot_id="b", sequence=3, measured_at=scene.now - timedelta(seconds=70))
    assert scene.bed.devices["oximeter-1"].faults == ()
    scene.report(spo2=97, faults=("searching",), boot_id="b", sequence=2, measured_at=scene.now)
    assert scene.bed.devices["oximeter-1"].faults == ()


def test_r_02_a_technical_alarm_that_is_heard_again_after_a_crash_is_the_same_one() -> None:
    """R-02, AL-45: told and not yet on the disk when the process died; the report comes again, later."""
    before = Scene().start()
    before.stream(3, spo2=97)
    again = Scene(before.bed, before.now)
    said = {"measured_at": before.now + timedelta(seconds=1), "spo2": 97, "faults": ("battery_low",)}
    before.now += timedelta(seconds=1.2)
    before.report(**said)
    again.now += timedelta(seconds=20)
    again.report(**said)
    key = "fault:oximeter-1:battery_low"
    assert before.alarm(key).alarm_id == again.alarm(key).alarm_id
    assert before.alarm(key).present_at != again.alarm(key).present_at


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        (6, "6 s behind"),
        (-6, "6 s ahead"),
        (119, "119 s behind"),
        (120, "2 min behind"),
        (7199, "120 min behind"),
        (7200, "2.0 h behind"),
    ],
)
def test_al_32_a_skew_is_told_in_the_unit_that_is_read_at_a_glance(behind: float, words: str) -> None:
    """AL-32: seconds under two minutes, minutes under two hours, then hours; which way it is off."""
    scene = Scene().start()
    skewed_stream(scene, 20, timedelta(seconds=behind), spo2=97)
    assert f"clock {words};" in scene.alarm("clock:oximeter-1").text


@pytest.mark.parametrize(("older_s", "over"), [(0, True), (1, False)])
def test_al_31_a_late_report_without_a_number_ends_a_fault_if_none_was_measured_after_it(
    older_s: int, over: bool
) -> None:
    """AL-31, AL-33: the newest word of a device that does not count its messages is known by its time."""
    scene = Scene().start()
    scene.report(faults=("probe_off",), measured_at=scene.now - timedelta(seconds=300))
    scene.report(faults=("probe_off",))
    scene.wait(10)
    newest = scene.now - timedelta(seconds=120)
    scene.bed.devices["oximeter-1"].measured_at = newest
    scene.report(faults=(), measured_at=newest - timedelta(seconds=older_s))
    assert (scene.bed.devices["oximeter-1"].faults == ()) is over


@pytest.mark.parametrize(
    ("trust", "behind_s", "onset_s"),
    [(True, 0, 0), (True, 20, 20), (True, 60, 60), (True, 61, 0), (True, -1, 0), (False, 20, 0)],
)
def test_r_02_what_a_device_says_of_itself_is_so_since_its_own_time(
    trust: bool, behind_s: float, onset_s: float
) -> None:
    """R-02, AL-32: where that is new and within 60 s and its clock is trusted; else since it was heard."""
    scene = Scene().start()
    scene.give(given.Associate(replace(OXIMETER, trust_clock=trust)))
    scene.wait(5)
    scene.report(faults=("battery_low",), measured_at=scene.now - timedelta(seconds=behind_s))
    key = "fault:oximeter-1:battery_low"
    if behind_s <= 60:
        assert scene.alarm(key).onset_at == scene.now - timedelta(seconds=onset_s)
    else:
        assert key not in scene.rules()  # late: it begins no fault
    scene.report(faults=(), measured_at=scene.now)
    scene.wait(2)
    scene.report(faults=("battery_low",), measured_at=scene.now - timedelta(seconds=4))
    assert scene.alarm(key).onset_at == scene.now  # older than its newest word


def test_al_53_what_a_device_said_of_itself_ends_with_its_service() -> None:
    """AL-53, AL-31: its own technical alarms end; another device's and the patient's do not."""
    scene = Scene().start()
    scene.report("cuff-1", faults=("battery_low",))
    scene.report(faults=("battery_low",))
    scene.course([84] * 8)
    scene.give(given.Dissociate("cuff-1", "nina"))
    assert "fault:cuff-1:battery_low" not in scene.rules()
    assert {URGENT, "fault:oximeter-1:battery_low"} <= scene.rules()


def test_al_31_a_presence_message_may_bring_faults() -> None:
    """AL-31: online and a fault in one message: both are taken."""
    scene = Scene().start()
    scene.stream(3, spo2=97)
    scene.report(online=True, faults=("battery_low",))
    assert "fault:oximeter-1:battery_low" in scene.rules()
    assert scene.bed.devices["oximeter-1"].online is True
    before = scene.bed.devices["oximeter-1"].seen_at
    scene.now += timedelta(seconds=3)
    scene.report(online=True)
    assert scene.bed.devices["oximeter-1"].seen_at == before  # presence alone is no reading


def test_al_33_an_old_value_in_a_new_message_is_charted_and_counted() -> None:
    """AL-33: a value with a time of its own, over a minute ago, is a backlog and raises nothing."""
    scene = Scene().start()
    scene.stream(3, spo2=97)
    scene.now += timedelta(seconds=1)
    old = observations({"spo2": 80})[0]._replace(measured_at=scene.now - timedelta(seconds=61))
    scene.give(given.Observe(Report("oximeter-1", scene.now, scene.now, (old,))))
    assert scene.bed.backlog is not None
    assert (scene.bed.backlog.count, scene.bed.backlog.beyond) == (1, 1)
    assert scene.bed.latest["spo2"].value == 97
