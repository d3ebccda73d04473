"""Who owns an alarm: offered, accepted, rejected, timed out, exhausted.

Law: an alarm is offered to one level after the other on fixed timers until a person accepts it; a missing
receipt never makes it faster (ALARMS §1.9). When nobody is left, that is an alarm of its own (AL-40).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

OwnershipState = Literal["none", "offered", "accepted", "exhausted"]


@dataclass(frozen=True, slots=True)
class Ownership:
    """Where one alarm stands on its ladder of recipients."""

    state: OwnershipState = "none"
    level: int = 0
    offered_at: datetime | None = None
    due_at: datetime | None = None
    owner: str = ""
    rejected_by: tuple[str, ...] = ()


UNOWNED = Ownership()
