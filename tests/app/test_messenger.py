"""What becomes of outcomes on their way to people: floods, and rows for the journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor import config
from monitor.app.messenger import Messenger
from monitor.clock import SteppedClock
from monitor.core import inputs as given
from monitor.core.bed import Bed, advance
from monitor.core.protocol import Priority
from monitor.journal import Batch, Due, Journal, Settled
from tests.conftest import REPOSITORY, wait_for

IV = config.load_protocol(REPOSITORY / "config" / "protocols" / "iv-ketamine.toml")
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def clinic(folder: Path, more: str = "") -> config.Configuration:
    """Return a clinic with one target that nobody listens at, and ``more`` of it."""
    (folder / "protocols").symlink_to(REPOSITORY / "config" / "protocols")
    (folder / "beds.toml").write_text('[[beds]]\nid = "bed-1"\n')
    (folder / "clinic.toml").write_text(
        f'[[notify.targets]]\nid = "pager"\nurl = "json://127.0.0.1:9/"\n{more}\n'
        '[[notify.routes]]\ntargets = ["pager"]\n'
    )
    return config.load(folder)


@pytest.fixture
def messenger(tmp_path: Path) -> Iterator[Messenger]:
    """Give a messenger with one target that nobody listens at."""
    one = Messenger(clinic(tmp_path), SteppedClock(NOW), lambda *_: None)
    yield one
    one.stop()


def raised(messenger: Messenger, number: int, priority: Priority, at: datetime) -> list[Due]:
    """Raise one technical alarm and return what people are to be told."""
    bed, outcomes = advance(Bed("station"), given.ReportCondition(f"c{number}", priority, "test"), at)
    return messenger.plan(outcomes, bed, at)


def test_al_55_a_flood_is_told_together_and_never_holds_back_a_high_one(messenger: Messenger) -> None:
    """AL-55: the eleventh milder alarm in ten minutes waits for a digest with its count; a high one never."""
    told = [raised(messenger, n, "medium", NOW + timedelta(seconds=n)) for n in range(14)]
    assert [len(due) for due in told] == [1] * 10 + [0] * 4
    at = NOW + timedelta(seconds=20)
    assert len(raised(messenger, 99, "high", at)) == 1
    digest = messenger.digests(at)
    assert len(digest) == 1
    assert "4 more alarms" in digest[0].body
    assert messenger.digests(at) == []
    raised(messenger, 100, "low", at)
    assert messenger.digests(at + timedelta(seconds=30)) == []
    assert "1 more alarm" in messenger.digests(at + timedelta(seconds=61))[0].body


def test_s_11_a_drill_that_floods_a_target_holds_back_no_real_alarm(messenger: Messenger) -> None:
    """S-11, AL-55: a drill's alarms are counted and collected for themselves, and their digest says DRILL."""
    bed, _ = advance(Bed("bed-1"), given.StartSession("s", "K-1", IV, "anna", mode="drill"), NOW)
    for n in range(14):
        bed, outcomes = advance(bed, given.ReportCondition(f"d{n}", "medium", "test"), NOW)
        messenger.plan(outcomes, bed, NOW)
    assert len(raised(messenger, 1, "medium", NOW)) == 1
    (digest,) = messenger.digests(NOW)
    assert '"title": "DRILL [' in digest.body


def test_al_55_calm_returns_after_ten_minutes(messenger: Messenger) -> None:
    """AL-55: once the window has passed, each alarm is told by itself again."""
    for n in range(12):
        raised(messenger, n, "medium", NOW)
    assert len(raised(messenger, 50, "medium", NOW + timedelta(minutes=11))) == 1


def test_p_35_the_same_outcome_makes_the_same_key(messenger: Messenger) -> None:
    """P-35: what a crash makes us plan twice is one row: the key comes from alarm, priority and target."""
    first, second = (raised(messenger, 1, "high", NOW) for _ in range(2))
    assert [one.key for one in first] == [one.key for one in second]


# --- over a restart -----------------------------------------------------------------------------------------


def test_al_38_a_dead_channel_stays_dead_over_a_restart_until_it_delivers(messenger: Messenger) -> None:
    """AL-38, P-03: the station's alarm goes on: a restart delivers nothing and ends nothing."""
    text = "messages to pager do not arrive: refused"
    bed, _ = advance(Bed("station"), given.ReportCondition("channel:pager", "medium", text), NOW)
    assert messenger.dead_channels() == {}
    messenger.remember(bed)
    assert set(messenger.dead_channels()) == {"pager"}


def test_p_46_the_next_channel_is_told_once_over_restarts(tmp_path: Path) -> None:
    """P-46, AL-39: late before the restart: its fallback has the message; being late still sends no other."""
    clock, journal = SteppedClock(NOW), Journal(tmp_path / "store")
    one = clinic(tmp_path, 'fallback = "desk"\n[[notify.targets]]\nid = "desk"\nurl = "json://127.0.0.1:9/"')
    said: list[tuple[Settled, list[Due]]] = []

    def settle(settled: Settled, instead: Sequence[Due]) -> None:
        said.append((settled, list(instead)))

    first = Messenger(one, clock, settle)
    due = raised(first, 1, "high", NOW)
    journal.commit([Batch(due=due)])
    first.submit(due)
    wait_for(lambda: bool(said))  # nobody listens: it is tried again
    clock.advance(31)
    first.cancel("look at the clock")
    wait_for(lambda: "late" in [settled.state for settled, _ in said])
    first.stop()
    journal.commit([Batch(settled=[settled for settled, _ in said])])
    assert [[row.target for row in instead] for _, instead in said if instead] == [["desk"]]

    count, second = len(said), Messenger(one, clock, settle)
    second.submit(journal.due())
    wait_for(lambda: len(said) > count)
    second.stop()
    journal.close()
    assert [instead for _, instead in said[count:]] == [[]]
    assert [settled.state for settled, _ in said[count:]] == ["retrying"]
