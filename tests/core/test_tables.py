"""The tables of the core against the pages that they come from, written down a second time.

A wrong code sends a pressure as a pulse to a hospital's record; a wrong gate or time makes an alarm late.
Codes: CLINICAL §7.1. Gates: CLINICAL §5. Times: ALARMS §2, §3.2 and §3.4.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from monitor.core.alarms import derive_alarm_id
from monitor.core.protocol import (
    LIVE_PHASES,
    PHASES,
    PRIORITY,
    RANK,
    Baseline,
    Cadence,
    Checkpoint,
    Criterion,
    Filter,
    Hold,
    Limit,
    Timing,
    Watch,
)
from monitor.core.vitals import FAULTS, METRICS, PRESSURES, Metric

SERIAL = frozenset({255.0, 511.0})  # "no reading" of serial oximeters; a cuff may truly read 255
PLAIN = frozenset[float]()
TABLE = [
    # name, unit, MDC, LOINC, possible, plausible, channel, decimals, sentinels, one by one
    ("heart_rate", "/min", 147842, "8867-4", (10, 350), (25, 220), "ecg", 0, SERIAL, False),
    ("pulse_rate", "/min", 149530, "8889-8", (10, 350), (25, 220), "oximeter", 0, SERIAL, False),
    ("spo2", "%", 150456, "59408-5", (10, 100), (50, 100), "oximeter", 0, PLAIN, False),
    ("nibp_systolic", "mm[Hg]", 150021, "8480-6", (10, 300), (50, 260), "cuff", 0, PLAIN, True),
    ("nibp_diastolic", "mm[Hg]", 150022, "8462-4", (10, 300), (25, 180), "cuff", 0, PLAIN, True),
    ("nibp_mean", "mm[Hg]", 150023, "8478-0", (10, 300), (30, 215), "cuff", 0, PLAIN, True),
    ("nibp_pulse_rate", "/min", 149546, "8867-4", (10, 350), (25, 220), "cuff", 0, SERIAL, True),
    ("respiration_rate", "/min", 151562, "9279-1", (1, 150), (3, 60), "respiration", 0, PLAIN, False),
    ("etco2", "mm[Hg]", 151708, "19891-1", (1, 150), (10, 100), "capnograph", 0, PLAIN, False),
    ("temperature", "Cel", 150344, "8310-5", (20, 46), (30, 43), "thermometer", 1, PLAIN, False),
    ("perfusion_index", "%", 150488, "61006-3", (0, 30), (0.02, 20), "oximeter", 1, PLAIN, False),
]


def test_a_metric_has_the_unit_codes_and_gates_of_the_page() -> None:
    """CLINICAL §5, §7.1: each metric by its row, and no other metrics."""
    rows = [
        (
            m.name,
            m.unit,
            m.mdc,
            m.loinc,
            m.possible,
            m.plausible,
            m.channel,
            m.decimals,
            m.sentinels,
            m.aperiodic,
        )
        for m in METRICS.values()
    ]
    assert rows == TABLE
    assert list(METRICS) == [row[0] for row in TABLE]
    assert PRESSURES == ("nibp_systolic", "nibp_diastolic", "nibp_mean")
    new = Metric("x", "x", "", 1, "", (0, 1), (0, 1), "x")
    assert (new.decimals, new.sentinels, new.aperiodic) == (0, frozenset(), False)


BLOCKING = {
    "oximeter": {"probe_off", "probe_fault", "searching"},
    "ecg": {"lead_off"},
    "cuff": {"cuff_leak", "cuff_error"},
    "respiration": {"respiration_lost"},
    "capnograph": {"capnograph_fault"},
    "": {"standby", "device_fault"},
}
DOUBTING = {
    "oximeter": {"low_perfusion", "motion", "interference"},
    "ecg": {"ecg_noise"},
    "cuff": {"cuff_inflating", "cuff_motion"},
    "": {"artefact", "battery_low", "clock_unset"},
}


def test_al_31_a_fault_blocks_its_instrument_or_only_casts_doubt() -> None:
    """AL-31: under which faults no value of which instrument can be trusted; the rest lower the quality."""
    for blocks, table in ((True, BLOCKING), (False, DOUBTING)):
        found: dict[str, set[str]] = {}
        for name, fault in FAULTS.items():
            assert fault.name == name
            if fault.blocks is blocks:
                found.setdefault(fault.channel, set()).add(name)
        assert found == table


def test_al_01_ranks_and_phases_have_their_order() -> None:
    """AL-01: high above medium above low; the live phases are all but the end."""
    assert RANK == {"high": 3, "medium": 2, "low": 1}
    assert PHASES == ("baseline", "dosing", "observation", "ready", "ended")
    assert PHASES[:4] == LIVE_PHASES
    assert len(PRIORITY) == 9


def test_al_19_times_that_no_protocol_states_are_those_of_the_requirements() -> None:
    """AL-19: 10, 20 and 60 min; AL-20: 120 s, at most 600; AL-22: 120 s; AL-24: 300 s; AL-54: 60 s."""
    times = Timing()
    assert (times.acknowledge_high_s, times.acknowledge_medium_s, times.acknowledge_low_s) == (
        600,
        1200,
        3600,
    )
    assert (times.audio_pause_s, times.audio_pause_max_s) == (120, 600)
    assert (times.alarm_pause_max_s, times.reminder_s, times.same_limb_hold_s) == (120, 300, 60)
    assert times.medium_breaks_pause


def test_af_07_what_a_filter_leaves_unsaid_is_short() -> None:
    """AF-07, ALARMS §3.2: a gate of 8 s, re-arm after 10 s, closed after 60 s; every other path is off."""
    bare = Filter(ceiling_s=10)
    assert (bare.gate_s, bare.rearm_s, bare.settle_s, bare.net_window_s) == (8, 10, 60, 60)
    assert (bare.integral, bare.floor, bare.tiers) == (None, None, ())
    assert (bare.min_time_s, bare.floor_s, bare.net_crossings, bare.deadband) == (0, 0, 0, 0)


def test_what_a_rule_leaves_unsaid_is_the_careful_choice() -> None:
    """AL-08, AL-22, AL-28: on, in every live phase; the limit itself is inside; nothing asks twice."""
    bare = Limit("x", "spo2", "low", "minor", "delayed", "test")
    assert bare.on
    assert bare.pausable
    assert bare.phases == LIVE_PHASES
    assert not any((bare.at_limit, bare.confirm, bare.latching, bare.annotation))
    assert (bare.filter, bare.repeat_within_s, bare.deadband) == ("", 0, 0)
    assert (bare.limit, bare.rise, bare.rise_fraction) == (None, None, None)
    assert not Watch("spo2", 10, 30, 120, "test").if_provided
    late = Cadence("dosing", 5, "test")
    assert (late.medium_late_min, late.high_late_min) == (2, 5)  # CLINICAL §1.3
    check = Checkpoint("x", "X", "first_dose", 5, 1, 1, "test")
    assert (check.metrics, check.mandatory) == (("nibp_systolic",), True)
    assert Hold("nibp_systolic", 140, "test").repeat_after_min == 5  # CLINICAL §1.3
    asked = Criterion("x", "X", "asked", "test")
    assert (asked.anchor, asked.minutes, asked.absolute, asked.margin) == ("last_dose", 0, 0, 0)
    assert (asked.metric, asked.scale, asked.at_least, asked.at_most) == ("", "", None, None)
    assert (Baseline().readings, Baseline().apart_min) == (2, 1)  # ALARMS §3.3


@pytest.mark.parametrize(
    "onset",
    [
        datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
        datetime(2026, 11, 23, 12, 0, 0, 123000, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC),
    ],
)
def test_al_45_an_alarms_name_begins_with_its_onset_in_milliseconds(onset: datetime) -> None:
    """AL-45: a UUID of version 8 (RFC 9562): 48 bits of time, then 0x8, then the variant 0b10."""
    name = derive_alarm_id("s1", "spo2-low", onset)
    stamp = int(onset.timestamp() * 1000)
    assert name[:13].replace("-", "") == f"{stamp:012x}"
    assert [len(part) for part in name.split("-")] == [8, 4, 4, 4, 12]
    assert name[14] == "8"
    assert name[19] in "89ab"
    assert derive_alarm_id("s1", "spo2-low", onset.astimezone(timezone(timedelta(hours=5.5)))) == name
    others = [
        ("s2", "spo2-low", onset),
        ("s1", "spo2-lo", onset),
        ("s1", "spo2-low", onset + timedelta(microseconds=1)),
    ]
    assert len({name, *(derive_alarm_id(*other) for other in others)}) == 4


def test_al_45_an_alarms_name_is_the_same_in_every_version() -> None:
    """AL-45: the record of years names alarms so: the digest's bits stand where they always stood."""
    at = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    assert derive_alarm_id("s1", "spo2-low-urgent", at) == "01a20846-fe00-8be3-b635-d1cac048644a"
