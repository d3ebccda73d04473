"""What a simulated device says, the monitor reads back: values, times, faults, doubt, mode; any language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import formats
from monitor.core.vitals import FAULTS, METRICS, QUESTIONABLE, Report
from simulators.speech import LANGUAGES, Language, Reading, Said, Speaker, speaking

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SPEAKER = Speaker("sim-thing-1", "b7f1c2d3", 41)
# What each instrument measures, in numbers that a patient can have and that every format can carry.
INSTRUMENTS: Mapping[str, Mapping[str, Any]] = {
    "oximeter": {"spo2": st.integers(50, 100), "pulse_rate": st.integers(25, 220)},
    "perfusion": {
        "spo2": st.integers(50, 100),
        "pulse_rate": st.integers(25, 220),
        "perfusion_index": st.integers(1, 200).map(lambda tenths: tenths / 10),
    },
    "cuff": {
        "nibp_systolic": st.integers(150, 260),
        "nibp_diastolic": st.integers(25, 90),
        "nibp_mean": st.integers(91, 149),
        "nibp_pulse_rate": st.integers(25, 220),
    },
    "ecg": {"heart_rate": st.integers(25, 220)},
    "breath": {"respiration_rate": st.integers(3, 60), "etco2": st.integers(10, 99)},
    "thermometer": {"temperature": st.integers(300, 430).map(lambda tenths: tenths / 10)},
}


@st.composite
def readings(draw: Callable[..., Any], language: Language) -> Reading:
    """Draw a reading of one instrument, in what the language has words for."""
    able = [
        name
        for name, row in INSTRUMENTS.items()
        if language.needs.issubset(row) and language.metrics.issuperset(row)
    ]
    row = INSTRUMENTS[draw(st.sampled_from(able))]
    values: dict[str, float | None] = {metric: draw(numbers) for metric, numbers in row.items()}
    if draw(st.booleans()):
        values = dict.fromkeys(values)
    channels = {METRICS[metric].channel for metric in values}
    sayable = sorted(name for name in language.faults if FAULTS[name].channel in (*channels, ""))
    some = (
        st.lists(st.sampled_from(sayable), max_size=language.at_once, unique=True) if sayable else st.just([])
    )
    faults = draw(st.none() | some.map(tuple))
    ended = draw(some.map(tuple)) if faults == () else ()
    at = draw(st.none() | st.integers(0, 86_399_999).map(lambda ms: NOON + timedelta(milliseconds=ms)))
    doubted = language.doubts and None not in values.values() and draw(st.booleans())
    quality = {"spo2": "questionable", "pulse_rate": "questionable"} if doubted and "spo2" in values else {}
    return Reading(at, values, faults, quality, ended)


def read(language: Language, said: Said) -> tuple[Report, ...]:
    """Let the monitor read one message, as ``beds.toml`` would have it."""
    received_at = NOON + timedelta(hours=26)
    zone = ZoneInfo(language.zone) if language.zone else None
    context = formats.Context(SPEAKER.device_id, received_at, said.topic, False, zone, language.options)
    return formats.decode(language.format, said.payload, context).reports


def fits(topic: str, pattern: str) -> bool:
    """Say whether an MQTT topic matches a filter."""
    levels, wanted = topic.split("/"), pattern.format(id=SPEAKER.device_id).split("/")
    if wanted[-1] == "#":
        return levels[: len(wanted) - 1] == wanted[:-1]
    return len(levels) == len(wanted) and all(b in ("+", a) for a, b in zip(levels, wanted, strict=True))


@pytest.mark.parametrize("name", LANGUAGES)
@settings(max_examples=40)
@given(data=st.data())
def test_the_monitor_reads_back_what_a_device_says(name: str, data: st.DataObject) -> None:
    """Issue 6: every format can be spoken; what comes back is what was said, as far as the format goes."""
    language = LANGUAGES[name]
    reading = data.draw(readings(language))
    said = language.speak(reading, SPEAKER)
    reports = [report for each in said for report in read(language, each)]
    assert all(fits(each.topic, language.topic) for each in said if language.topic)
    found = {one.metric: one for report in reports for one in report.observations}
    expected = dict(reading.values)
    if name == "pc60" and expected["perfusion_index"] is None:
        expected["perfusion_index"] = 0.0  # its packet has no other word for none
    assert {metric: one.value for metric, one in found.items()} == expected
    for metric, one in found.items():
        if metric in reading.quality:
            assert one.validity == QUESTIONABLE
    for report in reports:
        _judge(report, language, reading)
    _judge_faults(reports, language, reading)


def _judge(report: Report, language: Language, reading: Reading) -> None:
    named = language.address.format(id=SPEAKER.device_id) if language.address else SPEAKER.device_id
    assert report.device_id == named
    at = reading.measured_at
    timed = at is not None and language.timed.issuperset(one.metric for one in report.observations)
    if timed and report.observations:
        gap = at - (report.gateway_at if language.gateway_time else report.measured_at)  # type: ignore[operator]
        assert timedelta() <= gap < timedelta(seconds=language.seconds)
    elif not timed:
        assert report.measured_at is None
    if language.says_drill:
        assert report.mode == "drill"
    if language.counts:
        assert (report.boot_id, report.sequence) == (SPEAKER.boot_id, SPEAKER.sequence)


def _judge_faults(reports: list[Report], language: Language, reading: Reading) -> None:
    told = [set(report.faults) for report in reports if report.faults is not None]
    if reading.faults:
        assert told, "a fault was not said"
        assert set().union(*told) == set(reading.faults)
    else:
        assert not any(told)


def test_every_format_of_the_monitor_is_spoken() -> None:
    """Issue 6: every format of monitor/formats."""
    assert {language.format for language in LANGUAGES.values()} == set(formats.FORMATS)


def test_what_beds_toml_needs_is_accepted() -> None:
    """The options that a language needs are sound, and every kind of device has languages to choose from."""
    for language in LANGUAGES.values():
        assert formats.FORMATS[language.format].check(language.options) == ()
    assert set(LANGUAGES) - set(speaking(INSTRUMENTS["oximeter"])) == {"pc60"}
    assert "pc60" in speaking(INSTRUMENTS["perfusion"])
    assert len(speaking(INSTRUMENTS["cuff"])) >= 14


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_sentinel_is_no_value_in_any_language(name: str) -> None:
    """CLINICAL §5: -100 for everything; no language may turn it into a number."""
    language = LANGUAGES[name]
    reading = Reading(NOON, dict.fromkeys({"spo2", "pulse_rate", *language.needs}, -100), ())
    reports = [report for each in language.speak(reading, SPEAKER) for report in read(language, each)]
    seen = [one for report in reports for one in report.observations if one.metric != "perfusion_index"]
    assert {one.value for one in seen} == {None}
