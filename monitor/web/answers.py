"""The page behind a link in a message: one alarm, one person, two buttons.

Law: looking changes nothing, because whatever previews a message fetches its links; only a button answers.
The signed token says who answers what, so nobody signs in here; the page names no patient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from monitor.clockface import Clockface
from monitor.core.alarms import Alarm
from monitor.core.inputs import Accept, Reject
from monitor.core.ownership import UNANSWERED
from monitor.core.turn import Bed
from monitor.web.entry import address_of
from monitor.web.house import House

Draw = Callable[..., Response]


class Link(NamedTuple):
    """What a token stands for: the bed, the alarm, and who was asked."""

    bed_id: str
    alarm_id: str
    holder: str


def routes(house: House, draw: Draw) -> APIRouter:
    """Return the page's routes; ``draw`` fills a template."""
    router = APIRouter(prefix="/a")

    def page(code: int = 200, link: Link | None = None, wrong: str = "") -> Response:
        shown = _shown(house, link) if link else {}
        return draw("answer.html", None, code=code, title="Answer an alarm", wrong=wrong, link=link, **shown)

    def refused(why: HTTPException) -> Response:
        return page(why.status_code, wrong=str(why.detail))

    @router.get("/{token}")
    def look(token: str, request: Request) -> Response:
        try:
            return page(link=_read(house, token, request))
        except HTTPException as why:
            return refused(why)

    @router.post("/{token}")
    async def answer(token: str, request: Request, answer: Literal["accept", "reject"] = Form()) -> Response:
        try:
            link = _read(house, token, request)
        except HTTPException as why:
            return refused(why)
        one = Accept if answer == "accept" else Reject
        try:
            await house.submit(link.bed_id, one(link.alarm_id, link.holder))
        except HTTPException as why:
            return page(why.status_code, link, str(why.detail))
        return RedirectResponse(request.url.path, 303)

    return router


def _read(house: House, token: str, request: Request) -> Link:
    """Return what a token stands for. Raises 404, or 429: guesses are slowed by where they come from."""
    if house.options.read_answer is None:
        raise HTTPException(404, "this monitor sends no links to answer by: answer on the wall")
    try:
        link, wrong = Link(*house.options.read_answer(token)), ""
    except ValueError as why:
        link, wrong = None, str(why)
    key = f"{link.alarm_id} {link.holder}" if link else address_of(request)
    if wait := house.links.take(key):
        raise HTTPException(429, f"too many tries: wait {wait:.0f} s, or answer on the wall")
    if link is None or link.bed_id not in house.desk.beds():
        raise HTTPException(404, wrong or "this bed is no longer watched: answer on the wall")
    return link


def _shown(house: House, link: Link) -> dict[str, Any]:
    """Return what the page says of the alarm."""
    bed = house.bed(link.bed_id)
    alarm = _meant(bed, link.alarm_id)
    zone, now = house.configuration.clinic.site.zone, house.desk.now()
    shown: dict[str, Any] = {"alarm": alarm, "bed_label": house.label_of(link.bed_id)}
    if alarm is not None:
        own, clock = alarm.ownership, Clockface(zone, (alarm.onset_at, now))
        shown |= {
            "text": clock.words(alarm.text, alarm.onset_at).replace("mm[Hg]", "mmHg").replace(" Cel", " °C"),
            "shape": "technical" if (alarm.kind, alarm.priority) == ("technical", "low") else alarm.priority,
            "since": clock.time(alarm.onset_at),
            "minutes": int((now - alarm.onset_at).total_seconds() // 60),
            "drill": bed.session is not None and bed.session.mode == "drill",
            "owner": own.owner if own.state == "accepted" else "",
            "passed": link.holder in own.rejected_by,
        }
    return shown


def _meant(bed: Bed, alarm_id: str) -> Alarm | None:
    """Return the present alarm of that id; "nobody has accepted" speaks of the alarm behind it."""
    found = next((one for one in bed.alarms.values() if one.alarm_id == alarm_id), None)
    if found is not None and found.key.startswith(UNANSWERED):
        return bed.alarms.get(found.key.removeprefix(UNANSWERED))
    return found
