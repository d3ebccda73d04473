"""The record as lines: complete, whole or refused, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config import Site
from monitor.records import EXPORTS, readback, table
from tests.records.scene import EVERY_SCENE, START, esketamine, noted, scene

SITE = Site(id="klinika", name="Klinika", zone="Europe/Warsaw")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("name", EVERY_SCENE)
def test_a_record_comes_back_as_it_was(name: str, kind: str) -> None:
    """Issue 7, records out 4: import of the same JSON Lines and CSV, so that a record round-trips."""
    record = scene(name)
    assert readback.read(EXPORTS[kind].render(record, SITE)) == record


def test_the_digest_is_that_of_the_lines_before_the_last_and_stays_when_signed() -> None:
    """ALARMS (c)(1): the digest that a clinician signs can be checked with `head -n -1 | sha256sum`."""
    record = esketamine()
    lines = table.as_jsonl(record).splitlines(keepends=True)
    found = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    unsigned = esketamine(signed=False)
    assert len(record.entries) == len(unsigned.entries) + 1
    assert found == table.digest(record) == table.digest(unsigned) == json.loads(lines[-1])["sha256"]
    assert json.loads(lines[-1])["signed_by"] == "Dr. José Müller"


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_changed_or_cut_file_is_refused_with_its_line_and_a_remedy(kind: str) -> None:
    """AL-50: what was exported is whole or it is refused; no altered value comes back as a record."""
    content = EXPORTS[kind].render(noted("a note of a person"), SITE)
    lines = content.splitlines(keepends=True)
    changed = content.replace(b"a note of", b"a NOTE of", 1)
    cases = [
        changed,
        b"".join(lines[:-1]),
        b"".join(lines[:2] + lines[3:]),
        content[: len(content) // 2],
        b"",
        b"{}",
    ]
    for broken in cases:
        with pytest.raises(readback.Unreadable, match=r"line \d+: .+; .+"):
            readback.read(broken)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@settings(max_examples=60)
@given(st.data())
def test_no_damaged_file_is_read_or_crashes(kind: str, data: st.DataObject) -> None:
    """P-26: any single damaged byte is noticed, and the fault is always `Unreadable`."""
    content = EXPORTS[kind].render(noted("a note of a person"), SITE)
    place = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    damaged = content[:place] + bytes([other]) + content[place + 1 :]
    try:
        record = readback.read(damaged)
    except readback.Unreadable:
        return
    # Only the last line, which the digest cannot cover, may differ: who signed.
    assert table.digest(record) == table.digest(readback.read(content))


SIGNS = "=+-@\t\r\n;'|%＝＋－＠,\" aé{"


@settings(max_examples=200)
@given(st.text(st.sampled_from(SIGNS), max_size=12) | st.text(max_size=12))
def test_no_cell_is_a_formula_and_disarming_is_undone(text: str) -> None:
    """V1.2.10, S-16: exported `=`, `+`, `-`, `@` are neutralised in every text, also after a semicolon."""
    cell = table.disarm(text)
    assert table.rearm(cell) == text
    for piece in cell.replace("\t", ";").replace("\n", ";").replace("\r", ";").split(";"):
        assert not piece.strip().startswith(tuple("=+-@＝＋－＠")), (text, cell)


@pytest.mark.parametrize(
    "text", ['=HYPERLINK("http://x")', "+1", "-2", "@SUM(A1)", "a;=1+1", "'quoted", "two\nlines"]
)
def test_a_formula_in_a_note_is_text_in_the_spreadsheet_and_comes_back(text: str) -> None:
    """ALARMS V1.2.10: what a person typed cannot run, and is not lost."""
    record = noted(text)
    content = table.as_csv(record, SITE)
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    told = [row["reason"] for row in rows if row["name"] == "NoteRecorded"]
    assert len(told) == 1
    assert told[0][0] not in "=+-@"
    assert readback.read(content) == record


def test_every_line_has_the_sites_time_beside_utc_on_the_night_the_clocks_go_back() -> None:
    """Issue 7: times are right on both DST nights: 02:30 stands twice, each with its offset."""
    record = esketamine(datetime(2026, 10, 24, 23, 45, tzinfo=UTC))
    rows = list(csv.DictReader(io.StringIO(table.as_csv(record, SITE).decode("utf-8-sig"), newline="")))
    both = [(row["at_utc"], row["at_site"]) for row in rows if row["at_utc"]]
    assert all(datetime.fromisoformat(utc) == datetime.fromisoformat(site) for utc, site in both)
    half_past_two = {site for _, site in both if "T02:30:00" in site}
    assert half_past_two == {"2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"}


def test_a_zone_that_does_not_exist_is_named() -> None:
    """DESIGN §7: errors name the place and the remedy."""
    with pytest.raises(ValueError, match="no time zone 'Mars/Base'; give an IANA name"):
        table.as_csv(noted("x"), Site(id="klinika", name="", zone="Mars/Base"))


def test_starting_costs_no_library_of_the_exports() -> None:
    """Issue 7: lazy imports, so that the command line and the monitor start fast."""
    import subprocess
    import sys

    code = "import sys, monitor.records; print(sorted({'reportlab', 'fhir', 'PIL'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert START.tzinfo is UTC
