"""What people add to a record afterwards."""

from __future__ import annotations

import pytest

from monitor.core import inputs as given
from monitor.core.inputs import Input
from tests.core.scene import Scene


@pytest.mark.parametrize("word", ["actionable", "known", "artefact", "drill"])
def test_af_13_a_disposition_says_what_an_alarm_was(word: str) -> None:
    """AF-13: actionable, known, artefact or drill, also after the session; it names session and alarm."""
    [told] = Scene().give(given.RecordDisposition("s1", "a1", word, "nurse", "cough"))
    assert (told.outcome, told.session_id, told.alarm_id) == ("DispositionRecorded", "s1", "a1")
    assert (told.detail["disposition"], told.by, told.reason) == (word, "nurse", "cough")


def test_al_50_a_record_is_signed_and_corrected_but_never_changed() -> None:
    """AL-50: a signature and a correction are further entries; the wrong entry is named, not touched."""
    scene = Scene().start(session_id="running")
    [signed] = scene.give(given.SignRecord("s1", "dr", "clinician", "seen"))
    [corrected] = scene.give(given.CorrectRecord("s1", 17, "dr", "typing error", "165, not 156"))
    assert (signed.outcome, signed.session_id, signed.detail["role"]) == ("RecordSigned", "s1", "clinician")
    assert (corrected.outcome, corrected.session_id) == ("RecordCorrected", "s1")
    assert (corrected.detail["entry_id"], corrected.detail["text"]) == (17, "165, not 156")


@pytest.mark.parametrize(
    "one",
    [
        given.SignRecord("", "dr", "clinician"),
        given.SignRecord("s1", " ", "clinician"),
        given.SignRecord("s1", "n", "nurse"),
        given.RecordDisposition("s1", "", "known", "n"),
        given.RecordDisposition("s1", "a1", "boring", "n"),
        given.CorrectRecord("s1", 1, "n", " ", "x"),
        given.CorrectRecord("s1", 1, "n", "x", " "),
    ],
)
def test_af_13_a_remark_that_says_nothing_is_refused(one: Input) -> None:
    """AF-13, AL-50: who, what and why are needed."""
    assert [o.outcome for o in Scene().give(one)] == ["Refused"]
