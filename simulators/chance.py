"""Chance from a seed: the same numbers on any machine and Python version.

Law: every random number comes from a stream that is named by the seed and its purpose. Streams share
nothing, so a new use of chance never changes the numbers of an old one. The last digits of ``log`` differ
between C libraries, so each number is rounded far above them before anyone sees it.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from statistics import NormalDist
from typing import TypeVar

T = TypeVar("T")

_STANDARD_NORMAL = NormalDist()
_DIGITS = 9  # a double carries 15 to 17; libraries differ in the last one


class Chance:
    """One stream of random numbers."""

    def __init__(self, seed: int | str, *purpose: str | int) -> None:
        """Open the stream of ``purpose`` (words and numbers that name it) under ``seed``."""
        self.name = "/".join(str(part) for part in (seed, *purpose))
        digest = hashlib.sha256(self.name.encode()).digest()
        self._random = random.Random(int.from_bytes(digest[:16], "big"))  # an int seeds alike everywhere

    def branch(self, *purpose: str | int) -> Chance:
        """Return the stream of a purpose below this one; this stream does not move."""
        return Chance(self.name, *purpose)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Draw evenly from ``low`` to ``high``."""
        return round(low + (high - low) * self._random.random(), _DIGITS)

    def normal(self, mean: float = 0.0, sd: float = 1.0) -> float:
        """Draw from a normal distribution."""
        level = self._random.random()
        while level <= 0.0:
            level = self._random.random()
        return round(mean + sd * _STANDARD_NORMAL.inv_cdf(level), _DIGITS)

    def lognormal(self, median: float, log_sd: float) -> float:
        """Draw a positive number whose logarithm is normal with ``log_sd`` around ``median``."""
        return round(median * math.exp(self.normal(0.0, log_sd)), _DIGITS)

    def wait(self, mean: float) -> float:
        """Draw the time to the next occurrence of something that happens every ``mean`` on average."""
        return round(-mean * math.log(1.0 - self._random.random()), _DIGITS)

    def happens(self, probability: float) -> bool:
        """Say whether something of this probability happens."""
        return self._random.random() < probability

    def choose(self, items: Sequence[T]) -> T:
        """Draw one of ``items`` evenly."""
        return items[int(self._random.random() * len(items))]
