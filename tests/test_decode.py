"""``afterwatch decode``: as a stranger tries it, with what they have in hand."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from monitor import decode
from monitor.formats.recognise import recognise
from tests.formats.corpus import HL7
from tests.formats.speech import context
from tests.formats.stories import Story, payload_of, stories


class Said(NamedTuple):
    """What the command said and how it ended."""

    code: int
    rows: list[dict[str, Any]]
    told: str


def say(tmp_path: Path, payload: bytes, *arguments: str) -> Said:
    """Run the command on a payload in a file."""
    file = tmp_path / "payload"
    file.write_bytes(payload)
    parser = argparse.ArgumentParser()
    decode.add_arguments(parser)
    out: list[str] = []
    told: list[str] = []
    code = decode.run(parser.parse_args([str(file), *arguments]), out.append, told.append)
    return Said(code, out if "--text" in arguments else [json.loads(line) for line in out], "\n".join(told))


STORIES = [
    story
    for name in ("hl7v2", "fhir", "gatt", "gateways")
    for story in stories(name)
    if not {"refused", "nothing", "options", "zone", "retained"} & story.keys()
]
ALIKE = {"keymap": {"keymap", "thingsboard", "esphome"}, "thingsboard": {"thingsboard", "keymap"}}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story['format']}-{story['name'][:30]}")
def test_the_format_is_found(story: Story) -> None:
    """Issue 7.7: who does not know the format need not name it."""
    found = recognise(payload_of(story), context(story.get("topic", "")))
    assert found is not None
    assert found.format in ALIKE.get(story["format"], {story["format"]})


def test_every_value_has_its_reason(tmp_path: Path) -> None:
    """Issue 7.7: kept, converted or refused: each row says why; the format that was found is told."""
    payload = HL7.replace(b"|72|264864", b"|-100|264864").replace(b"|36.8|268192", b"|98.6|[degF]")
    said = say(tmp_path, payload, "--received-at", "2026-11-23T12:00:00Z")
    assert (said.code, said.told) == (0, "format: hl7v2")
    reasons = {row["metric"]: row["reason"] for row in said.rows}
    assert reasons["spo2"] == "as sent"
    assert "sign for no value" in reasons["heart_rate"]
    assert "converted from [degF]" in reasons["temperature"]


def test_the_wrong_format_gets_a_hint(tmp_path: Path) -> None:
    """Issue 7.7: a payload that another format reads says so, quarantined or merely empty."""
    said = say(tmp_path, HL7, "--format", "fhir")
    assert said.code == 3
    assert said.told.startswith("quarantined: not JSON")
    assert "try --format hl7v2" in said.told
    said = say(tmp_path, b'{"spo2": 97}', "--format", "tasmota", "--topic", "tele/x/RESULT")
    assert said.code == 0
    said = say(
        tmp_path, b'{"mac":"AA:BB:CC:DD:EE:01","char":"2A37","value":"0048"}', "--format", "zigbee2mqtt"
    )
    assert (said.code, said.rows[0]["metric"]) == (0, None)
    assert "try --format gatt" in said.told


def test_what_no_rule_knows_is_named(tmp_path: Path) -> None:
    """Issue 7.7: so that it can be named in the options."""
    said = say(tmp_path, b'{"spo2": 97, "o2_idx": 12}', "--format", "keymap")
    assert said.told == "not read, for no rule knows them (name them in options): o2_idx"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "hl7"], "no format 'hl7'; known are auto, native, hl7v2"),
        (["--zone", "Berlin"], "write it like Europe/Berlin"),
        (["--received-at", "noon"], "no ISO 8601 time"),
        (["--options", "{"], "not JSON"),
        (["--options", "[1]"], "must be a JSON object"),
        (["--options", '{"identity": "topic"}'], "name it with --format"),
        (["--format", "hl7v2", "--options", '{"identity": "x"}'], "options.identity is 'x'"),
    ],
)
def test_wrong_use_names_the_argument_and_the_remedy(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    """DESIGN §4: exit 2, and what to write instead."""
    said = say(tmp_path, b"{}", *arguments)
    assert said.code == 2
    assert words in said.told


def test_lines_for_people(tmp_path: Path) -> None:
    """Issue 7.7: --text."""
    said = say(tmp_path, b'{"spo2": 97, "pulse": -1}', "--text", "--received-at", "2026-11-23T12:00:00")
    assert "spo2               97 %           valid         2026-11-23T12:00:00Z (arrival)  as sent" in str(
        said.rows
    )
    assert "no value" in str(said.rows)


def test_what_nobody_can_read_is_quarantined_with_its_reason(tmp_path: Path) -> None:
    """P-25: exit 3."""
    said = say(tmp_path, b"\x00\x01\x02 hello")
    assert said.code == 3
    assert "format: none finds a value in it" in said.told
    assert "quarantined: not JSON" in said.told


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """DESIGN §4: the command line says which file."""
    parser = argparse.ArgumentParser()
    decode.add_arguments(parser)
    with pytest.raises(OSError, match="nowhere"):
        decode.run(parser.parse_args([str(tmp_path / "nowhere")]))
