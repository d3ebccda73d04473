"""What every route needs: the desk, the archive, the people, and how a request becomes an input.

Law: rights are judged here, on the server, for the role and for the thing it asks about (ASVS V8.2, V8.3); a
page that hides a button protects nothing. Whatever a person does is an input with their name on it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from fastapi import HTTPException, Request, Response

from monitor.config import Configuration
from monitor.core.inputs import Input
from monitor.core.outcomes import as_json
from monitor.core.turn import Bed
from monitor.web.desk import Archive, Desk, Reply
from monitor.web.gate import Throttle
from monitor.web.hub import STATION, Hub
from monitor.web.ledger import Ledger
from monitor.web.seats import SEAT_S, Doorkeeper, Right, Seat
from monitor.web.users import Users

LABEL = (
    "Secondary notification: the bedside monitor and the person in the room stay primary. Not a primary "
    "alarm; designed after IEC 60601-1-8, claims no conformity."
)
ANSWER_WITHIN_S = 8.0


class Export(NamedTuple):
    """One way out of a session's record.

    ``make`` gets the session's id and raises ValueError, in words for people, when this record cannot be
    given in this form. ``routes``: the routes of administration it is for; none means every one.
    """

    media_type: str
    suffix: str
    title: str
    make: Callable[[str], bytes]
    routes: tuple[str, ...] = ()


class DrillRuns(Protocol):
    """Who runs drills for the console. Values are JSON; every method may be called from any thread."""

    def drills(self) -> Sequence[Mapping[str, Any]]:
        """Return every drill: name, title, teaches."""
        ...

    def script(self, name: str) -> str:
        """Return a drill in words: patient, what should be said and done. Raises ValueError."""
        ...

    def run(self, name: str, bed_ids: Sequence[str], by: str) -> str:
        """Start a drill on free beds; return the run's id. Raises ValueError with the reason."""
        ...

    def runs(self) -> Sequence[Mapping[str, Any]]:
        """Return runs, newest first: id, name, title, beds, state, started_at, by, steps, score."""
        ...

    def inject(self, run_id: str, words: str, by: str) -> None:
        """Change a patient's course or a device now: ``[bed] kind seconds [size]``. Raises ValueError."""
        ...

    def stop(self, run_id: str, by: str) -> None:
        """Stop a run. Raises ValueError with the reason."""
        ...


@dataclass(slots=True)
class Options:
    """What the house offers beyond desk and archive; what is missing is left out of the pages.

    ``read_answer(token)`` returns the bed, the alarm and the holder of an answer link, and raises ValueError
    with what to tell the person; ``duty_changed()`` is called when other people are on duty;
    ``test_routes()`` sends a message to every target and returns a row for each; ``figures()`` returns what
    Prometheus is told beside the desk's health, by name; ``sign_in_refused()`` counts (S-09).
    """

    exports: Mapping[str, Export] = field(default_factory=dict)
    drill_runs: DrillRuns | None = None
    read_answer: Callable[[str], tuple[str, str, str]] | None = None
    duty_changed: Callable[[], None] = lambda: None
    test_routes: Callable[[], Sequence[Mapping[str, Any]]] | None = None
    figures: Callable[[], Mapping[str, float]] = dict
    sign_in_refused: Callable[[], None] = lambda: None
    ledger: Path | None = None


@dataclass(slots=True)
class House:
    """Everything a route may use."""

    desk: Desk
    archive: Archive
    configuration: Configuration
    users: Users
    doors: Doorkeeper
    hub: Hub
    ledger: Ledger
    options: Options
    writes: Throttle = field(default_factory=lambda: Throttle(30, 5))
    acknowledgements: Throttle = field(default_factory=lambda: Throttle(3, 0.5))
    entries: Throttle = field(default_factory=lambda: Throttle(5, 5 / 60))
    links: Throttle = field(default_factory=lambda: Throttle(20, 1))
    kept: OrderedDict[str, asyncio.Future[dict[str, Any]]] = field(default_factory=OrderedDict)

    # --- who --------------------------------------------------------------------------------------------

    def seat(self, request: Request) -> Seat:
        """Return who asks. Raises 401."""
        seat = self.doors.read(request.cookies.get(Doorkeeper.COOKIE))
        if seat is None:
            raise HTTPException(401, "sign in first")
        return seat

    def reader(self, request: Request, right: Right) -> Seat:
        """Return who asks, with the right to read. Raises 401 or 403."""
        seat = self.seat(request)
        if not seat.may(right):
            self.refuse(seat, right, request.url.path)
        return seat

    def writer(self, request: Request, right: Right, *, also: bool = False) -> Seat:
        """Return who asks, with the right to change, awake and with their page's token. Raises 401, 403, 429.

        ``also``: another reason by which it is allowed, such as a drill on that bed.
        """
        seat = self.present(request)
        if not seat.may(right) and not also:
            self.refuse(seat, right, request.url.path)
        if not seat.awake():
            raise HTTPException(403, "you were away: enter your PIN or password", {"X-Why": "asleep"})
        return seat

    def present(self, request: Request) -> Seat:
        """Return who asks, with their page's token; asleep or not. Raises 401 or 403."""
        seat = self.seat(request)
        if request.headers.get("x-csrf-token") != self.doors.csrf(seat):
            raise HTTPException(403, "the page is out of date: load it again")
        return seat

    def refuse(self, seat: Seat, right: str, path: str) -> None:
        """Write down and raise that a right is missing."""
        self.ledger.write(seat.name, "refused", f"{right}: {path}")
        raise HTTPException(403, f"this needs the right to {right}; you are {' and '.join(seat.roles)}")

    def keep_out(self, name: str, what: str, why: str) -> None:
        """Write down that somebody was not let in, and count it (S-09)."""
        self.ledger.write(name, what, why)
        self.options.sign_in_refused()

    def seated(self, response: Response, seat: Seat, request: Request) -> None:
        """Send the seat's cookie."""
        response.set_cookie(
            Doorkeeper.COOKIE,
            self.doors.write(seat),
            max_age=int(SEAT_S),
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https"
            or self.configuration.clinic.web.public_url.startswith("https:"),
        )

    # --- what -------------------------------------------------------------------------------------------

    def bed(self, bed_id: str) -> Bed:
        """Return a bed. Raises 404."""
        found = self.desk.beds().get(bed_id)
        if found is None:
            raise HTTPException(404, f"no bed {bed_id!r}")
        return found

    def is_drill(self, bed_id: str) -> bool:
        """Say whether a drill runs on the bed."""
        session = self.bed(bed_id).session
        return session is not None and session.mode == "drill"

    def label_of(self, bed_id: str) -> str:
        """Return what people call a bed."""
        for entry in self.configuration.ward.beds:
            if entry.id == bed_id:
                return entry.label or entry.id
        return "Station" if bed_id == STATION else bed_id

    def instant(self, at: datetime) -> datetime:
        """Return the instant that is meant: a time without an offset is the site's, as its calendar is."""
        return at if at.tzinfo else at.replace(tzinfo=ZoneInfo(self.configuration.clinic.site.zone))

    async def submit(self, bed_id: str, one: Input, *, key: str = "") -> dict[str, Any]:
        """Hand in an input and return what came of it; the same ``key`` again gives the same answer.

        Raises 409 with the reason if it was refused, 504 if there was no answer in time.
        """
        if not key:
            return await self._submit(bed_id, one)
        doing = self.kept.get(key)
        if doing is None:
            doing = self.kept[key] = asyncio.ensure_future(self._submit(bed_id, one))
            while len(self.kept) > 2000:
                self.kept.popitem(last=False)
        try:
            return await asyncio.shield(doing)
        except HTTPException:
            self.kept.pop(key, None)
            raise

    async def _submit(self, bed_id: str, one: Input) -> dict[str, Any]:
        reply = await self.answer(bed_id, one)
        name = type(one).__name__
        for outcome in reply.outcomes:
            if outcome.outcome == "Refused" and outcome.detail.get("input") == name:
                raise HTTPException(403 if "(AL-22)" in outcome.reason else 409, outcome.reason)
        return {"durable": reply.durable, "outcomes": [as_json(outcome) for outcome in reply.outcomes]}

    async def answer(self, bed_id: str, one: Input) -> Reply:
        """Hand in an input and wait for the reply. Raises 504."""
        future = self.desk.submit(bed_id, one)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), ANSWER_WITHIN_S)
        except TimeoutError:
            raise HTTPException(504, "no answer in time; look at the wall whether it was done") from None
