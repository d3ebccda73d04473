"""What the active monitor of a pair commits, on its way into the other's journal.

Law: every batch goes through the broker sealed (nobody reads or forges it), in order, and is there when the
broker has said it back. A device's message is confirmed and a person is answered only then, or after
``PATIENCE_S``: a follower that is away never holds up the site. What was not heard is never passed over in
silence: the follower's journal says so, and asks for the state of every bed.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import ConfigDict, TypeAdapter

from monitor.app.lease import NOBODY, Token
from monitor.journal import Batch, Due, Journal, Refused

log = logging.getLogger("afterwatch")

BASE = "pair-base"  # in ``Batch.meta``: this batch holds the state of every bed
KNOWN = "pair"  # in the journal's ``meta``: the newest token, and how far we have followed it
FILES = ("users.json", "cookie.key", "answer.key")  # beside the journal: who may sign in, and by which keys
PATIENCE_S = 4.0  # less than a page waits for an answer
MOST_WAITING = 5_000
FILES_EVERY_S = 2.0
NONCE = 12

# pydantic reads its settings from this attribute.
setattr(Batch, "__pydantic_config__", ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"))  # noqa: B010


class Parcel(NamedTuple):
    """One batch of one term; ``number`` counts from 0 without gaps, ``files`` are those that changed."""

    token: Token
    number: int
    batch: Batch
    files: dict[str, str] = {}  # noqa: RUF012  never changed


_PARCEL = TypeAdapter(Parcel)


class Seal:
    """Encrypts and signs with the pair's secret (AES-256-GCM); the topic is part of what is signed."""

    def __init__(self, secret: str) -> None:
        """Derive the key from a secret that both have."""
        self._box = AESGCM(hashlib.sha256(b"afterwatch pair 1\0" + secret.encode()).digest())

    def close(self, topic: str, plain: bytes) -> bytes:
        """Return what to publish on ``topic``."""
        nonce = secrets.token_bytes(NONCE)
        return nonce + self._box.encrypt(nonce, zlib.compress(plain, 1), topic.encode())

    def open(self, topic: str, sealed: bytes) -> bytes:
        """Return what was closed. Raises ValueError when it is not of our pair."""
        try:
            return zlib.decompress(self._box.decrypt(sealed[:NONCE], sealed[NONCE:], topic.encode()))
        except (InvalidTag, zlib.error, ValueError) as fault:
            raise ValueError("not sealed with this pair's secret") from fault


def dump(parcel: Parcel) -> bytes:
    """Return a parcel as JSON bytes."""
    return _PARCEL.dump_json(parcel)


def load(stored: bytes) -> Parcel:
    """Return the parcel that ``dump`` made. Raises ValueError when the bytes are none."""
    return _PARCEL.validate_json(stored)


# --- the active ---------------------------------------------------------------------------------------------

Then = Callable[[bool], None]


@dataclass(slots=True)
class _Waiting:
    """A parcel that has not come back yet, and what to do when it has."""

    number: int
    body: bytes
    then: list[Then]
    since: float


class Shipper:
    """Ships the batches of one term; ``ship`` is called by the writer's thread, the rest by the pair's."""

    def __init__(
        self, token: Token, folder: Path, publish: Callable[[bytes], None], due: Iterable[Due]
    ) -> None:
        """Prepare; ``due`` are the notifications that wait already."""
        self._token, self._folder, self._publish = token, folder, publish
        self._due = {one.key: one for one in due}
        self._waiting: deque[_Waiting] = deque()
        self._number = -1
        self._files: dict[str, str] = {}
        self._files_at = 0.0
        self._lock = threading.RLock()
        self.now = 0.0  # seconds of the pair's clock
        self.overrun = False  # more waits than is kept: the follower needs the state of every bed

    def ship(self, batch: Batch, then: Then) -> None:
        """Send what was committed; ``then`` hears True when the broker has it, False if it takes too long."""
        with self._lock:
            if not batch:
                if self._waiting:
                    self._waiting[-1].then.append(then)
                else:
                    then(True)
                return
            self._note(batch)
            if BASE in batch.meta:
                batch = replace(batch, due=list(self._due.values()))
            self._number += 1
            body = dump(Parcel(self._token, self._number, batch, self._changed(whole=BASE in batch.meta)))
            self._waiting.append(_Waiting(self._number, body, [then], self.now))
            self._publish(body)

    def rise(self, token: Token) -> None:
        """Go on under another token, from its beginning; what waits under the old one is not followed."""
        with self._lock:
            for one in self._waiting:
                _tell(one.then, came=False)
            self._waiting.clear()
            self._token, self._number = token, -1

    def come_back(self, number: int) -> None:
        """Take note that the broker has said a parcel back, and so has all before it."""
        with self._lock:
            while self._waiting and self._waiting[0].number <= number:
                _tell(self._waiting.popleft().then, came=True)

    def again(self) -> None:
        """Send everything that has not come back (the connection is new)."""
        with self._lock:
            for one in self._waiting:
                self._publish(one.body)

    def look(self, now: float) -> None:
        """Let nobody wait too long."""
        self.now = now
        with self._lock:
            for one in self._waiting:
                if now - one.since < PATIENCE_S:
                    break
                told, one.then = one.then, []
                _tell(told, came=False)
            if len(self._waiting) > MOST_WAITING:
                self._waiting.clear()
                self.overrun = True

    def waiting(self) -> int:
        """Return how many parcels have not come back."""
        return len(self._waiting)

    def _note(self, batch: Batch) -> None:
        cancelled = {alarm_id for alarm_id, _, _ in batch.cancelled}
        if cancelled:
            self._due = {key: one for key, one in self._due.items() if one.alarm_id not in cancelled}
        self._due |= {one.key: one for one in batch.due}
        for settled in batch.settled:
            if settled.final:
                self._due.pop(settled.key, None)

    def _changed(self, *, whole: bool) -> dict[str, str]:
        """Return the files beside the journal that are not as they were shipped, or all of them."""
        if not whole and self.now - self._files_at < FILES_EVERY_S:
            return {}
        self._files_at = self.now
        found = {name: _read(self._folder / name) for name in FILES}
        changed = {
            name: text for name, text in found.items() if text and (whole or self._files.get(name) != text)
        }
        self._files |= changed
        return changed


def _tell(several: Iterable[Then], *, came: bool) -> None:
    for then in several:
        try:
            then(came)
        except Exception:  # one asker that has gone away is nobody else's loss
            log.exception("what follows a shipped batch failed")


def _read(file: Path) -> str:
    try:
        return file.read_bytes().hex()
    except OSError:
        return ""


# --- the follower -------------------------------------------------------------------------------------------


class Follower:
    """Writes what the active commits into the journal of this monitor."""

    def __init__(self, journal: Journal, folder: Path) -> None:
        """Go on where the journal says that we were."""
        self._journal, self._folder = journal, folder
        known: Mapping[str, Any] = orjson.loads(journal.meta().get(KNOWN, "{}"))
        self.token = Token(*known.get("token", NOBODY))
        self.number: int = known.get("number", -1)
        self.whole = False  # the state of every bed is here, as the active has it now

    def take(self, parcels: Iterable[Parcel], now: datetime) -> int:
        """Commit parcels in their order, once each; return how many were new.

        Raises:
            JournalError: the disk refused; nothing was taken, and trying again may help.
        """
        kept = (self.token, self.number, self.whole)
        batches: list[Batch] = []
        files: dict[str, str] = {}
        try:
            for parcel in parcels:
                if (parcel.token, parcel.number) > (self.token, self.number):
                    batches.append(self._follow(parcel, now))
                    files |= parcel.files
            if batches:
                self._journal.commit(batches)
        except BaseException:
            self.token, self.number, self.whole = kept
            raise
        for name, text in files.items():
            _write(self._folder, name, bytes.fromhex(text))
        return len(batches)

    def _follow(self, parcel: Parcel, now: datetime) -> Batch:
        batch = parcel.batch
        expected = self.number + 1 if parcel.token == self.token else 0
        if parcel.number != expected:
            self.whole = False
            why = f"batches {expected} to {parcel.number - 1} of term {parcel.token.number} were not heard; "
            why += f"the journal of monitor {parcel.token.holder} has them"
            log.warning(why)
            batch.quarantined.append(Refused(now, "pair", b"", why))
        if BASE in batch.meta:
            self.whole = True
        self.token, self.number = parcel.token, parcel.number
        batch.meta[KNOWN] = dump_known(self.token, self.number)
        return batch


def dump_known(token: Token, number: int = -1) -> str:
    """Return how far the journal has followed, as it stands in its ``meta``."""
    return orjson.dumps({"token": list(token), "number": number}).decode()


def _write(folder: Path, name: str, body: bytes) -> None:
    """Put one of ``FILES`` in place, whole, readable by us alone."""
    if name not in FILES:
        return
    part = folder / f"{name}.part"
    part.touch(mode=0o600)
    part.write_bytes(body)
    part.replace(folder / name)
