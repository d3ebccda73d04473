"""What is wrong in the files although every key has its shape.

Law: every mistake is found, and each names file, key and remedy. A name that points at nothing, a circle and
a value that contradicts another are mistakes; nothing is mended silently.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from monitor.config.entries import (
    Broker,
    Clinic,
    DeviceEntry,
    Fhir,
    Notify,
    Pair,
    Series,
    Store,
    Target,
    Ward,
)
from monitor.core.protocol import Protocol, Watch
from monitor.core.vitals import METRICS
from monitor.formats import FORMATS

CLINIC, BEDS = "clinic.toml", "beds.toml"
SECRET_LETTERS = 16
ZONE_REMEDY = "use an IANA name such as 'Europe/Berlin'"


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


def clinic_mistakes(clinic: Clinic, beds: Collection[str] | None) -> Iterator[Mistake]:
    """Yield what is wrong in ``clinic.toml``; ``beds`` are the ids of all beds, if they are known."""
    if not _zone_exists(clinic.site.zone):
        yield Mistake(CLINIC, "site.zone", f"no time zone {clinic.site.zone!r}", ZONE_REMEDY)
    yield from _broker(clinic.broker)
    yield from _store(clinic.store)
    yield from _series(clinic.series)
    yield from _fhir(clinic.fhir)
    yield from _targets(clinic.notify.targets)
    yield from _routes(clinic.notify, beds)
    yield from _people(clinic.notify)
    yield from _ladders(clinic.notify)
    yield from _pair(clinic.pair)


def ward_mistakes(ward: Ward, protocols: dict[str, Protocol]) -> Iterator[Mistake]:
    """Yield what is wrong in ``beds.toml``."""
    beds = dict.fromkeys(bed.id for bed in ward.beds)
    for name in sorted(_repeated(bed.id for bed in ward.beds)):
        yield Mistake(BEDS, f"beds ({name})", "the same id twice", "give each bed its own")
    if "station" in beds:
        yield Mistake(BEDS, "beds (station)", "'station' is the monitor's own place", "rename the bed")
    watched = {watch.metric: watch for protocol in protocols.values() for watch in protocol.watch}
    seen: set[str] = set()
    for device in ward.devices:
        key = f"devices ({device.id})"
        if device.id in seen:
            remedy = "give each device its own; a device serves one bed (AL-53)"
            yield Mistake(BEDS, key, "the same id twice", remedy)
        seen.add(device.id)
        yield from _device(device, key, beds)
        yield from _metrics(device, key, watched)
    yield from _mixed(ward)


# --- clinic.toml --------------------------------------------------------------------------------------------


def _broker(broker: Broker) -> Iterator[Mistake]:
    if broker.username and not (broker.password_env or broker.password_file):
        remedy = "add password_env or password_file"
        yield Mistake(CLINIC, "broker.username", "a user without a password", remedy)
    if broker.tls_ca and not Path(broker.tls_ca).is_file():
        remedy = "give the path of the broker's CA certificate (PEM)"
        yield Mistake(CLINIC, "broker.tls_ca", f"no file {broker.tls_ca!r}", remedy)


def _store(store: Store) -> Iterator[Mistake]:
    if store.keep_records_days and not 0 < store.keep_readings_days <= store.keep_records_days:
        text = "readings would be kept longer than the sessions they belong to"
        remedy = "give keep_readings_days at most as many days"
        yield Mistake(CLINIC, "store.keep_records_days", text, remedy)


def _series(series: Series) -> Iterator[Mistake]:
    if series.read and not series.url:
        yield Mistake(CLINIC, "series.read", "there is nothing to read from", "add url, or remove read")
    yield from _server("series", series)


# Plain http is for this machine only: records never leave it unencrypted (ALARMS 5).
_ENCRYPTED = re.compile(r"https://[^\s/@]+(/\S*)?|http://(127\.0\.0\.1|localhost)(:\d+)?(/\S*)?")


def _fhir(server: Fhir) -> Iterator[Mistake]:
    if server.url and not _ENCRYPTED.fullmatch(server.url):
        text = "not an https address without user and password"
        yield Mistake(CLINIC, "fhir.url", text, "give the server's base, such as 'https://ehr.example/fhir'")
    yield from _server("fhir", server)


def _server(name: str, server: Series | Fhir) -> Iterator[Mistake]:
    """Yield what is wrong with how we sign in to a server that records or readings go to."""
    if server.url and (server.token_env or server.token_file) and not server.token():
        place = server.token_env or server.token_file
        remedy = "set it, or remove the key"
        yield Mistake(CLINIC, f"{name}.token", f"{place} is not there or empty", remedy)
    if server.tls_ca and not Path(server.tls_ca).is_file():
        remedy = "give the path of the server's CA certificate (PEM)"
        yield Mistake(CLINIC, f"{name}.tls_ca", f"no file {server.tls_ca!r}", remedy)


def _pair(pair: Pair) -> Iterator[Mistake]:
    remedy = "give both the same secret, such as 32 random bytes in hex, by secret_env or secret_file"
    if pair.name and len(pair.secret()) < SECRET_LETTERS:
        text = f"the secret is not there, or shorter than {SECRET_LETTERS} letters"
        yield Mistake(CLINIC, "pair.secret_file", text, remedy)
    if not pair.name and (pair.secret_env or pair.secret_file):
        remedy = "give each of the two its own, or remove [pair]"
        yield Mistake(CLINIC, "pair.name", "a pair without a name for this monitor", remedy)


def _targets(targets: list[Target]) -> Iterator[Mistake]:
    names = [target.id for target in targets]
    onward = {target.id: target.fallback for target in targets}
    for name in sorted(_repeated(names)):
        yield Mistake(CLINIC, f"notify.targets ({name})", "the same id twice", "give each target its own")
    for target in targets:
        key = f"notify.targets ({target.id})"
        yield from _address(target, key)
        if target.fallback and target.fallback not in onward:
            remedy = "use the id of a [[notify.targets]]"
            yield Mistake(CLINIC, f"{key}.fallback", f"no target {target.fallback!r}", remedy)
        elif _returns(target.id, onward):
            remedy = "let one target of the circle have no fallback"
            yield Mistake(CLINIC, f"{key}.fallback", "the fallbacks go round in a circle", remedy)


def _address(target: Target, key: str) -> Iterator[Mistake]:
    if sum(map(bool, (target.url, target.url_env, target.url_file))) != 1:
        remedy = "keep one; a URL with a secret belongs in a file"
        yield Mistake(CLINIC, key, "needs exactly one of url, url_env and url_file", remedy)
    elif not target.resolve():
        place = f"environment variable {target.url_env}" if target.url_env else f"file {target.url_file}"
        yield Mistake(CLINIC, key, f"{place} is not there or empty", "set it, or remove the target")
    elif target.url and _holds_secret(target.url):
        remedy = "move it to url_env or url_file"
        yield Mistake(CLINIC, f"{key}.url", "a URL with a password stands in TOML", remedy)


def _returns(name: str, onward: dict[str, str]) -> bool:
    """Say whether following the fallbacks from a target comes back to it."""
    at = onward[name]
    for _ in onward:
        if at == name:
            return True
        at = onward.get(at, "")
    return False


def _routes(notify: Notify, beds: Collection[str] | None) -> Iterator[Mistake]:
    known = {target.id for target in notify.targets}
    for number, route in enumerate(notify.routes, 1):
        key = f"notify.routes[{number}]"
        yield from _unknown(f"{key}.targets", "target", route.targets, known, "[[notify.targets]]")
        if beds is not None:
            yield from _unknown(f"{key}.beds", "bed", route.beds, beds, "bed in beds.toml")


def _people(notify: Notify) -> Iterator[Mistake]:
    known = {target.id for target in notify.targets}
    for name in sorted(_repeated(person.id for person in notify.people)):
        yield Mistake(CLINIC, f"notify.people ({name})", "the same id twice", "give each person their own")
    for person in notify.people:
        key = f"notify.people ({person.id}).targets"
        yield from _unknown(key, "target", person.targets, known, "[[notify.targets]]")


def _ladders(notify: Notify) -> Iterator[Mistake]:
    known = {person.id for person in notify.people}
    known |= {f"role:{role}" for person in notify.people for role in person.roles}
    for name in sorted(_repeated(one for ladder in notify.ladders for one in ladder.priorities)):
        remedy = "keep each priority in one [[notify.ladders]]"
        yield Mistake(CLINIC, "notify.ladders", f"priority {name!r} has two ladders", remedy)
    for number, ladder in enumerate(notify.ladders, 1):
        for level, entry in enumerate(ladder.levels, 1):
            key = f"notify.ladders[{number}].levels[{level}].to"
            yield from _unknown(
                key, "person or role", entry.to, known, "[[notify.people]], or role:their-role"
            )


def _unknown(
    key: str, what: str, names: Iterable[str], known: Collection[str], where: str
) -> Iterator[Mistake]:
    for name in names:
        if name not in known:
            yield Mistake(CLINIC, key, f"no {what} {name!r}", f"use the id of a {where}")


def _holds_secret(url: str) -> bool:
    return bool(re.match(r"^[a-z0-9+.-]+://[^/@]*:[^/@]+@", url, re.IGNORECASE))


# --- beds.toml ----------------------------------------------------------------------------------------------


def _device(device: DeviceEntry, key: str, beds: Collection[str]) -> Iterator[Mistake]:
    if device.bed is not None and device.bed not in beds:
        yield Mistake(BEDS, f"{key}.bed", f"no bed {device.bed!r}", f"use one of {', '.join(beds)}")
    if device.format not in FORMATS:
        remedy = f"use one of {', '.join(FORMATS)}"
        yield Mistake(BEDS, f"{key}.format", f"no format {device.format!r}", remedy)
    else:
        for said in FORMATS[device.format].check(device.options):
            option, _, text = said.partition(": ")
            yield Mistake(BEDS, f"{key}.{option}", text or said, "see the format in docs/devices.md")
    if device.zone and not _zone_exists(device.zone):
        yield Mistake(BEDS, f"{key}.zone", f"no time zone {device.zone!r}", ZONE_REMEDY)
    if not _topic_is_sound(device.topic):
        remedy = "'+' and '#' stand alone between slashes, '#' last"
        yield Mistake(BEDS, f"{key}.topic", f"{device.topic!r} is no topic filter", remedy)


def _metrics(device: DeviceEntry, key: str, watched: dict[str, Watch]) -> Iterator[Mistake]:
    for metric in device.metrics:
        if metric not in METRICS:
            remedy = f"use one of {', '.join(METRICS)}"
            yield Mistake(BEDS, f"{key}.metrics", f"unknown metric {metric!r}", remedy)
        elif metric in watched and device.expected_interval_s * 2.5 > watched[metric].medium_after_s:
            slow = f"{device.expected_interval_s:g} s is too slow to watch {metric}"
            remedy = f"use a device that reports at least every {watched[metric].medium_after_s / 2.5:g} s"
            yield Mistake(
                BEDS, f"{key}.expected_interval_s", f"{slow} (silence is noticed at 2.5 periods)", remedy
            )


def _mixed(ward: Ward) -> Iterator[Mistake]:
    """Yield simulated devices whose topic takes in a real one: it would pass for a drill's (S-10)."""
    real = [one for one in ward.devices if one.topic and not one.simulated]
    remedy = "give simulated devices topics of their own (`drill ward --devices` prints some)"
    for device in ward.devices:
        if not device.simulated or not device.topic:
            continue
        taken = [one.id for one in real if _covers(device.topic, one.topic)]
        taken += ["the native topics"] if device.topic.split("/")[0] in ("+", "#", "afterwatch") else []
        if taken:
            text = f"{device.topic!r} takes in {', '.join(taken)}: no simulated device"
            yield Mistake(BEDS, f"devices ({device.id}).topic", text, remedy)


def _covers(wide: str, narrow: str) -> bool:
    """Say whether a topic filter takes in all of another."""
    levels, others = wide.split("/"), narrow.split("/")
    if levels[-1] == "#":
        levels, others = levels[:-1], others[: len(levels) - 1]
    return len(levels) == len(others) and all(a in ("+", b) for a, b in zip(levels, others, strict=True))


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


def _repeated(names: Iterable[str]) -> set[str]:
    return {name for name, times in Counter(names).items() if times > 1}
