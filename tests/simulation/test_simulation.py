"""The whole monitor in seeded worlds: what must hold, holds, whatever goes wrong (R-02, R-06, R-07)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.core.bed import Bed, advance
from monitor.core.device import DeviceProfile
from monitor.core.inputs import (
    Acknowledge,
    AcknowledgeMilder,
    Associate,
    Observe,
    PauseAlarm,
    StartSession,
)
from monitor.core.turn import Turn
from monitor.core.vitals import Observation, Report
from tests.conftest import REPOSITORY
from tests.simulation.__main__ import fast_folder
from tests.simulation.story import Violated
from tests.simulation.tasks import BEGINNING
from tests.simulation.troubles import Swarm
from tests.simulation.world import A_DAY, Figures, World, protocols

pytestmark = pytest.mark.slow

SEEDS, A_TEST = 1000, 50
PROVED = int(os.environ.get("AFTERWATCH_SIMULATION_SEEDS", "100000"))
FIRST_PROVED = int(os.environ.get("AFTERWATCH_SIMULATION_FIRST", "1000000"))
A_CHUNK = 20


def live(seed: int, minutes: float | None = None, swarm: Swarm | None = None, haste: float = 1.0) -> Figures:
    """Live through one world."""
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        return World(seed, Path(folder), minutes, swarm, haste).run()


def live_briefly(seed: int) -> Figures:
    """Live through one of many worlds: most last a quarter of a minute, in which much goes wrong.

    Every tenth has a minute, and every fiftieth five: as long as a message lives, and longer than the ladder
    takes to its end. These are about crashes and services that fail, which need that long to meet.
    """
    if seed % 50 == 0:
        return live(seed, 5, Swarm(illness=60, crashes=30, targets_fail=60))
    minutes, haste = (1, 6) if seed % 10 == 0 else (0.25, 12)
    return live(seed, minutes, haste=haste)


def live_long(seed: int) -> Figures:
    """Live through one of the long proof's worlds: most last two minutes, in which much goes wrong.

    One in ten lasts as long as its seed says, one in two hundred three hours, with slow devices at many beds.
    """
    if seed % 200 == 0:
        return live(seed, 180)
    return live(seed) if seed % 10 == 0 else live(seed, 2, haste=4)


def live_all(seeds: range, minutes: float, swarm: Swarm) -> None:
    """Live through several worlds, until one breaks."""
    for seed in seeds:
        live(seed, minutes, swarm)


@pytest.mark.parametrize("first", range(0, SEEDS, A_TEST))
def test_r_06_whatever_goes_wrong_what_must_hold_holds(first: int) -> None:
    """R-06, R-07, R-02, P-01 to P-06: short worlds with crashes, cuts, disks, targets, clocks and staff."""
    for seed in range(first, first + A_TEST):
        assert live_briefly(seed).messages, f"seed {seed}: nothing was heard"


def test_r_06_worlds_are_not_tame() -> None:
    """R-06: taken together, the worlds that are lived through crash, refuse, raise and tell."""
    every = [live(seed, minutes=2, haste=4) for seed in range(5000, 5020)]
    assert sum(one.crashes for one in every) >= 10
    assert sum(one.refused for one in every) >= 10
    assert sum(one.raised for one in every) >= 100
    assert sum(one.sent for one in every) >= 100


def test_r_06_hours_with_slow_devices_at_many_beds() -> None:
    """R-06, R-07: two hours of a ward whose devices report twice a minute or less."""
    figures = live(3, minutes=A_DAY)
    assert figures.bed_s >= 16 * 3600
    assert figures.raised >= 50


def test_r_06_seed_and_step_say_exactly_what_happened() -> None:
    """R-06: the same seed in two processes, whatever their hash seed: the same outcomes at the same steps."""
    digests = set()
    for hashes in ("1", "2"):
        command = [sys.executable, "-m", "tests.simulation", "77", "--digest"]
        environment = {**os.environ, "PYTHONHASHSEED": hashes}
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        digests.add(done.stdout)
    assert len(digests) == 1, digests


# --- the oracle must be able to find something --------------------------------------------------------------

ILL = Swarm(illness=60)


def test_the_oracle_notices_readings_that_are_confirmed_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-01, R-07: a monitor that confirms before the commit is found out."""
    from monitor.app.loop import Monitor

    hand_over = Monitor._hand_over

    def hasty(self: Monitor, *, everything: bool = False) -> None:
        self.link.confirm(list(self._envelopes))
        hand_over(self, everything=everything)

    monkeypatch.setattr(Monitor, "_hand_over", hasty)
    with pytest.raises(Violated, match="R-01"):
        live(3, 5, Swarm(illness=60, disk_stalls=0.5))


def test_the_oracle_notices_an_alarm_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """AF-04, R-07: a filter that never fires is found out."""
    from monitor.core import filters

    monkeypatch.setattr(filters, "_path", lambda *_: "")
    with pytest.raises(Violated, match="AF-04"):
        live_all(range(8), 20, ILL)


def test_the_oracle_notices_silence_that_ends_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """AL-29, R-07: an absence of readings that clears an alarm is found out."""
    from monitor.core import absence

    def forget(turn: object, metric: str) -> None:
        for alarm in list(turn.bed.alarms.values()):  # type: ignore[attr-defined]
            if alarm.kind == "physiological" and alarm.metric == metric:
                turn.end_alarm(alarm, "no data")  # type: ignore[attr-defined]

    monkeypatch.setattr(absence, "freeze", forget)
    with pytest.raises(Violated, match="AL-29"):
        live_all(range(12), 20, Swarm(illness=60, devices_off=40, device_faults=40))


def test_the_oracle_notices_a_state_that_a_crash_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """P-01, R-07: snapshots that are not written with their outcomes are found out."""
    from monitor.app.ward import Ward

    take = Ward.take_batch

    def careless(self: Ward, *, everything: bool = False) -> object:
        batch = take(self, everything=everything)
        if any(one.outcome == "AlarmRaised" for one in batch.outcomes):
            batch.snapshots.clear()
        return batch

    monkeypatch.setattr(Ward, "take_batch", careless)
    with pytest.raises(Violated):
        live_all(range(8), 10, Swarm(illness=60, crashes=30))


def test_the_oracle_notices_a_message_that_is_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """P-02, R-07: a messenger that forgets one target of a high alarm is found out."""
    from monitor import notify

    plan = notify.plan

    def forgetful(*given: object) -> object:
        return tuple(one for one in plan(*given) if one.target != "mail")  # type: ignore[arg-type]

    monkeypatch.setattr(notify, "plan", forgetful)
    with pytest.raises(Violated, match="P-02"):
        live_all(range(8), 20, ILL)


def test_the_oracle_notices_one_press_that_answers_more_than_was_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """P-37, R-07: a press for milder alarms that takes the worse with it is found out."""
    from monitor.core import bed, signals

    def generous(turn: Turn, one: AcknowledgeMilder) -> None:
        for alarm_id, _ in one.seen:
            signals.acknowledge(turn, Acknowledge(alarm_id, one.by))

    monkeypatch.setitem(bed.STEPS, AcknowledgeMilder, generous)
    with pytest.raises(Violated, match="P-37"):
        live_all(range(2, 12), 10, Swarm(illness=60, device_faults=40, devices_off=20))


def test_the_oracle_notices_an_alarm_that_stays_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """AL-23, R-07: a pause that lasts longer than was said is found out."""
    from monitor.core import bed, signals

    def long(turn: Turn, one: PauseAlarm) -> None:
        signals.pause_alarm(turn, one)
        alarm = turn.find(one.alarm_id)
        if alarm is not None and alarm.signal == "alarm_paused":
            turn.alter(replace(alarm, paused_until=turn.now + timedelta(hours=1)))

    monkeypatch.setitem(bed.STEPS, PauseAlarm, long)
    with pytest.raises(Violated, match="AL-23"):
        live_all(range(4, 11), 10, Swarm(illness=60, device_faults=40))


def test_a_clock_that_is_set_back_costs_no_reading() -> None:
    """R-01, P-27: a device that says one instant twice, with different values: both are kept."""
    for seed in (6, 16, 28, 32):
        live(seed, 5, Swarm(illness=60, clock_steps=40))


def test_the_end_of_a_fault_that_comes_late_still_ends_it() -> None:
    """AL-31, AF-04: a fault that ended while nobody could hear it does not blind the oximeter afterwards."""
    bed, at = Bed("bed-1"), BEGINNING

    def hear(number: int, measured_s: float, faults: tuple[str, ...] | None, after_s: float) -> None:
        nonlocal bed
        now, measured_at = at + timedelta(seconds=after_s), at + timedelta(seconds=measured_s)
        values = (Observation("spo2", 97.0), Observation("pulse_rate", 72.0))
        report = Report("ox-1", now, measured_at, values, faults, "b", number)
        bed = advance(bed, Observe(report), now)[0]

    profile = DeviceProfile("ox-1", ("spo2", "pulse_rate"))
    bed = advance(bed, Associate(profile), at)[0]
    bed = advance(bed, StartSession("s", "K-1", protocols()["iv-ketamine"], "anna"), at)[0]
    hear(1, 1, ("searching",), 1)
    assert [reading.value for reading in bed.latest.values()] == [None, None]
    hear(2, 20, (), 120)  # from its memory, after an outage
    hear(3, 121, None, 121)
    assert [reading.value for reading in bed.latest.values()] == [97.0, 72.0]
    assert "no-data:oximeter" not in bed.alarms


# --- the long proof -----------------------------------------------------------------------------------------


def _chunk(first: int) -> tuple[int, float, int, list[str]]:
    faults: list[str] = []
    hours, messages = 0.0, 0
    for seed in range(first, first + A_CHUNK):
        try:
            figures = live_long(seed)
        except Violated as fault:
            faults.append(str(fault))
            continue
        hours, messages = hours + figures.bed_s / 3600, messages + figures.messages
    return A_CHUNK, hours, messages, faults


@pytest.mark.prove
@pytest.mark.timeout(0)
def test_r_06_a_hundred_thousand_worlds(capsys: pytest.CaptureFixture[str]) -> None:
    """R-06: AFTERWATCH_SIMULATION_SEEDS worlds (100,000), on every core; what broke is named by its seed."""
    starts = range(FIRST_PROVED, FIRST_PROVED + PROVED, A_CHUNK)
    worlds, hours, messages, broken = 0, 0.0, 0, []
    with ProcessPoolExecutor() as pool:
        for done in as_completed([pool.submit(_chunk, first) for first in starts]):
            count, more_hours, more_messages, faults = done.result()
            worlds, hours, messages = worlds + count, hours + more_hours, messages + more_messages
            broken += faults
            if worlds % 1000 == 0:
                with capsys.disabled():
                    print(
                        f"{worlds} worlds, {hours:.0f} bed hours, {messages} messages, {len(broken)} broken"
                    )
    with capsys.disabled():
        print(f"{worlds} worlds, {hours:.0f} bed hours, {messages} messages, {len(broken)} broken")
    assert not broken, "\n\n".join(broken[:20])
