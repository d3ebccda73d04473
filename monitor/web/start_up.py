"""The start-up test: what is proved of light, sound and channels before a session begins (AL-51).

Law: nobody is asked for what is proved already, and what is not proved never keeps a session from beginning:
it needs a reason, which stands in its record. A person proves a screen; the house proves the rest by itself.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from monitor.core.inputs import ConfirmSignals, StartUpTest
from monitor.web.house import House
from monitor.web.hub import STATION
from monitor.web.wall import ms

PROOF_LASTS = timedelta(hours=12)  # a long shift: each shift hears its screens once (proposed)
MOST_SCREEN = 40


class Screen(BaseModel):
    """The screen before which a person stands: a name that its browser keeps."""

    model_config = ConfigDict(extra="forbid")

    screen: str = Field(min_length=1, max_length=MOST_SCREEN)


def judge(house: House, screen: str, override: str = "") -> StartUpTest:
    """Return what is proved now, for a session that begins before this screen; none: no screen at all."""
    since, health = house.desk.now() - PROOF_LASTS, house.desk.health()
    log = house.archive.log(bed_id=STATION, names=("SignalsConfirmed",), from_at=since)
    proofs = [entry.outcome for entry in log if screen and entry.outcome.detail.get("screen") == screen]
    missing = [] if proofs else ["nobody has seen and heard the test signals of this screen in 12 h"]
    if not health.get("annunciators"):
        missing.append("no page with proved sound is open")
    missing += [f"messages to {target} do not arrive" for target in health.get("dead_channels", ())]
    by, at = (proofs[-1].by, proofs[-1].at) if proofs else ("", None)
    return StartUpTest(by, at, tuple(missing), override)


def routes(house: House) -> APIRouter:
    """Return the routes of the start-up test."""
    router = APIRouter(tags=["start-up test"])

    @router.get("/start-up", summary="What is proved of light, sound and channels, and what is not")
    def look(request: Request, screen: str = "") -> dict[str, Any]:
        house.reader(request, "view")
        found = judge(house, screen[:MOST_SCREEN])
        return {"by": found.by, "at": ms(found.at), "missing": found.missing}

    @router.post("/start-up", summary="The test signals of this screen were seen and heard")
    async def confirm(body: Screen, request: Request, response: Response) -> dict[str, Any]:
        seat = house.writer(request, "care", also=house.seat(request).may("drill"))
        answer = await house.submit(STATION, ConfirmSignals(body.screen, seat.name))
        house.seated(response, house.doors.touch(seat), request)
        return answer

    return router
