"""The journal under what disks, power and people do to it: committed is kept, refused is not there at all."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import snapshot
from monitor.core.vitals import METRICS, Observation, Report
from monitor.journal import (
    Batch,
    Counts,
    Due,
    Journal,
    JournalError,
    Refused,
    Settled,
)
from monitor.safekeeping import verify
from monitor.schema import FILE, MIGRATIONS, SCHEMA_VERSION, checksum, micros
from monitor.series.embedded import Embedded
from tests.conftest import REPOSITORY
from tests.core.scene import NOON, Scene, protocols

BED = "bed-1"


def reading(number: int, device: str = "oximeter-1", **more: object) -> tuple[str, Report]:
    """Make the reading of a second, numbered as devices number them."""
    at = NOON + timedelta(seconds=number)
    fields = {"boot_id": "b1", "sequence": number, **more}
    values = (Observation("pulse_rate", 60.0 + number % 50), Observation("spo2", 90.0 + number % 10))
    return BED, Report(device, at + timedelta(milliseconds=200), at, values, (), **fields)  # type: ignore[arg-type]


@cache
def scene() -> Scene:
    """Play a short session once."""
    played = Scene().start()
    played.stream(40, spo2=97)
    played.stream(60, spo2=83)
    played.cuff(190, 110)
    return played


def session_batch() -> Batch:
    """Make a batch with everything in it: readings, outcomes, state, protocol, messages, refused payloads."""
    played, plan = scene(), protocols()["iv-ketamine"]
    return Batch(
        readings=[reading(number) for number in range(80)],
        outcomes=list(played.told),
        snapshots={BED: (played.now, snapshot.dump(played.bed))},
        protocols={plan.digest: (plan.name, snapshot.dump_protocol(plan))},
        due=[Due("k1", "a1", "s1", "mail", NOON, "{}"), Due("k2", "a1", "s1", "chat", NOON, "{}")],
        quarantined=[Refused(NOON, "t", b"\xff\x00", "not JSON")],
        meta={"wiring": "{}"},
    )


def rows(folder: Path, table: str) -> list[tuple[object, ...]]:
    """Read a table straight from the file."""
    db = sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)
    try:
        return db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
    finally:
        db.close()


def values_of(folder: Path) -> list[tuple[int, str, float]]:
    """Return every value in the file as (microseconds, metric, value)."""
    traces = Embedded(folder).traces(BED, NOON - timedelta(days=1), NOON + timedelta(days=2))
    return sorted(
        (round(at * 1e6), trace.metric, value)
        for trace in traces
        for at, value in zip(trace.at, trace.values, strict=True)
        if value is not None
    )


def child(act: Callable[[], None]) -> int:
    """Do something in a process of its own; return the signal that ended it, or 0."""
    number = os.fork()
    if number == 0:
        try:
            act()
        except BaseException:  # noqa: BLE001  a child must never go on into the test run
            os._exit(99)
        os._exit(0)
    _, ended = os.waitpid(number, 0)
    assert os.waitstatus_to_exitcode(ended) <= 0, "the child failed"
    return -os.waitstatus_to_exitcode(ended)


# --- once each ----------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.data())
def test_p_27_what_comes_twice_in_any_order_is_stored_once(data: st.DataObject) -> None:
    """P-27, P-01: re-sent, late, shuffled, over restarts: each value once, none lost, no row twice."""
    count = data.draw(st.integers(1, 12), "readings")
    numbered = data.draw(st.booleans(), "numbered")
    more = {} if numbered else {"boot_id": None, "sequence": None}
    each = [reading(number, **more) for number in range(count)]
    order = data.draw(st.lists(st.sampled_from(range(count)), max_size=30), "again")
    sent = data.draw(st.permutations([*range(count), *order]), "order")
    cuts = data.draw(st.lists(st.booleans(), min_size=len(sent), max_size=len(sent)), "restarts")
    with tempfile.TemporaryDirectory() as folder:
        journal, stored, waiting = Journal(Path(folder)), 0, Batch()
        for number, cut in zip(sent, cuts, strict=True):
            waiting.readings.append(each[number])
            if cut:
                stored += journal.commit([waiting]).stored
                journal.close()
                journal, waiting = Journal(Path(folder)), Batch()
        stored += journal.commit([waiting]).stored
        journal.close()
        found = values_of(Path(folder))
        assert stored == count == len(rows(Path(folder), "reading"))
    expected = [(micros(one.at), o.metric, o.value) for _, one in each for o in one.observations]
    assert found == sorted(expected)


def test_p_27_a_message_without_a_time_of_its_own_is_known_by_its_number(tmp_path: Path) -> None:
    """P-27: a re-sent message without a time is received later and is still the same message."""
    journal = Journal(tmp_path)
    first = Report("d", NOON, None, (Observation("spo2", 97.0),), None, "b1", 4)
    again = first._replace(received_at=NOON + timedelta(seconds=9))
    assert journal.commit([Batch(readings=[(BED, first)])]) == Counts(1, 0)
    assert journal.commit([Batch(readings=[(BED, again)])]) == Counts(0, 1)
    other = again._replace(boot_id="b2")
    assert journal.commit([Batch(readings=[(BED, other)])]) == Counts(1, 0)
    journal.close()


def test_p_27_a_second_message_of_one_instant_keeps_what_is_new(tmp_path: Path) -> None:
    """P-27: a monitor that sends one instant in two messages loses neither."""
    journal = Journal(tmp_path)
    first = Report("d", NOON, NOON, (Observation("spo2", 97.0),))
    both = first._replace(observations=(Observation("spo2", 97.0), Observation("etco2", 38.0)))
    journal.commit([Batch(readings=[(BED, first)]), Batch(readings=[(BED, both)])])
    journal.close()
    assert [one[1:] for one in values_of(tmp_path)] == [("etco2", 38.0), ("spo2", 97.0)]


def test_p_04_the_last_state_comes_back_with_what_was_read_since(tmp_path: Path) -> None:
    """P-04: a state, and of that bed alone the readings after it, in their order."""
    journal = Journal(tmp_path)
    journal.commit([session_batch()])
    later = [reading(number) for number in range(80, 90)]
    other = [("bed-2", reading(number, "oximeter-2")[1]) for number in range(3)]
    journal.commit([Batch(readings=[*later, *other])])
    journal.close()
    again = Journal(tmp_path)
    [(bed_id, stored)] = again.snapshots().items()
    assert (bed_id, [one.sequence for one in stored.readings]) == (BED, [*range(80, 90)])
    assert stored.readings == [report for _, report in later]
    plan = protocols()["iv-ketamine"]
    assert snapshot.load(stored.body, {plan.digest: plan}).now == scene().now
    assert again.protocols() == {plan.digest: snapshot.dump_protocol(plan)}
    again.close()


def test_levels_are_the_same_however_often_they_are_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-54: the overview of many small commits is that of one large one."""
    monkeypatch.setattr("monitor.journal.LEVEL_EVERY", 7)
    few, many = Journal(tmp_path / "few"), Journal(tmp_path / "many")
    few.commit([Batch(readings=[reading(number) for number in range(300)])])
    for number in range(300):
        many.commit([Batch(readings=[reading(number)])])
    for journal in (few, many):
        journal.commit([Batch(readings=[reading(1000 + number) for number in range(10)])])
        journal.commit([Batch(readings=[reading(1010 + number) for number in range(10)])])
        journal.close()
    assert rows(tmp_path / "few", "level") == rows(tmp_path / "many", "level") != []


# --- one transaction ----------------------------------------------------------------------------------------


def whole(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Read every table that a batch writes."""
    tables = ("reading", "outcome", "session", "protocol", "snapshot", "notification", "quarantine", "meta")
    return {table: rows(folder, table) for table in tables}


def test_r_02_killed_before_any_statement_of_a_commit_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    """R-02: kill -9 before each of its statements; readings, outcomes, state, messages are there together."""

    def commit(folder: Path, kill_before: int) -> None:
        journal, seen = Journal(folder), 0

        def count(_: str) -> None:
            nonlocal seen
            seen += 1
            if seen == kill_before:
                os.kill(os.getpid(), signal.SIGKILL)

        journal._db.set_trace_callback(count)
        journal.commit([session_batch()])
        journal.close()

    first = tmp_path / "before"
    journal = Journal(first)
    journal.commit([Batch(readings=[reading(number, "cuff-1") for number in range(5)])])
    journal.close()
    before, killed = whole(first), 0
    scene()
    for place in range(1, 100):
        folder = tmp_path / str(place)
        shutil.copytree(first, folder)
        ended = child(lambda folder=folder, place=place: commit(folder, place))  # type: ignore[misc]
        assert ended in (0, signal.SIGKILL)
        assert verify(folder).faults == ()
        if not ended:
            break
        killed += 1
        assert whole(folder) == before, f"killed before statement {place}"
    assert len(rows(folder, "reading")) == 85
    assert killed > 12


def test_r_01_what_commit_returned_from_is_there_after_kill(tmp_path: Path) -> None:
    """R-01: after the return of commit nothing that happens to the process takes it away."""

    def commit() -> None:
        journal = Journal(tmp_path)
        for number in range(20):
            journal.commit([Batch(readings=[reading(number)])])
        os.kill(os.getpid(), signal.SIGKILL)

    assert child(commit) == signal.SIGKILL
    assert len(rows(tmp_path, "reading")) == 20
    assert verify(tmp_path).faults == ()


def test_a_mistake_in_a_batch_costs_that_batch_only(tmp_path: Path) -> None:
    """DESIGN §5: a value that the file cannot hold is not the disk's fault, and the next commit works."""
    journal = Journal(tmp_path)
    with pytest.raises((OverflowError, TypeError)):
        journal.commit([Batch(readings=[reading(1), reading(2, sequence=2**70)])])
    assert journal.commit([Batch(readings=[reading(1)])]) == Counts(1, 0)
    journal.close()
    assert len(rows(tmp_path, "reading")) == 1


# --- disks that refuse --------------------------------------------------------------------------------------


@contextmanager
def refusing(file: Path) -> Iterator[None]:
    """Let every write to an open file of ours fail, as a broken disk would: it can only be read any more."""
    found = [int(one.name) for one in Path("/proc/self/fd").iterdir() if os.path.realpath(one) == str(file)]
    assert found, f"{file} is not open"
    kept = [os.dup(number) for number in found]
    for number in found:
        other = os.open(file, os.O_RDONLY)
        os.dup2(other, number)
        os.close(other)
    try:
        yield
    finally:
        for number, original in zip(found, kept, strict=True):
            os.dup2(original, number)
            os.close(original)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="replaces open files through /proc")
def test_r_04_a_refused_write_is_told_and_the_next_try_works_without_restart(tmp_path: Path) -> None:
    """R-04: after an I/O error nothing of the batch is there; when the disk is back all of it is, once."""
    journal = Journal(tmp_path)
    journal.commit([Batch(readings=[reading(number) for number in range(10)])])
    with refusing(tmp_path / f"{FILE}-wal"):
        for _ in range(3):
            with pytest.raises(JournalError, match="I/O error"):
                journal.commit([session_batch()])
    assert len(rows(tmp_path, "reading")) == 10
    assert journal.commit([session_batch()]) == Counts(70, 10)
    journal.close()
    found = verify(tmp_path)
    assert (found.readings, found.outcomes, found.faults) == (80, len(scene().told), ())


def test_r_04_a_full_disk_is_told_and_works_when_there_is_room(tmp_path: Path) -> None:
    """R-04: ENOSPC on a disk of one MiB; nothing half, and with room again all of it, once."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("not allowed to mount a small disk here; the next story stands in for it")
    try:
        journal, stored = Journal(disk), 0
        ballast = disk / "somebody-elses.log"
        ballast.write_bytes(bytes(300_000))
        said = ""
        while not said:
            try:
                batch = Batch(readings=[reading(n) for n in range(stored, stored + 300)])
                stored += journal.commit([batch]).stored
            except JournalError as refused:
                said = str(refused)
        assert "full" in said
        assert stored > 300
        ballast.unlink()
        assert journal.commit([Batch(readings=[reading(n) for n in range(stored + 50)])]) == Counts(
            50, stored
        )
        journal.close()
        assert verify(disk)[::2] == (stored + 50, ())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_r_04_a_file_that_may_not_grow_is_told_and_works_when_it_may(tmp_path: Path) -> None:
    """R-04: a quota (RLIMIT_FSIZE) is a full disk too: refused, then written, none lost and none twice."""

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = Journal(tmp_path)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
        number, refused = 0, False
        while not refused:
            try:
                journal.commit([Batch(readings=[reading(n) for n in range(number, number + 500)])])
                number += 500
            except JournalError:
                refused = True
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert 0 < number < 100_000
        again = journal.commit([Batch(readings=[reading(n) for n in range(number + 500)])])
        assert again == Counts(500, number), again
        journal.close()

    assert child(fill) == 0
    assert verify(tmp_path).faults == ()


def test_r_04_a_journal_that_may_not_be_written_says_where_and_what_to_do() -> None:
    """R-04: a folder that belongs to somebody else stops the start with a sentence, not a stack."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "store"
        Journal(folder).close()
        for path, mode in ((Path(place), 0o755), (folder, 0o555), (folder / FILE, 0o444)):
            path.chmod(mode)

        def open_it() -> None:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            with pytest.raises(JournalError, match="make the folder writable"):
                Journal(folder)

        assert child(open_it) == 0
        folder.chmod(0o755)


def test_p_01_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """R-04: the text names the file and the remedy."""
    (tmp_path / "store").write_text("a file, not a folder")
    with pytest.raises(JournalError, match=r"store.*make the folder writable"):
        Journal(tmp_path / "store")


# --- after a restart, after an upgrade ----------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Give a closed journal with a session in it."""
    folder = tmp_path / "store"
    journal = Journal(folder)
    journal.commit([session_batch()])
    journal.close()
    return folder


def test_al_50_the_chain_goes_on_over_a_restart(kept: Path) -> None:
    """AL-50: the next outcome after a restart is chained to the last before it."""
    journal = Journal(kept)
    journal.commit([Batch(outcomes=[scene().told[0]._replace(at=NOON + timedelta(days=1))])])
    journal.close()
    found = verify(kept)
    assert (found.outcomes, found.faults) == (len(scene().told) + 1, ())


def test_r_19_a_newer_file_is_refused_and_left_as_it_is(kept: Path) -> None:
    """R-19: an older program never writes what it does not understand."""
    db = sqlite3.connect(kept / FILE)
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(JournalError, match="use a newer Afterwatch"):
        Journal(kept)


FIXTURES = (1,)  # dumps that an earlier program wrote; one for every version that clinics had


def as_of(version: int, folder: Path) -> None:
    """Put a journal in a folder as an earlier version of the program left it."""
    folder.mkdir()
    db = sqlite3.connect(folder / FILE)
    db.create_function("checksum", -1, checksum, deterministic=True)
    written = max(one for one in FIXTURES if one <= version)
    db.executescript((REPOSITORY / "tests" / "series" / f"journal-{written}.sql").read_text("utf-8"))
    for number in range(written, version):  # nothing but tables came with these
        db.executescript(f"{MIGRATIONS[number]} PRAGMA user_version={number + 1};")
    db.close()


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_r_19_a_file_of_every_earlier_version_is_brought_up(tmp_path: Path, version: int) -> None:
    """R-19: an upgrade keeps every reading, outcome and state, verified, and goes on."""
    folder = tmp_path / "store"
    as_of(version, folder)
    assert verify(folder).faults == ()
    before = Embedded(folder).counts()
    journal = Journal(folder)
    known = {one.digest: one for one in protocols().values()}
    stored = journal.snapshots()[BED]
    assert snapshot.load(stored.body, known).session is not None
    assert journal.commit([Batch(readings=[reading(n) for n in range(9000)])]).stored > 8000
    journal.commit([Batch(readings=[reading(9001)])])
    journal.close()
    found = verify(folder)
    assert (found.outcomes, found.faults) == (before["outcome"], ())
    assert found.readings > before["reading"]
    levels = rows(folder, "level")
    assert levels, "what the earlier version stored is in the overview too"


def test_r_19_an_upgrade_that_is_cut_short_begins_again(tmp_path: Path) -> None:
    """R-19: a power cut during the upgrade leaves the earlier version whole."""
    folder = tmp_path / "store"
    as_of(1, folder)

    def upgrade() -> None:
        real = sqlite3.connect

        def connect(*arguments: object, **more: object) -> sqlite3.Connection:
            db = real(*arguments, **more)  # type: ignore[call-overload]
            seen = 0

            def count(statement: str) -> None:
                nonlocal seen
                seen += "checksum(bed_id" in statement
                if seen:
                    os.kill(os.getpid(), signal.SIGKILL)

            db.set_trace_callback(count)
            return db  # type: ignore[no-any-return]

        sqlite3.connect = connect  # type: ignore[assignment]
        Journal(folder)

    assert child(upgrade) == signal.SIGKILL
    db = sqlite3.connect(folder / FILE)
    assert db.execute("PRAGMA user_version").fetchone()[0] == 1
    db.close()
    Journal(folder).close()
    assert verify(folder).faults == ()
    assert len(MIGRATIONS) == SCHEMA_VERSION


# --- notifications ------------------------------------------------------------------------------------------


def test_p_36_what_is_due_is_due_until_it_is_settled_or_cancelled(kept: Path) -> None:
    """P-31, P-36: a message survives the process; a failed try stays due, a final one ends it."""
    journal = Journal(kept)
    assert [one.key for one in journal.due()] == ["k1", "k2"]
    journal.commit([Batch(settled=[Settled("k1", "failed", 1, "timeout", NOON, final=False)])])
    assert [one.key for one in journal.due()] == ["k1", "k2"]
    journal.commit([Batch(settled=[Settled("k1", "sent", 2, "ok", NOON)])])
    assert [one.key for one in journal.due()] == ["k2"]
    journal.commit([Batch(due=[Due("k1", "a1", "s1", "mail", NOON, "{}")], cancelled=[("a1", "over", NOON)])])
    assert journal.due() == []
    journal.close()


def test_every_metric_has_its_column(tmp_path: Path) -> None:
    """DESIGN §2: a metric added to the table needs a migration, and this says so."""
    Journal(tmp_path).close()
    db = sqlite3.connect(tmp_path / FILE)
    columns = {row[1] for row in db.execute("PRAGMA table_info(reading)")}
    levels = {row[1] for row in db.execute("PRAGMA table_info(level)")}
    db.close()
    assert set(METRICS) <= columns
    assert {f"{name}_{end}" for name in METRICS for end in ("low", "high")} <= levels
