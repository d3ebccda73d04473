"""The HL7 v2 reader reads every message as the hl7 library does, and what that cannot read too."""

from __future__ import annotations

from pathlib import Path

import hl7
import pytest

from monitor.formats import Undecodable
from monitor.formats.er7 import component_of, field_of, read_messages, read_text, unescape
from tests.formats.corpus import HL7
from tests.formats.stories import Story, payload_of, stories


def library_fields(text: str) -> list[list[str]]:
    """Read a message with the library: segments of raw fields, the name first."""
    lines = "\r".join(line for line in text.replace("\n", "\r").split("\r") if line.strip())
    return [[str(field) for field in segment] for segment in hl7.parse(lines)]


def own_fields(payload: bytes) -> list[list[str]]:
    """Read a message with ours."""
    (message,) = read_messages(payload)
    return [[field.strip() for field in segment] for segment in message.segments]


def same(payload: bytes) -> None:
    """Compare segment for segment, field for field."""
    theirs = [[field.strip() for field in segment] for segment in library_fields(read_text(payload))]
    assert own_fields(payload) == theirs


def test_our_sample_is_read_alike() -> None:
    """Issue 7.1: the syntax is judged by a kept HL7 library."""
    same(HL7)


@pytest.mark.parametrize("folder", ["hl7", "pcd01"])
def test_every_recording_is_read_alike(shared_data: Path, folder: str) -> None:
    """Issue 7.1: as for our own sample."""
    files = [file for file in (shared_data / folder).iterdir() if file.suffix != ".json"]
    assert files
    for file in files:
        same(file.read_bytes())


@pytest.mark.parametrize("story", stories("hl7v2"), ids=lambda story: story["name"].split(",")[0])
def test_every_makers_message_is_read_alike(story: Story) -> None:
    """Issue 7.1: as for our own sample."""
    same(payload_of(story))


def test_other_separators_are_obeyed() -> None:
    """HL7 2.5: MSH-1 and MSH-2 say what separates."""
    (message,) = read_messages(b"MSH#*~\\&#A*B#C\rOBX#1#NM#1*HR*MDC##72\r")
    assert component_of(field_of(message.segments[1], 3), 1, message.separators) == "HR"
    assert field_of(message.segments[0], 3) == "A*B"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"a\F\b", "a|b"),
        (r"\S\\T\\R\\E", "^&~\\E"),
        (r"\X4142\x", "ABx"),
        (r"\H\bold\N", r"\H\bold\N"),
        ("50%", "50%"),
    ],
)
def test_escapes(written: str, read: str) -> None:
    """HL7 2.7: escapes are undone, formatting commands are left."""
    (message,) = read_messages(HL7)
    assert unescape(written, message.separators) == read


@pytest.mark.parametrize(
    ("charset", "codec"),
    [("UNICODE UTF-8", "utf-8"), ("8859/1", "iso8859-1"), ("GB 18030-2000", "gb18030"), ("", "utf-8")],
)
def test_character_sets(charset: str, codec: str) -> None:
    """HL7 table 0211: the text is in the set that MSH-18 names."""
    text = f"MSH|^~\\&|||||||ORU^R01|1|P|2.6||||||{charset}\rPID|||é^\u00e5\r"
    (message,) = read_messages(text.encode(codec))
    assert field_of(message.segments[1], 3) == "é^\u00e5"


def test_a_batch_holds_several_messages() -> None:
    """HL7 2.10.3: FHS, BHS, BTS and FTS around several messages."""
    assert len(read_messages(b"FHS|^~\\&\rBHS|^~\\&\r" + HL7 + HL7 + b"BTS|2\rFTS|1\r")) == 2


def test_without_msh_there_is_no_message() -> None:
    """P-25: the reason names what to check."""
    with pytest.raises(Undecodable, match="topic and format belong together"):
        read_messages(b"PID|1\r")
