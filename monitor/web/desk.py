"""What the pages need from the rest of the house.

Law: the pages never reach into the loop. They hand in inputs and get an answer, they look at beds that are
values, and they read what the journal kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from monitor.core.inputs import Input
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Protocol as ClinicalProtocol
from monitor.core.record import Delivery, Entry, SessionSummary, Trace
from monitor.core.turn import Bed


class Reply(NamedTuple):
    """What came of an input: its outcomes, and whether they are on disk (AL-50, R-04)."""

    outcomes: tuple[Outcome, ...]
    durable: bool


class Desk(Protocol):
    """The loop, as the pages see it. Every method may be called from any thread."""

    def submit(self, bed_id: str, one: Input) -> Future[Reply]:
        """Put an input in line for a bed; the answer comes after the commit, or says it is not durable."""
        ...

    def beds(self) -> Mapping[str, Bed]:
        """Return every bed as it is now, in wall order, ``station`` (the monitor's own place) last."""
        ...

    def now(self) -> datetime:
        """Return the present instant on the monitor's clock, aware UTC."""
        ...

    def health(self) -> Mapping[str, Any]:
        """Return the self-check (JSON values): broker, journal, lag, clock drift, version, boot_id ..."""
        ...

    def annunciate(self, page_id: str, sounding: bool) -> None:
        """Renew a page's lease as a live annunciator; ``sounding`` only if sound is proved (AL-35)."""
        ...


class Archive(Protocol):
    """What was kept, read only. Every method may be called from any thread."""

    def sessions(
        self,
        *,
        patient_code: str = "",
        bed_id: str = "",
        protocol: str = "",
        mode: str = "",
        from_at: datetime | None = None,
        to_at: datetime | None = None,
        had_alarms: bool | None = None,
        limit: int = 100,
    ) -> list[SessionSummary]:
        """Return sessions that match, the newest first."""
        ...

    def summary(self, session_id: str) -> SessionSummary | None:
        """Return one session's line, or ``None``."""
        ...

    def protocol_of(self, session_id: str) -> ClinicalProtocol:
        """Return the protocol the session started from. Raises LookupError for an unknown session."""
        ...

    def log(
        self,
        *,
        session_id: str = "",
        bed_id: str = "",
        names: Sequence[str] = (),
        from_at: datetime | None = None,
        to_at: datetime | None = None,
        after_id: int = 0,
        limit: int = 5000,
    ) -> list[Entry]:
        """Return outcomes that match, oldest first."""
        ...

    def traces(
        self,
        bed_id: str,
        from_at: datetime,
        to_at: datetime,
        *,
        metrics: Sequence[str] = (),
        every_s: float = 0.0,
    ) -> list[Trace]:
        """Return what was measured on a bed; ``every_s`` > 0 keeps lowest and highest of each interval."""
        ...

    def deliveries(self, session_id: str) -> list[Delivery]:
        """Return what became of the notifications of a session's alarms."""
        ...

    def quarantine(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return what could not be decoded, newest first: at, topic, payload (text or hex), reason."""
        ...
