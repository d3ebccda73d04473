"""The ``afterwatch`` command as a person runs it: what it prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY


def afterwatch(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "monitor", *arguments],
        input=given,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=100,
        check=False,
    )


def test_every_command_explains_itself_and_its_exit_codes() -> None:
    """DESIGN §4: ``--help`` is complete; exit codes are documented; the label stands there."""
    whole = afterwatch("--help")
    assert whole.returncode == 0
    assert "Not a primary alarm" in whole.stdout
    for name in (
        "demo",
        "run",
        "check",
        "users",
        "sessions",
        "replay",
        "decode",
        "report",
        "import",
        "verify",
    ):
        one = afterwatch(name, "--help")
        assert one.returncode == 0
        assert "exit codes:" in one.stdout, name


def test_check_prints_every_limit_in_words_with_its_source() -> None:
    """Issue 2: `afterwatch check` prints the effective limits in clinical words."""
    said = afterwatch("check")
    assert said.returncode == 0, said.stderr
    assert "SpO2 below 90 %: high" in said.stdout
    assert "systolic 180 mm[Hg] or above: high" in said.stdout
    lines = [line for line in said.stdout.splitlines() if line.startswith("  ") and ":" in line]
    unsourced = [line for line in lines if "[" not in line and "reviewed by" not in line]
    assert not unsourced


def test_check_lists_every_mistake_with_file_key_and_remedy(tmp_path: Path) -> None:
    """P-49, DESIGN §4: a configuration that is not understood stops the start, all mistakes at once."""
    (tmp_path / "clinic.toml").write_text('[site]\nid = "X Y"\n[broker]\nport = "1883"\n[web]\nprt = 1\n')
    (tmp_path / "beds.toml").write_text('[[beds]]\nid = "a"\n[[beds]]\nid = "a"\n')
    said = afterwatch("check", "--config", str(tmp_path))
    assert said.returncode == 3
    for words in ("site.id", "broker.port", "web.prt", "protocols/", "->"):
        assert words in said.stderr, said.stderr


def test_decode_shows_what_we_make_of_a_native_payload() -> None:
    """Issue 2: one JSON line for each value, with validity and reason."""
    payload = '{"measured_at":"2026-11-23T10:00:00Z","values":{"spo2":97,"pulse_rate":-1}}'
    said = afterwatch("decode", "--format", "native", "-", given=payload)
    assert said.returncode == 0, said.stderr
    rows = {row["metric"]: row for row in map(json.loads, said.stdout.splitlines())}
    assert rows["spo2"]["value"] == 97
    assert rows["spo2"]["unit"] == "%"
    assert rows["spo2"]["validity"] == "valid"
    assert rows["pulse_rate"]["value"] is None
    assert rows["pulse_rate"]["validity"] == "invalid"
    assert "no value" in rows["pulse_rate"]["reason"]


def test_decode_ends_with_3_and_the_reason_when_a_payload_would_be_quarantined() -> None:
    """Issue 2, P-25: what cannot be decoded is named, not guessed."""
    said = afterwatch("decode", "--format", "native", "-", given="not json")
    assert said.returncode == 3
    assert said.stderr.startswith("quarantined: ")


def write_csv(file: Path, rows: list[str], head: str = "measured_at,metric,value") -> Path:
    """Write a recording."""
    file.write_text("\n".join([head, *rows, ""]))
    return file


def falling(seconds: int = 120) -> list[str]:
    """Return a saturation that falls to 84 % after a minute."""
    return [f"{second},spo2,{97 if second < 60 else 84}" for second in range(seconds)]


def test_replay_prints_one_outcome_a_line_with_all_that_explains_it(tmp_path: Path) -> None:
    """Issue 2, P-44: each alarm carries rule, kind, priority, metric, value and reason."""
    file = write_csv(tmp_path / "falling.csv", falling())
    said = afterwatch("replay", str(file), "--protocol", "iv-ketamine", "--jsonl")
    assert said.returncode == 0, said.stderr
    outcomes = [json.loads(line) for line in said.stdout.splitlines()]
    raised = [one for one in outcomes if one["outcome"] == "AlarmRaised" and one["rule"] == "spo2-low-urgent"]
    assert len(raised) == 1
    alarm = raised[0]
    assert (alarm["kind"], alarm["priority"], alarm["metric"]) == ("physiological", "high", "spo2")
    assert alarm["value"] == 84
    assert alarm["alarm_id"]
    assert "below 90" in alarm["reason"]
    assert alarm["at"].startswith("2026-01-01T00:01:")


def test_replay_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    """R-06: the same recording gives the same outcomes, ids included."""
    file = write_csv(tmp_path / "falling.csv", falling())
    first, second = (afterwatch("replay", str(file), "--jsonl").stdout for _ in range(2))
    assert first
    assert first == second


def test_replay_uses_what_it_can_and_names_the_lines_it_cannot(tmp_path: Path) -> None:
    """Bad input gets an error that names line and remedy; the rest is replayed all the same."""
    rows = [*falling(), "yesterday,spo2,90", "130,oxygen,90"]
    said = afterwatch("replay", str(write_csv(tmp_path / "some.csv", rows)), "--jsonl")
    assert said.returncode == 1
    assert "line 122" in said.stderr
    assert "line 123" in said.stderr
    assert "spo2-low-urgent" in said.stdout


@pytest.mark.parametrize(
    ("head", "words"),
    [("speed,metric,value", "measured_at"), ("measured_at,metric", "value"), ("", "measured_at")],
)
def test_replay_refuses_a_file_without_its_columns(tmp_path: Path, head: str, words: str) -> None:
    """The error names the file, the line and what to write."""
    said = afterwatch("replay", str(write_csv(tmp_path / "other.csv", ["1,spo2,97"], head)))
    assert said.returncode == 3
    assert words in said.stderr
    assert "line 1" in said.stderr


def test_a_reading_received_late_is_charted_and_never_alarms_now(tmp_path: Path) -> None:
    """AL-32: received minutes after it was measured, a deep value raises no physiological alarm."""
    rows = [f"{second},spo2,97,{second}" for second in range(60)]
    rows += [f"{second},spo2,80,{second + 600}" for second in range(60, 120)]
    head = "measured_at,metric,value,received_at"
    said = afterwatch("replay", str(write_csv(tmp_path / "late.csv", rows, head)), "--jsonl")
    assert said.returncode == 0, said.stderr
    physiological = [
        one
        for one in map(json.loads, said.stdout.splitlines())
        if one["outcome"] == "AlarmRaised" and one["kind"] == "physiological"
    ]
    assert physiological == []


def test_people_are_made_listed_and_removed(tmp_path: Path) -> None:
    """Issue 2: users made by `afterwatch users`; no password is ever on the command line."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "protocols").symlink_to(REPOSITORY / "config" / "protocols")
    (folder / "clinic.toml").write_text('[store]\npath = "store"\n')
    (folder / "beds.toml").write_text('[[beds]]\nid = "bed-1"\n')
    secret = tmp_path / "password"
    secret.write_text("a long enough password\n")
    made = afterwatch(
        *("users", "add", "nina", "--role", "nurse", "--password-file", str(secret), "--config", str(folder))
    )
    assert made.returncode == 0, made.stderr
    listed = afterwatch("users", "--config", str(folder))
    assert listed.stdout.split() == ["nina", "nurse"]
    assert "a long enough password" not in (folder / "store" / "users.json").read_text()
    assert afterwatch("users", "remove", "nina", "--config", str(folder)).returncode == 0
    assert afterwatch("users", "--config", str(folder)).stdout == ""


def test_a_port_that_is_taken_is_named_with_its_remedy() -> None:
    """Exit 4, and what to do; the cause is not hidden by the tidying up after it."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = afterwatch("demo", "--port", str(taken.getsockname()[1]), "--no-browser", "--for", "5")
    assert said.returncode == 4
    assert "use --port 0" in said.stderr
    assert "Traceback" not in said.stderr
