"""Measurements, each beside a peer in the same run, and the promises that they hold a figure against."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

RESULTS = "AFTERWATCH_BENCH_RESULTS"  # names the file to which `python -m bench` has every promise written


def promise(what: str, measured: float, aim: float, unit: str, *, at_least: bool = False) -> bool:
    """Print a figure beside its aim, both in ``unit``; return whether the promise is kept."""
    kept = measured >= aim if at_least else measured <= aim
    word = "at least" if at_least else "at most"
    print(f"{'kept  ' if kept else 'MISSED'} {what}: {measured:.4g} {unit}, {word} {aim:g}", flush=True)
    if results := os.environ.get(RESULTS):
        row = {"what": what, "measured": measured, "aim": aim, "unit": unit, "at_least": at_least}
        with Path(results).open("ab") as file:
            file.write(orjson.dumps(row) + b"\n")
    return kept
