"""What goes from one journal into the other: sealed, in order, once, and never with a silent gap."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor import config
from monitor.app.lease import Token
from monitor.app.replica import (
    BASE,
    MOST_WAITING,
    PATIENCE_S,
    Follower,
    Parcel,
    Seal,
    Shipper,
    dump,
    load,
)
from monitor.core.outcomes import Outcome
from monitor.core.vitals import Observation, Report
from monitor.journal import Batch, Due, Journal, JournalError, Refused, Settled
from monitor.safekeeping import verify
from tests.conftest import REPOSITORY

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
TERM = Token(3, "a")


def batch(number: int, *, base: bool = False) -> Batch:
    """Return a batch with something of everything."""
    report = Report("oximeter-1", NOW, NOW, (Observation("spo2", 90.0 + number),), sequence=number)
    return Batch(
        readings=[("bed-1", report)],
        outcomes=[Outcome("AlarmRaised", NOW, "bed-1", detail={"number": number})],
        snapshots={"bed-1": (NOW, b"\xff\x00state")},
        due=[Due(f"key-{number}", "alarm", "s", "pager", NOW, "{}")],
        settled=[Settled("key-0", "delivered", 1, "", NOW)] if number == 2 else [],
        quarantined=[Refused(NOW, "topic", b"\xfe\xff", "no JSON")],
        meta={BASE: "x"} if base else {},
    )


def test_a_batch_comes_out_as_it_went_in() -> None:
    """R-20: nothing of what is committed is lost or changed on the way, bytes included."""
    parcel = Parcel(TERM, 7, batch(7), {"users.json": "00ff"})
    assert load(dump(parcel)) == parcel


def test_s_07_nobody_without_the_secret_reads_or_forges() -> None:
    """S-07: another secret, another topic, a changed byte: refused; the text is not readable."""
    seal = Seal("a secret of the pair")
    sealed = seal.close("topic", b"patient K-0042")
    assert b"K-0042" not in sealed
    assert seal.open("topic", sealed) == b"patient K-0042"
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for other, topic, body in (
        (Seal("another secret!!"), "topic", sealed),
        (seal, "elsewhere", sealed),
        (seal, "topic", changed),
        (seal, "topic", b""),
    ):
        with pytest.raises(ValueError, match="secret"):
            other.open(topic, body)


@pytest.fixture
def follower(tmp_path: Path) -> Follower:
    """Give a follower with an empty journal."""
    return Follower(Journal(tmp_path), tmp_path)


def count(folder: Path, table: str) -> int:
    """Count rows of a journal."""
    with sqlite3.connect(folder / "journal.db") as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_each_parcel_is_taken_once_however_often_it_comes(follower: Follower, tmp_path: Path) -> None:
    """P-46: the broker brings at least once; the journal has it once, in a chain that holds."""
    parcels = [Parcel(TERM, number, batch(number, base=number == 0)) for number in range(4)]
    assert follower.take(parcels, NOW) == 4
    assert follower.take(parcels, NOW) == 0
    again = Follower(Journal(tmp_path), tmp_path)  # after a crash
    assert again.take(parcels, NOW) == 0
    assert (again.token, again.number) == (TERM, 3)
    assert count(tmp_path, "outcome") == count(tmp_path, "reading") == 4
    assert not verify(tmp_path).faults


def test_what_was_not_heard_is_written_down_and_asked_for(follower: Follower, tmp_path: Path) -> None:
    """R-20: a gap stands in the quarantine, and the follower is not whole until it has every bed's state."""
    follower.take([Parcel(TERM, 0, batch(0, base=True))], NOW)
    assert follower.whole
    follower.take([Parcel(TERM, 5, batch(5))], NOW)
    assert not follower.whole
    with sqlite3.connect(tmp_path / "journal.db") as db:
        said = [reason for (reason,) in db.execute("SELECT reason FROM quarantine WHERE topic='pair'")]
    assert said == ["batches 1 to 4 of term 3 were not heard; the journal of monitor a has them"]
    follower.take([Parcel(TERM, 6, batch(6, base=True))], NOW)
    assert follower.whole


def test_an_older_term_is_not_followed(follower: Follower, tmp_path: Path) -> None:
    """R-20: the fencing token: what an old active still ships changes nothing."""
    follower.take([Parcel(TERM, 0, batch(0, base=True))], NOW)
    assert follower.take([Parcel(Token(2, "b"), 90, batch(9))], NOW) == 0
    assert count(tmp_path, "outcome") == 1


def test_a_disk_that_refuses_takes_nothing_and_can_be_asked_again(follower: Follower, tmp_path: Path) -> None:
    """R-04: what was refused is not counted as followed."""
    follower._journal._db.execute("PRAGMA query_only=1")
    parcel = Parcel(TERM, 0, batch(0, base=True), {"users.json": b"[]".hex(), "../evil": "00"})
    with pytest.raises(JournalError):
        follower.take([parcel], NOW)
    assert not (tmp_path / "users.json").exists()
    follower._journal._db.execute("PRAGMA query_only=0")
    assert follower.take([parcel], NOW) == 1
    assert (tmp_path / "users.json").read_bytes() == b"[]"
    assert (tmp_path / "users.json").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path.parent / "evil").exists()


def test_what_follows_a_batch_waits_for_the_broker_and_no_longer_than_its_patience(tmp_path: Path) -> None:
    """R-20: confirmation and answer wait until the other can have it; a follower never blocks."""
    sent: list[bytes] = []
    told: list[tuple[int, bool]] = []
    shipper = Shipper(TERM, tmp_path, sent.append, [])
    for number in range(3):
        shipper.ship(batch(number), lambda came, number=number: told.append((number, came)))  # type: ignore[misc]
    shipper.ship(Batch(), lambda came: told.append((99, came)))
    assert told == []
    shipper.come_back(1)
    assert told == [(0, True), (1, True)]
    shipper.look(PATIENCE_S + 0.1)
    assert told[2:] == [(2, False), (99, False)]
    assert shipper.waiting() == 1
    shipper.again()
    assert sent[-1] == sent[2]
    shipper.come_back(2)
    assert len(told) == 4
    assert shipper.waiting() == 0


def test_a_new_base_brings_the_notifications_that_are_not_settled(tmp_path: Path) -> None:
    """P-46: who takes over sends what is due, and not what was delivered."""
    sent: list[bytes] = []
    shipper = Shipper(TERM, tmp_path, sent.append, [Due("old", "alarm-0", "s", "pager", NOW, "{}")])
    for number in range(3):
        shipper.ship(batch(number), lambda _: None)
    shipper.ship(Batch(meta={BASE: "x"}), lambda _: None)
    assert {one.key for one in load(sent[-1]).batch.due} == {"old", "key-1", "key-2"}


def test_a_follower_that_is_away_too_long_gets_the_state_instead_of_everything(tmp_path: Path) -> None:
    """R-20: memory is bounded; what is dropped is replaced by the state of every bed, not forgotten."""
    shipper = Shipper(TERM, tmp_path, lambda _: None, [])
    for _ in range(MOST_WAITING + 1):
        shipper.ship(Batch(meta={"a": "b"}), lambda _: None)
    shipper.look(1.0)
    assert shipper.overrun
    assert shipper.waiting() == 0


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('[pair]\nname = "a"\n', "pair.secret_file"),
        ('[pair]\nname = "a"\nsecret_env = "AFTERWATCH_SHORT"\n', "shorter than 16"),
        ('[pair]\nsecret_env = "AFTERWATCH_SHORT"\n', "pair.name"),
        ('[pair]\nname = "a"\nlease_s = 30.0\n', "pair.lease_s"),
    ],
)
def test_s_04_a_pair_without_a_secret_does_not_start(
    section: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-04: every mistake names its key; the lease cannot be longer than the 15 s of R-20 allow."""
    monkeypatch.setenv("AFTERWATCH_SHORT", "short")
    (tmp_path / "protocols").symlink_to(REPOSITORY / "config" / "protocols")
    (tmp_path / "beds.toml").write_text('[[beds]]\nid = "bed-1"\n')
    (tmp_path / "clinic.toml").write_text(section)
    with pytest.raises(config.ConfigurationError) as found:
        config.load(tmp_path)
    assert words in str(found.value)
