"""What is due by the session's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.core import inputs as given
from monitor.core.protocol import Cadence
from tests.core.scene import NOON, Scene, protocol

MINUTE = 60


def dosed(of: str = "in-esketamine") -> Scene:
    """Return a scene with a cuff reading and a first dose just given."""
    scene = Scene().start(of, without=("spo2", "pulse_rate"), reason="a story of the cuff")
    scene.cuff(120)
    scene.give(given.RecordDose(28, "in", "nurse"))
    return scene


def test_a_missing_cuff_reading_is_an_alarm() -> None:
    """AL-29, CLINICAL §1.3: due + 2 min medium, + 5 min high; the next reading ends it."""
    scene = Scene().start()
    scene.cuff(120)
    for _ in range(12 * MINUTE - 1):
        scene.stream(1, spo2=97)
    assert "overdue:cuff" not in scene.rules()
    scene.stream(1, spo2=97)
    assert scene.alarm("overdue:cuff").priority == "medium"
    assert "AUTO mode" in scene.alarm("overdue:cuff").text
    scene.stream(3 * MINUTE, spo2=97)
    assert scene.alarm("overdue:cuff").priority == "high"
    assert not scene.alarm("overdue:cuff").pausable
    scene.cuff(121)
    assert "overdue:cuff" not in scene.rules()


def test_al_29_an_overdue_cuff_freezes_its_alarms() -> None:
    """AL-29: the pressure alarm of the last reading stays, frozen, while no reading comes."""
    scene = Scene().start()
    scene.cuff(190, 100)
    scene.wait(12 * MINUTE + 1)
    assert scene.alarm("systolic-high-urgent").frozen
    scene.cuff(191, 100)
    assert not scene.alarm("systolic-high-urgent").frozen


def test_a_diastolic_value_alone_is_no_complete_reading() -> None:
    """CLINICAL §0: the systolic is what is due; a message without it does not hide that."""
    scene = Scene().start()
    scene.wait(13 * MINUTE)
    before = scene.alarm("overdue:cuff")
    scene.report("cuff-1", dia=70)
    assert scene.alarm("overdue:cuff") == before
    assert scene.of("AlarmEnded", "overdue:cuff") == []


def test_a_phase_with_another_cadence_counts_by_that() -> None:
    """CLINICAL §1.3: every phase has its cadence; what is overdue only by the old one ends."""
    scene = dosed("iv-ketamine")
    scene.wait(12 * MINUTE + 1)
    assert "overdue:cuff" in scene.rules()
    scene.give(given.EndDosing("nurse"))
    assert "overdue:cuff" not in scene.rules()


def evening(start: datetime) -> list[tuple[str, str, str, timedelta]]:
    """Play a session from baseline to an hour after the dose; return what was told, by time since its start.

    In it are a window without a reading, a cadence, a pause that ends and acknowledgements that run out.
    """
    scene = Scene(now=start).start("in-esketamine", without=("spo2", "pulse_rate"), reason="of the cuff")
    scene.cuff(120)
    scene.wait(25 * MINUTE)
    scene.cuff(165, 104)
    scene.cuff(166, 104)
    scene.give(given.PauseAudio("nurse", 600))
    scene.wait(4 * MINUTE)
    scene.give(given.RecordDose(28, "in", "nurse", reason="as agreed"))
    for key in ("systolic-high", "diastolic-high"):
        scene.give(given.Acknowledge(scene.alarm(key).alarm_id, "nurse"))
    scene.wait(46 * MINUTE)
    scene.cuff(121)
    scene.wait(15 * MINUTE)
    return [(one.outcome, one.rule, one.priority, one.at - start) for one in scene.told]


@pytest.mark.parametrize(
    "start",
    [
        datetime(2026, 11, 23, 22, 45, tzinfo=UTC),  # the dose before midnight, its window behind it
        datetime(2026, 12, 31, 23, 20, tzinfo=UTC),
        datetime(2026, 2, 28, 23, 40, tzinfo=UTC),
        datetime(2026, 10, 25, 0, 15, tzinfo=UTC),  # clocks are put back in Europe at 01:00 UTC
        datetime(2026, 3, 29, 0, 15, tzinfo=UTC),
    ],
)
def test_p_50_what_is_due_counts_from_an_instant_so_midnight_is_a_time_like_any_other(
    start: datetime,
) -> None:
    """P-50: a window is a start and a length: the same session tells the same at any hour, to the second."""
    at_noon = evening(NOON)
    assert evening(start) == at_noon
    told = {name for name, *_ in at_noon}
    assert {"CheckpointDue", "CheckpointMissed", "AudioResumed", "AlarmResumed", "AlarmEnded"} <= told
    assert "overdue:cuff" in {rule for _, rule, *_ in at_noon}


def test_the_mandatory_reading_at_40_minutes_is_missed_after_its_window() -> None:
    """CLINICAL §1.3, drill 5: t+40 within 35 to 45 min; AUTO off: a technical alarm until a reading."""
    scene = dosed()
    scene.wait(35 * MINUTE - 1)
    assert scene.of("CheckpointDue", "bp-40") == []
    scene.wait(1)
    due_at = (scene.now + timedelta(minutes=5)).isoformat()
    assert scene.of("CheckpointDue", "bp-40")[0].detail["due_at"] == due_at
    scene.wait(10 * MINUTE + 1)
    assert scene.alarm("missed:bp-40").priority == "medium"
    assert scene.alarm("missed:bp-20").priority == "low", "t+20 is optional"
    scene.cuff(130)
    assert not {"missed:bp-40", "missed:bp-20"} & scene.rules()
    assert scene.bed.session is not None
    assert scene.bed.session.checkpoints["bp-40"] == "missed", "late is not in the window"


def test_a_reading_anywhere_in_the_window_counts() -> None:
    """CLINICAL §5: the monitor's cycle is not the protocol's clock: windows, not instants."""
    scene = dosed()
    scene.cuff(130, after_s=36 * MINUTE)
    assert [o.rule for o in scene.of("CheckpointMet")] == ["bp-40"]
    scene.cuff(130, after_s=60)
    assert len(scene.of("CheckpointMet")) == 1


def test_a_second_dose_moves_what_counts_from_the_last() -> None:
    """CLINICAL §1.2: gate on the later dose: the window of the last reading moves with it."""
    scene = dosed()
    scene.give(given.RecordDose(28, "in", "nurse"), after_s=300)
    scene.wait(105 * MINUTE - 1)
    assert scene.of("CheckpointDue", "bp-last") == []
    scene.wait(1)
    assert len(scene.of("CheckpointDue", "bp-last")) == 1


def test_a_withdrawn_dose_takes_its_checkpoints_along() -> None:
    """CLINICAL §1.3: recorded by mistake: what was due by it is not; the next dose begins anew."""
    scene = dosed()
    at = scene.now
    scene.wait(46 * MINUTE)
    assert "missed:bp-40" in scene.rules()
    scene.give(given.WithdrawDose(at, "nurse", "wrong bed"))
    assert "missed:bp-40" not in scene.rules()
    assert scene.bed.session is not None
    assert scene.bed.session.phase == "baseline"
    scene.give(given.RecordDose(28, "in", "nurse"))
    scene.cuff(130, after_s=40 * MINUTE)
    assert scene.bed.session.checkpoints["bp-40"] == "met"


def test_ending_the_infusion_early_moves_its_end() -> None:
    """CLINICAL §1.3: the reading 'at the end' is looked for around the true end, also among what was read."""
    scene = dosed("iv-ketamine")
    scene.cuff(130, after_s=18 * MINUTE)
    scene.give(given.EndDosing("nurse"), after_s=2 * MINUTE)
    assert scene.bed.session is not None
    assert scene.bed.session.checkpoints["bp-end"] == "met"
    assert scene.bed.session.phase == "observation"


def test_a_met_checkpoint_stays_met_when_its_window_still_holds_the_reading() -> None:
    """CLINICAL §1.3: ending two minutes late does not ask for the reading again."""
    scene = dosed("iv-ketamine")
    scene.cuff(130, after_s=39 * MINUTE)
    assert [o.rule for o in scene.of("CheckpointMet")][-1] == "bp-end"
    scene.give(given.EndDosing("nurse"), after_s=3 * MINUTE)
    assert len(scene.of("CheckpointDue", "bp-end")) == 1


def test_without_a_cuff_nothing_of_it_is_due() -> None:
    """AL-30: a session that says it measures no pressure is asked for none."""
    cuff = ("nibp_systolic", "nibp_diastolic", "nibp_mean")
    scene = Scene().start("in-esketamine", without=("spo2", "pulse_rate", *cuff), reason="refused by patient")
    scene.give(given.RecordDose(28, "in", "nurse"))
    scene.wait(3 * 3600)
    assert scene.rules() == set()


def test_what_was_over_before_the_monitor_was_told_is_recorded_only() -> None:
    """AL-33: a dose of an hour ago is recorded now: what was missed is told, but nobody can help it."""
    scene = Scene()
    early = scene.now - timedelta(minutes=70)
    scene.start(started_at=early, without=("spo2", "pulse_rate"), reason="a story of the cuff")
    scene.give(given.RecordDose(35, "iv", "nurse", early))
    assert [o.rule for o in scene.of("CheckpointMissed")] == ["bp-5", "bp-end"]
    assert not {"missed:bp-5", "missed:bp-end"} & scene.rules()


def test_a_dose_recorded_late_finds_the_readings_of_its_windows() -> None:
    """CLINICAL §5: readings of the last hour count for windows that become known now; none is 'missed'."""
    scene = Scene().start()
    began = scene.now
    for _ in range(12):
        scene.cuff(121, after_s=300)
    scene.give(given.RecordDose(35, "iv", "nurse", began + timedelta(minutes=5)))
    assert {one.rule for one in scene.of("CheckpointMet")} == {"bp-5", "bp-end"}
    assert not any(key.startswith("missed:") for key in scene.rules())


def test_a_pressure_entered_late_makes_the_baseline_too() -> None:
    """AL-33, ALARMS §3.3: two readings from paper, 25 and 15 min old: baseline and hold prompt, no alarm."""
    scene = Scene().start(started_at=None, without=("spo2", "pulse_rate"), reason="a story of the cuff")
    scene.wait(30 * MINUTE)
    for minutes, systolic in ((25, 150), (15, 154)):
        at = scene.now - timedelta(minutes=minutes)
        scene.give(given.RecordManual({"nibp_systolic": systolic, "nibp_diastolic": 80}, "nurse", at))
    assert scene.of("BaselineEstablished")[0].value == 152
    assert scene.bed.session is not None
    assert "nibp_systolic" in scene.bed.session.held


@pytest.mark.parametrize(
    ("every_min", "medium_late_min", "grace_s"),
    [(2, 2.0, 60), (4, 2.0, 60), (6, 2.0, 90), (8, 2.0, 120), (30, 2.0, 120), (30, 1.0, 60), (30, 0.5, 30)],
)
def test_a_cuff_is_overdue_after_a_quarter_of_its_interval_or_two_minutes(
    every_min: float, medium_late_min: float, grace_s: float
) -> None:
    """ALARMS §3.8: interval + 25 %, at least 60 s, or due + 2 min, the earlier; high at 5 min."""
    plan = protocol(watch=(), cadence=(Cadence("baseline", every_min, "test", medium_late_min),))
    scene = Scene().start(plan)
    due = NOON + timedelta(minutes=every_min)
    scene.wait(every_min * 60 + grace_s - 0.1)
    assert scene.rules() == set()
    scene.wait(0.1)
    alarm = scene.alarm("overdue:cuff")
    assert (alarm.priority, alarm.onset_at, alarm.metric) == ("medium", due, "nibp_systolic")
    assert not alarm.pausable
    assert "none yet in this session" in alarm.text
    scene.wait(300 - grace_s - 0.1)
    assert scene.alarm("overdue:cuff").priority == "medium"
    scene.wait(0.1)
    assert scene.alarm("overdue:cuff").priority == "high"
    scene.cuff(120)
    assert scene.rules() == set()


def test_a_dose_moves_only_the_checkpoints_that_hang_on_it() -> None:
    """AL-10: what was met or missed at a time that stays is kept; what moves begins anew."""
    scene = Scene().start(protocol(watch=(), cadence=()))
    scene.give(given.RecordDose(28, "iv", "nina"))
    scene.wait(4 * 60)
    scene.cuff(120)
    scene.wait(42 * 60)
    assert scene.bed.session is not None
    assert scene.bed.session.checkpoints == {"bp-5": "met", "bp-end": "missed"}
    scene.give(given.RecordDose(28, "iv", "nina"))
    assert scene.bed.session.checkpoints == {"bp-5": "met"}
    assert "missed:bp-end" not in scene.rules()
