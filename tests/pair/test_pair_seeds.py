"""Two hundred takeovers, each from its seed: no alarm and no reading lost, the gap at most 15 s (R-20)."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.config import Configuration
from monitor.core.inputs import Acknowledge
from tests.pair.pairs import SECRET
from tests.pair.small_world import Machine, World, enter, furnish

FAULTS = (
    "kill",
    "before the commit",
    "after the commit",
    "before the replica left",
    "freeze",
    "partition",
)
SEEDS = 200
GAP_S = 15.0
BLOCKS = 10


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configuration]:
    """Give the configuration of both, read once."""
    patch = pytest.MonkeyPatch()
    patch.setenv("AFTERWATCH_TEST_PAIR", SECRET)
    yield furnish(tmp_path_factory.mktemp("pair"))
    patch.undo()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder in memory where there is one: this is about order, not about the disk."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    yield made
    shutil.rmtree(made)


class Story:
    """One takeover, from its seed."""

    def __init__(self, seed: int, folder: Path, configuration: Configuration) -> None:
        """Begin: one is active, the other follows, both patients are in session."""
        self.seed = seed
        self.world = World(seed, folder, configuration)
        self.fault = FAULTS[seed % len(FAULTS)]
        self.falls: dict[int, float] = {}
        self.acknowledged = ""
        world = self.world
        world.until(world.active, 30)
        world.run(8)
        world.begin_sessions(configuration.protocols["iv-ketamine"])
        world.run(3)
        self.since = world.sent

    def run(self) -> float:
        """Let it happen; return the gap in seconds."""
        world, chance = self.world, self.world.chance
        old = world.active()
        assert old is not None
        fault_s = world.now_s + chance.uniform(1, 6)
        falls = {number: fault_s + chance.uniform(-5, 12) for number in (1, 2)}
        if self.fault == "freeze":
            fault_s += 10
            falls[1] = fault_s - chance.uniform(6, 10)  # its message may wait to be sent just then
        acknowledges = chance.random() < 0.5
        lasts_s = chance.uniform(8, 40)
        self._until(fault_s, falls, acknowledges)
        self._break(old)
        began = world.now_s
        self._until(began + 0.5, falls, False)
        new = next(one for one in world.machines.values() if one is not old)
        gap_s = 0.5 + world.until(lambda: self._fall(falls) or world.active() is new, GAP_S + 1)
        self._until(began + lasts_s, falls, False)
        old.frozen = old.cut = False
        woke_s = world.now_s
        self._until(max(world.now_s + 10, max(falls.values()) + 8), falls, False)
        world.run(25)
        self._judge(old, new, woke_s)
        return gap_s

    def _fall(self, falls: dict[int, float]) -> None:
        for number, at in falls.items():
            if self.world.now_s >= at:
                self.world.spo2[number] = 70

    def _until(self, at_s: float, falls: dict[int, float], acknowledges: bool) -> None:
        world = self.world
        while world.now_s < at_s:
            world.step()
            self._fall(falls)
            active = world.active()
            if acknowledges and not self.acknowledged and active is not None and active.site is not None:
                self._acknowledge(active)

    def _acknowledge(self, active: Machine) -> None:
        assert active.site is not None
        bed = active.site.monitor.beds()["bed-1"]
        high = [one for one in bed.alarms.values() if one.kind == "physiological" and one.priority == "high"]
        if high:
            future = active.site.monitor.submit("bed-1", Acknowledge(high[0].alarm_id, "nina"))
            self.world.until(lambda: future.done() or active.dead, 6)
            if future.done() and future.result().durable:
                self.acknowledged = high[0].alarm_id

    def _break(self, old: Machine) -> None:
        if self.fault == "freeze":
            old.frozen = True
        elif self.fault == "partition":
            old.cut = True
        elif self.fault == "kill":
            old.dead = True
            old.end()
        else:
            old.doom = self.fault

    def _judge(self, old: Machine, new: Machine, woke_s: float) -> None:
        world, words = self.world, f"seed {self.seed}, {self.fault}"
        assert world.active() is new, f"{words}: {new.name} is not active at the end"
        assert new.site is not None
        beds = new.site.monitor.beds()
        for number in (1, 2):
            alarms = [one for one in beds[f"bed-{number}"].alarms.values() if one.kind == "physiological"]
            assert any(one.priority == "high" for one in alarms), f"{words}: no alarm on bed-{number}"
            raised = [one for one in alarms if one.priority == "high" and not one.covered_by]
            for alarm in raised:
                told = [key for _, _, key in world.told if key.startswith(alarm.alarm_id)]
                silent_before = alarm.acknowledgement is not None
                assert told or silent_before, f"{words}: nobody was told of {alarm.key} on bed-{number}"
        if self.acknowledged:
            found = [one for one in beds["bed-1"].alarms.values() if one.alarm_id == self.acknowledged]
            assert found, f"{words}: the acknowledged alarm is not known"
            assert found[0].acknowledgement, f"{words}: the acknowledgement is lost"
        often = Counter(key for _, _, key in world.told).most_common(1)
        assert often[0][1] <= 2, f"{words}: {often[0]} was told more than twice"
        self._judge_readings(new, words)
        taken = new.site.monitor.link.taken_over  # type: ignore[attr-defined]
        assert taken == 0, f"{words}: the old one took the connection back"
        if self.fault in ("freeze", "partition"):
            assert [name for _, name in world.stepped_down] == [old.name], f"{words}: {world.stepped_down}"
            assert old.pair.standing() == "follows", words
            assert old.pair._follower.whole, f"{words}: the old one does not follow"
        if self.fault == "freeze":
            late = [one for one in world.told if one[1] == old.name and one[0] >= woke_s]
            assert not late, f"{words}: it woke and said {late}"

    def _judge_readings(self, new: Machine, words: str) -> None:
        with sqlite3.connect(new.configuration.store / "journal.db") as db:
            rows = db.execute(
                "SELECT n.name, r.sequence, count(*) FROM reading r JOIN name n ON n.id=r.device "
                "WHERE n.name LIKE 'oximeter%' GROUP BY 1, 2"
            ).fetchall()
        assert all(count == 1 for _, _, count in rows), f"{words}: a reading is there twice"
        held = {(name, sequence) for name, sequence, _ in rows}
        wanted = {
            (f"oximeter-{number}", sequence)
            for number in (1, 2)
            for sequence in range(self.since, self.world.sent - 1)
        }
        assert wanted <= held, f"{words}: readings lost: {sorted(wanted - held)[:6]}"


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
def test_r_20_two_hundred_seeded_takeovers_lose_nothing_and_take_at_most_15_s(
    block: int, configuration: Configuration, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-20, P-46: kill around the commit, freeze, partition; no alarm and no reading lost."""
    logging.getLogger("afterwatch").setLevel(logging.CRITICAL)
    gaps: dict[str, list[float]] = {}
    for seed in range(block * SEEDS // BLOCKS, (block + 1) * SEEDS // BLOCKS):
        enter(monkeypatch)
        story = Story(seed, folder / str(seed), configuration)
        gap_s = story.run()
        story.world.end()
        shutil.rmtree(folder / str(seed))
        assert gap_s <= GAP_S, f"seed {seed}, {story.fault}: the gap was {gap_s:.1f} s"
        gaps.setdefault(story.fault, []).append(gap_s)
    for fault, found in gaps.items():
        print(f"\n{fault}: {len(found)} takeovers, gap {min(found):.1f} to {max(found):.1f} s")
