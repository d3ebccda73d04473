"""The lease alone: who may claim, who doubts, who wins (R-20). No clock, no broker."""

from __future__ import annotations

import random

import pytest

from monitor.app.lease import ASLEEP_S, HOLD_S, SETTLE_S, Beat, Lease, Token

LEASE_S = 6.0


def look(lease: Lease, from_s: float, to_s: float, *, connected: bool = True) -> float | None:
    """Ask ten times a second whether a claim is due; return when it first is."""
    for tenth in range(round(from_s * 10), round(to_s * 10)):
        if lease.is_due(connected, tenth / 10):
            return tenth / 10
    return None


def holding(name: str = "a", at: float = 0.0) -> Lease:
    """Return a lease that is held since ``at``."""
    lease = Lease(name, LEASE_S)
    lease.hear(lease.claim(at), at + 0.1)
    assert lease.standing(at + 0.2) == "claims"
    assert lease.standing(at + 0.2 + SETTLE_S) == "holds"
    return lease


def test_a_follower_claims_only_after_a_whole_lease_of_silence_heard_with_open_ears() -> None:
    """R-20: beats put it off; time without a link, or asleep, is nobody's silence."""
    lease = Lease("b", LEASE_S)
    assert look(lease, 0, 3) is None
    lease.hear(Beat(Token(1, "a"), 1, LEASE_S), 3.0)
    assert look(lease, 3, 8) is None
    assert look(lease, 8, 20, connected=False) is None
    assert look(lease, 20, 40) == pytest.approx(20 + LEASE_S, abs=0.2)
    woken = 100 + ASLEEP_S
    assert not lease.is_due(True, woken)
    assert look(lease, woken, woken + LEASE_S - 0.1) is None


def test_a_released_lease_is_due_at_once() -> None:
    """R-20, AL-52: a planned stop does not wait for the lease to run out."""
    lease = Lease("b", LEASE_S)
    look(lease, 0, 1)
    lease.hear(Beat(Token(1, "a"), 9, LEASE_S, released=True), 1.0)
    assert lease.is_due(True, 1.1)


def test_the_holder_doubts_before_any_follower_may_claim() -> None:
    """R-20: the holder counts from the sending of a beat that came back, the follower from hearing it."""
    for seed in range(200):
        chance = random.Random(seed)
        holder, follower = holding(), Lease("b", LEASE_S)
        sent = 0.0
        for tenth in range(10, 10 + chance.randrange(10, 200)):
            now = tenth / 10
            follower.is_due(True, now)
            if tenth % 15 == 0:
                beat, sent = holder.beat(now), now
                delay = chance.uniform(0, 0.5)
                follower.hear(beat, now + delay)
                holder.hear(beat, now + delay)
        claims = look(follower, tenth / 10, tenth / 10 + 20)
        assert claims is not None
        assert holder.standing(claims) in ("doubts", "alone"), (
            f"seed {seed}: beat at {sent}, claim at {claims}"
        )


def test_a_higher_token_always_wins_and_of_two_equal_numbers_the_later_name() -> None:
    """R-20: two that claim in the same moment hear each other and agree who won."""
    one, other = Lease("a", LEASE_S), Lease("b", LEASE_S)
    first, second = one.claim(0.0), other.claim(0.0)
    for lease in (one, other):
        for beat in (first, second) if lease is one else (second, first):
            lease.hear(beat, 0.1)
    assert one.standing(1.0) == "lost"
    assert other.standing(1.0) == "holds"


def test_a_holder_that_wakes_holds_its_tongue_and_one_that_hears_nobody_speaks_again() -> None:
    """R-20: doubt is bounded: with no broker for HOLD_S it speaks, for twice is better than never."""
    lease = holding()
    woken = 100.0
    assert lease.standing(woken) == "doubts"
    asked = [lease.standing(woken + tenth / 10) for tenth in range(1, 100)]
    assert asked[: int(HOLD_S * 10) - 1] == ["doubts"] * (int(HOLD_S * 10) - 1)
    assert asked[-1] == "alone"
    lease.hear(lease.beat(110.0), 110.1)
    assert lease.standing(110.2) == "holds"
    lease.hear(Beat(Token(2, "b"), 1, LEASE_S), 110.3)
    assert lease.standing(110.4) == "lost"


def test_an_old_beat_heard_again_renews_nothing() -> None:
    """S-07: what somebody recorded and plays again is no sign of life."""
    lease = Lease("b", LEASE_S)
    look(lease, 0, 1)
    beat = Beat(Token(1, "a"), 5, LEASE_S)
    lease.hear(beat, 1.0)
    for second in range(2, 7):
        lease.hear(beat, float(second))
        look(lease, second, second + 1)
    assert look(lease, 7, 9) is not None


def test_a_claim_that_nobody_heard_is_forgotten() -> None:
    """R-20: otherwise the real holder's beats would count for nothing afterwards."""
    lease = Lease("b", LEASE_S, Token(4, "a"))
    lease.claim(0.0)
    lease.give_up(6.0)
    assert lease.highest == Token(4, "a")
    assert lease.standing(6.1) == "follows"


def test_a_holder_that_does_not_know_our_token_is_left_to_watch_and_rises() -> None:
    """R-20: it has the sessions, we have a number; taking over from it would lose them."""
    follower, holder = Lease("b", LEASE_S, Token(7, "b")), holding()
    for second in range(20):
        follower.hear(holder.beat(float(second)), float(second))
        assert look(follower, second, second + 1) is None
    holder.rise(follower.highest)
    assert holder.mine == Token(8, "a")
    follower.hear(holder.beat(21.0), 21.0)
    assert follower.highest == Token(8, "a")
