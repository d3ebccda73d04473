"""FHIR as gateways write it (issue 7.2)."""

from __future__ import annotations

import pytest

from tests.formats.stories import Story, hold, stories

STORIES = stories("fhir")


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story["name"])
def test_a_resource(story: Story) -> None:
    """Issue 7.2: codings, components, absence, samples, devices and times."""
    hold(story)
