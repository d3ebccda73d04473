"""Run the measurements: `python -m bench.web [wall] [stalled] [archive] [chart] [ten-minutes]`."""

from __future__ import annotations

import sys

from bench.web import archive, chart, stalled, wall

RUNS = {"wall": wall.main, "stalled": stalled.main, "archive": archive.main, "chart": chart.main}
LONG = {"ten-minutes": lambda: stalled.main(stalled.LONG_S)}  # only if asked for by name


def main() -> int:
    """Measure what was asked for, or everything that is short; return 0 if every aim is met."""
    return max({**RUNS, **LONG}[name]() for name in sys.argv[1:] or RUNS)


if __name__ == "__main__":
    sys.exit(main())
