"""The people and the services around the monitor: staff at the wall, and the targets of messages.

Law: staff do only what a person could: they look at the wall, and ask. A target may fail, hang, answer too
late, or say what is not so; what it really took is written down here.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from monitor.config import Target
from monitor.core import inputs as given
from monitor.notify import Notification, Sent
from tests.simulation.tasks import Scheduler

if TYPE_CHECKING:
    from tests.simulation.world import World

STAFF = ("anna", "ben", "chris")
WHO = "role of everybody"


class Service:
    """One target: how it is now, and what it took."""

    def __init__(
        self, name: str, scheduler: Scheduler, chance: random.Random, begins: Callable[[str], None]
    ) -> None:
        """Begin well; ``begins`` hears the key of each message when an attempt begins."""
        self.name, self.state, self._begins = name, "well", begins
        self.took: dict[str, int] = {}
        self.said_took: set[str] = set()
        self.said_at = -1.0  # when it last said that it took something
        self._scheduler, self._chance = scheduler, chance

    def send(self, one: Notification) -> Sent:
        """Take a message, or not."""
        self._begins(one.key)
        sleep, draw = self._scheduler.sleep, self._chance
        state = self.state
        if state == "hangs":
            sleep(draw.choice((15.0, 60.0, 400.0)))
        elif state == "slow":
            sleep(draw.choice((3.0, 8.0, 14.0)))
        else:
            sleep(draw.choice((0.05, 0.2, 1.0)))
        if state == "down":
            return Sent(False, "connection refused")
        if state == "forbidden":
            return Sent(False, "error=403", permanent=True)
        if state == "raises":
            raise RuntimeError("the plugin broke")
        if state == "swallows":
            return self._say_took(one)
        self.took[one.key] = self.took.get(one.key, 0) + 1
        if state == "denies":
            return Sent(False, "error=500")
        return self._say_took(one)

    def _say_took(self, one: Notification) -> Sent:
        self.said_took.add(one.key)
        self.said_at = self._scheduler.now_s
        return Sent(True, "accepted by the service")


STATES = ("down", "down", "hangs", "slow", "forbidden", "raises", "swallows", "denies")


def opener(services: dict[str, Service]) -> Callable[[Target], Callable[[Notification], Sent]]:
    """Return what opens a target."""
    return lambda target: services[target.id].send


class Staff:
    """Those who look at the wall."""

    def __init__(self, world: World, chance: random.Random, busy: float) -> None:
        """Begin; ``busy`` is how likely a look leads to something being done."""
        self._world, self._draw, self._busy = world, chance, busy
        self._sessions = 0

    def look(self) -> None:
        """Look at every bed, and do something now and then."""
        world, draw = self._world, self._draw
        if world.monitor is None or draw.random() > self._busy:
            return
        bed_id = draw.choice(world.bed_ids)
        bed = world.monitor.beds()[bed_id]
        by = draw.choice(STAFF)
        alarms = [*bed.alarms.values(), *bed.latched.values()]
        if bed.session is None:
            one: Any = self._begin(by)
        elif alarms and draw.random() < 0.6:
            several = len(alarms) > 1 and draw.random() < 0.2
            one = self._answer_milder(alarms, by) if several else self._answer(draw.choice(alarms), by)
        else:
            one = self._work(bed_id, by)
        if one is not None:
            world.ask(bed_id, one)

    def _begin(self, by: str) -> Any:
        draw, world = self._draw, self._world
        self._sessions += 1
        mode = "drill" if draw.random() < world.swarm.drills else "real"
        name = draw.choice(sorted(world.configuration.protocols))
        return given.StartSession(
            f"s{world.seed}-{world.boots}-{self._sessions}",
            f"K-{self._sessions:04}",
            world.configuration.protocols[name],
            by,
            mode=mode,  # type: ignore[arg-type]
        )

    def _answer_milder(self, alarms: list[Any], by: str) -> Any:
        """One press for the low and medium alarms that wait (P-37), at times from a page of a while ago."""
        draw = self._draw
        if draw.random() < 0.2:
            seen = tuple((one.alarm_id, draw.choice((one.priority, "medium"))) for one in alarms)
            return given.AcknowledgeMilder(seen, by)
        wait = [
            one
            for one in alarms
            if one.priority != "high" and not one.covered_by and one.signal not in ("acknowledged", "off")
        ]
        return (
            given.AcknowledgeMilder(tuple((one.alarm_id, one.priority) for one in wait), by) if wait else None
        )

    def _answer(self, alarm: Any, by: str) -> Any:
        draw = self._draw
        what = draw.choice(("acknowledge", "acknowledge", "accept", "reject", "pause", "reset", "audio"))
        if what == "acknowledge":
            stale = draw.random() < 0.1
            seen: Any = draw.choice(("high", "medium", "low")) if stale else alarm.priority
            return given.Acknowledge(alarm.alarm_id, by, seen)
        if what == "accept":
            return given.Accept(alarm.alarm_id, by)
        if what == "reject":
            return given.Reject(alarm.alarm_id, by)
        if what == "pause":
            return given.PauseAlarm(alarm.alarm_id, by, draw.choice((30.0, 120.0)), "the probe is moved")
        if what == "reset":
            return given.ResetAlarm(alarm.alarm_id, by)
        return given.PauseAudio(by, draw.choice((None, 60.0, 600.0)))

    def _work(self, bed_id: str, by: str) -> Any:
        draw, world = self._draw, self._world
        what = draw.choice(
            ("dose", "end dosing", "manual", "note", "answer", "end", "limit", "resume", "device", "sign", "")
        )
        if what == "dose":
            return given.RecordDose(40.0, "iv", by, reason="as planned")
        if what == "end dosing":
            return given.EndDosing(by)
        if what == "manual":
            return given.RecordManual({"nibp_systolic": 128.0, "nibp_diastolic": 80.0}, by)
        if what == "note":
            return given.RecordNote("note", "calm", by)
        if what == "answer":
            return given.Answer("escort", met=True, by=by)
        if what == "end" and draw.random() < 0.4:
            return given.EndSession(by, "going home")
        if what == "limit" and world.swarm.limits:
            value = draw.choice((88.0, 91.0, None))
            return given.SetLimit(
                "spo2-low-urgent", by, "clinician", "known lung disease", value, value is not None
            )
        if what == "resume":
            return given.ResumeAudio(by)
        if what == "device" and world.swarm.handover:
            entry = draw.choice(world.configuration.ward.devices)
            return given.Associate(entry.profile(), by)
        return None
