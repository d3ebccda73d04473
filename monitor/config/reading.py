"""Files become a configuration, or a list of everything that is wrong with them.

Law: nothing is guessed and nothing is left out: what is not fully understood stops the start, with every
mistake at once.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from monitor.config.entries import Clinic, DeviceEntry, Ward
from monitor.config.mistakes import ConfigurationError, Mistake, clinic_mistakes, ward_mistakes
from monitor.core import protocol as shapes
from monitor.core.protocol import Protocol
from monitor.core.soundness import problems

T = TypeVar("T")


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
    package = Path(__file__).parent.parent
    packaged = package / "default_config"
    return packaged if packaged.is_dir() else package.parent / "config"


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
        mistakes += clinic_mistakes(clinic, [bed.id for bed in ward.beds] if ward else None)
    if ward is not None:
        mistakes += ward_mistakes(ward, protocols)
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
