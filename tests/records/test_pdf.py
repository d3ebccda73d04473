"""The record on paper: it says what the record says, and every sign of it is printed."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clockface import Clockface
from monitor.config import Site
from monitor.core.record import SessionRecord, Trace
from monitor.records import pdf, sections, table
from monitor.records.bands import stretches
from monitor.records.chart import _thinned
from monitor.records.story import Story, runs
from monitor.records.typeface import signs, spell
from tests.conftest import REPOSITORY, program
from tests.records.scene import EVERY_SCENE, esketamine, infusion, noted, scene

SITE = Site(id="klinika", name="Klinika Łódź", zone="Europe/Warsaw")


def pages(content: bytes, tmp_path: Path, *options: str) -> list[str]:
    """Return the text of each page, as a reader's program finds it."""
    file = tmp_path / "record.pdf"
    file.write_bytes(content)
    command = [program("pdftotext", "poppler-utils"), *options, str(file), "-"]
    text = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    return text.split("\f")[:-1]


def words_of(content: bytes, tmp_path: Path) -> str:
    """Return all words of the document without spaces: a table's cell breaks its lines where it must."""
    return re.sub(r"\s+", "", "".join(pages(content, tmp_path, "-raw")))


def squeezed(text: str) -> str:
    """Return a text without spaces."""
    return re.sub(r"\s+", "", text)


def test_al_51_the_printed_record_says_what_was_proved_and_why_it_began_without_the_rest(
    tmp_path: Path,
) -> None:
    """AL-51: who saw and heard, when (date and offset), what was missing, and the reason in their words."""
    record = esketamine()
    test = {
        "by": "Nora",
        "at": "2026-11-23T06:12:00+00:00",
        "missing": ["no page with proved sound is open"],
        "override": "the wall is being mended",
    }
    entries = tuple(
        entry._replace(outcome=one._replace(detail={**one.detail, "start_up": test}))
        if (one := entry.outcome).outcome == "SessionStarted"
        else entry
        for entry in record.entries
    )
    found = words_of(pdf.render(replace(record, entries=entries), SITE), tmp_path)
    words = "seen and heard by Nora 2026-11-23 07:12:00 +01:00; no page with proved sound is open; "
    assert squeezed(words + "started all the same: the wall is being mended") in found
    assert squeezed("no start-up test in this record") in words_of(pdf.render(record, SITE), tmp_path)


@pytest.mark.parametrize("name", EVERY_SCENE)
def test_everything_that_was_told_stands_on_the_pages(name: str, tmp_path: Path) -> None:
    """Issue 7: the text is compared with the journal: alarms, answers, doses, notes, refusals, people."""
    record, clock = scene(name), Clockface("Europe/Warsaw")
    found = words_of(pdf.render(record, SITE), tmp_path)
    for entry in record.entries:
        one = entry.outcome
        if one.outcome in (
            "CheckpointDue",
            "CheckpointMet",
            "BaselineEstablished",
            "SessionStarted",
            "PhaseChanged",
        ):
            continue  # told in tables of their own: tested below
        if one.outcome in (
            "AlarmLatched",
            "AlarmAcknowledged",
            "AlarmReset",
            "AlarmEscalated",
            "ReadyForDischarge",
        ):
            reason = (
                clock.time(one.at, seconds=one.outcome != "ReadyForDischarge")
                if one.outcome != "AlarmLatched"
                else ""
            )
        else:
            reason = clock.words(one.reason, one.at).replace("mm[Hg]", "mmHg")
        assert squeezed(reason) in found, (one.outcome, reason)
        assert squeezed(one.by if one.by != "monitor" else "") in found, one
    assert table.digest(record) in found


def test_each_cuff_reading_each_dose_and_each_checkpoint_has_its_row(tmp_path: Path) -> None:
    """Issue 7: the table of readings at protocol times, doses with the one that was struck, phases."""
    record = esketamine()
    text = "\n".join(pages(pdf.render(record, SITE), tmp_path, "-layout"))
    rows = [re.sub(r"\s+", " ", line).strip() for line in text.splitlines()]
    assert any(
        row.startswith(
            "blood pressure at 40 min 10:50 (+40) −5 to +5 min met 10:50 (+40) 184/106 (132) 88 98"
        )
        for row in rows
    )
    assert "10:49:00 +39 186/108 (134) 88 97 cuff-1" in rows
    assert "11:30:00 +80 138/82 – 97 Łucja Nowak (by hand)" in rows
    assert "10:10:00 0 28 mg in Łucja Nowak" in rows
    assert "10:15:30 +5 28 mg in Łucja Nowak struck 10:16 by Łucja Nowak: entered twice" in rows
    assert "10:36 (+26) systolic-high 160 165 known hypertension Dr. José Müller" in rows
    assert any(row.startswith("SpO2 oximeter-1 11:14:59 11:17:00 2 min 01 s") for row in rows)
    assert "Amir Haddad 10:49:30," in text
    assert "Amir Haddad 10:50:00," in text
    assert any("judged" in row for row in rows)
    assert any("he felt well" in row and "wrong patient" in row for row in rows)
    assert "Dr. José Müller: seen and agreed" in rows
    assert "Signed by Dr. José Müller, 2026-11-23 12:28:00 +01:00." in rows


def test_every_entry_of_every_kind_has_a_place() -> None:
    """No entry is left out because no section knows it: it stands under "Further entries"."""
    record = esketamine()
    story = Story(record)
    found = list(sections.sections(story, Clockface("UTC"), "0" * 64))
    further = next(section for section in found if section.title == "Further entries")
    unknown = [one for one in story.outcomes if one.outcome not in sections.TOLD_ELSEWHERE]
    assert len(unknown) == len(further.rows) > 0
    assert {"AudioPaused", "ManualRecorded", "LimitAnnotated"} <= {one.outcome for one in unknown}


@pytest.mark.parametrize("name", EVERY_SCENE)
def test_every_page_says_whose_it_is_and_that_it_is_secondary(name: str, tmp_path: Path) -> None:
    """AL-57: the sentence stands on every page; so do patient code, session and digest."""
    record = scene(name)
    found = pages(pdf.render(record, SITE), tmp_path)
    for number, page in enumerate(found, start=1):
        for words in (
            pdf.SECONDARY,
            "P-0107",
            record.summary.session_id,
            table.digest(record),
            f"page {number} of {len(found)}",
        ):
            assert words in page


def test_a_drill_is_a_drill_on_every_page_and_a_real_record_never_is(tmp_path: Path) -> None:
    """S-10: DRILL is watermarked on the PDF."""
    drill = pages(pdf.render(scene("drill"), SITE), tmp_path)
    assert all(page.count("DRILL") >= 2 and "simulated patient" in page for page in drill)
    assert not any("DRILL" in page for page in pages(pdf.render(esketamine(), SITE), tmp_path))


def test_the_same_record_gives_the_same_bytes_in_another_process() -> None:
    """Issue 7: deterministic bytes, whatever the hash seed, the machine's zone and the day."""
    code = (
        "import hashlib; from monitor.records import pdf; from tests.records.scene import esketamine;"
        "from tests.records.test_pdf import SITE;"
        "print(hashlib.sha256(pdf.render(esketamine(), SITE)).hexdigest())"
    )
    sums = set()
    for seed, zone in (("1", "UTC"), ("77", "America/New_York")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        command = [sys.executable, "-c", code]
        run = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=REPOSITORY, env=environment
        )
        sums.add(run.stdout)
    assert len(sums) == 1


# --- signs --------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.text(max_size=40))
def test_every_sign_that_is_printed_is_in_the_typeface(text: str) -> None:
    """BLOCKS D: a missing glyph prints as an empty box without an error; here its code is printed."""
    assert all(ord(sign) in signs() for sign in spell(text))


def test_every_sign_in_our_own_words_is_in_the_typeface() -> None:
    """BLOCKS D: the labels, arrows and ticks that this package prints exist in both weights."""
    texts = {
        node.value
        for path in (REPOSITORY / "monitor" / "records").glob("*.py")
        if path.name not in ("table.py", "typeface.py")  # these name what spreadsheets run and what is hidden
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    missing = {sign for text in texts for sign in text if sign.isprintable() and ord(sign) not in signs()}
    assert not missing


def test_what_cannot_be_printed_is_written_as_its_code(tmp_path: Path) -> None:
    """Nothing a person wrote vanishes from the page."""
    found = words_of(pdf.render(noted("ketamine 氯 \u202eevil\u202c SpO₂ ≥ 90 Łąż"), SITE), tmp_path)
    assert "[U+6C2F]" in found
    assert "[U+202E]evil" in found
    assert "SpO₂≥90Łąż" in found


@pytest.mark.parametrize(
    "text",
    [
        "<b>bold</b> & <para>",
        "</para><img src='file:///x'/>",
        "x" * 1500,
        "&amp;#60;",
        "b\x00c",
        "<a href='http://x'>y</a>",
    ],
)
def test_markup_in_a_note_is_only_text(text: str, tmp_path: Path) -> None:
    """S-16: reports are escaped."""
    found = words_of(pdf.render(noted(text), SITE), tmp_path)
    assert squeezed(spell(text)) in found


@pytest.mark.parametrize("name", EVERY_SCENE)
def test_nothing_runs_off_the_page(name: str, tmp_path: Path) -> None:
    """A clinician can file the sheet: every word lies inside the printable area."""
    file = tmp_path / "record.pdf"
    file.write_bytes(pdf.render(scene(name), SITE))
    command = [program("pdftotext", "poppler-utils"), "-bbox", str(file), "-"]
    boxes = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    found = re.findall(r'<word xMin="([\d.-]+)" yMin="([\d.-]+)" xMax="([\d.-]+)" yMax="([\d.-]+)">', boxes)
    assert found
    for left, top, right, bottom in (map(float, box) for box in found):
        assert 20 <= left <= right <= 575
        assert 15 <= top <= bottom <= 827


# --- times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "start", "expected"),
    [
        (
            "Asia/Kolkata",
            datetime(2026, 11, 23, 9, tzinfo=UTC),
            ["2026-11-23 14:30:00 +05:30", "15:20 (+40)", "UTC+05:30"],
        ),
        (
            "Pacific/Chatham",
            datetime(2026, 6, 1, 11, tzinfo=UTC),
            ["2026-06-01 23:45:00 +12:45", "00:35 (+40)"],
        ),
        (
            "Europe/Warsaw",
            datetime(2026, 10, 25, 0, tzinfo=UTC),
            ["02:50+02 (+40)", "02:15+01", "03:15+01"],
        ),
        ("Europe/Warsaw", datetime(2026, 3, 29, 0, tzinfo=UTC), ["01:50+01 (+40)", "03:10+02 (+60)"]),
    ],
)
def test_times_are_the_sites_on_any_night(
    zone: str, start: datetime, expected: list[str], tmp_path: Path
) -> None:
    """Issue 7: times are right on both DST nights, +05:30 and +12:45; each can be read in one way only."""
    content = pdf.render(esketamine(start), Site(id="klinika", name="Klinika", zone=zone))
    text = words_of(content, tmp_path)
    assert [words for words in expected if squeezed(words) not in text] == []


# --- the chart ----------------------------------------------------------------------------------------------


def test_a_gap_breaks_the_line() -> None:
    """A gap in a trace stays a gap: no value, or no message for longer than the protocol calls stale."""
    trace = Trace("spo2", "d", [0.0, 1.0, 2.0, 3.0, 30.0, 31.0], [98, 97, None, 96, 95, 94], {})
    assert list(runs(trace, 10.0)) == [[0, 1], [3], [4, 5]]


@given(st.lists(st.integers(50, 100), min_size=1, max_size=400), st.integers(1, 60))
def test_thinning_for_print_keeps_the_lowest_and_the_highest(values: list[int], column_s: int) -> None:
    """What is thinned keeps each interval's lowest and highest value, never a mean, in the order of time."""
    trace = Trace("spo2", "d", [float(i) for i in range(len(values))], [float(v) for v in values], {})
    drawn = list(_thinned(trace, list(range(len(values))), float(column_s)))
    assert [at for at, _ in drawn] == sorted(at for at, _ in drawn)
    assert all(values[int(at)] == value for at, value in drawn)
    for start in range(0, len(values), column_s):
        kept = [value for at, value in drawn if start <= at < start + column_s]
        assert {min(values[start : start + column_s]), max(values[start : start + column_s])} <= set(kept)


def test_limits_are_drawn_as_they_stood() -> None:
    """AL-09: the changed limit from its change on; the relative one from the baseline on."""
    record = esketamine()
    found = stretches(Story(record))
    assert [one.to_at for one in found][:-1] == [one.from_at for one in found][1:]

    def value(limit: str, minute: float) -> float | None:
        at = record.summary.started_at.timestamp() + minute * 60
        stretch = next(one for one in found if one.from_at.timestamp() <= at < one.to_at.timestamp())
        return next(
            (b.value for bounds in stretch.bounds.values() for b in bounds if b.limit_id == limit), None
        )

    assert [value("systolic-high", minute) for minute in (5, 35, 37)] == [160, 160, 165]
    assert [value("systolic-rise", minute) for minute in (6, 8)] == [None, 167]


@pytest.mark.slow
def test_a_four_hour_session_takes_less_than_a_second_of_the_processor() -> None:
    """Issue 7: 1 s for a 4-h session of one value a second (the ratio to a peer is in bench/records)."""
    record: SessionRecord = infusion(minutes=240)
    pdf.render(record, SITE)
    taken = []
    for _ in range(3):
        before = time.process_time()
        pdf.render(record, SITE)
        taken.append(time.process_time() - before)
    assert min(taken) < 1.0, taken


@pytest.mark.parametrize(
    ("text", "word", "times"),
    [("x" * 20_000, "x", 20_000), ("a long word " * 1500, "long", 1500), ("line\n" * 300, "line", 300)],
)
def test_however_long_a_text_is_it_is_printed_whole(text: str, word: str, times: int, tmp_path: Path) -> None:
    """Nothing is left out because there is much of it, and no text can stop the record from being made."""
    record = noted("note")
    entries = [
        one._replace(outcome=one.outcome._replace(reason=text))
        if one.outcome.outcome == "SessionEnded"
        else one
        for one in record.entries
    ]
    found = words_of(pdf.render(replace(record, entries=tuple(entries)), SITE), tmp_path)
    assert found.count(word) >= times
