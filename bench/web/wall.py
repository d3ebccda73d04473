"""The wall: 50 beds at 1 Hz, 20 clients: server thread, browser's main thread, beside a plain peer.

The law: the loop is the real core in a thread of its own, whose time is not counted; the web thread's time is
read from the kernel (`/proc/.../schedstat`), so that the clients' and the loop's work stay out of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import websockets

from bench import promise
from tests.web.small_house import SmallHouse

BEDS, CLIENTS, SECONDS, UPDATES = 50, 20, 20, 15
AIM_SERVER, AIM_BROWSER_MS = 1.0, 25.0


def spent_ns(name: str) -> int:
    """Return the processor time of this process's thread of that name, in ns."""
    for task in Path("/proc/self/task").iterdir():
        ident = next((t.native_id for t in threading.enumerate() if t.name == name), None)
        if ident is not None and task.name == str(ident):
            return int((task / "schedstat").read_text().split()[0])
    raise LookupError(name)


class Ward(threading.Thread):
    """Fifty patients that measure once a second."""

    def __init__(self, house: SmallHouse) -> None:
        """Begin sessions."""
        super().__init__(daemon=True, name="ward")
        self.house, self.going = house, True
        for number in range(1, BEDS + 1):
            house.start(f"bed-{number}", code=f"P-{number}")

    def run(self) -> None:
        """Measure until told to stop."""
        beat = 0
        while self.going:
            begun = time.monotonic()
            for number in range(1, BEDS + 1):
                self.house.tell(f"bed-{number}", spo2=95.0 + (beat + number) % 4, pulse_rate=70.0 + beat % 9)
            beat += 1
            time.sleep(max(0.0, 1 - (time.monotonic() - begun)))


async def listen(house: SmallHouse, cookie: str, seconds: float) -> tuple[list[int], float]:
    """Listen with all clients; return how many frames each got, and the web thread's share of a core in %.

    Opening a page is not part of the wall's cost: time and work count from when every client has a frame.
    """
    address = house.url.replace("http", "ws") + "/api/v1/wall"
    everybody = asyncio.Barrier(CLIENTS)
    begun: list[int] = []

    async def one() -> int:
        count, headers = 0, {"Cookie": f"afterwatch_seat={cookie}"}
        async with websockets.connect(
            address, origin=house.url, additional_headers=headers, max_size=None, compression=None
        ) as live:
            await live.recv()
            await everybody.wait()
            begun.append(spent_ns("web"))
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                await live.recv()
                count += 1
        return count

    counts = await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return counts, (spent_ns("web") - min(begun)) / seconds / 1e7


async def peer(house: SmallHouse, seconds: float) -> float:
    """Return the share of a core of a plain server that encodes the same wall anew for each client."""
    spent = 0.0
    frame = json.loads(house.site.hub.build())

    async def serve(live: Any) -> None:
        nonlocal spent
        while live.close_code is None:
            begun = time.thread_time()
            text = json.dumps(frame)
            spent += time.thread_time() - begun
            with contextlib.suppress(websockets.ConnectionClosed):
                await live.send(text)
            await asyncio.sleep(1)

    async def read(port: int) -> None:
        async with websockets.connect(f"ws://127.0.0.1:{port}", max_size=None) as live:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                await live.recv()

    async with websockets.serve(serve, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        await asyncio.gather(*(read(port) for _ in range(CLIENTS)))
    return spent / seconds * 100


def draw_ms(house: SmallHouse) -> float:
    """Return all processor time of the browser's main thread for each update of the wall, in ms."""
    from bench.web.chart import busy_ms, chromium

    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.goto(house.url + house.users.sign_in_link("Nora"))
        page.wait_for_selector(".tile")
        counter = page.context.new_cdp_session(page)
        counter.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.wait_for_timeout(3000)
        before, first = busy_ms(counter), house.site.hub.number
        page.wait_for_timeout(UPDATES * 1000)
        return (busy_ms(counter) - before) / (house.site.hub.number - first)


def main() -> int:
    """Measure and print; return 0 if the aims are met."""
    with tempfile.TemporaryDirectory() as folder:
        house = SmallHouse(Path(folder), beds=BEDS)
        ward = Ward(house)
        ward.start()
        nora = house.users.find("Nora")
        assert nora is not None
        doors = house.site.house.doors
        cookie = doors.write(doors.seat(nora, ("password",)))
        frames, share = asyncio.run(listen(house, cookie, SECONDS))
        size = len(house.site.hub.frame)
        other = asyncio.run(peer(house, 10))
        drawn = draw_ms(house)
        ward.going = False
        ward.join()
        house.stop()
    print(f"wall: {BEDS} beds at 1 Hz, {CLIENTS} clients, frame {size / 1024:.1f} KiB")
    print(f"  server thread        {share:5.2f} % of a core, {min(frames)} frames each")
    print(f"  peer, json per client {other:4.2f} % for encoding alone: {other / share:.1f} x ours in all")
    kept = promise(f"web: server thread, {BEDS} beds, {CLIENTS} clients", share, AIM_SERVER, "% of a core")
    return int(not (promise(f"web: one update of {BEDS} tiles", drawn, AIM_BROWSER_MS, "ms") and kept))
