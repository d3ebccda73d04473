"""Run both measurements: `python -m bench.web [wall] [chart]`."""

from __future__ import annotations

import sys

from bench.web import chart, wall


def main() -> int:
    """Measure what was asked for, or everything; return 0 if every aim is met."""
    asked = sys.argv[1:] or ["wall", "chart"]
    runs = {"wall": wall.main, "chart": chart.main}
    return max(runs[name]() for name in asked)


if __name__ == "__main__":
    sys.exit(main())
