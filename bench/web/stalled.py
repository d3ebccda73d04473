"""Two hundred pages, twenty of which stop reading: the others get every frame, and memory stays flat.

The law: the clients live in a process of their own, so that the memory measured is the server's alone; what
the small archive keeps of readings is thrown away meanwhile, because it is no part of the pages.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import websockets

from bench.web.wall import Ward, spent_ns
from tests.web.small_house import SmallHouse

CLIENTS, STALLED, SECONDS = 200, 20, 40
AIM_GROWTH_KB = 2048.0
PAGE_KB = os.sysconf("SC_PAGE_SIZE") / 1024


def memory_kb() -> float:
    """Return what this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KB


async def listen(address: str, origin: str, cookie: str) -> None:
    """Be the clients; print how many frames the fewest and the most served one got."""
    end = time.monotonic() + SECONDS
    headers = {"Cookie": f"afterwatch_seat={cookie}"}

    async def one(number: int) -> int:
        await asyncio.sleep(number / 100)
        count, where = 0, urlsplit(address)
        sock = socket.socket()
        if number < STALLED:  # a small window, as of a tablet that went to sleep
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        sock.connect((where.hostname, where.port))
        async with websockets.connect(
            address, sock=sock, origin=origin, additional_headers=headers, max_size=None, compression=None
        ) as live:
            if number < STALLED:
                live.transport.pause_reading()
                await asyncio.sleep(end - time.monotonic())
                live.transport.abort()
                return 0
            while time.monotonic() < end:
                await live.recv()
                count += 1
        return count

    found = await asyncio.gather(*(one(number) for number in range(CLIENTS)), return_exceptions=True)
    counts = [each for each in found[STALLED:] if isinstance(each, int)]
    print(len(counts), min(counts, default=0), max(counts, default=0))


def main() -> int:
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
        command = [sys.executable, "-m", "bench.web.stalled", address, house.url, cookie]
        clients = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(SECONDS / 2)
        began, spent = memory_kb(), spent_ns("web")
        time.sleep(SECONDS / 4)
        grown, share = memory_kb() - began, (spent_ns("web") - spent) / (SECONDS / 4) / 1e7
        served, fewest, most = map(int, (clients.communicate(timeout=60)[0] or "0 0 0").split())
        dropped, size = house.site.hub.dropped, len(house.site.hub.frame)
        ward.going = False
        ward.join()
        house.stop()
    print(
        f"wall: {CLIENTS} clients of which {STALLED} stop reading, frame {size / 1024:.1f} KiB, {SECONDS} s"
    )
    print(f"  {served} readers got {fewest} to {most} frames each; {dropped} stalled ones were let go")
    print(f"  server thread {share:.1f} % of a core; memory grew {grown:.0f} KiB (aim {AIM_GROWTH_KB:.0f})")
    return int(
        served < CLIENTS - STALLED or dropped < STALLED or fewest < 0.7 * SECONDS or grown > AIM_GROWTH_KB
    )


if __name__ == "__main__":
    if len(sys.argv) == 4:
        asyncio.run(listen(*sys.argv[1:]))
        raise SystemExit(0)
    raise SystemExit(main())
