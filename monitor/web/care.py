"""What people do at a bed, as routes: sessions, doses, measurements, alarms, devices.

Law: every act is one input with the person's name, judged by the core; a route adds rights and nothing else.
The first acknowledgement of an alarm is never held back by a bucket (ASVS V2.4.1).
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from monitor.core.inputs import (
    Accept,
    Acknowledge,
    AcknowledgeMilder,
    Associate,
    Dissociate,
    PauseAlarm,
    Reject,
    ResetAlarm,
    ResumeAlarm,
    StartSession,
)
from monitor.web import forms, start_up
from monitor.web.house import House
from monitor.web.seats import Seat
from monitor.web.wall import ms

Endpoint = Callable[..., Awaitable[dict[str, Any]]]


def routes(house: House) -> APIRouter:
    """Return the routes under ``/beds``."""
    router = APIRouter(prefix="/beds/{bed_id}", tags=["beds"])
    for path, form in forms.FORMS.items():
        summary = (form.__doc__ or "").split("\n")[0]
        router.add_api_route(f"/{path}", _endpoint(house, form), methods=["POST"], summary=summary)
    router.include_router(_sessions(house))
    router.include_router(_milder(house))
    router.include_router(_alarms(house))
    router.include_router(_devices(house))
    return router


def _carer(house: House, request: Request, bed_id: str) -> Seat:
    """Return who asks, if they may care for this bed: an operator only while a drill runs on it."""
    house.bed(bed_id)
    seat = house.seat(request)
    drill = seat.may("drill") and house.is_drill(bed_id)
    seat = house.writer(request, "care", also=drill)
    if wait := house.writes.take(seat.seat_id):
        raise HTTPException(429, f"too many changes; wait {wait:.0f} s", {"Retry-After": str(int(wait) + 1)})
    return seat


def _key(request: Request, seat: Seat) -> str:
    given = request.headers.get("idempotency-key", "")[:80]
    return f"{seat.seat_id}:{given}" if given else ""


async def _do(
    house: House, request: Request, response: Response, seat: Seat, bed_id: str, one: Any
) -> dict[str, Any]:
    answer = await house.submit(bed_id, one, key=_key(request, seat))
    house.seated(response, house.doors.touch(seat), request)
    return answer


def _endpoint(house: House, form: type[forms.Form]) -> Endpoint:
    async def endpoint(bed_id: str, body: Any, request: Request, response: Response) -> dict[str, Any]:
        seat = _carer(house, request, bed_id)
        return await _do(house, request, response, seat, bed_id, body.make(seat))

    endpoint.__annotations__["body"] = form
    return endpoint


def _sessions(house: House) -> APIRouter:
    router = APIRouter()

    @router.post("/start", summary="Begin a session on a free bed")
    async def start(bed_id: str, body: forms.Start, request: Request, response: Response) -> dict[str, Any]:
        house.bed(bed_id)
        asking = house.seat(request)
        seat = house.writer(request, "care", also=body.mode == "drill" and asking.may("drill"))
        protocol = house.configuration.protocols.get(body.protocol)
        if protocol is None:
            known = ", ".join(house.configuration.protocols)
            raise HTTPException(422, f"no protocol {body.protocol!r}: use one of {known}")
        session_id = new_session_id()
        one = StartSession(
            session_id,
            body.patient_code,
            protocol,
            seat.name,
            body.mode,
            without=tuple(body.without),
            reason=body.reason,
            start_up=start_up.judge(house, body.screen, body.override),
        )
        answer = await _do(house, request, response, seat, bed_id, one)
        started = [o for o in answer["outcomes"] if o["outcome"] == "SessionStarted"]
        return {**answer, "session_id": started[0]["session_id"] if started else session_id}

    return router


def new_session_id() -> str:
    """Return a fresh session id."""
    return f"s-{uuid.uuid4().hex[:16]}"


def _answering(house: House, request: Request, bed_id: str, what: str) -> Seat:
    """Return who acknowledges; held back only by acknowledging the same again and again."""
    house.bed(bed_id)
    drill = house.seat(request).may("drill") and house.is_drill(bed_id)
    seat = house.writer(request, "care", also=drill)
    if house.acknowledgements.take(f"{seat.seat_id}:{what}"):
        raise HTTPException(429, "this was acknowledged a moment ago")
    return seat


def _milder(house: House) -> APIRouter:
    router = APIRouter(tags=["alarms"])

    @router.post("/acknowledge", summary="Say that these low and medium alarms are known (P-37)")
    async def acknowledge(
        bed_id: str, body: forms.MilderAcknowledgement, request: Request, response: Response
    ) -> dict[str, Any]:
        seat = _answering(house, request, bed_id, bed_id)
        one = AcknowledgeMilder(tuple(body.seen.items()), seat.name)
        return await _do(house, request, response, seat, bed_id, one)

    return router


def _alarms(house: House) -> APIRouter:
    router = APIRouter(prefix="/alarms/{alarm_id}", tags=["alarms"])

    @router.post("/acknowledge", summary="Say that this alarm is known, at the priority seen")
    async def acknowledge(
        bed_id: str, alarm_id: str, body: forms.Acknowledgement, request: Request, response: Response
    ) -> dict[str, Any]:
        seat = _answering(house, request, bed_id, alarm_id)
        one = Acknowledge(alarm_id, seat.name, body.priority)
        return await _do(house, request, response, seat, bed_id, one)

    @router.post("/reset", summary="Take a latched alarm off the list: it was seen")
    async def reset(bed_id: str, alarm_id: str, request: Request, response: Response) -> dict[str, Any]:
        seat = _carer(house, request, bed_id)
        return await _do(house, request, response, seat, bed_id, ResetAlarm(alarm_id, seat.name))

    @router.post("/pause", summary="No signal of this alarm for a short while, with a reason")
    async def pause(
        bed_id: str, alarm_id: str, body: forms.AlarmPause, request: Request, response: Response
    ) -> dict[str, Any]:
        seat = _carer(house, request, bed_id)
        one = PauseAlarm(alarm_id, seat.name, body.seconds, body.reason)
        return await _do(house, request, response, seat, bed_id, one)

    @router.post("/resume", summary="Signal again before the pause ends")
    async def resume(bed_id: str, alarm_id: str, request: Request, response: Response) -> dict[str, Any]:
        seat = _carer(house, request, bed_id)
        return await _do(house, request, response, seat, bed_id, ResumeAlarm(alarm_id, seat.name))

    @router.post("/accept", summary="Take responsibility; sound and light stay until somebody acknowledges")
    async def accept(bed_id: str, alarm_id: str, request: Request, response: Response) -> dict[str, Any]:
        seat = _carer(house, request, bed_id)
        return await _do(house, request, response, seat, bed_id, Accept(alarm_id, seat.name))

    @router.post("/reject", summary="Pass responsibility to the next level at once")
    async def reject(
        bed_id: str, alarm_id: str, body: forms.Rejection, request: Request, response: Response
    ) -> dict[str, Any]:
        seat = _carer(house, request, bed_id)
        return await _do(house, request, response, seat, bed_id, Reject(alarm_id, seat.name, body.reason))

    return router


def _devices(house: House) -> APIRouter:
    router = APIRouter(tags=["devices"])

    @router.post("/devices/{device_id}", summary="Hand a device over to this bed (AL-53)")
    async def hand_over(bed_id: str, device_id: str, request: Request, response: Response) -> dict[str, Any]:
        seat = _carer(house, request, bed_id)
        entry = next((one for one in house.configuration.ward.devices if one.id == device_id), None)
        if entry is None:
            raise HTTPException(404, f"no device {device_id!r} in beds.toml")
        told: list[Any] = []
        for other, bed in house.desk.beds().items():
            if device_id in bed.devices and other != bed_id:
                left = await house.submit(other, Dissociate(device_id, seat.name))
                told += left["outcomes"]
        answer = await _do(house, request, response, seat, bed_id, Associate(entry.profile(), seat.name))
        return {**answer, "outcomes": told + answer["outcomes"]}

    @router.delete("/devices/{device_id}", summary="This device no longer serves this bed")
    async def take_away(bed_id: str, device_id: str, request: Request, response: Response) -> dict[str, Any]:
        seat = _carer(house, request, bed_id)
        return await _do(house, request, response, seat, bed_id, Dissociate(device_id, seat.name))

    @router.get("/trend", summary="The last ten minutes, thinned, for the tile's line")
    def trend(bed_id: str, request: Request) -> dict[str, Any]:
        house.reader(request, "view")
        house.bed(bed_id)
        now = house.desk.now()
        metrics = ("spo2", "heart_rate", "pulse_rate")
        session = house.bed(bed_id).session
        since = (
            max(now - timedelta(minutes=10), session.started_at) if session else now - timedelta(minutes=10)
        )
        traces = house.archive.traces(bed_id, since, now, metrics=metrics, every_s=5.0)
        return {
            "from": ms(since),
            "lines": {one.metric: [[round(at * 1000) for at in one.at], one.values] for one in traces},
        }

    return router
