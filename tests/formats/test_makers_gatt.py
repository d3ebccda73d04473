"""Bluetooth values as devices build them and gateways send them (issue 7.3)."""

from __future__ import annotations

import pytest

from tests.formats.stories import Story, hold, stories

STORIES = stories("gatt")


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story["name"])
def test_a_value(story: Story) -> None:
    """Issue 7.3: flags, units, special values, statuses, times and writings."""
    hold(story)
