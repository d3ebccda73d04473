"""Every requirement that concerns the core has a test that names it; a missing one fails here.

The law: a test names an id as ``test_al_17_...`` or in its docstring. Ids of pages, messages and wiring
are kept by the tests of those parts.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CORE_AL = (1, 2, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30)
CORE_AL += (31, 32, 33, 36, 40, 41, 42, 43, 45, 50, 53, 54, 55)
CORE_AF = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
REQUIRED = [f"AL-{n:02d}" for n in CORE_AL] + [f"AF-{n:02d}" for n in CORE_AF] + ["R-07", "S-10", "S-11"]
ID = re.compile(r"\b(AL|AF|R|S|P)-(\d\d)\b")


def named() -> dict[str, list[str]]:
    """Return the tests of the core by the ids that they name."""
    found: dict[str, list[str]] = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                own = re.match(r"test_(al|af|r|s|p)_(\d\d)_", node.name)
                ids = {f"{kind}-{number}" for kind, number in ID.findall(ast.get_docstring(node) or "")}
                ids |= {f"{own[1].upper()}-{own[2]}"} if own else set()
                for name in ids:
                    found.setdefault(name, []).append(f"{path.name}::{node.name}")
    return found


@pytest.mark.parametrize("name", REQUIRED)
def test_a_requirement_of_the_core_has_a_test(name: str) -> None:
    """Issue 3, R-17: no requirement of the core without a test that names it."""
    assert named().get(name), f"{name} has no test in tests/core; see ALARMS.md §2, §3.7"


def test_every_test_of_the_core_says_what_it_is_for() -> None:
    """House rule: a one-sentence docstring, which ends as a sentence does."""
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert (ast.get_docstring(node) or "").endswith("."), f"{path.name}::{node.name}"
