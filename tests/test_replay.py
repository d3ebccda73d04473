"""Recordings of real devices through `afterwatch replay`: raised exactly when it should be, and never else.

The law: what should ring is reckoned here from the rows alone, from ALARMS §3.2 and §3.3, with nothing of the
core's; the files are turned into the product's own CSV on the way, as another recording would be.
"""

from __future__ import annotations

import csv
import gzip
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pytest

from monitor.__main__ import main
from monitor.core.outcomes import Outcome
from monitor.core.vitals import METRICS
from monitor.formats.recording_times import SECOND_0
from monitor.formats.recordings import read
from monitor.recording import reports
from monitor.replay import replay
from tests.core.scene import protocol

URGENT = "spo2-low-urgent"


class Reading(NamedTuple):
    """A true value: seconds since the start, and the number."""

    t: float
    value: float


# --- what should ring, reckoned anew ----------------------------------------------------------------------


@dataclass
class Naive:
    """One SpO2 limit of 90 as ALARMS §3.2 says it, reckoned from the whole history at every sample."""

    period_s: float
    fires: Callable[[Naive], bool]
    history: list[tuple[float, float, float]] = field(default_factory=list)  # instant, stands for, value
    raised: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)

    def run(self, is_so: Callable[[float], bool]) -> float:
        """Return for how long the last samples have been so without a break, in seconds."""
        seconds = 0.0
        for _, stands_for, value in reversed(self.history):
            if not is_so(value):
                break
            seconds += stands_for
        return seconds

    def integral(self) -> float:
        """Return the point-seconds below 90 that are left."""
        total = 0.0
        for _, stands_for, x in self.history:
            total = total + (90 - x) * stands_for if x < 90 else max(0, total - max(1, x - 90) * stands_for)
        return total

    def entries(self) -> int:
        """Return how often it fell below 90 in the last 60 s."""
        count, inside = 0, True
        for at, _, x in self.history:
            count += x < 90 and inside and at > self.history[-1][0] - 60
            inside = x >= 90
        return count

    def follow(self, readings: Iterable[Reading]) -> tuple[list[float], list[float]]:
        """Return when it rings and when it ends."""
        last = None
        for t, value in readings:
            stands_for = 0.0 if last is None else min(t - last, 2 * self.period_s)
            last = t
            self.history.append((t, stands_for, value))
            if len(self.raised) > len(self.ended):
                if self.run(lambda x: x >= 90) >= 60 or self.run(lambda x: x >= 92) >= 10:
                    self.ended.append(t)
                    self.history.clear()
            elif value < 90 and self.fires(self):
                self.raised.append(t)
                self.history.clear()
            elif value >= 90 and self.integral() == 0 and not self.entries():
                self.history.clear()
        return self.raised, self.ended


def default_fires(one: Naive) -> bool:
    """ALARMS §3.2, composite, with the net; floor 85 for 6 s."""
    below, floor = one.run(lambda x: x < 90), one.run(lambda x: x <= 85)
    return floor >= 6 or below >= 30 or (below >= 10 and one.integral() >= 50) or one.entries() >= 3


def plain_fires(one: Naive) -> bool:
    """ALARMS §3.4, rank 3: plain 15 s with the floor."""
    return one.run(lambda x: x <= 85) >= 6 or one.run(lambda x: x < 90) >= 15


def urgent_pressures(readings: list[tuple[float, float, float]]) -> tuple[list[float], list[float]]:
    """Return when systolic 180 or above rings and ends: (t, systolic, diastolic) of readings that can be.

    ALARMS §3.3: at once; in doubt (CLINICAL §5: 50 to 260, pulse pressure 10) only with a second; a reading
    in doubt ends nothing.
    """
    state, raised, ended = "", [], []
    for t, systolic, diastolic in readings:
        good = 50 <= systolic <= 260 and systolic - diastolic >= 10
        if systolic >= 180:
            if state != "present" and (good or state == "pending"):
                raised.append(t)
                state = "present"
            state = state or "pending"
        elif good:
            if state == "present":
                ended.append(t)
            state = ""
    return raised, ended


# --- recordings as our CSV --------------------------------------------------------------------------------


def rows_of(path: Path) -> Iterator[list[str]]:
    """Yield the rows of a CSV, gzipped or not."""
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
        yield from csv.reader(file)


def written(file: Path, rows: Iterable[tuple[Any, ...]], head: str = "measured_at,metric,value") -> Path:
    """Write rows as the product's CSV."""
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([head.split(","), *rows])
    return file


def ring(folder: Path) -> tuple[list[tuple[Any, ...]], list[Reading]]:
    """Return the ring's night as rows with local ISO times, and its true SpO2."""
    rows: list[tuple[Any, ...]] = []
    true: list[Reading] = []
    for clock, spo2, pulse, *_ in list(rows_of(folder / "series" / "oximeter_ring_night.csv.gz"))[1:]:
        at = datetime.strptime(clock, "%H:%M:%S %b %d %Y").replace(tzinfo=UTC)
        rows += [(at.strftime("%Y-%m-%dT%H:%M:%S"), "spo2", spo2), (at.isoformat(), "pulse_rate", pulse)]
        if spo2.strip().isdigit():
            true.append(Reading(at.timestamp(), float(spo2)))
    return rows, true


def fingertip(folder: Path) -> tuple[list[tuple[Any, ...]], list[Reading]]:
    """Return the fingertip's night as rows in milliseconds since 1970, and its true SpO2."""
    rows: list[tuple[Any, ...]] = []
    true: list[Reading] = []
    elapsed_ms = 0
    for beat, spo2, pulse, *_ in rows_of(folder / "series" / "oximeter_fingertip_night.csv.gz"):
        elapsed_ms += round(float(beat) * 1000)
        at = 1_795_428_000_000 + elapsed_ms
        rows += [(at, "pulse_rate", pulse), (at, "spo2", f"{spo2} %")]
        if spo2 != "127":
            true.append(Reading(at / 1000, float(spo2)))
    return rows, true


def trend(folder: Path) -> tuple[list[tuple[Any, ...]], list[Reading]]:
    """Return the 72-minute trend, one metric after the other, and its true SpO2; zeros are no value."""
    names = {"HR[bpm]": "heart_rate", "PULSE[bpm]": "pulse_rate", "RESP[pm]": "respiration_rate"}
    names |= {"SpO2[%]": "spo2", "NBPSys[mmHg]": "nibp_systolic", "NBPDias[mmHg]": "nibp_diastolic"}
    head, *lines = rows_of(folder / "series" / "bedside_trend_72min.csv")
    table = [dict(zip(head, line, strict=True)) for line in lines]
    rows = [(row["t_s"], names[key], row[key]) for key in names for row in table if row[key].strip()]
    true = [Reading(float(row["t_s"]), float(row["SpO2[%]"])) for row in table if float(row["SpO2[%]"])]
    start = SECOND_0.timestamp()
    return rows, [Reading(start + t, value) for t, value in true]


def replayed(file: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, Any]]:
    """Run the command over a file; return its outcomes."""
    code = main(["replay", str(file), "--protocol", "iv-ketamine", "--jsonl", *more])
    said = capsys.readouterr()
    assert code == 0, said.err[-2000:]
    return [json.loads(line) for line in said.out.splitlines()]


def instants(told: Iterable[dict[str, Any]], name: str, rule: str = URGENT) -> list[float]:
    """Return when outcomes of a name and rule were told, in seconds since 1970."""
    return [
        datetime.fromisoformat(one["at"]).timestamp()
        for one in told
        if one["outcome"] == name and one["rule"] == rule
    ]


def no_sentinel_rang(told: Iterable[dict[str, Any]]) -> None:
    """Require that every physiological alarm has a value that its instrument can mean, and a reason."""
    for one in told:
        if one["outcome"] == "AlarmRaised" and one["kind"] == "physiological":
            low, high = METRICS[one["metric"]].possible
            assert low <= one["value"] <= high
            assert one["reason"]


@pytest.mark.parametrize("recording", [ring, fingertip, trend])
def test_af_02_each_alarm_of_a_recording_is_raised_and_ended_exactly_when_it_should_be(
    shared_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    recording: Callable[[Path], tuple[list[tuple[Any, ...]], list[Reading]]],
) -> None:
    """AF-02, AF-04, issue 3: both nights and the trend: the very instants that §3.2 gives, no others."""
    rows, true = recording(shared_data)
    gaps = [b.t - a.t for a, b in pairwise(true)]
    raised, ended = Naive(max(1.0, median(gaps)), default_fires).follow(true)
    assert raised, "the recording has desaturations"
    told = replayed(written(tmp_path / "night.csv", rows), capsys)
    assert instants(told, "AlarmRaised") == pytest.approx(raised)
    assert instants(told, "AlarmEnded") == pytest.approx(ended)
    no_sentinel_rang(told)


@pytest.mark.parametrize("recording", [ring, fingertip])
def test_af_02_the_plain_profile_rings_when_it_should(
    shared_data: Path,
    tmp_path: Path,
    recording: Callable[[Path], tuple[list[tuple[Any, ...]], list[Reading]]],
) -> None:
    """AF-02, ALARMS §3.4 rank 3: plain 15 s with the floor, on both nights."""
    rows, true = recording(shared_data)
    gaps = [b.t - a.t for a, b in pairwise(true)]
    raised, ended = Naive(max(1.0, median(gaps)), plain_fires).follow(true)
    limits = tuple(replace(one, filter="plain-15") if one.id == URGENT else one for one in protocol().limits)
    found = reports(read(written(tmp_path / "night.csv", rows)).rows)
    told = list(replay(list(found), protocol(limits=limits)))
    assert [o.at.timestamp() for o in told if (o.outcome, o.rule) == ("AlarmRaised", URGENT)] == (
        pytest.approx(raised)
    )
    assert [o.at.timestamp() for o in told if (o.outcome, o.rule) == ("AlarmEnded", URGENT)] == (
        pytest.approx(ended)
    )


def test_the_order_of_rows_and_columns_changes_nothing(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 3 §9: the trend shuffled, doubled, other columns, semicolons, gzipped: the same outcomes."""
    rows, _ = trend(shared_data)
    plain = replayed(written(tmp_path / "plain.csv", rows), capsys)
    mixed = sorted([*rows, *rows], key=lambda row: (str(row[2])[::-1], row[1], row[0]))
    lines = ["note;VALUE;Metric;measured_at", *(f"x;{v};{m.upper()};{t}" for t, m, v in mixed), ""]
    file = tmp_path / "other.csv.gz"
    file.write_bytes(gzip.compress("\r\n\r\n".join(lines).replace(".", ",").encode("utf-8-sig")))
    assert replayed(file, capsys) == plain


def pressures(folder: Path) -> Iterator[tuple[str, list[tuple[float, str, str, str]]]]:
    """Yield cuff readings of each patient: (seconds, systolic, diastolic, mean) as they stand."""
    stays: dict[str, list[tuple[float, str, str, str]]] = {}
    for stay, offset, s, d, m in list(rows_of(folder / "series" / "icu_cuff_pressures.csv.gz"))[1:]:
        if int(stay) % 20 == 0:
            stays.setdefault(f"icu {stay}", []).append((float(offset) * 60, s, d, m))
    for person, visit, clock, s, m, d, *_ in list(rows_of(folder / "series" / "ambulatory_bp.csv"))[1:]:
        at = datetime.fromisoformat(clock).replace(tzinfo=UTC).timestamp()
        stays.setdefault(f"ambulatory {person} {visit}", []).append((at, s, d, m))
    for clock, s, d, _ in list(rows_of(folder / "series" / "home_cuff_bp.csv"))[1:]:
        at = datetime.fromisoformat(clock).replace(tzinfo=UTC).timestamp()
        stays.setdefault("home", []).append((at, s, d, ""))
    yield from stays.items()


def possible(systolic: str, diastolic: str) -> tuple[float, float] | None:
    """Return a pressure that an instrument can mean, or ``None``."""
    if not systolic or not diastolic:
        return None
    s, d = float(systolic), float(diastolic)
    return (s, d) if 10 <= d < s <= 300 else None


def test_each_urgent_pressure_of_real_cuffs_is_raised_and_ended_when_it_should_be(
    shared_data: Path, tmp_path: Path
) -> None:
    """ALARMS §3.3, issue 3: ICU stays, ambulatory and home cuffs: the very readings that should ring."""
    rang = 0
    for who, stood in pressures(shared_data):
        ordered = sorted(stood, key=lambda one: one[0])
        rows = [
            (t - ordered[0][0], name, cell)
            for t, *cells in ordered
            for name, cell in zip(("nibp_systolic", "nibp_diastolic", "nibp_mean"), cells, strict=True)
        ]
        seen: set[float] = set()
        readings: list[tuple[float, float, float]] = []
        for t, s, d, _ in ordered:
            pair = possible(s, d)
            if t not in seen and (s or d):
                seen.add(t)
                if pair:
                    readings.append((t - ordered[0][0], *pair))
        if any((not s) != (not d) for _, s, d, _ in ordered) or not readings:
            continue  # half a pressure: another rule
        raised, ended = urgent_pressures(readings)
        found = list(reports(read(written(tmp_path / "cuff.csv", rows)).rows))
        told: list[Outcome] = list(replay(found, protocol()))
        for name, expected in (("AlarmRaised", raised), ("AlarmEnded", ended)):
            at = [
                (o.at - SECOND_0).total_seconds()
                for o in told
                if (o.outcome, o.rule) == (name, "systolic-high-urgent")
            ]
            assert at == expected, f"{who}: {name}"
        rang += len(raised)
    assert rang > 25


def test_al_32_a_chart_with_its_times_of_storing_is_replayed_without_a_crash(
    shared_data: Path, tmp_path: Path
) -> None:
    """AL-32, AL-33: an ICU chart, stored up to a day late and 15 % before it was measured; with units."""
    names = {"hr": "heart_rate", "spo2": "spo2", "resp": "respiration_rate", "nbp_sys": "nibp_systolic"}
    table = list(rows_of(shared_data / "series" / "icu_charted_vitals.csv.gz"))
    chosen = {row[1] for row in table[1:]}
    for stay in sorted(chosen)[::13]:
        rows = [
            (r[6], r[5], r[7], names.get(r[3], r[3]), r[4])
            for r in table[1:]
            if r[1] == stay and r[4] and r[6]
        ]
        found = read(written(tmp_path / "chart.csv", rows, "value,received_at,unit,metric,measured_at"))
        assert len(found.rows) + sum(map(len, found.refused.values())) == len(rows)
        assert all("is unknown" in reason or "unit" in reason for reason in found.refused), (
            found.refused.keys()
        )
        told = replay(list(reports(found.rows)), protocol())
        no_sentinel_rang(one._asdict() for one in told)


def test_a_three_hour_session_is_replayed_in_a_second(tmp_path: Path) -> None:
    """Issue 3: 3 h of SpO2 and pulse each second, in CPU time; generous here, the figure is the bench's."""
    rows = [
        (t, name, 97 if t % 1800 > 40 else 84) for t in range(3 * 3600) for name in ("spo2", "pulse_rate")
    ]
    file = written(tmp_path / "session.csv", rows)
    began = time.process_time()
    told = list(replay(list(reports(read(file).rows)), protocol()))
    assert sum(one.outcome == "AlarmRaised" and one.rule == URGENT for one in told) == 6
    assert time.process_time() - began < 10
