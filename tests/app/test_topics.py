"""What lamps and pagers hear: complete lists, phases, signatures, and nothing about the patient."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitor.app import topics
from monitor.config import load_protocol
from monitor.core import inputs as given
from monitor.core.bed import Bed, advance
from monitor.core.device import DeviceProfile
from monitor.core.vitals import Observation, Report
from tests.conftest import REPOSITORY
from tests.instants import instants

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
IV = load_protocol(Path(REPOSITORY) / "config" / "protocols" / "iv-ketamine.toml")
KEY = b"a key of the site"


def bed_with_alarms() -> Bed:
    """Return a bed in session with a medium and a high alarm."""
    bed = Bed("bed-1")
    for one in (
        given.StartSession("s1", "K-0042", IV, "nina"),
        given.ReportCondition("mild", "medium", "a mild one"),
        given.ReportCondition("worst", "high", "the worst"),
    ):
        bed, _ = advance(bed, one, NOW)
    return bed


def test_al_47_the_list_is_complete_and_the_worst_stands_first() -> None:
    """AL-47, AL-05: every present alarm, high before medium, with boot id and sequence."""
    said = json.loads(topics.alarm_list(bed_with_alarms(), "b1", 7, NOW))
    assert [one["rule"] for one in said["alarms"]] == ["worst", "mild"]
    assert (said["boot_id"], said["seq"], said["mode"]) == ("b1", 7, "real")


def test_s_07_a_signature_that_is_checked_as_documented_holds_and_a_forged_one_does_not() -> None:
    """S-07: alarm topics can be signed; a changed payload or another topic does not match."""
    payload = topics.alarm_list(bed_with_alarms(), "b1", 7, NOW)
    said = topics.signed("t/alarms", payload, KEY)

    def holds(topic: str, received: bytes) -> bool:
        fields = json.loads(received)
        body = received[: received.rindex(b',"hmac":')] + b"}"
        computed = hmac.new(KEY, topic.encode() + b"\0" + body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(computed, fields["hmac"])

    assert holds("t/alarms", said)
    assert not holds("t/other", said)
    assert not holds("t/alarms", said.replace(b'"high"', b'"low"'))


def test_s_10_a_phase_of_the_turn_in_which_a_drill_ends_says_drill() -> None:
    """S-10: a lamp or pager that hears the end of a drill's alarm is told that it was a drill's."""
    bed, _ = advance(Bed("bed-1"), given.StartSession("s", "K-1", IV, "anna", mode="drill"), NOW)
    bed, _ = advance(bed, given.Tick(), NOW + timedelta(seconds=20))
    _, outcomes = advance(bed, given.EndSession("anna", "practised"), NOW + timedelta(seconds=40))
    spoken = [json.loads(payload) for payload in topics.phases(outcomes, "b1")]
    assert {one["phase"] for one in spoken} >= {"escalate", "end"}
    assert {one["mode"] for one in spoken} == {"drill"}


def test_p_22_every_instant_on_the_wire_has_a_date_and_an_offset() -> None:
    """P-22: onset (the reading), present (received and decided) and told: in the list and in each phase."""
    bed, told = Bed("bed-1"), []
    reading = Report("oximeter-1", NOW, NOW - timedelta(seconds=2), (Observation("spo2", 80.0),))
    for seconds, one in (
        (0, given.Associate(DeviceProfile("oximeter-1", ("spo2",), 1.0))),
        (0, given.StartSession("s1", "K-1", IV, "nina")),
        *((second, given.Observe(later(reading, second))) for second in range(1, 11)),
        (11, given.PauseAudio("nina")),
    ):
        bed, outcomes = advance(bed, one, NOW + timedelta(seconds=seconds))
        told += outcomes
    high = next(alarm for alarm in bed.alarms.values() if alarm.metric == "spo2")
    bed, outcomes = advance(bed, given.Acknowledge(high.alarm_id, "nina"), NOW + timedelta(seconds=12))
    end = advance(bed, given.EndSession("nina", "moved"), NOW + timedelta(seconds=13))[1]
    phases = topics.phases([*told, *outcomes, *end], "b1")
    spoken = [topics.alarm_list(bed, "b1", 1, NOW), *topics.continuing(bed, "b1", NOW), *phases]
    spoken += topics.rehearsed(told, "b1")
    found = [pair for payload in spoken for pair in instants(json.loads(payload))]
    assert {name for name, _ in found} == {"at", "onset_at", "present_at", "audio_paused_until"}
    assert all(at.tzinfo is not None for _, at in found)
    start = next(x for x in map(json.loads, phases) if (x["phase"], x["metric"]) == ("start", "spo2"))
    assert datetime.fromisoformat(start["onset_at"]) == high.onset_at < NOW + timedelta(seconds=1)
    assert datetime.fromisoformat(start["at"]) == high.present_at


def later(report: Report, seconds: int) -> Report:
    """Return a report measured and received so much later."""
    span = timedelta(seconds=seconds)
    measured = (report.measured_at or report.received_at) + span
    return report._replace(received_at=report.received_at + span, measured_at=measured)


def test_no_patient_code_is_on_the_wire() -> None:
    """DESIGN §4: no patient in any topic or payload."""
    bed = bed_with_alarms()
    spoken = [topics.alarm_list(bed, "b1", 1, NOW), *topics.continuing(bed, "b1", NOW)]
    _, outcomes = advance(bed, given.EndSession("nina", "moved"), NOW)
    spoken += topics.phases(outcomes, "b1")
    assert len(spoken) > 2
    assert not any(b"K-0042" in payload for payload in spoken)
