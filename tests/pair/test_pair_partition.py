"""A cut cable between the active monitor and the broker, in real network namespaces (R-20)."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.app.test_running_site import Ear, begin_session
from tests.conftest import PATIENCE_S, REPOSITORY, Mosquitto, Running, find_free_port, missing, wait_for
from tests.pair.pairs import SECRET, Pager, Patient, Two, said, settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Net:
    """Two namespaces, each with one cable to the broker and one to the pager."""

    def __init__(self) -> None:
        """Lay the cables. Skips by name where that is not permitted."""
        self.tag = f"aw{secrets.token_hex(2)}"
        self.third = 16 + secrets.randbelow(200)
        try:
            self._lay()
        except (OSError, subprocess.CalledProcessError) as fault:
            self.remove()
            missing("network namespaces", f"run as root with CAP_NET_ADMIN and iproute2 ({fault})")

    def _lay(self) -> None:
        for cable, place in (("b", self.broker), ("p", self.pager)):
            run(f"ip link add {self.tag}{cable} type bridge")
            run(f"ip addr add {place}/24 dev {self.tag}{cable}")
            run(f"ip link set {self.tag}{cable} up")
        for number, name in ((2, "a"), (3, "b")):
            run(f"ip netns add {self.tag}-{name}")
            run(f"ip -n {self.tag}-{name} link set lo up")
            for cable, place in (("b", self.broker), ("p", self.pager)):
                outer, inner = f"{self.tag}{name}{cable}", f"to{cable}"
                run(f"ip link add {outer} type veth peer name {inner} netns {self.tag}-{name}")
                run(f"ip link set {outer} master {self.tag}{cable} up")
                address = f"{place.rsplit('.', 1)[0]}.{number}"
                run(f"ip -n {self.tag}-{name} addr add {address}/24 dev {inner}")
                run(f"ip -n {self.tag}-{name} link set {inner} up")

    @property
    def broker(self) -> str:
        """The address of the broker."""
        return f"10.231.{self.third}.1"

    @property
    def pager(self) -> str:
        """The address of the pager."""
        return f"10.232.{self.third}.1"

    def home(self, name: str) -> str:
        """Return the address at which the pages of a monitor are found, on the pager's cable."""
        return f"10.232.{self.third}.{2 if name == 'a' else 3}"

    def cut(self, name: str) -> None:
        """Pull the cable between a monitor and the broker."""
        run(f"ip -n {self.tag}-{name} link set tob down")

    def mend(self, name: str) -> None:
        """Put it back."""
        run(f"ip -n {self.tag}-{name} link set tob up")

    def remove(self) -> None:
        """Take everything away."""
        for name in "ab":
            subprocess.run(["ip", "netns", "del", f"{self.tag}-{name}"], capture_output=True, check=False)
        for cable in "bp":
            subprocess.run(["ip", "link", "del", f"{self.tag}{cable}"], capture_output=True, check=False)


def run(command: str) -> None:
    """Run a command that must succeed."""
    if shutil.which("ip") is None:
        raise OSError("no program ip")
    subprocess.run(command.split(), check=True, capture_output=True)


@pytest.fixture
def net() -> Iterator[Net]:
    """Give the cables."""
    one = Net()
    yield one
    one.remove()


class Inside(Running):
    """A monitor that runs in a namespace."""

    def __init__(self, folder: Path, net: Net, name: str, broker_port: int, pager: Pager) -> None:
        """Write the configuration."""
        super().__init__(folder, broker_port, 2, settings(name, pager, net.pager))
        self._namespace, self._host = f"{net.tag}-{name}", net.home(name)
        self.address = f"http://{self._host}:{self.port}"
        file = folder / "clinic.toml"
        text = file.read_text().replace("[broker]\n", f'[broker]\nhost = "{net.broker}"\n')
        file.write_text(text.replace("[web]\n", f'[web]\nhost = "{self._host}"\n'))

    def start(self, within_s: float = PATIENCE_S) -> None:
        """Start, and return when the pages answer."""
        command = [sys.executable, "-m", "monitor", "run", "--config", str(self.folder)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["ip", "netns", "exec", self._namespace, *command], stdout=log, stderr=log, cwd=REPOSITORY
            )

        def answers() -> bool:
            try:
                return httpx.get(f"{self.address}/healthz", timeout=2).status_code in (200, 503)
            except httpx.HTTPError:
                return False

        wait_for(answers, f"the pages of {self._namespace}", within_s)


def test_r_20_a_monitor_that_is_cut_off_is_replaced_never_silent_and_steps_down_when_it_is_back(
    net: Net,
    mosquitto: Callable[..., Mosquitto],
    ear: Callable[[int], Ear],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R-20: the other takes over; the one cut off tells people what it lacks; then one speaks."""
    monkeypatch.setenv("AFTERWATCH_TEST_PAIR", SECRET)
    port = find_free_port()
    broker = mosquitto(f" listener {port} {net.broker}\n")
    pager = Pager(net.pager)
    hearing = ear(broker.port)
    one, other = (Inside(tmp_path / name, net, name, port, pager) for name in ("a", "b"))
    two = Two(one, other, hearing, pager)
    patients = [Patient(hearing, f"oximeter-{number}") for number in (1, 2)]
    try:
        two.start()
        for number in (1, 2):
            begin_session(one, f"bed-{number}").close()
        net.cut("a")
        cut_at = time.monotonic()
        patients[0].spo2 = 70
        gap_s = wait_for(lambda: "is active" in said(other), "the takeover")
        wait_for(lambda: pager.of("Room 1"), "the message of the fall in the gap")
        print(
            f"\npartition: active after {gap_s:.1f} s, told after {pager.of('Room 1')[0][0] - cut_at:.1f} s"
        )
        wait_for(lambda: pager.of("does not confirm the lease"), "what the one cut off tells")
        assert "steps down" not in said(one)
        net.mend("a")
        wait_for(lambda: "steps down" in said(one), "the old one to step down")
        wait_for(lambda: said(one).count("monitor a follows") == 2, "the old one to follow")
        boot, heard = two.boot("bed-1"), len(hearing.heard)
        patients[1].spo2 = 70
        wait_for(lambda: two.high("bed-2"), "the alarm of the second room")
        spoken = {words["boot_id"] for topic, words, _ in hearing.heard[heard:] if "/beds/" in topic}
        assert spoken == {boot}
    finally:
        for patient in patients:
            patient.end()
        for monitor in (one, other):
            monitor.stop()
        pager.end()
