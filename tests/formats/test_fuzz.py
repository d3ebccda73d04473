"""Every decoder holds its law whatever arrives (P-26, R-15): no crash, no impossible value, no silence.

Good payloads are damaged as wires, gateways and attackers damage them. Each batch is made from one seed,
which hypothesis chooses and a failure prints; the long run is the same with a million payloads for each
format.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.core.vitals import FAULTS, INVALID, METRICS, PRESSURES, QUESTIONABLE, VALID, Report
from monitor.formats import FORMATS, Undecodable, decode
from tests.formats.corpus import SAMPLES, Sample
from tests.formats.speech import NOON, context
from tests.formats.stories import payload_of, stories

BATCH = 100
WORD = re.compile(rb"[0-9A-Za-z]")
NAMES = sorted(FORMATS)
# What devices send in the place of a number or a word, and what nobody expects.
NASTY = [
    word.encode()
    for words in (
        '-1 0 -0 127 255 511 1e999 -1e999 NaN Infinity null true [] {} "" "--" 99999999999999999999 1e-300',
        "0x61 \\ud800 ^ ~ & \\ | \r \n \x00 \x0b \x1c 9999-12-31T23:59:59-14:00 0001-01-01T00:00:00+14:00",
        '20261025023000 1795435200000 <70 120/80 80/120 ٩٧ "97,5" [[[[ {"a": "values": values.* kPa [degF]',
    )
    for word in words.split(" ")
]


def damage(chance: random.Random, content: bytes, other: bytes) -> bytes:
    """Damage a payload in one of the ways that payloads are damaged."""
    at = chance.randrange(len(content) + 1)
    end = min(len(content), at + chance.randrange(1, 12))
    way = chance.randrange(8)
    if way == 0:
        return content[:at]
    if way == 1:
        return content[:at] + content[end:]
    if way == 2:
        return content[:at] + chance.randbytes(end - at) + content[end:]
    if way == 3:
        return content[:at] + chance.choice(NASTY) + content[at:]
    if way == 4:
        return content[:at] + content[at:end] * chance.randrange(2, 5) + content[end:]
    if way == 5:
        cut = chance.randrange(len(other) + 1)
        return content[:at] + other[cut:]
    return replace_token(chance, content)


def replace_token(chance: random.Random, content: bytes) -> bytes:
    """Put something nasty in the place of one number or word."""
    spot = WORD.search(content, chance.randrange(len(content) + 1)) or WORD.search(content)
    if spot is None:
        return content + chance.choice(NASTY)
    start = end = spot.start()
    while start > 0 and chr(content[start - 1]) in "0123456789.-":
        start -= 1
    while end < len(content) and chr(content[end]) in "0123456789.":
        end += 1
    return content[:start] + chance.choice(NASTY) + content[max(end, start + 1) :]


def judge(report: Report) -> None:
    """Hold a report to the law of the metrics table."""
    assert report.device_id
    assert len(report.device_id) <= 400
    assert report.mode in {"real", "drill"}
    assert all(name in FAULTS for name in report.faults or ())
    for instant in (report.measured_at, report.gateway_at, *(o.measured_at for o in report.observations)):
        assert instant is None or (instant.tzinfo is UTC and instant.year >= 2000)
        assert instant is None or instant <= NOON + timedelta(days=36526)
    assert report.sequence is None or 0 <= report.sequence < 2**63
    assert report.boot_id is None or len(report.boot_id) <= 66
    for observation in report.observations:
        metric = METRICS[observation.metric]
        assert observation.validity in {VALID, QUESTIONABLE, INVALID}
        assert (observation.value is None) == (observation.validity == INVALID), observation
        assert observation.value is not None or observation.reason, observation
        if observation.value is not None:
            assert metric.possible[0] <= observation.value <= metric.possible[1]
            assert observation.value not in metric.sentinels
    judge_cuffs(report)


def judge_refusal(payload: bytes, reason: str) -> None:
    """A refusal says why in a line; a decoder that broke is no refusal."""
    assert "decoder failed" not in reason, (payload, reason)
    assert 5 < len(reason) < 1000, (payload, reason)


def judge_cuffs(report: Report) -> None:
    """No cuff measurement is upside down."""
    for at in {one.measured_at for one in report.observations}:
        cuff = {
            o.metric: o.value for o in report.observations if o.metric in PRESSURES and o.measured_at == at
        }
        systolic, diastolic = cuff.get("nibp_systolic"), cuff.get("nibp_diastolic")
        assert systolic is None or diastolic is None or systolic > diastolic


def attack(name: str, seed: int) -> None:
    """Decode one batch of damaged payloads of one format."""
    chance = random.Random(seed)
    samples = [sample for sample in SAMPLES if sample.format == name]
    for _ in range(BATCH):
        sample: Sample = chance.choice(samples)
        payload = sample.payload
        for _ in range(chance.randrange(1, 4)):
            payload = damage(chance, payload, chance.choice(SAMPLES).payload)
        if chance.randrange(20) == 0:
            payload = chance.randbytes(chance.randrange(200))
        around = context(
            sample.topic, chance.choice(["", "Europe/Berlin", "Pacific/Chatham"]), **sample.options
        )
        try:
            decoded = decode(name, payload, around)
        except Undecodable as refusal:
            judge_refusal(payload, str(refusal))
            continue
        try:
            assert decoded.reports or decoded.note or decoded.ignored, "silence"
            for report in decoded.reports:
                judge(report)
        except AssertionError as fault:
            raise AssertionError(f"{name}, payload {payload!r}: {fault}") from fault


@pytest.mark.parametrize("name", NAMES)
def test_ten_thousand_damaged_payloads(name: str) -> None:
    """P-26, R-15: 10,000 payloads a format: no crash, no wrong value accepted, nothing lost in silence."""

    @settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        attack(name, seed)

    run()


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_a_million_damaged_payloads(name: str) -> None:
    """P-26, R-15: 1,000,000 payloads a format."""
    for seed in range(1_000_000 // BATCH):
        attack(name, seed)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.format}-{len(sample.payload)}")
def test_a_decoder_is_a_pure_function(sample: Sample) -> None:
    """DESIGN §1.1: the same bytes and context give the same report."""
    first, second = (
        decode(sample.format, sample.payload, context(sample.topic, **sample.options)) for _ in "12"
    )
    assert first == second
    assert first.reports


_K = 1024
HEAVY = [
    ("hl7v2", b"MSH|^~\\&\r" * 14 * _K),
    ("hl7v2", b"MSH|^~\\&|||||||ORU^R01\r" + b"PID|\rOBX|1\r" * 10 * _K),
    ("fhir", b'{"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"59408-5"}]},'
     b'"effectiveInstant":"2026-11-23T12:00:00Z","valueSampledData":{"data":"' + b"97 " * 40 * _K + b'"}}'),
    ("serial", b"\xfe" * 16 * _K),
    ("serial", b"\x80\x01\x01\x01\x61" * 3 * _K),
    ("serial", b"\xaa\x55\x0f\x40" * 4 * _K),
    ("serial", b"\x55\x00\xff\x00\x00\x30\x00\x00" * 2 * _K),
    ("serial", b"11/23/26 12:00:00 SPO2=" * 700),
    ("serial", b"\x81\x40\x40\x40" * 4 * _K),
    ("keymap", b'{"a":' * 2000 + b"1" + b"}" * 2000),
    ("gatt", b'[{"char":"2A37","value":"0048"},' + b'{"char":"2A37","value":"0048"},' * 500 + b"{}]"),
    ("sparkplug", b"\x12\x00" * 8 * _K),
    ("keymap", b"[" + b'{"spo2":97},' * 1300 + b"{}]"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "payload"), HEAVY, ids=[f"{row[0]}-{len(row[1])}" for row in HEAVY])
def test_no_payload_holds_the_loop(name: str, payload: bytes) -> None:
    """S-05: the worst payload of the largest size costs less processor time than an alarm may wait."""
    started = time.process_time()
    try:
        decode(name, payload, context())
    except Undecodable as refusal:
        judge_refusal(payload[:100], str(refusal))
    assert time.process_time() - started < 1.5  # a quarter of it on a machine of its own


JSON_FORMATS = ["native", "fhir", "theengs", "thingsboard", "tasmota", "zigbee2mqtt", "ava4", "keymap"]
KEYS = "values spo2 heart_rate nibp_systolic nibp_diastolic quality faults mode measured_at value unit"
" resourceType"
documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["97", "drill"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS.split()) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=12,
)


ODD: tuple[Any, ...] = ({}, {"x": 1}, [], [1], [[1]], [{"x": 1}], None, True, 5, -1e99, "x", "")


def each_with(document: Any, odd: Any) -> Iterator[Any]:
    """Yield a document once for each of its places, with something odd put there."""
    keys = (
        document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    )
    for key in list(keys)[:20]:
        was = document[key]
        for changed in each_with(was, odd):
            document[key] = changed
            yield document
        document[key] = odd
        yield document
        document[key] = was


@pytest.mark.parametrize("file", ["gateways", "gatt", "fhir"])
def test_any_place_of_a_makers_message_may_hold_anything(file: str) -> None:
    """P-26: a key that holds an object, a list or nothing where a word was breaks no decoder."""
    for story in stories(file):
        content = payload_of(story)
        try:
            json.loads(content)
        except ValueError:
            continue
        around = context(story.get("topic", ""), **story.get("options", {}))
        for odd in ODD:
            for changed in each_with(json.loads(content), odd):
                payload = json.dumps(changed).encode()
                try:
                    decoded = decode(story["format"], payload, around)
                except Undecodable as refusal:
                    judge_refusal(payload, str(refusal))
                else:
                    for report in decoded.reports:
                        judge(report)


@pytest.mark.parametrize("name", JSON_FORMATS)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(document=documents)
def test_any_json_is_judged(name: str, document: object) -> None:
    """P-26: any JSON document is decoded within the law or refused with a reason."""
    try:
        decoded = decode(name, json.dumps(document).encode("utf-8", "surrogatepass"), context())
    except Undecodable as refusal:
        judge_refusal(b"", str(refusal))
        return
    for report in decoded.reports:
        judge(report)
