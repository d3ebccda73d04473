"""Apprise's door: one address becomes one function that sends, and says what happened.

Law: each target has its own Apprise object, called without Apprise's own thread pool and throttle: with them
one stuck service starves the healthy ones and a second page waits 5.5 s (BLOCKS §G, measured). No address,
and so no secret, is ever in what is said. A picture or an address outside the clinic is never sent.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from monitor.config import Target
from monitor.core.protocol import Priority
from monitor.notify.message import DISCLAIMER, Notification


class Sent(NamedTuple):
    """What one attempt came to; ``permanent``: trying the same again cannot help."""

    delivered: bool
    text: str
    permanent: bool = False


Send = Callable[[Notification], Sent]
Connect = Callable[[Target], Send]

# 4xx says that the request is wrong and will be wrong again; these three ask for patience instead (RFC 9110).
PATIENCE = frozenset({408, 425, 429})
_CODE = re.compile(r"error=(\d{3})\b")
_STAMP = re.compile(r"^\S+ \S+ - \w+ - ")
_TYPE: dict[Priority, str] = {"high": "failure", "medium": "warning", "low": "info"}

# Apprise reads a module that Python 3.13 no longer has (it brings its own then), and we use no SOCKS proxy.
NOISE = ("'imghdr' is deprecated", "SOCKS support in urllib3")
_LOADING = threading.Lock()  # the first address loads every plugin, which takes most of a second

logging.getLogger("apprise").addHandler(logging.NullHandler())  # its words come back in the result


def connect(target: Target) -> Send:
    """Return the function that sends to a target; it never raises and blocks as long as the service does."""
    for said in NOISE:
        warnings.filterwarnings("ignore", message=said)
    import apprise

    address = target.resolve()
    if not address:
        return _refusing(f"the address of target {target.id!r} is not there: set its url_env or url_file")
    # Without a service_timeout Apprise calls the plugin in our own thread (its pool is shared by all).
    asset = apprise.AppriseAsset(
        service_timeout=0,
        async_mode=False,
        secure_logging=True,
        app_id="Afterwatch",
        app_desc="secondary notification",
        app_url="",
        image_url_mask="",
        image_url_logo="",
    )
    service = apprise.Apprise(asset=asset)
    with _LOADING:
        understood = service.add(address)
    if not understood:
        return _refusing(f"apprise does not understand the address of target {target.id!r}: correct it")
    for plugin in service:
        plugin.request_rate_per_sec = 0

    def send(notification: Notification) -> Sent:
        found = service.notify(
            title=notification.title,
            body=notification.body,
            notify_type=_TYPE[notification.priority],
            body_format="text",
        )
        return judge(bool(found), [_without(hidden, str(entry)) for entry in found.logs()])

    hidden = secrets_of(address)
    return send


def secrets_of(address: str) -> list[str]:
    """Return the parts of an address that may be secret (user, password, path, query), the longest first."""
    parts = urlsplit(address)
    pieces = {parts.username, parts.password, *parts.path.split("/"), *parse_qs(parts.query)}
    pieces |= {value for values in parse_qs(parts.query).values() for value in values}
    return sorted((piece for piece in pieces if piece and len(piece) >= 6), key=len, reverse=True)


def _without(hidden: list[str], text: str) -> str:
    for piece in hidden:
        text = text.replace(piece, "…")
    return text


def judge(accepted: bool, said: list[str]) -> Sent:
    """Return what an attempt came to, from Apprise's answer and its words."""
    if accepted:
        return Sent(True, "accepted by the service")
    words = _STAMP.sub("", said[-1]).strip()[:200] if said else "the service refused it without a word"
    codes = [int(code) for entry in said for code in _CODE.findall(entry)]
    permanent = any(400 <= code < 500 and code not in PATIENCE for code in codes)
    return Sent(False, words, permanent)


def _refusing(text: str) -> Send:
    return lambda _: Sent(False, text, permanent=True)


class Trial(NamedTuple):
    """What came of trying one target: ``text`` says it, ``seconds`` how long it took."""

    target: str
    delivered: bool
    text: str
    seconds: float


def try_targets(targets: Iterable[Target], site: str = "") -> list[Trial]:
    """Send a test message to every target at the same time and return what came of each (`check --send`)."""
    chosen = list(targets)
    if not chosen:
        return []
    with _Threads(len(chosen)) as pool:
        pending = [(one, pool.submit(_try, one, site)) for one in chosen]
        return [_trial(one, future) for one, future in pending]


class _Threads(ThreadPoolExecutor):
    """Threads that are left behind when they do not end."""

    def __exit__(self, *_: Any) -> None:
        self.shutdown(wait=False, cancel_futures=True)


def _trial(target: Target, future: Any) -> Trial:
    try:
        return future.result(timeout=target.deadline_s)  # type: ignore[no-any-return]
    except TimeoutError:
        return Trial(target.id, False, f"no answer within {target.deadline_s:g} s", target.deadline_s)


def _try(target: Target, site: str) -> Trial:
    now = datetime.now(UTC)
    body = (
        f"If you read this, messages from {site or 'Afterwatch'} reach you. Nothing is wrong.\n{DISCLAIMER}"
    )
    message = Notification(
        f"test/{target.id}", "", "station", "", target.id, "low", "real", "TEST of Afterwatch", body, now,
        now + timedelta(minutes=1),
    )  # fmt: skip
    sent = connect(target)(message)
    return Trial(target.id, sent.delivered, sent.text, (datetime.now(UTC) - now).total_seconds())
