"""What each filter profile cuts and misses: ``python -m bench.alarms [--events N] [--sessions N] [--list]``.

The law: the filters of the product, as they ship, on a corpus that no parameter was chosen on. Each miss of
the default profile is listed with what explains it; each rate has its 95 % upper bound (rule of three when
none is missed); each false alarm that is left is counted under what it is. See ``corpus`` for the labels.
"""

from __future__ import annotations

import argparse
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from itertools import pairwise
from math import sqrt

from bench import promise
from bench.alarms.corpus import (
    AS_FIXED,
    CLASSES,
    JUDGED,
    LIMIT,
    SPECIAL,
    Course,
    Event,
    Open,
    one_event,
    session,
)
from monitor.config import default_folder, load
from monitor.core.filters import IDLE, Boundary, Path, Sample, judge
from monitor.core.protocol import Filter, Tier

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BELOW = Boundary("low", LIMIT)
FALSE_AFTER_S = 45  # ALARMS §3.6: an onset with no true event in the 45 s before is false
REFERENCE, DEFAULT = "plain limit, 0 s", "time and depth (default)"
KINDS = (*CLASSES, *SPECIAL)
NO_DATA_S = 10  # AL-29: from when on silence is an alarm of its own
PORTION = 250  # events or sessions that one process takes at a time


@cache
def profiles() -> dict[str, Filter]:
    """Return the profiles by name: what ships, and the variants that ALARMS §3.4 and §3.8 leave to the site.

    The reference is the bare limit: every sample below 90 that follows one at 90 or more is an alarm.
    """
    shipped = load(default_folder()).protocols["iv-ketamine"].filters
    default, plain = shipped["time-and-depth"], shipped["plain-15"]
    tiers = (Tier(90, 20), Tier(80, 15), Tier(70, 10), Tier(60, 0))
    tiered = replace(default, ceiling_s=20, integral=None, min_time_s=0, net_crossings=0, tiers=tiers)
    return {
        REFERENCE: Filter(ceiling_s=0, gate_s=0, rearm_s=0, settle_s=0),
        DEFAULT: default,
        "default, floor 5 s": replace(default, floor_s=5),
        "default, no net": replace(default, net_crossings=0),
        "default, 75 point-seconds": replace(default, integral=75),
        "depth-tiered + floor": tiered,
        "depth-tiered alone": replace(tiered, floor=None),
        "plain 15 s + floor": plain,
        "plain 15 s alone": replace(plain, floor=None),
    }


@dataclass
class Tally:
    """What one profile did.

    ``missed`` by class: each event in words, and why it was missed. ``left``: false alarms by what they are
    and the path on which they rang.
    """

    alarms: int = 0
    left: Counter[tuple[str, Path]] = field(default_factory=Counter)
    latency: list[float] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)
    missed: dict[str, list[str]] = field(default_factory=dict)
    unexplained: int = 0

    @property
    def false(self) -> int:
        """Return how many alarms had no true event."""
        return self.left.total()

    def add(self, other: Tally) -> None:
        """Add what another portion counted."""
        self.alarms += other.alarms
        self.left += other.left
        self.unexplained += other.unexplained
        self.latency += other.latency
        for kind, count in other.events.items():
            self.events[kind] = self.events.get(kind, 0) + count
        for kind, words in other.missed.items():
            self.missed.setdefault(kind, []).extend(words)


Tallies = dict[str, Tally]


def changes(chosen: Filter, course: Course) -> Iterator[tuple[float, Path]]:
    """Yield when an alarm of a course is raised (seconds) and on which path, and when it ends (no path)."""
    state, place = IDLE, 0
    while True:
        if state is IDLE:
            nearest = bisect_left(course.telling, place)
            place = course.telling[nearest] if nearest < len(course.telling) else len(course.dots)
        if place >= len(course.dots):
            return
        dot, before = course.dots[place], course.dots[max(0, place - 1)]
        step = min(dot.t - before.t, 2 * course.period_s)
        place += 1
        sample = Sample(dot.value, dot.good, NOON + timedelta(seconds=dot.t), step)
        state, verdict = judge(chosen, BELOW, state, sample)
        if verdict in ("fires", "clears"):
            yield dot.t, state.path


def rings_at(chosen: Filter, course: Course, begin: float, end: float) -> float | None:
    """Return from when on an alarm is present between two instants, or ``None`` when none is."""
    present = False
    for at, path in changes(chosen, course):
        if at > end:
            break
        if at >= begin:
            return begin if present else at
        present = bool(path)
    return begin if present else None


def first_below(course: Course, event: Event) -> float | None:
    """Return when an event's first sample lies below the limit, or ``None`` when none does."""
    return next((d.t for d in course.dots if event.start <= d.t <= event.end and d.value < LIMIT), None)


def score_events(chosen: Filter, courses: Iterable[Course], tally: Tally) -> None:
    """Count the events of courses and which of them were missed."""
    for course in courses:
        for event in course.events:
            begin = first_below(course, event)
            if begin is None:
                continue
            tally.events[event.kind] = tally.events.get(event.kind, 0) + 1
            rings = rings_at(chosen, course, begin, event.end)
            if rings is not None:
                tally.latency.append(rings - begin)
                continue
            why = explain(chosen, course, event)
            tally.unexplained += not why
            words = f"{event.words}: {why or 'NOT EXPLAINED'}"
            tally.missed.setdefault(event.kind, []).append(words)


def explain(chosen: Filter, course: Course, event: Event) -> str:
    """Say why an event was missed, in what it lacked; empty words when nothing explains it.

    What explains a miss: the device itself was silent for a part of it; low quality throughout, so that the
    gate's seconds are wanting (ALARMS §3.5); or a course that never stays below the limit nor at the floor.
    """
    below = [d for d in course.dots if event.start <= d.t <= event.end and d.value < LIMIT]
    floor = [d for d in below if chosen.floor is not None and d.value <= chosen.floor]
    held = sum(not d.good for d in below)
    worst = min(d.value for d in below)
    size = f"{len(below)} s below {LIMIT}, {len(floor)} s at the floor, worst {worst}"
    gaps = _gaps_s(course, event)
    if gaps:
        told = ", which is told as no data" if max(gaps) + course.period_s >= NO_DATA_S else ""
        return f"{size}; the device said nothing for {sum(gaps):.0f} s of it, {max(gaps):.0f} s at once{told}"
    if held == len(below) and chosen.gate_s:
        found = rings_at(replace(chosen, gate_s=0), course, below[0].t, event.end)
        late = f"it would ring after {found - below[0].t:.0f} s" if found else "it would not ring either"
        return f"{size}; low quality throughout, the gate holds {chosen.gate_s:g} s; without, {late}"
    longest = _longest_run(course, event)
    if longest < chosen.ceiling_s and len(floor) < max(chosen.floor_s, 1):
        return f"{size}; short: longest run below {longest:.0f} s"
    return ""


def _gaps_s(course: Course, event: Event) -> list[float]:
    times = [event.start, *(d.t for d in course.dots if event.start <= d.t <= event.end), event.end]
    return [b - a - course.period_s for a, b in pairwise(times) if b - a > 2 * course.period_s]


def _longest_run(course: Course, event: Event) -> float:
    longest, since = 0.0, None
    for dot in course.dots:
        if not event.start <= dot.t <= event.end or dot.value >= LIMIT:
            since = None
            continue
        since = dot.t if since is None else since
        longest = max(longest, dot.t - since + course.period_s)
    return longest


def score_load(chosen: Filter, courses: Iterable[Course], tally: Tally) -> None:
    """Count the alarms of whole sessions and those without a true event."""
    for course in courses:
        for at, path in changes(chosen, course):
            tally.alarms += bool(path)
            if path and not _behind(at, course.events):
                behind = _behind(at, course.others)
                tally.left[behind.kind if behind else "nothing", path] += 1


def _behind(at: float, events: list[Event]) -> Event | None:
    return next((event for event in events if event.start <= at <= event.end + FALSE_AFTER_S), None)


def upper_bound(missed: int, events: int) -> float:
    """Return the 95 % upper bound of a rate (Wilson; rule of three for none)."""
    if not missed:
        return min(1.0, 3 / events)
    rate, z = missed / events, 1.645
    centre = rate + z * z / (2 * events)
    return (centre + z * sqrt(rate * (1 - rate) / events + z * z / (4 * events**2))) / (1 + z * z / events)


# --- in portions, two at a time ---------------------------------------------------------------------------


def portion_of_events(kind: str, left: Open, seeds: range) -> Tallies:
    """Score every profile on one portion of a class."""
    return _score(score_events, (one_event(kind, seed, left) for seed in seeds))


def portion_of_sessions(left: Open, seeds: range) -> Tallies:
    """Score every profile on one portion of whole sessions."""
    return _score(score_load, (session(seed, left) for seed in seeds))


def _score(score: Callable[[Filter, Iterable[Course], Tally], None], courses: Iterable[Course]) -> Tallies:
    found = {name: Tally() for name in profiles()}
    for course in courses:
        for name, chosen in profiles().items():
            score(chosen, [course], found[name])
    return found


def run(
    events: int, sessions: int, seed: int, left: Open = AS_FIXED, processes: int = 2
) -> tuple[Tallies, float]:
    """Score every profile on the same courses; return the tallies, and the standard error of the cut."""
    found = {name: Tally() for name in profiles()}
    cuts: list[float] = []
    with ProcessPoolExecutor(processes) as pool:
        jobs = [(partial(portion_of_sessions, left), seeds) for seeds in portions(seed, sessions)]
        jobs += [
            (partial(portion_of_events, kind, left), seeds)
            for kind in KINDS
            for seeds in portions(seed, events)
        ]
        for number, part in enumerate(pool.map(_call, jobs), 1):
            print(f"\r{number} of {len(jobs)} portions", end="", file=sys.stderr, flush=True)
            if part[REFERENCE].alarms:
                cuts.append(1 - part[DEFAULT].alarms / part[REFERENCE].alarms)
            for name, tally in part.items():
                found[name].add(tally)
    print(file=sys.stderr)
    return found, _standard_error(cuts)


def portions(seed: int, count: int) -> list[range]:
    """Return ``count`` seeds from ``seed`` on, in portions."""
    return [range(at, min(at + PORTION, seed + count)) for at in range(seed, seed + count, PORTION)]


def _call(job: tuple[Callable[[range], Tallies], range]) -> Tallies:
    return job[0](job[1])


def _standard_error(cuts: list[float]) -> float:
    if len(cuts) < 2:
        return float("nan")
    mean = sum(cuts) / len(cuts)
    return sqrt(sum((cut - mean) ** 2 for cut in cuts) / (len(cuts) - 1) / len(cuts))


# --- for people -------------------------------------------------------------------------------------------


def table(found: Tallies) -> str:
    """Return the result for people: the load of each profile, then its misses in each class."""
    reference = found[REFERENCE]
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


def left_of(found: Tallies) -> str:
    """Return which false alarms the default profile leaves: what they are, and on which path they rang."""
    default, reference = found[DEFAULT], found[REFERENCE]
    paths = sorted({path for _, path in default.left})
    lines = ["false alarms by what they are: of the plain limit, left by the default, and on which path"]
    lines.append(f"{'':26} {'plain':>7} {'left':>6} " + " ".join(f"{path:>14}" for path in paths))
    for kind in sorted({kind for kind, _ in reference.left + default.left}):
        plain = sum(count for (one, _), count in reference.left.items() if one == kind)
        counts = [default.left[kind, path] for path in paths]
        lines.append(f"{kind:26} {plain:7d} {sum(counts):6d} " + " ".join(f"{n:14d}" for n in counts))
    return "\n".join(lines)


def _misses(tally: Tally, kind: str) -> str:
    missed, events = len(tally.missed.get(kind, [])), tally.events.get(kind, 0)
    return f"{missed}/{events} <{upper_bound(missed, max(1, events)):.2%}"


def verdict(found: Tallies) -> bool:
    """Hold the default profile against AF-02 and AF-03; return whether it does what they ask."""
    default, reference = found[DEFAULT], found[REFERENCE]
    short = len(default.missed.get("short deep", [])) / max(1, default.events.get("short deep", 0))
    false = 1 - default.false / max(1, reference.false)
    cut = 1 - default.alarms / max(1, reference.alarms)
    judged = [
        promise("AF-02: long events missed", len(default.missed.get("long", ())), 0, "of all"),
        promise("AF-02: short deep dips missed", 100 * short, 0.1, "%"),
        promise("AF-02: misses that are not explained", default.unexplained, 0, "of all"),
        promise("AF-03: alarms cut", 100 * cut, 75, "%", at_least=True),
        promise("AF-03: false alarms cut", 100 * false, 78, "%", at_least=True),
    ]
    return all(judged)


def main() -> int:
    """Run, print the table and the misses; 1 when the default profile misses what AF-02 or AF-03 asks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000, help="true events of each class")
    parser.add_argument("--sessions", type=int, default=1_000, help="sessions of 3 h for the load")
    parser.add_argument("--seed", type=int, default=JUDGED, help="first seed (%(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="how many at a time (%(default)s)")
    for name, value in AS_FIXED._asdict().items():
        words = f"left open by ALARMS §3.6; see bench/alarms/corpus.py ({value})"
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value, help=words)
    parser.add_argument("--list", action="store_true", help="list every miss of the default profile")
    chosen = parser.parse_args()
    left = Open(chosen.drift_noise, chosen.motion_spread)
    found, error = run(chosen.events, chosen.sessions, chosen.seed, left, chosen.processes)
    print(table(found))
    print(f"\n{left_of(found)}")
    print(f"\nstandard error of the default's cut over {chosen.sessions} sessions: {error:.1%}")
    default = found[DEFAULT]
    for kind, words in default.missed.items() if chosen.list else ():
        for one in words:
            print(f"missed, {kind}: {one}")
    return 0 if verdict(found) else 1


if __name__ == "__main__":
    sys.exit(main())
