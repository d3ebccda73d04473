"""Presence as devices and gateways say it: one word, or a small JSON object.

Law: only a word that plainly says so makes a device online or offline.
"""

from __future__ import annotations

from typing import Any

from monitor.core.vitals import Report
from monitor.formats.contract import Context, Decoded, Undecodable
from monitor.formats.json_payload import parse
from monitor.formats.reading import shown

_ONLINE = frozenset({"online", "connected", "connect", "alive", "up", "available", "login"})
_OFFLINE = frozenset(
    {
        "offline",
        "disconnected",
        "disconnect",
        "dead",
        "down",
        "unavailable",
        "logout",
        "lost",
        "connection lost",
    }
)
_KEYS = ("state", "status", "availability", "msg", "online", "connected", "available", "presence", "value")


def read_presence(given: Any) -> bool | None:
    """Return whether the device is online; ``None`` when ``given`` does not say."""
    if isinstance(given, dict):
        return next((said for key in _KEYS if (said := read_presence(given.get(key))) is not None), None)
    if isinstance(given, bool):
        return given
    if not isinstance(given, str) or len(given) > 40:
        return None
    word = given.strip().strip("\"'").lower()
    return True if word in _ONLINE else False if word in _OFFLINE else None


def presence_report(online: bool, context: Context, identity: str = "") -> Decoded:
    """Return a message that says only whether a device is there."""
    report = Report(
        identity or context.device_id, context.received_at, retained=context.retained, online=online
    )
    return Decoded((report,))


def read_presence_payload(payload: bytes) -> bool | None:
    """Return what a presence topic's payload says: a bare word or a JSON object."""
    text = payload[:400].decode("utf-8", "replace").strip()
    if text.startswith("{"):
        try:
            return read_presence(parse(payload))
        except Undecodable:
            return None
    return read_presence(text)


def decode_presence(payload: bytes, context: Context, identity: str = "") -> Decoded:
    """Decode a message of a topic that holds nothing but presence.

    Raises:
        Undecodable: no word that says online or offline.
    """
    online = read_presence_payload(payload)
    if online is None:
        text = payload[:60].decode("utf-8", "replace")
        raise Undecodable(f"{shown(text, 40)!r} says neither online nor offline")
    return presence_report(online, context, identity)
