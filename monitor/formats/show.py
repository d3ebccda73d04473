"""A decoded message as rows for people: what ``afterwatch decode`` prints, one line each.

Law: everything that was decoded is shown, with the reason for each value that was kept, converted or refused.
"""

from __future__ import annotations

from typing import Any

from monitor.core.vitals import METRICS, Observation, Report
from monitor.formats.contract import Context, Decoded

Row = dict[str, Any]


def rows(decoded: Decoded, context: Context) -> list[Row]:
    """Return one row for each observation, and one for each report, or message, that has none.

    Keys: ``device_id, metric, value, unit, measured_at, validity, reason``, then ``received_at, gateway_at,
    time_source, mode, retained, faults, online, notes``. Times are ISO 8601 in UTC; ``measured_at`` is
    ``None`` when neither device nor gateway said when, and ``received_at`` stands in (``time_source`` says
    whose it is). ``notes`` are of the whole report and stand on its first row.
    """
    found = [row for report in decoded.reports for row in _report_rows(report)]
    if found:
        return found
    reason = decoded.note or f"{decoded.ignored} parts understood, none a vital sign"
    return [
        {**_EMPTY, "device_id": context.device_id, "reason": reason, "received_at": _iso(context.received_at)}
    ]


_EMPTY: Row = dict.fromkeys(
    "device_id metric value unit measured_at validity reason received_at gateway_at time_source mode retained"
    " faults online notes".split()
)


def _report_rows(report: Report) -> list[Row]:
    common: Row = {
        "received_at": _iso(report.received_at),
        "gateway_at": _iso(report.gateway_at),
        "time_source": report.time_source,
        "mode": report.mode,
        "retained": report.retained,
        "faults": None if report.faults is None else list(report.faults),
        "online": report.online,
        "notes": list(report.notes),
    }
    if not report.observations:
        reason = "; ".join(report.notes)
        if report.online is not None:
            reason = "; ".join([f"device {'online' if report.online else 'offline'}", *report.notes])
        return [
            {**_EMPTY, **common, "device_id": report.device_id, "measured_at": _at(report), "reason": reason}
        ]
    found = [{**_row(report, observation), **common} for observation in report.observations]
    for row in found[1:]:
        row["notes"] = []  # said once for each report
    return found


def _row(report: Report, observation: Observation) -> Row:
    measured_at = observation.measured_at
    return {
        "device_id": report.device_id,
        "metric": observation.metric,
        "value": observation.value,
        "unit": METRICS[observation.metric].unit,
        "measured_at": _iso(measured_at) if measured_at is not None else _at(report),
        "validity": observation.validity,
        "reason": observation.reason or "as sent",
    }


def _at(report: Report) -> str | None:
    return _iso(report.measured_at or report.gateway_at)


def _iso(instant: Any) -> str | None:
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")
