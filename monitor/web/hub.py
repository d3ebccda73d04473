"""The wall's heart: one numbered frame of all beds, made once, the same bytes for every page.

Law: a page gets the newest frame or none; nothing waits in line for a slow page, and no page can slow
another. A frame goes out every second, and at once when an alarm, a phase or a pause changed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson

from monitor.core.turn import Bed
from monitor.web.desk import Desk
from monitor.web.wall import ms, show_bed, signature

PERIOD_S = 1.0
SOONEST_S = 0.04  # a burst of changes is one frame
SEND_WITHIN_S = 5.0  # a page that cannot take a frame for so long is let go
STATION = "station"


class Hub:
    """Builds frames and hands the newest to whoever waits."""

    def __init__(self, desk: Desk, fixed: Mapping[str, Any]) -> None:
        """``fixed`` goes out with every frame: what the site and its beds are called."""
        self._desk = desk
        self._fixed = dict(fixed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._fresh = asyncio.Condition()
        self._pending = False
        self._cache: dict[str, tuple[Bed, bytes]] = {}
        self._signatures: dict[str, tuple[Bed, tuple[Any, ...]]] = {}
        self.number = 0
        self.frame = ""
        self.pages = 0
        self.build_s = 0.0
        self.dropped = 0

    # --- from the loop's thread -----------------------------------------------------------------------

    def changed(self) -> None:
        """Say that a bed changed; cheap, from any thread, as often as it happens."""
        loop = self._loop
        if loop is None or self._pending:
            return
        self._pending = True
        try:
            loop.call_soon_threadsafe(self._wake.set)
        except RuntimeError:  # the server is stopping
            self._pending = False

    # --- in the server's loop -------------------------------------------------------------------------

    async def run(self) -> None:
        """Build frames until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._wake, self._fresh, self._pending = asyncio.Event(), asyncio.Condition(), False
        try:
            due = 0.0
            while True:
                if self._urgent() or time.monotonic() >= due:
                    due = time.monotonic() + PERIOD_S
                    await self._publish()
                await asyncio.sleep(SOONEST_S)
                await self._sleep_until(due)
        finally:
            self._loop = None

    async def _sleep_until(self, due: float) -> None:
        self._pending = False
        left = due - time.monotonic()
        if left > 0 and not self._wake.is_set():
            try:
                await asyncio.wait_for(self._wake.wait(), left)
            except TimeoutError:
                return
        self._wake.clear()

    def _urgent(self) -> bool:
        """Say whether something changed that cannot wait; looks only at beds that are not the same value."""
        urgent = False
        for name, bed in self._desk.beds().items():
            known = self._signatures.get(name)
            if known is not None and known[0] is bed:
                continue
            now = signature(bed)
            urgent = urgent or known is None or known[1] != now
            self._signatures[name] = (bed, now)
        return urgent

    async def _publish(self) -> None:
        begun = time.perf_counter()
        self.number += 1
        self.frame = self.build()
        self.build_s = time.perf_counter() - begun
        async with self._fresh:
            self._fresh.notify_all()

    def build(self) -> str:
        """Return the beds as they are now, under the present number, as JSON text."""
        beds = self._desk.beds()
        shown = [self._fragment(name, bed) for name, bed in beds.items() if name != STATION]
        station = [self._fragment(name, bed) for name, bed in beds.items() if name == STATION]
        frame = {
            **self._fixed,
            "number": self.number,
            "at": ms(self._desk.now()),
            "health": dict(self._desk.health()),
            "beds": shown,
            "station": station[0] if station else None,
        }
        return orjson.dumps(frame, default=str).decode()

    def _fragment(self, name: str, bed: Bed) -> orjson.Fragment:
        known = self._cache.get(name)
        if known is None or known[0] is not bed:
            known = self._cache[name] = (bed, orjson.dumps(_show(name, bed)))
        return orjson.Fragment(known[1])

    async def next_frame(self, seen: int) -> int:
        """Wait until there is a frame newer than ``seen``; return its number."""
        async with self._fresh:
            await self._fresh.wait_for(lambda: self.number != seen and bool(self.frame))
        return self.number


def _show(name: str, bed: Bed) -> dict[str, Any]:
    try:
        return show_bed(bed)
    except Exception as fault:  # noqa: BLE001 - one bed that cannot be drawn must not blank the others
        reason = f"this bed cannot be shown: {type(fault).__name__}; look at the bedside monitor"
        return {"id": name, "fault": reason, "numbers": {}, "alarms": [], "session": None, "devices": []}
