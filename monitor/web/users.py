"""Who may come in: named people, their roles, passwords, PINs and one-time links, in one file.

Law: every person has a name of their own (45 CFR 164.312(a)(2)(i)); no secret is kept that could be read
back, except the seed of a second factor. The file is replaced whole or not at all, and a change by the
command line counts in a running monitor with the next request.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

Role = Literal["nurse", "clinician", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

NAME = re.compile(r"^[^\W_][\w .'@-]{0,39}$")
PIN = re.compile(r"^\d{4,8}$")
PASSWORD_SHORTEST = 8  # ASVS 5.0 V6.2.1
PIN_TRIES = 5
LINK_LASTS_S = 600.0


class UserError(ValueError):
    """What was asked of the list of users cannot be done; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """One person. ``generation`` grows with every change of rights or secrets and ends older sign-ins."""

    name: str
    roles: tuple[Role, ...]
    password: str = ""
    pin: str = ""
    pin_failures: int = 0
    factor: str = ""
    generation: int = 1
    on_duty: bool = False


class Users:
    """The list of people in ``path`` (JSON, readable by its owner only)."""

    def __init__(self, path: Path) -> None:
        """Read the file; it is made with the first person."""
        self.path = path
        self._hasher = PasswordHasher()
        self._nobody = _no_password(self._hasher)
        self._lock = threading.RLock()
        self._seen: tuple[int, int, int] | None = None
        self._accounts: dict[str, Account] = {}
        self._links: dict[str, dict[str, Any]] = {}
        self._revoked: dict[str, float] = {}

    # --- reading ------------------------------------------------------------------------------------

    def list(self) -> Sequence[Account]:
        """Return every account, by name."""
        with self._lock:
            self._load()
            return sorted(self._accounts.values(), key=lambda one: one.name.lower())

    def find(self, name: str) -> Account | None:
        """Return the account of that name; capital letters make no difference."""
        with self._lock:
            self._load()
            return self._accounts.get(_key(name))

    def verify(self, name: str, password: str) -> Account | None:
        """Return the account if the password is right; an unknown name takes as long as a wrong password."""
        found = self.find(name)
        kept = found.password if found is not None and found.password else self._nobody
        return found if self._matches(kept, password) and found is not None and found.password else None

    def verify_pin(self, name: str, pin: str) -> Account | None:
        """Return the account if the PIN is right; five wrong ones lock it until the next full sign-in."""
        found = self.find(name)
        if found is None or not found.pin or found.pin_failures >= PIN_TRIES:
            self._matches(self._nobody, pin)
            return None
        right = self._matches(found.pin, pin)
        failures = 0 if right else found.pin_failures + 1
        if failures != found.pin_failures:
            self._change(name, pin_failures=failures)
        return found if right else None

    def unlock_pin(self, name: str) -> None:
        """Forget wrong PINs: the person has signed in fully."""
        found = self.find(name)
        if found is not None and found.pin_failures:
            self._change(name, pin_failures=0)

    def _matches(self, kept: str, given: str) -> bool:
        try:
            return self._hasher.verify(kept, given)
        except (VerificationError, InvalidHashError):
            return False

    # --- changing -----------------------------------------------------------------------------------

    def add(self, name: str, password: str, roles: Sequence[str] = ("nurse",)) -> Account:
        """Add a person.

        Raises:
            UserError: the name is taken or unfit, the password too short, or a role unknown.
        """
        clean = " ".join(name.split())
        if not NAME.match(clean):
            raise UserError(f"{name!r} is no name: use 1 to 40 letters, digits, spaces, '.', '-' or '@'")
        account = Account(clean, _roles(roles), self._password(password))
        with self._changing():
            if _key(clean) in self._accounts:
                raise UserError(f"{clean} exists already: change that account, or choose another name")
            self._accounts[_key(clean)] = account
        return account

    def remove(self, name: str) -> None:
        """Remove a person; signed-in pages of theirs end. Raises UserError for an unknown name."""
        with self._changing():
            if self._accounts.pop(_key(name), None) is None:
                raise UserError(f"no user {name!r}")

    def set_password(self, name: str, password: str) -> None:
        """Give a new password; every sign-in of that person ends. Raises UserError."""
        self._change(name, renew=True, password=self._password(password), pin_failures=0)

    def set_roles(self, name: str, roles: Sequence[str]) -> None:
        """Give other roles; every sign-in of that person ends. Raises UserError."""
        self._change(name, renew=True, roles=_roles(roles))

    def set_pin(self, name: str, pin: str) -> None:
        """Give a PIN for the quick switch at a station; an empty one takes it away. Raises UserError."""
        if pin and (not PIN.match(pin) or len(set(pin)) == 1):
            raise UserError("a PIN has 4 to 8 digits that are not all the same")
        self._change(name, pin=self._hasher.hash(pin) if pin else "", pin_failures=0)

    def set_factor(self, name: str, seed: str) -> None:
        """Keep the seed (base32) of a second factor; an empty one takes it away. Raises UserError."""
        self._change(name, factor=seed)

    def set_on_duty(self, name: str, on_duty: bool) -> None:
        """Say whether a person is on duty. Raises UserError."""
        self._change(name, on_duty=on_duty)

    def _change(self, name: str, *, renew: bool = False, **fields: Any) -> None:
        with self._changing():
            account = self._accounts.get(_key(name))
            if account is None:
                raise UserError(f"no user {name!r}")
            generation = account.generation + renew
            self._accounts[_key(name)] = replace(account, generation=generation, **fields)

    def _password(self, password: str) -> str:
        if len(password) < PASSWORD_SHORTEST:
            raise UserError(f"the password is too short: use at least {PASSWORD_SHORTEST} characters")
        if len(password) > 256:
            raise UserError("the password is too long: use at most 256 characters")
        return self._hasher.hash(password)

    # --- links and signed-out seats -------------------------------------------------------------------

    def sign_in_link(self, name: str, lasts_s: float = LINK_LASTS_S) -> str:
        """Return the path of a link that signs this person in once, within ``lasts_s`` seconds."""
        token = secrets.token_urlsafe(24)
        with self._changing():
            if _key(name) not in self._accounts:
                raise UserError(f"no user {name!r}")
            self._links[_digest(token)] = {"name": name, "until": time.time() + lasts_s}
        return f"/enter?token={token}"

    def redeem(self, token: str) -> Account | None:
        """Return whose link it is, once; ``None`` when it is unknown, used or too old."""
        with self._changing():
            link = self._links.pop(_digest(token), None)
            return self._accounts.get(_key(link["name"])) if link else None

    def revoke(self, seat_id: str, lasts_s: float) -> None:
        """Remember that a seat was left, for as long as its cookie could come back."""
        with self._changing():
            self._revoked[seat_id] = time.time() + lasts_s

    def revoked(self, seat_id: str) -> bool:
        """Say whether a seat was left."""
        with self._lock:
            self._load()
            return seat_id in self._revoked

    # --- the file -----------------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the file against this and other processes, read it anew, and write it afterwards."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock, Path(f"{self.path}.lock").open("w", encoding="ascii") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            self._load()
            yield
            self._save()

    def _load(self) -> None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return
        seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        if seen == self._seen:
            return
        kept = json.loads(self.path.read_text(encoding="utf-8"))
        accounts = [Account(**{**one, "roles": tuple(one["roles"])}) for one in kept["users"]]
        self._accounts = {_key(one.name): one for one in accounts}
        self._links, self._revoked = kept.get("links", {}), kept.get("revoked", {})
        self._seen = seen

    def _save(self) -> None:
        now = time.time()
        self._links = {token: link for token, link in self._links.items() if link["until"] > now}
        self._revoked = {seat: until for seat, until in self._revoked.items() if until > now}
        kept = {
            "users": [asdict(one) for one in self._accounts.values()],
            "links": self._links,
            "revoked": self._revoked,
        }
        write_whole(self.path, json.dumps(kept, indent=1).encode())
        found = self.path.stat()
        self._seen = (found.st_mtime_ns, found.st_ino, found.st_size)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all; root's goes to the old one's owner."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, content)
        if os.geteuid() == 0:
            owner = (path if path.exists() else path.parent).stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)
        os.fsync(handle)
    finally:
        os.close(handle)
    fresh.replace(path)


def signing_key(path: Path) -> bytes:
    """Return a key that signs; made once (mode 0600), so that what was signed survives a restart."""
    if not path.exists() or not path.stat().st_size:  # a full disk may have left an empty one
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, secrets.token_hex(32).encode())
    return path.read_bytes()


def _no_password(hasher: PasswordHasher) -> str:
    """Return a hash that no password fits and that takes as long to refuse; nothing is worked out for it."""
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = (
        b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (hasher.salt_len, hasher.hash_len)
    )
    return f"$argon2id$v=19${cost}${salt}${digest}"


def _roles(roles: Sequence[str]) -> tuple[Role, ...]:
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        raise UserError(f"unknown role {', '.join(unknown) or '(none)'}: use {', '.join(ROLES)}")
    return tuple(role for role in ROLES if role in roles)


def _key(name: str) -> str:
    return " ".join(name.split()).lower()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
