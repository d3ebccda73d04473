"""A ward: beds with their patients and devices, and the stream of messages that comes out of them.

Law: the stream is a function of the plan and the seed alone. Whoever publishes it decides when the clock
moves; the ward never looks at one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from simulators.device import Device, Message
from simulators.network import Network
from simulators.patient import Patient

FEW_BEDS = 20  # a larger ward lives its past in coarse steps, so that it starts within seconds
COARSE_S = 10.0


@dataclass(slots=True)
class Bed:
    """One bed: who lies in it and what is attached.

    ``session_start_s`` is the session's second 0 on the ward's clock: a bed that stands in mid-session has a
    negative one. Patient and devices run on the session's clock.
    """

    bed_id: str
    patient: Patient
    devices: list[Device]
    session_start_s: float = 0.0


@dataclass(slots=True)
class Ward:
    """All beds, in the order of time. Its second 0 is the moment of going live.

    Args:
        beds: the beds.
        network: what lies between devices and broker.
    """

    beds: list[Bed]
    network: Network
    now_s: float = 0.0
    _begun: bool = False
    _due: list[tuple[float, int]] = field(default_factory=list)
    _devices: list[tuple[Device, float]] = field(default_factory=list)

    def history(self, from_s: float, period_s: float) -> Iterator[Message]:
        """Give what every device measured before the ward goes live, bed by bed, oldest first.

        It is what devices kept while nobody listened, with the true old times of measuring. To be taken
        before the ward runs.

        Args:
            from_s: where it begins, session seconds.
            period_s: time between continuous readings; a thinned memory.
        """
        for bed in self.beds:
            usual = [device.period_s for device in bed.devices]
            for device in bed.devices:
                device.period_s = period_s
                device.power_on(from_s)
            while (device := min(bed.devices, key=lambda each: each.due_s)).due_s < -bed.session_start_s:
                yield from device.run()
            for device, period in zip(bed.devices, usual, strict=True):
                device.period_s = period

    def begin(self) -> None:
        """Let the patients live up to now, unobserved, and switch the devices on."""
        self._begun = True
        self.network.begin()
        for bed in self.beds:
            now_s = self.now_s - bed.session_start_s
            if bed.patient.now_s < now_s - COARSE_S:
                bed.patient.advance(now_s, COARSE_S if len(self.beds) > FEW_BEDS else 1.0)
            for device in bed.devices:
                device.power_on(now_s)
                self._devices.append((device, bed.session_start_s))
                heapq.heappush(
                    self._due, (round(device.due_s + bed.session_start_s, 6), len(self._devices) - 1)
                )

    def go_live(self, now: Callable[[], datetime]) -> None:
        """Begin, and let second 0 be the moment at which that is done: a large ward takes seconds to begin.

        Args:
            now: says what time it is, aware UTC.
        """
        if not self._begun:
            self.begin()
        if self.network.start_at is None:
            return
        late = now() - self.network.start_at
        self.network.start_at += late
        for device, _ in self._devices:
            device.start_at += late

    def next_s(self) -> float:
        """Return when something happens next, seconds on the ward's clock."""
        device_s = self._due[0][0] if self._due else float("inf")
        return min(device_s, self.network.next_s())

    def run(self, until_s: float) -> Iterator[Message]:
        """Give the messages that reach the broker up to ``until_s``, in order."""
        if not self._begun:
            self.begin()
        while self.next_s() <= until_s:
            self.now_s = self.next_s()
            while self._due and self._due[0][0] <= self.now_s:
                self._run_one()
            yield from self.network.arrived(self.now_s)
        self.now_s = until_s

    def _run_one(self) -> None:
        _, place = heapq.heappop(self._due)
        device, start_s = self._devices[place]
        messages = device.run()
        self.network.send(message._replace(at_s=round(message.at_s + start_s, 6)) for message in messages)
        heapq.heappush(self._due, (round(device.due_s + start_s, 6), place))

    def leave(self, bed_id: str) -> None:
        """Let the devices of one bed fall quiet for good."""
        quiet = {device.device_id for device in self.bed(bed_id).devices}
        self._due = [row for row in self._due if self._devices[row[1]][0].device_id not in quiet]
        heapq.heapify(self._due)

    def bed(self, bed_id: str) -> Bed:
        """Return the bed of that name.

        Raises:
            KeyError: there is none; the text names those there are.
        """
        for bed in self.beds:
            if bed.bed_id == bed_id:
                return bed
        raise KeyError(f"no bed {bed_id!r}; there are {', '.join(bed.bed_id for bed in self.beds)}")
