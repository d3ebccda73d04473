"""Two hundred pages, twenty of which stop reading and come again: the others go on, memory stays flat.

The law: the clients live in a process of their own, so that the memory measured is the server's alone; what
the small archive keeps of readings is thrown away meanwhile, because it is no part of the pages.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import websockets

from bench import promise
from bench.web.wall import Ward, spent_ns
from tests.web.small_house import SmallHouse

CLIENTS, STALLED, SECONDS, LONG_S = 200, 20, 40, 600
STALL_S = 30.0  # it is let go meanwhile, and comes again, as a tablet that wakes and sleeps
AIM_GROWTH_KB = 2048.0
PAGE_KB = os.sysconf("SC_PAGE_SIZE") / 1024


def memory_kb() -> float:
    """Return what this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KB


async def listen(address: str, origin: str, cookie: str, seconds: float) -> None:
    """Be the clients; print how many read to the end, and the fewest and the most frames that one got."""
    end = time.monotonic() + seconds
    headers = {"Cookie": f"afterwatch_seat={cookie}"}

    async def read(number: int) -> int:
        await asyncio.sleep(number / 100)
        count = 0
        async with websockets.connect(
            address, origin=origin, additional_headers=headers, max_size=None, compression=None
        ) as live:
            while time.monotonic() < end:
                await live.recv()
                count += 1
        return count

    async def stall() -> None:
        where = urlsplit(address)
        while time.monotonic() < end:
            sock = socket.socket()  # a small window, as of a tablet that went to sleep
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
            sock.connect((where.hostname, where.port))
            live = await websockets.connect(
                address, sock=sock, origin=origin, additional_headers=headers, max_size=None, compression=None
            )
            live.transport.pause_reading()
            await asyncio.sleep(STALL_S)
            live.transport.abort()

    stalled = [asyncio.ensure_future(stall()) for _ in range(STALLED)]
    readers = (read(number) for number in range(CLIENTS - STALLED))
    found = await asyncio.gather(*readers, return_exceptions=True)
    for one in stalled:
        one.cancel()
    counts = [each for each in found if isinstance(each, int)]
    print(len(counts), min(counts, default=0), max(counts, default=0))


def main(seconds: float = SECONDS) -> int:
    """Measure and print; return 0 if the aims are met."""
    with tempfile.TemporaryDirectory() as folder:
        house = SmallHouse(Path(folder), beds=50)
        ward = Ward(house)
        house.archive.keep = lambda *_: None  # type: ignore[method-assign]
        ward.start()
        nora = house.users.find("Nora")
        assert nora is not None
        doors = house.site.house.doors
        cookie = doors.write(doors.seat(nora, ("password",)))
        address = house.url.replace("http", "ws") + "/api/v1/wall"
        command = [sys.executable, "-m", "bench.web.stalled", address, house.url, cookie, str(seconds)]
        clients = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(20)  # everybody is there, and what is made once is made
        held, spent, begun = [memory_kb()], spent_ns("web"), time.monotonic()
        size = len(house.site.hub.frame)
        while time.monotonic() - begun < seconds - 25:
            time.sleep(1)
            held.append(memory_kb())
        share = (spent_ns("web") - spent) / (time.monotonic() - begun) / 1e7
        served, fewest, most = map(int, (clients.communicate(timeout=120)[0] or "0 0 0").split())
        dropped, frames = house.site.hub.dropped, house.site.hub.number
        ward.going = False
        ward.join()
        house.stop()
    part = max(1, len(held) // 5)
    fifths = [statistics.median(held[n : n + part]) / 1024 for n in range(0, 5 * part, part)]
    grown = (fifths[-1] - fifths[0]) * 1024
    about = f"{CLIENTS} clients of which {STALLED} stop reading, frame {size / 1024:.1f} KiB, {seconds:.0f} s"
    print(f"wall: {about}")
    print(f"  {served} readers got {fewest} to {most} of {frames} frames; {dropped} stalls were let go")
    print(f"  server thread {share:.1f} % of a core")
    course = ", ".join(f"{one:.1f}" for one in fifths)
    print(f"  memory by fifths of the time {course} MiB")
    flat = promise(f"web: memory with stalled clients, {seconds:.0f} s", grown, AIM_GROWTH_KB, "KiB grown")
    return int(served < CLIENTS - STALLED or dropped < STALLED or fewest < 0.7 * frames or not flat)


if __name__ == "__main__":
    if len(sys.argv) == 5:
        asyncio.run(listen(*sys.argv[1:4], float(sys.argv[4])))
        raise SystemExit(0)
    raise SystemExit(main())
