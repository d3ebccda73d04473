"""From dose to drug level to pressure: ketamine by vein or muscle, esketamine by nose.

Law: the mechanism is modelled and the published numbers come out; no curve is drawn by hand. Levels are of
S-ketamine, because S- and not R-ketamine raises cardiac output, and its metabolite opposes it (Kamp 2021).
Every number names its source. The equations use nothing but arithmetic, so that one float or a numpy array
of ten thousand subjects runs through the same lines.

Models: Clements & Nimmo two compartments for vein and muscle, Perez-Ruixo for the nose (CLINICAL §4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Route = Literal["iv", "im", "nasal"]
Number = Any  # a float, or a numpy array with one float for each subject
State = tuple[Number, ...]

NG_PER_ML = 1000.0  # one mg/L is 1000 ng/mL
MINUTES_PER_HOUR = 60.0
STEP_MIN = 0.25  # fastest rate below is about 0.1 /min: the fourth-order error is under 1e-8 of the level


@dataclass(frozen=True, slots=True)
class Dose:
    """One dose as it is given.

    ``amount_mg`` is of the drug in the syringe: racemate by vein or muscle unless ``s_fraction`` is 1,
    esketamine by nose (one spray device of 28 mg is one dose). ``over_min`` is the length of an infusion.
    """

    at_min: float
    amount_mg: Number
    route: Route
    over_min: float = 0.0
    s_fraction: float = 0.5


class Flow(NamedTuple):
    """Drug entering a compartment at a constant rate for a time, in mg of S-ketamine a minute."""

    from_min: float
    to_min: float
    rate_mg_per_min: Number


def infusion(
    dose: Dose, pauses: Sequence[tuple[float, float]] = (), stop_min: float | None = None
) -> list[Flow]:
    """Return what a pump delivers of ``dose``: a pause holds the rest back, a stop discards it.

    Args:
        dose: an intravenous dose; one with ``over_min`` 0 is pushed over half a minute.
        pauses: from and to of each pause, minutes on the clock of ``dose.at_min``, in order.
        stop_min: when the pump was stopped for good, if it was.
    """
    length = dose.over_min or 0.5
    rate = dose.amount_mg * dose.s_fraction / length
    flows: list[Flow] = []
    begin, left = dose.at_min, length
    for pause_from, pause_to in [*pauses, (float("inf"), float("inf"))]:
        end = min(begin + left, pause_from, float("inf") if stop_min is None else stop_min)
        if end > begin:
            flows.append(Flow(begin, end, rate))
            left -= end - begin
        if left <= 1e-9 or (stop_min is not None and stop_min <= pause_from):
            break
        begin = max(begin, pause_to)
    return flows


@dataclass(frozen=True, slots=True)
class Disposition:
    """Where the drug goes in one subject: volumes in L, clearances in L/min, rates per minute.

    By vein and muscle: Clements & Nimmo 1981 (250 µg/kg; CLINICAL §4.1), muscle with 93 % taken up at
    0.1 /min (CLINICAL §4.2). By nose: Perez-Ruixo 2021, as in nlmixr2lib PerezRuixo_2020_esketamine.R.
    """

    # Clements & Nimmo, per kg of body weight.
    weight_kg: Number = 70.0
    clements_v1_l_per_kg: Number = 1.7522
    clements_k10: Number = 0.0109
    clements_k12: Number = 0.0186
    clements_k21: Number = 0.0137
    im_fraction: Number = 0.93
    im_ka: Number = 0.1
    # Perez-Ruixo; rates in the paper are per hour.
    nose_fraction: Number = 0.54
    later_spray: Number = 0.62  # the nose takes less of the second and later devices
    nose_ka: Number = 2.93 / MINUTES_PER_HOUR
    gut_fraction: Number = 0.64
    gut_release_min: float = 0.53 * MINUTES_PER_HOUR
    gut_ka: Number = 1.45 / MINUTES_PER_HOUR
    vc: Number = 192.0
    q1: Number = 84.3 / MINUTES_PER_HOUR
    vp1: Number = 143.0
    q2: Number = 37.6 / MINUTES_PER_HOUR
    vp2: Number = 417.0
    qh: Number = 151.0 / MINUTES_PER_HOUR
    vh: Number = 101.0
    kel: Number = 1.11 / MINUTES_PER_HOUR
    kmet: Number = 2.77 / MINUTES_PER_HOUR
    # S-norketamine, apparent (Perez-Ruixo); used for all routes.
    nor_vc: Number = 70.0
    nor_cl: Number = 38.0 / MINUTES_PER_HOUR
    nor_vp: Number = 115.0
    nor_q: Number = 26.1 / MINUTES_PER_HOUR

    @property
    def to_norketamine(self) -> Number:
        """Return the share of eliminated S-ketamine that becomes circulating S-norketamine."""
        return self.kmet / (self.kmet + self.kel)


# Compartments of the state, amounts in mg. Vein and muscle use the Clements pair, the nose the others;
# both may hold drug at once (a patient may get both), and both feed the same norketamine.
COMPARTMENTS = (
    "muscle",
    "central",
    "deep",
    "nose",
    "gut",
    "plasma",
    "shallow",
    "slow",
    "liver",
    "nor",
    "nor_deep",
)
EMPTY: State = (0.0,) * len(COMPARTMENTS)
_INDEX = {name: place for place, name in enumerate(COMPARTMENTS)}


def flow_rates(body: Disposition, state: State, to_central: Number, to_gut: Number) -> State:
    """Return the rate of change of each compartment, mg/min.

    Args:
        body: the subject's disposition.
        state: amounts in mg, one for each of ``COMPARTMENTS``.
        to_central: infusion into the vein, mg of S-ketamine a minute.
        to_gut: release of what was swallowed into the gut, mg a minute.
    """
    muscle, central, deep, nose, gut, plasma, shallow, slow, liver, nor, nor_deep = state
    absorbed = body.im_ka * muscle
    out, into = body.clements_k12 * central, body.clements_k21 * deep
    cleared = body.clements_k10 * central
    sprayed, swallowed = body.nose_ka * nose, body.gut_ka * gut
    exchange_1 = body.q1 * (plasma / body.vc - shallow / body.vp1)
    exchange_2 = body.q2 * (plasma / body.vc - slow / body.vp2)
    exchange_h = body.qh * (plasma / body.vc - liver / body.vh)
    made = body.kmet * liver + body.to_norketamine * cleared
    exchange_n = body.nor_q * (nor / body.nor_vc - nor_deep / body.nor_vp)
    return (
        -absorbed,
        to_central + absorbed - out + into - cleared,
        out - into,
        -sprayed,
        to_gut - swallowed,
        sprayed - exchange_1 - exchange_2 - exchange_h,
        exchange_1,
        exchange_2,
        swallowed + exchange_h - (body.kel + body.kmet) * liver,
        made - exchange_n - body.nor_cl * nor / body.nor_vc,
        exchange_n,
    )


def runge_kutta(rates: Callable[[State], State], state: State, step_min: float) -> State:
    """Take one fourth-order step of ``step_min``; inputs must be constant over it."""
    half = 0.5 * step_min
    k1 = rates(state)
    k2 = rates(tuple(x + half * k for x, k in zip(state, k1, strict=True)))
    k3 = rates(tuple(x + half * k for x, k in zip(state, k2, strict=True)))
    k4 = rates(tuple(x + step_min * k for x, k in zip(state, k3, strict=True)))
    sixth = step_min / 6.0
    return tuple(
        x + sixth * (a + 2 * (b + c) + d) for x, a, b, c, d in zip(state, k1, k2, k3, k4, strict=True)
    )


class Levels(NamedTuple):
    """Plasma levels at one time, ng/mL: S-ketamine and S-norketamine."""

    ketamine: Number
    norketamine: Number


class DrugInBody:
    """The drug in one subject (or an array of them), minute by minute.

    Doses may be added, the pump paused and stopped at any time that is not yet past.
    """

    def __init__(self, body: Disposition, doses: Sequence[Dose] = ()) -> None:
        """Start at minute 0 with nothing in the body."""
        self.body = body
        self.now_min = 0.0
        self.state: State = EMPTY
        self._pending: list[Dose] = []
        self._sprays = 0
        self._vein: list[Flow] = []
        self._gut: list[Flow] = []
        for dose in doses:
            self.give(dose)

    def give(self, dose: Dose) -> None:
        """Plan a dose; its time must not be past."""
        if dose.at_min < self.now_min:
            raise ValueError(f"a dose at {dose.at_min:g} min is in the past (now {self.now_min:g} min)")
        if dose.route == "iv":
            self._vein += infusion(dose)
        else:
            self._pending.append(dose)
            self._pending.sort(key=lambda each: each.at_min)

    def pause(self, from_min: float, to_min: float) -> None:
        """Hold the pump between two times; what was left is given afterwards."""
        shifted: list[Flow] = []
        for flow in self._vein:
            if flow.to_min <= from_min:
                shifted.append(flow)
            elif flow.from_min >= from_min:
                shifted.append(_later(flow, to_min - from_min))
            else:
                shifted.append(flow._replace(to_min=from_min))
                shifted.append(_later(flow._replace(from_min=from_min), to_min - from_min))
        self._vein = shifted

    def stop(self, at_min: float) -> None:
        """Stop the pump for good."""
        self._vein = [
            flow._replace(to_min=min(flow.to_min, at_min)) for flow in self._vein if flow.from_min < at_min
        ]

    def advance(self, to_min: float) -> Levels:
        """Carry the drug on to ``to_min`` and return the levels there."""
        while self.now_min < to_min - 1e-9:
            self._take_up()
            step = min(STEP_MIN, to_min - self.now_min, self._until_change())
            vein, gut = _rate(self._vein, self.now_min), _rate(self._gut, self.now_min)
            self.state = runge_kutta(lambda state: flow_rates(self.body, state, vein, gut), self.state, step)  # noqa: B023
            self.now_min = round(self.now_min + step, 9)
        self._take_up()
        return self.levels()

    def levels(self) -> Levels:
        """Return the plasma levels now."""
        body, state = self.body, self.state
        clements = state[_INDEX["central"]] / (body.clements_v1_l_per_kg * body.weight_kg)
        nose = state[_INDEX["plasma"]] / body.vc
        return Levels((clements + nose) * NG_PER_ML, state[_INDEX["nor"]] / body.nor_vc * NG_PER_ML)

    def _take_up(self) -> None:
        while self._pending and self._pending[0].at_min <= self.now_min + 1e-9:
            dose = self._pending.pop(0)
            if dose.route == "im":
                self._add("muscle", dose.amount_mg * dose.s_fraction * self.body.im_fraction)
            else:
                self._spray(dose)

    def _spray(self, dose: Dose) -> None:
        share = self.body.nose_fraction * (self.body.later_spray if self._sprays else 1.0)
        self._sprays += 1
        self._add("nose", dose.amount_mg * share)
        swallowed = dose.amount_mg * (1.0 - share) * self.body.gut_fraction
        length = self.body.gut_release_min
        self._gut.append(Flow(dose.at_min, dose.at_min + length, swallowed / length))

    def _add(self, compartment: str, amount_mg: Number) -> None:
        place = _INDEX[compartment]
        self.state = (*self.state[:place], self.state[place] + amount_mg, *self.state[place + 1 :])

    def _until_change(self) -> float:
        edges = [edge for flow in self._vein + self._gut for edge in (flow.from_min, flow.to_min)]
        edges += [dose.at_min for dose in self._pending]
        return min((edge - self.now_min for edge in edges if edge > self.now_min + 1e-9), default=STEP_MIN)


def _later(flow: Flow, by_min: float) -> Flow:
    return flow._replace(from_min=flow.from_min + by_min, to_min=flow.to_min + by_min)


def _rate(flows: Sequence[Flow], at_min: float) -> Number:
    return sum((flow.rate_mg_per_min for flow in flows if flow.from_min <= at_min + 1e-9 < flow.to_min), 0.0)
