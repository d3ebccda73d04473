"""The SPRAVATO REMS form: from this session's readings, or empty; judgements are a person's."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from monitor.config import Site
from monitor.core.record import SessionRecord
from monitor.records import EXPORTS, rems
from monitor.records.typeface import signs
from tests.records.scene import Cuffs, cuffs_only, esketamine, infusion

SITE = Site(name="K", zone="UTC")
BEFORE = (2.0, (128, 78, 95, 70))
LAST = (130.0, (126, 77, 94, 70))


def field(record: SessionRecord, name: str, **more: Any) -> rems.Field:
    """Return one field of the prefilled form."""
    form = rems.prefill(record, Site(name="Klinika").model_copy(update=more))
    return next(one for one in form.fields if one.id == name)


@pytest.mark.parametrize(
    ("cuffs", "expected"),
    [
        (
            ((48.0, (150, 92, 111, 80)), (52.0, (140, 85, 103, 78))),
            "150/92",
        ),  # 38 and 42: the earlier of two as near
        (((46.0, (150, 92, 111, 80)), (52.0, (140, 85, 103, 78))), "140/85"),
        (((45.0, (150, 92, 111, 80)),), "150/92"),  # 35 min: the window's first instant
        (((55.0, (150, 92, 111, 80)),), "150/92"),
        (((44.9, (150, 92, 111, 80)), (55.1, (140, 85, 103, 78))), None),
        ((), None),
    ],
)
def test_the_40_minute_pressure_is_the_nearest_inside_35_to_45_or_empty(
    cuffs: Cuffs, expected: str | None
) -> None:
    """CLINICAL 2, prefill rule a: nearest to t+40 in the window, with its actual minute; else empty."""
    found = field(cuffs_only((BEFORE, *cuffs, LAST)), "pressure_40")
    assert found.value == expected
    assert (found.origin == "no complete reading 35 to 45 min after the dose") == (expected is None)


def test_nothing_is_carried_forward_into_an_empty_field() -> None:
    """CLINICAL 2, prefill rule b: without a reading of its own a field stays empty and says why."""
    record = cuffs_only(((50.0, (150, 92, 111, 80)),))
    assert field(record, "pressure_40").value == "150/92"
    before, last = field(record, "pressure_before"), field(record, "pressure_last")
    assert (before.value, last.value) == (None, None)
    assert before.origin == "no complete reading of this session before the dose"
    assert last.origin == "no complete reading later than 45 min after the dose"


def test_lot_number_names_and_judgements_are_left_to_a_person() -> None:
    """CLINICAL 2, prefill rule c: "acceptable" is answered by a human; the facts stand beside it."""
    form = rems.prefill(esketamine(), Site(id="klinika", name="Klinika", zone="UTC"))
    answers = {one.id: one for one in form.fields}
    for name in (
        "acceptable_before",
        "acceptable_at_end",
        "sedation",
        "dissociation",
        "lot_number",
        "serious",
        "last_name",
    ):
        assert answers[name].value is None
        assert answers[name].open
    assert "126/76" in answers["acceptable_before"].facts
    assert answers["dissociation"].facts == "dissociation (0 to 4): 2 at 09:25:00, 0 at 10:40:00"


@pytest.mark.parametrize(
    ("doses", "dose", "other"),
    [
        (((10.0, 28.0), (15.0, 28.0)), "56 mg", None),
        (((10.0, 28.0), (15.0, 28.0), (20.0, 28.0)), "84 mg", None),
        (((10.0, 28.0),), "other", 28.0),
        ((), None, None),
    ],
)
def test_the_dose_is_the_sum_of_the_devices_that_stand(
    doses: tuple[tuple[float, float], ...], dose: str | None, other: float | None
) -> None:
    """The form's dose field: 56, 84 or another; none is invented."""
    record = cuffs_only((BEFORE, LAST), doses)
    assert (field(record, "dose").value, field(record, "dose_other_mg").value) == (dose, other)


def test_a_struck_dose_does_not_count() -> None:
    """A dose that was withdrawn is no part of the 56 mg and starts no clock."""
    assert field(esketamine(), "dose").value == "56 mg"


def test_minutes_run_from_the_first_device_and_a_short_session_is_said() -> None:
    """CLINICAL 1.2: from first device to the end of monitoring; under two hours is said, not hidden."""
    record = cuffs_only((BEFORE, (50.0, (150, 92, 111, 80))), minutes=100.0)
    assert field(record, "minutes_monitored").value == 90
    warnings = rems.prefill(record, Site(id="klinika", name="", zone="UTC")).warnings
    assert "monitored for 90 min; the form asks for at least 120" in warnings


@pytest.mark.parametrize(
    ("zone", "start", "day", "due"),
    [
        ("UTC", datetime(2026, 11, 23, 23, 55, tzinfo=UTC), "2026-11-24", date(2026, 12, 1)),
        ("America/New_York", datetime(2026, 11, 23, 23, 55, tzinfo=UTC), "2026-11-23", date(2026, 11, 30)),
        ("Pacific/Chatham", datetime(2026, 11, 23, 11, 0, tzinfo=UTC), "2026-11-24", date(2026, 12, 1)),
        ("Europe/Berlin", datetime(2026, 10, 24, 9, 0, tzinfo=UTC), "2026-10-24", date(2026, 10, 31)),
    ],
)
def test_the_day_is_the_sites_and_seven_days_are_calendar_days(
    zone: str, start: datetime, day: str, due: date
) -> None:
    """CLINICAL 2, prefill rule e: due date = session date + 7 calendar days, across DST and midnight too."""
    form = rems.prefill(cuffs_only((BEFORE, LAST), started_at=start), Site(id="klinika", name="", zone=zone))
    assert next(one.value for one in form.fields if one.id == "treatment_date") == day
    assert form.due_on == due


@pytest.mark.parametrize("version", rems.versions())
def test_each_version_is_sound_and_every_rule_it_names_exists(version: str) -> None:
    """CLINICAL 2, prefill rule d: the schema is data {version, effective, fields[]}."""
    found = rems.schema(version)
    assert {"form", "version", "effective", "basis", "due_days", "least_min", "fields"} == set(found)
    assert found["version"] == version
    names = [row["id"] for row in found["fields"]]
    assert len(names) == len(set(names))
    for row in found["fields"]:
        assert set(row) <= {
            "id",
            "section",
            "label",
            "kind",
            "required",
            "source",
            "prefill",
            "facts",
            "choices",
        }
        assert row["required"] in ("yes", "no", "unknown")
        assert row["source"] in ("S", "S2", "G")
    text = json.dumps(found, ensure_ascii=False)
    assert all(ord(sign) in signs() for sign in text)
    assert rems.prefill(esketamine(), SITE, version=version).version == version


def test_another_route_and_an_unknown_version_are_refused() -> None:
    """Errors say what to do; an intravenous session has no REMS form."""
    with pytest.raises(ValueError, match="is for intranasal esketamine; this session's route is iv"):
        EXPORTS["rems"].render(infusion(), SITE)
    with pytest.raises(ValueError, match="no version '1999' of the REMS form; there are 2021-11"):
        rems.prefill(esketamine(), SITE, version="1999")


def test_a_drill_is_never_to_be_handed_in() -> None:
    """S-10: DRILL stands on the form."""
    found = json.loads(rems.render(esketamine(mode="drill", signed=False), SITE))
    assert found["mode"] == "drill"
    assert found["warnings"][0] == "DRILL: simulated patient; never hand this in"
    assert "not a primary alarm" in found["notice"]
