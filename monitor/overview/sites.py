"""What many sites last said, the worst first.

Law: a site that is not heard is never shown as well. What was kept by the broker from earlier proves nothing
about now: only a heartbeat that came while we listened does. Instants are monotonic seconds, passed in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

TOPICS = ("afterwatch/v1/+/beds/+/alarms", "afterwatch/v1/+/monitor/status")
SILENT_AFTER_S = 30.0  # three heartbeats
MOST_SITES, MOST_BEDS, MOST_BYTES = 20_000, 500, 262_144
PRIORITIES = ("high", "medium", "low")

State = Literal["live", "unwell", "silent", "offline", "stopped", "unknown"]
_NOBODY_KNOWS: frozenset[State] = frozenset({"silent", "offline", "unknown"})
_TOPIC = re.compile(r"^afterwatch/v1/([^/]+)/(?:beds/([^/]+)/alarms|(monitor/status))$")


@dataclass(slots=True)
class Site:
    """What one site said: its presence, when it was last heard alive, and each bed's list."""

    presence: Mapping[str, Any] = field(default_factory=dict)
    beat_at: float | None = None
    beds: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def state(self, now: float) -> State:
        """Return how it is with the site's monitor."""
        said = self.presence.get("state")
        if said in ("offline", "stopped"):
            return said  # type: ignore[no-any-return]
        if self.beat_at is None:
            return "unknown"
        if now - self.beat_at > SILENT_AFTER_S:
            return "silent"
        return "live" if self.presence.get("ok", True) is True else "unwell"

    def alarms(self) -> list[dict[str, Any]]:
        """Return the alarms of every bed that speak for themselves, the worst first: real before drill."""
        found = [
            {**alarm, "bed": bed, "mode": listed.get("mode", "")}
            for bed, listed in self.beds.items()
            for alarm in listed["alarms"]
            if not alarm.get("covered_by")
        ]
        return sorted(found, key=_urgency)


class Sites:
    """Every site that was heard of. Used under one lock; nothing here waits."""

    def __init__(self) -> None:
        """Begin with none."""
        self.sites: dict[str, Site] = {}
        self.not_understood = 0

    def take(self, topic: str, payload: bytes, retained: bool, now: float) -> None:
        """Take one message; what is none of ours, or too much, is counted and left."""
        found = _TOPIC.match(topic)
        if found is None or len(payload) > MOST_BYTES:
            self.not_understood += 1
            return
        name, bed, _ = found.groups()
        if not payload:  # an empty retained message takes a topic away
            self._forget(name, bed)
            return
        said = _read(payload, listed=bed is not None)
        site = self.sites.get(name) or Site()
        if said is None or self._no_room(name, site, bed):
            self.not_understood += 1
            return
        self.sites[name] = site
        if bed is not None:
            site.beds[bed] = said
            return
        site.presence = said
        if not retained and said.get("state") == "online":
            site.beat_at = now

    def _no_room(self, name: str, site: Site, bed: str | None) -> bool:
        if name not in self.sites and len(self.sites) >= MOST_SITES:
            return True
        return bed is not None and bed not in site.beds and len(site.beds) >= MOST_BEDS

    def _forget(self, name: str, bed: str | None) -> None:
        if bed is None:
            self.sites.pop(name, None)
        elif name in self.sites:
            self.sites[name].beds.pop(bed, None)

    def rows(self, now: float, *, linked: bool) -> list[dict[str, Any]]:
        """Return a row for each site, the worst first.

        Args:
            now: monotonic seconds.
            linked: whether we hear the broker; without it nothing is known of any site.
        """
        rows = [
            _row(name, site, site.state(now) if linked else "unknown", now)
            for name, site in self.sites.items()
        ]
        return sorted(rows, key=lambda row: (row["rank"], row["site"]))


def _read(payload: bytes, *, listed: bool) -> dict[str, Any] | None:
    """Return a payload as a presence, or as a bed's list; ``None`` when it is neither."""
    try:
        said = orjson.loads(payload)
    except ValueError:
        return None
    if not isinstance(said, dict):
        return None
    alarms = said.get("alarms")
    sound = isinstance(alarms, list) and all(isinstance(alarm, dict) for alarm in alarms)
    return said if sound or not listed else None


def _row(name: str, site: Site, state: State, now: float) -> dict[str, Any]:
    alarms = site.alarms()
    real = [_level(alarm) for alarm in alarms if alarm.get("mode") != "drill"]
    counts = {priority: real.count(level) for level, priority in enumerate(PRIORITIES)}
    worst = alarms[0] if alarms else None
    return {
        "site": name,
        "state": state,
        "heard_s": None if site.beat_at is None else round(now - site.beat_at),
        "beds": len([bed for bed in site.beds if bed != "station"]),
        "in_session": sum(bool(listed.get("mode")) for listed in site.beds.values()),
        "counts": counts,
        "worst": worst and {key: worst.get(key, "") for key in _SHOWN},
        "rank": _rank(state, worst),
    }


_SHOWN = ("bed", "mode", "priority", "kind", "text", "rule", "signal", "onset_at", "acknowledged_by")


def _urgency(alarm: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        alarm.get("mode") == "drill",
        _level(alarm),
        bool(alarm.get("acknowledged_by")),
        alarm.get("kind") == "technical",
        str(alarm.get("onset_at", "")),
    )


def _level(alarm: Mapping[str, Any]) -> int:
    priority = alarm.get("priority")
    return PRIORITIES.index(priority) if priority in PRIORITIES else 0  # unknown words are not taken lightly


def _rank(state: State, worst: Mapping[str, Any] | None) -> int:
    """Return where a site stands: a high alarm, one of which nobody knows, the milder, the well."""
    level = None if worst is None or worst.get("mode") == "drill" else _level(worst)
    if level == 0 and worst is not None:
        return 2 if worst.get("acknowledged_by") else 0
    if state in _NOBODY_KNOWS:
        return 1
    if level is not None:
        return 2 + level
    return {"unwell": 4, "live": 5}.get(state, 6)
