"""JSON of gateways and fleets as one maker after another writes it (issue 7.4)."""

from __future__ import annotations

import pytest

from tests.formats.stories import Story, hold, stories

STORIES = stories("gateways")


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story["name"])
def test_a_makers_message(story: Story) -> None:
    """Issue 7.4: every shape gives its values, devices and times; devices and patients are never mixed."""
    hold(story)
