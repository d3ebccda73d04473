"""A drill file: one exercise that a nurse can read, and that is a test.

Law: a file that is not fully understood is refused, with every mistake at once: file, key and remedy. All
times are minutes since the first dose; the session begins ten minutes before it.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from monitor.core.vitals import FAULTS
from simulators.course import EPISODE_KINDS, SCRIPTED, EpisodeKind
from simulators.device import TROUBLES
from simulators.plan import PROTOCOLS

BEGIN_MIN = -10.0  # the session's baseline begins here
LONGEST_MIN = 360.0
DeviceName = Literal["oximeter", "cuff", "breath", "ecg"]
ActionName = Literal[
    "acknowledge",
    "accept",
    "reset",
    "pause_audio",
    "dose",
    "end_dosing",
    "manual",
    "score",
    "note",
    "answer",
    "confirm_ready",
    "end_session",
]
SIDES = ("above", "at least", "below", "at most")
TRUTH_NAMES = (
    "systolic",
    "diastolic",
    "heart_rate",
    "pulse_rate",
    "spo2",
    "respiration_rate",
    "etco2",
    "temperature",
)


def _one_of(names: tuple[str, ...]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"{name!r} is unknown; use one of {', '.join(names)}")
        return name

    return AfterValidator(check)


class Crossing(NamedTuple):
    """A sentence on the true patient, such as ``spo2 below 90``."""

    name: str
    side: str
    number: float

    def holds(self, value: float) -> bool:
        """Say whether it is true of a value."""
        if self.side in ("above", "at least"):
            return value > self.number or (self.side == "at least" and value == self.number)
        return value < self.number or (self.side == "at most" and value == self.number)


def crossing(text: str) -> Crossing:
    """Read such a sentence.

    Raises:
        ValueError: it is none; the text says how to write one.
    """
    found = re.fullmatch(rf"(\w+) ({'|'.join(SIDES)}) (-?\d+(?:\.\d+)?)", text.strip())
    if found is None or found[1] not in TRUTH_NAMES:
        raise ValueError(
            f"{text!r}: write '<name> above|at least|below|at most <number>', "
            f"name one of {', '.join(TRUTH_NAMES)}"
        )
    return Crossing(found[1], found[2], float(found[3]))


def _check_crossing(text: str) -> str:
    crossing(text)
    return text


Minute = Annotated[float, Field(ge=BEGIN_MIN, le=LONGEST_MIN)]
Positive = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]
RequirementId = Annotated[
    str, Field(pattern=r"^(AL|AF|P|R|S)-\d\d$")
]  # this line fails when it does not hold


class Strict(BaseModel):
    """Every key is known, every value of its kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Happening(Strict):
    """Something that happens to the patient."""

    kind: Annotated[str, _one_of(EPISODE_KINDS)]
    at_min: Minute
    lasts_s: Positive
    size: float | None = None

    @property
    def episode_kind(self) -> EpisodeKind:
        """Return the kind, for the type checker."""
        return self.kind  # type: ignore[return-value]  # checked above


class DeviceFault(Strict):
    """Something that goes wrong with a device."""

    device: DeviceName
    kind: Annotated[str, _one_of((*TROUBLES, *FAULTS))]
    at_min: Minute
    lasts_s: Positive = 1e9
    size: float = 0.0


class CuffSetting(Strict):
    """How the cuff is set: AUTO every so often, and when a person starts it besides."""

    every_min: Positive = 5.0
    auto: bool = True
    at_min: list[float] = []
    bias: float = 0.0
    same_arm: bool = False


class Lying(Strict):
    """One bed of the exercise: the patient, the course and the devices."""

    bed: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")] = "bed-1"
    protocol: Annotated[str, _one_of(PROTOCOLS)]
    patient: str = ""
    age_years: Annotated[float, Field(ge=18, le=95)] = 42.0
    weight_kg: Annotated[float, Field(ge=35, le=200)] = 74.0
    hypertensive: bool = False
    sprays: Annotated[int, Field(ge=1, le=3)] = 2
    dose_delay_min: Annotated[float, Field(ge=0, le=60)] = 0.0
    devices: list[DeviceName] = ["oximeter", "cuff"]
    cuff: CuffSetting = CuffSetting()
    course: dict[Annotated[str, _one_of(SCRIPTED)], list[tuple[Minute, float]]] = {}
    happens: list[Happening] = []
    faults: list[DeviceFault] = []


class LinkFault(Strict):
    """Something that the network does. ``broker_down`` is heard by the monitor, too."""

    kind: Literal["partition", "half_open", "takeover", "broker_down"]
    at_min: Minute
    lasts_s: Positive
    device: DeviceName | None = None
    bed: str = "bed-1"


class Expectation(Strict):
    """What the monitor must say, and when.

    ``rule`` may hold ``*``. ``truth`` is what is true of the patient then: from there the delay is counted,
    and ``within_s`` is the longest that is good.
    """

    outcome: str = "AlarmRaised"
    rule: str = "*"
    bed: str = "bed-1"
    priority: Literal["high", "medium", "low"] | None = None
    from_min: Minute
    to_min: Minute
    truth: Annotated[str, AfterValidator(_check_crossing)] | None = None
    within_s: Positive | None = None
    why: str = ""
    holds: list[RequirementId] = []


class Forbidden(Strict):
    """What the monitor must not say."""

    outcome: str = "AlarmRaised"
    rule: str = "*"
    bed: str = "*"
    from_min: float = BEGIN_MIN
    to_min: float = LONGEST_MIN
    why: str = ""
    holds: list[RequirementId] = []


class Task(Strict):
    """What staff should do: ``at_min`` is when the robot does it in a fast run.

    ``after`` names the rule whose alarm starts the clock for people; without it, ``at_min`` does. ``refused``
    says that the monitor must refuse it.
    """

    does: ActionName
    at_min: Minute
    bed: str = "bed-1"
    after: str = ""
    within_s: Positive = 120.0
    role: Literal["nurse", "clinician", "operator"] = "nurse"
    say: str = ""
    values: dict[str, float] = {}
    scale: str = ""
    value: float | None = None
    kind: str = ""
    text: str = ""
    criterion: str = ""
    met: bool | None = None
    reason: str = ""
    amount_mg: float | None = None
    route: str = ""
    seconds: float | None = None
    refused: bool = False
    holds: list[RequirementId] = []


class Drill(Strict):
    """One exercise."""

    title: Text
    teaches: Text
    source: str = ""
    story: str = ""
    starts_at_min: Minute = BEGIN_MIN
    ends_at_min: Minute
    seed: int = 1
    beds: Annotated[list[Lying], Field(min_length=1, max_length=6)]
    network: list[LinkFault] = []
    expect: list[Expectation] = []
    forbid: list[Forbidden] = []
    may: list[str] = []
    staff: list[Task] = []


class BadDrill(ValueError):
    """A drill file that cannot be used; the text lists every mistake with file, key and remedy."""


def load(path: Path) -> Drill:
    """Read a drill file.

    Raises:
        BadDrill: it is not there, no TOML, or not understood.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as fault:
        raise BadDrill(f"{path}: cannot be read ({fault}); see `drill list`") from fault
    except tomllib.TOMLDecodeError as fault:
        raise BadDrill(f"{path}: no TOML: {fault}; correct that line") from fault
    try:
        # By way of JSON rules: a TOML list may stand for a tuple, a whole number for a decimal one.
        drill = Drill.model_validate_json(_as_json(found))
    except ValidationError as fault:
        lines = [f"{path}: {_key(error['loc'])}: {_remedy(error)}" for error in fault.errors()]
        raise BadDrill("\n".join(lines)) from None
    mistakes = [f"{path}: {mistake}" for mistake in _contradictions(drill)]
    if mistakes:
        raise BadDrill("\n".join(mistakes))
    return drill


def _as_json(found: dict[str, Any]) -> str:
    return json.dumps(found, default=str)


def _key(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".") or "the file"


def _remedy(error: Any) -> str:
    kind, text = error["type"], error["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return "is missing; add it (`drill new` writes a complete example)"
    if kind == "extra_forbidden":
        return "is not a key of a drill; correct its spelling or remove it (docs/drills.md lists all keys)"
    return f"{text[0].lower()}{text[1:]} (found {error['input']!r}); correct it"


def _contradictions(drill: Drill) -> list[str]:
    names = [lying.bed for lying in drill.beds]
    found = []
    if drill.ends_at_min <= drill.starts_at_min:
        found.append(
            f"ends_at_min: {drill.ends_at_min:g} is not after starts_at_min {drill.starts_at_min:g}; "
            "make it later"
        )
    twice = {name for name in names if names.count(name) > 1}
    found.extend(f"beds: {name!r} stands twice; give each bed its own name" for name in sorted(twice))
    parts: list[tuple[str, list[Any]]] = [
        ("network", drill.network),
        ("expect", drill.expect),
        ("staff", drill.staff),
    ]
    for part, rows in parts:
        for number, row in enumerate(rows, 1):
            if row.bed not in names:
                found.append(f"{part}[{number}].bed: no bed {row.bed!r}; use one of {', '.join(names)}")
    for number, expected in enumerate(drill.expect, 1):
        if not drill.starts_at_min <= expected.from_min <= expected.to_min <= drill.ends_at_min:
            found.append(
                f"expect[{number}]: from_min {expected.from_min:g} to to_min {expected.to_min:g} is not "
                f"within the exercise ({drill.starts_at_min:g} to {drill.ends_at_min:g}); correct them"
            )
    for lying in drill.beds:
        for name, points in lying.course.items():
            minutes = [minute for minute, _ in points]
            if minutes != sorted(set(minutes)) or not minutes:
                found.append(f"beds ({lying.bed}).course.{name}: minutes must rise; sort the points")
    return found


def on_beds(drill: Drill, beds: Sequence[str]) -> Drill:
    """Return the drill on other beds, in the order of the file.

    Raises:
        BadDrill: the number of beds is not the drill's.
    """
    own = [lying.bed for lying in drill.beds]
    if len(set(beds)) != len(own):
        raise BadDrill(f"{drill.title}: needs {len(own)} different beds; name each with --bed")
    place = dict(zip(own, beds, strict=True))

    def moved(rows: Sequence[Any]) -> list[Any]:
        return [row.model_copy(update={"bed": place.get(row.bed, row.bed)}) for row in rows]

    names = ("beds", "network", "expect", "forbid", "staff")
    return drill.model_copy(update={name: moved(getattr(drill, name)) for name in names})


def piece(drill: Drill, from_min: float | None, to_min: float | None) -> Drill:
    """Return the piece of a drill between two minutes: what is expected and asked there, and nothing else.

    Raises:
        BadDrill: nothing is left of it.
    """
    begin = drill.starts_at_min if from_min is None else from_min
    end = drill.ends_at_min if to_min is None else to_min
    if not drill.starts_at_min <= begin < end <= drill.ends_at_min:
        span = f"{drill.starts_at_min:g} to {drill.ends_at_min:g} min"
        raise BadDrill(f"{drill.title}: --from {begin:g} --to {end:g} is no piece of it; it runs from {span}")
    expect = [
        one.model_copy(update={"to_min": min(one.to_min, end)})
        for one in drill.expect
        if begin <= one.from_min < end
    ]
    forbid = [
        one.model_copy(update={"from_min": max(one.from_min, begin), "to_min": min(one.to_min, end)})
        for one in drill.forbid
        if one.from_min < end and one.to_min > begin
    ]
    rules = {one.rule for one in expect}
    staff = [one for one in drill.staff if (one.after in rules if one.after else begin <= one.at_min < end)]
    pieces = {"starts_at_min": begin, "ends_at_min": end, "expect": expect, "forbid": forbid, "staff": staff}
    return drill.model_copy(update=pieces)


def numbers(drill: Drill) -> list[int]:
    """Return the number in the device ids of each bed: that of its name (bed-3), or its place."""
    found = [re.search(r"(\d{1,4})$", lying.bed) for lying in drill.beds]
    named = [int(each[1]) if each else 0 for each in found]
    return named if 0 not in named and len(set(named)) == len(named) else list(range(1, len(named) + 1))


def folder() -> Path:
    """Return where the drills are: ``AFTERWATCH_DRILLS``, the repository's, or those packed with us."""
    if chosen := os.environ.get("AFTERWATCH_DRILLS"):
        return Path(chosen)
    here = Path(__file__).resolve().parent.parent
    packed = here / "monitor" / "default_config" / "drills"
    return packed if packed.is_dir() else here / "config" / "drills"


def find(name: str) -> Path:
    """Return the file of a drill by name or path.

    Raises:
        BadDrill: there is none; the text names those there are.
    """
    for path in (Path(name), folder() / f"{name}.toml"):
        if path.suffix == ".toml" and path.is_file():
            return path
    known = ", ".join(path.stem for path in sorted(folder().glob("*.toml")))
    raise BadDrill(f"{name}: no such drill in {folder()}; there are {known or 'none'}")
