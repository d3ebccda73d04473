"""Fit the stimulation of ``simulators/effect.py`` to four published figures at once, on a population.

Run: ``python -m bench.ward.fit_pressure [TURNS]`` (two minutes). Prints the parameters and what they give
beside the targets. Yale's 40 min by vein and the nasal trials' 40 and 90 min weigh most, then cardiac output
at 320 ng/mL (Sigtermans 2009) and the highest mean pressure at 1959 ng/mL (Långsjö 2005); the other minutes
hold the shape. The drug levels do not depend on what is fitted and are computed once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np

from bench.ward.published import STEP_MIN, held
from simulators import effect
from simulators.effect import STIMULATION, SYSTOLIC_PER_MEAN, Drive, Response, step
from simulators.pharmacology import DrugInBody, Levels
from simulators.plan import doses_of
from simulators.population import ManySubjects
from simulators.subject import draw_subject

COUNT = 80
RESTING = 122.0  # mmHg systolic of a typical patient
FRIGHT = 1.2  # mmHg, mean of subject.py's anxiety, which a change from baseline loses
# minute: (target mmHg, how far it may miss)
IV = {
    10: (5, 2.0),
    20: (10, 2.0),
    40: (16, 0.4),
    60: (5, 2.5),
    80: (1.5, 1.2),
    90: (0.3, 0.8),
    120: (-0.5, 0.8),
}
NOSE = {20: (9, 3.0), 30: (10, 1.5), 40: (9.6, 0.4), 60: (6, 1.5), 90: (1.8, 0.6), 120: (0, 0.8)}


def levels(protocol: str, sprays: int = 2) -> list[Levels]:
    """Return the levels of the population at each step of two hours."""
    subject = draw_subject(ManySubjects(1, COUNT))
    drug = DrugInBody(subject.body, doses_of(protocol, subject.weight_kg, sprays))
    return [drug.advance(round((at + 1) * STEP_MIN, 9)) for at in range(int(120 / STEP_MIN))]


def stimulations(response: Response, given: Sequence[Levels]) -> np.ndarray:
    """Return the stimulation at each step: steps × subjects."""
    drive, found = Drive(), []
    for level in given:
        drive, now = step(response, drive, level, STEP_MIN)
        found.append(np.broadcast_to(now, np.shape(level.ketamine) or (1,)))
    return np.array(found)


def rise(stimulation: np.ndarray, dilation: float) -> np.ndarray:
    """Return the rise of mean pressure as a share of itself."""
    return (1.0 + stimulation) / (1.0 + dilation * stimulation) - 1.0


def changes(response: Response, dilation: float, given: Sequence[Levels]) -> np.ndarray:
    """Return the mean change of systolic pressure at each step, mmHg."""
    minutes = STEP_MIN * (1 + np.arange(len(given)))
    found: np.ndarray = (
        RESTING * SYSTOLIC_PER_MEAN * rise(stimulations(response, given), dilation).mean(axis=1)
    )
    return found - FRIGHT * (1.0 - np.exp(-minutes / 15.0))


def response_of(logs: np.ndarray) -> tuple[Response, float]:
    """Return a response and the dilation from the seven numbers that are fitted."""
    top, half, onset, adapting, opposing = np.exp(logs[:5])
    return Response(top, half, onset, adapting, 1.0 / (1.0 + np.exp(-logs[5])), opposing), float(
        np.exp(logs[6])
    )


def nelder_mead(cost: Callable[[np.ndarray], float], start: np.ndarray, turns: int) -> np.ndarray:
    """Return the place of the least cost (Nelder and Mead 1965, plain)."""
    simplex = [start] + [start + 0.25 * np.eye(len(start))[i] for i in range(len(start))]
    costs = [cost(point) for point in simplex]
    for _ in range(turns):
        order = np.argsort(costs)
        simplex, costs = [simplex[i] for i in order], [costs[i] for i in order]
        middle = np.mean(simplex[:-1], axis=0)
        mirrored = middle + (middle - simplex[-1])
        value = cost(mirrored)
        if value < costs[0]:
            further = middle + 2.0 * (middle - simplex[-1])
            better = cost(further)
            simplex[-1], costs[-1] = (further, better) if better < value else (mirrored, value)
        elif value < costs[-2]:
            simplex[-1], costs[-1] = mirrored, value
        else:
            nearer = middle + 0.5 * (simplex[-1] - middle)
            value = cost(nearer)
            if value < costs[-1]:
                simplex[-1], costs[-1] = nearer, value
            else:
                simplex = [simplex[0]] + [simplex[0] + 0.5 * (point - simplex[0]) for point in simplex[1:]]
                costs = [costs[0]] + [cost(point) for point in simplex[1:]]
    return simplex[int(np.argmin(costs))]


def main() -> int:
    iv, two, three = levels("iv-ketamine"), levels("in-esketamine", 2), levels("in-esketamine", 3)
    ramp = held(lambda minute: 40.0 * min(1 + minute // 15, 8), 120)
    deep = held(lambda minute: 159.0 if minute <= 40 else 1959.0, 80)

    def found(logs: np.ndarray) -> list[tuple[str, float, float, float]]:
        response, dilation = response_of(logs)
        nose = 0.5 * (changes(response, dilation, two) + changes(response, dilation, three))
        rows = []
        for name, targets, curve in (("iv", IV, changes(response, dilation, iv)), ("nose", NOSE, nose)):
            for minute, (target, width) in targets.items():
                rows.append((f"{name} {minute} min, mmHg", target, width, curve[int(minute / STEP_MIN) - 1]))
        output = 100 * stimulations(response, ramp)[-1].item()
        highest = 100 * rise(stimulations(response, deep), dilation).max()
        return [*rows, ("output at 320, %", 45.0, 4.0, output), ("pressure at 1959, %", 27.0, 3.0, highest)]

    def cost(logs: np.ndarray) -> float:
        total = sum(((value - target) / width) ** 2 for _, target, width, value in found(logs))
        return float(total + (np.log(np.exp(logs[2]) / 0.238) / 0.1) ** 2)  # ke0, 0.20 to 0.28

    p = STIMULATION
    numbers = (p.top, p.half_level, p.onset_per_min, p.adapting_per_min, p.opposing_level)
    start = np.array(
        [*np.log(numbers), np.log(p.adapted_share / (1 - p.adapted_share)), np.log(effect.DILATION)]
    )
    best = start
    for _ in range(2):
        best = nelder_mead(cost, best, int(sys.argv[1]) if len(sys.argv) > 1 else 120)
    print("cost before", round(cost(start), 2), "after", round(cost(best), 2))
    print(*response_of(best))
    for name, target, _, value in found(best):
        print(f"{name:22} target {target:5.1f}  found {value:5.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
