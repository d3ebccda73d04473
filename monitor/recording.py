"""Recorded readings as the reports of devices, so that the core lives them as it lives what comes by MQTT.

Law: nothing is added and nothing left out; what a device measured at one time is one report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby, pairwise
from statistics import median

from monitor.core.device import DeviceProfile
from monitor.core.vitals import METRICS, Report, screen, screen_pressures
from monitor.formats.recordings import Row

CUFF_INTERVAL_S = 300.0
OWN_PACE = 1.5  # a metric that comes so much more slowly than its device's fastest has a pace of its own


def reports(rows: Iterable[Row]) -> Iterator[Report]:
    """Return rows, as ``read`` puts them in order, as reports: one of what a device measured at one time.

    A metric that comes more slowly than the others of its device is given a device of its own, so that a gap
    of it is measured by its own pace.
    """
    ordered = list(rows)
    own = _of_own_pace(ordered)
    named = (
        row._replace(device_id=f"{row.device_id}/{row.metric}") if (row.device_id, row.metric) in own else row
        for row in ordered
    )
    for _, group in groupby(named, key=lambda row: (row.device_id, row.measured_at, row.received_at)):
        waiting = list(group)
        while waiting:  # the same metric twice at one time is two reports
            first: dict[str, Row] = {}
            again = [row for row in waiting if first.setdefault(row.metric, row) is not row]
            yield _report(list(first.values()))
            waiting = again


def _of_own_pace(rows: list[Row]) -> set[tuple[str, str]]:
    times: dict[tuple[str, str], list[datetime]] = {}
    for row in rows:
        if not METRICS[row.metric].aperiodic:
            times.setdefault((row.device_id, row.metric), []).append(row.measured_at)
    paces = {key: _pace_s(found) for key, found in times.items()}
    fastest: dict[str, float] = {}
    for (device_id, _), pace in paces.items():
        fastest[device_id] = min(pace, fastest.get(device_id, pace))
    return {key for key, pace in paces.items() if pace > OWN_PACE * fastest[key[0]]}


def _report(group: list[Row]) -> Report:
    values = tuple(screen(row.metric, row.value) for row in group)
    return Report(group[0].device_id, group[0].at, group[0].measured_at, screen_pressures(values))


def profiles(found: list[Report]) -> list[DeviceProfile]:
    """Return what each device measures and how often."""
    metrics: dict[str, set[str]] = {}
    times: dict[str, list[datetime]] = {}
    for report in found:
        metrics.setdefault(report.device_id, set()).update(one.metric for one in report.observations)
        times.setdefault(report.device_id, []).append(report.at)
    return [
        DeviceProfile(name, tuple(sorted(measured)), _interval_s(measured, times[name]))
        for name, measured in sorted(metrics.items())
    ]


def _interval_s(metrics: set[str], times: list[datetime]) -> float:
    return CUFF_INTERVAL_S if all(METRICS[name].aperiodic for name in metrics) else _pace_s(times)


def _pace_s(times: list[datetime]) -> float:
    """Return the median time between readings, at least a second."""
    gaps = [(b - a).total_seconds() for a, b in pairwise(sorted(set(times)))]
    return max(median(gaps), 1.0) if gaps else 1.0
