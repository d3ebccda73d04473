"""What may stand in ``clinic.toml`` and ``beds.toml``: every key, its shape and its default.

Law: a key that is not here is refused. A secret is named by environment variable or file, never written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from monitor.core.device import DeviceProfile
from monitor.core.escalation import Ladder, Level
from monitor.core.protocol import Priority

SIMULATED = "sim-"  # begins the id of a drill's device: whatever it says, it speaks of no patient (S-10)
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Site(_Strict):
    """Who we are: ``id`` is part of every topic, ``name`` and ``zone`` (IANA) are for display only.

    ``exported_as`` is for a site whose patients and devices are known elsewhere by another name than its id.
    """

    id: Name = "clinic"
    name: str = "Clinic"
    zone: str = "UTC"
    exported_as: str = ""

    @property
    def identity(self) -> str:
        """Return what the site's patients and devices hang on in FHIR and HL7; it must never change."""
        return self.exported_as or self.id


class Broker(_Strict):
    """Where the MQTT broker is, and how we sign in to it (password by environment or file)."""

    host: str = "127.0.0.1"
    port: int = Field(1883, ge=1, le=65535)
    username: str = ""
    password_env: str = ""
    password_file: str = ""
    tls_ca: str = ""
    client_id: Name = "afterwatch-monitor"
    sign_key_env: str = ""
    sign_key_file: str = ""

    def password(self) -> str:
        """Return the password; empty when none is configured."""
        return read_secret(self.password_env, self.password_file)

    def sign_key(self) -> bytes:
        """Return the key that alarm topics are signed with; empty when none is configured (S-07)."""
        return read_secret(self.sign_key_env, self.sign_key_file).encode()


class Store(_Strict):
    """Where the journal lies; a relative path counts from the configuration folder.

    ``keep_readings_days`` and ``keep_records_days`` (sessions, alarms, who did what) are the site's policy of
    retention; 0 keeps for ever.
    """

    path: str = "../store"
    keep_readings_days: int = Field(0, ge=0, le=36500)
    keep_records_days: int = Field(0, ge=0, le=36500)


class Series(_Strict):
    """Where the journal is mirrored to: InfluxDB 2.x, 3.x, Cloud or VictoriaMetrics; without ``url`` nowhere.

    ``lag_alarm_s`` is how far behind the mirror may be before somebody is told; ``read`` lets charts ask it
    for what the journal no longer holds.
    """

    url: str = Field("", pattern=r"^(https?://[^\s/@]+(/\S*)?)?$")
    org: str = ""
    bucket: str = "afterwatch"
    token_env: str = ""
    token_file: str = ""
    tls_ca: str = ""
    timeout_s: float = Field(10.0, ge=0.5, le=120)
    batch: int = Field(2000, ge=1, le=20000)
    lag_alarm_s: float = Field(300.0, ge=5, le=86400)
    read: bool = False

    def token(self) -> str:
        """Return the token; empty when none is configured."""
        return read_secret(self.token_env, self.token_file)


class Fhir(_Strict):
    """Where records of sessions go as FHIR R4; without ``url`` nowhere (``docs/records.md``).

    ``when``: as soon as a clinician has ``signed``, or already when the session has ``ended``.
    ``lag_alarm_s`` is how long a record may wait before somebody is told.
    """

    url: str = ""
    when: Literal["signed", "ended"] = "signed"
    token_env: str = ""
    token_file: str = ""
    tls_ca: str = ""
    timeout_s: float = Field(30.0, ge=0.5, le=300)
    lag_alarm_s: float = Field(3600.0, ge=5, le=7 * 86400)

    def token(self) -> str:
        """Return the bearer token; empty when none is configured."""
        return read_secret(self.token_env, self.token_file)


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
    """Who is told: targets, routes to them, people on ladders.

    ``lifetime_s``: when a message is too old. ``test_at``: when, by the site's clock, every target gets the
    day's test message; without it there is none.
    """

    targets: list[Target] = []
    routes: list[Route] = []
    people: list[Person] = []
    ladders: list[LadderEntry] = []
    repeat_s: RepeatTimes = RepeatTimes()
    lifetime_s: float = Field(300.0, ge=60, le=3600)
    test_at: time | None = None

    def ladder(self, on_duty: Sequence[str] = ()) -> Ladder:
        """Return the ladder for the people on duty; with nobody of ours named, everybody is taken to be."""
        present = [one for one in self.people if one.id in on_duty] or self.people
        levels: dict[Priority, tuple[Level, ...]] = {}
        for entry in self.ladders:
            made = tuple(Level(_people(level.to, present), level.wait_s) for level in entry.levels)
            levels |= dict.fromkeys(entry.priorities, made)
        times: dict[Priority, float] = self.repeat_s.model_dump()  # type: ignore[assignment]
        every = {name: value for name, value in times.items() if value > 0}
        return Ladder(levels, every, tuple(on_duty))


def _people(names: list[str], present: list[Person]) -> tuple[str, ...]:
    found = (
        one.id for name in names for one in present if name in (one.id, *map("role:{}".format, one.roles))
    )
    return tuple(dict.fromkeys(found))


class Watchdog(_Strict):
    """Somebody outside, told every ``ping_every_s`` seconds that we live, who notices when that ends."""

    ping_url_env: str = ""
    ping_url_file: str = ""
    ping_every_s: float = Field(30.0, ge=5, le=600)

    def ping_url(self) -> str:
        """Return the address to ask; empty when none is configured."""
        return read_secret(self.ping_url_env, self.ping_url_file)


class Pair(_Strict):
    """Two monitors for one site (``docs/pair.md``): ``name`` is this one's; without it we are alone.

    Both have the same secret, by environment or file; ``lease_s`` is how long the active one may be silent.
    """

    name: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9_-]{0,30})?$")] = ""
    secret_env: str = ""
    secret_file: str = ""
    lease_s: float = Field(6.0, ge=3, le=8)

    def secret(self) -> str:
        """Return the secret; empty when none is configured."""
        return read_secret(self.secret_env, self.secret_file)


class Clinic(_Strict):
    """``clinic.toml``."""

    site: Site = Site()
    broker: Broker = Broker()
    store: Store = Store()
    series: Series = Series()
    fhir: Fhir = Fhir()
    web: Web = Web()
    notify: Notify = Notify()
    watchdog: Watchdog = Watchdog()
    pair: Pair = Pair()


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

    @property
    def simulated(self) -> bool:
        """Say whether it is a drill's; a format without a place for the mode cannot tell (S-10)."""
        return self.id.startswith(SIMULATED)

    def zoneinfo(self) -> ZoneInfo | None:
        """Return the device's time zone, for times without an offset."""
        return ZoneInfo(self.zone) if self.zone else None


class Ward(_Strict):
    """``beds.toml``."""

    beds: list[BedEntry] = Field(min_length=1)
    devices: list[DeviceEntry] = []


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
