"""Answer links: one alarm, one recipient, a limited time, and no name."""

from __future__ import annotations

from datetime import timedelta

import pytest
from itsdangerous import TimestampSigner

from monitor.notify import Answer, Answers
from monitor.notify.answer import LinkError

SECRET = b"s" * 32


def answers(secret: bytes = SECRET) -> Answers:
    """Return a maker and reader of links for two people."""
    return Answers(secret, "http://10.0.0.5:8080/", ("anna", "ben"))


def token(link: str) -> str:
    """Return what stands after the path."""
    return link.rpartition("/a/")[2]


def test_a_link_opens_one_alarm_for_one_person() -> None:
    """Issue 4.3: it works on the clinic's own network and says whom it was sent to."""
    link = answers().link("bed-4", "alarm-1", "anna")
    assert link.startswith("http://10.0.0.5:8080/a/")
    assert answers().read(token(link)) == Answer("bed-4", "alarm-1", "anna")


def test_a_link_holds_no_name() -> None:
    """Issue 4.3: answering needs no name in the address; who asked is a digest with our key."""
    import base64

    made = token(answers().link("bed-4", "alarm-1", "anna"))
    payload = made.partition(".")[0]
    assert b"anna" not in base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))


@pytest.mark.parametrize(
    "change", [lambda t: t[:-2] + "xx", lambda t: "x" + t, lambda t: "", lambda t: "a.b.c"]
)
def test_a_changed_link_is_refused(change: object) -> None:
    """S: nobody makes a link but this installation."""
    with pytest.raises(LinkError, match="not valid"):
        answers().read(change(token(answers().link("bed-4", "alarm-1", "anna"))))  # type: ignore[operator]


def test_another_installations_link_is_refused() -> None:
    """A link signed with another secret opens nothing here."""
    with pytest.raises(LinkError, match="not valid"):
        answers().read(token(answers(b"t" * 32).link("bed-4", "alarm-1", "anna")))


def test_an_old_link_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """P-36: a message found in a pocket the next day answers nothing."""
    with monkeypatch.context() as patched:
        patched.setattr(TimestampSigner, "get_timestamp", lambda _: 1_700_000_000)
        old = token(answers().link("bed-4", "alarm-1", "anna"))
    with pytest.raises(LinkError, match="too old"):
        answers().read(old, timedelta(hours=2))


def test_a_person_who_has_left_answers_nothing() -> None:
    """Whoever is no longer in clinic.toml cannot answer with an old link."""
    with pytest.raises(LinkError, match="no longer known"):
        Answers(SECRET, "http://x", ("ben",)).read(token(answers().link("bed-4", "alarm-1", "anna")))


def test_a_short_secret_is_refused() -> None:
    """A secret that can be guessed signs nothing."""
    with pytest.raises(ValueError, match="32 bytes"):
        Answers(b"short", "http://x", ())
