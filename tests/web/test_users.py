"""People and their secrets."""

from __future__ import annotations

import json
from pathlib import Path

import argon2
import pytest

from monitor.web.users import PIN_TRIES, UserError, Users, signing_key

PASSWORD = "correct horse battery"


@pytest.fixture
def users(tmp_path: Path) -> Users:
    """Give a list with one nurse."""
    found = Users(tmp_path / "users.json")
    found.add("Nora Müller", PASSWORD, ("nurse",))
    return found


def test_a_person_is_known_by_the_right_password_only(users: Users) -> None:
    """164.312(d): person authentication; capital letters of the name make no difference."""
    assert users.verify("nora müller", PASSWORD) is not None
    assert users.verify("Nora Müller", PASSWORD + "x") is None
    assert users.verify("Nobody", PASSWORD) is None


def test_the_file_holds_no_password_and_is_readable_by_its_owner_only(users: Users) -> None:
    """ASVS V13.3.1: no secret can be read back from what is stored."""
    users.set_pin("Nora Müller", "4711")
    text = users.path.read_text(encoding="utf-8")
    assert PASSWORD not in text
    assert "4711" not in text
    assert "$argon2id$" in text
    assert users.path.stat().st_mode & 0o777 == 0o600


def test_a_change_by_another_process_counts_at_once(users: Users) -> None:
    """`afterwatch users` changes the file while the monitor runs."""
    other = Users(users.path)
    other.add("Otto", PASSWORD, ("operator",))
    assert users.verify("Otto", PASSWORD) is not None
    other.remove("Otto")
    assert users.find("Otto") is None


def test_a_new_password_ends_older_sign_ins(users: Users) -> None:
    """ASVS V7.4.3: what was stolen with the old password is worth nothing after the change."""
    before = users.find("Nora Müller")
    users.set_password("Nora Müller", "another long password")
    after = users.find("Nora Müller")
    assert before is not None
    assert after is not None
    assert after.generation > before.generation


def test_a_link_signs_in_once(users: Users) -> None:
    """The link that `afterwatch demo` prints is for one person, once, and only its hash is kept."""
    path = users.sign_in_link("Nora Müller")
    token = path.split("token=")[1]
    assert token not in users.path.read_text(encoding="utf-8")
    account = Users(users.path).redeem(token)
    assert account is not None
    assert account.name == "Nora Müller"
    assert users.redeem(token) is None


def test_an_old_link_is_refused(users: Users) -> None:
    """A link left in a terminal's history opens nothing later."""
    token = users.sign_in_link("Nora Müller", lasts_s=-1).split("token=")[1]
    assert users.redeem(token) is None


def test_an_unknown_name_costs_as_much_as_a_wrong_password(users: Users) -> None:
    """ASVS V6.3.8: how long the answer takes does not tell whether somebody works here."""
    nobody = argon2.extract_parameters(users._nobody)
    assert nobody == argon2.extract_parameters(argon2.PasswordHasher().hash("x"))


def test_wrong_pins_lock_until_a_full_sign_in(users: Users) -> None:
    """A four-digit PIN is worth its length only if it cannot be tried out."""
    users.set_pin("Nora Müller", "4711")
    assert users.verify_pin("Nora Müller", "4711") is not None
    for _ in range(PIN_TRIES):
        assert users.verify_pin("Nora Müller", "0815") is None
    assert users.verify_pin("Nora Müller", "4711") is None
    users.unlock_pin("Nora Müller")
    assert users.verify_pin("Nora Müller", "4711") is not None


@pytest.mark.parametrize(
    ("name", "password", "roles", "words"),
    [
        ("", PASSWORD, ["nurse"], "no name"),
        ("<b>", PASSWORD, ["nurse"], "no name"),
        ("x" * 41, PASSWORD, ["nurse"], "no name"),
        ("Zoe", "short", ["nurse"], "too short"),
        ("Zoe", PASSWORD, ["doctor"], "unknown role"),
        ("Zoe", PASSWORD, [], "unknown role"),
        ("nora  müller", PASSWORD, ["nurse"], "exists already"),
    ],
)
def test_what_cannot_be_added_says_why(
    users: Users, name: str, password: str, roles: list[str], words: str
) -> None:
    """DESIGN §7: an error names the place and the remedy."""
    with pytest.raises(UserError, match=words):
        users.add(name, password, roles)


def test_the_file_is_whole_after_a_write_that_fails(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is replaced whole or not at all: a full disk costs the change, never the people."""

    def full(_handle: int, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("monitor.web.users.os.write", full)
    with pytest.raises(OSError, match="No space"):
        users.add("Zoe", PASSWORD, ["nurse"])
    monkeypatch.undo()
    kept = json.loads(users.path.read_text(encoding="utf-8"))
    assert [one["name"] for one in kept["users"]] == ["Nora Müller"]
    assert Users(users.path).find("Zoe") is None


def test_the_signing_key_is_made_once_and_private(tmp_path: Path) -> None:
    """Sign-ins survive a restart because the key does."""
    path = tmp_path / "cookie.key"
    key = signing_key(path)
    assert len(key) == 64
    assert signing_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
