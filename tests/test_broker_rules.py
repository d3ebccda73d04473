"""What a real Mosquitto makes of the settings, certificates and rules that `afterwatch init` writes.

The law: what may and may not be said is written here once more, by hand, from the requirements; the broker
decides, not our generator. Every pair of account and topic is tried, in both directions.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from monitor import config
from monitor.install.accounts import Accounts, hashed
from monitor.install.layout import Plan, init, renew_certificates
from tests.conftest import LOOPBACK, Mosquitto, Running, find_free_port, program, wait_for

ROOT = "afterwatch/v1/clinic"
DEVICES = ("oximeter-1", "cuff-1", "oximeter-2", "cuff-2", "gateway-1")
OBSERVER = "observer"  # of these tests only: hears everything, so that what was denied is known to be unheard
GATEWAY_TOPIC = "home/+/BTtoMQTT/#"
MORE_BEDS = f"""
[[devices]]
id = "gateway-1"
topic = "{GATEWAY_TOPIC}"
format = "theengs"

[[devices]]
id = "sim-oximeter-1"
bed = "bed-1"
metrics = ["spo2", "pulse_rate"]
"""
DENIED = 0x87  # MQTT 5, not authorized


# --- a site with its broker ---------------------------------------------------------------------------------


class SiteBroker(Mosquitto):
    """A Mosquitto with the file that `afterwatch init` wrote; only ports and the place on disk differ."""

    def __init__(self, executable: str, folder: Path, site: Path) -> None:
        """Start the broker of a site's folder."""
        self.site, self.tls_port = site, find_free_port()
        super().__init__(executable, folder)
        # It listens before it heeds signals: a reload in between would end it.
        wait_for(lambda: " running" in self.log.read_text(errors="replace"), "the broker to run")

    def _configuration(self, extra: str) -> str:
        text = (self.site / "broker" / "mosquitto.conf").read_text()
        for old, new in (
            ("persistence_location /var/lib/mosquitto/", f"persistence_location {self.folder}/"),
            ("persistence_location /mosquitto/data/", f"persistence_location {self.folder}/"),
            ("listener 8883\n", f"listener {self.tls_port}\n"),
            ("listener 1883 ", f"listener {self.port} "),
            ("listener 8884\n", f"listener {self.port}\n"),
        ):
            text = text.replace(old, new)
        text += "log_type information\n"  # it says there that it has reloaded
        return text + ("user root\n" if os.geteuid() == 0 else "")

    def reload(self) -> None:
        """Send what `systemctl reload mosquitto` sends, and wait until it was heard."""
        before = self._reloads()
        while self._reloads() == before:  # a signal that comes while it still reloads is lost
            os.kill(self.pid, signal.SIGHUP)
            time.sleep(0.3)  # it acts on it in its next turn

    def _reloads(self) -> int:
        return self.log.read_text(errors="replace").count("Reloading config")


class Site:
    """A site that `afterwatch init` laid out, with its broker running."""

    def __init__(self, executable: str, folder: Path, *, container: bool = False) -> None:
        """Lay it out with a gateway and a simulated device more, and start the broker."""
        self.folder = folder / "site"
        self.said = list(init(self.folder, Plan(container=container, hosts=("clinic.lan",))))
        with (self.folder / "beds.toml").open("a") as beds:
            beds.write(MORE_BEDS)
        self.accounts = Accounts(self.folder)
        self.accounts.apply(self.configuration)
        self.broker = SiteBroker(executable, folder / "broker", self.folder)

    @property
    def configuration(self) -> config.Configuration:
        """The site's configuration as it is now."""
        return config.load(self.folder)

    def secret(self, login: str) -> str:
        """Return the secret that lies ready for a login."""
        return self.accounts.secret_file(login).read_text().strip()

    def add_observer(self) -> None:
        """Give the tests an account that hears everything."""
        with self.accounts.passwords.open("a") as passwords:
            passwords.write(f"{OBSERVER}:${hashed(OBSERVER)}\n")
        with self.accounts.rules.open("a") as rules:
            rules.write(f"\nuser {OBSERVER}\ntopic read #\n")
        self.accounts.secret_file(OBSERVER).write_text(OBSERVER)
        self.broker.reload()


@pytest.fixture
def lay_out(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Give a function that makes a site and starts its broker."""
    executable = program("mosquitto", "mosquitto")
    made: list[Site] = []

    def begin(**options: bool) -> Site:
        made.append(Site(executable, tmp_path / str(len(made)), **options))
        return made[-1]

    yield begin
    for site in made:
        site.broker.stop()


class Speaker:
    """One client of the broker, over TLS like a device or by the programs' door."""

    def __init__(
        self,
        site: Site,
        login: str,
        *,
        client_id: str = "",
        tls: bool = True,
        secret: str = "",
    ) -> None:
        """Connect as a login; `refused` says why not."""
        self.heard: list[tuple[str, bytes]] = []
        self.refused, self.dropped = "", threading.Event()
        self._answers: dict[int, int] = {}
        self._answered, self._ready = threading.Condition(), threading.Event()
        name = client_id or login
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5
        )
        self.client.username_pw_set(login, secret or site.secret(login))
        if tls:
            authority = ssl.create_default_context(cafile=str(site.folder / "tls" / "ca.pem"))
            self.client.tls_set_context(authority)
        self.client.on_connect = self._connected
        self.client.on_message = lambda _c, _u, message: self.heard.append((message.topic, message.payload))
        self.client.on_disconnect = lambda *_: self.dropped.set()
        self.client.on_publish = self._published
        self.client.on_subscribe = lambda *_: self._ready.set()
        # Mosquitto 2.0.11 hangs up on who publishes what is denied, after it has said so.
        self.client.reconnect_delay_set(0.01, 0.01)  # type: ignore[arg-type]
        self.client.connect(LOOPBACK, site.broker.tls_port if tls else site.broker.port)
        self.client.loop_start()
        assert self._ready.wait(10), f"{login} had no answer"
        self._ready.clear()

    def _connected(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _more: Any) -> None:
        self.refused = str(reason) if reason.is_failure else ""
        self._ready.set()

    def _published(self, _client: Any, _userdata: Any, mid: int, reason: Any, _more: Any) -> None:
        with self._answered:
            self._answers[mid] = reason.value
            self._answered.notify_all()

    def subscribe(self, topic: str) -> None:
        """Subscribe; a broker may grant this and deliver nothing."""
        self.client.subscribe(topic, qos=1)
        assert self._ready.wait(10)

    def say(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> int:
        """Publish at QoS 1; return the broker's reason code."""
        mid = self.client.publish(topic, payload, qos=1, retain=retain).mid
        with self._answered:
            assert self._answered.wait_for(lambda: mid in self._answers, 10), f"no answer on {topic}"
        return self._answers[mid]

    def end(self) -> None:
        """Close the connection."""
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def speak() -> Iterator[Callable[..., Speaker]]:
    """Give a function that connects a client; all are closed at the end."""
    speakers: list[Speaker] = []

    def begin(site: Site, login: str, **options: Any) -> Speaker:
        speakers.append(Speaker(site, login, **options))
        return speakers[-1]

    yield begin
    for speaker in speakers:
        speaker.end()


# --- every pair ---------------------------------------------------------------------------------------------

SPOKEN_BY_MONITOR = (
    *(f"{ROOT}/beds/{bed}/{word}" for bed in ("bed-1", "bed-2", "station") for word in ("alarms", "alarm")),
    f"{ROOT}/monitor/status",
)
OF_DRILLS = tuple(f"{ROOT}/drills/{bed}/outcome" for bed in ("bed-1", "bed-2"))
INJECT = f"{ROOT}/drills/inject"
SELF_CHECK = (f"{ROOT}/devices/self-check/report", f"{ROOT}/monitor/self-check")
SPOKEN_BY_DEVICES = tuple(
    f"{ROOT}/devices/{device}/{word}"
    for device in (*DEVICES, "sim-oximeter-1")
    for word in ("report", "status")
)
COMMITTED = tuple(f"{ROOT}/devices/{device}/committed" for device in (*DEVICES, "sim-oximeter-1"))
STRANGE = (
    "afterwatch/v1/other/devices/oximeter-1/report",
    "afterwatch/v1/clinic",
    f"{ROOT}/devices/oximeter-1",
    f"{ROOT}/devices/oximeter-1/report/more",
    f"{ROOT}/devices/oximeter-11/report",
    f"{ROOT}/devices/stranger/report",
    f"{ROOT}/beds/bed-9/alarms",
    f"{ROOT}/beds/bed-1/limits",
    f"{ROOT}/monitor/commands",
    "$SYS/broker/log",
    "home/gw/elsewhere",
    "x",
)
GATEWAY = ("home/gw1/BTtoMQTT/AABBCCDDEEFF",)
TOPICS = (
    *SPOKEN_BY_MONITOR,
    *OF_DRILLS,
    INJECT,
    *SELF_CHECK,
    *SPOKEN_BY_DEVICES,
    *COMMITTED,
    *STRANGE,
    *GATEWAY,
)
ACCOUNTS = ("afterwatch", "drill", "listener", *DEVICES)


def may_say(account: str, topic: str) -> bool:
    """S-03, S-07, S-10 in words: who may publish where."""
    if account == "afterwatch":
        return topic in (*SPOKEN_BY_MONITOR, *OF_DRILLS, *SELF_CHECK, *COMMITTED)
    if account == "listener":
        return False
    if account == "drill" and topic == INJECT:
        return True
    own = "sim-oximeter-1" if account == "drill" else account
    return topic in (f"{ROOT}/devices/{own}/report", f"{ROOT}/devices/{own}/status") or (
        account == "gateway-1" and topic in GATEWAY
    )


def may_hear(account: str, topic: str) -> bool:
    """S-03 in words: who may read what."""
    reported = topic.startswith(f"{ROOT}/devices/") and topic.count("/") == 5
    if account == "afterwatch":
        return topic in (*GATEWAY, SELF_CHECK[1]) or (reported and topic.endswith(("/report", "/status")))
    if account == "drill" and topic in (*OF_DRILLS, INJECT):
        return True
    own = "sim-oximeter-1" if account == "drill" else account
    if account in ("drill", "listener") and topic in (*SPOKEN_BY_MONITOR, f"{ROOT}/beds/bed-9/alarms"):
        return True
    return account != "listener" and topic == f"{ROOT}/devices/{own}/committed"


def test_s_03_every_forbidden_pair_is_denied_and_every_needed_one_allowed_to_publish(
    lay_out: Callable[..., Site], speak: Callable[..., Speaker]
) -> None:
    """S-03, S-07: a device publishes only of itself, the monitor by no wildcard, nobody else of alarms."""
    site = lay_out()
    site.add_observer()
    observer = speak(site, OBSERVER)
    observer.subscribe("#")
    for account in ACCOUNTS:
        speaker = speak(site, account)
        assert not speaker.refused, f"{account}: {speaker.refused}"
        for topic in TOPICS:
            allowed = speaker.say(topic, account.encode()) != DENIED
            assert allowed == may_say(account, topic), (account, topic, allowed)
    last = (SPOKEN_BY_MONITOR[0], b"the last")
    speak(site, "afterwatch").say(*last)
    wait_for(lambda: last in observer.heard, "the last message")
    pairs = [(topic, account.encode()) for account in ACCOUNTS for topic in TOPICS]
    needed = [(topic, account) for topic, account in pairs if may_say(account.decode(), topic)]
    assert sorted(observer.heard[:-1]) == sorted(needed), "heard: what was allowed, and nothing of the rest"
    print(f"{len(pairs)} pairs: {len(needed)} allowed, {len(pairs) - len(needed)} denied")


def test_s_03_nobody_hears_what_is_not_for_them(
    lay_out: Callable[..., Site], speak: Callable[..., Speaker]
) -> None:
    """S-03: a device hears only what is durable of it, whatever it asks for; reports reach the monitor."""
    site = lay_out()
    with site.accounts.rules.open("a") as rules:
        rules.write(f"\nuser {OBSERVER}\ntopic readwrite #\n")
    with site.accounts.passwords.open("a") as passwords:
        passwords.write(f"{OBSERVER}:${hashed(OBSERVER)}\n")
    site.broker.reload()
    listeners = {account: speak(site, account) for account in ACCOUNTS}
    for one in listeners.values():
        one.subscribe("#")
    everybody = speak(site, OBSERVER, secret=OBSERVER)
    topics = [topic for topic in TOPICS if not topic.startswith("$")]
    for topic in topics:
        assert everybody.say(topic, b"said") != DENIED
    expected = {
        account: sorted(topic for topic in topics if may_hear(account, topic)) for account in ACCOUNTS
    }
    for account, one in listeners.items():
        wait_for(lambda a=account, o=one: len(o.heard) >= len(expected[a]), f"{account}'s messages")  # type: ignore[misc]
    assert {
        account: sorted(topic for topic, _ in one.heard) for account, one in listeners.items()
    } == expected


# --- doors --------------------------------------------------------------------------------------------------


def handshake(site: Site, context: ssl.SSLContext, name: str = LOOPBACK) -> str:
    """Return the TLS version that the devices' door agrees to."""
    with (
        socket.create_connection((LOOPBACK, site.broker.tls_port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        return str(secured.version())


def test_s_01_the_devices_door_speaks_new_tls_only_and_the_other_is_on_loopback(
    lay_out: Callable[..., Site],
) -> None:
    """S-01, ASVS V12.1.1: TLS 1.2 or newer on 8883, names checked; 1883 is not there for other hosts."""
    site = lay_out()
    authority = str(site.folder / "tls" / "ca.pem")
    assert handshake(site, ssl.create_default_context(cafile=authority)) in ("TLSv1.2", "TLSv1.3")
    assert handshake(site, ssl.create_default_context(cafile=authority), "clinic.lan")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'evil\.lan'"):
        handshake(site, ssl.create_default_context(cafile=authority), "evil.lan")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(site, ssl.create_default_context())
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(authority)
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(site, old)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", site.broker.port), timeout=5)
    socket.create_connection(("127.0.0.2", site.broker.tls_port), timeout=5).close()


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize(
    ("login", "secret"),
    [("oximeter-1", "wrong"), ("nobody", "x"), ("oximeter-1", "\0"), ("cuff-1", OBSERVER)],
)
def test_s_02_a_wrong_secret_is_refused_and_written_down(
    lay_out: Callable[..., Site], speak: Callable[..., Speaker], login: str, secret: str, tls: bool
) -> None:
    """S-02, S-09: no one comes in by a wrong name or secret, by neither door; the broker's log says so."""
    site = lay_out()
    assert speak(site, login, secret=secret, tls=tls).refused == "Not authorized"
    wait_for(lambda: "not authorised" in site.broker.log.read_text(errors="replace"), "the line in the log")


def test_s_02_nobody_comes_in_without_a_name(lay_out: Callable[..., Site]) -> None:
    """S-02: no anonymous client, by neither door."""
    site = lay_out()
    publish = [
        program("mosquitto_pub", "mosquitto-clients"),
        "-h",
        LOOPBACK,
        "-i",
        "me",
        "-t",
        "x",
        "-m",
        "x",
    ]
    tls = ["-p", str(site.broker.tls_port), "--cafile", str(site.folder / "tls" / "ca.pem")]
    for door in (tls, ["-p", str(site.broker.port)]):
        done = subprocess.run([*publish, *door], capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 5, done.stderr
        assert "not authorised" in done.stderr


def test_s_04_a_device_cannot_take_the_monitors_place(
    lay_out: Callable[..., Site], speak: Callable[..., Speaker]
) -> None:
    """S-04: by the devices' door a client is who its password says; another's client id takes over nobody."""
    site = lay_out()
    monitor = speak(site, "afterwatch", client_id="afterwatch-monitor", tls=False)
    by_tls = speak(site, "cuff-1")
    for name in ("afterwatch-monitor", "afterwatch", "cuff-1"):
        assert not speak(site, "oximeter-1", client_id=name).refused
    assert not monitor.dropped.wait(0.3)
    assert not by_tls.dropped.is_set()
    assert speak(site, "cuff-1").refused == ""
    assert by_tls.dropped.wait(10), "the same credential again takes over its own session (P-18)"
    assert "already connected, closing old connection" in site.broker.log.read_text(errors="replace")


def test_a_message_over_the_limit_of_the_monitor_reaches_its_quarantine(
    lay_out: Callable[..., Site], speak: Callable[..., Speaker]
) -> None:
    """P-25, S-05: a message too large for a report is not dropped unseen; the monitor must refuse it."""
    site = lay_out()
    monitor = speak(site, "afterwatch", tls=False)
    monitor.subscribe(f"{ROOT}/devices/+/report")
    device = speak(site, "oximeter-1")
    assert device.say(f"{ROOT}/devices/oximeter-1/report", b"x" * 16_385) == 0
    wait_for(lambda: len(monitor.heard) == 1, "the message")
    device.client.publish(f"{ROOT}/devices/oximeter-1/report", b"x" * 300_000, qos=1)
    assert device.dropped.wait(10), "what could fill the broker's memory is not taken"
    assert len(monitor.heard) == 1


# --- new credentials ----------------------------------------------------------------------------------------


def test_s_02_a_devices_credential_is_renewed_without_a_gap(
    lay_out: Callable[..., Site], speak: Callable[..., Speaker]
) -> None:
    """S-02: old and new login work side by side until the old one is retired; no reading is lost."""
    site, topic = lay_out(), f"{ROOT}/devices/oximeter-1/report"
    monitor = speak(site, "afterwatch", tls=False)
    monitor.subscribe(f"{ROOT}/devices/+/report")
    old = speak(site, "oximeter-1")
    assert old.say(topic, b"1") == 0
    assert site.accounts.rotate("oximeter-1", site.configuration) == "oximeter-1~2"
    site.broker.reload()
    assert old.say(topic, b"2") == 0, "the old login is alive until the device has the new one"
    stranger = speak(site, "oximeter-1~2")
    assert stranger.say(f"{ROOT}/devices/cuff-1/report") == DENIED
    stranger.end()  # the broker hung up on it, and it would come back to take the other's place
    new = speak(site, "oximeter-1~2")
    assert (new.refused, new.say(topic, b"3"), old.say(topic, b"4")) == ("", 0, 0)
    assert site.accounts.retire("oximeter-1", site.configuration) == ["oximeter-1"]
    site.broker.reload()
    assert old.dropped.wait(10), "a retired login is dropped at once, not at its next connection"
    assert new.say(topic, b"5") == 0
    assert not new.dropped.is_set()
    assert not monitor.dropped.is_set()
    wait_for(lambda: len(monitor.heard) == 5, "five readings")
    assert [payload for _, payload in monitor.heard] == [b"1", b"2", b"3", b"4", b"5"]
    assert not site.accounts.secret_file("oximeter-1").exists()


def test_a_device_that_leaves_beds_toml_leaves_the_broker(
    lay_out: Callable[..., Site], speak: Callable[..., Speaker]
) -> None:
    """S-02: `apply` ends the login of a device that is gone, makes a newcomer's, and keeps the others."""
    site = lay_out()
    secret = site.secret("cuff-1")
    gone = speak(site, "oximeter-1")
    beds = site.folder / "beds.toml"
    beds.write_text(beds.read_text().replace('id = "oximeter-1"', 'id = "oximeter-9"'))
    assert site.accounts.apply(site.configuration) == (["oximeter-9"], ["oximeter-1"])
    site.broker.reload()
    assert gone.dropped.wait(10)
    assert not speak(site, "oximeter-9").refused
    assert site.secret("cuff-1") == secret


def test_new_certificates_serve_after_a_restart_and_the_devices_need_nothing_new(
    lay_out: Callable[..., Site], speak: Callable[..., Speaker]
) -> None:
    """S-02: a certificate that runs out is replaced by the same authority; what devices trust stays."""
    site = lay_out()
    list(renew_certificates(site.folder, ["new.lan", LOOPBACK]))
    site.broker.restart()
    assert not speak(site, "oximeter-1").refused
    authority = ssl.create_default_context(cafile=str(site.folder / "tls" / "ca.pem"))
    assert handshake(site, authority, "new.lan")


# --- the real thing over it ---------------------------------------------------------------------------------


def test_afterwatch_runs_over_tls_with_the_rules_that_init_wrote(
    lay_out: Callable[..., Site], speak: Callable[..., Speaker], tmp_path: Path
) -> None:
    """Issue 8, item 5: device, broker and monitor with what `init` made alone; the reading is durable."""
    site = lay_out(container=True)
    monitor = Running(tmp_path / "unused", 0, 1)
    monitor.folder = site.folder
    clinic = site.folder / "clinic.toml"
    settings = (
        clinic.read_text().replace('"mosquitto"', f'"{LOOPBACK}"').replace("8884", str(site.broker.port))
    )
    clinic.write_text(settings.replace("port = 8080", f"port = {monitor.port}").replace("0.0.0.0", LOOPBACK))
    assert "tls_ca" in settings
    site.add_observer()
    observer = speak(site, OBSERVER)
    observer.subscribe(f"{ROOT}/monitor/self-check")
    monitor.start()
    try:
        wait_for(lambda: healthy(monitor), "the link", within_s=20)
        listener = speak(site, "listener")
        listener.subscribe(f"{ROOT}/#")
        device = speak(site, "oximeter-1")
        device.subscribe(f"{ROOT}/devices/oximeter-1/committed")
        report = {"boot_id": "b1", "sequence": 1, "values": {"spo2": 97, "pulse_rate": 70}}
        assert device.say(f"{ROOT}/devices/oximeter-1/report", json.dumps(report).encode()) == 0
        wait_for(lambda: bool(device.heard), "the word that it is durable")
        assert json.loads(device.heard[-1][1]) == {"boot_id": "b1", "sequence": 1}
        wait_for(
            lambda: any(t == f"{ROOT}/beds/bed-1/alarms" for t, _ in listener.heard), "the list of alarms"
        )
        assert any(t == f"{ROOT}/monitor/status" for t, _ in listener.heard)
        wait_for(lambda: bool(observer.heard), "the monitor's check of itself (AL-34)")
        assert json.loads(observer.heard[0][1])["raised"] is True
        connections = re.findall(r"as afterwatch-monitor", site.broker.log.read_text(errors="replace"))
        assert len(connections) == 1, "a broker that denies the monitor a topic hangs up on it"
    finally:
        code = monitor.stop()
    assert code == 0, monitor.log.read_text(errors="replace")[-2000:]


def healthy(monitor: Running) -> bool:
    """Ask the monitor whether it is well: link up, journal durable, loop running."""
    try:
        with urllib.request.urlopen(f"{monitor.address}/healthz", timeout=5) as answer:
            return bool(json.load(answer)["ok"])
    except urllib.error.HTTPError as refused:
        refused.close()
        return False
