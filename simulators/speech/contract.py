"""What every language takes and gives: a reading, who speaks, and the messages that come of them.

Law: the bytes depend on the reading and the speaker alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from monitor.core.vitals import FAULTS, METRICS

ROOT = "afterwatch/v1"
MODE = "drill"
ALL_METRICS, ALL_FAULTS = frozenset(METRICS), frozenset(FAULTS)
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reading:
    """What one device has to say at one time.

    ``values`` are by metric name in the metric's unit, ``None`` for "no value" (or whatever number this
    make sends instead); ``faults`` are names of ``monitor.core.vitals.FAULTS``, ``None`` when there is
    nothing to say about them; ``ended`` those that were there in the reading before and are no more.
    """

    measured_at: datetime | None
    values: Mapping[str, float | None]
    faults: tuple[str, ...] | None = None
    quality: Mapping[str, str] = field(default_factory=dict)
    ended: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks: the identity that goes into a message."""

    device_id: str
    boot_id: str
    sequence: int


class Said(NamedTuple):
    """One message; an empty topic is the device's native one."""

    topic: str
    payload: bytes


class Language(NamedTuple):
    """One row of the table: how it is spoken, and what of a reading it can say.

    Args:
        format: its name in ``beds.toml``.
        speak: turns a reading into messages; none when it has no words for it.
        topic: the filter that ``beds.toml`` needs, with ``{id}``; empty for the native topic.
        options: of the format, for ``beds.toml``.
        zone: of its times, where they are written without an offset.
        address: what its messages call the device, with ``{id}``, where that is not its id.
        metrics: what it has words for.
        needs: what its messages always carry.
        faults: which faults it has words for.
        at_once: how many faults one message can say.
        doubts: whether it can say that a value is questionable.
        timed: the metrics whose time it says.
        gateway_time: whether that time is a gateway's.
        seconds: how fine its times are.
        says_drill: whether it can say that this is a drill.
        counts: whether it numbers its messages.
    """

    format: str
    speak: Callable[[Reading, Speaker], Sequence[Said]]
    topic: str = ""
    options: Mapping[str, Any] = MappingProxyType({})
    zone: str = ""
    address: str = ""
    metrics: frozenset[str] = ALL_METRICS
    needs: frozenset[str] = NOTHING
    faults: frozenset[str] = NOTHING
    at_once: int = 99
    doubts: bool = False
    timed: frozenset[str] = ALL_METRICS
    gateway_time: bool = False
    seconds: float = 0.001
    says_drill: bool = False
    counts: bool = False


def stamp(at: datetime) -> str:
    """Return an instant as ISO 8601 in UTC with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch_ms(at: datetime) -> int:
    """Return an instant as milliseconds since 1970."""
    return round(at.timestamp() * 1000)
