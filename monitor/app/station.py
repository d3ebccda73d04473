"""The house watches itself: link, sound, channels, stalls, heartbeat.

Law: what could keep an alarm from people is itself a technical alarm, of the station (AL-34 to AL-38, R-21).
One cause is one alarm: a lost broker is one, not one for each bed (P-45).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from monitor.core.protocol import Priority
from monitor.core.turn import Bed
from monitor.notify import CHANNEL

LINK_GRACE_S = 3.0  # a broker that restarts quickly is no alarm
LINK_HIGH_S = 30.0
LEASE_S = 15.0  # AL-36


class Judgement(NamedTuple):
    """A condition as it is now; ``priority`` ``None``: it is not present."""

    key: str
    priority: Priority | None
    text: str


class Lease(NamedTuple):
    """What a page said last: whether its sound runs, and when (monotonic seconds)."""

    sounding: bool
    at: float


class Station:
    """What is known of the house; pages may renew their leases from any thread."""

    def __init__(self) -> None:
        """Begin with the link down, since nobody has heard of it yet."""
        self.link_down_since: float | None = time.monotonic()
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
