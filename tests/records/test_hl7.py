"""The record as HL7 v2: what others read in it is what we measured."""

from __future__ import annotations

from datetime import UTC, datetime

import hl7 as library
import pytest

from monitor import formats
from monitor.config import Site
from monitor.records import hl7
from monitor.records.story import Story
from tests.records.scene import cuffs_only, esketamine, noted

SITE = Site(id="klinika", name="Klinika", zone="Pacific/Chatham")


def message(record: object, zone: str = "Pacific/Chatham") -> library.Message:
    """Return the message as the library reads it."""
    return library.parse(hl7.render(record, SITE.model_copy(update={"zone": zone})).decode())


def test_our_own_decoder_reads_back_what_was_measured() -> None:
    """Round trip through `monitor.formats.hl7v2`: values, units and times of every cuff reading."""
    record = cuffs_only(((2.0, (128, 78, 95, 70)), (50.0, (186, 108, 134, 88))))
    content = hl7.render(record, SITE)
    decoded = formats.decode("hl7v2", content, formats.Context("ehr", datetime(2026, 11, 23, tzinfo=UTC)))
    found = {
        (o.metric, o.value, (o.measured_at or report.at).timestamp())
        for report in decoded.reports
        for o in report.observations
    }
    for cuff in Story(record).cuffs:
        for metric in ("nibp_systolic", "nibp_diastolic", "nibp_mean"):
            assert (metric, cuff.values[metric], cuff.at.timestamp()) in found


def test_every_segment_is_in_its_place_and_names_the_patient_by_code() -> None:
    """ORU^R01 of HL7 v2.5.1: MSH, PID, NTE, PV1, then groups of OBR and OBX."""
    found = message(esketamine())
    assert [str(segment[0]) for segment in found][:5] == ["MSH", "PID", "NTE", "PV1", "OBR"]
    assert str(found.segment("MSH")[9]) == "ORU^R01^ORU_R01"
    assert str(found.segment("MSH")[11]) == "P"
    assert str(found.segment("PID")[3]).startswith("P-0107^")
    assert "not a primary alarm" in str(found.segment("NTE")[3])
    numbers = [int(str(segment[1])) for segment in found.segments("OBR")]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_patient_is_of_the_site_whatever_the_site_is_called() -> None:
    """A new name of the clinic makes no new patient elsewhere; what was sent under one can stay so."""
    found = message(esketamine())
    assert str(found.segment("PID")[3]) == "P-0107^^^klinika^PI"
    assert str(found.segment("MSH")[4]) == "klinika"
    before = SITE.model_copy(update={"exported_as": "Klinika | & Söhne^~\\"})
    content = hl7.render(esketamine(), before).decode()
    assert "|P-0107^^^Klinika \\F\\ \\T\\ Söhne\\S\\\\R\\\\E\\^PI|" in content


@pytest.mark.parametrize("text", ["a|b^c~d&e\\f", "two\nlines", "tab\there", "=1+1", "Łódź ≥ 90 氯", "\\F\\"])
def test_text_comes_back_unescaped(text: str) -> None:
    """S-16: no text of a person can end a field or begin a segment."""
    found = message(noted(text))
    notes = [segment for segment in found.segments("OBX") if str(segment[3]).startswith("note^")]
    assert len(notes) == 1
    read = found.unescape(str(notes[0][5])).replace("\\.br\\", "\n").replace("\r", "\n")
    assert read == text.replace("\t", " ")


@pytest.mark.parametrize(
    ("zone", "start", "stamp"),
    [
        ("Asia/Kolkata", datetime(2026, 11, 23, 9, 0, tzinfo=UTC), "20261123143200.000+0530"),
        ("Pacific/Chatham", datetime(2026, 6, 1, 9, 0, tzinfo=UTC), "20260601214700.000+1245"),
        ("Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "20261025023200.000+0200"),
        ("Europe/Berlin", datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "20261025023200.000+0100"),
    ],
)
def test_instants_carry_their_offset(zone: str, start: datetime, stamp: str) -> None:
    """Issue 7: right on both DST nights, +05:30 and +12:45."""
    record = cuffs_only(((2.0, (128, 78, 95, 70)), (50.0, (140, 85, 103, 78))), started_at=start)
    found = message(record, zone)
    assert str(next(s for s in found.segments("OBX") if str(s[3]).startswith("8480-6"))[14]) == stamp


def test_a_struck_dose_a_gap_and_a_drill_say_so() -> None:
    """A deleted result has status D, a missing value X, a drill the processing id T."""
    found = message(esketamine(mode="drill", signed=False))
    assert str(found.segment("MSH")[11]) == "T"
    assert str(found.segment("NTE")[3]).startswith("DRILL")
    doses = [str(s[11]) for s in found.segments("OBX") if str(s[3]).startswith("dose^")]
    assert sorted(doses) == ["D", "F", "F"]
    missing = [s for s in found.segments("OBX") if str(s[11]) == "X"]
    assert [str(s[5]) for s in missing] == ["", ""]
