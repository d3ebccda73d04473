"""``afterwatch init FOLDER`` lays out a site; ``afterwatch credentials`` keeps its accounts.

Law: a command says what it made and what a person must do next. What the broker must read again is named,
because a credential that it has not read is none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

ACTS = ("list", "apply", "rotate", "retire", "certificates")
RELOAD = "now: systemctl reload mosquitto   (in containers: docker compose kill -s HUP mosquitto)"
BAD_FILE = 3


def add_init(parser: argparse.ArgumentParser) -> None:
    """Add what ``afterwatch init`` takes to its parser."""
    parser.add_argument("folder", type=Path, help="a new or empty folder, such as /etc/afterwatch")
    parser.add_argument("--site", default="clinic", help="id, part of every topic (%(default)s)")
    parser.add_argument("--name", default="Clinic", help="name, on pages and reports (%(default)s)")
    parser.add_argument("--zone", default="UTC", help="time zone, such as Europe/Berlin (%(default)s)")
    parser.add_argument("--beds", type=int, default=2, help="how many to begin with (%(default)s)")
    parser.add_argument(
        "--host", action="append", default=[], help="name or address of this machine; may be repeated"
    )
    parser.add_argument("--admin", default="admin", help="sign-in name of the first person (%(default)s)")
    parser.add_argument("--container", action="store_true", help="for docker-compose.yml")


def run_init(chosen: argparse.Namespace) -> int:
    """Lay out a site; return the exit code."""
    from monitor.install.layout import Plan, init

    plan = Plan(
        chosen.site,
        chosen.name,
        chosen.zone,
        chosen.beds,
        tuple(chosen.host),
        chosen.admin,
        chosen.container,
    )
    return _say(init(chosen.folder, plan))


def add_credentials(parser: argparse.ArgumentParser) -> None:
    """Add what ``afterwatch credentials`` takes to its parser; ``--config`` is the caller's."""
    parser.add_argument(
        "act",
        nargs="?",
        choices=ACTS,
        default="list",
        help="list; apply: make accounts and rules what beds.toml says; rotate NAME: a new secret beside the "
        "old one; retire NAME: end the old one; certificates: new ones for broker and pages",
    )
    parser.add_argument("name", nargs="?", default="", help="id of a device, or afterwatch, drill, listener")
    parser.add_argument(
        "--host", action="append", default=[], help="certificates: name or address; may be repeated"
    )


def run_credentials(chosen: argparse.Namespace) -> int:
    """Look at or change the accounts of a site; return the exit code."""
    from monitor import config
    from monitor.install.accounts import PROGRAMS, Accounts
    from monitor.install.layout import listing, renew_certificates

    folder = (chosen.config or config.default_folder()).resolve()
    accounts = Accounts(folder)

    def act() -> Iterable[str]:
        if chosen.act == "list":
            yield from listing(folder, datetime.now(UTC))
        elif chosen.act == "certificates":
            yield from renew_certificates(folder, chosen.host)
        elif chosen.act == "apply":
            came, gone = accounts.apply(config.load(folder))
            yield f"new: {', '.join(came) or 'none'}; gone: {', '.join(gone) or 'none'}; rules written"
            yield RELOAD
        elif chosen.act == "retire":
            yield f"ended: {', '.join(accounts.retire(chosen.name, config.load(folder)))}"
            yield RELOAD
        else:
            login = accounts.rotate(chosen.name, config.load(folder))
            yield f"{accounts.secret_file(login)}: the secret of {login}"
            yield RELOAD
            if chosen.name in PROGRAMS:
                yield f"then restart {chosen.name}; the broker keeps its messages meanwhile"
            else:
                yield f"then give it to the device, as user {login}, and once it is back:"
                yield f"afterwatch credentials retire {chosen.name}"

    return _say(act())


def _say(lines: Iterable[str]) -> int:
    from monitor.install.accounts import AccountError

    try:
        for line in lines:
            print(line)
    except (AccountError, OSError) as fault:
        print(f"afterwatch: {fault}", file=sys.stderr)
        return BAD_FILE
    return 0
