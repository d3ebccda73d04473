"""What the installer and the clinician wrote: read whole, checked whole, or not started.

Law: a file that is not fully understood stops the start, with every mistake listed at once by file, key and
remedy. Secrets come by environment variable or file, never in TOML.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from monitor.core import protocol as shapes
from monitor.core.device import DeviceProfile
from monitor.core.escalation import Ladder, Level
from monitor.core.protocol import Priority, Protocol
from monitor.core.soundness import problems
from monitor.core.vitals import METRICS
from monitor.formats import FORMATS

T = TypeVar("T")

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]


class Mistake(NamedTuple):
    """One thing that is wrong in a file: where, what, and what to do."""

    file: str
    key: str
    text: str
    remedy: str

    def __str__(self) -> str:
        """Return the mistake as one line for a terminal."""
        return f"{self.file}: {self.key}: {self.text} -> {self.remedy}"


class ConfigurationError(Exception):
    """The configuration cannot be used; ``mistakes`` lists all that is wrong."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        """Keep every mistake; the text lists them, one a line."""
        self.mistakes = mistakes
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Site(_Strict):
    """Who we are: ``id`` is part of every topic, ``zone`` (IANA) is for display only."""

    id: Name = "clinic"
    name: str = "Clinic"
    zone: str = "UTC"


class Broker(_Strict):
    """Where the MQTT broker is, and how we sign in to it (password by environment or file)."""

    host: str = "127.0.0.1"
    port: int = Field(1883, ge=1, le=65535)
    username: str = ""
    password_env: str = ""
    password_file: str = ""
    tls_ca: str = ""
    client_id: Name = "afterwatch-monitor"

    def password(self) -> str:
        """Return the password; empty when none is configured."""
        return read_secret(self.password_env, self.password_file)


class Store(_Strict):
    """Where the journal lies; a relative path counts from the configuration folder."""

    path: str = "../store"


class Web(_Strict):
    """Where the pages are served; ``public_url`` is what links in messages start with."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    public_url: str = ""


class Target(_Strict):
    """One place a message can go: an apprise URL, by environment or file unless it holds no secret.

    ``deadline_s`` bounds one attempt; ``fallback`` is the target that is told when this one fails (AL-39).
    """

    id: Name
    url: str = ""
    url_env: str = ""
    url_file: str = ""
    deadline_s: float = Field(10.0, gt=0, le=60)
    fallback: str = ""

    def resolve(self) -> str:
        """Return the apprise URL, or an empty string when it is not there."""
        return self.url or read_secret(self.url_env, self.url_file)


class Route(_Strict):
    """Which alarms go to which targets at once; ``follow_up``: also when one is accepted and when it ends."""

    targets: list[Name] = Field(min_length=1)
    priorities: list[Priority] = ["high", "medium", "low"]
    kinds: list[Literal["physiological", "technical"]] = ["physiological", "technical"]
    beds: list[Name] = []
    follow_up: bool = False


class Person(_Strict):
    """Somebody an alarm can be offered to: the targets that reach them, and their roles."""

    id: Name
    roles: list[Name] = []
    targets: list[Name] = Field(min_length=1)


class LevelEntry(_Strict):
    """One level of a ladder: ``to`` names people by id, or ``role:nurse`` for everybody on duty in a role."""

    to: list[str] = Field(min_length=1)
    wait_s: float = Field(60.0, ge=10, le=1800)


class LadderEntry(_Strict):
    """Whom alarms of some priorities are offered to, level after level, until somebody accepts."""

    priorities: list[Priority] = Field(min_length=1)
    levels: list[LevelEntry] = Field(min_length=1)


class RepeatTimes(_Strict):
    """How often an alarm that nobody has accepted is told again, in seconds; 0 is never (P-48)."""

    high: float = Field(120.0, ge=30, le=1800)
    medium: float = Field(300.0, ge=0, le=3600)
    low: float = Field(0.0, ge=0, le=3600)


class Notify(_Strict):
    """Who is told: targets, routes to them, and people on ladders. ``lifetime_s``: when a message is too old."""

    targets: list[Target] = []
    routes: list[Route] = []
    people: list[Person] = []
    ladders: list[LadderEntry] = []
    repeat_s: RepeatTimes = RepeatTimes()
    lifetime_s: float = Field(300.0, ge=60, le=3600)

    def ladder(self, on_duty: Sequence[str] = ()) -> Ladder:
        """Return the ladder for the people on duty; with nobody named, everybody is taken to be."""
        present = [one for one in self.people if not on_duty or one.id in on_duty]
        levels: dict[Priority, tuple[Level, ...]] = {}
        for entry in self.ladders:
            made = tuple(Level(_people(level.to, present), level.wait_s) for level in entry.levels)
            levels |= dict.fromkeys(entry.priorities, made)
        every = {name: value for name, value in self.repeat_s if value > 0}
        return Ladder(levels, every, tuple(on_duty))


def _people(names: list[str], present: list[Person]) -> tuple[str, ...]:
    found = (
        one.id for name in names for one in present if name in (one.id, *map("role:{}".format, one.roles))
    )
    return tuple(dict.fromkeys(found))


class Clinic(_Strict):
    """``clinic.toml``."""

    site: Site = Site()
    broker: Broker = Broker()
    store: Store = Store()
    web: Web = Web()
    notify: Notify = Notify()


class BedEntry(_Strict):
    """One bed, in wall order."""

    id: Name
    label: str = Field("", max_length=24)
    room: str = Field("", max_length=24)


class DeviceEntry(_Strict):
    """One device: what it speaks, where, and which bed it serves (``docs/devices.md``)."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}$")]
    bed: Name | None = None
    format: str = "native"
    topic: str = Field("", max_length=200)
    metrics: list[str] = []
    expected_interval_s: float = Field(1.0, gt=0, le=3600)
    averaging_s: float = Field(0.0, ge=0, le=120)
    zone: str = ""
    address: str = ""
    trust_clock: bool = True
    options: dict[str, Any] = {}

    def profile(self) -> DeviceProfile:
        """Return what the core needs to know of the device."""
        return DeviceProfile(
            self.id, tuple(self.metrics), self.expected_interval_s, self.averaging_s, self.trust_clock
        )

    def zoneinfo(self) -> ZoneInfo | None:
        """Return the device's time zone, for times without an offset."""
        return ZoneInfo(self.zone) if self.zone else None


class Ward(_Strict):
    """``beds.toml``."""

    beds: list[BedEntry] = Field(min_length=1)
    devices: list[DeviceEntry] = []


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that was read, checked."""

    folder: Path
    clinic: Clinic
    ward: Ward
    protocols: dict[str, Protocol]

    @property
    def store(self) -> Path:
        """Return the folder of the journal; ``AFTERWATCH_STORE`` overrides the file."""
        chosen = os.environ.get("AFTERWATCH_STORE") or self.clinic.store.path
        return (self.folder / chosen).resolve()

    @property
    def root(self) -> str:
        """Return the root of our MQTT topics."""
        return f"afterwatch/v1/{self.clinic.site.id}"

    def report_topic(self, device: DeviceEntry) -> str:
        """Return the topic filter on which a device reports."""
        return device.topic or f"{self.root}/devices/{device.id}/report"


def default_folder() -> Path:
    """Return the configuration that ships with the product."""
    packaged = Path(__file__).parent / "default_config"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "config"


def read_secret(variable: str, file: str) -> str:
    """Return a secret from an environment variable or a file; empty when neither holds one."""
    if variable and os.environ.get(variable):
        return os.environ[variable]
    if file:
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except OSError:
            return ""
    return ""


def load(folder: Path) -> Configuration:
    """Read and check the configuration in ``folder``.

    Raises:
        ConfigurationError: something is wrong; every mistake of every file is in it.
    """
    mistakes: list[Mistake] = []
    if not folder.is_dir():
        text = "there is no such folder"
        raise ConfigurationError([Mistake(str(folder), "-", text, "give the folder that holds clinic.toml")])
    clinic = _read(folder / "clinic.toml", TypeAdapter(Clinic), mistakes)
    ward = _read(folder / "beds.toml", TypeAdapter(Ward), mistakes)
    protocols = _protocols(folder / "protocols", mistakes)
    if clinic is not None:
        mistakes += _clinic_mistakes(clinic)
    if ward is not None:
        mistakes += _ward_mistakes(ward, protocols)
    if mistakes or clinic is None or ward is None:
        raise ConfigurationError(mistakes)
    return Configuration(folder.resolve(), clinic, ward, protocols)


def load_protocol(file: Path) -> Protocol:
    """Read and check one protocol file.

    Raises:
        ConfigurationError: it is not a sound protocol.
    """
    mistakes: list[Mistake] = []
    protocol = _protocol(file, mistakes)
    if protocol is None or mistakes:
        raise ConfigurationError(mistakes)
    return protocol


# --- reading -----------------------------------------------------------------------------------------------

for _shape in (
    shapes.Tier,
    shapes.Filter,
    shapes.Limit,
    shapes.Watch,
    shapes.Cadence,
    shapes.Checkpoint,
    shapes.Hold,
    shapes.Criterion,
    shapes.Baseline,
    shapes.Timing,
    shapes.Protocol,
):
    # pydantic reads its settings from this attribute; the core itself stays free of the library.
    setattr(_shape, "__pydantic_config__", ConfigDict(extra="forbid", strict=True))  # noqa: B010

_PROTOCOL = TypeAdapter(Protocol)


def _toml(file: Path, mistakes: list[Mistake]) -> dict[str, Any] | None:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        mistakes.append(
            Mistake(file.name, "-", "the file is missing", f"make it (see the one in {default_folder()})")
        )
    except tomllib.TOMLDecodeError as fault:
        mistakes.append(Mistake(file.name, "-", f"not TOML: {fault}", "correct the line it names"))
    except UnicodeDecodeError as fault:
        mistakes.append(Mistake(file.name, "-", f"not UTF-8 text: {fault.reason}", "save it as UTF-8"))
    except OSError as fault:
        mistakes.append(Mistake(file.name, "-", f"cannot be read: {fault.strerror}", "make it readable"))
    return None


def _read(file: Path, adapter: TypeAdapter[T], mistakes: list[Mistake]) -> T | None:
    found = _toml(file, mistakes)
    return None if found is None else _validate(file.name, found, adapter, mistakes)


def _validate(name: str, found: dict[str, Any], adapter: TypeAdapter[T], mistakes: list[Mistake]) -> T | None:
    """Check a parsed file against its shape. JSON is the way in because there a list may be a tuple."""
    try:
        return adapter.validate_json(json.dumps(found, default=str))
    except ValidationError as fault:
        for error in fault.errors(include_url=False):
            key = _key(found, error["loc"])
            mistakes.append(Mistake(name, key, _text(error), _remedy(error)))
    return None


def _key(found: Any, location: tuple[int | str, ...]) -> str:
    """Return a key as a person would find it in the file: a table in a list is named by its id too."""
    words: list[str] = []
    for part in location:
        found = found[part] if isinstance(found, dict) and part in found else _item(found, part)
        if isinstance(part, int) and words:
            name = found.get("id") or found.get("metric") if isinstance(found, dict) else None
            words[-1] += f"[{part + 1}]" + (f" ({name})" if name else "")
        else:
            words.append(str(part))
    return ".".join(words) or "-"


def _item(found: Any, part: int | str) -> Any:
    if isinstance(found, list) and isinstance(part, int) and part < len(found):
        return found[part]
    return None


def _text(error: Any) -> str:
    kind, given = error["type"], error.get("input")
    if kind == "missing":
        return "it is missing"
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return "nobody knows this key"
    return f"{error['msg']} (it is {str(given)[:60]!r})"


def _remedy(error: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    remedies = {
        "missing": "add it",
        "extra_forbidden": "remove it, or correct its spelling",
        "unexpected_keyword_argument": "remove it, or correct its spelling",
        "literal_error": f"use {context.get('expected', 'one of the known words')}",
        "string_pattern_mismatch": "use letters, digits, '-', '_' and '.', beginning with a letter or digit",
        "string_type": "put it in quotes",
        "float_type": "write a number without quotes",
        "int_type": "write a whole number without quotes",
        "bool_type": "write true or false",
        "too_short": f"give at least {context.get('min_length', 1)}",
        "string_too_long": f"use at most {context.get('max_length')} characters",
    }
    return remedies.get(kind, "correct it")


def _protocols(folder: Path, mistakes: list[Mistake]) -> dict[str, Protocol]:
    files = sorted(folder.glob("*.toml"))
    if not files:
        text = "no protocol"
        mistakes.append(
            Mistake("protocols/", "-", text, f"put at least one .toml there (see {default_folder()})")
        )
    found: dict[str, Protocol] = {}
    for file in files:
        protocol = _protocol(file, mistakes)
        if protocol is None:
            continue
        if protocol.name in found:
            mistakes.append(
                Mistake(file.name, "name", f"{protocol.name!r} is taken by another file", "rename one")
            )
        found[protocol.name] = protocol
    return found


def _protocol(file: Path, mistakes: list[Mistake]) -> Protocol | None:
    protocol = _read(file, _PROTOCOL, mistakes)
    if protocol is not None:
        mistakes += [Mistake(file.name, p.key, p.text, p.remedy) for p in problems(protocol)]
    return protocol


# --- what the shape alone does not show ------------------------------------------------------------------------


def _clinic_mistakes(clinic: Clinic) -> list[Mistake]:
    found: list[Mistake] = []

    def wrong(key: str, text: str, remedy: str) -> None:
        found.append(Mistake("clinic.toml", key, text, remedy))

    if not _zone_exists(clinic.site.zone):
        wrong("site.zone", f"no time zone {clinic.site.zone!r}", "use an IANA name such as 'Europe/Berlin'")
    broker = clinic.broker
    if broker.username and not (broker.password_env or broker.password_file):
        wrong("broker.username", "a user without a password", "add password_env or password_file")
    if broker.tls_ca and not Path(broker.tls_ca).is_file():
        wrong(
            "broker.tls_ca",
            f"no file {broker.tls_ca!r}",
            "give the path of the broker's CA certificate (PEM)",
        )
    seen: set[str] = set()
    for target in clinic.notify.targets:
        key = f"notify.targets ({target.id})"
        if target.id in seen:
            wrong(key, "the same id twice", "give each target its own")
        seen.add(target.id)
        if sum(map(bool, (target.url, target.url_env, target.url_file))) != 1:
            wrong(
                key,
                "needs exactly one of url, url_env and url_file",
                "keep one; a URL with a secret belongs in a file",
            )
        elif not target.resolve():
            place = f"environment variable {target.url_env}" if target.url_env else f"file {target.url_file}"
            wrong(key, f"{place} is not there or empty", "set it, or remove the target")
        elif target.url and _holds_secret(target.url):
            wrong(f"{key}.url", "a URL with a password stands in TOML", "move it to url_env or url_file")
    for number, route in enumerate(clinic.notify.routes, 1):
        for name in route.targets:
            if name not in seen:
                wrong(
                    f"notify.routes[{number}].targets",
                    f"no target {name!r}",
                    "use the id of a [[notify.targets]]",
                )
    return found


def _holds_secret(url: str) -> bool:
    return bool(re.match(r"^[a-z0-9+.-]+://[^/@]*:[^/@]+@", url, re.IGNORECASE))


def _ward_mistakes(ward: Ward, protocols: dict[str, Protocol]) -> list[Mistake]:
    found: list[Mistake] = []

    def wrong(key: str, text: str, remedy: str) -> None:
        found.append(Mistake("beds.toml", key, text, remedy))

    beds = [bed.id for bed in ward.beds]
    for name in {bed for bed in beds if beds.count(bed) > 1}:
        wrong(f"beds ({name})", "the same id twice", "give each bed its own")
    if "station" in beds:
        wrong("beds (station)", "'station' is the monitor's own place", "rename the bed")
    names: set[str] = set()
    watched = {w.metric: w for protocol in protocols.values() for w in protocol.watch}
    for device in ward.devices:
        key = f"devices ({device.id})"
        if device.id in names:
            wrong(key, "the same id twice", "give each device its own; a device serves one bed (AL-53)")
        names.add(device.id)
        if device.bed is not None and device.bed not in beds:
            wrong(f"{key}.bed", f"no bed {device.bed!r}", f"use one of {', '.join(beds)}")
        if device.format not in FORMATS:
            wrong(f"{key}.format", f"no format {device.format!r}", f"use one of {', '.join(FORMATS)}")
        if device.zone and not _zone_exists(device.zone):
            wrong(f"{key}.zone", f"no time zone {device.zone!r}", "use an IANA name such as 'Europe/Berlin'")
        for metric in device.metrics:
            if metric not in METRICS:
                wrong(f"{key}.metrics", f"unknown metric {metric!r}", f"use one of {', '.join(METRICS)}")
            elif metric in watched and device.expected_interval_s * 2.5 > watched[metric].medium_after_s:
                wrong(
                    f"{key}.expected_interval_s",
                    f"{device.expected_interval_s:g} s is too slow to watch {metric} (silence is noticed at 2.5 periods)",
                    f"use a device that reports at least every {watched[metric].medium_after_s / 2.5:g} s",
                )
        if not _topic_is_sound(device.topic):
            wrong(
                f"{key}.topic",
                f"{device.topic!r} is no topic filter",
                "'+' and '#' stand alone between slashes, '#' last",
            )
    return found


def _topic_is_sound(topic: str) -> bool:
    levels = topic.split("/")
    for position, level in enumerate(levels):
        if "#" in level and (level != "#" or position != len(levels) - 1):
            return False
        if "+" in level and level != "+":
            return False
    return True


def _zone_exists(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
