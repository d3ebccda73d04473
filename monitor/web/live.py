"""The wall over a WebSocket: newest frame only, and each page's lease as an annunciator.

Law: a page counts as heard only while it says so itself, every few seconds, with proved sound (AL-35, AL-36).
A page that is slow or gone is let go and harms no other (P-40).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from fastapi import APIRouter, Request, WebSocket, WebSocketDisconnect

from monitor.web.house import House
from monitor.web.hub import SEND_WITHIN_S
from monitor.web.seats import Doorkeeper, Seat
from monitor.web.wall import show_bed, show_criteria

MOST_PAGES = 400
LOOK_AGAIN_S = 30.0
LEASE_NO_SOONER_S = 1.0


def routes(house: House) -> APIRouter:
    """Return the routes of the live wall."""
    router = APIRouter(tags=["wall"])

    @router.get("/beds", summary="The wall as it is now, one frame")
    def beds(request: Request) -> dict[str, Any]:
        house.reader(request, "view")
        return dict(orjson.loads(house.hub.build()))

    @router.get("/beds/{bed_id}", summary="One bed as it is now, with its criteria for discharge")
    def bed(bed_id: str, request: Request) -> dict[str, Any]:
        house.reader(request, "view")
        found = house.bed(bed_id)
        return {**show_bed(found), "criteria": show_criteria(found, house.desk.now())}

    @router.websocket("/wall")
    async def wall(socket: WebSocket) -> None:
        seat = house.doors.read(socket.cookies.get(Doorkeeper.COOKIE))
        await socket.accept()
        if seat is None or not seat.may("view"):
            await socket.close(4401, "sign in first")
            return
        if house.hub.pages >= MOST_PAGES:
            await socket.close(4429, "too many pages are open")
            return
        listening = asyncio.create_task(_listen(house, socket, seat))
        with house.hub.looking():
            try:
                await _speak(house, socket, listening)
            finally:
                listening.cancel()

    return router


async def _speak(house: House, socket: WebSocket, listening: asyncio.Task[None]) -> None:
    """Send the newest frame whenever there is one, until the page is gone, slow or not allowed any more."""
    seen, looked_at = -1, time.monotonic()
    try:
        while not listening.done():
            seen = await house.hub.next_frame(seen)
            async with asyncio.timeout(SEND_WITHIN_S):
                await socket.send_text(house.hub.frame)
            if time.monotonic() - looked_at > LOOK_AGAIN_S:
                looked_at = time.monotonic()
                if house.doors.read(socket.cookies.get(Doorkeeper.COOKIE)) is None:
                    await socket.close(4401, "signed out")
                    return
    except TimeoutError:
        house.hub.dropped += 1
    except (WebSocketDisconnect, RuntimeError, OSError):
        return


async def _listen(house: House, socket: WebSocket, seat: Seat) -> None:
    """Take the page's leases; anything else it says is passed over."""
    last = 0.0
    try:
        async for text in socket.iter_text():
            if time.monotonic() - last < LEASE_NO_SOONER_S or len(text) > 500:
                continue
            last = time.monotonic()
            lease = _lease(text)
            if lease is not None:
                house.desk.annunciate(f"{seat.seat_id}:{lease[0]}", lease[1])
    except (WebSocketDisconnect, RuntimeError, OSError, KeyError):
        return


def _lease(text: str) -> tuple[str, bool] | None:
    try:
        found = orjson.loads(text)
        page, sounding = found["page"], found["sounding"]
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return None
    return (page[:40], sounding) if isinstance(page, str) and isinstance(sounding, bool) else None
