"""Who is told, as an installer writes it: every mistake is named, and the ladder is what was meant."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from monitor.config import ConfigurationError, Notify, default_folder, load
from monitor.core.escalation import Ladder, Level

SOUND = """
[[notify.targets]]
id = "station"
url = "json://10.0.0.9/wall"

[[notify.targets]]
id = "anna-phone"
url = "ntfy://10.0.0.9/anna"
fallback = "station"

[[notify.people]]
id = "anna"
roles = ["nurse"]
targets = ["anna-phone"]

[[notify.people]]
id = "chris"
roles = ["clinician", "nurse"]
targets = ["station"]

[[notify.ladders]]
priorities = ["high"]
levels = [{ to = ["role:nurse"], wait_s = 45 }, { to = ["chris"] }]

[[notify.routes]]
targets = ["station"]
beds = ["bed-1"]
"""


def clinic(folder: Path, text: str) -> Path:
    """Return a copy of the shipped configuration with this ``clinic.toml``."""
    shutil.copytree(default_folder(), folder / "config")
    (folder / "config" / "clinic.toml").write_text(text, encoding="utf-8")
    return folder / "config"


def test_a_ladder_is_made_of_whoever_is_on_duty(tmp_path: Path) -> None:
    """Issue 4.2: roles and people, per priority; with nobody named as on duty everybody is."""
    notify = load(clinic(tmp_path, SOUND)).clinic.notify
    everybody = (Level(("anna", "chris"), 45), Level(("chris",), 60))
    assert notify.ladder() == Ladder({"high": everybody}, {"high": 120, "medium": 300})
    night = notify.ladder(["anna"])
    assert night.levels["high"] == (Level(("anna",), 45), Level((), 60))
    assert night.on_duty == ("anna",)
    assert notify.ladder(["a-stranger"]).levels["high"] == everybody


def test_nobody_configured_is_an_empty_ladder_that_still_tells_again() -> None:
    """P-48: the smallest configuration repeats a high alarm every two minutes until somebody answers."""
    assert Notify().ladder() == Ladder(repeat_s={"high": 120, "medium": 300})


MISTAKES = [
    (
        'fallback = "station"',
        'fallback = "stattion"',
        "notify.targets (anna-phone).fallback: no target 'stattion'",
    ),
    ('wall"', 'wall"\nfallback = "anna-phone"', "the fallbacks go round in a circle"),
    ('targets = ["anna-phone"]', 'targets = ["phone"]', "notify.people (anna).targets: no target 'phone'"),
    ('id = "chris"', 'id = "anna"', "notify.people (anna): the same id twice"),
    ("role:nurse", "role:nurze", "notify.ladders[1].levels[1].to: no person or role 'role:nurze'"),
    ('["high"]', '["high", "high"]', "priority 'high' has two ladders"),
    ('beds = ["bed-1"]', 'beds = ["bed-77"]', "notify.routes[1].beds: no bed 'bed-77'"),
    ("wait_s = 45", "wait_s = 1", "wait_s"),
    ('url = "json://10.0.0.9/wall"', 'url = "json://u:p@10.0.0.9/"', "a URL with a password stands in TOML"),
    ('url = "json://10.0.0.9/wall"', 'url_file = "/nowhere"', "file /nowhere is not there or empty"),
    ('url = "json://10.0.0.9/wall"', "", "needs exactly one of url, url_env and url_file"),
    ("[[notify.routes]]", "[notify.repeat_s]\nhigh = 0\n[[notify.routes]]", "notify.repeat_s.high"),
]


@pytest.mark.parametrize(("right", "wrong", "said"), MISTAKES)
def test_each_mistake_is_named_with_its_remedy(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    """Issue 2: a file that is not fully understood stops the start, and says where and what to do."""
    assert right in SOUND
    with pytest.raises(ConfigurationError) as caught:
        load(clinic(tmp_path, SOUND.replace(right, wrong, 1)))
    lines = str(caught.value).splitlines()
    assert any(said in line and " -> " in line for line in lines), lines
    assert "clinic.toml" in lines[0]
