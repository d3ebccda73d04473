"""Waiting for a page whose policy forbids `eval`: Playwright's own `wait_for_function` needs it.

The law: a test never looks at a page once and judges; it waits until something is so. A page that is slow on
a busy machine passes late, a page that is wrong fails after ``WITHIN_S``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

WITHIN_S = 30.0


def wait(page: Page, expression: str, within: float = WITHIN_S) -> None:
    """Wait until a JavaScript expression is true; an element that is not there yet makes it false."""
    asked = (
        f"(() => {{ try {{ return Boolean({expression}); }} catch (fault) {{ return String(fault); }} }})()"
    )
    until(page, lambda: page.evaluate(asked) is True, expression, within)


def until(page: Page, done: Callable[[], bool], what: str = "it", within: float = WITHIN_S) -> None:
    """Wait until something is so, letting the page go on meanwhile."""
    deadline = time.monotonic() + within
    while not done():
        assert time.monotonic() < deadline, f"not so within {within:g} s: {what}"
        page.wait_for_timeout(50)
