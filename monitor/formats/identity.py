"""How a message names its device, spelled one way.

Law: a MAC address is lower-case hexadecimal without separators; every other name stays as written. The
configuration spells ``address`` by the same function, so that both sides meet.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from functools import lru_cache

_MAC = re.compile(r"[0-9a-fA-F]{12}|[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}(([:-][0-9a-fA-F]{2}){2})?")
_CISCO = re.compile(r"[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){2,3}")
_MAX_CHARACTERS = 128


@lru_cache(maxsize=4096)
def normalise_address(text: str) -> str:
    """Return a device's address as the decoders report it.

    Args:
        text: a MAC address in any usual spelling ("D6:16:F9:64:16:22", "d616f9641622", "d616.f964.1622"),
            or any other name (a serial number, an EUI-64 without separators, a device key).
    """
    text = text.strip()[:_MAX_CHARACTERS]
    if _MAC.fullmatch(text) or _CISCO.fullmatch(text):
        return re.sub("[:.-]", "", text).lower()
    return text


def serving(named: str, on_topic: str, addresses: Mapping[str, str], devices: Container[str]) -> str:
    """Return the id of the device that a report belongs to.

    Args:
        named: the device id of the report: what the message calls its device, or the topic's device.
        on_topic: the device that the configuration gives to the topic.
        addresses: every ``address`` of ``beds.toml``, normalised, to its device's id.
        devices: the ids in ``beds.toml``.

    Returns:
        The device with that id or address. A name that nobody knows is the topic's device when that one has
        no address of its own; with an address it expects to be named, and a stranger stays a stranger.
    """
    if named in devices:
        return named
    if named in addresses:
        return addresses[named]
    if on_topic in devices and on_topic not in addresses.values():
        return on_topic
    return named
