"""Which limits were in force when, as the chart draws them.

Law: a limit is drawn as it stood at that time: as the protocol had it, as a person changed it, and as the
baseline that was told tightened it. The core's own rule says what that comes to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from monitor.core.outcomes import Outcome
from monitor.core.protocol import PHASES, Priority, Side
from monitor.core.session import LimitChange, Point, Session
from monitor.records.story import Story


class Bound(NamedTuple):
    """One limit in force: its value in the metric's unit, and whether it only marks the chart."""

    limit_id: str
    side: Side
    value: float
    priority: Priority
    annotation: bool
    at_limit: bool

    @property
    def sign(self) -> str:
        """Return it as people write it: ``≥ 180``, ``> 160``, ``< 90``, ``≤ 40``."""
        signs = {("high", True): "≥", ("high", False): ">", ("low", True): "≤", ("low", False): "<"}
        return f"{signs[self.side, self.at_limit]} {self.value:g}"


class Stretch(NamedTuple):
    """A time during which the same limits were in force, by metric."""

    from_at: datetime
    to_at: datetime
    bounds: dict[str, tuple[Bound, ...]]


def stretches(story: Story) -> list[Stretch]:
    """Return the limits in force over the session, oldest first, without stretches of no length."""
    summary, protocol = story.record.summary, story.record.protocol
    session = Session("", "", protocol, summary.mode, story.started_at, summary.started_by)
    found: list[Stretch] = []
    since, bounds = story.started_at, _bounds(session)
    for outcome in story.outcomes:
        session = _after(session, outcome)
        if (now := _bounds(session)) != bounds:
            found.append(Stretch(since, outcome.at, bounds))
            since, bounds = outcome.at, now
    found.append(Stretch(since, story.ended_at, bounds))
    return [one for one in found if one.to_at > one.from_at]


def _after(session: Session, outcome: Outcome) -> Session:
    detail = outcome.detail
    if outcome.outcome == "PhaseChanged" and detail.get("phase") in PHASES:
        return replace(session, phase=detail["phase"])
    if outcome.outcome == "LimitChanged":
        change = LimitChange(
            outcome.value, bool(detail.get("on", True)), outcome.by, outcome.at, outcome.reason
        )
        return replace(session, changes={**session.changes, outcome.rule: change})
    if outcome.outcome == "BaselineEstablished" and outcome.value is not None:
        points = (Point(outcome.at, outcome.value),) * max(1, session.protocol.baseline.readings)
        return replace(session, baseline={**session.baseline, outcome.metric: points})
    return session


def _bounds(session: Session) -> dict[str, tuple[Bound, ...]]:
    return {metric: tuple(_rules(band.rules)) for metric, band in session.plan.items()}


def _rules(rules: object) -> Iterator[Bound]:
    for rule in rules:  # type: ignore[attr-defined]
        limit, boundary = rule.limit, rule.boundary
        yield Bound(
            limit.id, boundary.side, boundary.value, limit.priority, limit.annotation, boundary.at_limit
        )
