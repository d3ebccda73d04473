"""Take the README's pictures anew from a running demonstration; ``--all DIR`` photographs every page.

Law: what the pictures show is what the demonstration shows, and nothing is drawn in afterwards.

    .venv/bin/python docs/retake_pictures.py
    .venv/bin/python docs/retake_pictures.py --all /tmp/look
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).resolve().parent / "images"
LARGEST = 150_000  # bytes of one picture of the README
SETTLE_S = 75.0  # the first patient needs somebody within a minute
SIZES = {"wide": (1920, 1080), "desk": (1024, 768), "phone": (390, 844)}
THEMES = ("dark", "light")
PAGES = {
    "wall": "/",
    "alarms": "/alarms",
    "session": "",  # the session of the first tile
    "sessions": "/sessions",
    "devices": "/devices",
    "drills": "/drills",
    "limits": "/beds/bed-1/limits",
    "room": "/rooms/bed-1",
    "start": "/beds/bed-1/start",
    "me": "/me",
    "system": "/admin/health",
    "people": "/admin/users",
    "audit": "/admin/audit",
}


@contextmanager
def demonstration() -> Iterator[str]:
    """Run ``afterwatch demo`` and give the address of its one-time sign-in."""
    command = [sys.executable, "-m", "monitor", "demo", "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
    try:
        for line in process.stdout or ():
            if found := re.search(r"http://\S+", line):
                yield found[0]
                return
        raise SystemExit("the demonstration did not begin; run `afterwatch demo` and read what it says")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def browser_path() -> str:
    """Return a Chromium of this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("AFTERWATCH_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise SystemExit("install chromium, or set AFTERWATCH_CHROMIUM to a browser")
    return found


def enter(browser: Browser, link: str) -> Page:
    """Return the wall, signed in, with sound on so that no strip hides it."""
    page = browser.new_context(locale="en-GB").new_page()
    page.goto(link)
    page.wait_for_selector(".tile")
    page.click("#sound")
    return page


def show(page: Page, path: str, size: tuple[int, int], theme: str) -> None:
    """Open a page in a size and a theme, and wait until it has drawn."""
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.evaluate("(theme) => localStorage.setItem('theme', theme)", theme)
    page.goto(urljoin(page.url, path))
    page.wait_for_timeout(1500)


def first_session(page: Page, bed: str = "bed-1") -> str:
    """Return the path of the session on a bed."""
    return page.locator(f"[data-bed={bed}] .title").get_attribute("href") or "/"


def keep(page: Page, file: Path) -> None:
    """Write a picture with a palette of its own, small enough for a README."""
    image = Image.open(io.BytesIO(page.screenshot()))
    image.quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)
    if file.stat().st_size > LARGEST:
        raise SystemExit(f"{file.name} has {file.stat().st_size} bytes; choose a smaller window")
    print(f"{file.name}: {image.width}x{image.height}, {file.stat().st_size // 1000} kB")


def retake(page: Page) -> None:
    """Take the two pictures of the README."""
    IMAGES.mkdir(exist_ok=True)
    show(page, "/", (1440, 810), "dark")
    keep(page, IMAGES / "wall.png")
    show(page, first_session(page), (1440, 900), "dark")
    keep(page, IMAGES / "session.png")


def photograph(page: Page, folder: Path, names: list[str], sizes: list[str]) -> None:
    """Photograph pages in sizes and both themes, to be looked at."""
    folder.mkdir(parents=True, exist_ok=True)
    session = first_session(page)
    for name in names:
        for size_name in sizes:
            for theme in THEMES:
                show(page, PAGES[name] or session, SIZES[size_name], theme)
                page.screenshot(path=folder / f"{name}-{size_name}-{theme}.png")
    print(f"{len(names) * len(sizes) * len(THEMES)} pictures in {folder}")


def main() -> None:
    """Do what was asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", type=Path, metavar="DIR", help="photograph every page into a folder instead")
    parser.add_argument(
        "--only", nargs="+", choices=PAGES, default=list(PAGES), help="with --all: these pages"
    )
    parser.add_argument(
        "--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="with --all: these sizes"
    )
    parser.add_argument(
        "--settle", type=float, default=SETTLE_S, metavar="SECONDS", help="wait first (%(default)s)"
    )
    chosen = parser.parse_args()
    with demonstration() as link, sync_playwright() as playwright:
        flags = ["--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(
            executable_path=browser_path(), args=flags, chromium_sandbox=False
        )
        page = enter(browser, link)
        time.sleep(chosen.settle)
        photograph(page, chosen.all, chosen.only, chosen.sizes) if chosen.all else retake(page)
        browser.close()


if __name__ == "__main__":
    main()
