"""Which devices serve a bed: a device serves one bed, and changes by hand-over only (AL-53).

Law: what a device said for one bed never counts for another; its silence and faults end with its service.
"""

from __future__ import annotations

from monitor.core import absence
from monitor.core.device import with_profile
from monitor.core.inputs import Associate, Dissociate
from monitor.core.turn import Turn


def associate(turn: Turn, given: Associate) -> None:
    """Let a device serve this bed."""
    name = given.profile.device_id
    known = turn.bed.devices.get(name)
    device = turn.bed.devices[name] = with_profile(known, given.profile)
    if known is None:
        device.served_since = turn.now
        turn.tell("DeviceAssociated", by=given.by, reason=name, device_id=name)
    turn.dirty = True


def dissociate(turn: Turn, given: Dissociate) -> None:
    """Let a device no longer serve this bed; its silence and faults end with it."""
    if given.device_id not in turn.bed.devices:
        turn.refuse("Dissociate", f"{given.device_id} does not serve {turn.bed.bed_id}", given.by)
        return
    del turn.bed.devices[given.device_id]
    _forget_readings(turn, given.device_id)
    turn.tell("DeviceDissociated", by=given.by, reason=given.device_id, device_id=given.device_id)
    for alarm in list(turn.bed.alarms.values()):
        if (alarm.kind == "technical" and f":{given.device_id}" in alarm.key) or alarm.key.startswith(
            "two-sources:"
        ):
            turn.end_alarm(alarm, f"{given.device_id} no longer serves this bed")
    absence.judge_channels(turn)


def _forget_readings(turn: Turn, device_id: str) -> None:
    """Freeze what the device's readings had raised; nobody waits any more for what only it could measure."""
    session = turn.bed.session
    required = (
        {
            watch.metric
            for watch in session.protocol.watch
            if not watch.if_provided and watch.metric not in session.without
        }
        if session
        else set()
    )
    for slot, reading in list(turn.bed.latest.items()):
        if reading.device_id == device_id:
            absence.freeze(turn, slot.partition("@")[0])
            if slot not in required:
                del turn.bed.latest[slot]
