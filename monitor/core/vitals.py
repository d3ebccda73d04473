"""What is measured: the metrics table, one observation, one report.

Law: a number that a device sent is either a value of a named metric in that metric's unit, or it is
"no value" with a reason. It is never changed, never guessed and never silently dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal, NamedTuple

Validity = Literal["valid", "questionable", "invalid"]
Mode = Literal["real", "drill"]
TimeSource = Literal["device", "gateway", "received"]

VALID: Validity = "valid"
QUESTIONABLE: Validity = "questionable"
INVALID: Validity = "invalid"


@dataclass(frozen=True, slots=True)
class Metric:
    """One kind of measurement, with its fixed unit, codes and gates.

    ``possible`` is what the instrument can mean at all; outside it a number is a sentinel or a fault and
    counts as no value. ``plausible`` is what a patient in a clinic can have; between the two the value is
    kept, still alarms, and is marked questionable (gates: CLINICAL §5). ``channel`` names the instrument:
    metrics of one channel fall silent together. Codes: CLINICAL §7.1.
    """

    name: str
    label: str
    unit: str
    mdc: int
    loinc: str
    possible: tuple[float, float]
    plausible: tuple[float, float]
    channel: str
    decimals: int = 0
    sentinels: frozenset[float] = frozenset()
    aperiodic: bool = False


# 127 and 0x1FF are the "no reading" numbers of serial oximeters, 0xFF that of one-byte fields
# (shared data README; Nonin and Contec serial formats). A cuff may truly read 127 or 255.
_RATE_SENTINELS = frozenset({255.0, 511.0})


def _rate(name: str, label: str, mdc: int, loinc: str, channel: str, *, aperiodic: bool = False) -> Metric:
    return Metric(
        name, label, "/min", mdc, loinc, (10, 350), (25, 220), channel, 0, _RATE_SENTINELS, aperiodic
    )


def _cuff(name: str, label: str, mdc: int, loinc: str, plausible: tuple[float, float]) -> Metric:
    return Metric(name, label, "mm[Hg]", mdc, loinc, (10, 300), plausible, "cuff", aperiodic=True)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _rate("heart_rate", "heart rate", 147842, "8867-4", "ecg"),
        _rate("pulse_rate", "pulse rate", 149530, "8889-8", "oximeter"),
        Metric("spo2", "SpO2", "%", 150456, "59408-5", (10, 100), (50, 100), "oximeter"),
        _cuff("nibp_systolic", "systolic", 150021, "8480-6", (50, 260)),
        _cuff("nibp_diastolic", "diastolic", 150022, "8462-4", (25, 180)),
        _cuff("nibp_mean", "mean pressure", 150023, "8478-0", (30, 215)),
        _rate("nibp_pulse_rate", "cuff pulse", 149546, "8867-4", "cuff", aperiodic=True),
        Metric("respiration_rate", "respiration", "/min", 151562, "9279-1", (1, 150), (3, 60), "respiration"),
        Metric("etco2", "end-tidal CO2", "mm[Hg]", 151708, "19891-1", (1, 150), (10, 100), "capnograph"),
        Metric("temperature", "temperature", "Cel", 150344, "8310-5", (20, 46), (30, 43), "thermometer", 1),
        Metric(
            "perfusion_index", "perfusion index", "%", 150488, "61006-3", (0, 30), (0.02, 20), "oximeter", 1
        ),
    )
}

PRESSURES = ("nibp_systolic", "nibp_diastolic", "nibp_mean")


@dataclass(frozen=True, slots=True)
class Fault:
    """A device's word for something wrong with itself.

    ``channel`` is the instrument it concerns (empty: the whole device); ``blocks`` says that no value of
    that channel can be trusted while it lasts, otherwise it only lowers the quality.
    """

    name: str
    text: str
    channel: str
    blocks: bool


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("probe_off", "SpO2 probe off", "oximeter", True),
        Fault("probe_fault", "SpO2 probe faulty", "oximeter", True),
        Fault("searching", "oximeter searching for a pulse", "oximeter", True),
        Fault("low_perfusion", "low perfusion at the SpO2 probe", "oximeter", False),
        Fault("motion", "motion at the SpO2 probe", "oximeter", False),
        Fault("interference", "interference at the SpO2 probe", "oximeter", False),
        Fault("lead_off", "ECG lead off", "ecg", True),
        Fault("ecg_noise", "ECG noise", "ecg", False),
        Fault("cuff_leak", "cuff leak or loose cuff", "cuff", True),
        Fault("cuff_error", "cuff measurement failed", "cuff", True),
        Fault("cuff_inflating", "cuff inflating", "cuff", False),
        Fault("cuff_motion", "motion during the cuff measurement", "cuff", False),
        Fault("respiration_lost", "respiration not measurable", "respiration", True),
        Fault("capnograph_fault", "capnograph not measuring", "capnograph", True),
        Fault("artefact", "artefact reported by the device", "", False),
        Fault("battery_low", "device battery low", "", False),
        Fault("clock_unset", "device clock not set or not synchronised", "", False),
        Fault("standby", "device in standby", "", True),
        Fault("device_fault", "device reports a fault", "", True),
    )
}


class Observation(NamedTuple):
    """One value of one metric at one time.

    ``value`` is in the metric's unit, or ``None`` for "no value". ``measured_at`` is set only when the
    observation has a time of its own, other than its report's (a cuff value repeated in later messages).
    """

    metric: str
    value: float | None
    validity: Validity = VALID
    reason: str = ""
    measured_at: datetime | None = None


class Report(NamedTuple):
    """One message of one device, decoded.

    Instants are aware UTC: ``measured_at`` by the device's clock (``None``: it sent none, or none that can
    be read; ``received_at`` stands in), ``gateway_at`` by a gateway's, ``received_at`` by ours.
    ``boot_id`` and ``sequence`` identify the message where the device counts. ``faults`` are names of
    ``FAULTS``; ``None`` means that this message says nothing about faults (a present empty tuple clears
    them). ``online`` is set by presence messages alone. ``notes`` say what was ignored or converted.
    """

    device_id: str
    received_at: datetime
    measured_at: datetime | None = None
    observations: tuple[Observation, ...] = ()
    faults: tuple[str, ...] | None = None
    boot_id: str | None = None
    sequence: int | None = None
    mode: Mode = "real"
    retained: bool = False
    gateway_at: datetime | None = None
    online: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def at(self) -> datetime:
        """Return when it was measured, as far as anyone said."""
        return self.measured_at or self.gateway_at or self.received_at

    @property
    def time_source(self) -> TimeSource:
        """Return whose clock ``at`` comes from."""
        if self.measured_at is not None:
            return "device"
        return "gateway" if self.gateway_at is not None else "received"


@lru_cache(maxsize=8192)  # the same few values come every second, and an observation never changes
def screen(metric_name: str, number: float | None, reason: str = "") -> Observation:
    """Judge one number as it came from a device.

    Args:
        metric_name: a name of ``METRICS``.
        number: the number in the metric's unit, or ``None`` when the device said "no value".
        reason: what is known already (a conversion, the device's own words); kept in front.

    Returns:
        An observation whose value is ``None`` when the number is a sentinel or outside what the
        instrument can mean, and questionable when it is outside the plausibility gates of CLINICAL §5.
        Negative numbers and zero are "no value" in every source seen (CLINICAL §5, shared data README);
        only a perfusion index may be zero.
    """
    metric = METRICS[metric_name]
    if number is None:
        return Observation(metric_name, None, INVALID, reason or "no value")
    low, high = metric.possible
    if low <= number <= high and number not in metric.sentinels:
        value = float(number)
        if metric.plausible[0] <= value <= metric.plausible[1]:
            return Observation(metric_name, value, VALID, reason)
        gates = f"outside {metric.plausible[0]:g} to {metric.plausible[1]:g} {metric.unit}"
        return Observation(metric_name, value, QUESTIONABLE, _join(reason, gates))
    return Observation(metric_name, None, INVALID, _join(reason, _why_no_value(metric, number)))


def _why_no_value(metric: Metric, number: float) -> str:
    if number != number or abs(number) > 1e12:  # also keeps absurd integers away from float formatting
        return "not a finite number: no value"
    if number in metric.sentinels:
        return f"{number:g} is a device's sign for no value"
    if number <= 0:
        return f"{number + 0:g} is a device's sign for no value"  # + 0: no minus before a zero
    low, high = metric.possible
    return f"{number:g} {metric.unit} is not possible (possible: {low:g} to {high:g})"


def screen_pressures(observations: tuple[Observation, ...]) -> tuple[Observation, ...]:
    """Judge systolic, diastolic and mean of one cuff measurement together.

    Systolic not above diastolic is impossible: both become "no value". A pulse pressure under 10 mmHg,
    or a mean outside the two, is questionable (CLINICAL §5). Other observations pass unchanged.
    """
    pressure = {o.metric: o.value for o in observations if o.metric in PRESSURES and o.value is not None}
    systolic, diastolic = pressure.get("nibp_systolic"), pressure.get("nibp_diastolic")
    if systolic is None or diastolic is None:
        return observations
    mean = pressure.get("nibp_mean")
    if systolic <= diastolic:
        why = f"systolic {systolic:g} not above diastolic {diastolic:g}: impossible"
        return tuple(
            o._replace(value=None, validity=INVALID, reason=_join(o.reason, why))
            if o.metric in pressure
            else o
            for o in observations
        )
    doubted: dict[str, str] = {}
    if systolic - diastolic < 10:
        why = f"pulse pressure {systolic - diastolic:g} mm[Hg] is under 10"
        doubted = {"nibp_systolic": why, "nibp_diastolic": why}
    if mean is not None and not diastolic <= mean <= systolic:
        doubted["nibp_mean"] = f"mean {mean:g} is not between {diastolic:g} and {systolic:g}"
    if not doubted:
        return observations
    return tuple(
        o._replace(validity=QUESTIONABLE, reason=_join(o.reason, doubted[o.metric]))
        if o.metric in doubted
        else o
        for o in observations
    )


def _join(first: str, second: str) -> str:
    return f"{first}; {second}" if first else second
