"""The gate on the mutation score (R-16), and what counts as a mutant."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from tests.mutants import draw, interval, mutants

SOURCE = '''
"""A module."""
from typing import Literal

Kind = Literal["one", "two"]
LASTS_S: float = 2.5
TABLE = {"data lost": "frozen now"}


@cache(maxsize=10)
def judge(age: "float", most=3) -> bool:
    """Judge."""
    assert age is not None
    if age > most and age:
        raise ValueError("too old for words")
    bed.told = f"{age} s old"
    return end(key=f"age:{age}", reason="too old", at=4)
'''


def test_r_16_a_mutant_is_one_fault_in_logic_and_words_are_none() -> None:
    """R-16: limits, defaults, tables, keys, conditions, calls may be wrong; types, words, asserts not."""
    found = {(one.line, one.was, one.becomes) for one in mutants("judge.py", SOURCE)}
    assert found == {
        (6, "2.5", "3.5"),
        (7, "'data lost'", "'XXdata lostXX'"),
        (7, "'frozen now'", "'XXfrozen nowXX'"),
        (11, "3", "4"),
        (14, "age > most and age", "age > most or age"),
        (14, "age > most", "age >= most"),
        (14, "age > most and age", "True"),
        (14, "age > most and age", "False"),
        (15, "raise ValueError('too old for words')", "pass"),
        (16, "bed.told = f'{age} s old'", "pass"),
        (17, "return end(key=f'age:{age}', reason='too old', at=4)", "return None"),
        (17, "end(key=f'age:{age}', reason='too old', at=4)", "end(reason='too old', at=4)"),
        (17, "end(key=f'age:{age}', reason='too old', at=4)", "end(key=f'age:{age}', reason='too old')"),
        (17, "'age:'", "'XXage:XX'"),
        (17, "4", "5"),
    }


def test_r_16_a_sample_takes_of_every_file_its_share_and_is_the_same_for_its_seed() -> None:
    """R-16: proportional, at least one of each file, drawn anew by another seed."""
    long = mutants("long.py", "\n".join(f"A{n} = {n}" for n in range(90)))
    every = {"long.py": long, "short.py": mutants("short.py", "A = 1\n"), "empty.py": []}
    drawn = draw(every, 30, "1")
    assert (len(drawn), {one.file for one in drawn}) == (31, {"long.py", "short.py"})
    assert drawn == draw(every, 30, "1") != draw(every, 30, "2")


def test_r_16_the_interval_of_a_share_is_wilsons() -> None:
    """R-16: 81 of 263 is 0.308 with 0.255 to 0.366 (Newcombe 1998, Table I, method 3)."""
    assert interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_r_16_the_cores_own_tests_find_what_is_wrong_with_it() -> None:
    """R-16: of a sample of faults put into the core at least 85 % are found; survivors are named."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutants"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-3000:]
