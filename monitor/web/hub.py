"""The wall's heart: one numbered frame of all beds, made once, the same bytes for every page.

Law: a page gets the newest frame or none; nothing waits in line for a slow page, and no page can slow
another. A frame goes out every second, and at once when an alarm, a phase or a pause changed. While no page
looks nothing is made, and the first one that looks again gets a frame of that moment, never an old one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
        self._fresh = asyncio.Event()
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
        """Say that a bed changed; cheap, from any thread, as often as it happens.

        Whoever opens the first page just now is not missed: it is counted before its frame is made.
        """
        loop = self._loop
        if loop is None or self._pending or not self.pages:
            return
        self._pending = True
        try:
            loop.call_soon_threadsafe(self._wake.set)
        except RuntimeError:  # the server is stopping
            self._pending = False

    # --- in the server's loop -------------------------------------------------------------------------

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Count a page while it looks."""
        self.pages += 1
        self._wake.set()
        try:
            yield
        finally:
            self.pages -= 1

    async def run(self) -> None:
        """Build frames while somebody looks, until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._wake, self._fresh = asyncio.Event(), asyncio.Event()
        due = 0.0
        try:
            while True:
                self._wake.clear()
                self._pending = False
                if not self.pages:
                    self.frame, due = "", 0.0
                elif self._urgent() or time.monotonic() >= due:
                    due = time.monotonic() + PERIOD_S
                    self._publish()
                await self._rest(due)
        finally:
            self._loop = None

    async def _rest(self, due: float) -> None:
        """Wait until a frame may be wanted; without a page that is when one comes."""
        if not self.pages:
            await self._wake.wait()
            return
        await asyncio.sleep(SOONEST_S)
        timer = asyncio.get_running_loop().call_later(max(0.0, due - time.monotonic()), self._wake.set)
        await self._wake.wait()
        timer.cancel()

    def _urgent(self) -> bool:
        """Say whether something changed that cannot wait; looks only at beds that are not the same value."""
        urgent = False
        for name, bed in self._desk.beds().items():
            known = self._signatures.get(name)
            if known is not None and known[0] is bed:
                continue
            now = _signature(bed)
            urgent = urgent or known is None or known[1] != now
            self._signatures[name] = (bed, now)
        return urgent

    def _publish(self) -> None:
        begun = time.perf_counter()
        self.number += 1
        self.frame = self.build()
        self.build_s = time.perf_counter() - begun
        self._fresh.set()
        self._fresh = asyncio.Event()

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
        while self.number == seen or not self.frame:
            await self._fresh.wait()
        return self.number


def _signature(bed: Bed) -> tuple[Any, ...]:
    try:
        return signature(bed)
    except Exception:  # noqa: BLE001 - it is shown as a bed that cannot be shown; the wall goes on
        return ()


def _show(name: str, bed: Bed) -> dict[str, Any]:
    try:
        return show_bed(bed)
    except Exception as fault:  # noqa: BLE001 - one bed that cannot be drawn must not blank the others
        reason = f"this bed cannot be shown: {type(fault).__name__}; look at the bedside monitor"
        return {"id": name, "fault": reason, "numbers": {}, "alarms": [], "session": None, "devices": []}
