"""Files of a site: whole or not at all, and readable by as few as possible.

Law: a reader never sees half a file, and a secret is never readable by others, not even while it is written.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

OWN, SHARED, PUBLIC = 0o600, 0o640, 0o644  # the owner; a service by its group; everybody


def write(file: Path, content: bytes | str, mode: int = SHARED) -> None:
    """Put ``content`` in the place of ``file``; owner and group of an older one stay."""
    given = content.encode() if isinstance(content, str) else content
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as target:
            target.write(given)
            target.flush()
            os.fsync(target.fileno())
        if file.exists():
            before = file.stat()
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(beside, before.st_uid, before.st_gid)
        beside.chmod(mode)
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
