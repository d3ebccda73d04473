"""The outer wall of every request: host, origin, size, headers; and the buckets that slow down a flood.

Law: what comes from another site changes nothing here; nothing of ours loads anything from elsewhere. A flood
is slowed by what it repeats, never by who else asks, and the first acknowledgement of an alarm is never held.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LARGEST_BODY = 64 * 1024
LARGEST_MESSAGE = 4096

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # "no-referrer" makes our own forms say "Origin: null"
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]


class Gate:
    """ASGI wrapper around the application."""

    def __init__(self, application: Application, public_url: str = "") -> None:
        """Let in requests for this machine's addresses and for ``public_url``'s host."""
        self._application = application
        self._hosts = {"localhost"}
        if public_url:
            self._hosts.add((urlsplit(public_url).hostname or "").lower())
        self._secure = public_url.startswith("https:")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with limits and headers."""
        if scope["type"] not in ("http", "websocket"):
            await self._application(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        why = self._refusal(scope, headers)
        if why and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403, "reason": why})
        elif why:
            await _answer(send, 403 if "large" not in why else 413, why)
        else:
            await self._application(scope, _limited(receive), self._with_headers(scope, send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> str:
        host = headers.get("host", "")
        if not self._known(host):
            return f"unknown host {host[:80]!r}; set web.public_url to the name people use"
        if scope["type"] == "http" and int(headers.get("content-length") or 0) > LARGEST_BODY:
            return "the request is too large"
        if scope["type"] == "websocket" or scope["method"] not in SAFE:
            return _foreign(headers, host, strict=scope["type"] == "websocket")
        return ""

    def _known(self, host: str) -> bool:
        """Say whether a Host header names us. A name that is no address may be rebound by an attacker."""
        name = (urlsplit(f"//{host}").hostname or "").lower()
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        extra = list(HEADERS)
        if self._secure:
            extra.append((b"strict-transport-security", b"max-age=31536000"))
        kept = scope["path"].startswith("/static/")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = kept and message["status"] in (200, 304)  # its path changes with its bytes
                cache = b"public, max-age=31536000, immutable" if found else b"no-store"
                message["headers"] = [*message.get("headers", []), *extra, (b"cache-control", cache)]
            await send(message)

        return with_headers


def _foreign(headers: dict[str, str], host: str, *, strict: bool) -> str:
    """Return why a changing request is not ours: its Origin must be the host it asks (ASVS V4.4.2)."""
    origin = headers.get("origin")
    if origin is None:
        site = headers.get("sec-fetch-site", "same-origin")
        return "no Origin" if strict or site not in ("same-origin", "none") else ""
    return "" if urlsplit(origin).netloc.lower() == host.lower() else "this comes from another site"


def _limited(receive: Receive) -> Receive:
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b"")) if message["type"] == "http.request" else 0
        if taken > LARGEST_BODY:
            return {"type": "http.disconnect"}
        return message

    return limited


async def _answer(send: Send, code: int, why: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": why.encode()})


class Throttle:
    """Token buckets by key: ``burst`` at once, then ``per_s`` a second. Remembers the latest keys only."""

    def __init__(self, burst: float, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Every key begins with a full bucket."""
        self._burst, self._per_s, self._clock = burst, per_s, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one token; return 0, or how many seconds to wait for the next."""
        now = self._clock()
        left, at = self._left.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_s)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_s
        self._left[key] = (left - 1 if left >= 1 else left, now)
        while len(self._left) > 10_000:
            self._left.popitem(last=False)
        return wait
