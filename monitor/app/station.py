"""The house watches itself: link, sound, channels, its clock, and who was refused at its doors.

Law: what could keep an alarm from people is itself a technical alarm, of the station (AL-34 to AL-38, R-21).
One cause is one alarm: a lost broker is one, not one for each bed (P-45).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from monitor.clock import TimeSource
from monitor.core.protocol import Priority
from monitor.core.turn import Bed
from monitor.notify import CHANNEL

LINK_GRACE_S = 3.0  # a broker that restarts quickly is no alarm
LINK_HIGH_S = 30.0
LEASE_S = 15.0  # AL-36
SKEW_S = 2.0  # S-17
REFUSALS_A_MINUTE, LOSSES_A_MINUTE = 5, 3  # S-09, P-18: more than these
FORGOTTEN_S = 600.0  # for how long it is told that the broker came back without what it held for us


class Judgement(NamedTuple):
    """A condition as it is now; ``priority`` ``None``: it is not present."""

    key: str
    priority: Priority | None
    text: str


class Lease(NamedTuple):
    """What a page said last: whether its sound runs, and when (monotonic seconds)."""

    sounding: bool
    at: float


class Tally:
    """Counts something, and says whether it happens too often; any thread may count."""

    def __init__(self, most: int, within_s: float = 60.0) -> None:
        """Begin at none; more than ``most`` within ``within_s`` seconds are too many."""
        self.total, self._within_s = 0, within_s
        self._last: deque[float] = deque(maxlen=most + 1)

    def count(self) -> None:
        """Take note that it happened."""
        self.total += 1
        self._last.append(time.monotonic())

    def too_many(self) -> bool:
        """Say whether it happened too often of late; that ends by itself."""
        last = self._last
        return len(last) == last.maxlen and last[0] > time.monotonic() - self._within_s


class Station:
    """What is known of the house; pages may renew their leases from any thread."""

    def __init__(self) -> None:
        """Begin with the link down, since nobody has heard of it yet."""
        self.link_down_since: float | None = time.monotonic()
        self.refusals = Tally(REFUSALS_A_MINUTE)
        self.losses = Tally(LOSSES_A_MINUTE)
        self.forgotten = Tally(0, FORGOTTEN_S)
        self._had_source = False
        self._leases: dict[str, Lease] = {}

    def annunciate(self, page_id: str, sounding: bool) -> None:
        """Renew a page's lease as a live annunciator (AL-35)."""
        self._leases[page_id] = Lease(sounding, time.monotonic())

    def sounding(self) -> int:
        """Return how many pages can sound now."""
        oldest = time.monotonic() - LEASE_S
        self._leases = {page: lease for page, lease in list(self._leases.items()) if lease.at >= oldest}
        return sum(lease.sounding for lease in self._leases.values())

    def judge(
        self, beds: Iterable[Bed], link_reason: str, dead: Mapping[str, str], present: Iterable[str]
    ) -> list[Judgement]:
        """Return every condition of the house as it is now.

        Args:
            beds: all beds.
            link_reason: why the link to the broker is down, if it is.
            dead: targets that do not deliver, with the reason.
            present: keys of the station's present alarms.
        """
        found = [self._link(link_reason), self._annunciators(beds)]
        found += [self._refusals(), self._losses(), self._forgotten()]
        channels = [key for key in present if key.startswith(CHANNEL)]
        found += [Judgement(key, None, "") for key in channels if key.removeprefix(CHANNEL) not in dead]
        found += [
            Judgement(f"{CHANNEL}{target}", "medium", f"messages to {target} do not arrive: {reason}")
            for target, reason in dead.items()
        ]
        return found

    def _link(self, reason: str) -> Judgement:
        if self.link_down_since is None:
            return Judgement("link", None, "")
        down_s = time.monotonic() - self.link_down_since
        if down_s <= LINK_GRACE_S:
            return Judgement("link", None, "")
        priority: Priority = "high" if down_s > LINK_HIGH_S else "medium"
        return Judgement(
            "link", priority, f"no link to the broker: {reason or 'lost'}; no device can be heard"
        )

    def _annunciators(self, beds: Iterable[Bed]) -> Judgement:
        if not any(bed.session is not None for bed in beds) or self.sounding():
            return Judgement("no-annunciator", None, "")
        return Judgement("no-annunciator", "medium", "no wall with working sound is open")

    def _refusals(self) -> Judgement:
        """Judge refused sign-ins (S-09); whose they were is for the audit, not for a wall."""
        text = f"more than {REFUSALS_A_MINUTE} sign-ins at the pages were refused within a minute"
        return Judgement("sign-in", "low" if self.refusals.too_many() else None, text)

    def _losses(self) -> Judgement:
        """Judge how often the link was lost (P-18).

        Two clients with one id throw each other out again and again. Brokers before Mosquitto 2.0.15 do not
        say to whom it happens; what can be seen of any broker is that the link comes back at once, and goes.
        """
        text = f"the link to the broker was lost more than {LOSSES_A_MINUTE} times within a minute"
        priority: Priority | None = "medium" if self.losses.too_many() else None
        return Judgement("unsteady-link", priority, f"{text}: another client with our id, or the network")

    def _forgotten(self) -> Judgement:
        """Judge whether the broker came back without our session (P-29)."""
        text = "the broker came back without what it held for us: readings of the time before may be missing"
        return Judgement("broker-memory", "low" if self.forgotten.too_many() else None, text)

    def judge_clock(self, drift_s: float, source: TimeSource | None) -> Judgement:
        """Return the condition of this machine's clock (S-17).

        A machine that never had a time server is shown on the page of the system; losing one is told.

        Args:
            drift_s: wall clock less the monitor's, which keeps the time of its start.
            source: what the kernel says, if it does.
        """
        if abs(drift_s) > SKEW_S:
            way = "ahead of" if drift_s > 0 else "behind"
            text = f"the clock of this machine is {abs(drift_s):.0f} s {way} the monitor's: it was set"
            return Judgement("clock", "low", text)
        lost = self._had_source and source is not None and not source.synchronised
        self._had_source |= source is not None and source.synchronised
        return Judgement("clock", "low" if lost else None, "the clock of this machine has no time server now")
