"""The folder of a new site, file by file.

Law: a site that was laid out here is closed from the first moment: TLS, a credential of its own for each
device, rules that deny what they do not name. Nothing that exists is overwritten, and half a site is removed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from monitor import config
from monitor.install import certificates
from monitor.install.accounts import MONITOR, AccountError, Accounts
from monitor.install.files import PUBLIC, write
from monitor.web import Users

SHIPPED_FOLDER = "/etc/afterwatch"  # where the paths in config/mosquitto/mosquitto.conf point
EVERYWHERE = "0.0.0.0"  # noqa: S104  inside a container only
PROGRAMS_DOOR = "listener 1883 127.0.0.1\n"
CONTAINER_DOOR = """\
# In containers the programs come over the network between them. Never publish this port: here a client may
# choose its name.
listener 8884
certfile {folder}/broker/broker.pem
keyfile {folder}/broker/broker.key
tls_version tlsv1.2
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a new site is to be.

    ``hosts`` are the names and addresses by which devices and pages reach this machine. ``container``: the
    broker runs in a container of its own and is called ``mosquitto`` by the monitor.
    """

    site: str = "clinic"
    name: str = "Clinic"
    zone: str = "UTC"
    beds: int = 2
    hosts: tuple[str, ...] = ()
    admin: str = "admin"
    container: bool = False


def init(folder: Path, plan: Plan) -> Iterator[str]:
    """Lay out a site in a folder that is new or empty; yield what was done and what comes next.

    Raises:
        AccountError: the folder holds something, or the plan makes no sound configuration.
    """
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        raise AccountError(f"{folder} is not empty; name a new folder, or use `afterwatch credentials`")
    existed = folder.exists()
    try:
        yield from _lay_out(folder, plan)
    except BaseException:
        shutil.rmtree(folder)  # half a site would be taken for one
        if existed:
            folder.mkdir(mode=0o750)
        raise


def _lay_out(folder: Path, plan: Plan) -> Iterator[str]:
    shipped = config.default_folder()
    for name in ("", "broker", "tls", "credentials"):
        (folder / name).mkdir(mode=0o750, parents=True, exist_ok=True)
    for name in ("protocols", "drills"):
        if (shipped / name).is_dir():
            shutil.copytree(shipped / name, folder / name)
    write(folder / "clinic.toml", _clinic(folder, plan), PUBLIC)
    write(folder / "beds.toml", _beds(plan.beds), PUBLIC)
    write(folder / "broker" / "mosquitto.conf", _settings(shipped, folder, plan), PUBLIC)
    now, hosts = datetime.now(UTC), _hosts(plan)
    certificates.make_authority(folder / "tls", plan.site, now)
    _make_servers(folder, hosts, now)
    yield f"{folder}: certificates for {', '.join(hosts)}"
    write(folder / "credentials" / f"{MONITOR}.password", "")  # so that the configuration can be read
    configuration = config.load(folder)
    made, _ = Accounts(folder).apply(configuration)
    yield f"credentials/: a secret each for {', '.join(made)}"
    password = secrets.token_urlsafe(12)
    Users(configuration.store / "users.json").add(plan.admin, password, ("admin",))
    yield f"first person: {plan.admin}, password {password}  (shown this once; kept in {configuration.store})"
    yield from _next_steps(folder, configuration.store)


def _make_servers(folder: Path, hosts: Sequence[str], now: datetime) -> None:
    certificates.make_server(folder / "broker", folder / "tls", "broker", hosts, now)
    certificates.make_server(folder / "tls", folder / "tls", "web", hosts, now)


def renew_certificates(folder: Path, hosts: Sequence[str] = ()) -> Iterator[str]:
    """Make new certificates of the broker and the pages; without ``hosts``, for those of the old ones."""
    chosen = tuple(hosts) or tuple(certificates.hosts_of(folder / "broker" / "broker.pem"))
    _make_servers(folder, chosen, datetime.now(UTC))
    yield f"new certificates for {', '.join(chosen)}; restart the broker (devices come back by themselves)"


def listing(folder: Path, now: datetime) -> Iterator[str]:
    """Yield the logins of a site and when its certificates end."""
    accounts = Accounts(folder)
    for login in accounts.logins():
        waits = (
            "secret still in credentials/" if accounts.secret_file(login).exists() else "secret taken away"
        )
        yield f"{login}\t{waits}"
    for name in ("broker/broker.pem", "tls/web.pem", "tls/ca.pem"):
        ends = certificates.ends_at(folder / name)
        yield f"{name}\tends {ends:%Y-%m-%d}, in {(ends - now).days} days"


# --- what is written ----------------------------------------------------------------------------------------


def _hosts(plan: Plan) -> list[str]:
    own = socket.gethostname()
    usable = [own] if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", own) else []
    inner = ["mosquitto"] if plan.container else []
    return list(dict.fromkeys([*plan.hosts, *usable, *inner, "localhost", "127.0.0.1"]))


def _clinic(folder: Path, plan: Plan) -> str:
    """Return ``clinic.toml``: this site's own tables, and what the one that ships says of notification."""
    shipped = (config.default_folder() / "clinic.toml").read_text(encoding="utf-8")
    _, found, told = shipped.partition("# Who is told")
    host, port = ("mosquitto", 8884) if plan.container else ("127.0.0.1", 1883)
    rows = ["# This site. Checked whole before every start: `afterwatch check`.", "", "[site]"]
    rows += [
        f"{key} = {_quoted(getattr(plan, key if key != 'id' else 'site'))}" for key in ("id", "name", "zone")
    ]
    rows += ["", "[broker]", f'host = "{host}"', f"port = {port}", f'username = "{MONITOR}"']
    rows += [f"password_file = {_quoted(str(folder / 'credentials' / f'{MONITOR}.password'))}"]
    rows += [f"tls_ca = {_quoted(str(folder / 'tls' / 'ca.pem'))}"] * plan.container
    store = os.environ.get("AFTERWATCH_STORE", "store")
    rows += ["", "[store]", f"path = {_quoted(store)}  # the variable AFTERWATCH_STORE goes before it"]
    rows += ["", "[web]", f'host = "{EVERYWHERE if plan.container else "127.0.0.1"}"', "port = 8080", ""]
    return "\n".join(rows) + f"\n{found}{told}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a basic string of TOML is one of JSON


def _beds(count: int) -> str:
    rows = ["# Beds in the order of the wall, and the devices that serve them (docs/devices.md).", ""]
    cuff = '["nibp_systolic", "nibp_diastolic", "nibp_mean", "nibp_pulse_rate"]'
    for number in range(1, count + 1):
        rows += ["[[beds]]", f'id = "bed-{number}"', f'label = "Room {number}"', ""]
        for kind, metrics, interval_s in (("oximeter", '["spo2", "pulse_rate"]', 1), ("cuff", cuff, 300)):
            rows += ["[[devices]]", f'id = "{kind}-{number}"', f'bed = "bed-{number}"']
            rows += [f"metrics = {metrics}", f"expected_interval_s = {interval_s}", ""]
    return "\n".join(rows)


def _settings(shipped: Path, folder: Path, plan: Plan) -> str:
    text = (shipped / "mosquitto" / "mosquitto.conf").read_text(encoding="utf-8")
    if plan.container:
        text = text.replace(
            "persistence_location /var/lib/mosquitto/", "persistence_location /mosquitto/data/"
        )
        text = text.replace(PROGRAMS_DOOR, CONTAINER_DOOR.format(folder=SHIPPED_FOLDER))
    return text.replace(SHIPPED_FOLDER, str(folder))


def _next_steps(folder: Path, store: Path) -> Iterator[str]:
    yield "next:"
    yield f"  1. beds and devices: {folder}/beds.toml, then `afterwatch credentials apply`"
    yield f"  2. let the services read what they need: chgrp -R mosquitto {folder}/broker;"
    yield f"     chgrp -R afterwatch {folder}/credentials {folder}/tls; chown -R afterwatch: {store}"
    yield f"  3. start the broker with {folder}/broker/mosquitto.conf, then `afterwatch run`"
    yield f"  4. each device: port 8883, {folder}/tls/ca.pem, its id, {folder}/credentials/ID.password"
    yield f"  5. keep {folder}/tls/ca.key off this machine; only new certificates need it"
