"""Waiting for a page whose policy forbids `eval`: Playwright's own `wait_for_function` needs it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page


def wait(page: Page, expression: str, within: float = 10.0) -> None:
    """Wait until a JavaScript expression is true; an element that is not there yet makes it false."""
    asked = (
        f"(() => {{ try {{ return Boolean({expression}); }} catch (fault) {{ return String(fault); }} }})()"
    )
    until(page, lambda: page.evaluate(asked) is True, expression, within)


def until(page: Page, done: Callable[[], bool], what: str = "it", within: float = 10.0) -> None:
    """Wait until something is so, letting the page go on meanwhile."""
    deadline = time.monotonic() + within
    while not done():
        assert time.monotonic() < deadline, f"not so within {within:g} s: {what}"
        page.wait_for_timeout(50)
