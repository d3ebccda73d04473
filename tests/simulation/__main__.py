"""Live one seed again: ``python -m tests.simulation SEED [--minutes M] [--haste H] [--until STEP]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.simulation.story import Violated
from tests.simulation.world import World

FAST = Path("/dev/shm")


def fast_folder() -> Path | None:
    """Return where files live in memory, if there is such a place."""
    return FAST if FAST.is_dir() else None


def main() -> int:
    """Run seeds; print what happened, and where it broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--count", type=int, default=1, help="so many seeds from SEED on")
    parser.add_argument("--minutes", type=float, help="of trouble before it heals (drawn from the seed)")
    parser.add_argument("--haste", type=float, default=1.0, help="how much more often faults come")
    parser.add_argument("--until", type=int, help="stop before this step")
    parser.add_argument("--tail", type=int, default=60, help="lines of what happened to print")
    parser.add_argument("--quiet", action="store_true", help="only failures and the sum")
    parser.add_argument("--digest", action="store_true", help="print nothing but the digest of what happened")
    chosen = parser.parse_args()
    if chosen.digest:
        with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
            print(World(chosen.seed, Path(folder), chosen.minutes, None, chosen.haste).run(chosen.until))
        return 0
    began, hours, bed_hours, messages, broken = time.monotonic(), 0.0, 0.0, 0, 0
    for seed in range(chosen.seed, chosen.seed + chosen.count):
        with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
            world = World(seed, Path(folder), chosen.minutes, None, chosen.haste)
            world.log = [] if not chosen.quiet else None
            try:
                figures = world.run(chosen.until)
            except Violated as fault:
                broken += 1
                print("\n".join((world.log or [])[-chosen.tail :]))
                print(f"BROKEN {fault}")
                continue
            hours += figures.simulated_s / 3600
            bed_hours += figures.bed_s / 3600
            messages += figures.messages
            if not chosen.quiet:
                print("\n".join((world.log or [])[-chosen.tail :]))
                print(figures)
    took = time.monotonic() - began
    print(
        f"{chosen.count} seeds, {broken} broken, {took:.1f} s; {hours:.1f} site hours, "
        f"{bed_hours:.1f} bed hours, {messages} messages; {bed_hours / took * 60:.0f} bed hours a minute"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
