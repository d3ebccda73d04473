"""Which test and drill hold which requirement: `python docs/matrix.py`; `--orphans` for what nothing holds.

The law: a requirement of docs/requirements.tsv is held by a test that names it, is the same as one that is,
or says openly why it has none. Tests are read, never run; an id in a docstring or in a test's name counts. A
drill holds what stands under `holds` at a line of it that fails when the requirement does not hold (AL-58).
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
TESTS = REPOSITORY / "tests"
DRILLS = REPOSITORY / "config" / "drills"
NAMED = re.compile(r"\b(AL|AF|P|R|S)-(\d\d)\b")
IN_NAME = re.compile(r"(?<=_)(al|af|p|r|s)_(\d\d)(?=_|$)")
SHOWN = 4  # names of tests in a row; the rest is counted
HEAD = """\
# Requirements and tests

Made by `python docs/matrix.py > docs/matrix.md`. Secondary notification, not a primary alarm; designed after
IEC 60601-1-8, claims no conformity. A test that names a requirement holds at least a part of it; what is
known to be missing stands in bold. A drill stands beside what a line of it would show to be broken.
"""


class Requirement(NamedTuple):
    """One row of docs/requirements.tsv; the note is `=ID`, `open: why`, `partly: why` or empty."""

    id: str
    text: str
    note: str

    @property
    def same_as(self) -> str:
        """The id that this one is the same as, or an empty string."""
        return self.note[1:] if self.note.startswith("=") else ""

    @property
    def open(self) -> bool:
        """Whether the row says why no test holds it."""
        return self.note.startswith("open: ")


def requirements() -> list[Requirement]:
    """Read every requirement."""
    lines = (REPOSITORY / "docs" / "requirements.tsv").read_text(encoding="utf-8").splitlines()
    return [Requirement(*[*line.split("\t"), ""][:3]) for line in lines if not line.startswith("#")]


def tests() -> Mapping[str, Sequence[str]]:
    """Return, for each id, the tests that name it, as `file::name`."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                spoken = NAMED.findall(ast.get_docstring(node) or "") + IN_NAME.findall(node.name)
                for name in dict.fromkeys(f"{group.upper()}-{number}" for group, number in spoken):
                    found[name].append(f"{file.relative_to(TESTS)}::{node.name}")
    return found


def drills() -> Mapping[str, Sequence[str]]:
    """Return, for each id, the drills with a line that holds it."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted(DRILLS.glob("*.toml")):
        drill = tomllib.loads(file.read_text(encoding="utf-8"))
        lines = [*drill.get("expect", ()), *drill.get("forbid", ()), *drill.get("staff", ())]
        for name in dict.fromkeys(name for line in lines for name in line.get("holds", ())):
            found[name].append(file.stem)
    return found


def orphans() -> list[str]:
    """Return the requirements that nothing holds though nobody says so, and ids that no requirement has."""
    held, every = tests(), {one.id: one for one in requirements()}
    lost = [one.id for one in every.values() if not (held.get(one.id) or one.open or one.same_as)]
    lost += [
        f"{one.id}, as {one.same_as}" for one in every.values() if one.same_as and not held.get(one.same_as)
    ]
    named = {
        **{name: places[0] for name, places in drills().items()},
        **{name: held[name][0] for name in held},
    }
    return lost + [
        f"{name} of {place} is no requirement" for name, place in named.items() if name not in every
    ]


def row(one: Requirement, names: Sequence[str], rehearsed: Sequence[str] = ()) -> str:
    """Return a requirement and what holds it as a row of Markdown."""
    parts = [f"drill `{name}`" for name in rehearsed]
    parts += [f"`{name}`" for name in names[:SHOWN]]
    if names[SHOWN:]:
        parts.append(f"and {len(names) - SHOWN} more")
    if one.same_as:
        parts.append(f"as {one.same_as}")
    elif one.note and not (one.open and names):
        parts.append(f"**{one.note}**")
    return f"| {one.id} | {one.text} | {'<br>'.join(parts)} |"


def main() -> int:
    """Print what was asked for; exit 1 when a requirement is orphaned."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--orphans", action="store_true", help="print only what nothing holds")
    if not parser.parse_args().orphans:
        held, rehearsed = tests(), drills()
        rows = [row(one, held.get(one.id, ()), rehearsed.get(one.id, ())) for one in requirements()]
        print("\n".join([HEAD, "| id | requirement | held by |", "|---|---|---|", *rows]))
    lost = orphans()
    for one in lost:
        print(f"orphan: {one}", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
