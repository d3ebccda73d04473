"""The page behind a link in a message: one alarm, one person, yes or no.

Law: looking changes nothing, because whatever previews a message fetches its links; only the button answers.
The signed token is who asks and what about, so nobody signs in here; the page names no patient.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from monitor.core.inputs import Accept, Reject
from monitor.web.house import House

POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def routes(house: House, draw: Any) -> APIRouter:
    """Return the page's two routes; ``draw`` fills its template."""
    router = APIRouter(prefix="/a")

    @router.get("/{token}")
    def look(token: str, request: Request) -> Response:
        holder, shown = _read(house, token, request)
        return _page(draw, 200 if shown else 404, holder=holder, **shown)

    @router.post("/{token}")
    async def answer(
        token: str, request: Request, answer: Literal["accept", "reject"] = Form()
    ) -> Response:
        holder, shown = _read(house, token, request)
        if not shown:
            return _page(draw, 404, holder=holder)
        alarm = shown["alarm"]
        if alarm is None:
            return _page(draw, 409, holder=holder, **shown)
        one = Accept(alarm.alarm_id, holder) if answer == "accept" else Reject(alarm.alarm_id, holder)
        try:
            await house.submit(shown["bed_id"], one)
        except HTTPException as why:
            return _page(draw, why.status_code, holder=holder, **{**shown, "wrong": why.detail})
        return RedirectResponse(request.url.path, 303)

    return router
