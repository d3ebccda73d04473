"""The monitor checks itself from end to end, once a minute, and disturbs nobody (AL-34).

Law: a made-up device reports a made-up fall of SpO2 to the real broker; it must come back through the real
decoder, the real core and the real journal, and out to the broker again, within fifteen seconds. What did not
is named by the station that it did not reach. It belongs to no bed, no wall and no message.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from monitor.app.station import Judgement
from monitor.core import inputs as given
from monitor.core.bed import Bed, advance
from monitor.core.device import DeviceProfile
from monitor.core.protocol import Filter, Limit, Protocol
from monitor.core.vitals import Report

DEVICE = "self-check"
WITHIN = timedelta(seconds=15)
_RULE = "self-check"
_PROTOCOL = Protocol(
    name="self-check",
    title="Self-check",
    route="iv",
    version="1",
    reviewed_by="",
    dosing_min=1.0,
    limits=(
        Limit(
            _RULE, "spo2", "low", "death_or_irreversible", "immediate", "AL-34", limit=90.0, filter="at once"
        ),
    ),
    watch=(),
    cadence=(),
    filters={"at once": Filter(ceiling_s=0.0)},
)


@dataclass(slots=True)
class _Round:
    """One check on its way: when it began, and which stations it has passed."""

    number: int
    begun_at: datetime
    judged: bool = False
    durable: bool = False
    heard: bool = False


class SelfCheck:
    """The rounds of the check; used by the loop's thread alone."""

    def __init__(self, root: str, boot_id: str) -> None:
        """Begin with no round."""
        self.report_topic = f"{root}/devices/{DEVICE}/report"
        self.answer_topic = f"{root}/monitor/self-check"
        self._boot_id = boot_id
        self._round: _Round | None = None
        self._number = 0
        self.took_s: float | None = None

    def begin(self, now: datetime) -> bytes:
        """Begin a round; return the report to publish on ``report_topic``."""
        self._number += 1
        self._round = _Round(self._number, now)
        return orjson.dumps(
            {
                "measured_at": now.isoformat(),
                "boot_id": self._boot_id,
                "sequence": self._number,
                "mode": "drill",
                "values": {"spo2": 80},
            }
        )

    def judge(self, report: Report, now: datetime) -> bytes:
        """Pass the report through the core; return what to publish on ``answer_topic``."""
        bed = Bed(DEVICE)
        start = given.StartSession(DEVICE, DEVICE, _PROTOCOL, DEVICE, mode="drill", phase="observation")
        raised = False
        for one in (given.Associate(DeviceProfile(DEVICE, ("spo2",))), start, given.Observe(report)):
            bed, outcomes = advance(bed, one, now)
            raised = raised or any(o.outcome == "AlarmRaised" and o.rule == _RULE for o in outcomes)
        if raised and self._is_this(report.boot_id, report.sequence):
            self._passed("judged", now)
        return orjson.dumps({"boot_id": report.boot_id, "sequence": report.sequence, "raised": raised})

    def durable(self, boot_id: str | None, sequence: int | None, now: datetime) -> None:
        """Take note that the report is on the disk."""
        if self._is_this(boot_id, sequence):
            self._passed("durable", now)

    def heard(self, payload: bytes, now: datetime) -> None:
        """Take note of the answer that came back from the broker."""
        try:
            said: dict[str, Any] = orjson.loads(payload)
            boot_id, sequence, raised = said["boot_id"], said["sequence"], said["raised"]
        except (ValueError, KeyError, TypeError):
            return  # somebody else's words on our topic prove nothing
        if raised is True and self._is_this(boot_id, sequence):
            self._passed("heard", now)

    def verdict(self, now: datetime) -> Judgement | None:
        """Return the condition as the last round left it, or ``None`` while nothing can be said."""
        one = self._round
        if one is None or (now - one.begun_at < WITHIN and not self._done(one)):
            return None
        if self._done(one):
            return Judgement("self-check", None, "")
        missed = [
            words
            for passed, words in (
                (one.judged, "broker and core"),
                (one.durable, "journal"),
                (one.heard, "the way back to the broker"),
            )
            if not passed
        ]
        text = f"the self-check did not pass: {', '.join(missed)} within {WITHIN.total_seconds():.0f} s"
        return Judgement("self-check", "high", text)

    def _is_this(self, boot_id: str | None, sequence: int | None) -> bool:
        return self._round is not None and (boot_id, sequence) == (self._boot_id, self._round.number)

    def _passed(self, station: str, now: datetime) -> None:
        one = self._round
        if one is not None:
            setattr(one, station, True)
            if self._done(one):
                self.took_s = (now - one.begun_at).total_seconds()

    @staticmethod
    def _done(one: _Round) -> bool:
        return one.judged and one.durable and one.heard
