"""Who of a pair may speak: one lease, with a token that only ever rises.

Law: pure; seconds of a clock that never goes back are passed in. Whoever follows takes the lease only after
hearing nobody for its whole length with its own ears open; whoever holds it counts from the *sending* of a
beat that came back, so the holder doubts before the follower claims. A higher token always wins. Doubt is
bounded: a holder that can hear nobody at all speaks again, because twice is better than never (R-20).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

BEATS = 4  # of the holder in the length of one lease: three may be lost
ASLEEP_S = 2.0  # nobody looked for so long: we were stopped, and what we did not hear says nothing
SETTLE_S = 0.5  # after our claim came back: another's, made in the same moment, is heard before we begin
MOST_SENT = 50  # beats on their way that are remembered
HOLD_S = (
    5.0  # how long a holder in doubt says nothing, while it asks the broker whether another has taken over
)

Standing = Literal["follows", "claims", "holds", "doubts", "alone", "lost"]


class Token(NamedTuple):
    """One term of one holder; the higher one wins, and of two equal numbers the later name."""

    number: int
    holder: str


NOBODY = Token(0, "")


class Beat(NamedTuple):
    """What a holder says of its lease, again and again; ``released``: it goes, take over at once."""

    token: Token
    number: int
    lease_s: float
    released: bool = False


class Lease:
    """What one of the two knows of the lease; used by one thread, ``standing`` by any."""

    def __init__(self, name: str, lease_s: float, highest: Token = NOBODY) -> None:
        """Begin as a follower that has heard nobody; ``highest`` is the last token it knew."""
        self.name, self.lease_s = name, lease_s
        self.highest, self.mine = highest, NOBODY
        self._length_s = lease_s
        self._before = highest
        self._number = 0  # of the highest token's newest beat that was heard
        self._released = False
        self._heard_at = self._open_at = float("-inf")  # the holder's last beat; our ears are open since
        self._looked_at = float("-inf")
        self._sent: dict[int, float] = {}  # our own beats on their way
        self._claimed_at = self._first_at = self._confirmed_at = float("-inf")
        self._doubt_at = float("-inf")

    def hear(self, beat: Beat, now: float) -> None:
        """Take a beat that came from the broker: the other's, or our own that came back."""
        if (beat.token, beat.number) <= (self.highest, self._number):
            if beat.token < self.highest and self.mine == NOBODY and beat.token.holder != self.name:
                self._heard_at = now  # somebody watches who does not know our token; it will rise
            return
        self.highest, self._number, self._released = beat.token, beat.number, beat.released
        if beat.token == self.mine:
            self._confirm(beat.number, now)
        else:
            self._heard_at, self._length_s = now, max(self.lease_s, beat.lease_s)

    def _confirm(self, number: int, now: float) -> None:
        if self._first_at < self._claimed_at:
            self._first_at = now
        for one in [one for one in self._sent if one <= number]:
            self._confirmed_at = max(self._confirmed_at, self._sent.pop(one))

    def hear_stranger(self, now: float) -> None:
        """Take note of a beat that we cannot read: another secret is no reason for two to be active."""
        self._heard_at = now

    # --- following ------------------------------------------------------------------------------------------

    def is_due(self, connected: bool, now: float) -> bool:
        """Say whether to claim now; to be asked several times a second."""
        if not connected or self._wakes(now):
            self._open_at = now
            return False
        silent_s = now - max(self._heard_at, self._open_at)
        return self._released or silent_s > self._length_s

    def claim(self, now: float) -> Beat:
        """Take the next token; return the first beat to publish."""
        self._before = self.highest
        self.mine = self.highest = Token(self.highest.number + 1, self.name)
        self._number, self._released, self._claimed_at = 0, False, now
        self._sent.clear()
        return self.beat(now)

    def give_up(self, now: float) -> None:
        """Follow again: the claim never came back, so nobody heard it."""
        if self.highest == self.mine:
            self.highest, self._number = self._before, 0
        self.mine, self._open_at = NOBODY, now

    # --- holding --------------------------------------------------------------------------------------------

    def beat(self, now: float, *, released: bool = False) -> Beat:
        """Return the next beat to publish."""
        number = max(self._sent, default=self._number) + 1
        self._sent[number] = now
        if len(self._sent) > MOST_SENT:
            self._sent.pop(min(self._sent))
        return Beat(self.mine, number, self.lease_s, released)

    def rise(self, above: Token) -> None:
        """Take a token above one that a follower remembers and we never heard of; we hold all the while."""
        self.mine = self.highest = Token(max(above.number, self.mine.number) + 1, self.name)
        self._number = 0
        self._sent.clear()

    def standing(self, now: float) -> Standing:
        """Return what we may do; to be asked several times a second."""
        if self.mine == NOBODY:
            return "follows"
        if self.highest != self.mine:
            return "lost"
        if self._first_at < self._claimed_at or now - self._first_at < SETTLE_S:
            return "claims"
        woke = self._wakes(now)
        if now - self._confirmed_at < self.lease_s:
            self._doubt_at = float("inf")
            return "holds"
        self._doubt_at = now if woke else min(self._doubt_at, now)
        return "alone" if now - self._doubt_at > HOLD_S else "doubts"

    def _wakes(self, now: float) -> bool:
        """Say whether nobody looked for a while: then we were stopped."""
        asleep = now - self._looked_at > ASLEEP_S
        self._looked_at = now
        return asleep
