"""Coming in and going out: full sign-in, one-time link, PIN switch, second factor, emergency reading.

Law: a wrong password is as slow as a right one, and after five of them a name waits; people who are already
at a page are never kept from an alarm by it.
"""

from __future__ import annotations

import threading
from typing import Annotated, Any
from urllib.parse import urlsplit

import pyotp
from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from monitor.web.house import House
from monitor.web.seats import EMERGENCY_S, SEAT_S, Doorkeeper, Factor, Seat
from monitor.web.users import Account, UserError

_HASHING = threading.Semaphore(1)  # argon2 takes 64 MB and a core; a flood of sign-ins waits in line


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SignIn(_Body):
    """Name and password, and the code of the second factor where there is one."""

    name: str = Field(max_length=60)
    password: str = Field(max_length=256)
    code: str = Field("", max_length=10)


class Switch(_Body):
    """Another person at the same station, by PIN."""

    name: str = Field(max_length=60)
    pin: str = Field(max_length=8)


class Secret(_Body):
    """A new password or PIN, with the present password."""

    password: str = Field(max_length=256)
    new: str = Field(max_length=256)


class Code(_Body):
    """A code of the second factor, with the seed it proves."""

    seed: str = Field(max_length=64)
    code: str = Field(max_length=10)


class Duty(_Body):
    """Whether one is on duty."""

    on_duty: bool


class Why(_Body):
    """The reason of an emergency."""

    reason: Annotated[str, Field(min_length=5, max_length=300)]


def admit(house: House, name: str, password: str, code: str, address: str) -> Seat:
    """Return a fresh seat after a full sign-in. Raises 401 or 429."""
    for key in (f"name:{name.lower()}", f"address:{address}"):
        if wait := house.entries.take(key):
            house.keep_out(name, "sign-in refused", f"too many tries from {address}")
            raise HTTPException(
                429, f"too many tries; wait {wait:.0f} s", {"Retry-After": str(int(wait) + 1)}
            )
    with _HASHING:
        account = house.users.verify(name, password)
    if account is None:
        house.keep_out(name, "sign-in refused", f"wrong name or password from {address}")
        raise HTTPException(401, "wrong name or password")
    if account.factor and not pyotp.TOTP(account.factor).verify(code.strip(), valid_window=1):
        house.keep_out(name, "sign-in refused", f"second factor from {address}")
        raise HTTPException(401, "the code of the second factor is missing or wrong", {"X-Why": "factor"})
    house.users.unlock_pin(account.name)
    house.ledger.write(account.name, "sign-in", address)
    return house.doors.seat(account, ("password", "totp") if account.factor else ("password",))


def enter(house: House, token: str, address: str) -> Seat | None:
    """Return the seat of a one-time link, or ``None``."""
    account = house.users.redeem(token)
    if account is None:
        house.keep_out("?", "sign-in refused", f"one-time link from {address}")
        return None
    house.ledger.write(account.name, "sign-in", f"one-time link from {address}")
    return house.doors.seat(account, ("link",))


def address_of(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else "?"


def safe_path(path: str) -> str:
    """Return a path of ours to go on to; anything that leads elsewhere becomes the wall."""
    parts = urlsplit(path)
    own = (
        not parts.scheme and not parts.netloc and path.startswith("/") and not path.startswith(("//", "/\\"))
    )
    return path if own else "/"


def routes(house: House) -> APIRouter:
    """Return the routes of people."""
    router = APIRouter(tags=["people"])

    @router.post("/sign-in", summary="Full sign-in; the answer sets the cookie")
    def sign_in(body: SignIn, request: Request, response: Response) -> dict[str, Any]:
        seat = admit(house, body.name, body.password, body.code, address_of(request))
        house.seated(response, seat, request)
        return me_of(house, seat)

    @router.post("/sign-out", summary="Leave this station")
    def sign_out(request: Request, response: Response) -> dict[str, Any]:
        seat = house.present(request)
        house.users.revoke(seat.seat_id, SEAT_S)
        house.ledger.write(seat.name, "sign-out", "")
        response.delete_cookie(Doorkeeper.COOKIE)
        return {"done": True}

    @router.get("/me", summary="Who am I, and what may I do now")
    def me(request: Request) -> dict[str, Any]:
        return me_of(house, house.seat(request))

    @router.get("/people", summary="Who can switch in by PIN here")
    def people(request: Request) -> dict[str, Any]:
        house.reader(request, "view")
        return {"people": [one.name for one in house.users.list() if one.pin]}

    router.include_router(_awake(house))
    router.include_router(_own(house))
    return router


def _awake(house: House) -> APIRouter:
    router = APIRouter(prefix="/me")

    @router.post("/active", summary="A sign of life; it does not wake a seat that fell asleep")
    def active(request: Request, response: Response) -> dict[str, Any]:
        seat = house.present(request)
        if seat.awake():
            seat = house.doors.touch(seat)
            house.seated(response, seat, request)
        return me_of(house, seat)

    @router.post("/switch", summary="Another person at this station, by PIN")
    def switch(body: Switch, request: Request, response: Response) -> dict[str, Any]:
        seat = house.present(request)
        if not house.doors.in_shift(seat):
            raise HTTPException(403, "the shift is over: sign in with the password", {"X-Why": "shift"})
        if wait := house.entries.take(f"pin:{seat.seat_id}"):
            raise HTTPException(429, f"too many tries; wait {wait:.0f} s")
        with _HASHING:
            account = house.users.verify_pin(body.name, body.pin)
        if account is None:
            house.keep_out(body.name, "switch refused", f"at the seat of {seat.name}")
            raise HTTPException(401, "wrong PIN, no PIN, or locked: sign in with the password")
        house.ledger.write(account.name, "switch", f"after {seat.name}")
        seat = house.doors.switch(seat, account)
        house.seated(response, seat, request)
        return me_of(house, seat)

    @router.post("/duty", summary="Begin or end one's own duty: whom alarms are offered to")
    def duty(body: Duty, request: Request, response: Response) -> dict[str, Any]:
        seat = house.writer(request, "care")
        house.users.set_on_duty(seat.name, body.on_duty)
        house.ledger.write(seat.name, "duty", "on duty" if body.on_duty else "off duty")
        house.options.duty_changed()
        house.seated(response, house.doors.touch(seat), request)
        return me_of(house, seat)

    @router.post("/emergency", summary="Read records without the role for 15 minutes, with a reason")
    def emergency(body: Why, request: Request, response: Response) -> dict[str, Any]:
        seat = house.present(request)
        house.ledger.write(seat.name, "EMERGENCY READING", body.reason)
        seat = seat._replace(emergency_until=house.doors.touch(seat).active_at + EMERGENCY_S)
        house.seated(response, seat, request)
        return me_of(house, seat)

    return router


def _own(house: House) -> APIRouter:
    router = APIRouter(prefix="/me")

    def proved(request: Request, password: str) -> tuple[Seat, Account]:
        seat = house.present(request)
        if wait := house.entries.take(f"own:{seat.name}"):
            raise HTTPException(429, f"too many tries; wait {wait:.0f} s")
        with _HASHING:
            account = house.users.verify(seat.name, password)
        if account is None:
            house.keep_out(seat.name, "password refused", "the present password, for a change of one's own")
            raise HTTPException(401, "the present password is wrong")
        return seat, account

    @router.post("/pin", summary="Set the PIN for the quick switch")
    def pin(body: Secret, request: Request) -> dict[str, Any]:
        seat, _ = proved(request, body.password)
        _try(lambda: house.users.set_pin(seat.name, body.new))
        house.ledger.write(seat.name, "pin set", "")
        return {"done": True}

    @router.post("/password", summary="Set a new password; other sign-ins of this person end")
    def password(body: Secret, request: Request, response: Response) -> dict[str, Any]:
        seat, _ = proved(request, body.password)
        _try(lambda: house.users.set_password(seat.name, body.new))
        house.ledger.write(seat.name, "password set", "")
        again = house.users.find(seat.name)
        if again is not None:
            house.seated(response, seat._replace(generation=again.generation), request)
        return {"done": True}

    @router.get("/factor", summary="A fresh seed for a second factor")
    def offer(request: Request) -> dict[str, Any]:
        seat = house.seat(request)
        seed = pyotp.random_base32()
        return {
            "seed": seed,
            "address": pyotp.TOTP(seed).provisioning_uri(name=seat.name, issuer_name="Afterwatch"),
        }

    @router.post("/factor", summary="Begin to use a second factor, proved by a code")
    def factor(body: Code, request: Request, response: Response) -> dict[str, Any]:
        seat = house.present(request)
        account = house.users.find(seat.name)
        if account is not None and account.factor:
            raise HTTPException(409, "a second factor is set; an admin can take it away")
        if not _fits(body.seed, body.code):
            raise HTTPException(401, "the code does not fit the seed")
        _try(lambda: house.users.set_factor(seat.name, body.seed))
        house.ledger.write(seat.name, "second factor set", "")
        factors: tuple[Factor, ...] = (*seat.factors, "totp")
        seat = seat._replace(factors=factors)
        house.seated(response, seat, request)
        return me_of(house, seat)

    return router


def _fits(seed: str, code: str) -> bool:
    try:
        return pyotp.TOTP(seed).verify(code.strip(), valid_window=1)
    except ValueError:  # no base32
        return False


def _try(what: Any) -> None:
    try:
        what()
    except UserError as why:
        raise HTTPException(422, str(why)) from None


def me_of(house: House, seat: Seat) -> dict[str, Any]:
    """Return who sits there and what they may do, in JSON values."""
    rights = ("view", "care", "record", "limits", "sign", "drill", "admin")
    account = house.users.find(seat.name)
    return {
        "name": seat.name,
        "roles": list(seat.roles),
        "rights": [right for right in rights if seat.may(right)],  # type: ignore[arg-type]
        "awake": seat.awake(),
        "awake_until": round(house.doors.awake_until(seat) * 1000),
        "on_duty": bool(account and account.on_duty),
        "has_pin": bool(account and account.pin),
        "has_factor": bool(account and account.factor),
        "emergency_until": round(seat.emergency_until * 1000),
    }
