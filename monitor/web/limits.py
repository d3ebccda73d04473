"""Limits of a session: what is in force, how long an alarm can take at worst, and a change in two steps.

Law: a change is proposed, shown in words, and confirmed by the same person within two minutes (S-14); the
worst case shown is the plain sum of the configured delays (AL-12).
"""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer

from monitor.core.inputs import SetLimit
from monitor.core.protocol import Limit, Protocol
from monitor.core.session import Session, boundary_of
from monitor.core.soundness import limit_problems
from monitor.core.turn import Bed
from monitor.core.vitals import METRICS
from monitor.web import forms
from monitor.web.house import House

PROPOSAL_LASTS_S = 120
PAGE_S = 1.0  # ALARMS §1.4: decision -> page p99 <= 1 s


def routes(house: House) -> APIRouter:
    """Return the routes of limits."""
    router = APIRouter(tags=["limits"])
    signer = URLSafeTimedSerializer(
        house.doors.secret, salt="limit", signer_kwargs={"digest_method": hashlib.sha256}
    )

    @router.get("/beds/{bed_id}/limits", summary="Limits in force, with the worst-case delay of each")
    def limits(bed_id: str, request: Request) -> dict[str, Any]:
        house.reader(request, "view")
        bed = house.bed(bed_id)
        if bed.session is None:
            raise HTTPException(409, "no session on this bed; limits belong to a session")
        return {
            "bed_id": bed_id,
            "limits": [show_limit(bed, bed.session, one) for one in bed.session.protocol.limits],
        }

    @router.post("/beds/{bed_id}/limits/propose", summary="First step: say what would change, change nothing")
    def propose(bed_id: str, body: forms.LimitProposal, request: Request) -> dict[str, Any]:
        seat = house.writer(request, "limits")
        bed = house.bed(bed_id)
        if bed.session is None:
            raise HTTPException(409, "no session on this bed")
        limit = next((one for one in bed.session.protocol.limits if one.id == body.limit_id), None)
        if limit is None:
            raise HTTPException(404, f"no limit {body.limit_id!r}")
        if body.value is not None:
            wrong = list(limit_problems(limit.id, limit, body.value))
            if wrong:
                raise HTTPException(422, f"{wrong[0].text}; {wrong[0].remedy}")
        token = signer.dumps(
            [
                seat.seat_id,
                seat.name,
                bed_id,
                bed.session.session_id,
                limit.id,
                body.value,
                body.on,
                body.reason,
            ]
        )
        return {"token": token, "words": _words(bed.session, limit, body), "lasts_s": PROPOSAL_LASTS_S}

    @router.post("/beds/{bed_id}/limits/confirm", summary="Second step: the change is made")
    async def confirm(
        bed_id: str, body: forms.LimitConfirmation, request: Request, response: Response
    ) -> dict[str, Any]:
        seat = house.writer(request, "limits")
        try:
            found = signer.loads(body.token, max_age=PROPOSAL_LASTS_S)
        except BadSignature:
            raise HTTPException(409, "the proposal is too old or not yours: propose it again") from None
        seat_id, name, of_bed, session_id, limit_id, value, on, reason = found
        session = house.bed(bed_id).session
        if (seat_id, name, of_bed) != (seat.seat_id, seat.name, bed_id):
            raise HTTPException(409, "another person or bed: propose it again")
        if session is None or session.session_id != session_id:
            raise HTTPException(409, "another session began meanwhile")
        role = "clinician" if "clinician" in seat.roles else "admin"
        one = SetLimit(limit_id, seat.name, role, reason, value, on)
        answer = await house.submit(bed_id, one)
        house.seated(response, house.doors.touch(seat), request)
        return answer

    return router


def show_limit(bed: Bed, session: Session, limit: Limit) -> dict[str, Any]:
    """Return one limit as it stands in a session, with its delays."""
    boundary, change = boundary_of(session, limit), session.changes.get(limit.id)
    off = not (change.on if change else limit.on)
    return {
        "id": limit.id,
        "metric": limit.metric,
        "label": METRICS[limit.metric].label,
        "unit": METRICS[limit.metric].unit,
        "side": limit.side,
        "priority": limit.priority,
        "annotation": limit.annotation,
        "value": boundary.value if boundary else None,
        "preset": limit.limit,
        "inclusive": limit.at_limit,
        "state": "off" if off else "in force" if boundary else "waits for a baseline",
        "live": session.phase in limit.phases,
        "source": limit.source,
        "change": {"by": change.by, "at": change.at.isoformat(), "reason": change.reason} if change else None,
        "delay": worst_case(bed, session.protocol, limit),
    }


def worst_case(bed: Bed, protocol: Protocol, limit: Limit) -> dict[str, Any]:
    """Return the parts of the longest time from crossing a limit to the page, and their sum, in seconds."""
    devices = [one.profile for one in bed.devices.values() if limit.metric in one.profile.metrics]
    averaging = max((one.averaging_s for one in devices), default=0.0)
    chosen = protocol.filters.get(limit.filter)
    if chosen is None:
        cadence = [one.every_min * 60 for one in protocol.cadence]
        parts = {"between cuff readings": max(cadence, default=0.0)}
        if limit.confirm:
            parts["repeat to confirm"] = limit.repeat_within_s
    else:
        parts = {
            "device averaging": averaging,
            "between reports": max((one.expected_interval_s for one in devices), default=1.0),
            "condition delay": chosen.ceiling_s,
            "low quality held at most": chosen.gate_s,
        }
    parts["to the page"] = PAGE_S
    shown: dict[str, Any] = {"parts": parts, "worst_s": sum(parts.values())}
    if chosen is not None and chosen.floor is not None:
        shown["floor"] = chosen.floor
        shown["floor_s"] = sum(parts.values()) - chosen.ceiling_s + chosen.floor_s
    return shown


def _words(session: Session, limit: Limit, body: forms.LimitProposal) -> str:
    metric = METRICS[limit.metric]
    boundary = boundary_of(session, limit)
    was = "off" if boundary is None else f"{boundary.value:g} {metric.unit}"
    value = body.value if body.value is not None else (boundary.value if boundary else limit.limit)
    will = f"{value:g} {metric.unit}" if body.on and value is not None else "OFF"
    return (
        f"{metric.label} {limit.side} ({limit.priority}): {was} becomes {will}, for this session only, "
        f"from the next reading on. Reason: {body.reason}"
    )
