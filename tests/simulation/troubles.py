"""What goes wrong in a world, how often, and for how long.

Law: every fault is drawn from the seed, begins and ends by itself, and none begins once the world is calm.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.simulation.bedside import Device
from tests.simulation.town import STATES

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass
class Swarm:
    """What goes wrong in this world: how often an hour, or with which probability of one message.

    A seed leaves about half of it out, since faults that hide each other are found apart (swarm testing).
    """

    crashes: float = 0
    cuts: float = 0
    half_open: float = 0
    broker_away: float = 0
    disk_refuses: float = 0
    disk_stalls: float = 0
    power_at_commit: float = 0
    targets_fail: float = 0
    devices_off: float = 0
    devices_offline: float = 0
    devices_restart: float = 0
    clock_steps: float = 0
    device_faults: float = 0
    doubts: float = 0
    illness: float = 0
    loss: float = 0
    double: float = 0
    late: float = 0
    garbage: float = 0
    retain: float = 0
    drills: float = 0
    wrong_mode: float = 0
    handover: float = 0
    limits: float = 0


RATES: dict[str, tuple[float, ...]] = {
    "crashes": (3, 10, 30),
    "cuts": (4, 20),
    "half_open": (2, 6),
    "broker_away": (1, 4),
    "disk_refuses": (3, 12),
    "disk_stalls": (0.01, 0.1, 0.5),
    "power_at_commit": (0.001, 0.01),
    "targets_fail": (10, 40),
    "devices_off": (4, 15),
    "devices_offline": (4, 15),
    "devices_restart": (2, 10),
    "clock_steps": (2, 10),
    "device_faults": (4, 20),
    "doubts": (10, 40),
    "loss": (0.001, 0.02),
    "double": (0.01, 0.1),
    "late": (0.005, 0.05),
    "garbage": (0.001, 0.01),
    "retain": (0.01,),
    "drills": (0.2, 0.5),
    "wrong_mode": (4,),
    "handover": (1,),
    "limits": (1,),
}


def draw_swarm(chance: random.Random) -> Swarm:
    """Return what goes wrong in a world."""
    chosen = {name: chance.choice(rates) for name, rates in RATES.items() if chance.random() < 0.4}
    return Swarm(**chosen, illness=chance.choice((10, 30, 60)))


class Troubles:
    """Those of one world."""

    def __init__(self, world: World) -> None:
        """Draw from a stream of their own."""
        self._world, self._scheduler = world, world.scheduler
        self._chance = random.Random(f"faults {world.seed}")

    def _often(self, an_hour: float, act: Callable[[], object], begin: bool = True) -> None:
        """Do something again and again, at random times."""
        if not an_hour or self._world.calm:
            return
        if not begin:
            act()
        self._scheduler.after(
            self._chance.expovariate(an_hour * self._world.haste / 3600),
            partial(self._often, an_hour, act, False),
        )

    def _for_a_while(
        self, begin: Callable[[], None], end: Callable[[], None], spans: tuple[float, ...]
    ) -> None:
        begin()
        self._scheduler.after(self._chance.choice(spans), end)

    def plan(self) -> None:
        """Begin: from now on things go wrong."""
        swarm, draw = self._world.swarm, self._chance
        oximeters = [one for one in self._world.devices if "spo2" in one.metrics and one.name != "spare"]

        def device() -> Device:
            return draw.choice(self._world.devices)

        def light_fuse() -> None:
            self._world.fuse = self._scheduler.switches + draw.randrange(30)

        def with_link(act: Callable[[Any], None]) -> None:
            if self._world.monitor is not None:
                act(self._world.monitor.link)

        self._often(swarm.crashes, light_fuse)
        self._often(swarm.cuts, lambda: with_link(lambda link: link.cut()))
        self._often(swarm.half_open, lambda: with_link(lambda link: link.open_halfway()))
        self._often(swarm.broker_away, self._broker_away)
        self._often(swarm.disk_refuses, self._disk_refuses)
        self._often(swarm.targets_fail, self._target_fails)
        self._often(swarm.devices_off, lambda: self._switch(device(), "powered"))
        self._often(swarm.devices_offline, lambda: self._switch(device(), "online"))
        self._often(swarm.devices_restart, lambda: device().restart())
        self._often(swarm.clock_steps, lambda: self._step_clock(device()))
        self._often(swarm.device_faults, lambda: self._fault(draw.choice(oximeters)))
        self._often(swarm.doubts, lambda: self._doubt(draw.choice(oximeters)))
        self._often(swarm.wrong_mode, lambda: self._other_mode(draw.choice(oximeters)))
        self._often(swarm.illness, lambda: draw.choice(oximeters).patient.fall_ill(self._scheduler.now_s))

    def _broker_away(self) -> None:
        def go() -> None:
            self._world.broker.reachable = False
            if self._world.monitor is not None:
                self._world.monitor.link.cut("the broker is away")

        def come() -> None:
            self._world.broker.reachable = True

        self._for_a_while(go, come, (2.0, 15.0, 70.0))

    def _disk_refuses(self) -> None:
        def refuse() -> None:
            self._world.weather.refuses = self._chance.choice(("database or disk is full", "disk I/O error"))

        def work() -> None:
            self._world.weather.refuses = ""

        self._for_a_while(refuse, work, (0.5, 4.0, 30.0, 120.0))

    def _target_fails(self) -> None:
        service = self._world.services[self._chance.choice(sorted(self._world.services))]

        def fail() -> None:
            service.state = self._chance.choice(STATES)

        def heal() -> None:
            service.state = "well"

        self._for_a_while(fail, heal, (5.0, 40.0, 300.0))

    def _switch(self, device: Device, what: str) -> None:
        setattr(device, what, False)
        self._scheduler.after(15.0, lambda: None if getattr(device, what) else device.presence("offline"))

        def again() -> None:
            setattr(device, what, True)
            device.presence("online")

        self._scheduler.after(self._chance.choice((3.0, 14.0, 45.0, 150.0, 400.0)), again)

    def _step_clock(self, device: Device) -> None:
        by = self._chance.choice((-3600.0, -90.0, -20.0, -1.0, 1.0, 7.0, 120.0, 3600.0))
        device.offset_s += by
        lasts = self._chance.choice((30.0, 200.0))

        def right() -> None:
            device.offset_s -= by
            device.clock_wrong_until = self._scheduler.now_s + 180.0  # until the offset is surely forgotten

        self._scheduler.after(lasts, right)

    def _fault(self, device: Device) -> None:
        def begin() -> None:
            device.fault = self._chance.choice(("probe_off", "searching", "battery_low", "interference"))

        def end() -> None:
            device.fault = ""

        self._for_a_while(begin, end, (3.0, 20.0, 140.0))

    def _doubt(self, device: Device) -> None:
        device.doubted_until = self._scheduler.now_s + self._chance.choice((2.0, 7.0, 30.0))

    def _other_mode(self, device: Device) -> None:
        was = device.mode

        def begin() -> None:
            device.mode = "drill" if was == "real" else "real"

        def end() -> None:
            device.mode = was

        self._for_a_while(begin, end, (2.0, 20.0))
