"""The FHIR bundle: valid, complete, the same each time, and delivered or said not to be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import uuid5

import pytest
from fhir.resources.R4B.bundle import Bundle

from monitor.config import Site
from monitor.core.vitals import METRICS
from monitor.records import fhir
from monitor.records.push import PushFailed, delay_s, push
from monitor.records.story import Story
from tests.conftest import find_free_port
from tests.records.conftest import Answer, Stub
from tests.records.scene import EVERY_SCENE, cuffs_only, esketamine, noted, scene

SITE = Site(id="klinika", name="Klinika", zone="Asia/Kolkata")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def bundle(name: str = "esketamine") -> dict[str, Any]:
    """Return a session's bundle as JSON values."""
    return dict(json.loads(fhir.render(scene(name), SITE)))


def resources(found: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return a bundle's resources of one type."""
    return [one["resource"] for one in found["entry"] if one["resource"]["resourceType"] == kind]


def loinc(resource: dict[str, Any]) -> set[str]:
    """Return the LOINC codes of an observation or a component."""
    return {one["code"] for one in resource["code"].get("coding", []) if one["system"] == fhir.LOINC}


@pytest.mark.parametrize("name", EVERY_SCENE)
def test_the_bundle_is_valid_and_round_trips_through_the_library(name: str) -> None:
    """Issue 7: the FHIR bundle round-trips through `fhir.resources`."""
    content = fhir.render(scene(name), SITE)
    again = json.loads(Bundle.model_validate_json(content).model_dump_json())
    assert again == json.loads(content)


@pytest.mark.parametrize("name", EVERY_SCENE)
def test_every_reference_meets_a_resource_of_the_bundle(name: str) -> None:
    """A transaction must be whole: urn:uuid references resolve, and no identity stands twice."""
    found = bundle(name)
    urls = [one["fullUrl"] for one in found["entry"]]
    assert len(urls) == len(set(urls))
    references = [text.split('"')[0] for text in json.dumps(found).split('"reference": "')[1:]]
    assert references
    assert set(references) <= set(urls)


def test_patients_and_devices_hang_on_the_sites_id_not_on_its_name() -> None:
    """A clinic that gets another name keeps its patients; one that exported under it can stay with it."""

    def known_as(site: Site) -> set[str]:
        entries = json.loads(fhir.render(scene("esketamine"), site))["entry"]
        kinds = ("Patient", "Device")
        return {one["fullUrl"] for one in entries if one["resource"]["resourceType"] in kinds}

    renamed = known_as(SITE.model_copy(update={"name": "Klinika Nowa"}))
    assert renamed == known_as(SITE)
    assert known_as(SITE.model_copy(update={"id": "other"})).isdisjoint(renamed)
    before = known_as(SITE.model_copy(update={"exported_as": "Klinika"}))
    former = uuid5(fhir.OURS, '["patient", "Klinika", "P-0107"]')
    assert f"urn:uuid:{former}" in before


def test_the_vital_signs_profiles_are_kept() -> None:
    """CLINICAL 7.2: category, LOINC, subject, effective, and a value in UCUM or the reason for none."""
    found = [
        one
        for one in resources(bundle(), "Observation")
        if one["category"][0]["coding"][0]["code"] == "vital-signs"
    ]
    assert len(found) > 100
    for one in found:
        assert one["status"] == "final"
        assert loinc(one)
        assert {"subject", "encounter"} <= set(one)
        assert ("effectiveDateTime" in one) != ("effectivePeriod" in one)
        parts = one.get("component", [one])
        assert all(("valueQuantity" in part) != ("dataAbsentReason" in part) for part in parts)
        for part in parts:
            if "valueQuantity" in part:
                amount = part["valueQuantity"]
                assert amount["system"] == fhir.UCUM
                assert amount["code"] in {metric.unit for metric in METRICS.values()}


def test_blood_pressure_is_one_panel_and_saturation_has_both_codes() -> None:
    """Issue 7: 85354-9 with components 8480-6 and 8462-4; saturation as 2708-6 and 59408-5."""
    found = resources(bundle(), "Observation")
    panels = [one for one in found if "85354-9" in loinc(one)]
    assert len(panels) == len(Story(esketamine()).cuffs) == 14
    assert all([loinc(part) for part in one["component"]][:2] == [{"8480-6"}, {"8462-4"}] for one in panels)
    assert all("valueQuantity" not in one for one in panels)
    saturations = [one for one in found if "59408-5" in loinc(one)]
    assert saturations
    assert all("2708-6" in loinc(one) for one in saturations)
    lowest = min(one["valueQuantity"]["value"] for one in saturations if "valueQuantity" in one)
    assert lowest == 85  # the dip of half a minute is not lost between the five minutes


def test_a_gap_is_an_observation_without_a_value() -> None:
    """A gap stays a gap: dataAbsentReason over its period, with the reason as far as told."""
    gaps = [one for one in resources(bundle(), "Observation") if "effectivePeriod" in one]
    assert len(gaps) == 2
    assert gaps[0]["effectivePeriod"] == {
        "start": "2026-11-23T15:44:59+05:30",
        "end": "2026-11-23T15:47:00+05:30",
    }
    assert all(one["dataAbsentReason"]["coding"][0]["code"] == "unknown" for one in gaps)


def test_doses_alarms_and_the_source_are_there() -> None:
    """Issue 7: MedicationAdministration, DetectedIssue or Flag, Provenance with the record's digest."""
    found = bundle()
    doses = resources(found, "MedicationAdministration")
    assert [one["status"] for one in doses] == ["completed", "completed", "entered-in-error"]
    assert doses[0]["dosage"]["dose"] == {"value": 28, "unit": "mg", "system": fhir.UCUM, "code": "mg"}
    issues = resources(found, "DetectedIssue")
    assert {one["severity"] for one in issues} == {"high", "moderate"}
    assert [m["author"]["display"] for one in issues for m in one.get("mitigation", [])] == [
        "Łucja Nowak",
        "Amir Haddad",
        "Amir Haddad",
    ]
    assert issues[0]["detail"].endswith("; Łucja Nowak: actionable oxygen mask on")
    assert len(resources(found, "Flag")) == 1
    (source,) = resources(found, "Provenance")
    assert len(source["target"]) == len(found["entry"]) - 1
    assert [one["who"]["display"] for one in source["agent"]][1] == "Dr. José Müller"


def test_the_patient_is_a_pseudonym_and_nothing_else() -> None:
    """ALARMS 5: least data: a code, no name, no birth date."""
    (patient,) = resources(bundle(), "Patient")
    assert set(patient) == {"resourceType", "identifier"}
    assert patient["identifier"][1]["value"] == "P-0107"


def test_a_drill_is_test_data_on_every_resource_and_shares_no_identity_with_real_data() -> None:
    """S-10: drill and real data never meet; the mark is FHIR's own HTEST."""
    real, drill = bundle(), bundle("drill")
    for one in drill["entry"]:
        assert [mark["code"] for mark in one["resource"]["meta"]["security"]] == ["HTEST"]
    assert "HTEST" not in json.dumps(real)
    lasting = ("Patient", "Device")
    kept = [
        {one["fullUrl"] for one in found["entry"] if one["resource"]["resourceType"] in lasting}
        for found in (real, drill)
    ]
    assert not kept[0] & kept[1]


def test_a_note_with_control_signs_stays_valid() -> None:
    """S-16: what a person typed never makes the bundle unreadable."""
    content = fhir.render(noted('a\x00b\x07 <x> & "q" \u2028'), SITE)
    assert [one["valueString"] for one in resources(json.loads(content), "Observation")] == [
        'a\ufffdb\ufffd <x> & "q"'
    ]


# --- a server -----------------------------------------------------------------------------------------------


def content() -> bytes:
    """Return a small bundle."""
    return fhir.render(cuffs_only(((2.0, (128, 78, 95, 70)), (50.0, (140, 85, 103, 78)))), SITE)


def test_a_bundle_is_delivered_and_sent_twice_it_changes_nothing(stub: Stub) -> None:
    """ALARMS 4 (a failed POST is not retried): an outbox may send again, the server keeps one of each."""
    first = push(content(), stub.url, token="s3cret")
    kept = dict(stub.kept)
    second = push(content(), stub.url)
    assert first.resources == second.resources == len(kept) == len(stub.kept)
    assert kept == stub.kept
    assert stub.requests[0][1]["Authorization"] == "Bearer s3cret"
    assert stub.requests[0][1]["Content-Type"] == "application/fhir+json"
    assert first.locations["Patient"].startswith("Patient/")


def outcome(text: str) -> bytes:
    """Return an OperationOutcome with this diagnosis."""
    return json.dumps({"resourceType": "OperationOutcome", "issue": [{"diagnostics": text}]}).encode()


@pytest.mark.parametrize(
    ("answer", "again", "after_s", "words"),
    [
        ((503, {"Retry-After": "120"}, b"busy"), True, 120.0, "HTTP 503"),
        (
            (429, {"Retry-After": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, b""),
            True,
            90.0,
            "HTTP 429",
        ),
        ((500, {}, b"<html>"), True, None, "HTTP 500"),
        ((409, {}, outcome("version conflict")), True, None, "version conflict"),
        (
            (400, {}, outcome("Observation.code: minimum required = 1")),
            False,
            None,
            "Observation.code: minimum required = 1",
        ),
        ((401, {}, b""), False, None, "HTTP 401"),
        ((422, {}, b"[1,2]"), False, None, "HTTP 422"),
        ((307, {"Location": "http://192.0.2.1/fhir"}, b""), False, None, "configure the final address"),
        ((200, {}, b"<html>welcome</html>"), False, None, "not a transaction-response"),
        ((200, {}, b'{"type":"transaction-response","entry":[]}'), True, None, "0 of"),
        ((200, {"Content-Length": "9999"}, b'{"type"'), True, None, "cut short"),
    ],
)
def test_a_try_that_fails_says_whether_to_try_again(
    stub: Stub, answer: Answer, again: bool, after_s: float | None, words: str
) -> None:
    """Issue 7: retry from the outbox: passing faults wait as long as asked, lasting ones go to a person."""
    stub.first = [lambda: answer]
    with pytest.raises(PushFailed) as caught:
        push(content(), stub.url, now=NOW, timeout_s=2)
    assert words in caught.value.reason
    assert (caught.value.again, caught.value.after_s) == (again, after_s)
    if again:
        assert push(content(), stub.url).resources > 0


def test_nobody_listening_is_tried_again() -> None:
    """A server that is down is a matter of time."""
    with pytest.raises(PushFailed, match="not reached") as caught:
        push(content(), f"http://127.0.0.1:{find_free_port()}/fhir", timeout_s=2)
    assert caught.value.again


@pytest.mark.parametrize(
    "url", ["http://ehr.example/fhir", "ftp://127.0.0.1/x", "file:///etc/passwd", "ehr.example"]
)
def test_a_record_never_leaves_unencrypted(url: str) -> None:
    """ALARMS 5: transport is encrypted; plain http is for this machine only."""
    with pytest.raises(PushFailed, match="not https") as caught:
        push(content(), url)
    assert not caught.value.again


def test_a_drill_never_reaches_a_server(stub: Stub) -> None:
    """S-10: simulated data can never be written into a clinical record."""
    with pytest.raises(PushFailed, match="drill"):
        push(fhir.render(esketamine(mode="drill", signed=False), SITE), stub.url)
    assert not stub.requests


def test_waiting_grows_to_an_hour_and_heeds_the_server() -> None:
    """An outbox neither hammers a server nor forgets it."""
    assert [delay_s(tries) for tries in (1, 2, 3, 20, 5000)] == [5, 10, 20, 3600, 3600]
    assert (delay_s(1, 120), delay_s(12, 1), delay_s(1, 1e9)) == (120, 3600, 86400)
