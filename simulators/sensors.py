"""What instruments make of the truth: finger oximeter, ECG, chest, thermometer.

Law: an instrument sees the truth only through its own weaknesses (averaging, rounding, its maker's bias,
movement, cold fingers, skin), and says so only where a real one would.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from simulators.chance import Chance
from simulators.patient import Truth


class Look(NamedTuple):
    """What one sensor sees at one time: values by metric, faults, and what it doubts."""

    values: Mapping[str, float | None]
    faults: tuple[str, ...] = ()
    doubted: tuple[str, ...] = ()


class Sensor(Protocol):
    """One instrument of a device."""

    metrics: tuple[str, ...]

    def look(self, truth: Truth, troubles: frozenset[str]) -> Look:
        """Measure; ``troubles`` are the names of what is wrong with the device just now."""
        ...


OXIMETER_METRICS = ("spo2", "pulse_rate")
NO_PULSE_PERFUSION = 0.1  # %; below this no pulse is found, and below 0.3 % it is hard (assumption)
LOW_PERFUSION = 0.3


@dataclass(slots=True)
class Oximeter:
    """A pulse oximeter.

    Args:
        chance: its own stream.
        averaging_s: 7 to 16 by make and setting (CLINICAL §5).
        bias: its maker's error at 97 %, in points; ±2 is the usual promise for one SD (CLINICAL §5).
        pigment: 0 to 1; dark skin makes it read high when the truth is low (CLINICAL §5, direction).
        artefacts: 1 loses the pulse 2 to 5 % of the time (CLINICAL §5, assumption); 0 never.
        missing: the number it sends for "no value"; ``None`` sends null.
        arm_inflated: says whether a cuff squeezes the same arm just now.
        perfusion_index: whether it reports one.
    """

    chance: Chance
    averaging_s: float = 8.0
    bias: float = 0.0
    pigment: float = 0.0
    artefacts: float = 1.0
    missing: float | None = None
    arm_inflated: Callable[[float], bool] | None = None
    perfusion_index: bool = False
    metrics: tuple[str, ...] = OXIMETER_METRICS
    _window: deque[tuple[float, float, float]] = field(default_factory=deque)
    _lost_until_s: float = -1e9
    _next_loss_s: float | None = None
    _stuck: Look | None = None

    def __post_init__(self) -> None:
        """Name the metrics."""
        if self.perfusion_index:
            self.metrics = (*self.metrics, "perfusion_index")

    def look(self, truth: Truth, troubles: frozenset[str]) -> Look:
        """Measure saturation and pulse."""
        if "stuck" in troubles and self._stuck is not None:
            return self._stuck
        fault = self._why_no_value(truth, troubles)
        if fault:
            self._window.clear()
            return Look(dict.fromkeys(self.metrics, self.missing), (fault,))
        spo2, pulse = self._average(truth, troubles)
        values: dict[str, float | None] = {"spo2": spo2, "pulse_rate": pulse}
        if "sentinel" in troubles:
            values = dict.fromkeys(values, -100)
        if self.perfusion_index:
            values["perfusion_index"] = round(truth.perfusion, 1)
        moving = truth.moving > 0.3 and self.artefacts > 0.0
        faults = [name for name in ("interference",) if name in troubles]
        faults += ["motion"] if moving else []
        faults += ["low_perfusion"] if truth.perfusion < LOW_PERFUSION or "low_perfusion" in troubles else []
        self._stuck = Look(values, tuple(faults), ("spo2", "pulse_rate") if faults else ())
        return self._stuck

    def _why_no_value(self, truth: Truth, troubles: frozenset[str]) -> str:
        """Return the fault that keeps it from measuring, or nothing."""
        for name in ("probe_off", "probe_fault", "searching", "standby"):
            if name in troubles:
                return name
        if self.arm_inflated is not None and self.arm_inflated(truth.at_s):
            return "searching"  # the cuff stops the pulse: 30 to 60 s without a value (CLINICAL §5)
        if truth.perfusion < NO_PULSE_PERFUSION:
            return "searching"
        return "searching" if self._pulse_lost(truth) else ""

    def _pulse_lost(self, truth: Truth) -> bool:
        """Say whether movement or ill luck hides the pulse: spells of some ten seconds."""
        if self.artefacts <= 0.0:
            return False
        if truth.at_s < self._lost_until_s:
            return True
        if self._next_loss_s is None:
            self._next_loss_s = truth.at_s + self.chance.wait(500.0 / self.artefacts)
        strong = truth.moving > 0.5 and self.chance.happens(0.25)
        if truth.at_s < self._next_loss_s and not strong:
            return False
        self._lost_until_s = truth.at_s + 3.0 + self.chance.wait(9.0)
        self._next_loss_s = self._lost_until_s + self.chance.wait(500.0 / self.artefacts)
        return True

    def _average(self, truth: Truth, troubles: frozenset[str]) -> tuple[int, int]:
        seen = truth.spo2 + self.bias * (1.0 + max(80.0 - truth.spo2, 0.0) / 20.0)
        seen += 0.15 * self.pigment * max(96.0 - truth.spo2, 0.0)
        pulse = truth.pulse_rate
        if truth.moving > 0.3 and self.artefacts > 0.0:
            seen -= 6.0 * truth.moving * self.chance.uniform()
            pulse += 25.0 * truth.moving * self.chance.normal()
        if "interference" in troubles:
            seen += 5.0 * self.chance.normal()
        pulse += 6.0 * truth.irregular * self.chance.normal()
        self._window.append((truth.at_s, seen, pulse))
        while self._window[0][0] <= truth.at_s - self.averaging_s:
            self._window.popleft()
        count = len(self._window)
        spo2 = round(sum(each[1] for each in self._window) / count, 6)
        rate = round(sum(each[2] for each in self._window) / count, 6)
        return min(round(spo2), 100), max(round(rate), 0)


@dataclass(slots=True)
class EcgRate:
    """Heart rate from an ECG, /min."""

    chance: Chance
    missing: float | None = None
    metrics: tuple[str, ...] = ("heart_rate",)

    def look(self, truth: Truth, troubles: frozenset[str]) -> Look:
        """Measure the heart rate."""
        if "lead_off" in troubles or "standby" in troubles:
            fault = "lead_off" if "lead_off" in troubles else "standby"
            return Look({"heart_rate": self.missing}, (fault,))
        rate = truth.heart_rate + 4.0 * truth.irregular * self.chance.normal()
        noisy = "ecg_noise" in troubles or truth.moving > 0.6
        if noisy:
            rate += abs(20.0 * self.chance.normal())  # extra peaks are counted as beats
        return Look(
            {"heart_rate": round(rate)}, ("ecg_noise",) if noisy else (), ("heart_rate",) if noisy else ()
        )


@dataclass(slots=True)
class Breathing:
    """Respiration rate by impedance, and end-tidal carbon dioxide where there is a cannula.

    Impedance counts the chest's work: a closed airway looks like breathing, the capnograph knows better.
    """

    chance: Chance
    capnograph: bool = False
    missing: float | None = None
    metrics: tuple[str, ...] = ("respiration_rate",)

    def __post_init__(self) -> None:
        """Name the metrics."""
        if self.capnograph:
            self.metrics = ("respiration_rate", "etco2")

    def look(self, truth: Truth, troubles: frozenset[str]) -> Look:
        """Measure breathing."""
        if "respiration_lost" in troubles or "standby" in troubles:
            return Look(dict.fromkeys(self.metrics, self.missing), ("respiration_lost",))
        rate = (
            round(max(truth.respiration_rate + 0.6 * self.chance.normal(), 0.0))
            if truth.respiration_rate
            else 0
        )
        values: dict[str, float | None] = {"respiration_rate": rate or None}
        faults: tuple[str, ...] = ()
        if self.capnograph:
            values["etco2"] = round(truth.etco2) or None
        if truth.moving > 0.6:
            faults = ("artefact",)
        return Look(values, faults, ("respiration_rate",) if faults else ())


@dataclass(slots=True)
class Thermometer:
    """Skin or ear temperature, °C."""

    chance: Chance
    bias: float = 0.0
    metrics: tuple[str, ...] = ("temperature",)

    def look(self, truth: Truth, troubles: frozenset[str]) -> Look:  # noqa: ARG002  one signature for all sensors
        """Measure the temperature."""
        return Look({"temperature": round(truth.temperature + self.bias + 0.05 * self.chance.normal(), 1)})
