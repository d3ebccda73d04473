"""A bed as bytes, and back: what the journal keeps so that a restart changes nothing.

Law: ``load(dump(bed)) == bed`` for every bed there can be (a property test holds it). The protocol is not
repeated in every snapshot: it is named by its digest and kept once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson
from pydantic import TypeAdapter
from pydantic_core import SchemaValidator, core_schema

from monitor.core import inputs as given
from monitor.core.inputs import Input
from monitor.core.protocol import Protocol
from monitor.core.turn import Bed


def _frugal(schema: Any) -> Any:
    """Return a schema that makes nothing anew which is there already: the zone of an instant, equal texts.

    Pydantic gives each instant a zone of its own. To compare two with different zones, even equal ones, takes
    six times as long, and a session that came back from the journal would pay that with every reading.
    """
    if isinstance(schema, list):
        return [_frugal(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    within = {key: _frugal(one) for key, one in schema.items()}
    spare = _SPARE.get(str(schema.get("type")))
    return within if spare is None else core_schema.no_info_after_validator_function(spare, within)


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


_SPARE: Mapping[str, Callable[[Any], Any]] = {"datetime": _utc, "str": sys.intern}
_BED = TypeAdapter(Bed)
_BACK = SchemaValidator(_frugal(_BED.core_schema))
_PROTOCOL = TypeAdapter(Protocol)
_APART = {"session": {"protocol", "plan", "standing"}}


def dump(bed: Bed) -> bytes:
    """Return a bed as JSON bytes; its session names the protocol by digest."""
    plain = _BED.dump_python(bed, mode="json", exclude=_APART)
    if bed.session is not None:
        plain["session"]["protocol"] = bed.session.protocol.digest
    return _packed(plain)


def load(stored: bytes, protocols: Mapping[str, Protocol]) -> Bed:
    """Return the bed that ``dump`` stored.

    Args:
        stored: what ``dump`` returned.
        protocols: by digest; the one the session started from must be among them.

    Raises:
        LookupError: the session's protocol is not among them.
        ValueError: the bytes are no bed.
    """
    plain: dict[str, Any] = orjson.loads(stored)
    if plain.get("session"):
        digest = plain["session"]["protocol"]
        if digest not in protocols:
            raise LookupError(f"{plain.get('bed_id')}: no protocol with digest {digest}")
        plain["session"]["protocol"] = protocols[digest]
    found: Bed = _BACK.validate_python(plain)
    return found


def dump_input(one: Input) -> bytes:
    """Return an input as JSON bytes, named by its class; a protocol in it is named by digest."""
    plain = _input(type(one).__name__).dump_python(one, mode="json", exclude={"protocol"})
    if isinstance(one, given.StartSession):
        plain["protocol"] = one.protocol.digest
    return _packed({"input": type(one).__name__, **plain})


def _packed(plain: Mapping[str, Any]) -> bytes:
    """Return JSON in bytes of its size: those that orjson makes hold 4 KiB, and many beds may wait here."""
    return bytes(memoryview(orjson.dumps(plain)))


def load_input(stored: bytes, protocols: Mapping[str, Protocol]) -> Input:
    """Return the input that ``dump_input`` stored.

    Raises:
        LookupError: the protocol it names is not among ``protocols``, or there is no such input.
    """
    plain: dict[str, Any] = orjson.loads(stored)
    name = plain.pop("input")
    if "protocol" in plain:
        plain["protocol"] = protocols[plain["protocol"]]
    found: Input = _input(name).validate_python(plain)
    return found


@cache
def _input(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(getattr(given, name))


def dump_protocol(protocol: Protocol) -> bytes:
    """Return a protocol as JSON bytes."""
    return _PROTOCOL.dump_json(protocol)


def load_protocol(stored: bytes) -> Protocol:
    """Return the protocol that ``dump_protocol`` stored. Raises ValueError when the bytes are none."""
    return _PROTOCOL.validate_json(stored)
