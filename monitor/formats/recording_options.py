"""What a command that takes a recording asks of a person, and what it says of the file afterwards.

Law: the two commands that read recordings (``afterwatch replay``, ``drill play``) take and say the same.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from monitor.formats.recordings import BadRecording, Recording, words


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a file is to be read."""
    parser.add_argument(
        "--columns",
        metavar="A,B,...",
        help="FILE does not name its columns: they are these; step_s counts seconds from line to line",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="FILE holds several patients: the lines of one; may be repeated",
    )
    order = parser.add_mutually_exclusive_group()
    for name in ("day-first", "month-first"):
        meaning = f"05/06/2026 in FILE begins with its {name.partition('-')[0]}"
        order.add_argument(f"--{name}", dest="order", action="store_const", const=name, help=meaning)


def asked(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of ``recordings.read`` that were asked for.

    Raises:
        BadRecording: an option is not written as it must be.
    """
    only: dict[str, str] = {}
    for one in chosen.only:
        name, equals, value = one.partition("=")
        if not equals:
            raise BadRecording(f"--only {one}: write COLUMN=VALUE")
        only[name] = value
    names = [name.strip() for name in chosen.columns.split(",")] if chosen.columns else []
    return {"names": names, "only": only, "order": chosen.order}


def tell(found: Recording) -> int:
    """Say on the error stream what was assumed and which lines were not used; return how many these are."""
    for note in found.notes:
        print(note, file=sys.stderr)
    for said in words(found.refused):
        print(f"not used: {said}", file=sys.stderr)
    count = sum(len(lines) for lines in found.refused.values())
    if count:
        print(f"{count} lines were not used", file=sys.stderr)
    return count
