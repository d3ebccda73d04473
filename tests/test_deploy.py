"""A new site, the container files and the systemd unit, as far as a machine without containers can try them.

The law: what a person would copy from docs/operating.md is what is tried here. What only a container engine
could show is not claimed by any test.
"""

from __future__ import annotations

import argparse
import ast
import base64
import fnmatch
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from monitor import config, install
from monitor.__main__ import BAD_FILE
from monitor.app import self_check
from monitor.core.figures import ALARM_LOAD
from monitor.install import accounts as accounts_module
from monitor.install.accounts import AccountError, Accounts
from monitor.install.layout import Plan, init
from monitor.notify import CHANNEL
from monitor.web import Users
from tests.conftest import Mosquitto, Running, missing, program
from tests.test_house import pins

REPOSITORY = Path(__file__).resolve().parent.parent
SETTINGS = (REPOSITORY / "config" / "mosquitto" / "mosquitto.conf").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
UNIT = REPOSITORY / "deploy" / "afterwatch.service"
BOOTH = "/etc/afterwatch"


def command(add: Callable[[argparse.ArgumentParser], None], *words: str) -> argparse.Namespace:
    """Parse the arguments of one of our commands, as `afterwatch` does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path)
    add(parser)
    return parser.parse_args(words)


# --- a new site ---------------------------------------------------------------------------------------------


def test_init_makes_a_site_that_is_sound_closed_and_has_a_first_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 8, item 5: one command makes certificates, credentials, rules, files and the first admin."""
    folder = tmp_path / "site"
    words = (
        "--name",
        'Clinic "Nord"',
        "--zone",
        "Europe/Berlin",
        "--beds",
        "3",
        "--admin",
        "vera",
    )
    assert install.run_init(command(install.add_init, str(folder), *words)) == 0
    said = capsys.readouterr().out
    configuration = config.load(folder)
    assert configuration.clinic.site.name == 'Clinic "Nord"'
    assert len(configuration.ward.beds) == 3
    assert len(configuration.ward.devices) == 6
    assert set(configuration.protocols) == {"iv-ketamine", "in-esketamine", "im-ketamine"}
    shown = re.search(r"first person: vera, password (\S+)", said)
    assert shown
    admin = Users(configuration.store / "users.json").verify("vera", shown[1])
    assert admin is not None
    assert admin.roles == ("admin",)
    assert (
        configuration.clinic.broker.password()
        == (folder / "credentials/afterwatch.password").read_text().strip()
    )
    logins = set(Accounts(folder).logins())
    assert logins == {
        "afterwatch",
        "drill",
        "listener",
        *(f"{k}-{n}" for k in ("oximeter", "cuff") for n in (1, 2, 3)),
    }


def test_secrets_are_readable_by_owner_and_service_only(tmp_path: Path) -> None:
    """S-02, ASVS V13.2: no secret is readable by everybody, each is its own, and none is printed."""
    said = "\n".join(init(tmp_path / "site", Plan()))
    secret = [path for path in (tmp_path / "site").rglob("*") if path.suffix in (".key", ".password")]
    secret += [tmp_path / "site" / "broker" / name for name in ("passwords", "acl")]
    assert len(secret) == 3 + 7 + 2
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o027 == 0 for path in secret)
    assert stat.S_IMODE((tmp_path / "site/tls/ca.key").stat().st_mode) == 0o600
    passwords = [path.read_text().strip() for path in secret if path.suffix == ".password"]
    assert len(set(passwords)) == len(passwords) == 7
    assert min(map(len, passwords)) >= 32
    assert not any(one in said for one in passwords)
    hashes = (tmp_path / "site/broker/passwords").read_text()
    assert not any(one in hashes for one in passwords)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_people_that_root_adds_later_are_the_services(tmp_path: Path) -> None:
    """Issue 8: `afterwatch users add` by root must not take the list from the monitor that reads it."""
    users = Users(tmp_path / "users.json")
    users.add("vera", "a long enough password", ("admin",))
    os.chown(tmp_path / "users.json", 65534, 65534)
    users.add("nora", "a long enough password", ("nurse",))
    assert (tmp_path / "users.json").stat().st_uid == 65534


def test_a_folder_that_holds_something_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """DESIGN §4: a second `init` overwrites no credential of a running site; exit code 3 and the remedy."""
    (tmp_path / "clinic.toml").write_text("mine")
    assert install.run_init(command(install.add_init, str(tmp_path))) == BAD_FILE == install.BAD_FILE
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["clinic.toml"]
    assert (tmp_path / "clinic.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("plan", "refused"),
    [
        (Plan(site="our clinic"), config.ConfigurationError),
        (Plan(zone="Europe/Berlyn"), config.ConfigurationError),
        (Plan(beds=0), config.ConfigurationError),
        (Plan(admin="/"), ValueError),
        (Plan(hosts=("ü",)), ValueError),
    ],
)
def test_half_a_site_is_removed(tmp_path: Path, plan: Plan, refused: type[Exception]) -> None:
    """DESIGN §4: nothing is half done; what `init` could not finish is not there."""
    with pytest.raises(refused):
        list(init(tmp_path / "site", plan))
    assert not (tmp_path / "site").exists()


def test_the_certificates_name_their_hosts_and_their_authority(tmp_path: Path) -> None:
    """S-01: every host is in the certificate, and the authority can make no other authority."""
    folder = tmp_path / "site"
    list(init(folder, Plan(hosts=("clinic.lan", "192.0.2.7"))))
    ca = x509.load_pem_x509_certificate((folder / "tls/ca.pem").read_bytes())
    for name in ("broker/broker.pem", "tls/web.pem"):
        made = x509.load_pem_x509_certificate((folder / name).read_bytes())
        made.verify_directly_issued_by(ca)
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert "clinic.lan" in names.get_values_for_type(x509.DNSName)
        assert {"192.0.2.7", "127.0.0.1"} <= {str(one) for one in names.get_values_for_type(x509.IPAddress)}
        assert (made.not_valid_after_utc - datetime.now(UTC)).days <= 825
        assert isinstance(made.public_key(), ec.EllipticCurvePublicKey)
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_credentials_lists_logins_and_days_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """S-02: an operator sees who may come in and when the certificates end."""
    folder = tmp_path / "site"
    list(init(folder, Plan()))
    (folder / "credentials" / "cuff-1.password").unlink()
    assert install.run_credentials(command(install.add_credentials, "--config", str(folder))) == 0
    said = capsys.readouterr().out
    assert "cuff-1\tsecret taken away" in said
    assert "cuff-2\tsecret still in credentials/" in said
    assert re.search(r"broker/broker\.pem\tends 20\d\d-\d\d-\d\d, in 82[45] days", said)


def test_credentials_says_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """S-02: rotate and retire name the next step; what cannot be done is refused with the remedy."""
    folder = tmp_path / "site"
    list(init(folder, Plan()))

    def act(*words: str) -> tuple[int, str]:
        code = install.run_credentials(command(install.add_credentials, *words, "--config", str(folder)))
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    assert act("retire", "cuff-1") == (
        BAD_FILE,
        "afterwatch: 'cuff-1' has no older login; `afterwatch credentials rotate cuff-1` comes first\n",
    )
    code, said = act("rotate", "cuff-1")
    assert code == 0
    assert "cuff-1~2.password" in said
    assert "systemctl reload mosquitto" in said
    assert act("rotate", "cuff-1")[0] == 3
    assert act("retire", "cuff-1")[1].startswith("ended: cuff-1\n")
    assert act("rotate", "afterwatch")[1].endswith(
        "then restart afterwatch; the broker keeps its messages meanwhile\n"
    )
    assert act("rotate", "nobody")[1].startswith(
        "afterwatch: no account 'nobody'; there are afterwatch, cuff-1"
    )
    assert [login for login in Accounts(folder).logins() if login.startswith("cuff-1")] == ["cuff-1~2"]


@pytest.mark.parametrize(
    ("device", "why"),
    [
        ("afterwatch", "as a program is"),
        ("drill", "as a program is"),
        ("self-check", "as a program is"),
        ("AA:BB", "cannot hold ':'"),
    ],
)
def test_a_device_whose_name_the_broker_cannot_take_is_refused(tmp_path: Path, device: str, why: str) -> None:
    """S-02: no device gets a program's rights by its name; the old rules stay in force."""
    folder = tmp_path / "site"
    list(init(folder, Plan()))
    before = (folder / "broker" / "acl").read_text()
    beds = folder / "beds.toml"
    beds.write_text(beds.read_text().replace('id = "cuff-2"', f'id = "{device}"'))
    with pytest.raises(AccountError, match=why):
        Accounts(folder).apply(config.load(folder))
    assert (folder / "broker" / "acl").read_text() == before


def test_the_rules_know_the_device_that_the_monitor_plays() -> None:
    """AL-34: the rules let the monitor check itself by the name that the check uses."""
    assert accounts_module.SELF_CHECK == self_check.DEVICE


def test_r_20_a_pair_may_speak_to_itself_and_one_monitor_may_not(tmp_path: Path) -> None:
    """R-20, S-03: the topics between two monitors are open to the monitor's account, where there are two."""
    folder = tmp_path / "site"
    list(init(folder, Plan()))
    rules = folder / "broker" / "acl"
    assert "/monitor/pair/" not in rules.read_text()
    (folder / "pair.secret").write_text("between us both " * 3)
    clinic = folder / "clinic.toml"
    clinic.write_text(clinic.read_text() + f'\n[pair]\nname = "a"\nsecret_file = "{folder}/pair.secret"\n')
    Accounts(folder).apply(config.load(folder))
    blocks = dict(block.split("\n", 1) for block in rules.read_text().split("\nuser ")[1:])
    between = ("monitor/lease", "monitor/pair/batch", "monitor/pair/word", "monitor/pair/+/status")
    assert all(f"afterwatch/v1/clinic/{topic}" in blocks["afterwatch"] for topic in between)
    assert not any("/monitor/pair/" in block for name, block in blocks.items() if name != "afterwatch")


def test_a_topic_cannot_smuggle_a_rule_in(tmp_path: Path) -> None:
    """S-03: a line break in a topic of beds.toml makes no rule of its own."""
    folder = tmp_path / "site"
    list(init(folder, Plan()))
    beds = folder / "beds.toml"
    beds.write_text(
        beds.read_text().replace('id = "cuff-2"', 'id = "cuff-2"\ntopic = "x\\ntopic readwrite #"')
    )
    with pytest.raises((AccountError, config.ConfigurationError)):
        Accounts(folder).apply(config.load(folder))
    assert "readwrite #" not in (folder / "broker" / "acl").read_text()


def test_secrets_are_hashed_as_mosquittos_own_tool_does(tmp_path: Path) -> None:
    """S-02: with its salt and rounds, our hash of a secret is the one that mosquitto_passwd writes."""
    file = tmp_path / "passwords"
    tool = program("mosquitto_passwd", "mosquitto")
    subprocess.run([tool, "-H", "sha512-pbkdf2", "-c", "-b", str(file), "a", "secret"], check=True)
    row = file.read_text().strip().removeprefix("a:$")
    _, rounds, salt, _ = row.split("$")
    assert accounts_module.hashed("secret", base64.b64decode(salt), int(rounds)) == row


# --- the broker's settings ----------------------------------------------------------------------------------

WANTED = """
persistence true
autosave_interval 1
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 0
memory_limit 1073741824
set_tcp_nodelay true
persistent_client_expiration 7d
allow_anonymous false
use_username_as_clientid true
tls_version tlsv1.2
listener 8883
listener 1883 127.0.0.1
connection_messages true
""".split("\n")[1:-1]


@pytest.mark.parametrize("line", WANTED)
def test_the_broker_settings_that_lose_nothing_are_there(line: str) -> None:
    """Issue 2 (BLOCKS H), S-01, S-02: each setting by which a reading or a door was lost on the bench."""
    assert line in SETTINGS.splitlines()


def test_the_broker_has_two_doors_and_in_containers_none_without_tls(tmp_path: Path) -> None:
    """S-01: no listener but those we mean; in containers both speak TLS, and paths stay in the mounts."""
    assert re.findall(r"^listener .*", SETTINGS, re.MULTILINE) == ["listener 8883", "listener 1883 127.0.0.1"]
    folder = tmp_path / "site"
    list(init(folder, Plan(container=True)))
    text = (folder / "broker" / "mosquitto.conf").read_text()
    assert re.findall(r"^listener .*", text, re.MULTILINE) == ["listener 8883", "listener 8884"]
    assert text.count("\ncertfile ") == text.count("\ntls_version tlsv1.2") == 2
    paths = re.findall(r"^\w+ (/\S+)", text, re.MULTILINE)
    assert all(path.startswith((f"{folder}/broker/", "/mosquitto/data/")) for path in paths), paths


# --- containers ---------------------------------------------------------------------------------------------

SERVICES: dict[str, Any] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_closed_and_runs_as_nobody(name: str) -> None:
    """Issue 8, item 5: read-only root, no capability, no new privilege, own user; init has no network."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name == "init":
        assert service["network_mode"] == "none"
        assert service["restart"] == "no"
    else:
        assert int(service["user"].split(":")[0]) > 0
        assert "cap_add" not in service
    assert not service.get("privileged")


def test_only_the_devices_door_is_open_to_other_machines() -> None:
    """S-01: 8883 alone is published beyond this machine; the programs' door and the pages are not."""
    ports = [str(port) for service in SERVICES.values() for port in service.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == ["8883:8883"]
    assert SERVICES["monitor"]["ports"] == ["127.0.0.1:8080:8080"]


def test_what_the_compose_file_names_is_defined() -> None:
    """Issue 8: every volume, network and secret that a service uses is there; InfluxDB is a choice."""
    for service in SERVICES.values():
        named = {str(one).split(":")[0] for one in service.get("volumes", []) if not str(one).startswith(".")}
        assert named <= COMPOSE["volumes"].keys()
        assert set(service.get("networks", [])) <= COMPOSE["networks"].keys()
        assert set(service.get("secrets", [])) <= COMPOSE.get("secrets", {}).keys()
        assert set(service.get("depends_on", [])) <= SERVICES.keys()
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == [
        "monitor",
        "mosquitto",
    ]
    assert SERVICES["influxdb"]["profiles"] == ["influxdb"]


def test_the_containers_share_the_paths_that_init_wrote(tmp_path: Path) -> None:
    """Issue 8: a site made in the init container names paths that the monitor and the broker have mounted."""
    mounts = {
        name: [str(one).split(":")[1] for one in SERVICES[name]["volumes"]]
        for name in ("monitor", "mosquitto")
    }
    assert mounts == {
        "monitor": [BOOTH, "/var/lib/afterwatch"],
        "mosquitto": [f"{BOOTH}/broker", "/mosquitto/data"],
    }
    assert SERVICES["mosquitto"]["command"][-1] == f"{BOOTH}/broker/mosquitto.conf"
    assert f"afterwatch init {BOOTH} --container" in SERVICES["init"]["command"][0]
    assert "ENV" in DOCKERFILE
    assert "AFTERWATCH_STORE=/var/lib/afterwatch" in DOCKERFILE


def test_compose_itself_accepts_the_file() -> None:
    """Issue 8: `docker compose config` is valid, where there is a docker with compose."""
    docker = shutil.which("docker")
    version = docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    if not version or version.returncode:
        pytest.skip("no docker compose here: the file was read as YAML only")
    done = subprocess.run(
        [str(docker), "compose", "--profile", "influxdb", "--profile", "init", "config", "--quiet"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions: word and rest, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [
        (line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()
    ]


def test_the_image_is_built_from_pinned_bytes_and_runs_as_nobody() -> None:
    """S-15: every pip checks hashes or has no index; two stages; a numeric user; a health check."""
    steps = instructions()
    assert [word for word, _ in steps].count("FROM") == 2
    installs = [
        part for word, rest in steps if word == "RUN" for part in rest.split("&&") if "pip install" in part
    ]
    assert len(installs) == 3
    assert all("--require-hashes" in part or "--no-index" in part for part in installs)
    assert not any(word == "ADD" or "curl" in rest or "apt-get" in rest for word, rest in steps)
    last = [word for word, _ in steps]
    assert last.index("USER") < last.index("ENTRYPOINT")
    assert dict(steps)["USER"] == "10001:10001"
    assert "/healthz" in dict(steps)["HEALTHCHECK"]


def context_files() -> list[Path]:
    """Return the tracked and new files that .dockerignore lets into the build."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    rules = [
        line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line and line[0] != "#"
    ]

    def enters(name: str) -> bool:
        taken = True
        for rule in rules:
            pattern = rule.lstrip("!")
            if fnmatch.fnmatch(name, pattern) or name.startswith(f"{pattern}/") or pattern == "*":
                taken = rule.startswith("!")
        return taken

    return [Path(name) for name in listed if name and enters(name) and (REPOSITORY / name).is_file()]


def test_the_build_context_makes_the_same_wheel(tmp_path: Path) -> None:
    """Issue 8: what .dockerignore lets in is enough for the wheel; no tests, store or secrets are in it."""
    chosen = context_files()
    tops = {path.parts[0] for path in chosen}
    assert {"monitor", "simulators", "config", "pyproject.toml", "requirements.txt"} <= tops
    assert not tops & {"tests", "bench", "docs", ".git", ".venv", "site"}
    for path in chosen:
        (tmp_path / "src" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / path, tmp_path / "src" / path)
    for fetched in ("monitor/web/static/vendor", "monitor/records/fonts"):  # the image fetches them by npm
        if not (REPOSITORY / fetched).is_dir():
            missing("the vendored browser files", "run `make test`, whose install fetches them")
        shutil.copytree(REPOSITORY / fetched, tmp_path / "src" / fetched, dirs_exist_ok=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    done = subprocess.run(build, cwd=tmp_path / "src", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next((tmp_path / "dist").glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    wanted = {path.as_posix() for path in chosen if path.parts[0] in ("monitor", "simulators")}
    wanted |= {f"monitor/default_{path.as_posix()}" for path in chosen if path.parts[0] == "config"}
    assert wanted <= names


def test_every_file_that_the_image_copies_is_there() -> None:
    """Issue 8: a COPY of a file that does not exist would be found only by the first build at a clinic."""
    entering = {path.as_posix() for path in context_files()}
    for word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            *wanted, _ = rest.split()
            assert all(one == "." or one in entering for one in wanted), rest


def test_the_health_check_of_the_image_tells_well_from_unwell(
    tmp_path: Path, mosquitto: Callable[..., Mosquitto]
) -> None:
    """Issue 8, item 5: the image's own check passes with the broker and fails without it."""
    words: list[str] = json.loads(dict(instructions())["HEALTHCHECK"].split("CMD", 1)[1])
    broker = mosquitto()
    monitor = Running(tmp_path / "site", broker.port, 1)

    def check() -> int:
        asked = [sys.executable, *words[1:-1], words[-1].replace("8080", str(monitor.port))]
        return subprocess.run(asked, capture_output=True, check=False, timeout=20).returncode

    monitor.start()
    try:
        assert _becomes(lambda: check() == 0), "well with a broker"
        broker.stop()
        assert _becomes(lambda: check() != 0), "unwell without"
    finally:
        monitor.stop()
    assert check() != 0


def _becomes(held: Callable[[], bool], tries: int = 40) -> bool:
    return any(held() for _ in range(tries))


# --- the systemd unit ---------------------------------------------------------------------------------------


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Issue 8, item 5: `systemd-analyze verify` finds no mistake in the unit and in Mosquitto's drop-in."""
    analyze = program("systemd-analyze", "systemd")
    text = UNIT.read_text().replace("/opt/afterwatch/.venv/bin/afterwatch", "/bin/true")
    (tmp_path / "afterwatch.service").write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / "afterwatch.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "afterwatch.service" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_the_unit_is_hardened(tmp_path: Path) -> None:
    """Issue 8, item 5: systemd's own measure of exposure is at most 1.5 of 10."""
    analyze = program("systemd-analyze", "systemd")
    (tmp_path / "afterwatch.service").write_text(UNIT.read_text())
    done = subprocess.run(
        [
            analyze,
            "security",
            "--offline=true",
            "--threshold=15",
            "--no-pager",
            str(tmp_path / "afterwatch.service"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_the_unit_starts_again_for_ever_but_not_with_a_broken_configuration() -> None:
    """P-06: a crash is followed by a start within a second; exit code 3 needs a person, and is left alone."""
    rows = dict(
        line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#"
    )
    assert (rows["Restart"], rows["RestartSec"], rows["StartLimitIntervalSec"]) == ("always", "1", "0")
    assert rows["RestartPreventExitStatus"] == str(BAD_FILE)
    assert shlex.split(rows["ExecStart"])[1:] == ["run", "--config", BOOTH]


# --- what is in it ------------------------------------------------------------------------------------------


def test_the_bill_of_materials_names_every_pinned_library(tmp_path: Path) -> None:
    """S-15, ASVS V15.1.2: the CycloneDX command of docs/operating.md lists each pinned version."""
    tool = Path(sys.executable).with_name("cyclonedx-py")
    if not tool.exists():
        missing("cyclonedx-py", "run `make lint` once: it installs the development tools")
    words = [
        str(tool),
        "requirements",
        str(REPOSITORY / "requirements.txt"),
        "-o",
        str(tmp_path / "sbom.json"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sbom = json.loads((tmp_path / "sbom.json").read_text())
    listed = {re.sub(r"[-_.]+", "-", one["name"]).lower(): one["version"] for one in sbom["components"]}
    assert listed == pins("requirements.txt")


# --- the runbook --------------------------------------------------------------------------------------------

SAYING = {"technical", "condition", "Judgement", "ReportCondition", "report_condition"}
NAMING = {"key", "NO_DATA", "UNANSWERED"}


def leading_text(node: ast.expr) -> str:
    """Return the text of a string, or of an f-string up to its first value."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0] if isinstance(node.values[0], ast.Constant) else node
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def technical_keys() -> set[str]:
    """Return the first word of the key of every technical alarm, read from the sources."""
    found: set[str] = set()
    for file in [
        *(REPOSITORY / "monitor" / "core").glob("*.py"),
        *(REPOSITORY / "monitor" / "app").glob("*.py"),
    ]:
        if file.name == "soundness.py":  # its keys are places in a protocol file
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[first, *_]) if (
                    name in SAYING
                ):
                    found.add(leading_text(first).split(":")[0])
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in NAMING:
                    found.add(leading_text(value).split(":")[0])
    taken = {CHANNEL, ALARM_LOAD}  # words that the station has from `notify` and `figures`
    return found - {""} | {word.removesuffix(":") for word in taken}


def test_the_runbook_tells_of_every_technical_alarm() -> None:
    """Issue 8, item 6: each failure, what staff see, what to do; a new alarm without a row fails here."""
    rows = set(
        re.findall(r"^\| `([a-z-]+)` \|", (REPOSITORY / "docs" / "operating.md").read_text(), re.MULTILINE)
    )
    keys = technical_keys()
    assert len(keys) >= 20
    assert rows == keys
