"""`afterwatch import`: a record comes back as it left, and the running journal never notices."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.__main__ import main
from monitor.core import inputs as given
from monitor.journal import Batch, Journal
from monitor.records import readback, table
from monitor.safekeeping import verify
from monitor.series.embedded import Embedded
from monitor.snapshot import dump_protocol
from tests.conftest import Running, find_free_port
from tests.records.scene import CUFF, PRESSURE, SIGNER, START, Play, begin


def keep(journal: Journal, name: str = "in-esketamine") -> Play:
    """Keep a short signed session in a journal."""
    play = begin(name, START, "real")
    play.report(1.0, CUFF, dict(zip(PRESSURE, (128.0, 78.0, 95.0, 70.0), strict=True)))
    play.give(1.5, given.RecordNote("symptom", "=1+1; Łódź", play.by))
    play.give(2.0, given.EndSession(play.by, "end of the test"))
    play.give(3.0, given.SignRecord(play.session_id, SIGNER, "clinician", "seen"))
    readings = [(play.bed.bed_id, report) for report in play.reports]
    protocols = {play.protocol.digest: (play.protocol.name, dump_protocol(play.protocol))}
    journal.commit([Batch(readings=readings, outcomes=play.outcomes, protocols=protocols)])
    return play


@pytest.fixture
def house(tmp_path: Path) -> Running:
    """Give a configured house that has no journal yet."""
    return Running(tmp_path / "here", find_free_port(), 1)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[tuple[Running, Journal, Play]]:
    """Give another house with a session in its journal, which is open."""
    other = Running(tmp_path / "there", find_free_port(), 1)
    journal = Journal(other.store)
    yield other, journal, keep(journal)
    journal.close()


def command(house: Running, name: str, *more: object) -> int:
    """Run the command."""
    return main([name, "--config", str(house.folder), *map(str, more)])


def exported(house: Running, session_id: str) -> bytes:
    """Return a session of a journal as JSON Lines."""
    return table.as_jsonl(Embedded(house.store).record(session_id))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_record_of_the_journal_leaves_comes_back_and_leaves_again_the_same(
    house: Running,
    there: tuple[Running, Journal, Play],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    """Issue 7, import: a record round-trips, with its digest, its signature and the same bytes."""
    other, _, play = there
    left, back = tmp_path / f"left.{kind}", tmp_path / f"back.{kind}"
    assert command(other, "export", play.session_id, "--format", kind, "--output", left) == 0
    assert command(house, "import", left) == 0
    kept = Embedded(other.store).record(play.session_id)
    assert f"entries, digest {table.digest(kept)}" in capsys.readouterr().out
    assert command(house, "export", play.session_id, "--format", kind, "--output", back) == 0
    assert back.read_bytes() == left.read_bytes()
    assert readback.read(back.read_bytes()) == kept
    capsys.readouterr()
    assert command(house, "import", left) == 0
    assert "was imported before; nothing to do" in capsys.readouterr().out


def test_an_imported_record_is_listed_and_goes_every_way_out_that_fits(
    house: Running, there: tuple[Running, Journal, Play], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 7, import: listed as such, on paper like any other; its patient is said to be of this site."""
    other, _, play = there
    file = tmp_path / "left.jsonl"
    file.write_bytes(exported(other, play.session_id))
    assert command(house, "import", file) == 0
    capsys.readouterr()
    assert command(house, "sessions") == 0
    assert capsys.readouterr().out.rstrip().endswith("imported")
    assert command(house, "sessions", "--json", "--patient", "P-0107") == 0
    assert json.loads(capsys.readouterr().out)["imported"] is True
    assert command(house, "report", play.session_id, "--output", tmp_path / "record.pdf") == 0
    assert (tmp_path / "record.pdf").read_bytes().startswith(b"%PDF")
    assert command(house, "export", play.session_id, "--format", "hl7", "--output", tmp_path / "x.hl7") == 0
    assert "names its patient as one of site 'clinic'" in capsys.readouterr().err
    kept = house.store / "imported" / f"{play.session_id}.jsonl"
    kept.write_bytes(kept.read_bytes().replace(b"128", b"118"))
    assert command(house, "sessions") == 3
    assert "imported record" in capsys.readouterr().err


def test_an_import_into_a_running_monitors_store_leaves_its_journal_alone(
    house: Running, there: tuple[Running, Journal, Play], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 7: a journal that is being written keeps its chain, sessions and bytes, and counts first."""
    other, _, play = there
    file = tmp_path / "left.jsonl"
    running = Journal(house.store)
    own = keep(running, "iv-ketamine")  # the same session id, another protocol
    before = (house.store / "journal.db").read_bytes()
    file.write_bytes(exported(other, play.session_id))
    assert command(house, "import", file) == 3
    assert f"the journal has session {own.session_id} itself and says otherwise" in capsys.readouterr().err
    file.write_bytes(exported(house, own.session_id))
    assert command(house, "import", file) == 0
    assert "is in the journal; nothing to do" in capsys.readouterr().out
    file.write_bytes(renamed(exported(other, play.session_id), "s-other"))
    assert command(house, "import", file) == 0
    assert (house.store / "journal.db").read_bytes() == before
    assert [one.session_id for one in Embedded(house.store).sessions()] == [own.session_id]
    running.commit([Batch(readings=[(own.bed.bed_id, report) for report in own.reports])])
    running.close()
    assert not verify(house.store).faults


def renamed(content: bytes, name: str) -> bytes:
    """Return a record under another session id, whole again."""
    was = readback.read(content).summary.session_id
    lines = content.replace(was.encode(), name.encode()).splitlines(keepends=True)
    end = json.loads(lines[-1])
    end["sha256"] = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    lines[-1] = json.dumps(end, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    return b"".join(lines)


def test_what_is_not_a_whole_record_is_refused_with_its_line_and_nothing_is_kept(
    house: Running, there: tuple[Running, Journal, Play], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """DESIGN §4: an error names the place and the remedy; one bad file does not stop the next."""
    other, _, play = there
    content = exported(other, play.session_id)
    lines = content.splitlines(keepends=True)
    cut, changed, foreign, good = (tmp_path / name for name in ("cut", "changed", "foreign", "good"))
    cut.write_bytes(b"".join(lines[:-2]))
    changed.write_bytes(content.replace(b"128", b"118"))
    foreign.write_bytes(b'{"line": "head"}\n{"line"\n')
    good.write_bytes(content)
    assert command(house, "import", cut, changed, foreign, tmp_path / "missing", good) == 3
    said = capsys.readouterr()
    refusals = said.err.splitlines()
    assert len(refusals) == 4
    assert all(": line " in one and ";" in one for one in refusals[:3])
    assert "line 2" in refusals[2]
    assert refusals[3].endswith("No such file or directory")
    assert said.out.startswith(f"{good}: {play.session_id}: 4 measurements")
    assert len(list((house.store / "imported").iterdir())) == 1


def test_a_later_state_of_a_record_replaces_the_earlier_and_never_another_one(
    house: Running, there: tuple[Running, Journal, Play], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An imported record grows by what was said later; another of the same name is a person's to judge."""
    other, journal, play = there
    early, late, strange = (tmp_path / name for name in ("early", "late", "strange"))
    early.write_bytes(exported(other, play.session_id))
    known = len(play.outcomes)
    play.give(4.0, given.CorrectRecord(play.session_id, 1, play.by, "wrong bed", "bed 2"))
    journal.commit([Batch(outcomes=play.outcomes[known:])])
    late.write_bytes(exported(other, play.session_id))
    assert command(house, "import", early, late) == 0
    assert command(house, "import", early) == 0
    assert "nothing to do" in capsys.readouterr().out
    elsewhere = Journal(tmp_path / "elsewhere")
    keep(elsewhere, "iv-ketamine")
    elsewhere.close()
    strange.write_bytes(table.as_jsonl(Embedded(tmp_path / "elsewhere").record(play.session_id)))
    assert command(house, "import", strange) == 3
    assert "is another record of this session" in capsys.readouterr().err
    kept = readback.read(next((house.store / "imported").iterdir()).read_bytes())
    assert kept == readback.read(late.read_bytes())
