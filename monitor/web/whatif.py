"""What if the limits had been others: the same readings through the same core, alarms lost and gained.

Law: nothing is changed by asking; it is the alarm logic itself that answers, never an estimate of it.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from monitor.core.bed import Bed, advance
from monitor.core.device import DeviceProfile
from monitor.core.inputs import Associate, EndDosing, Input, Observe, RecordDose, StartSession, Tick
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Protocol
from monitor.core.record import SessionSummary
from monitor.core.soundness import limit_problems
from monitor.core.vitals import METRICS, Observation, Report
from monitor.web.chart import CHARTED
from monitor.web.desk import Archive
from monitor.web.house import House
from monitor.web.records import allowed
from monitor.web.wall import ms

NEAR = timedelta(seconds=90)  # the same alarm may begin a little earlier or later under another limit
_ONE_AT_A_TIME = threading.Semaphore(1)


class Question(BaseModel):
    """Other values for some limits, by id, in the metrics' units."""

    model_config = ConfigDict(extra="forbid")

    limits: dict[Annotated[str, Field(max_length=80)], Annotated[float, Field(allow_inf_nan=False)]] = Field(
        max_length=60
    )


def routes(house: House) -> APIRouter:
    """Return the routes of the question."""
    router = APIRouter(tags=["records"])

    @router.get("/sessions/{session_id}/what-if", summary="The limits that could be asked about")
    def limits(session_id: str, request: Request) -> dict[str, Any]:
        allowed(house, request, session_id)
        protocol = house.archive.protocol_of(session_id)
        return {
            "limits": [
                {
                    "id": one.id,
                    "metric": one.metric,
                    "side": one.side,
                    "limit": one.limit,
                    "priority": one.priority,
                    "annotation": one.annotation,
                }
                for one in protocol.limits
            ]
        }

    @router.post("/sessions/{session_id}/what-if", summary="Alarms lost and gained under other limits")
    def what_if(session_id: str, body: Question, request: Request) -> dict[str, Any]:
        seat, summary = allowed(house, request, session_id)
        house.present(request)
        if wait := house.writes.take(f"what-if:{seat.seat_id}"):
            raise HTTPException(429, f"wait {wait:.0f} s")
        protocol = house.archive.protocol_of(session_id)
        other = changed(protocol, body.limits)
        with _ONE_AT_A_TIME:
            before = play(house.archive, summary, protocol, house.desk.now())
            after = play(house.archive, summary, other, house.desk.now())
        lost, gained = differ(before, after), differ(after, before)
        return {
            "before": len(before),
            "after": len(after),
            "lost": [_show(one) for one in lost],
            "gained": [_show(one) for one in gained],
        }

    return router


def changed(protocol: Protocol, limits: Mapping[str, float]) -> Protocol:
    """Return the protocol with other limits. Raises 422 for an unknown or unsound one."""
    known = {one.id: one for one in protocol.limits}
    for name, value in limits.items():
        if name not in known:
            raise HTTPException(422, f"no limit {name!r}")
        wrong = list(limit_problems(name, known[name], value))
        if wrong:
            raise HTTPException(422, f"{name}: {wrong[0].text}; {wrong[0].remedy}")
    return replace(
        protocol,
        limits=tuple(replace(one, limit=limits.get(one.id, one.limit)) for one in protocol.limits),
    )


def play(archive: Archive, summary: SessionSummary, protocol: Protocol, now: datetime) -> list[Outcome]:
    """Return the physiological alarms of a session under a protocol."""
    bed = Bed(summary.bed_id)
    start = StartSession(
        summary.session_id, summary.patient_code, protocol, "replay", summary.mode, summary.started_at
    )
    raised: list[Outcome] = []
    ended = summary.ended_at or now
    for at, one in _inputs(archive, summary, start, ended):
        bed, outcomes = advance(bed, one, at)
        raised += [out for out in outcomes if out.outcome == "AlarmRaised" and out.kind == "physiological"]
    return raised


def _inputs(
    archive: Archive, summary: SessionSummary, start: StartSession, ended: datetime
) -> Iterator[tuple[datetime, Input]]:
    began = summary.started_at
    traces = archive.traces(summary.bed_id, began, ended, metrics=CHARTED)
    for name in {trace.device_id for trace in traces}:
        metrics = tuple(trace.metric for trace in traces if trace.device_id == name)
        slow = all(METRICS[metric].aperiodic for metric in metrics)
        yield began, Associate(DeviceProfile(name, metrics, 300.0 if slow else 1.0, 0.0, trust_clock=False))
    yield began, start
    yield from heapq.merge(
        _readings(archive, summary, ended), _doses(archive, summary), key=lambda pair: pair[0]
    )
    yield ended, Tick()


def _readings(archive: Archive, summary: SessionSummary, ended: datetime) -> Iterator[tuple[datetime, Input]]:
    """Yield the readings as reports again: what one device measured at one instant is one report."""
    found: dict[tuple[float, str], list[Observation]] = {}
    for trace in archive.traces(summary.bed_id, summary.started_at, ended, metrics=CHARTED):
        for place, (at, value) in enumerate(zip(trace.at, trace.values, strict=True)):
            reason = trace.marks.get(place, "")
            validity = "invalid" if value is None else "questionable" if reason else "valid"
            found.setdefault((at, trace.device_id), []).append(
                Observation(trace.metric, value, validity, reason)  # type: ignore[arg-type]
            )
    for (second, device), seen in sorted(found.items(), key=lambda one: one[0]):
        then = datetime.fromtimestamp(second, UTC)
        yield then, Observe(Report(device, then, None, tuple(seen), mode=summary.mode))


def _doses(archive: Archive, summary: SessionSummary) -> Iterator[tuple[datetime, Input]]:
    for entry in archive.log(session_id=summary.session_id, names=("DoseRecorded", "PhaseChanged")):
        told = entry.outcome
        if told.outcome == "DoseRecorded" and told.value is not None:
            route = str(told.detail.get("route", ""))
            yield told.at, RecordDose(told.value, route, "replay", told.at, "replay")
        elif told.detail.get("phase") == "observation" and told.by != "clock":
            yield told.at, EndDosing("replay", told.at)


def differ(some: list[Outcome], others: list[Outcome]) -> list[Outcome]:
    """Return the alarms of ``some`` that have no counterpart in ``others``: same rule, near in time."""
    return [
        one
        for one in some
        if not any(other.rule == one.rule and abs(other.at - one.at) <= NEAR for other in others)
    ]


def _show(one: Outcome) -> dict[str, Any]:
    return {"at": ms(one.at), "rule": one.rule, "priority": one.priority, "reason": one.reason}
