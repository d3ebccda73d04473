"""Run the measurements: `python -m bench.web [wall] [stalled] [archive] [chart]`."""

from __future__ import annotations

import sys

from bench.web import archive, chart, stalled, wall

RUNS = {"wall": wall.main, "stalled": stalled.main, "archive": archive.main, "chart": chart.main}


def main() -> int:
    """Measure what was asked for, or everything; return 0 if every aim is met."""
    return max(RUNS[name]() for name in sys.argv[1:] or RUNS)


if __name__ == "__main__":
    sys.exit(main())
