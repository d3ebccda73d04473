"""The drill console: which drills there are, what they play, and running them on free beds.

Law: a drill runs on a bed without a real session only (S-10, S-11), and every page of it says DRILL.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from monitor.web.house import House
from monitor.web.hub import STATION


class RunForm(BaseModel):
    """A drill, and the beds to play it on."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=80)]
    beds: list[Annotated[str, Field(max_length=63)]] = Field(min_length=1, max_length=50)


class Injection(BaseModel):
    """A change of the patient's course or of a device, now."""

    model_config = ConfigDict(extra="forbid")

    bed: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,63}$")] = ""
    what: Annotated[str, Field(pattern=r"^[a-z_]{1,30}$")]
    seconds: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 60
    size: Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)] | None = None

    def words(self) -> str:
        """Return it as the run reads it: one line."""
        size = "" if self.size is None else f"{self.size:g}"
        return " ".join(filter(None, (self.bed, self.what, f"{self.seconds:g}", size)))


def routes(house: House) -> APIRouter:
    """Return the routes of drills."""
    router = APIRouter(prefix="/drills", tags=["drills"])

    @router.get("", summary="Every drill with its script, the runs and the free beds")
    def drills(request: Request) -> dict[str, Any]:
        house.reader(request, "drill")
        runs: Any = house.options.drill_runs
        return {
            "drills": [dict(one) for one in _said(runs.drills)] if runs else [],
            "runs": [dict(one) for one in runs.runs()] if runs else [],
            "can_run": runs is not None,
            "free": free_beds(house),
            "labels": {name: house.label_of(name) for name in house.desk.beds()},
        }

    @router.get("/{name}", summary="One drill in words: patient, what should be said and done")
    def script(name: str, request: Request) -> dict[str, Any]:
        house.reader(request, "drill")
        return {"name": name, "script": _said(lambda: _runs(house).script(name))}

    @router.post("/runs", summary="Run a drill on free beds")
    def run(body: RunForm, request: Request, response: Response) -> dict[str, Any]:
        seat = house.writer(request, "drill")
        runs = _runs(house)
        taken = [bed for bed in body.beds if bed not in free_beds(house)]
        if taken:
            raise HTTPException(409, f"not free: {', '.join(taken)}; a drill never joins a session")
        run_id = _said(lambda: runs.run(body.name, body.beds, seat.name))
        house.ledger.write(seat.name, "drill started", f"{body.name} on {', '.join(body.beds)}")
        house.seated(response, house.doors.touch(seat), request)
        return {"run_id": run_id}

    @router.post("/runs/{run_id}/inject", summary="Change the patient's course or a device's fault now")
    def inject(run_id: str, body: Injection, request: Request, response: Response) -> dict[str, Any]:
        seat = house.writer(request, "drill")
        runs = _runs(house)
        _said(lambda: runs.inject(run_id, body.words(), seat.name))
        house.ledger.write(seat.name, "drill changed", f"{run_id}: {body.words()}")
        house.seated(response, house.doors.touch(seat), request)
        return {"done": True}

    @router.post("/runs/{run_id}/stop", summary="Stop a run")
    def stop(run_id: str, request: Request, response: Response) -> dict[str, Any]:
        seat = house.writer(request, "drill")
        runs = _runs(house)
        _said(lambda: runs.stop(run_id, seat.name))
        house.ledger.write(seat.name, "drill stopped", run_id)
        house.seated(response, house.doors.touch(seat), request)
        return {"done": True}

    return router


def free_beds(house: House) -> list[str]:
    """Return beds without a session."""
    return [name for name, bed in house.desk.beds().items() if bed.session is None and name != STATION]


def _runs(house: House) -> Any:
    if house.options.drill_runs is None:
        raise HTTPException(501, "this monitor runs no drills itself; use `drill run NAME`")
    return house.options.drill_runs


def _said(what: Any) -> Any:
    try:
        return what()
    except ValueError as why:
        raise HTTPException(409, str(why)) from None
