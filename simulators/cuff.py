"""The cyclic cuff: when it measures, how long it takes, and what it makes of the pressure.

Law: a cuff measures seldom and late. The monitor's own cycle is not the protocol's clock, AUTO is off when
the power comes on, and a reading may fail, repeat or be plainly wrong (CLINICAL §5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from simulators.chance import Chance
from simulators.patient import Truth

LOWEST_RATE, HIGHEST_RATE = 40.0, 240.0  # oscillometry cannot follow outside (CLINICAL §5)
SETTLE_S = 30.0  # rest between two measurements
RETRIES = 2
CUFF_METRICS = ("nibp_systolic", "nibp_diastolic", "nibp_mean", "nibp_pulse_rate")


class CuffResult(NamedTuple):
    """One finished measurement: values by metric (empty when it failed), or the fault."""

    values: Mapping[str, float | None]
    fault: str = ""


@dataclass(slots=True)
class Cuff:
    """An oscillometric cuff.

    Args:
        chance: its own stream.
        interval_s: AUTO interval; multiples of five minutes snap to the clock (CLINICAL §5, Spacelabs).
        bias_systolic, bias_diastolic: the maker's error, mmHg; passing devices differ by -4.8 to +6.2.
        noise: 1 is a usual cuff's random error, 0 is a perfect one.
        artefacts: 1 fails or repeats in 3 to 8 % and errs grossly in 0.5 to 1 % (CLINICAL §5); 0 never.
        auto: whether AUTO is on.
        clock_offset_s: the device's clock at session second 0, seconds past a full five minutes.
        repeat_above: systolic and diastolic at and above which it repeats at once, as a nurse would.
        at_s: fixed times at which a person starts it, besides AUTO.
    """

    chance: Chance
    interval_s: float = 300.0
    bias_systolic: float = 0.0
    bias_diastolic: float = 0.0
    noise: float = 1.0
    artefacts: float = 1.0
    auto: bool = True
    clock_offset_s: float = 0.0
    repeat_above: tuple[float, float] | None = None
    at_s: list[float] = field(default_factory=list)
    sends_pulse: bool = True
    announces: bool = False  # says `cuff_inflating` when it begins
    outlier_by: float = 0.0  # mmHg that an outlier reads too high; 0 draws it
    swapped_by: float = 0.0  # mmHg that another make, put in its place, reads higher
    metrics: tuple[str, ...] = CUFF_METRICS
    planned: list[tuple[float, float]] = field(default_factory=list)  # at_s, interval_s: a change of interval
    _inflated: tuple[float, float] = (-1e9, -1e9)
    _retries: int = 0
    _repeated: bool = False

    @property
    def busy_until_s(self) -> float | None:
        """Return when the measurement that runs will end, if one does."""
        return self._inflated[1] if self._inflated[1] > self._inflated[0] else None

    def inflated(self, now_s: float) -> bool:
        """Say whether the cuff squeezes the arm at ``now_s``."""
        return self._inflated[0] <= now_s <= self._inflated[1]

    def next_start_s(self, after_s: float) -> float:
        """Return when the next measurement begins, later than ``after_s``; infinity when AUTO is off."""
        asked = min((at for at in self.at_s if at > after_s), default=float("inf"))
        return min(asked, self._next_auto_s(after_s))

    def _next_auto_s(self, after_s: float) -> float:
        if not self.auto:
            return float("inf")
        interval = self.interval_at(after_s)
        origin = -self.clock_offset_s if interval % 300.0 == 0.0 else 0.0
        # A hair later than now: of two ways to write one instant, floats may take the earlier for "not yet".
        count = (after_s + 1e-3 - origin) // interval + 1
        due = round(origin + count * interval, 6)
        return min((at for at, _ in self.planned if after_s < at <= due), default=due)

    def interval_at(self, now_s: float) -> float:
        """Return the AUTO interval in force, seconds."""
        interval = self.interval_s
        for at, planned in self.planned:
            if at <= now_s:
                interval = planned
        return interval

    def start(self, truth: Truth) -> float:
        """Begin a measurement; return when it will end.

        Twenty to forty-five seconds as usual; movement and a high pressure make it longer (CLINICAL §5).
        """
        length = 20.0 + max(truth.systolic - 100.0, 0.0) * 0.08 + self.chance.uniform(0.0, 12.0)
        if truth.moving > 0.3:
            length += 25.0
        self._inflated = (truth.at_s, round(truth.at_s + length, 3))
        return self._inflated[1]

    def abort(self) -> None:
        """Let the air out: no measurement runs any more."""
        self._inflated = (self._inflated[0], self._inflated[0])

    def finish(self, truth: Truth, troubles: frozenset[str]) -> CuffResult:
        """End the measurement that runs."""
        self.abort()
        fault = self._why_failed(truth, troubles)
        if fault:
            if self._retries < RETRIES:
                self._retries += 1
                self.at_s.append(round(truth.at_s + 5.0, 3))
            else:
                self._retries = 0
            return CuffResult({}, fault)
        self._retries = 0
        result = self._measure(truth, troubles)
        self._repeat_if_high(result, truth.at_s)
        return result

    def _why_failed(self, truth: Truth, troubles: frozenset[str]) -> str:
        for name in ("cuff_leak", "cuff_error", "standby"):
            if name in troubles:
                return name
        if not LOWEST_RATE <= truth.pulse_rate <= HIGHEST_RATE:
            return "cuff_error"
        chance = 0.04 + 0.5 * max(truth.moving - 0.3, 0.0) + 0.2 * truth.irregular
        return "cuff_error" if self.chance.happens(self.artefacts * chance) else ""

    def _measure(self, truth: Truth, troubles: frozenset[str]) -> CuffResult:
        """Read the mean as the instrument does, and derive the others from it.

        Random errors within a passing device, SD 3.5 and 2.8 mmHg (the standard allows 8); a cuff that is
        too small reads high, by 2 to 11 mmHg in the literature.
        """
        common = self.chance.normal()
        wide = 12.0 if "wrong_cuff" in troubles else 0.0
        extra = 1.0 + 1.5 * truth.irregular
        systolic = (
            truth.systolic + self.bias_systolic + self.swapped_by + wide + 3.5 * self.noise * extra * common
        )
        diastolic = truth.diastolic + self.bias_diastolic + 0.6 * (self.swapped_by + wide)
        diastolic += 2.8 * self.noise * extra * (0.5 * common + 0.866 * self.chance.normal())
        gross = self.chance.happens(0.0075 * self.artefacts) or "outlier" in troubles
        if gross:
            shift = self.chance.uniform(45.0, 90.0)
            shift = self.outlier_by or shift
            systolic, diastolic = systolic + shift, diastolic + 0.7 * shift
        systolic, diastolic = round(systolic, 6), round(min(diastolic, systolic - 10.0), 6)
        mean = diastolic + 0.36 * (systolic - diastolic)
        values: dict[str, float | None] = {
            "nibp_systolic": round(systolic),
            "nibp_diastolic": round(diastolic),
            "nibp_mean": round(mean),
        }
        if self.sends_pulse:
            values["nibp_pulse_rate"] = round(truth.pulse_rate + 1.5 * self.noise * self.chance.normal())
        return CuffResult(values)

    def _repeat_if_high(self, result: CuffResult, now_s: float) -> None:
        """Measure once more when the reading is high, as staff do; a repeat is not repeated."""
        if self.repeat_above is None:
            return
        systolic, diastolic = result.values["nibp_systolic"], result.values["nibp_diastolic"]
        high = (systolic or 0) >= self.repeat_above[0] or (diastolic or 0) >= self.repeat_above[1]
        self._repeated = high and not self._repeated
        if self._repeated:
            self.at_s.append(round(now_s + SETTLE_S, 3))
