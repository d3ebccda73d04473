"""A drill file: understood wholly or refused, with file, key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.drill import BadDrill, crossing, find, folder, load
from simulators.drill_commands import EXAMPLE
from tests.simulators.hands import drill

GOOD = EXAMPLE


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ('title = "Saturation falls for a minute"', "", "title: is missing"),
        ("starts_at_min = 20", "starts_at_mim = 20", "starts_at_mim: is not a key of a drill"),
        ("ends_at_min = 32", "ends_at_min = 10", "ends_at_min: 10 is not after starts_at_min 20"),
        ("ends_at_min = 32", "ends_at_min = 26", "expect[1]: from_min 25 to to_min 28 is not within"),
        ("ends_at_min = 32", 'ends_at_min = "soon"', "ends_at_min: input should be a valid number"),
        (
            'protocol = "iv-ketamine"',
            'protocol = "oral"',
            "beds[1].protocol: 'oral' is unknown; use one of iv-",
        ),
        (
            'kind = "apnoea"',
            'kind = "cough"',
            "beds[1].happens[1].kind: 'cough' is unknown; use one of surge",
        ),
        ("lasts_s = 100", "lasts_s = -1", "beds[1].happens[1].lasts_s: input should be greater than 0"),
        ("systolic = [", "sistolic = [", "beds[1].course.sistolic"),
        ("[[-10, 122], [38, 136]", "[[38, 122], [-10, 136]", "course.systolic: minutes must rise"),
        ('truth = "spo2 below 90"', 'truth = "spo2 under 90"', "expect[1].truth: 'spo2 under 90': write"),
        (
            'priority = "high"',
            'priority = "red"',
            "expect[1].priority: input should be 'high', 'medium' or 'low'",
        ),
        ('does = "acknowledge"', 'does = "run"', "staff[1].does: input should be 'acknowledge', 'accept'"),
        (
            'does = "acknowledge"',
            'bed = "bed-9"\ndoes = "acknowledge"',
            "staff[1].bed: no bed 'bed-9'; use one",
        ),
        (
            "age_years = 42",
            "age_years = 12",
            "beds[1].age_years: input should be greater than or equal to 18",
        ),
        ("title =", "title", "no TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, was: str, becomes: str, said: str) -> None:
    """DESIGN §4 files: not fully understood is refused; the error names file, key and remedy."""
    assert was in GOOD
    path = tmp_path / "mistaken.toml"
    path.write_text(GOOD.replace(was, becomes, 1))
    with pytest.raises(BadDrill) as caught:
        load(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_every_mistake_is_listed_at_once(tmp_path: Path) -> None:
    """DESIGN §4: with every mistake at once."""
    path = tmp_path / "mistaken.toml"
    path.write_text(GOOD.replace("lasts_s = 100", "lasts_s = 0").replace("age_years = 42", "age_years = 5"))
    with pytest.raises(BadDrill) as caught:
        load(path)
    assert len(str(caught.value).splitlines()) == 2


def test_a_name_that_is_none_tells_those_there_are() -> None:
    """Errors name the remedy."""
    with pytest.raises(BadDrill, match="quiet-iv-session"):
        find("nothing")
    assert find("quiet-iv-session") == folder() / "quiet-iv-session.toml"


def test_a_truth_is_a_sentence() -> None:
    """Drills are read by nurses: a condition is written in words."""
    assert crossing("systolic at least 180").holds(180)
    assert not crossing("systolic above 180").holds(180)
    assert crossing("spo2 at most 90").holds(90)
    assert not crossing("spo2 below 90").holds(90)


def test_from_nothing_to_a_scored_drill(tmp_path: Path) -> None:
    """Issue 6: new, run, score, with page and table; a second run is compared with the first."""
    file, kept = str(tmp_path / "mine.toml"), str(tmp_path / "runs")
    drill("new", file)
    assert "already" in drill("new", file, code=2).stderr
    told = drill("run", file, "--fast", "--runs", kept).stdout
    assert "Monitor: as it should be." in told
    assert "nurse: 1 of 1 tasks in time" in told
    told = drill("run", file, "--fast", "--runs", kept).stdout
    assert "Against the run before:" in told
    page, table = tmp_path / "report.html", tmp_path / "report.csv"
    told = drill("score", "mine", "--runs", kept, "--page", str(page), "--csv", str(table)).stdout
    assert "spo2-low-urgent" in told
    assert "not a primary alarm" in page.read_text()
    assert "DRILL" in page.read_text()
    rows = table.read_text().splitlines()
    assert {row.split(",")[3] for row in rows[1:]} == {"raised", "staff", "met"}
    assert len({row.split(",")[0] for row in rows[1:]}) <= 2
    assert rows[0].startswith("played_at,mode,drill")


def test_commands_tell_what_is_wrong(tmp_path: Path) -> None:
    """Documented exit codes: 2 wrong use, 3 a file cannot be used."""
    assert "name one drill" in drill("run", code=2).stderr
    bad = tmp_path / "bad.toml"
    bad.write_text("title = 3\n")
    assert f"{bad}: title:" in drill("run", str(bad), "--fast", code=3).stderr
    assert "no run" in drill("score", "--runs", str(tmp_path / "none"), code=3).stderr
    assert "quiet-iv-session" in drill("list").stdout
    assert "never: AlarmRaised spo2-*" in drill("show", "slow-breathing").stdout
