"""What each filter profile cuts and misses: ``python -m bench.alarms [--events N] [--sessions N] [--list]``.

The law: the filters of the product, as they ship, on a corpus that no parameter was chosen on. Each miss is
listed; each rate has its 95 % upper bound (rule of three when none is missed). See ``corpus`` for the labels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import sqrt

from bench.alarms.corpus import CLASSES, LIMIT, SPECIAL, Course, Event, one_event, session
from monitor.config import default_folder, load
from monitor.core.filters import IDLE, Boundary, Sample, judge
from monitor.core.protocol import Filter, Tier

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BELOW = Boundary("low", LIMIT)
FALSE_AFTER_S = 45  # ALARMS §3.6: an onset with no true event in the 45 s before is false
REFERENCE = Filter(ceiling_s=0, gate_s=0, rearm_s=0, settle_s=0)
KINDS = (*CLASSES, *SPECIAL)


def profiles() -> dict[str, Filter]:
    """Return the profiles by name: what ships, and the variants that ALARMS §3.8 leaves to the site."""
    shipped = load(default_folder()).protocols["iv-ketamine"].filters
    default, plain = shipped["time-and-depth"], shipped["plain-15"]
    tiers = (Tier(90, 20), Tier(80, 15), Tier(70, 10), Tier(60, 0))
    return {
        "plain limit, 0 s": REFERENCE,
        "time and depth (default)": default,
        "default, floor 5 s": replace(default, floor_s=5),
        "default, no net": replace(default, net_crossings=0),
        "tiers + floor": replace(default, integral=None, min_time_s=0, net_crossings=0, tiers=tiers),
        "plain 15 s + floor": plain,
    }


@dataclass
class Tally:
    """What one profile did."""

    alarms: int = 0
    false: int = 0
    latency: list[float] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)
    missed: dict[str, list[str]] = field(default_factory=dict)


def spans(chosen: Filter, course: Course) -> list[tuple[float, float]]:
    """Return (onset, end) in seconds of every alarm of a course; the last may be open (infinity)."""
    found: list[tuple[float, float]] = []
    state, last = IDLE, None
    for dot in course.dots:
        step = 0.0 if last is None else min(dot.t - last, 2 * course.period_s)
        last = dot.t
        if state is IDLE and dot.value >= LIMIT:
            continue
        sample = Sample(dot.value, dot.good, NOON + timedelta(seconds=dot.t), step)
        state, verdict = judge(chosen, BELOW, state, sample)
        if verdict == "fires":
            found.append((dot.t, float("inf")))
        elif verdict == "clears":
            found[-1] = (found[-1][0], dot.t)
    return found


def first_below(course: Course, event: Event) -> float | None:
    """Return when an event's first sample lies below the limit, or ``None`` when none does."""
    return next((d.t for d in course.dots if event.start <= d.t <= event.end and d.value < LIMIT), None)


def score_events(chosen: Filter, courses: Iterable[Course], tally: Tally) -> None:
    """Count the events of courses and which of them were missed."""
    for course in courses:
        alarms = spans(chosen, course)
        for event in course.events:
            begin = first_below(course, event)
            if begin is None:
                continue
            tally.events[event.kind] = tally.events.get(event.kind, 0) + 1
            onsets = [at for at, until in alarms if at <= event.end and until >= begin]
            if onsets:
                tally.latency.append(max(0.0, onsets[0] - begin))
            else:
                tally.missed.setdefault(event.kind, []).append(event.words)


def score_load(chosen: Filter, courses: Iterable[Course], tally: Tally) -> None:
    """Count the alarms of whole sessions and those without a true event."""
    for course in courses:
        for at, _ in spans(chosen, course):
            tally.alarms += 1
            true = any(event.start <= at <= event.end + FALSE_AFTER_S for event in course.events)
            tally.false += not true


def upper_bound(missed: int, events: int) -> float:
    """Return the 95 % upper bound of a rate (Wilson; rule of three for none)."""
    if not missed:
        return min(1.0, 3 / events)
    rate, z = missed / events, 1.645
    centre = rate + z * z / (2 * events)
    return (centre + z * sqrt(rate * (1 - rate) / events + z * z / (4 * events**2))) / (1 + z * z / events)


def run(events: int, sessions: int, seed: int, white: float = 0.0) -> dict[str, Tally]:
    """Score every profile on the same courses."""
    found = {name: Tally() for name in profiles()}
    for kind in KINDS:
        for number in range(events):
            course = one_event(kind, seed + number)
            for name, chosen in profiles_once().items():
                score_events(chosen, [course], found[name])
    for number in range(sessions):
        course = session(seed + number, white=white)
        for name, chosen in profiles_once().items():
            score_load(chosen, [course], found[name])
    return found


_PROFILES: dict[str, Filter] = {}


def profiles_once() -> dict[str, Filter]:
    """Return the profiles, read once."""
    if not _PROFILES:
        _PROFILES.update(profiles())
    return _PROFILES


def table(found: dict[str, Tally]) -> str:
    """Return the result for people: the load of each profile, then its misses in each class."""
    reference = found["plain limit, 0 s"]
    lines = [
        f"{'profile':26} {'alarms':>7} {'cut':>6} {'false':>6} {'false cut':>9} {'p50 s':>6} {'max s':>6}"
    ]
    for name, tally in found.items():
        cut = 1 - tally.alarms / max(1, reference.alarms)
        false = 1 - tally.false / max(1, reference.false)
        late = sorted(tally.latency) or [0.0]
        load = f"{tally.alarms:7d} {cut:6.1%} {tally.false:6d} {false:9.1%}"
        lines.append(f"{name:26} {load} {late[len(late) // 2]:6.0f} {late[-1]:6.0f}")
    lines += ["", "missed of true events, and the 95 % upper bound of the rate:"]
    lines.append(f"{'profile':26} " + " ".join(f"{kind:>20}" for kind in KINDS))
    for name, tally in found.items():
        lines.append(f"{name:26} " + " ".join(f"{_misses(tally, kind):>20}" for kind in KINDS))
    return "\n".join(lines)


def _misses(tally: Tally, kind: str) -> str:
    missed, events = len(tally.missed.get(kind, [])), tally.events.get(kind, 0)
    return f"{missed}/{events} <{upper_bound(missed, max(1, events)):.2%}"


def main() -> int:
    """Run, print the table and the misses; 1 when a long event is missed or too many short deep ones are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000, help="true events of each class")
    parser.add_argument("--sessions", type=int, default=300, help="sessions of 3 h for the load")
    parser.add_argument("--seed", type=int, default=1, help="first seed")
    parser.add_argument(
        "--white", type=float, default=0.0, help="flicker from sample to sample, in percent (SD)"
    )
    parser.add_argument("--list", action="store_true", help="list every miss of the default profile")
    chosen = parser.parse_args()
    found = run(chosen.events, chosen.sessions, chosen.seed, chosen.white)
    print(table(found))
    default = found["time and depth (default)"]
    if chosen.list:
        for kind, words in default.missed.items():
            for one in words:
                print(f"missed, {kind}: {one}")
    short = len(default.missed.get("short deep", [])) / max(1, default.events.get("short deep", 0))
    return 1 if default.missed.get("long") or short > 0.001 else 0


if __name__ == "__main__":
    sys.exit(main())
