"""Hand a FHIR bundle to a server.

Law: one call is one try, and it says what an outbox needs: delivered, to be tried again (after how long), or
never. Only the server's own transaction-response with every entry done counts as delivered. Trying again is
safe, because every resource in the bundle carries its own identity.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

MOST_ANSWER_BYTES = 8_000_000
# What a later try can change (RFC 9110, RFC 6585); 409 is a server's own conflict of two transactions.
PASSING = frozenset({408, 409, 423, 425, 429, 500, 502, 503, 504, 507})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
FIRST_DELAY_S, LONGEST_DELAY_S = 5.0, 3600.0


class Pushed(NamedTuple):
    """The server's word that all was done: how many resources, and where the first of each kind went."""

    resources: int
    locations: dict[str, str]


class PushFailed(Exception):
    """A try that did not deliver; ``again``: a later one can; ``after_s``: the wait asked for, in seconds."""

    def __init__(self, reason: str, *, again: bool, after_s: float | None = None) -> None:
        """Say why, and what an outbox should do."""
        super().__init__(reason)
        self.reason, self.again, self.after_s = reason, again, after_s


def delay_s(tries: int, after_s: float | None = None) -> float:
    """Return the seconds to wait after so many failed tries: doubling to an hour, or what was asked for."""
    grown = min(FIRST_DELAY_S * 2.0 ** min(max(tries - 1, 0), 20), LONGEST_DELAY_S)
    return grown if after_s is None else max(grown, min(after_s, 24 * 3600.0))


def push(
    bundle: bytes,
    url: str,
    *,
    token: str = "",
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
    ca_file: str = "",
    now: datetime | None = None,
) -> Pushed:
    """Send a transaction bundle to a FHIR server's base address, once.

    Args:
        bundle: what ``monitor.records.fhir.render`` gave.
        url: the base, such as ``https://ehr.example/fhir``; plain http is for this machine only.
        token: a bearer token, from a secret.
        headers: others that the server asks for.
        timeout_s: how long to wait for the connection and for each read, in seconds.
        ca_file: certificates to trust instead of the system's.
        now: instant against which a ``Retry-After`` date counts.

    Raises:
        PushFailed: it was not delivered; the exception says why and whether trying again can help.
    """
    sent = _own(bundle)
    _check_address(url)
    given = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json", **(headers or {})}
    if token:
        given["Authorization"] = f"Bearer {token}"
    request = Request(url, data=bundle, headers=given, method="POST")  # noqa: S310 (the scheme is checked)
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        opener = build_opener(HTTPSHandler(context=context), _NoRedirect())
        if urlsplit(url).hostname in LOOPBACK:
            opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context), _NoRedirect())
        with opener.open(request, timeout=timeout_s) as answer:
            content = answer.read(MOST_ANSWER_BYTES + 1)
            if answer.length and len(content) <= MOST_ANSWER_BYTES:
                raise PushFailed("the answer was cut short", again=True)
            return _delivered(content, sent)
    except HTTPError as refused:
        raise _refused(refused, now or datetime.now(UTC)) from refused
    except ssl.SSLCertVerificationError as fault:
        raise PushFailed(
            f"the server's certificate is not trusted: {fault.verify_message}", again=False
        ) from fault
    except (OSError, HTTPException) as fault:
        if isinstance(reason := getattr(fault, "reason", None), ssl.SSLCertVerificationError):
            why = f"the server's certificate is not trusted: {reason.verify_message}; name its CA"
            raise PushFailed(why, again=False) from fault
        raise PushFailed(f"not reached: {type(fault).__name__}: {fault}", again=True) from fault


class _NoRedirect(HTTPRedirectHandler):
    """A redirected record could land anywhere: the final address must be configured."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


def _own(bundle: bytes) -> int:
    """Return how many entries we send; refuse what must not leave."""
    found = json.loads(bundle)
    marks = found.get("meta", {}).get("security", [])
    if any(mark.get("code") == "HTEST" for mark in marks):
        raise PushFailed("a drill's record never goes to a FHIR server (S-10)", again=False)
    return len(found["entry"])


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        return
    raise PushFailed(
        f"{parts.scheme}://{parts.hostname or ''} is not https; give the server's https address", again=False
    )


def _delivered(answer: bytes, sent: int) -> Pushed:
    try:
        found = json.loads(answer) if len(answer) <= MOST_ANSWER_BYTES else {}
        entries = found["entry"] if found["type"] == "transaction-response" else []
        results = [entry["response"] for entry in entries]
        failed = [one["status"] for one in results if not str(one["status"]).startswith("2")]
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise PushFailed(
            "the answer is not a transaction-response; is this a FHIR base address?", again=False
        ) from fault
    if failed or len(results) != sent:
        first = failed[0] if failed else "some are missing"
        raise PushFailed(f"{len(results) - len(failed)} of {sent} resources done: {first}", again=True)
    locations: dict[str, str] = {}
    for one in results:
        place = str(one.get("location", ""))
        kind = next((part for part in place.split("/") if part[:1].isupper()), "")
        locations.setdefault(kind, place)
    return Pushed(len(results), {kind: place for kind, place in locations.items() if kind})


def _refused(refused: HTTPError, now: datetime) -> PushFailed:
    words = _outcome_words(refused)
    reason = f"HTTP {refused.code} {refused.reason}{': ' + words if words else ''}"
    if 300 <= refused.code < 400:
        reason += f"; it points to {refused.headers.get('Location', 'nowhere')}: configure the final address"
    return PushFailed(
        reason, again=refused.code in PASSING, after_s=_retry_after_s(refused.headers.get("Retry-After"), now)
    )


def _outcome_words(refused: HTTPError) -> str:
    """Return what an OperationOutcome says, shortened; a token or a patient's name has no place in a log."""
    try:
        found: Any = json.loads(refused.read(100_000))
        issues = found.get("issue", []) if found.get("resourceType") == "OperationOutcome" else []
        texts = [
            one.get("diagnostics") or one.get("details", {}).get("text") or one.get("code", "")
            for one in issues
        ]
        return "; ".join(str(text) for text in texts if text)[:300]
    except (ValueError, AttributeError, TypeError, OSError, HTTPException):
        return ""


def _retry_after_s(text: str | None, now: datetime) -> float | None:
    """Return a ``Retry-After`` in seconds; it is a number or a date (RFC 9110)."""
    if not text:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (TypeError, ValueError):
        return None
