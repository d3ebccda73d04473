"""What ``docs/alarms.md`` prints of the code is what the code is.

The law: tables in the document are made by ``tables`` here; ``python -m tests.core.test_documents`` prints
them anew after a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from monitor.core.alarms import CONDITIONS, SIGNALS
from monitor.core.filters import Boundary
from monitor.core.protocol import PRIORITY, Filter, Limit, Protocol
from monitor.core.vitals import METRICS
from tests.core.scene import protocol, protocols

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "alarms.md"


def rows(head: list[str], body: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def priorities() -> str:
    """Return the table of harm and onset."""
    onsets = ("immediate", "prompt", "delayed")
    harms = dict.fromkeys(harm for harm, _ in PRIORITY)
    body = [[harm.replace("_", " "), *(PRIORITY[harm, onset] for onset in onsets)] for harm in harms]
    return rows(["harm if nobody acts", *onsets], body)


def signals() -> str:
    """Return the table of alarm signals."""
    words = [[before, change, after] for (before, change), after in SIGNALS.items()]
    return rows(["signal", "what happens", "signal then"], [[w.replace("_", " ") for w in r] for r in words])


def conditions() -> str:
    """Return the table of alarm conditions."""
    body = [[before, change, after] for (before, change), after in CONDITIONS.items()]
    return rows(["condition", "what happens", "condition then"], body)


def delay(limit: Limit, chosen: Filter | None) -> str:
    """Return in words how long a limit must be crossed."""
    if limit.annotation:
        return "marks the chart, never alarms"
    if chosen is None:
        return "second reading within 2 min" if limit.confirm else "first reading; repeat within 2 min"
    parts = [f"{chosen.ceiling_s:g} s"]
    if chosen.integral is not None:
        parts.append(f"or {chosen.min_time_s:g} s and {chosen.integral:g} point-seconds")
    if chosen.floor is not None:
        parts.append(f"or {chosen.floor_s:g} s at {chosen.floor:g} or beyond")
    if chosen.net_crossings:
        parts.append(f"or {chosen.net_crossings} times in {chosen.net_window_s:g} s")
    return " ".join(parts)


def limits(of: Protocol) -> str:
    """Return the table of a protocol's limits."""
    body = []
    for limit in of.limits:
        metric = METRICS[limit.metric]
        if limit.limit is not None:
            words = Boundary(limit.side, limit.limit, limit.at_limit).words()
        elif limit.rise is not None:
            words = f"{limit.rise:g} or more above the baseline"
        else:
            words = f"{limit.rise_fraction or 0:.0%} above the baseline"
        kind = "mark" if limit.annotation else limit.priority
        body.append(
            [metric.label, f"{words} {metric.unit}", kind, delay(limit, of.filters.get(limit.filter))]
        )
    return rows(["measured", "limit", "priority", "alarms after"], body)


def tables() -> Iterator[str]:
    """Yield every table of the document."""
    yield limits(protocol())
    yield priorities()
    yield conditions()
    yield signals()


def test_af_10_the_document_shows_the_limits_and_states_of_the_code() -> None:
    """AF-10, AL-12: a clinician reads what the product does: every table is printed from the code."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for table in tables():
        assert table in text, f"print it anew: python -m tests.core.test_documents\n{table}"


def test_the_other_routes_share_the_limits_of_the_document() -> None:
    """CLINICAL §1.3: every route has the same limits until a clinician says otherwise."""
    assert {limits(one) for one in protocols().values()} == {limits(protocol())}


def test_al_57_the_document_says_what_it_is_not() -> None:
    """AL-57: secondary notification, no conformity claimed."""
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert "secondary notification" in text
    assert "not a primary alarm" in text
    assert "claims no conformity" in text


if __name__ == "__main__":
    print("\n\n".join(tables()))
