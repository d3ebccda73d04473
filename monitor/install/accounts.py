"""Who may do what at the broker: one account for each device, one for each program, and their rules.

Law: what is not allowed here is denied. A device publishes its own report and presence and hears what of it
is durable, nothing else (S-03). Only the monitor speaks of alarms, and its rules name each topic (S-07).
Drills speak as simulated devices only; no device at a patient can be played (S-10).

A device's credential is renewed without a gap: the next generation (``oximeter-1~2``) works beside the old
one until that is retired (S-02).
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from monitor.config import Configuration, DeviceEntry
from monitor.install.files import write

MONITOR, DRILL, LISTENER = "afterwatch", "drill", "listener"
PROGRAMS = (MONITOR, DRILL, LISTENER)
STATION = "station"  # the monitor's own place beside the beds
SELF_CHECK = "self-check"  # the device that the monitor itself plays, once a minute (monitor.app.self_check)
ROUNDS = 1000  # the secrets are random, 192 bits; more rounds would only hold up a ward that reconnects
GENERATION = re.compile(r"^(?P<account>.+?)(?:~(?P<number>\d+))?$")

HEADER = """\
# Who may do what at the broker. Made from beds.toml by `afterwatch init` and `... credentials`; changes
# by hand are lost. What is not allowed here is denied. Read anew by SIGHUP (`systemctl reload mosquitto`).
"""


class AccountError(ValueError):
    """What was asked of the accounts cannot be done; the text says why and what to do."""


class Accounts:
    """The accounts of a site: ``broker/passwords``, ``broker/acl`` and the secrets in ``credentials/``."""

    def __init__(self, folder: Path) -> None:
        """Look at a site's folder; nothing is read yet."""
        self.passwords = folder / "broker" / "passwords"
        self.rules = folder / "broker" / "acl"
        self.secrets = folder / "credentials"

    def logins(self) -> Mapping[str, str]:
        """Return the hash of every login, by name."""
        if not self.passwords.exists():
            return {}
        rows = self.passwords.read_text(encoding="utf-8").splitlines()
        return dict(row.split(":$", 1) for row in rows if ":$" in row)

    def apply(self, configuration: Configuration) -> tuple[list[str], list[str]]:
        """Make logins and rules what ``beds.toml`` says; return the logins that came and that went."""
        wanted = [*PROGRAMS, *_names(configuration)]
        before = self.logins()
        kept = {login: row for login, row in before.items() if account_of(login) in wanted}
        owned = {account_of(login) for login in kept}
        made = {name: self._new_secret(name) for name in wanted if name not in owned}
        gone = sorted(before.keys() - kept.keys())
        self._store({**kept, **made}, configuration)
        for login in gone:
            self.secret_file(login).unlink(missing_ok=True)
        return sorted(made), gone

    def rotate(self, account: str, configuration: Configuration) -> str:
        """Give an account its next secret; return the login that has it.

        A device's old login goes on working until ``retire``. A program keeps its name, because the broker
        holds its messages by it: its old secret ends with the broker's next SIGHUP.
        """
        logins = self.logins()
        own = sorted((login for login in logins if account_of(login) == account), key=generation_of)
        if not own:
            raise AccountError(f"no account {account!r}; there are {', '.join(_accounts(logins))}")
        if account not in PROGRAMS and len(own) > 1:
            raise AccountError(
                f"{account} has two logins already; first `afterwatch credentials retire {account}`"
            )
        login = account if account in PROGRAMS else f"{account}~{generation_of(own[-1]) + 1}"
        self._store({**logins, login: self._new_secret(login)}, configuration)
        return login

    def retire(self, account: str, configuration: Configuration) -> list[str]:
        """End all logins of an account but its newest; return those that ended."""
        logins = dict(self.logins())
        own = sorted((login for login in logins if account_of(login) == account), key=generation_of)
        if len(own) < 2:
            raise AccountError(
                f"{account!r} has no older login; `afterwatch credentials rotate {account}` comes first"
            )
        for login in own[:-1]:
            del logins[login]
        self._store(logins, configuration)
        for login in own[:-1]:
            self.secret_file(login).unlink(missing_ok=True)
        return own[:-1]

    def secret_file(self, login: str) -> Path:
        """Return where a login's secret lies until it is in its device."""
        return self.secrets / f"{login}.password"

    def _new_secret(self, login: str) -> str:
        secret = secrets.token_urlsafe(24)
        self.secrets.mkdir(mode=0o750, parents=True, exist_ok=True)
        write(self.secret_file(login), secret + "\n")
        return hashed(secret)

    def _store(self, logins: Mapping[str, str], configuration: Configuration) -> None:
        # Rules first: a login that the rules do not know may nothing, one that is not there has none.
        write(self.rules, HEADER + "\n".join(rules(configuration, logins)) + "\n")
        write(self.passwords, "".join(f"{login}:${row}\n" for login, row in logins.items()))


def hashed(secret: str, salt: bytes = b"", rounds: int = ROUNDS) -> str:
    """Return a secret as Mosquitto keeps it, without the first ``$``: PBKDF2-SHA512, its type 7."""
    salt = salt or secrets.token_bytes(12)
    key = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, rounds)
    return f"7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def account_of(login: str) -> str:
    """Return the account that a login belongs to: ``oximeter-1`` of ``oximeter-1~2``."""
    found = GENERATION.match(login)
    return found["account"] if found else login


def generation_of(login: str) -> int:
    """Return the number of a login's generation; the first has none in its name."""
    found = GENERATION.match(login)
    return int(found["number"]) if found and found["number"] else 1


def real_devices(configuration: Configuration) -> Iterator[DeviceEntry]:
    """Yield the devices that sign in for themselves; simulated ones speak by the drill account."""
    return (one for one in configuration.ward.devices if not one.simulated)


def _names(configuration: Configuration) -> Iterator[str]:
    """Yield the accounts of the devices; some names that a device may have, an account may not."""
    for device in real_devices(configuration):
        if device.id in (*PROGRAMS, SELF_CHECK):
            raise AccountError(f"beds.toml: a device is called {device.id!r}, as a program is; rename it")
        if ":" in device.id:
            remedy = "give it another id, and its MAC address as `address`"
            raise AccountError(f"beds.toml: {device.id!r}: a broker's user name cannot hold ':'; {remedy}")
        yield device.id


def rules(configuration: Configuration, logins: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the access control list: a block for each login, no patterns and no default."""
    devices = {device.id: device for device in real_devices(configuration)}
    programs = {MONITOR: monitor_rules, DRILL: drill_rules, LISTENER: listener_rules}
    for login in logins:
        account = account_of(login)
        if account in programs:
            lines = programs[account](configuration)
        elif account in devices:
            lines = device_rules(configuration, devices[account])
        else:
            continue
        yield f"\nuser {login}"
        yield from (f"topic {_one_line(line)}" for line in lines)


def device_rules(configuration: Configuration, device: DeviceEntry) -> list[str]:
    """Return what a device may do: speak of itself, hear what of it is durable."""
    own = f"{configuration.root}/devices/{device.id}"
    more = [f"write {device.topic}"] if device.topic else []
    return [f"write {own}/report", f"write {own}/status", *more, f"read {own}/committed"]


def monitor_rules(configuration: Configuration) -> list[str]:
    """Return what the monitor may do: hear every device, speak on its own topics, each by name."""
    root, ward = configuration.root, configuration.ward
    heard = [
        f"{root}/devices/+/report",
        f"{root}/devices/+/status",
        *(one.topic for one in ward.devices if one.topic),
    ]
    own = f"{root}/monitor/self-check"
    spoken = [f"{root}/monitor/status", own, f"{root}/devices/{SELF_CHECK}/report"]
    for bed in [*(bed.id for bed in ward.beds), STATION]:
        spoken += [f"{root}/beds/{bed}/alarms", f"{root}/beds/{bed}/alarm"]
    spoken += [f"{root}/devices/{one.id}/committed" for one in ward.devices]
    spoken += [f"{root}/drills/{bed.id}/outcome" for bed in ward.beds]
    return [
        f"read {own}",
        *(f"read {topic}" for topic in dict.fromkeys(heard)),
        *(f"write {topic}" for topic in spoken),
        *pair_rules(configuration),
    ]


def pair_rules(configuration: Configuration) -> list[str]:
    """Return what two monitors of one site say to one another; only there a rule leaves a name open."""
    if not configuration.clinic.pair.name:
        return []
    root = f"{configuration.root}/monitor"
    between = [f"readwrite {root}/{topic}" for topic in ("lease", "pair/batch", "pair/word")]
    return [*between, f"write {root}/pair/+/status"]


def listener_rules(configuration: Configuration) -> list[str]:
    """Return what lamps, pagers and displays may do: hear of alarms and of the monitor."""
    root = configuration.root
    return [f"read {root}/beds/+/alarms", f"read {root}/beds/+/alarm", f"read {root}/monitor/status"]


def drill_rules(configuration: Configuration) -> list[str]:
    """Return what a drill may do: speak as the simulated devices of ``beds.toml``, hear how drills go."""
    simulated = [one for one in configuration.ward.devices if one.simulated]
    spoken = [line for one in simulated for line in device_rules(configuration, one)]
    drills = f"{configuration.root}/drills"
    return [*spoken, *listener_rules(configuration), f"read {drills}/+/outcome", f"readwrite {drills}/inject"]


def _accounts(logins: Iterable[str]) -> list[str]:
    return sorted({account_of(login) for login in logins})


def _one_line(rule: str) -> str:
    if not rule.isprintable():
        raise AccountError(f"beds.toml: topic {rule!r} holds a character that no topic may have; remove it")
    return rule
