"""Every requirement is held by a test or says why not, and every test that docs/safety.md names exists.

The law: a document about safety may not outlive the tests that it leans on.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SAFETY = (REPOSITORY / "docs" / "safety.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    """Give docs/matrix.py as a module."""
    spec = importlib.util.spec_from_file_location("matrix", REPOSITORY / "docs" / "matrix.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_r_17_no_requirement_is_an_orphan(matrix: ModuleType) -> None:
    """R-17: each requirement has a test, or says openly why not; no test names a requirement that is none."""
    assert matrix.orphans() == []
    groups = {one.id.split("-")[0] for one in matrix.requirements()}
    assert groups == {"AL", "AF", "P", "R", "S"}
    assert len(matrix.requirements()) == len({one.id for one in matrix.requirements()}) == 174


def test_r_17_an_orphan_would_be_found(matrix: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-17: a check that cannot fail holds nothing."""
    lost = matrix.Requirement("AL-98", "nobody tests this", "")
    lent = matrix.Requirement("P-98", "as one that nobody tests", "=AL-98")
    monkeypatch.setattr(matrix, "requirements", lambda: [lost, lent])
    found = matrix.orphans()
    assert found[:2] == ["AL-98", "P-98, as AL-98"]
    assert any("is no requirement" in one for one in found)


def test_al_58_what_a_drill_holds_is_a_requirement(matrix: ModuleType) -> None:
    """AL-58: the ids in drill files are truthful: requirements that there are, at lines that are judged."""
    held = matrix.drills()
    assert set(held) <= {one.id for one in matrix.requirements()}
    assert sum(name.startswith("AL-") for name in held) >= 12


def test_every_test_that_the_safety_page_names_exists() -> None:
    """R-17: hazard, control, test: the third is real, by file and name."""
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", SAFETY)
    assert len(named) >= 30
    for file, name in named:
        text = (REPOSITORY / "tests" / file).read_text(encoding="utf-8")
        assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), f"{file}::{name}"
