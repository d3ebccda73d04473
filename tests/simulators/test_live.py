"""A drill live, through a real Mosquitto, against the monitor's own core and topics."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from monitor import formats
from monitor.app import topics
from monitor.config import load_protocol
from monitor.core import inputs as given
from monitor.core.device import DeviceProfile
from monitor.core.outcomes import Outcome
from monitor.core.vitals import Mode
from monitor.replay import Stage
from simulators.drill import Drill, load
from simulators.exercise import Live, MonitorRefused, open_live
from simulators.publisher import Broker
from tests.conftest import Mosquitto
from tests.simulators.hands import REPOSITORY, WITHIN_S, ear

ROOT = "afterwatch/v1/clinic"
BED = "bed-1"

SHORT = """
title = "A short one"
teaches = "That it works."
starts_at_min = 20
ends_at_min = 25
may = ["spo2-low"]
[[beds]]
protocol = "iv-ketamine"
course.spo2 = [[10, 97], [20.01, 97], [20.03, 80], [25, 80]]
[[expect]]
rule = "spo2-low-urgent"
priority = "high"
from_min = 20
to_min = 25
truth = "spo2 below 90"
within_s = 120
[[staff]]
does = "acknowledge"
after = "spo2-low-urgent"
at_min = 20.4
within_s = 120
"""


class Monitor:
    """The monitor: its core and its topics on a broker, without journal, pages and messages."""

    def __init__(self, port: int) -> None:
        """Connect; no session yet."""
        self.stage, self.lock = Stage(), threading.Lock()
        self.modes: list[str] = []
        self.told: list[Outcome] = []
        self._came = threading.Condition()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_message = self._message
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(f"{ROOT}/devices/+/+", qos=1)
        self.client.loop_start()
        for name, metrics, interval_s in (
            ("sim-oximeter-1", ("spo2", "pulse_rate"), 1.0),
            ("sim-cuff-1", ("nibp_systolic", "nibp_diastolic"), 300.0),
        ):
            self.stage.associate(BED, DeviceProfile(name, metrics, interval_s), datetime.now(UTC))
        self._tell(())

    def start_session(self, mode: Mode = "drill") -> None:
        """Do what a nurse does on the wall."""
        protocol = load_protocol(REPOSITORY / "config/protocols/iv-ketamine.toml")
        self._do(given.StartSession(f"session-{mode}", "DRILL-bed-1", protocol, "nurse", mode))

    def end_session(self) -> None:
        """End it, as a real high alarm does."""
        self._do(given.EndSession("nurse", "a real alarm"))

    def acknowledge(self) -> None:
        """Acknowledge every alarm, as the nurse."""
        for alarm in list(self.stage.beds[BED].alarms.values()):
            self._do(given.Acknowledge(alarm.alarm_id, "nurse"))

    def _do(self, one: given.Input) -> None:
        with self.lock:
            self._tell(self.stage.do(BED, one, datetime.now(UTC)))

    def _message(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        now, device_id = datetime.now(UTC), message.topic.split("/")[-2]
        if device_id not in self.stage.serves:
            return
        context = formats.Context(device_id, now, message.topic, message.retain)
        for report in formats.decode("native", bytes(message.payload), context).reports:
            self.modes.append(report.mode)
            self._do(given.Observe(report))

    def _tell(self, outcomes: tuple[Outcome, ...]) -> None:
        bed, now = self.stage.beds[BED], datetime.now(UTC)
        self.client.publish(
            f"{ROOT}/beds/{BED}/alarms", topics.alarm_list(bed, "boot", 1, now), 1, retain=True
        )
        for payload in topics.phases(outcomes, "boot"):
            self.client.publish(f"{ROOT}/beds/{BED}/alarm", payload, 1)
        with self._came:
            self.told += outcomes
            self._came.notify_all()

    def until(self, outcome: str, rule: str = "") -> None:
        """Wait for an outcome."""
        with self._came:
            came = self._came.wait_for(
                lambda: any(one.outcome == outcome and rule in ("", one.rule) for one in self.told), WITHIN_S
            )
        assert came, f"no {outcome} {rule} in {[one.outcome for one in self.told]}"

    def ask(self, words: str) -> None:
        """Inject, as the web console does over the broker."""
        self.client.publish(f"{ROOT}/drills/inject", words, 1)


@contextmanager
def monitor_on(broker: Mosquitto) -> Iterator[Monitor]:
    """Give a monitor on a broker."""
    monitor = Monitor(broker.port)
    yield monitor
    monitor.client.disconnect()
    monitor.client.loop_stop()


def drill_file(folder: Path) -> Drill:
    """Write and read the short drill."""
    path = folder / "short.toml"
    path.write_text(SHORT)
    return load(path)


def ready(broker: Mosquitto, drill: Drill) -> tuple[Live, list[str]]:
    """Connect a drill; also give what it says to the facilitator."""
    said: list[str] = []
    return open_live("short", drill, Broker(f"mqtt://127.0.0.1:{broker.port}"), "clinic", said.append), said


@contextmanager
def person(acts: Callable[[], None]) -> Iterator[None]:
    """Let somebody act beside the drill; what goes wrong for them fails the test."""
    went_wrong: list[Exception] = []

    def act() -> None:
        try:
            acts()
        except Exception as fault:  # noqa: BLE001  it is told where the test waits
            went_wrong.append(fault)

    someone = threading.Thread(target=act)
    someone.start()
    yield
    someone.join(WITHIN_S)
    assert not went_wrong, went_wrong


def test_a_live_drill_is_scored(mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    """Issue 6: live at real time; detection is counted against the truth, and so is the acknowledgement."""
    broker = mosquitto()
    live, said = ready(broker, drill_file(tmp_path))
    with monitor_on(broker) as monitor:

        def nurse() -> None:
            monitor.start_session()
            monitor.until("AlarmRaised", "spo2-low-urgent")
            monitor.acknowledge()
            monitor.until("AlarmAcknowledged")
            monitor.ask("stop")

        with person(nurse):
            live.wait_for_sessions(WITHIN_S)
            assert "DRILL-bed-1" in said[0]
            assert "sim-oximeter-1" in said[0]
            card = live.run()
        live.publisher.close()
    assert card.passed, card
    assert (card.raised[0].seconds or 0) > 0
    assert card.staff[0].met, card.staff
    assert (card.staff[0].seconds or 0) >= 0
    assert set(monitor.modes) == {"drill"}


def test_an_inject_from_elsewhere_is_done(mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    """Issue 6: a facilitator's injects, from the terminal or over the broker from the web console."""
    broker = mosquitto()
    live, said = ready(broker, drill_file(tmp_path))
    with monitor_on(broker) as monitor:
        monitor.start_session()

        def facilitator() -> None:
            monitor.ask("bed-1 apnoea 30")
            monitor.ask("no_such_thing 5")
            monitor.ask("probe_off 60")
            monitor.until("AlarmRaised", "no-data:oximeter")
            monitor.ask("stop")

        live.wait_for_sessions(WITHIN_S)
        with person(facilitator):
            live.run()
        live.publisher.close()
    assert any("probe_off" in line for line in said)
    assert any(episode.kind == "apnoea" for episode in live.stage.ward.beds[0].patient.episodes)
    assert any("'no_such_thing' is unknown" in line for line in said)


def test_the_drill_leaves_a_bed_that_is_no_drill_any_more(
    mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    """S-11: when a real alarm ends the drill on its bed, nothing more is sent there, and it says so."""
    broker = mosquitto()
    live, said = ready(broker, drill_file(tmp_path))
    with monitor_on(broker) as monitor, ear(broker, f"{ROOT}/devices/#") as listener:
        monitor.start_session()
        live.wait_for_sessions(WITHIN_S)

        def real_alarm() -> None:
            listener.until(lambda heard: len(heard) >= 3, "the drill's first reports")
            monitor.end_session()

        with person(real_alarm):
            live.run()
        count = live.publisher.tally.sent
        listener.until(lambda heard: len(heard) >= count, "all that was sent")
        live.publisher.close()
        with ear(broker, f"{ROOT}/beds/#") as later:  # heard after the drill's last word, if there is one
            later.until(lambda heard: len(heard) >= 1, "the bed's own word")
        assert len(listener.heard) == count
    assert live.left == {BED: "its session ended"}
    assert any("no drill any more" in line for line in said)


def test_a_drill_never_joins_a_real_session(mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    """S-10: a bed with a real session refuses the drill before anything is sent."""
    broker = mosquitto()
    live, _ = ready(broker, drill_file(tmp_path))
    with monitor_on(broker) as monitor:
        monitor.start_session("real")
        with pytest.raises(MonitorRefused, match="bed-1 has a real session"):
            live.wait_for_sessions(10)
        live.publisher.close()
        assert monitor.modes == []


def test_a_drill_does_not_wait_for_ever(mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    """Errors name the place and the remedy."""
    broker = mosquitto()
    live, _ = ready(broker, drill_file(tmp_path))
    with pytest.raises(MonitorRefused, match="no drill session on bed-1 within 1 s; start one on the wall"):
        live.wait_for_sessions(1)
    live.publisher.close()


def test_the_alarm_topic_is_what_the_score_reads() -> None:
    """The contract with monitor.topics: outcome, rule, priority, mode and time are there."""
    row = Outcome("AlarmRaised", datetime.now(UTC), BED, "s", "a", "spo2-low-urgent", "physiological", "high")
    told = json.loads(topics.phases([row], "boot")[0])
    assert {"outcome", "rule", "priority", "mode", "at", "alarm_id", "kind"} <= set(told)
