"""Which of a device's readings are live: its clock, its message counter, its presence.

Law: a reading is live only if it is newer than the last one and tells of now. What is retained, repeated,
out of order or from a backlog is charted and never alarms or clears (AL-32, AL-33, P-11, P-20, P-30). A
wrong clock is noticed and does not hide a live patient: a device that streams at the pace of time with a
steady offset is live, with that offset taken off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from monitor.core.vitals import Report

Liveness = Literal["live", "retained", "repeated", "late"]

SKEW_NOTICED = timedelta(seconds=5)  # AL-32: skew above 5 s is a technical low
LATE = timedelta(seconds=60)  # AL-32: later than 60 s never triggers a "now" alarm
# How long a steady offset must last before it is believed: shorter than a channel takes to be missing (10 s,
# AL-29), so that a clock which jumps by an hour makes no gap (AL-13).
PACE_PROVEN = timedelta(seconds=5)
# The same when the device was silent before it: then it more likely sends, at its own pace, what it kept.
PACE_PROVEN_AFTER_SILENCE = timedelta(seconds=120)
GAP_KEPT = 64  # how many missing sequence ranges are remembered; also how far back a repeat can reach


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """What the installer says of a device (``beds.toml``): never changed by what it sends.

    ``expected_interval_s`` is the time between its reports, ``averaging_s`` its own averaging, which is part
    of the delay budget (AL-12). ``trust_clock`` false: the time of arrival counts, not the device's.
    """

    device_id: str
    metrics: tuple[str, ...] = ()
    expected_interval_s: float = 1.0
    averaging_s: float = 0.0
    trust_clock: bool = True


class Spoken(NamedTuple):
    """Which report it was that said something: what a later one must be compared with."""

    boot_id: str | None
    sequence: int | None


@dataclass(slots=True)
class Device:
    """What a bed knows of a device that serves it.

    ``offset`` is what is taken off its clock (``None``: its clock is believed). ``late_first`` anchors the
    proof of a steady offset: when the first late reading was measured and received. ``silent_until`` is when
    it last broke a silence of more than a minute. ``skew_since`` is since when its clock stands apart by
    about ``skew_first``; ``gap_at`` when a number was first missing. ``live_at`` is the newest instant at
    which a live report was placed: what is placed before it is out of order. ``served_since`` is when it came
    to serve this bed; ``faults_said`` which of its reports spoke last of its ``faults``.
    """

    profile: DeviceProfile
    online: bool | None = None
    boot_id: str | None = None
    sequence: int | None = None
    missing: tuple[tuple[int, int], ...] = ()
    measured_at: datetime | None = None
    seen_at: datetime | None = None
    offset: timedelta | None = None
    late_first: tuple[datetime, datetime] | None = None
    silent_until: datetime | None = None
    skew: timedelta = timedelta(0)
    skew_since: datetime | None = None
    skew_first: timedelta = timedelta(0)
    gap_at: datetime | None = None
    faults: tuple[str, ...] = ()
    malformed_at: datetime | None = None
    malformed: str = ""
    live_at: datetime | None = None
    served_since: datetime | None = None
    faults_said: Spoken | None = None

    def copy(self) -> Device:
        """Return a copy to change (the hot path's cheaper ``dataclasses.replace``)."""
        return Device(
            self.profile,
            self.online,
            self.boot_id,
            self.sequence,
            self.missing,
            self.measured_at,
            self.seen_at,
            self.offset,
            self.late_first,
            self.silent_until,
            self.skew,
            self.skew_since,
            self.skew_first,
            self.gap_at,
            self.faults,
            self.malformed_at,
            self.malformed,
            self.live_at,
            self.served_since,
            self.faults_said,
        )


class Timed(NamedTuple):
    """When a report counts: its instant on our clock, and whether it is live."""

    at: datetime
    liveness: Liveness


def receive(device: Device, report: Report, now: datetime) -> Timed:
    """Take a report into ``device`` (changed in place) and say whether and when it counts."""
    repeated = _count(device, report, now)
    if report.retained:
        return Timed(report.measured_at or report.received_at, "retained")
    if repeated:
        return Timed(report.measured_at or report.received_at, "repeated")
    if device.seen_at is not None and now - device.seen_at > LATE:
        device.silent_until = now
    device.seen_at = now
    if device.online is False:
        device.online = True  # whoever reports is there, whatever its last will said
    if report.measured_at is not None and (
        device.measured_at is None or report.measured_at > device.measured_at
    ):
        device.measured_at = report.measured_at
    measured_at = report.measured_at if device.profile.trust_clock else None
    if measured_at is None:
        return Timed(now, "live")
    if report.faults and "clock_unset" in report.faults:
        return Timed(now, "live")
    return place(device, measured_at, now)


def note_live(device: Device, at: datetime) -> None:
    """Remember the newest instant at which a live report of the device was placed."""
    if device.live_at is None or at > device.live_at:
        device.live_at = at


def place(device: Device, measured_at: datetime, now: datetime) -> Timed:
    """Place a reading of the device's clock on ours, and say whether it tells of now."""
    lateness = now - measured_at
    if -SKEW_NOTICED <= lateness <= SKEW_NOTICED:
        if device.skew_since is not None:
            device.offset = device.late_first = device.skew_since = None
            device.skew = timedelta(0)
        return Timed(measured_at if lateness >= timedelta(0) else now, "live")
    _note_skew(device, lateness, now)
    if lateness < timedelta(0):
        return Timed(now, "live")
    if lateness <= LATE and device.offset is None and _goes_on(device, measured_at):
        device.late_first = None
        return Timed(measured_at, "live")
    return _far_behind(device, measured_at, now, lateness)


def _goes_on(device: Device, at: datetime) -> bool:
    """Say whether an instant is no older than the newest live one: if it is, the clock may be set back."""
    return device.live_at is None or at >= device.live_at


def _note_skew(device: Device, lateness: timedelta, now: datetime) -> None:
    """Remember since when the clock stands apart by about the same amount."""
    device.skew = lateness
    if device.skew_since is None or abs(lateness - device.skew_first) > SKEW_NOTICED:
        device.skew_since, device.skew_first = now, lateness


def skewed(device: Device, now: datetime) -> bool:
    """Say whether the device's clock has stood apart steadily for long enough to be sure."""
    return device.skew_since is not None and now - device.skew_since >= PACE_PROVEN


def _far_behind(device: Device, measured_at: datetime, now: datetime, lateness: timedelta) -> Timed:
    """Tell a slow clock from a backlog: the clock keeps the pace of time, the backlog outruns it."""
    if device.offset is not None:
        at = now - max(timedelta(0), lateness - device.offset)
        if abs(lateness - device.offset) > LATE:
            device.offset = None
        elif _goes_on(device, at):
            device.late_first = None
            return Timed(at, "live")
    if device.late_first is None:
        device.late_first = (measured_at, now)
        return Timed(measured_at, "late")
    first_measured_at, first_received_at = device.late_first
    passed, told = now - first_received_at, measured_at - first_measured_at
    if not passed / 2 <= told <= passed * 1.5:
        device.late_first = (measured_at, now)
        return Timed(measured_at, "late")
    if passed < (PACE_PROVEN_AFTER_SILENCE if _kept_some(device, lateness, now) else PACE_PROVEN):
        return Timed(measured_at, "late")
    device.offset = lateness
    return Timed(now, "live")


def _kept_some(device: Device, lateness: timedelta, now: datetime) -> bool:
    """Say whether a silence just before explains the lateness: the device then sends what it kept."""
    return device.silent_until is not None and now - device.silent_until <= lateness + LATE


def _count(device: Device, report: Report, now: datetime) -> bool:
    """Follow the device's message counter; return whether this message came before (P-27, P-28)."""
    sequence = report.sequence
    if sequence is None:
        return False
    if report.boot_id != device.boot_id or device.sequence is None:
        return _count_anew(device, report, sequence)
    expected = device.sequence + 1
    if sequence == expected:
        device.sequence = sequence
        return False
    if sequence > expected:
        device.missing = (*device.missing, (expected, sequence - 1))[-GAP_KEPT:]
        device.sequence = sequence
        device.gap_at = device.gap_at or now
        return False
    if _fill(device, sequence):
        return False
    if _restarted(device, report, device.sequence - sequence):
        return _count_anew(device, report, sequence)
    return True


def _count_anew(device: Device, report: Report, sequence: int) -> bool:
    """Begin a device's count anew; its first message is no repeat."""
    device.boot_id, device.sequence, device.missing, device.gap_at = report.boot_id, sequence, (), None
    return False


def _restarted(device: Device, report: Report, fall: int) -> bool:
    """Say whether a device began to count anew without a new boot id: its number falls, its time goes on.

    Taking that for a repeat would drop every reading until the old number is reached again. Where it sends no
    time, only a great ``fall`` of the number shows it, and that only where it sends no boot id either.
    """
    if report.measured_at is not None and device.measured_at is not None:
        return report.measured_at > device.measured_at
    return report.boot_id is None and fall > GAP_KEPT


def _fill(device: Device, sequence: int) -> bool:
    """Take a late number out of the missing ranges; return whether it was missing."""
    for index, (first, last) in enumerate(device.missing):
        if first <= sequence <= last:
            rest = [(first, sequence - 1), (sequence + 1, last)]
            kept = tuple(pair for pair in rest if pair[0] <= pair[1])
            device.missing = (*device.missing[:index], *kept, *device.missing[index + 1 :])
            if not device.missing:
                device.gap_at = None
            return True
    return False


def is_overtaken(device: Device, report: Report) -> bool:
    """Say whether a report has been spoken over on faults: it comes later, and its number is lower (AL-31).

    On a network that exchanges two reports a fault that is over would begin again, and nobody would end it.
    To be asked after ``receive``: the number of a device that counts anew is below the one that spoke. Where
    a device does not count, its time is no proof: a clock set back would make all that it says old.
    """
    said, newest = device.faults_said, device.sequence
    if said is None or said.sequence is None or report.sequence is None or newest is None:
        return False
    return report.boot_id == said.boot_id and report.sequence < said.sequence <= newest


def missing_count(device: Device) -> int:
    """Return how many messages are known to be missing."""
    return sum(last - first + 1 for first, last in device.missing)


def with_profile(device: Device | None, profile: DeviceProfile) -> Device:
    """Return the device under a (new) profile; what is known of it stays."""
    return Device(profile) if device is None else replace(device, profile=profile)
