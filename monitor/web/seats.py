"""Who is at a page: the signed cookie, its rights, and when the right to change things runs out.

Law: reading lives as long as the seat, so that the wall stays live; changing needs a person who was active
in the last ten minutes (45 CFR 164.312(a)(2)(iii)). The signed cookie holds it all: a restart ends nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from itsdangerous import BadSignature, URLSafeSerializer

from monitor.web.users import Account, Role, Users

Right = Literal["view", "care", "record", "limits", "sign", "drill", "admin"]

# Role -> what it may do. `care`: sessions, doses, measurements, alarms. `record`: read what was kept of real
# patients. An operator works with drills and devices and has no business in a patient's record.
RIGHTS: dict[Role, frozenset[Right]] = {
    "nurse": frozenset({"view", "care", "record"}),
    "clinician": frozenset({"view", "care", "record", "limits", "sign"}),
    "operator": frozenset({"view", "drill"}),
    "admin": frozenset({"view", "record", "limits", "drill", "admin"}),
}

IDLE_S = 600.0  # 45 CFR 164.312(a)(2)(iii), ALARMS §5.2: write rights end after 10 min idle
SHIFT_S = 12 * 3600.0  # ASVS V7.3.2: a full sign-in for each shift
SEAT_S = 30 * 86400.0  # a wall display stays live, read only
EMERGENCY_S = 900.0

Factor = Literal["password", "pin", "totp", "link"]


class Seat(NamedTuple):
    """A person at a page. Instants are seconds since 1970 by the wall clock.

    ``entered_at``: the last full sign-in; ``active_at``: the last sign of life; ``factors``: how they proved
    who they are; ``emergency_until``: reading without the role, asked for with a reason.
    """

    name: str
    seat_id: str
    generation: int
    roles: tuple[Role, ...]
    entered_at: float
    active_at: float
    factors: tuple[Factor, ...]
    emergency_until: float = 0.0

    def may(self, right: Right) -> bool:
        """Say whether one of the roles holds a right; administration needs a second factor."""
        if right == "record" and time.time() < self.emergency_until:
            return True
        if right == "admin" and not {"totp", "link"} & set(self.factors):
            return False
        return any(right in RIGHTS[role] for role in self.roles)

    def awake(self) -> bool:
        """Say whether the person was active lately enough to change things."""
        now = time.time()
        return now - self.active_at <= IDLE_S and now - self.entered_at <= SHIFT_S


class Doorkeeper:
    """Makes and reads the cookies of seats."""

    COOKIE = "afterwatch_seat"

    def __init__(self, users: Users, key: bytes, clock: Callable[[], float] = time.time) -> None:
        """Sign with ``key``; look people up in ``users`` at every reading."""
        self.users = users
        self.secret = key
        self._clock = clock
        self._signer = URLSafeSerializer(key, salt="seat", signer_kwargs={"digest_method": hashlib.sha256})

    def seat(self, account: Account, factors: tuple[Factor, ...]) -> Seat:
        """Return a fresh seat after a full sign-in."""
        now = self._clock()
        return Seat(account.name, secrets.token_hex(8), account.generation, account.roles, now, now, factors)

    def switch(self, seat: Seat, account: Account) -> Seat:
        """Return the same station's seat with another person in it, by PIN."""
        now = self._clock()
        return Seat(
            account.name, seat.seat_id, account.generation, account.roles, seat.entered_at, now, ("pin",)
        )

    def touch(self, seat: Seat) -> Seat:
        """Return the seat with a sign of life now."""
        return seat._replace(active_at=self._clock())

    def in_shift(self, seat: Seat) -> bool:
        """Say whether the last full sign-in at this station was in the present shift."""
        return self._clock() - seat.entered_at <= SHIFT_S

    @staticmethod
    def awake_until(seat: Seat) -> float:
        """Return when the right to change things ends without a sign of life (seconds since 1970)."""
        return min(seat.active_at + IDLE_S, seat.entered_at + SHIFT_S)

    def write(self, seat: Seat) -> str:
        """Return the cookie's value."""
        return str(
            self._signer.dumps(
                [
                    seat.name,
                    seat.seat_id,
                    seat.generation,
                    round(seat.entered_at),
                    round(seat.active_at),
                    list(seat.factors),
                    round(seat.emergency_until),
                ]
            )
        )

    def read(self, cookie: str | None) -> Seat | None:
        """Return the seat of a cookie, or ``None``: forged, too old, left, or the account has changed."""
        if not cookie:
            return None
        try:
            name, seat_id, generation, entered_at, active_at, factors, emergency = self._signer.loads(cookie)
        except (BadSignature, ValueError, TypeError):
            return None
        account = self.users.find(name)
        if account is None or account.generation != generation or self.users.revoked(seat_id):
            return None
        if self._clock() - entered_at > SEAT_S:
            return None
        return Seat(
            account.name, seat_id, generation, account.roles, entered_at, active_at, tuple(factors), emergency
        )

    def csrf(self, seat: Seat) -> str:
        """Return the token that every changing request of a seat must carry."""
        return hmac.new(self.secret, f"csrf:{seat.seat_id}".encode(), hashlib.sha256).hexdigest()[:32]
