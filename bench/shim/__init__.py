"""Libraries in C that stand between a process and the disk, compiled when they are needed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import program


def build(name: str, folder: Path) -> Path:
    """Compile `bench/shim/NAME.c` into `folder`; return the library for LD_PRELOAD."""
    library = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    flags = [
        "-shared",
        "-fPIC",
        "-O2",
        "-Wall",
        "-Werror",
        "-o",
        str(library),
        str(source),
        "-ldl",
        "-lpthread",
    ]
    subprocess.run([program("gcc", "gcc"), *flags], check=True)
    return library


def slow_disk(
    folder: Path, *, every_ms: int = 0, stall_ms: int = 0, stall_every: int = 0
) -> Mapping[str, str]:
    """Return the environment of a process whose every fsync is slow, or every so-many-th one stalls."""
    return {
        "LD_PRELOAD": str(build("slow_fsync", folder)),
        "SLOW_FSYNC_MS": str(every_ms),
        "STALL_FSYNC_MS": str(stall_ms),
        "STALL_EVERY": str(stall_every),
    }
