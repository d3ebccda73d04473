"""The mutation score of the core: small faults put into it on purpose, and how many of them its tests find.

The law: a fault that no test finds counts against us, and so does one that no test reaches. Nothing is
excluded by hand. Left out is only what holds no logic: docstrings, annotations, `Literal` types, imports,
`__all__`, decorators, assertions (they tell the type checker what the caller has seen), and words for people:
a string with a blank, unless it stands in a table or is compared.

Why not mutmut: its mutants live in functions only, so limits, tables and defaults of fields, where most of
what the core knows is written down, and everything decorated would go unmeasured; and it draws no sample.
The operators are the usual ones. A mutant is judged in a fork of a pytest that has collected everything, by
the tests that run its statement, quickest first, until one fails. `BUDGET_S` bounds what one costs, and
the laws on random stories (marked slow) are not asked: the score is a lower bound.

    python -m tests.mutants            # AFTERWATCH_MUTANTS of them ("all": each), by AFTERWATCH_SEED
    python -m tests.mutants cuff.py    # all mutants of one file, or of one line of it: `cuff.py:41`
"""

from __future__ import annotations

import ast
import contextlib
import gc
import hashlib
import importlib.util
import json
import math
import os
import random
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import pytest
from coverage import Coverage, CoverageData
from hypothesis import Phase, settings

REPOSITORY = Path(__file__).resolve().parent.parent
CORE = REPOSITORY / "monitor" / "core"
TESTS = "tests/core"
LEAST = 0.85
SAMPLE = 400
BUDGET_S = 6.0  # processor time, as measured with coverage on (3 s without): 480 of 507 tests
MEMORY_BYTES = 4 << 30  # a mutant that fills a list for ever ends here

# --- what can be wrong --------------------------------------------------------------------------------------

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
UNMEASURED = (ast.Import, ast.ImportFrom, ast.Assert, ast.JoinedStr)
TYPES = {"Literal", "Callable", "Union", "Optional"}


class Mutant(NamedTuple):
    """One fault: the `number`-th of its file, where it stands, and the node before and after."""

    file: str
    number: int
    line: int
    was: str
    becomes: str
    lines: range  # of the statement's own text, without the statements under it
    function: str  # qualified name, empty when it runs at import

    def __str__(self) -> str:
        """Say where and what, on one line."""
        return f"{self.file}:{self.line}: {_short(self.was)}  ->  {_short(self.becomes)}"


def _short(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) <= 70 else f"{line[:67]}..."


class _Place(NamedTuple):
    """Where the walk is: the statement, and the function around it."""

    statement: ast.stmt
    function: str = ""


def replacements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in a node's place: each is one mutant."""
    if isinstance(node, ast.Compare):
        for i, one in enumerate(node.ops):
            if type(one) in COMPARISONS:
                ops = [*node.ops[:i], COMPARISONS[type(one)](), *node.ops[i + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
    elif isinstance(node, ast.Constant):
        yield from _constants(node.value)
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.Lambda) and ast.unparse(node.body) != "None":
        yield ast.Lambda(node.args, ast.Constant(None))
    elif isinstance(node, ast.stmt):
        yield from _statements(node)


def _constants(value: object) -> Iterator[ast.AST]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, str):
        yield ast.Constant(f"XX{value}XX")


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
        yield ast.Call(ast.Name(FUNCTIONS[node.func.id], ast.Load()), node.args, node.keywords)
    for i, one in enumerate(node.keywords):
        if not _words(one.value):
            yield ast.Call(node.func, node.args, [*node.keywords[:i], *node.keywords[i + 1 :]])


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    """Take a statement away, where what stands around it would still run."""
    if isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value in (None, True, False)):
            yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if not isinstance(target, ast.Name):
            yield ast.Pass()
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, ast.Break):
        yield ast.Continue()
    elif isinstance(node, ast.Expr | ast.AugAssign | ast.Raise | ast.Delete):
        yield ast.Pass()
    if isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)


def _words(node: ast.AST) -> bool:
    """Say whether a node is nothing but words for people."""
    if isinstance(node, ast.IfExp):
        return _words(node.body) and _words(node.orelse)
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    texts = [one.value for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return any(" " in text for text in texts)


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST, Callable[[Any], None]]]:
    """Yield a node's field, the child in it, and what puts another one there."""
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            for i, child in enumerate(value):
                if isinstance(child, ast.AST):
                    yield name, child, lambda new, value=value, i=i: value.__setitem__(i, new)
        elif isinstance(value, ast.AST):
            yield name, value, lambda new, name=name: setattr(node, name, new)


def _left_out(parent: ast.AST, field: str, node: ast.AST) -> bool:
    """Say whether a node holds no logic; see the law above."""
    if field in ("annotation", "returns", "decorator_list", "format_spec"):
        return True
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in TYPES:
        return True
    if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a docstring
    if isinstance(node, ast.JoinedStr):
        return False
    if isinstance(node, UNMEASURED):
        return True
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    if is_text and isinstance(parent, ast.JoinedStr) and _words(parent):
        return True
    return is_text and _words(node) and not isinstance(parent, ast.Dict | ast.Compare | ast.Tuple)


def _own_lines(statement: ast.stmt) -> range:
    """Return the lines of a statement without those of the statements under it."""
    last = statement.end_lineno or statement.lineno
    body = getattr(statement, "body", None)
    if body and isinstance(body[0], ast.stmt):
        last = max(statement.lineno, body[0].lineno - 1)
    return range(statement.lineno, last + 1)


class _Site(NamedTuple):
    """A place in a tree, what may stand there, and what puts it there."""

    node: ast.AST
    new: ast.AST
    put: Callable[[ast.AST], None]
    place: _Place


def _sites(node: ast.AST, place: _Place | None = None, scope: str = "") -> Iterator[_Site]:
    for field, child, put in _children(node):
        if _left_out(node, field, child):
            continue
        inside = place
        if isinstance(child, ast.stmt):
            inside = _Place(child, place.function if place else "")
        if isinstance(child, ast.FunctionDef) and not (place and place.function):
            # What stands before the body (defaults) runs at import, and so does the class around it.
            for one in _children(child.args):
                if not _left_out(child.args, one[0], one[1]):
                    yield from _of_one(one[1], one[2], _Place(child))
                    yield from _sites(one[1], _Place(child), scope)
            for statement, at in [(s, i) for i, s in enumerate(child.body)]:
                if not _left_out(child, "body", statement):
                    whole = _Place(statement, f"{scope}{child.name}")
                    body = child.body
                    yield from _of_one(
                        statement, lambda new, body=body, at=at: body.__setitem__(at, new), whole
                    )
                    yield from _sites(statement, whole, scope)
            continue
        if inside is not None:
            yield from _of_one(child, put, inside)
            if field == "test" or (field == "ifs" and isinstance(node, ast.comprehension)):
                yield from _forced(node, child, put, inside)
        deeper = f"{scope}{child.name}." if isinstance(child, ast.ClassDef) else scope
        yield from _sites(child, inside, deeper)


def _of_one(node: ast.AST, put: Callable[[Any], None], place: _Place) -> Iterator[_Site]:
    for new in replacements(node):
        yield _Site(node, new, put, place)


def _forced(parent: ast.AST, test: ast.AST, put: Callable[[Any], None], place: _Place) -> Iterator[_Site]:
    """Take a condition for met always, and for never."""
    yield _Site(test, ast.Constant(False), put, place)
    if not isinstance(parent, ast.While):
        yield _Site(test, ast.Constant(True), put, place)


def mutants(file: str, source: str) -> list[Mutant]:
    """Return all mutants of a source text, in the order of the text."""
    found = []
    for number, (node, new, _, place) in enumerate(_sites(ast.parse(source))):
        line = getattr(node, "lineno", place.statement.lineno)
        texts = (ast.unparse(ast.fix_missing_locations(ast.copy_location(one, node))) for one in (node, new))
        found.append(Mutant(file, number, line, *texts, _own_lines(place.statement), place.function))
    return found


def mutated(source: str, number: int, path: str) -> CodeType:
    """Return the code of a module with its `number`-th fault in it."""
    tree = ast.parse(source)
    if number != NONE:
        site = next(one for at, one in enumerate(_sites(tree)) if at == number)
        site.put(ast.copy_location(site.new, site.node))
    return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


# The control: without a fault each of the two ways of judging must let the core live.
NONE = -1
UNHARMED = (
    Mutant("bed.py", NONE, 0, "", "", range(0), "advance"),
    Mutant("vitals.py", NONE, 0, "", "", range(0), ""),
)


def draw(every: dict[str, list[Mutant]], wanted: int, seed: str) -> list[Mutant]:
    """Draw a sample: of every file its share of `wanted`, at least one."""
    whole = sum(map(len, every.values()))
    drawn: list[Mutant] = []
    for file, those in sorted(every.items()):
        share = min(len(those), max(1, round(wanted * len(those) / whole))) if those else 0
        drawn += random.Random(f"{seed}/{file}").sample(those, share)
    random.Random(seed).shuffle(drawn)  # whoever stops early has seen some of every file
    return drawn


# --- judging ------------------------------------------------------------------------------------------------


class Same:
    """A pytest plugin: a property tries the same examples each time, remembers none, ends when one fails."""

    def pytest_sessionstart(self) -> None:
        """Set it before a test is imported."""
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile(
            "mutants", settings.get_profile("afterwatch"), derandomize=True, database=None, phases=phases
        )
        settings.load_profile("mutants")


class Judge:
    """A pytest that has collected the core's tests, runs them once, and then forks for each mutant."""

    def __init__(self, chosen: Sequence[Mutant]) -> None:
        """Take the mutants to judge."""
        self.chosen = chosen
        self.alive: list[Mutant] = []
        self.unreached: list[Mutant] = []
        self.failed = False
        self._cost: dict[str, float] = {}
        self._lines: dict[str, dict[int, set[str]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of a failure."""
        self.failed = self.failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run all tests once to see what they reach, then judge mutant after mutant."""
        items = {item.nodeid: item for item in session.items}
        self._reach(items)
        if self.failed:
            raise pytest.UsageError("the tests of the core fail without any mutant")
        gc.freeze()  # what is here is here for all forks
        for mutant in UNHARMED:
            if not self._survives(mutant, *self._tests(mutant), items):
                raise pytest.UsageError(f"the core as it is does not survive in {mutant.file}")
        for at, mutant in enumerate(self.chosen, 1):
            tests, imported = self._tests(mutant)
            if not tests:
                self.unreached.append(mutant)
            elif self._survives(mutant, tests, imported, items):
                self.alive.append(mutant)
            else:
                continue
            lost = len(self.alive) + len(self.unreached)
            print(f"{lost} of {at}/{len(self.chosen)} alive: {mutant}", flush=True)
        return True

    def _reach(self, items: dict[str, pytest.Item]) -> None:
        """Find out which test runs which line of the core, and how long it takes."""
        known = _remembered()
        watch = Coverage(data_file=None, include=[f"{CORE}/*"], config_file=False)
        watch.start()
        _again_at_import(watch)
        for name, item in items.items():
            if name in known:
                continue
            watch.switch_context(name)
            began = time.process_time()
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            known[name] = (time.process_time() - began, {})
        watch.stop()
        known[AT_IMPORT] = (0.0, {})
        data: CoverageData = watch.get_data()
        for path in data.measured_files():
            for line, names in data.contexts_by_lineno(path).items():
                for name in known.keys() & set(names):
                    known[name][1].setdefault(Path(path).name, []).append(line)
        if not self.failed:
            _remember(known)
        for name, (cost, files) in known.items():
            if name in items:
                self._cost[name] = cost
            for file, lines in files.items():
                for line in lines:
                    self._lines.setdefault(file, {}).setdefault(line, set()).add(name)

    def _tests(self, mutant: Mutant) -> tuple[list[str], bool]:
        """Return the tests that judge a mutant, quickest first, and whether it works at import already."""
        known = self._lines.get(mutant.file, {})
        reached = set().union(*(known.get(line, set()) for line in mutant.lines))
        imported = not mutant.function or AT_IMPORT in reached
        # What is made at import is used wherever the core runs.
        named = set(self._cost) if imported or mutant in UNHARMED else reached
        asked, spent = [], 0.0
        for name in sorted(named & set(self._cost), key=self._cost.__getitem__):
            spent += self._cost[name]
            if spent > BUDGET_S and asked:
                break
            asked.append(name)
        return asked, imported

    def _survives(
        self, mutant: Mutant, tests: list[str], imported: bool, items: dict[str, pytest.Item]
    ) -> bool:
        """Say whether all tests pass on a mutant, in a process of its own with an end."""
        process = os.fork()
        if process:
            left = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            if left == BROKEN:
                raise pytest.UsageError(f"{mutant} could not be judged")
            return left == 0
        try:
            with contextlib.suppress(ValueError, OSError):  # macOS refuses such a bound
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            code = mutated((CORE / mutant.file).read_text(), mutant.number, str(CORE / mutant.file))
            if imported:
                costs = {name: self._cost[name] for name in tests}
                os._exit(_judge_anew(_module_name(mutant.file), code, costs))
            _swap(sys.modules[_module_name(mutant.file)], mutant.function, code)
        except BaseException:  # noqa: BLE001 - a mistake of ours must neither find a mutant nor go on in this process
            os._exit(BROKEN)
        with contextlib.suppress(BaseException):
            for name in tests:
                _bound(self._cost[name])
                items[name].ihook.pytest_runtest_protocol(item=items[name], nextitem=None)
                if self.failed:
                    os._exit(FOUND)
            os._exit(0)
        os._exit(FOUND)


FOUND, BROKEN = 1, 99  # how a fork ends that does not end well
AT_IMPORT = "import"  # the name of what runs before any test


def _bound(cost_s: float) -> None:
    """Let this process die of a test that takes much longer than without the mutant (processor time)."""
    signal.setitimer(signal.ITIMER_VIRTUAL, 1 + 3 * cost_s)


MEMORY = REPOSITORY / "build" / "mutants.json"  # what each test reaches, until its file or the core changes
Known = dict[str, tuple[float, dict[str, list[int]]]]


def _remembered() -> Known:
    """Return what is known of tests that are as they were, over a core that is as it was."""
    if not MEMORY.exists():
        return {}
    kept = json.loads(MEMORY.read_text())
    same = {file for file, digest in kept["digests"].items() if digest == _digest(file)}
    return {name: tuple(one) for name, one in kept["tests"].items() if _file(name) in same}


def _remember(known: Known) -> None:
    MEMORY.parent.mkdir(exist_ok=True)
    digests = {file: _digest(file) for file in map(_file, known)}
    MEMORY.write_text(json.dumps({"digests": digests, "tests": known}))


def _file(name: str) -> str:
    return name.partition("::")[0]


@cache
def _digest(file: str) -> str:
    """Return a digest of the core, of the protocols, of what its tests share, and of one of their files."""
    shared = [path for path in (REPOSITORY / TESTS).glob("*.py") if not path.name.startswith("test_")]
    protocols = (REPOSITORY / "config" / "protocols").glob("*.toml")
    paths = [*CORE.glob("*.py"), *protocols, *shared, REPOSITORY / file]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(paths) if path.is_file())).hexdigest()


def _module_name(file: str) -> str:
    return "monitor.core" if file == "__init__.py" else f"monitor.core.{file.removesuffix('.py')}"


def _again_at_import(watch: Coverage) -> None:
    """Run the core's modules once more, each in a namespace of its own: what they run at import."""
    watch.switch_context(AT_IMPORT)
    for path in sorted(CORE.glob("*.py")):
        module = ModuleType(_module_name(path.name))
        module.__dict__["__file__"] = str(path)
        kept = sys.modules.get(module.__name__)
        sys.modules[module.__name__] = module  # a dataclass looks its module up by name
        exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), module.__dict__)
        if kept is not None:
            sys.modules[module.__name__] = kept


def _swap(module: ModuleType, function: str, code: CodeType) -> None:
    """Give a living function the body of its mutant: every name that was imported of it feels it."""
    found: Any = module
    for name in function.split("."):
        found = found.__dict__[name]
    for name in [name for name in sys.modules if name.startswith("monitor.core")]:
        for one in vars(sys.modules[name]).values():
            if hasattr(one, "cache_clear"):
                one.cache_clear()  # what is kept there may come of the function as it was
    while not isinstance(found, FunctionType):
        found = next(filter(None, (getattr(found, name, None) for name in ("__wrapped__", "fget", "func"))))
    for name in function.split("."):
        code = next(one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == name)
    found.__code__ = code


class _Loader:
    """Loads one module from the code of a mutant."""

    def __init__(self, name: str, code: CodeType) -> None:
        self._name, self._code = name, code

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """Say that this one module comes from here."""
        if name != self._name:
            return None
        places = [str(CORE)] if name == "monitor.core" else None
        return importlib.util.spec_from_file_location(
            name, self._code.co_filename, loader=self, submodule_search_locations=places
        )  # type: ignore[arg-type]

    def create_module(self, spec: object) -> None:
        """Leave the making of the module to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the mutant's code as the module."""
        exec(self._code, module.__dict__)


class _Asked:
    """A pytest plugin: these tests only, in this order, until one fails."""

    def __init__(self, costs: dict[str, float]) -> None:
        self._costs, self._order = costs, {name: at for at, name in enumerate(costs)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Choose and order."""
        if not {item.nodeid for item in items} >= set(self._order):
            os._exit(FOUND)  # tests that are made from the core's tables are no longer there
        items[:] = sorted(
            (item for item in items if item.nodeid in self._order), key=lambda i: self._order[i.nodeid]
        )

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Bound the test that begins."""
        _bound(self._costs[nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """End at once."""
        if report.failed:
            os._exit(FOUND)


def _judge_anew(name: str, code: CodeType, costs: dict[str, float]) -> int:
    """Import the core and its tests once more, one module of it with a fault, and run the tests."""
    for one in [one for one in sys.modules if one.split(".")[0] in ("monitor", "tests", "simulators")]:
        if one not in ("tests", "tests.mutants"):
            del sys.modules[one]
    sys.meta_path.insert(0, _Loader(name, code))  # type: ignore[arg-type]
    files = sorted({test.partition("::")[0] for test in costs})
    result = pytest.main([*OPTIONS, *files], plugins=[Same(), _Asked(costs)])
    return {pytest.ExitCode.OK: 0, pytest.ExitCode.INTERRUPTED: FOUND}.get(pytest.ExitCode(result), BROKEN)


OPTIONS = [
    *(
        "-q",
        "-s",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "--assert=plain",
        "--tb=native",
    ),  # nobody reads a failure
    # Hypothesis is here before pytest looks for it, and in a fork everything is.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
    # It reads the tests and runs none of the core.
    *("--ignore", "tests/core/test_requirements.py"),
]


# --- the figure ---------------------------------------------------------------------------------------------


def interval(killed: int, judged: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    z, share = 1.96, killed / judged
    middle = (share + z * z / (2 * judged)) / (1 + z * z / judged)
    half = z * math.sqrt(share * (1 - share) / judged + z * z / (4 * judged**2)) / (1 + z * z / judged)
    return middle - half, middle + half


def choose(every: dict[str, list[Mutant]], named: Sequence[str]) -> tuple[list[Mutant], str]:
    """Return the mutants that were asked for, and in words which."""
    if named:
        return [
            one
            for those in every.values()
            for one in those
            if any(name in (one.file, f"{one.file}:{one.line}") for name in named)
        ], " ".join(named)
    wanted, seed = os.environ.get("AFTERWATCH_MUTANTS", str(SAMPLE)), os.environ.get("AFTERWATCH_SEED", "1")
    if wanted == "all":
        return [one for those in every.values() for one in those], "all"
    return draw(every, int(wanted), seed), f"a sample of seed {seed}"


def main(named: Sequence[str]) -> int:
    """Judge mutants, name the survivors, and say whether the score is enough."""
    os.chdir(REPOSITORY)
    every = {path.name: mutants(path.name, path.read_text()) for path in sorted(CORE.glob("*.py"))}
    chosen, which = choose(every, named)
    judge = Judge(chosen)
    began = time.monotonic()
    with contextlib.suppress(SystemExit):
        pytest.main([*OPTIONS, "-m", "not slow and not prove", TESTS], plugins=[Same(), judge])
    if judge.failed or not chosen:
        print("the core's tests do not pass, or nothing was chosen")
        return 2
    lost = judge.alive + judge.unreached
    killed = len(chosen) - len(lost)
    low, high = interval(killed, len(chosen))
    by_file: dict[str, Counter[str]] = defaultdict(Counter)
    for one in chosen:
        by_file[one.file]["judged"] += 1
    for one in lost:
        by_file[one.file]["alive"] += 1
    for file, count in sorted(by_file.items()):
        print(f"{file:16} {count['judged'] - count['alive']:4} of {count['judged']:4} found")
    print(
        f"{killed} of {len(chosen)} mutants found ({which}; {sum(map(len, every.values()))} there are): "
        f"{100 * killed / len(chosen):.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f} %; "
        f"{len(judge.unreached)} reached by no test; {time.monotonic() - began:.0f} s"
    )
    return int(killed / len(chosen) < LEAST)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
