"""What decoding costs beside the plain library parse of the same bytes (``python -m bench.formats``).

Each row runs our decoder, which gives screened observations with units, times and reasons, and a library
that gives a tree of what was written, in alternating rounds of processor time; the figure is the median of
the ratios of the pairs. Where there is no library (bytes of GATT, serial frames) the peer is the smallest
step that has to be done.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import hl7
import orjson
from fhir.resources.R4B.observation import Observation

from monitor.formats import Undecodable, decode
from monitor.formats.sparkplug import Payload
from tests.formats.corpus import SAMPLES, Sample
from tests.formats.speech import context

PAIRS = 15
ROUND_S = 0.02
# As long as the format allows, one field of nothing but separators: the worst case (decision 11).
HEAD = b"MSH|^~\\&|A|B|||20261123110000||ORU^R01|1|P|2.3.1\rOBX|1|NM|"
HOSTILE = HEAD + b"^~&" * 43_000


class Row(NamedTuple):
    """One measured format: microseconds a message for us and for the peer, and the median of the ratios."""

    format: str
    size: int
    ours_us: float
    peer: str
    peer_us: float
    ratio: float


def peer_of(sample: Sample) -> tuple[str, Callable[[bytes], Any]]:
    """Return the plain library parse for a format."""
    peers: dict[str, tuple[str, Callable[[bytes], Any]]] = {
        "hl7v2": ("hl7.parse", lambda payload: hl7.parse(payload.decode())),
        "fhir": ("fhir.resources", Observation.model_validate_json),
        "gatt": ("bytes.fromhex", lambda payload: bytes.fromhex(payload.decode())),
        "sparkplug": ("protobuf", Payload.FromString),
        "serial": ("bytes.split", lambda payload: payload.split(b"\r")),
        "esphome": ("float", float),
    }
    if sample.payload[:1] == b"{" and sample.format not in peers:
        return "json.loads", json.loads
    if sample.payload[:1] == b"{" and sample.format == "gatt":
        return "json.loads", json.loads
    return peers.get(sample.format, ("orjson.loads", orjson.loads))


def per_call_us(work: Callable[[], Any], seconds: float) -> float:
    """Return microseconds a call over at least ``seconds``."""
    calls, start = 0, time.process_time()
    while True:
        for _ in range(20):
            work()
        calls += 20
        passed = time.process_time() - start
        if passed >= seconds:
            return passed / calls * 1e6


def measure(sample: Sample, pairs: int, seconds: float) -> Row:
    """Measure one sample in alternating pairs."""
    around = context(sample.topic, **sample.options)
    name, parse = peer_of(sample)

    def ours() -> Any:
        return decode(sample.format, sample.payload, around)

    def peer() -> Any:
        return parse(sample.payload)

    ours(), peer()
    rounds = [(per_call_us(ours, seconds), per_call_us(peer, seconds)) for _ in range(pairs)]
    mine, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(a / b for a, b in rounds)
    return Row(sample.format, len(sample.payload), mine, name, theirs, ratio)


def measure_hostile() -> tuple[float, float]:
    """Return the seconds that we and the library take for the worst HL7 message that is let in."""
    passed = []
    for work in (lambda: decode("hl7v2", HOSTILE, context()), lambda: hl7.parse(HOSTILE.decode())):
        start = time.process_time()
        with contextlib.suppress(Undecodable):
            work()
        passed.append(time.process_time() - start)
    return passed[0], passed[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--round", type=float, default=ROUND_S, help="seconds a round (%(default)s)")
    chosen = parser.parse_args()
    print(f"{'format':16} {'bytes':>6} {'ours µs':>9} {'peer µs':>9}  {'peer':15} ours/peer  messages/s")
    for sample in SAMPLES:
        row = measure(sample, chosen.pairs, chosen.round)
        print(
            f"{row.format:16} {row.size:6d} {row.ours_us:9.1f} {row.peer_us:9.1f}  {row.peer:15}"
            f" {row.ratio:9.2f}  {1e6 / row.ours_us:10,.0f}"
        )
    ours_s, theirs_s = measure_hostile()
    print(f"hostile hl7v2, {len(HOSTILE)} bytes, once: ours {ours_s:.3f} s, hl7.parse {theirs_s:.3f} s")


if __name__ == "__main__":
    main()
