"""What a monitor must know of simulated devices: the records of a plan, and the lines of ``beds.toml``.

Law: what is printed here is what the devices speak; a monitor that has these lines reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from simulators.speech import LANGUAGES


def device_record(
    device_id: str, kind: str, metrics: Sequence[str], interval_s: float, speaks: str = "native"
) -> dict[str, Any]:
    """Return a device as ``beds.toml`` would name it, with what its language needs there."""
    language = LANGUAGES[speaks]
    record = {
        "device_id": device_id,
        "kind": kind,
        "metrics": list(metrics),
        "expected_interval_s": interval_s,
        "format": language.format,
    }
    needs = {
        "topic": language.topic.format(id=device_id),
        "address": language.address.format(id=device_id),
        "zone": language.zone,
        "options": dict(language.options),
    }
    return record | {key: value for key, value in needs.items() if value}


def beds_toml(records: Sequence[Mapping[str, Any]]) -> str:
    """Return what ``beds.toml`` needs, so that a monitor watches the beds of a plan."""
    rows: list[str] = []
    for bed in records:
        rows += ["[[beds]]", f'id = "{bed["bed_id"]}"', ""]
        for device in bed["devices"]:
            rows += ["[[devices]]", f'id = "{device["device_id"]}"', f'bed = "{bed["bed_id"]}"']
            keys = ("format", "topic", "address", "zone", "metrics", "expected_interval_s", "options")
            rows += [f"{key} = {_toml(device[key])}" for key in keys if key in device]
            rows.append("")
    return "\n".join(rows)


def _toml(value: Any) -> str:
    """Write a value as TOML in one line; texts and lists are as in JSON."""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items())
        return f"{{ {pairs} }}"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
