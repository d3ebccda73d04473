"""A record that went through the real journal goes every way out, and says the same there."""

from __future__ import annotations

import pytest

from monitor.config import Site
from monitor.core.record import SessionRecord
from monitor.journal import Batch, Journal
from monitor.records import EXPORTS, readback, table
from monitor.records.story import Story
from monitor.series.embedded import Embedded
from monitor.snapshot import dump_protocol
from tests.records.scene import SIGNER, played

SITE = Site(id="klinika", name="Klinika", zone="Asia/Kolkata")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> SessionRecord:
    """Give the played session as the journal kept it."""
    play, folder = played(), tmp_path_factory.mktemp("store")
    batch = Batch(
        readings=[(play.bed.bed_id, report) for report in play.reports],
        outcomes=play.outcomes,
        protocols={play.protocol.digest: (play.protocol.name, dump_protocol(play.protocol))},
    )
    journal = Journal(folder)
    journal.commit([batch])
    journal.close()
    return Embedded(folder).record(play.session_id)


def test_the_kept_record_says_what_the_played_one_says(kept: SessionRecord) -> None:
    """Issue 7: what leaves is compared with the journal: entries, cuff readings, alarms, gaps and limits."""
    real, made = Story(kept), Story(played().record(SIGNER))
    assert real.outcomes == made.outcomes
    assert [(cuff.at, cuff.values) for cuff in real.cuffs] == [(cuff.at, cuff.values) for cuff in made.cuffs]
    assert [(gap.metric, gap.from_at, gap.to_at) for gap in real.gaps()] == [
        (gap.metric, gap.from_at, gap.to_at) for gap in made.gaps()
    ]
    assert real.readiness() == made.readiness()
    assert kept.protocol.digest == kept.summary.protocol_digest


@pytest.mark.parametrize("name", EXPORTS)
def test_the_kept_record_goes_every_way_out(kept: SessionRecord, name: str) -> None:
    """Issue 7: records out, by the one table that the command line and the pages use."""
    made = EXPORTS[name].render(kept, SITE)
    assert made
    assert made == EXPORTS[name].render(kept, SITE)


@pytest.mark.parametrize("name", ["csv", "jsonl"])
def test_the_kept_record_comes_back(kept: SessionRecord, name: str) -> None:
    """Issue 7: a record round-trips, with the journal's own numbers for instants."""
    again = readback.read(EXPORTS[name].render(kept, SITE))
    assert again == kept
    assert table.digest(again) == table.digest(kept)
