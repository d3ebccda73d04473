"""Real recordings through the core: no crash, no alarm on a sentinel, every alarm explained.

The truth is derived here from the files alone, with nothing of the core's; the recordings stay in place.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from monitor.core import inputs as given
from monitor.core.bed import advance
from monitor.core.device import DeviceProfile
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Protocol
from monitor.core.turn import Bed
from monitor.core.vitals import METRICS, Report, screen, screen_pressures
from tests.core.scene import NOON, protocol

URGENT = "spo2-low-urgent"


class Row(NamedTuple):
    """One row of a recording: seconds since its start, raw numbers by metric."""

    t: float
    raw: dict[str, float | None]


def rows_of(path: Path) -> Iterator[list[str]]:
    """Yield the rows of a gzipped CSV file."""
    with gzip.open(path, "rt", newline="") as file:
        yield from csv.reader(file)


def play(
    rows: Iterable[Row], of: Protocol, interval_s: float, metrics: tuple[str, ...], **start: object
) -> tuple[Bed, list[Outcome]]:
    """Play a recording as a device would report it, screened like any payload."""
    bed, told = Bed("bed-1"), []

    def give(one: given.Input, now: datetime) -> None:
        nonlocal bed
        bed, outcomes = advance(bed, one, now)
        told.extend(outcomes)

    give(given.Associate(DeviceProfile("recorder", metrics, interval_s)), NOON)
    give(given.StartSession("s1", "P", of, "nurse", **start), NOON)  # type: ignore[arg-type]
    for row in rows:
        now = NOON + timedelta(seconds=row.t)
        found = screen_pressures(tuple(screen(metric, number) for metric, number in row.raw.items()))
        give(given.Observe(Report("recorder", now, now, found)), now)
    return bed, told


def runs_below(
    rows: list[Row], limit: float, least_s: float, break_s: float, last_s: float = 0.0
) -> list[tuple[float, float, float]]:
    """Return (start, end, nadir) of runs of true values below a limit for at least ``least_s`` seconds.

    A hole longer than ``break_s`` ends a run: what happened in it is not known. ``last_s`` is what the last
    row stands for.
    """
    runs: list[tuple[float, float, float]] = []
    current: list[Row] = []
    for row in [*rows, Row(float("inf"), {"spo2": 99.0})]:
        value = row.raw["spo2"]
        if value is None or value in (0, 127):
            continue
        if value < limit and (not current or row.t - current[-1].t <= break_s):
            current.append(row)
            continue
        if current and current[-1].t - current[0].t + last_s >= least_s:
            nadir = min(r.raw["spo2"] or 100 for r in current)
            runs.append((current[0].t, current[-1].t, nadir))
        current = [row] if value < limit else []
    return runs


def raised(told: list[Outcome], rule: str) -> list[tuple[float, float]]:
    """Return (decided, ended) in seconds of every alarm of a rule; infinity while present."""
    found: dict[str, list[float]] = {}
    for one in told:
        if one.rule == rule and one.outcome in ("AlarmRaised", "AlarmEnded"):
            found.setdefault(one.alarm_id, []).append((one.at - NOON).total_seconds())
    return [(times[0], times[1] if len(times) > 1 else float("inf")) for times in found.values()]


def explained(told: list[Outcome]) -> None:
    """Require of every alarm why it rang and with which value, and that the value can be one."""
    for one in told:
        if one.outcome != "AlarmRaised":
            continue
        assert one.reason, one
        if one.kind == "physiological":
            low, high = METRICS[one.metric].possible
            assert one.value is not None
            assert low <= one.value <= high, f"a sentinel rang: {one}"
            assert one.detail["limit"], one


def trend(folder: Path) -> list[Row]:
    """Read 72 minutes of an unstable patient; zeros are no value, empty cells are not sent."""
    names = {
        "HR[bpm]": "heart_rate",
        "PULSE[bpm]": "pulse_rate",
        "RESP[pm]": "respiration_rate",
        "SpO2[%]": "spo2",
        "NBPSys[mmHg]": "nibp_systolic",
        "NBPDias[mmHg]": "nibp_diastolic",
        "NBPMean[mmHg]": "nibp_mean",
    }
    with (folder / "series" / "bedside_trend_72min.csv").open(newline="") as file:
        return [
            Row(float(row["t_s"]), {names[k]: float(v) for k, v in row.items() if k in names and v.strip()})
            for row in csv.DictReader(file)
        ]


def test_al_29_zeros_of_a_trend_are_no_value(shared_data: Path) -> None:
    """AL-29, CLINICAL §0 row 8: SpO2 0 and pulse 0 raise 'no data', never a low-saturation alarm."""
    rows = trend(shared_data)
    metrics = ("heart_rate", "pulse_rate", "spo2", "respiration_rate", "nibp_systolic")
    _, told = play(rows, protocol(), 60.0, metrics)
    explained(told)
    zero_until = next(row.t for row in rows if row.raw["spo2"])
    assert zero_until > 60, "the recording begins with SpO2 0"
    assert not [at for at, _ in raised(told, URGENT) if at <= zero_until]
    assert raised(told, "no-data:oximeter")
    sustained = runs_below(rows, 90, 120, 70)
    alarms = raised(told, URGENT)
    for start, end, _ in sustained:
        assert any(at <= start + 130 and until > start for at, until in alarms), (start, end)
    high = [row for row in rows if row.raw["heart_rate"] and row.raw["heart_rate"] > 130]
    assert bool(raised(told, "heart-rate-high-urgent")) == bool(high)


CHARTED = {
    "hr": "heart_rate",
    "spo2": "spo2",
    "resp": "respiration_rate",
    "nbp_sys": "nibp_systolic",
    "nbp_dia": "nibp_diastolic",
    "nbp_mean": "nibp_mean",
}
LIMITS = {
    "hr_alarm_high": "heart-rate-high",
    "hr_alarm_low": "heart-rate-low",
    "spo2_alarm_low": "spo2-low",
    "nbp_alarm_high": "systolic-high",
    "nbp_alarm_low": "systolic-low",
    "resp_alarm_high": "respiration-high",
}


def charted(folder: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read the ICU chart: its columns and all its rows."""
    rows = rows_of(folder / "series" / "icu_charted_vitals.csv.gz")
    header = next(rows)
    return header, [dict(zip(header, row, strict=True)) for row in rows]


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.prove)])
def test_al_32_the_icu_chart_out_of_order_and_absurd(shared_data: Path, every: int) -> None:
    """AL-32, AL-33: in the order of arrival, up to a day late, absurd values in it: explained or quiet."""
    _, rows = charted(shared_data)
    patients: dict[str, list[tuple[datetime, datetime, str, float | None]]] = {}
    for row in rows:
        metric = CHARTED.get(row["signal"])
        if metric is None or not row["storetime"] or not row["charttime"]:
            continue
        measured, stored = (
            datetime.fromisoformat(row[name]).replace(tzinfo=UTC) for name in ("charttime", "storetime")
        )
        number = float(row["value"]) if row["value"] else None
        patients.setdefault(row["icustay_id"], []).append((stored, measured, metric, number))
    assert len(patients) > 40
    judged = 0
    for stay, readings in sorted(patients.items())[::every]:
        bed, told = Bed("bed-1"), []
        readings.sort()
        start = readings[0][0]
        for one in (
            given.Associate(DeviceProfile("chart", ("heart_rate", "spo2"), 3600.0)),
            given.StartSession("s1", stay, protocol(), "nurse"),
        ):
            bed, outcomes = advance(bed, one, start)
            told += outcomes
        for stored, measured, metric, number in readings:
            found = screen_pressures((screen(metric, number),))
            report = Report("chart", stored, measured, found)
            bed, outcomes = advance(bed, given.Observe(report), stored)
            told += outcomes
            for one in outcomes:
                if one.outcome == "AlarmRaised" and one.kind == "physiological":
                    assert (
                        stored - measured <= timedelta(seconds=60) or bed.devices["chart"].offset is not None
                    )
            judged += 1
        explained(told)
        raised_ids = [o.alarm_id for o in told if o.outcome == "AlarmRaised"]
        assert len(set(raised_ids)) <= len(raised_ids)
    assert judged > 10_000 / every / 2


def test_al_09_the_nurses_own_limits_are_taken_or_refused_with_a_reason(shared_data: Path) -> None:
    """AL-09: the limits that ICU nurses set, mistyped ones among them: in force, or refused and said why."""
    _, rows = charted(shared_data)
    taken = refused = 0
    bed = Bed("bed-1")
    bed, _ = advance(bed, given.StartSession("s1", "P", protocol(), "nurse"), NOON)
    charted_limits = {
        (LIMITS[r["signal"]], float(r["value"])) for r in rows if r["signal"] in LIMITS and r["value"]
    }
    for rule, value in sorted(charted_limits):
        bed, told = advance(bed, given.SetLimit(rule, "nurse-7", "clinician", "as charted", value), NOON)
        if told[0].outcome == "Refused":
            assert told[0].reason
            refused += 1
        else:
            taken += 1
            assert bed.session is not None
            assert bed.session.changes[rule].limit == value
    assert taken > 30, (taken, refused)
    assert refused > 0, "the file has inverted and mistyped limits"
