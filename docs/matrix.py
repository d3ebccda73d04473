"""Which test holds which requirement: `python docs/matrix.py` prints the table, `--orphans` what nothing holds.

The law: a requirement of docs/requirements.tsv is held by a test that names it, is the same as one that is, or
says openly why it has none. Tests are read, never run; a name in a docstring or in a test's name counts.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
NAMED = re.compile(r"\b(AL|AF|P|R|S)-(\d\d)\b")
IN_NAME = re.compile(r"(?<=_)(al|af|p|r|s)_(\d\d)(?=_|$)")


class Requirement(NamedTuple):
    """One row of docs/requirements.tsv."""

    id: str
    text: str
    note: str

    @property
    def same_as(self) -> str:
        """The id that this one is the same as, or an empty string."""
        return self.note[1:] if self.note.startswith("=") else ""

    @property
    def open(self) -> str:
        """Why it has no test, or an empty string."""
        return self.note.removeprefix("open: ") if self.note.startswith("open: ") else ""


def requirements() -> list[Requirement]:
    """Read every requirement."""
    lines = (REPOSITORY / "docs" / "requirements.tsv").read_text(encoding="utf-8").splitlines()
    return [Requirement(*(line.split("\t") + [""])[:3]) for line in lines if not line.startswith("#")]


def tests() -> Mapping[str, Sequence[str]]:
    """Return, for each id, the tests that name it, as `file::name`."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                spoken = NAMED.findall(ast.get_docstring(node) or "") + IN_NAME.findall(node.name)
                for group, number in dict.fromkeys((group.upper(), number) for group, number in spoken):
                    found[f"{group}-{number}"].append(
                        f"{file.relative_to(REPOSITORY / 'tests')}::{node.name}"
                    )
    return found


def orphans() -> list[str]:
    """Return the requirements that nothing holds and nobody has said so of, and ids that no requirement has."""
    held, every = tests(), {one.id: one for one in requirements()}
    lost = [one.id for one in every.values() if not held.get(one.id) and not one.open and not one.same_as]
    lost += [
        f"{one.id} = {one.same_as}" for one in every.values() if one.same_as and not held.get(one.same_as)
    ]
    return lost + [
        f"{name} is named by {held[name][0]} and is no requirement" for name in held if name not in every
    ]


def table() -> str:
    """Return the matrix as Markdown."""
    held = tests()
    rows = ["| id | requirement | held by |", "|---|---|---|"]
    for one in requirements():
        names = list(held.get(one.id, ()))
        shown = "<br>".join(f"`{name}`" for name in names[:4]) + (
            f" and {len(names) - 4} more" if names[4:] else ""
        )
        rows.append(
            f"| {one.id} | {one.text} | {shown or (f'as {one.same_as}' if one.same_as else f'**open**: {one.open}')} |"
        )
    return "\n".join(rows)


def main() -> int:
    """Print what was asked for; exit 1 when a requirement is orphaned."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orphans", action="store_true", help="print only what nothing holds")
    if not parser.parse_args().orphans:
        print(
            "# Requirements and tests\n\nMade by `python docs/matrix.py > docs/matrix.md`. Secondary notification, not a"
        )
        print("primary alarm; designed after IEC 60601-1-8, claims no conformity.\n")
        print(table())
    lost = orphans()
    for one in lost:
        print(f"orphan: {one}", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
