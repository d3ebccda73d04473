"""The record: list and search of sessions, one session's chart and log, downloads, signature, dispositions.

Law: a patient's record is read by name and every look is written down (45 CFR 164.312(b)); without the right
it takes an emergency with a reason. Nothing here changes what was recorded.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, HTTPException, Query, Request, Response

from monitor.core import figures
from monitor.core.inputs import CorrectRecord, Input, RecordDisposition, SignRecord
from monitor.core.outcomes import Outcome, as_json
from monitor.core.record import SessionSummary
from monitor.web import chart, forms
from monitor.web.house import Export, House
from monitor.web.hub import STATION
from monitor.web.seats import Seat

USUAL_SPAN = timedelta(days=30)
MOST_ENTRIES = 500_000  # the archive tells the oldest first: a small limit would leave out what is new


def routes(house: House) -> APIRouter:
    """Return the routes of records."""
    router = APIRouter(tags=["records"])
    router.include_router(_reading(house))
    router.include_router(_figures(house))
    router.include_router(_remarks(house))
    return router


def allowed(house: House, request: Request, session_id: str) -> tuple[Seat, SessionSummary]:
    """Return who asks and the session, if they may read it: a drill's record is open to its operator."""
    seat = house.seat(request)
    summary = house.archive.summary(session_id)
    if summary is None:
        if not seat.may("record"):
            house.refuse(seat, "record", request.url.path)
        raise HTTPException(404, "no such session")
    if not seat.may("record") and not (summary.mode == "drill" and seat.may("drill")):
        house.refuse(seat, "record", request.url.path)
    return seat, summary


def exports(house: House, session_id: str) -> dict[str, Export]:
    """Return the ways out that fit the session's route of administration, by name."""
    route = house.archive.protocol_of(session_id).route
    return {name: one for name, one in house.options.exports.items() if not one.routes or route in one.routes}


def _reading(house: House) -> APIRouter:
    router = APIRouter()

    @router.get("/sessions", summary="Sessions that match, the newest first")
    def sessions(
        request: Request,
        code: Annotated[str, Query(max_length=40)] = "",
        bed: Annotated[str, Query(max_length=63)] = "",
        protocol: Annotated[str, Query(max_length=80)] = "",
        mode: Literal["", "real", "drill"] = "",
        from_at: datetime | None = None,
        to_at: datetime | None = None,
        had_alarms: bool | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> dict[str, Any]:
        seat = house.seat(request)
        if not seat.may("record") and not seat.may("drill"):
            house.refuse(seat, "record", request.url.path)
        found = house.archive.sessions(
            patient_code=code,
            bed_id=bed,
            protocol=protocol,
            mode=mode if seat.may("record") else "drill",
            from_at=from_at and house.instant(from_at),
            to_at=to_at and house.instant(to_at),
            had_alarms=had_alarms,
            limit=limit,
        )
        return {"sessions": [{**show(one), "bed_label": house.label_of(one.bed_id)} for one in found]}

    @router.get("/sessions/{session_id}", summary="One session in a line")
    def session(session_id: str, request: Request) -> dict[str, Any]:
        return show(allowed(house, request, session_id)[1])

    @router.get("/sessions/{session_id}/chart", summary="Traces, limits over time and marks")
    def session_chart(session_id: str, request: Request) -> Response:
        seat, summary = allowed(house, request, session_id)
        house.ledger.write(seat.name, "read", f"chart of {session_id}")
        found = chart.gather(house.archive, summary, house.desk.now())
        return Response(orjson.dumps(found, default=str), media_type="application/json")

    @router.get("/sessions/{session_id}/traces", summary="A part of the chart, looked at closely")
    def session_traces(
        session_id: str, request: Request, from_at: datetime | None = None, to_at: datetime | None = None
    ) -> Response:  # it is the same look as that of the chart, so it is not written down again
        _, summary = allowed(house, request, session_id)
        first, last = summary.started_at, (summary.ended_at or house.desk.now()) + timedelta(seconds=1)
        begin = max(house.instant(from_at), first) if from_at else first
        end = min(house.instant(to_at), last) if to_at else last
        found = chart.traces(house.archive, summary.bed_id, begin, max(begin, end))
        content = {"traces": found, "every_s": chart.every_s(begin, end)}
        return Response(orjson.dumps(content, default=str), media_type="application/json")

    @router.get("/sessions/{session_id}/log", summary="What happened, oldest first")
    def log(
        session_id: str, request: Request, after: int = 0, limit: Annotated[int, Query(ge=1, le=5000)] = 1000
    ) -> dict[str, Any]:
        allowed(house, request, session_id)
        entries = house.archive.log(session_id=session_id, after_id=after, limit=limit)
        return {"entries": [{"id": entry.id, **as_json(entry.outcome)} for entry in entries]}

    @router.get("/sessions/{session_id}/deliveries", summary="What became of its notifications")
    def deliveries(session_id: str, request: Request) -> dict[str, Any]:
        allowed(house, request, session_id)
        return {"deliveries": [one._asdict() for one in house.archive.deliveries(session_id)]}

    @router.get("/sessions/{session_id}/exports/{kind}", summary="The record as a file")
    def export(session_id: str, kind: str, request: Request) -> Response:
        seat, summary = allowed(house, request, session_id)
        offered = exports(house, session_id)
        if kind not in offered:
            raise HTTPException(404, f"no export {kind!r}; there are: {', '.join(offered) or 'none'}")
        chosen = offered[kind]
        try:
            content = chosen.make(session_id)
        except ValueError as why:
            raise HTTPException(409, str(why)) from None
        house.ledger.write(seat.name, "export", f"{kind} of {session_id}")
        name = f"afterwatch-{'DRILL-' if summary.mode == 'drill' else ''}{session_id}{chosen.suffix}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type=chosen.media_type, headers=headers)

    return router


def _figures(house: House) -> APIRouter:
    router = APIRouter()

    @router.get("/kpis", summary="How the alarms were, and how soon acknowledged; of 30 days if not said")
    def kpis(
        request: Request, from_at: datetime | None = None, to_at: datetime | None = None
    ) -> dict[str, Any]:
        house.reader(request, "record")
        now = house.desk.now()
        since = house.instant(from_at) if from_at else now - USUAL_SPAN
        until = house.instant(to_at) if to_at else now
        return {**figures.indicators(told(since, until), since, until), "overloaded": overloaded(now)}

    def told(since: datetime, until: datetime) -> list[Outcome]:
        names, most = figures.TOLD, MOST_ENTRIES
        return [x.outcome for x in house.archive.log(names=names, from_at=since, to_at=until, limit=most)]

    def overloaded(now: datetime) -> dict[str, int]:
        on_duty = [one.name for one in house.users.list() if one.on_duty]
        return figures.overloaded(told(now - figures.SLOWDOWN_SPAN, now), on_duty, now)

    return router


def _remarks(house: House) -> APIRouter:
    """Return what people add to a record afterwards; the core judges it, also when the patient has left."""
    router = APIRouter(prefix="/sessions/{session_id}")

    async def add(
        request: Request, response: Response, seat: Seat, summary: SessionSummary, one: Input
    ) -> dict[str, Any]:
        bed_id = summary.bed_id if summary.bed_id in house.desk.beds() else STATION  # no longer in beds.toml
        answer = await house.submit(bed_id, one)
        house.seated(response, house.doors.touch(seat), request)
        return answer

    def carer(request: Request, session_id: str) -> tuple[Seat, SessionSummary]:
        asking, summary = allowed(house, request, session_id)
        drill = asking.may("drill") and summary.mode == "drill"
        seat = house.writer(request, "care", also=drill)
        if wait := house.writes.take(seat.seat_id):
            raise HTTPException(429, f"too many changes; wait {wait:.0f} s")
        return seat, summary

    @router.post("/sign", summary="A clinician signs the record")
    async def sign(
        session_id: str, body: forms.Signature, request: Request, response: Response
    ) -> dict[str, Any]:
        seat = house.writer(request, "sign")
        _, summary = allowed(house, request, session_id)
        if summary.ended_at is None:
            raise HTTPException(409, "the session still runs; end it first")
        if summary.signed_by:
            raise HTTPException(409, f"{summary.signed_by} has signed it already")
        one = SignRecord(session_id, seat.name, "clinician", body.text)
        answer = await add(request, response, seat, summary, one)
        house.ledger.write(seat.name, "sign", session_id)
        return answer

    @router.post("/alarms/{alarm_id}/disposition", summary="What the alarm was (AF-13)")
    async def dispose(
        session_id: str, alarm_id: str, body: forms.Disposition, request: Request, response: Response
    ) -> dict[str, Any]:
        seat, summary = carer(request, session_id)
        one = RecordDisposition(session_id, alarm_id, body.code, seat.name, body.note)
        return await add(request, response, seat, summary, one)

    @router.post("/corrections", summary="An entry is wrong: what is right, and why; the entry stays")
    async def correct(
        session_id: str, body: forms.Correction, request: Request, response: Response
    ) -> dict[str, Any]:
        seat, summary = carer(request, session_id)
        found = house.archive.log(session_id=session_id, after_id=body.entry_id - 1, limit=1)
        if not found or found[0].id != body.entry_id:
            raise HTTPException(404, f"this session has no entry {body.entry_id}")
        one = CorrectRecord(session_id, body.entry_id, seat.name, body.reason, body.text)
        return await add(request, response, seat, summary, one)

    return router


def show(summary: SessionSummary) -> dict[str, Any]:
    """Return a session's line in JSON values."""
    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in asdict(summary).items()
    }
