"""The link in a message with which one person answers one alarm.

Law: a link opens one alarm for one recipient for a limited time, and nothing else; it is signed, so that it
cannot be made or changed by anybody else, and it holds no name: the recipient is a keyed digest that only
this installation can match. It answers, it never acknowledges: sound and light in the room stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

VALID_FOR = timedelta(hours=2)  # longer than a session's alarm lasts, shorter than a shift
PATH = "/a/"


class LinkError(ValueError):
    """The link cannot be used; the text says why to the person who opened it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a link stands for: the alarm, its bed, and who was asked (a person's id, or a target's)."""

    bed_id: str
    alarm_id: str
    holder: str


class Answers:
    """Makes and reads links; two with the same secret understand each other, also after a restart."""

    def __init__(self, secret: bytes, base_url: str, holders: Iterable[str]) -> None:
        """Keep the secret (32 random bytes or more), where pages are reached, and who can be asked."""
        if len(secret) < 32:
            raise ValueError("the secret of answer links needs 32 bytes or more")
        self._signer = URLSafeTimedSerializer(
            secret, salt="answer", signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._secret, self._base = secret, base_url.rstrip("/")
        self._holders = {self._digest(one): one for one in holders}

    def link(self, bed_id: str, alarm_id: str, holder: str) -> str:
        """Return the address on which ``holder`` answers an alarm."""
        return f"{self._base}{PATH}{self._signer.dumps([bed_id, alarm_id, self._digest(holder)])}"

    def read(self, token: str, valid_for: timedelta = VALID_FOR) -> Answer:
        """Return what a link's token stands for.

        Raises:
            LinkError: it is not ours, was changed, or is too old.
        """
        try:
            found: Any = self._signer.loads(token, max_age=int(valid_for.total_seconds()))
            bed_id, alarm_id, digest = found
        except SignatureExpired:
            raise LinkError("this link is too old: answer on the wall") from None
        except (BadSignature, ValueError, TypeError):
            raise LinkError("this link is not valid: answer on the wall") from None
        if digest not in self._holders:
            raise LinkError("whoever this link was sent to is no longer known: answer on the wall")
        return Answer(bed_id, alarm_id, self._holders[digest])

    def _digest(self, holder: str) -> str:
        return hashlib.blake2b(holder.encode(), key=self._secret[:64], digest_size=6).hexdigest()
