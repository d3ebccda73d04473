"""How a message names its device, spelled one way.

Law: a MAC address is lower-case hexadecimal without separators; every other name stays as written. The
configuration spells ``address`` by the same function, so that both sides meet.
"""

from __future__ import annotations

import re
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
