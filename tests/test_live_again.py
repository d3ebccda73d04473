"""A stored session, lived again: byte for byte what happened, or what other limits would have told."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor import config, replay
from monitor.__main__ import main
from monitor.app.ward import Ward
from monitor.core import inputs as given
from monitor.core import shadow
from monitor.core.vitals import Report, screen
from monitor.journal import Journal
from monitor.series.embedded import Embedded
from tests.conftest import REPOSITORY

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
METRICS = ("spo2", "pulse_rate")


class House:
    """A ward with its journal, driven by hand."""

    def __init__(self, folder: Path) -> None:
        """Begin with one bed, an oximeter and a cuff."""
        (folder / "protocols").symlink_to(REPOSITORY / "config" / "protocols")
        (folder / "clinic.toml").write_text('[store]\npath = "store"\n')
        (folder / "beds.toml").write_text(
            '[[beds]]\nid = "bed-1"\n'
            '[[devices]]\nid = "oximeter-1"\nbed = "bed-1"\nmetrics = ["spo2", "pulse_rate"]\n'
            '[[devices]]\nid = "cuff-1"\nbed = "bed-1"\nmetrics = ["nibp_systolic"]\n'
            "expected_interval_s = 300.0\n"
        )
        self.configuration = config.load(folder)
        self.journal = Journal(self.configuration.store)
        self.ward = Ward(self.configuration, NOW, lambda *_: None)
        self.ward.restore(self.journal)
        self.second = 0

    def do(self, one: Any) -> None:
        """Ask something of the bed."""
        self.ward.do("bed-1", one)

    def pass_seconds(self, seconds: int, spo2: float, pulse: float = 72) -> None:
        """Let the oximeter report each second, and time pass between as the loop lets it."""
        for _ in range(seconds):
            self.second += 1
            at = NOW + timedelta(seconds=self.second)
            self.ward.now = at - timedelta(milliseconds=300)
            self.ward.pass_time()
            self.ward.now = at
            values = (screen("pulse_rate", pulse), screen("spo2", spo2))
            self.ward.observe(Report("oximeter-1", at, at, values, boot_id="b", sequence=self.second))
            if self.second % 60 == 0:
                self.journal.commit([self.ward.take_batch()])

    def cuff(self, systolic: float) -> None:
        """Measure the pressure now."""
        at = self.ward.now
        self.ward.observe(Report("cuff-1", at, at, (screen("nibp_systolic", systolic),)))

    def end(self) -> Embedded:
        """Commit what waits; return the archive."""
        self.journal.commit([self.ward.take_batch()])
        self.journal.close()
        return Embedded(self.configuration.store)


def a_session(house: House, seed: int = 1) -> None:
    """Live a session in which much happens."""
    chance = random.Random(seed)
    house.pass_seconds(130, 97)
    house.do(given.StartSession("s1", "K-1", house.configuration.protocols["iv-ketamine"], "nina"))
    house.pass_seconds(20, 97)
    house.cuff(128)
    house.pass_seconds(100, 97)
    house.cuff(131)
    house.do(given.RecordDose(35, "iv", "nina"))
    house.pass_seconds(chance.randrange(30, 90), 96)
    house.pass_seconds(40, 88)
    for alarm in list(house.ward.beds["bed-1"].alarms.values()):
        house.do(given.Acknowledge(alarm.alarm_id, "nina"))
    house.pass_seconds(60, 97)
    house.cuff(186)
    house.do(given.PauseAudio("nina"))
    house.pass_seconds(chance.randrange(20, 60), 91)
    house.do(given.SetLimit("spo2-low", "carla", "clinician", "known lung disease", value=90))
    house.pass_seconds(200, 92)
    house.do(given.EndSession("nina", "moved to another room"))
    house.pass_seconds(10, 97)


@pytest.mark.parametrize("seed", range(5))
def test_af_01_a_session_lived_again_is_what_happened_byte_for_byte(tmp_path: Path, seed: int) -> None:
    """AF-01, AF-12: nothing changed → every outcome of the journal again, ids, times and words."""
    house = House(tmp_path)
    a_session(house, seed)
    archive = house.end()
    happened = [entry.outcome for entry in archive.log(session_id="s1")]
    again = list(replay.live_again(archive.lived("s1", replay.WARM_UP), "bed-1", "s1"))
    assert len(happened) > 15
    assert again == happened, f"seed {seed}"


def test_af_12_what_other_limits_would_have_told_is_listed_alarm_by_alarm(tmp_path: Path) -> None:
    """AF-12: with the urgent limit at 85 the fall to 88 is lost, and named."""
    house = House(tmp_path)
    a_session(house)
    archive = house.end()
    happened = [entry.outcome for entry in archive.log(session_id="s1")]
    other = replay.live_again(
        archive.lived("s1", replay.WARM_UP), "bed-1", "s1", changes={"spo2-low-urgent": 85}
    )
    found = shadow.compare(happened, other)
    assert [one.rule for one in found.lost] == ["spo2-low-urgent"]
    assert "systolic-high-urgent" in [one.rule for one in found.kept]
    assert found.new == ()


def test_af_11_a_candidate_beside_the_active_protocol_lists_each_alarm_that_it_would_lose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """AF-11: the sessions of the last days lived again with a file that is not in force."""
    house = House(tmp_path)
    a_session(house)
    house.end()
    candidate = tmp_path / "candidate.toml"
    shipped = (REPOSITORY / "config" / "protocols" / "iv-ketamine.toml").read_text()
    begin = shipped.index('id = "spo2-low-urgent"')
    candidate.write_text(shipped[:begin] + shipped[begin:].replace("limit = 90", "limit = 85", 1))
    command = ["shadow", "--protocol", str(candidate), "--config", str(tmp_path)]
    assert main([*command, "--days", "36500"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^s1 .*bed-1\nkept: 3\nLOST: 1\n  .*high +spo2-low-urgent  SpO2 8", told, re.MULTILINE)
    assert told.splitlines()[-1].endswith("3 alarms kept, 1 LOST, 0 new")
    assert main([*command, "--days", "0"]) == 0
    assert capsys.readouterr().out.startswith("0 ended sessions")


def test_a_what_if_of_a_limit_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    """Bad input names the place and the remedy."""
    house = House(tmp_path)
    a_session(house)
    archive = house.end()
    given_to_bed = archive.lived("s1", replay.WARM_UP)
    with pytest.raises(replay.BadRecording, match=r"no limit 'spo2-lo'.*spo2-low-urgent"):
        list(replay.live_again(given_to_bed, "bed-1", "s1", changes={"spo2-lo": 85}))


def test_a_session_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Bad input names the place and the remedy."""
    house = House(tmp_path)
    archive = house.end()
    with pytest.raises(LookupError, match="afterwatch sessions"):
        archive.lived("s9", replay.WARM_UP)
