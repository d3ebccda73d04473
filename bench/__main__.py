"""Every performance claim, measured beside a peer in the same run: `python -m bench [NAME ...]`.

The law: each `bench/NAME/__main__.py` is a program of its own, prints its own figures and ends with 0 when
what it promises is kept. They run one after another, never side by side; a table of all, and a chart of how
far each figure is from its aim (build/bench.svg), close the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import orjson

from bench import RESULTS
from bench.drawing import badness, draw

CHART = Path("build") / "bench.svg"
MEANING = {0: "kept", 1: "missed"}


def main() -> int:
    folder = Path(__file__).parent
    every = sorted(file.parent.name for file in folder.glob("*/__main__.py"))
    asked = sys.argv[1:] or every
    if unknown := set(asked) - set(every):
        print(f"no bench called {', '.join(sorted(unknown))}; there are {', '.join(every)}", file=sys.stderr)
        return 2
    rows = []
    results = Path(tempfile.mkdtemp(prefix="afterwatch-bench-")) / "results"
    for name in asked:
        print(f"\n=== bench.{name} ===", flush=True)
        begun = time.monotonic()
        environment = {**os.environ, RESULTS: str(results)}
        code = subprocess.call([sys.executable, "-m", f"bench.{name}"], cwd=folder.parent, env=environment)
        rows.append((name, MEANING.get(code, f"failed ({code})"), time.monotonic() - begun))
    print(f"\n{'bench':<12}{'promise':<12}{'seconds':>8}")
    for name, meaning, seconds in rows:
        print(f"{name:<12}{meaning:<12}{seconds:>8.0f}")
    if results.exists():
        promises = [orjson.loads(line) for line in results.read_bytes().splitlines()]
        for one in promises:
            print(f"{badness(one):>8.2f} x its aim  {one['what']}")
        CHART.parent.mkdir(exist_ok=True)
        CHART.write_text(draw(promises, f"Afterwatch, measured {datetime.now().astimezone():%d %B %Y}"))
        print(f"chart: {CHART}")
    return int(any(meaning != "kept" for _, meaning, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
