"""What one reading costs in ``advance``, with 5,000 beds as with 5: ``python -m bench.advance``.

The law: CPU time of this process, the same readings in both runs, the median of several rounds. A report is
SpO2 and pulse rate of an oximeter at 1 Hz in a running session, two readings; one in a hundred is of a
desaturation, so that filters and alarms are part of the cost. Prints microseconds of CPU, and the ratio of
many beds to few.
"""

from __future__ import annotations

import gc
import json
import sys
from datetime import UTC, datetime, timedelta
from statistics import median
from time import process_time

from bench import promise
from monitor.config import default_folder, load
from monitor.core.bed import advance
from monitor.core.device import DeviceProfile
from monitor.core.inputs import Associate, Observe, StartSession
from monitor.core.turn import Bed
from monitor.core.vitals import Observation, Report

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MANY, FEW = 5_000, 5
WARM_S = 5  # the first readings of a session cost more: nothing is known yet
READINGS = 50_000  # of one round
ROUNDS = 3
ALLOWED_US, ALLOWED_RATIO = 12.0, 1.2


def ward(beds: int) -> dict[str, Bed]:
    """Return beds with a running session each, five seconds old."""
    protocol = load(default_folder()).protocols["iv-ketamine"]
    found = {}
    for number in range(beds):
        name = f"bed-{number}"
        bed = Bed(name)
        for one in (
            Associate(DeviceProfile(f"ox-{number}", ("spo2", "pulse_rate"))),
            StartSession(f"s-{number}", "P", protocol, "nurse"),
        ):
            bed, _ = advance(bed, one, NOON)
        found[name] = bed
    return found


def readings(beds: int, first: int, count: int) -> list[tuple[str, Observe, datetime]]:
    """Return ``count`` reports from second ``first`` on, in turn of every bed, each bed once a second."""
    made = []
    for number in range(count):
        bed, second = number % beds, first + number // beds
        at = NOON + timedelta(seconds=second + 1, microseconds=bed)
        value = 86.0 if (bed + second // 20) % 100 == 1 else 96.0 + second % 2
        found = (Observation("spo2", value), Observation("pulse_rate", 71.0 + second % 3))
        report = Report(f"ox-{bed}", at, at, found, boot_id="b", sequence=second)
        made.append((f"bed-{bed}", Observe(report), at))
    return made


def cost_us(beds: int) -> float:
    """Return microseconds of CPU time for one report (one round), each bed a few seconds into its session."""
    state = ward(beds)
    for name, one, now in readings(beds, 0, beds * WARM_S):
        state[name], _ = advance(state[name], one, now)
    given = readings(beds, WARM_S, READINGS)
    gc.collect()
    gc.freeze()
    begun = process_time()
    for name, one, now in given:
        state[name], _ = advance(state[name], one, now)
    spent = process_time() - begun
    gc.unfreeze()
    return spent / READINGS * 1e6


def main() -> int:
    """Measure, print one line of JSON and one for people; 1 when a promise is not kept."""
    few, many = [], []
    for _ in range(ROUNDS):
        few.append(cost_us(FEW))
        many.append(cost_us(MANY))
    low, high = median(few), median(many)
    ratio = median(b / a for a, b in zip(few, many, strict=True))
    print(json.dumps({"few_us": round(low, 2), "many_us": round(high, 2), "ratio": round(ratio, 3)}))
    print(
        f"a report of two readings: {low:.1f} us with {FEW} beds, {high:.1f} us with {MANY} (x {ratio:.2f})"
    )
    per_value = high / 2
    kept = promise("core: one reading (value)", per_value, ALLOWED_US, "us")
    kept &= promise(f"core: cost with {MANY} beds beside {FEW}", ratio, ALLOWED_RATIO, "x")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
