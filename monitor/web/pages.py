"""The pages: thin HTML that says who looks and what may be done; modules under static/ do the rest.

Law: a page shows only what the server lets its person do, and carries the label of secondary notification.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from monitor.core.remarks import DISPOSITIONS
from monitor.core.visit import SCALES
from monitor.core.vitals import METRICS
from monitor.web import answers, entry, records
from monitor.web.house import LABEL, House
from monitor.web.seats import Doorkeeper, Right, Seat

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
STATIC = HERE / "static"

# Path, template, right, title: pages that need nothing more than a right.
PLAIN: tuple[tuple[str, str, Right, str], ...] = (
    ("/", "wall.html", "view", "Wall"),
    ("/alarms", "alarms.html", "view", "Alarms"),
    ("/devices", "devices.html", "view", "Devices"),
    ("/drills", "drills.html", "drill", "Drills"),
    ("/me", "me.html", "view", "My sign-in"),
    ("/admin/users", "users.html", "admin", "People"),
    ("/admin/audit", "audit.html", "admin", "Audit"),
    ("/admin/health", "health.html", "admin", "System"),
)


@functools.cache
def static_path() -> str:
    """Return where the pages' files are served: another path with any other byte of them.

    The version is part of the path, not a query: a module that others import by a relative name has one
    address then, and runs once in a page.
    """
    digest = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return f"/static/{digest.hexdigest()[:10]}"


def routes(house: House) -> APIRouter:
    """Return the routes of the pages."""
    router = APIRouter(include_in_schema=False)
    draw = _Drawer(house)
    router.include_router(_entry_pages(house, draw))
    for path, template, right, title in PLAIN:
        router.add_api_route(path, _plain(draw, template, right, title), methods=["GET"])
    router.include_router(_bed_pages(house, draw))
    router.include_router(_record_pages(house, draw))
    router.include_router(answers.routes(house, draw))
    return router


class _Drawer:
    """Fills templates with what every page needs."""

    def __init__(self, house: House) -> None:
        self._house = house

    @functools.cached_property
    def _environment(self) -> Environment:
        from jinja2 import Environment, FileSystemLoader, select_autoescape  # the first page can wait for it

        return Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=select_autoescape(default=True),
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def __call__(self, template: str, seat: Seat | None, *, code: int = 200, **more: Any) -> HTMLResponse:
        house = self._house
        site = house.configuration.clinic.site
        text = self._environment.get_template(template).render(
            seat=seat,
            me=entry.me_of(house, seat) if seat else None,
            csrf=house.doors.csrf(seat) if seat else "",
            label=LABEL,
            site=site.name,
            zone=site.zone,
            static=static_path(),
            **more,
        )
        return HTMLResponse(text, code)

    def seat(self, request: Request, right: Right) -> Seat | Response:
        """Return the seat, or what to answer instead."""
        found = self._house.doors.read(request.cookies.get(Doorkeeper.COOKIE))
        if found is None:
            onward = quote(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
            return RedirectResponse(f"/sign-in?next={onward}", 303)
        if not found.may(right):
            self._house.ledger.write(found.name, "refused", f"{right}: {request.url.path}")
            return self("refused.html", found, code=403, title="Not for you", right=right)
        return found


def _plain(draw: _Drawer, template: str, right: Right, title: str) -> Any:
    def page(request: Request) -> Response:
        seat = draw.seat(request, right)
        if isinstance(seat, Response):
            return seat
        roles = ("nurse", "clinician", "operator", "admin")
        return draw(template, seat, title=title, roles=roles)

    return page


def _entry_pages(house: House, draw: _Drawer) -> APIRouter:
    router = APIRouter()

    @router.get("/sign-in")
    def form(next: str = "/") -> Response:  # noqa: A002 - the name in the address
        return draw("sign-in.html", None, title="Sign in", next=entry.safe_path(next), wrong="", name="")

    @router.post("/sign-in")
    def sign_in(
        request: Request,
        name: str = Form("", max_length=60),
        password: str = Form("", max_length=256),
        code: str = Form("", max_length=10),
        next: str = Form("/", max_length=500),  # noqa: A002
    ) -> Response:
        onward = entry.safe_path(next)
        try:
            seat = entry.admit(house, name, password, code, entry.address_of(request))
        except HTTPException as why:
            return draw(
                "sign-in.html",
                None,
                code=why.status_code,
                title="Sign in",
                next=onward,
                wrong=why.detail,
                name=name,
                factor=(why.headers or {}).get("X-Why") == "factor",
            )
        answer = RedirectResponse(onward, 303)
        house.seated(answer, seat, request)
        return answer

    @router.get("/enter")
    def enter(request: Request, token: str = "") -> Response:
        seat = entry.enter(house, token, entry.address_of(request))
        if seat is None:
            wrong = "this link was used or is too old; sign in with name and password"
            return draw("sign-in.html", None, code=401, title="Sign in", next="/", wrong=wrong, name="")
        answer = RedirectResponse("/", 303)
        house.seated(answer, seat, request)
        return answer

    return router


def _bed_pages(house: House, draw: _Drawer) -> APIRouter:
    router = APIRouter()

    def of_bed(
        request: Request, bed_id: str, template: str, right: Right, title: str, **more: Any
    ) -> Response:
        seat = draw.seat(request, right)
        if isinstance(seat, Response):
            return seat
        bed = house.desk.beds().get(bed_id)
        if bed is None:
            return draw("refused.html", seat, code=404, title="No such bed", right="")
        return draw(template, seat, title=title, bed=bed_id, bed_label=house.label_of(bed_id), **more)

    @router.get("/rooms/{bed_id}")
    def room(bed_id: str, request: Request) -> Response:
        return of_bed(request, bed_id, "room.html", "view", "Room")

    @router.get("/beds/{bed_id}/start")
    def start(bed_id: str, request: Request) -> Response:
        seat = house.doors.read(request.cookies.get(Doorkeeper.COOKIE))
        right: Right = "drill" if seat and not seat.may("care") else "care"
        bed = house.desk.beds().get(bed_id)
        if bed is not None and bed.session is not None:
            return RedirectResponse(f"/sessions/{bed.session.session_id}", 303)
        protocols = list(house.configuration.protocols.values())
        return of_bed(request, bed_id, "start.html", right, "Start", protocols=protocols)

    @router.get("/beds/{bed_id}/limits")
    def limits(bed_id: str, request: Request) -> Response:
        return of_bed(request, bed_id, "limits.html", "view", "Limits")

    return router


def _record_pages(house: House, draw: _Drawer) -> APIRouter:
    router = APIRouter()

    @router.get("/sessions")
    def sessions(request: Request) -> Response:
        seat = draw.seat(request, "view")
        if isinstance(seat, Response):
            return seat
        if not seat.may("record") and not seat.may("drill"):
            return draw("refused.html", seat, code=403, title="Not for you", right="record")
        protocols = list(house.configuration.protocols.values())
        return draw("sessions.html", seat, title="Sessions", protocols=protocols)

    @router.get("/sessions/{session_id}")
    def session(session_id: str, request: Request) -> Response:
        seat = draw.seat(request, "view")
        if isinstance(seat, Response):
            return seat
        try:
            _, summary = records.allowed(house, request, session_id)
        except HTTPException as why:
            title = "No such session" if why.status_code == 404 else "Not for you"
            right = "record" if why.status_code == 403 else ""
            return draw("refused.html", seat, code=why.status_code, title=title, right=right)
        return draw(
            "session.html",
            seat,
            title=f"Session {summary.patient_code}",
            summary=records.show(summary),
            bed=summary.bed_id,
            bed_label=house.label_of(summary.bed_id),
            protocol=house.archive.protocol_of(session_id),
            exports=records.exports(house, session_id),
            scales=SCALES,
            dispositions=DISPOSITIONS,
            metrics=METRICS,
        )

    return router
