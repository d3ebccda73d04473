"""The house holds: floors, doors, a pure core, one word for each thing, pinned and portable files.

The law: this file reads the sources and never runs them. Each rule is a table; a module or a library that no
table knows fails, so that a newcomer chooses a floor and a door instead of drifting into one.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Page

from tests.conftest import Mosquitto, PageGuard, missing

REPOSITORY = Path(__file__).resolve().parent.parent
OURS = ("monitor", "simulators")


# --- reading the sources ------------------------------------------------------------------------------------


class Source(NamedTuple):
    """One module: its dotted name, its path from the repository, its text and its tree."""

    name: str
    path: str
    text: str
    tree: ast.Module


class Import(NamedTuple):
    """One name that a module imports, as `package.module` or `package.module.name`, and the line."""

    target: str
    line: int


@cache
def sources() -> tuple[Source, ...]:
    """Read every Python module of the product."""
    found = []
    for path in sorted(path for package in OURS for path in (REPOSITORY / package).rglob("*.py")):
        relative = path.relative_to(REPOSITORY)
        parts = [part for part in relative.with_suffix("").parts if part != "__init__"]
        text = path.read_text(encoding="utf-8")
        found.append(Source(".".join(parts), relative.as_posix(), text, ast.parse(text, str(relative))))
    return tuple(found)


def imports(source: Source) -> Iterator[Import]:
    """Give all that a module imports, wherever in it, with relative names made absolute."""
    package = source.name.split(".")
    if not source.path.endswith("__init__.py"):
        package = package[:-1]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(f"{stem}.{alias.name}", node.lineno)


def within(name: str, *rooms: str) -> bool:
    """Say whether a dotted name is one of the rooms or lies inside one."""
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def core_sources() -> list[Source]:
    """Give the modules of the pure core."""
    return [source for source in sources() if within(source.name, "monitor.core")]


# --- floors -------------------------------------------------------------------------------------------------

CORE = "monitor.core"
GROUND = (
    CORE,
    "monitor.formats",
    "monitor.config",
    "monitor.clock",
    "monitor.schema",  # how the journal lies on the disk: written by `journal`, read by `series`
    "monitor.snapshot",  # a bed as bytes
    "monitor.clockface",  # instants as people at the site read them
)
ROOMS = tuple(f"monitor.{room}" for room in ("mqtt", "journal", "notify", "series", "records", "web"))

# Room -> what of ours it may import besides itself. The first row that holds a module counts.
FLOORS: dict[str, tuple[str, ...]] = {
    CORE: (),
    "monitor.formats": (CORE,),
    "monitor.clock": (CORE,),
    "monitor.clockface": (),
    "monitor.config": (CORE, "monitor.formats"),
    "monitor.wire": (),  # the fast way of `mqtt` from socket to message
    "monitor.mqtt": (*GROUND, "monitor.wire"),
    **dict.fromkeys((room for room in ROOMS if room != "monitor.mqtt"), GROUND),
    "monitor.safekeeping": ("monitor.journal", "monitor.schema"),  # the journal's file as a whole
    "monitor.schema": (CORE,),
    "monitor.snapshot": (CORE,),
    "monitor.wording": (CORE,),
    "monitor.recording": (CORE, "monitor.formats"),
    "monitor.replay": (CORE, "monitor.formats", "monitor.recording"),
    # Programs of their own: they talk to the broker, and know the monitor only by its formats and files.
    "monitor.bridge": GROUND,
    "monitor.discover": GROUND,
    "monitor.decode": GROUND,
    "monitor.overview": GROUND,
    # Lays out a site before anything runs; the first person is made by the house's own list of users.
    "monitor.install": (*GROUND, "monitor.web"),
    "monitor.app": (*GROUND, *ROOMS, "monitor.safekeeping"),
    # The command line and the demo stand on top: they choose what to start.
    "monitor.__main__": ("monitor",),
    "monitor.demo": ("monitor",),
    # The simulators know the monitor only as a device would: its metrics and its wire formats.
    "simulators": ("monitor.core.vitals", "monitor.formats", "monitor.clock"),
}


def floor_of(name: str) -> str | None:
    """Return the row of FLOORS that holds a module."""
    return next((room for room in FLOORS if within(name, room)), None)


def floor_faults(source: Source) -> Iterator[str]:
    """Give each import of ours that a module's floor does not allow."""
    if source.name == "monitor":
        allowed: tuple[str, ...] = ()
    elif (room := floor_of(source.name)) is None:
        yield f"{source.path}: no floor; give it a row in FLOORS and in docs/architecture.md"
        return
    else:
        allowed = (room, *FLOORS[room])
    for found in imports(source):
        if within(found.target, *OURS) and not within(found.target, *allowed):
            yield f"{source.path}:{found.line}: {source.name} may not import {found.target}"


def test_each_module_imports_only_from_its_floor_down() -> None:
    """DESIGN §2, floors: a room never imports its neighbour; it says what it needs as a small Protocol."""
    faults = [fault for source in sources() for fault in floor_faults(source)]
    assert not faults, "\n".join(faults)


# --- doors --------------------------------------------------------------------------------------------------

SIMULATED_DRILLS = "simulators.drill"  # drill files are TOML for people, and validated like the rest

# Library (as imported) -> the modules through which it may enter.
DOORS: dict[str, tuple[str, ...]] = {
    "paho": (
        "monitor.mqtt",
        "monitor.wire",
        "monitor.bridge",
        "monitor.discover",
        "monitor.overview",
        "simulators.publisher",
    ),
    "amqtt": ("monitor.demo",),
    "pydantic": (
        "monitor.config",
        "monitor.snapshot",
        "monitor.formats",
        "monitor.web",
        "monitor.app.replica",  # a batch as JSON
        SIMULATED_DRILLS,
    ),
    "pydantic_core": (
        "monitor.config",
        "monitor.snapshot",
        "monitor.formats",
        "monitor.web",
        SIMULATED_DRILLS,
    ),
    "apprise": ("monitor.notify",),
    "influxdb_client": ("monitor.series",),
    "urllib3": ("monitor.series",),  # what influxdb-client raises when nobody answers
    "sqlite3": (
        "monitor.journal",
        "monitor.safekeeping",
        "monitor.series",
        "monitor.bridge",
        "monitor.records.outbox",
    ),
    "fastapi": ("monitor.web",),
    "starlette": ("monitor.web",),
    "uvicorn": ("monitor.web",),
    "websockets": ("monitor.web",),
    "jinja2": ("monitor.web",),
    "markupsafe": ("monitor.web",),
    "itsdangerous": ("monitor.web", "monitor.notify"),  # sessions; answer links
    "argon2": ("monitor.web",),
    "pyotp": ("monitor.web",),
    "prometheus_client": ("monitor.web",),
    "cryptography": (
        "monitor.web",
        "monitor.records",
        "monitor.notify",
        "monitor.install",
        "monitor.app.replica",  # what one monitor of a pair tells the other
    ),
    "reportlab": ("monitor.records",),
    "fhir": ("monitor.records", "monitor.formats"),
    "hl7": ("monitor.formats",),
    "google": ("monitor.formats",),
    "serial": ("monitor.bridge",),
    "orjson": (
        "monitor.app",
        "monitor.mqtt",
        "monitor.schema",
        "monitor.snapshot",
        "monitor.journal",
        "monitor.safekeeping",
        "monitor.series",
        "monitor.overview",
        "monitor.web",
        "monitor.records",
    ),
    "rich": ("monitor.__main__", "monitor.demo", "simulators.view"),
    "numpy": ("simulators",),
}


def door_faults(source: Source) -> Iterator[str]:
    """Give each library that enters a module through no door, or through another's."""
    for found in imports(source):
        library = found.target.split(".")[0]
        if library in OURS:
            continue
        if library in DOORS:
            if not within(source.name, *DOORS[library]):
                yield f"{source.path}:{found.line}: {library} enters by {', '.join(DOORS[library])} only"
        elif library not in sys.stdlib_module_names:
            yield f"{source.path}:{found.line}: {library} has no door; give it a row in DOORS"


def test_one_library_has_one_door() -> None:
    """DESIGN §2: one library, one door, so that replacing it touches one place."""
    faults = [fault for source in sources() for fault in door_faults(source)]
    assert not faults, "\n".join(faults)


# --- the pure core ------------------------------------------------------------------------------------------

# What of the standard library can neither see the clock, nor the world, nor chance.
PURE_LIBRARIES = frozenset(
    "__future__ abc base64 bisect collections contextlib copy dataclasses datetime decimal enum fractions "
    "functools hashlib heapq itertools json math operator re statistics string struct textwrap types "
    "typing".split()
)

# `hash` of a text differs from one process to the next, `id` from one run to the next.
IMPURE_CALLS = frozenset(
    "open print input exec eval compile breakpoint __import__ hash id vars globals locals".split()
)
CLOCK_METHODS = frozenset({"now", "utcnow", "today"})


def purity_faults(source: Source) -> Iterator[str]:
    """Give each thing in a core module that could make two runs differ."""
    for found in imports(source):
        library = found.target.split(".")[0]
        if library not in PURE_LIBRARIES and library not in OURS:
            yield f"{source.path}:{found.line}: core may not import {library}"
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield f"{source.path}:{node.lineno}: core may not call {name}()"
            case ast.Attribute(attr=name) if name in CLOCK_METHODS and _on_a_clock(node.value):
                yield f"{source.path}:{node.lineno}: core may not read a clock (.{name}); `now` is passed"
            case ast.Global() | ast.AsyncFunctionDef() | ast.Await():
                yield f"{source.path}:{node.lineno}: core keeps no state and waits for nothing"
            case _:
                pass


def _on_a_clock(value: ast.expr) -> bool:
    """Say whether `value.now` is a clock's method, and not our own field of that name."""
    last = value.attr if isinstance(value, ast.Attribute) else getattr(value, "id", "")
    return last in {"datetime", "date", "dt"} or last.endswith("clock")


def test_core_is_pure() -> None:
    """DESIGN §1.1: alarm logic takes everything as arguments; no clock, no I/O, no chance, no logging."""
    faults = [fault for source in core_sources() for fault in purity_faults(source)]
    assert not faults, "\n".join(faults)


# Path -> why this one may be longer than LONGEST lines.
LONG_FILES: dict[str, str] = {}
LONGEST = 450


def test_no_core_file_is_too_long_to_hold_in_mind() -> None:
    """DESIGN §7: files near 300 lines; a longer one gives its reason here."""
    lengths = {source.path: len(source.text.splitlines()) for source in core_sources()}
    too_long = {path: lines for path, lines in lengths.items() if lines > LONGEST and path not in LONG_FILES}
    assert not too_long, too_long
    outdated = [path for path in LONG_FILES if lengths.get(path, 0) <= LONGEST]
    assert not outdated, f"LONG_FILES names files that are short or gone: {outdated}"


# --- words --------------------------------------------------------------------------------------------------

AVOIDED = frozenset("alert silence mute event status data info manager handler util helper".split())


def words(name: str) -> list[str]:
    """Split `AlarmHandlers` or `alarm_handlers` into `alarm`, `handler`."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return [part.lower().removesuffix("s") if part.lower() != "status" else "status" for part in parts]


def word_faults(source: Source) -> Iterator[str]:
    """Give each module and class whose name has a word that we avoid."""
    if bad := AVOIDED.intersection(words(source.name.rpartition(".")[2])):
        yield f"{source.path}: a module named with {', '.join(bad)}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef) and (bad := AVOIDED.intersection(words(node.name))):
            yield f"{source.path}:{node.lineno}: class {node.name} is named with {', '.join(bad)}"


def test_names_use_the_words_of_the_field() -> None:
    """DESIGN §6: one word for each thing; "alert", "event" and "manager" say too little or too much."""
    faults = [fault for source in sources() for fault in word_faults(source)]
    assert not faults, "\n".join(faults)


# --- docstrings ---------------------------------------------------------------------------------------------

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def docstring_faults(source: Source) -> Iterator[str]:
    """Give the module, and each public class, function and method in it, that has no docstring."""
    if not ast.get_docstring(source.tree):
        yield f"{source.path}: a module opens with its law"
    yield from _undocumented(source.tree.body, source.path)


def _undocumented(body: list[ast.stmt], path: str) -> Iterator[str]:
    for node in body:
        if not isinstance(node, Documented) or node.name.startswith("_") or _explained_elsewhere(node):
            continue
        if not ast.get_docstring(node):
            yield f"{path}:{node.lineno}: {node.name} has no docstring"
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node.body, path)


def _explained_elsewhere(node: Documented) -> bool:
    """An overload, an override and a setter are explained by what they belong to."""
    names = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(name.rpartition(".")[2] in {"overload", "override", "setter"} for name in names)


def test_everything_public_in_the_monitor_says_what_it_is() -> None:
    """DESIGN §7: a module opens with its law; what is public has one imperative line at least."""
    monitor = [source for source in sources() if within(source.name, "monitor")]
    faults = [fault for source in monitor for fault in docstring_faults(source)]
    assert not faults, "\n".join(faults)


# --- portable and pinned files ------------------------------------------------------------------------------

# Written in pieces, so that this file does not name what it forbids.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs"),
        ("npmjs", "org"),
        ("debian", "org"),
        ("crates", "io"),
        ("proxy", "golang"),
        ("maven", "org"),
    )
)
MACHINE_PATHS = re.compile(r"(?<![\w.~-])/(?:" + "|".join(("work", "root", "farm")) + r")/")
BINARY = {".png", ".pdf", ".gz", ".ttf", ".ico", ".woff2", ".db", ".bin"}


def tracked_files() -> list[Path]:
    """Give the files that git keeps, or would keep if they were added now."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git clone: nothing is tracked")
    names = {name for name in listing.stdout.decode().split("\0") if name}
    return sorted(path for path in map(REPOSITORY.joinpath, names) if path.is_file())


def test_tracked_files_name_no_registry_and_no_machine() -> None:
    """A clone works behind any mirror and in any folder: no registry host, no absolute path of a machine."""
    faults = []
    for path in tracked_files():
        if path.suffix in BINARY:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        hosts = [host for host in REGISTRIES if host in text]
        places = sorted(set(MACHINE_PATHS.findall(text)))
        faults += [f"{path.relative_to(REPOSITORY)}: {what}" for what in [*hosts, *places]]
    assert not faults, "\n".join(faults)


def test_nothing_vendored_is_tracked() -> None:
    """The browser files and fonts come from the build hook; the repository holds their pins only."""
    vendored = ("monitor/web/static/vendor", "monitor/records/fonts")
    names = [path.relative_to(REPOSITORY).as_posix() for path in tracked_files()]
    assert not [name for name in names if name.startswith(vendored) or "uPlot" in Path(name).name]


LOCKS = ("requirements.txt", "requirements-test.txt", "requirements-dev.txt")
ALL_LOCKS = (*LOCKS, "requirements-build.txt", "requirements-node.txt")
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^ ;\\]+)(?P<rest>.*)$")


def canonical(name: str) -> str:
    """Spell a distribution's name the one way that packaging compares."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> dict[str, str]:
    """Return name -> version of a lock file; each pin must carry at least one sha256."""
    found: dict[str, str] = {}
    text = (REPOSITORY / lock).read_text(encoding="utf-8")
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    for line in lines:
        pin = PIN.match(line)
        assert pin, f"{lock}: not a pin: {line[:80]}"
        assert "--hash=sha256:" in pin["rest"], f"{lock}: {pin['name']} has no hash"
        found[canonical(pin["name"])] = pin["version"]
    return found


@pytest.mark.parametrize("lock", ALL_LOCKS)
def test_every_requirement_is_pinned_with_hashes(lock: str) -> None:
    """What is installed is what was tried: one exact version each, its bytes checked."""
    assert pins(lock)


def test_the_locks_agree_with_the_project_and_each_other() -> None:
    """`make lock` was run after the last change of pyproject.toml, and each layer only adds."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"]
    below: dict[str, str] = {}
    for lock, more in zip(LOCKS, ([], extras["test"], extras["dev"]), strict=True):
        wanted = wanted + more
        locked = pins(lock)
        names = {canonical(re.match(r"[A-Za-z0-9._-]+", line)[0]) for line in wanted}  # type: ignore[index]
        assert names <= locked.keys(), f"{lock} lacks {names - locked.keys()}: run `make lock`"
        assert below.items() <= locked.items(), f"{lock} differs from the layer below: run `make lock`"
        below = locked


def test_npm_pins_carry_integrity_and_no_address() -> None:
    """The bytes are checked by npm with sha512; where they come from is each machine's own setting."""
    lock = (REPOSITORY / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in lock
    assert lock.count('"integrity": "sha512-') == lock.count('"node_modules/')


# --- what is built ------------------------------------------------------------------------------------------

PACKED = (
    "monitor/web/static/vendor/uPlot.iife.min.js",
    "monitor/web/static/vendor/uPlot.min.css",
    "monitor/web/static/vendor/uPlot.LICENSE.txt",
    "monitor/records/fonts/DejaVuSans.ttf",
    "monitor/records/fonts/DejaVuSans-Bold.ttf",
    "monitor/records/fonts/DejaVu.LICENSE.txt",
)


def build(target: str, folder: Path) -> Path:
    """Build one archive of the tree with the pinned backend, without network when the stamp is fresh."""
    if not (REPOSITORY / PACKED[0]).is_file():
        missing("the vendored browser files", "run `make test`, whose install fetches them")
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.iterdir())


def test_the_wheel_carries_pages_fonts_and_default_configuration(tmp_path: Path) -> None:
    """A clinic installs one wheel: no npm, no network, and a configuration to start from."""
    with zipfile.ZipFile(build("wheel", tmp_path)) as wheel:
        names = set(wheel.namelist())
    assert names.issuperset(PACKED)
    ours = {f"monitor/default_config/{path.relative_to(REPOSITORY / 'config')}" for path in configuration()}
    assert names.issuperset(ours)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(OURS)


def test_the_sdist_carries_what_a_build_without_npm_needs(tmp_path: Path) -> None:
    """An install from the sdist finds the fetched files and their stamp, and asks no registry for them."""
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names.issuperset({*PACKED, "hatch_build.py", ".npmrc", "package.json", "package-lock.json"})
    assert "monitor/web/static/vendor/STAMP.json" in names
    assert names.issuperset(path.relative_to(REPOSITORY).as_posix() for path in configuration())


def configuration() -> list[Path]:
    """Give the files of `config/`."""
    return [path for path in (REPOSITORY / "config").rglob("*") if path.is_file()]


# --- the rules themselves -----------------------------------------------------------------------------------


def story(name: str, text: str) -> Source:
    """Make a module that breaks a rule."""
    return Source(name, name.replace(".", "/") + ".py", text, ast.parse(text))


BROKEN: list[tuple[Callable[[Source], Iterator[str]], str, str]] = [
    (floor_faults, "monitor.core.bed", "from monitor.journal import Journal"),
    (floor_faults, "monitor.core.bed", "from ..clock import anchor"),
    (floor_faults, "monitor.web.wall", "import monitor.notify"),
    (floor_faults, "monitor.formats.native", "def f():\n    from monitor import config"),
    (floor_faults, "simulators.device", "from monitor.core.alarms import step"),
    (floor_faults, "simulators.device", "from monitor.core import bed"),
    (floor_faults, "monitor.surprise", ""),
    (door_faults, "monitor.app", "import sqlite3"),
    (door_faults, "monitor.core.vitals", "from pydantic import BaseModel"),
    (door_faults, "monitor.web.wall", "import requests"),
    (purity_faults, "monitor.core.bed", "import time"),
    (purity_faults, "monitor.core.bed", "from random import random"),
    (purity_faults, "monitor.core.bed", "from datetime import datetime\nx = datetime.now()"),
    (purity_faults, "monitor.core.bed", "import datetime\nx = datetime.date.today"),
    (purity_faults, "monitor.core.bed", "def f(path):\n    return open(path)"),
    (purity_faults, "monitor.core.bed", "def key(x):\n    return hash(x)"),
    (purity_faults, "monitor.core.bed", "async def f(): ..."),
    (word_faults, "monitor.web.utils", ""),
    (word_faults, "monitor.web.wall", "class EventManager: ..."),
    (docstring_faults, "monitor.web.wall", '"""Law."""\nclass Wall:\n    """A."""\n    def draw(self): ...'),
    (docstring_faults, "monitor.web.wall", "x = 1"),
]

SOUND: list[tuple[Callable[[Source], Iterator[str]], str, str]] = [
    (floor_faults, "monitor.core.bed", "from .vitals import Report\nfrom monitor.core import alarms"),
    (floor_faults, "monitor.formats.native", "from ..core.vitals import Report"),
    (floor_faults, "monitor.app", "from . import journal, mqtt, web"),
    (floor_faults, "simulators.device", "from monitor.core.vitals import METRICS"),
    (door_faults, "monitor.series.mirror", "import sqlite3, influxdb_client"),
    (purity_faults, "monitor.core.bed", "from datetime import UTC, datetime\ndef f(s): return s.now"),
    (word_faults, "monitor.web.wall", "class Wall: ...\nclass Synthesis: ..."),
    (docstring_faults, "monitor.web.wall", '"""Law."""\ndef _draw(): ...'),
]


@pytest.mark.parametrize(("rule", "name", "text"), BROKEN)
def test_each_rule_catches_what_breaks_it(
    rule: Callable[[Source], Iterator[str]], name: str, text: str
) -> None:
    """A rule that cannot fail holds nothing."""
    assert list(rule(story(name, text)))


@pytest.mark.parametrize(("rule", "name", "text"), SOUND)
def test_each_rule_lets_good_code_pass(rule: Callable[[Source], Iterator[str]], name: str, text: str) -> None:
    """A rule that cries wolf is soon switched off."""
    assert not list(rule(story(name, text)))


# --- the scaffolding ----------------------------------------------------------------------------------------


def test_a_broker_comes_back_on_its_port_after_a_power_cut(mosquitto: Callable[..., Mosquitto]) -> None:
    """Crash tests rely on `kill` and `restart` meaning what they say."""
    broker = mosquitto("max_queued_messages 100")
    port, first = broker.port, broker.pid
    broker.kill()
    broker.restart()
    assert (broker.port, broker.pid != first) == (port, True)
    configuration_text = (broker.folder / "mosquitto.conf").read_text()
    assert configuration_text.count("max_queued_messages") == 1


def test_the_page_guard_sees_errors_and_strangers(open_page: Callable[..., Page], guard: PageGuard) -> None:
    """A page that writes an error, raises, or asks another host fails its test (the offline promise)."""
    page = open_page()
    page.set_content(
        "<script>console.error('written'); new Image().src = 'http://192.0.2.1/x.png';"
        "new WebSocket('ws://192.0.2.1/y'); setTimeout(() => { throw new Error('thrown') })</script>"
    )
    page.wait_for_timeout(200)
    seen = "\n".join(guard.faults)
    for expected in ("console: written", "uncaught: ", "http://192.0.2.1/x.png", "ws://192.0.2.1/y"):
        assert expected in seen
    with pytest.raises(AssertionError, match="must not"):
        guard.check()
    guard.allow(".")


def test_a_test_without_a_page_may_run_its_own_loop() -> None:
    """Playwright's loop in the same worker must not stop another test's `asyncio.run`."""
    import asyncio

    async def answer() -> int:
        return 42

    assert asyncio.run(answer()) == 42
