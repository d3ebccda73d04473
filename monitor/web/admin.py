"""Running the house: people, devices, audit, health, and proof that messages arrive.

Law: whatever an admin changes is written down with their name, and administration needs a second factor.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from monitor.core.outcomes import as_json
from monitor.web.house import House
from monitor.web.records import MOST_ENTRIES
from monitor.web.users import UserError
from monitor.web.wall import ms

NOBODY = ("", "clock", "monitor")  # what the house did by itself is in the log, not among people's deeds


class Person(BaseModel):
    """A new person."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=40)
    password: str = Field(max_length=256)
    roles: list[str] = Field(min_length=1, max_length=4)


class Change(BaseModel):
    """What changes of a person; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    roles: list[str] | None = None
    password: str | None = Field(None, max_length=256)
    on_duty: bool | None = None
    forget_pin: bool = False
    forget_factor: bool = False


def routes(house: House) -> APIRouter:
    """Return the routes of administration."""
    router = APIRouter(prefix="/admin", tags=["admin"])
    router.include_router(_people(house))
    router.include_router(_machines(house))
    return router


def _people(house: House) -> APIRouter:
    router = APIRouter()

    @router.get("/users", summary="Everyone, with roles")
    def users(request: Request) -> dict[str, Any]:
        house.reader(request, "admin")
        return {
            "users": [
                {
                    "name": one.name,
                    "roles": list(one.roles),
                    "on_duty": one.on_duty,
                    "has_pin": bool(one.pin),
                    "has_factor": bool(one.factor),
                }
                for one in house.users.list()
            ]
        }

    @router.post("/users", summary="Add a person")
    def add(body: Person, request: Request) -> dict[str, Any]:
        seat = house.writer(request, "admin")
        try:
            account = house.users.add(body.name, body.password, body.roles)
        except UserError as why:
            raise HTTPException(422, str(why)) from None
        house.ledger.write(seat.name, "user added", f"{account.name}: {', '.join(account.roles)}")
        return {"name": account.name}

    @router.patch("/users/{name}", summary="Change roles, password, duty, PIN or factor")
    def change(name: str, body: Change, request: Request) -> dict[str, Any]:
        seat = house.writer(request, "admin")
        try:
            done = _change(house, name, body)
        except UserError as why:
            raise HTTPException(422, str(why)) from None
        house.ledger.write(seat.name, "user changed", f"{name}: {'; '.join(done)}")
        if body.on_duty is not None:
            house.options.duty_changed()
        return {"done": done}

    @router.delete("/users/{name}", summary="Remove a person; their sign-ins end")
    def remove(name: str, request: Request) -> dict[str, Any]:
        seat = house.writer(request, "admin")
        try:
            _keep_an_admin(house, name, stays=False)
            house.users.remove(name)
        except UserError as why:
            raise HTTPException(422, str(why)) from None
        house.ledger.write(seat.name, "user removed", name)
        house.options.duty_changed()
        return {"done": True}

    return router


def _change(house: House, name: str, body: Change) -> list[str]:
    users, done = house.users, list[str]()
    if body.roles is not None:
        _keep_an_admin(house, name, "admin" in body.roles)
        users.set_roles(name, body.roles)
        done.append(f"roles {', '.join(body.roles)}")
    if body.password is not None:
        users.set_password(name, body.password)
        done.append("password")
    if body.on_duty is not None:
        users.set_on_duty(name, body.on_duty)
        done.append("on duty" if body.on_duty else "off duty")
    if body.forget_pin:
        users.set_pin(name, "")
        done.append("PIN taken away")
    if body.forget_factor:
        users.set_factor(name, "")
        done.append("second factor taken away")
    return done


def _keep_an_admin(house: House, name: str, stays: bool) -> None:
    others = [one for one in house.users.list() if "admin" in one.roles and one.name.lower() != name.lower()]
    if not stays and not others:
        raise UserError("this is the last admin: make another one first")


def _machines(house: House) -> APIRouter:
    router = APIRouter()

    @router.get("/health", summary="The self-check, with what the pages cost")
    def health(request: Request) -> dict[str, Any]:
        seat = house.seat(request)
        if not seat.may("admin") and not seat.may("drill"):
            house.refuse(seat, "admin", request.url.path)
        hub = house.hub
        pages = {"pages": hub.pages, "frame": hub.number, "build_ms": round(hub.build_s * 1000, 2)}
        health = {**house.desk.health(), **house.options.figures()}
        return {"health": health, "wall": {**pages, "dropped": hub.dropped}}

    @router.get("/devices", summary="Every device: its bed, its clock, when it was last heard")
    def devices(request: Request) -> dict[str, Any]:
        house.reader(request, "view")
        return {"devices": list_devices(house)}

    @router.get("/quarantine", summary="What could not be decoded, newest first")
    def quarantine(request: Request) -> dict[str, Any]:
        house.reader(request, "admin")
        return {"quarantine": house.archive.quarantine(100)}

    @router.get("/audit", summary="Who looked, came and went; the deeds at the beds, of 7 days if not said")
    def audit(
        request: Request,
        by: Annotated[str, Query(max_length=40)] = "",
        what: Annotated[str, Query(max_length=40)] = "",
        bed: Annotated[str, Query(max_length=63)] = "",
        from_at: datetime | None = None,
    ) -> dict[str, Any]:
        house.reader(request, "admin")
        since = house.instant(from_at) if from_at else house.desk.now() - timedelta(days=7)
        names = [what] if what and what[0].isupper() else ()
        log = house.archive.log(bed_id=bed, names=names, from_at=since, limit=MOST_ENTRIES)
        deeds = [
            {"id": entry.id, **as_json(entry.outcome)}
            for entry in reversed(log)
            if entry.outcome.by not in NOBODY and by.lower() in entry.outcome.by.lower()
        ]
        lines = house.ledger.read(by=by, what=what)
        return {
            "ledger": [line._asdict() for line in lines],
            "deeds": deeds[:500],
            "chain": house.ledger.verify() or "whole",
        }

    @router.post("/routes/test", summary="Send a message to every target and see what comes of it")
    def test(request: Request) -> dict[str, Any]:
        seat = house.writer(request, "admin")
        if house.options.test_routes is None:
            raise HTTPException(501, "no test of routes is set up; use `afterwatch check --send`")
        house.ledger.write(seat.name, "routes tested", "")
        return {"targets": [dict(one) for one in house.options.test_routes()]}

    return router


def list_devices(house: House) -> list[dict[str, Any]]:
    """Return every configured device and what its bed knows of it."""
    serving = {
        device_id: (bed_id, device)
        for bed_id, bed in house.desk.beds().items()
        for device_id, device in bed.devices.items()
    }
    found = []
    for entry in house.configuration.ward.devices:
        bed_id, device = serving.get(entry.id, ("", None))
        found.append(
            {
                "id": entry.id,
                "bed": bed_id,
                "bed_label": house.label_of(bed_id) if bed_id else "",
                "format": entry.format,
                "metrics": entry.metrics,
                "seen": ms(device.seen_at) if device else None,
                "online": device.online if device else None,
                "faults": list(device.faults) if device else [],
                "skew_s": device.skew.total_seconds() if device else 0.0,
            }
        )
    return found
