"""Traffic: a device that floods, and messages that pile up, are told at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from monitor.app.inbox import CAPACITY
from monitor.app.station import Judgement
from monitor.app.traffic import FLOOD_A_SECOND, SPAN_S, Traffic
from monitor.mqtt import Envelope
from tests.app.test_running_site import Ear, ear  # noqa: F401  a fixture
from tests.conftest import Mosquitto, Running

AT = datetime(2026, 11, 27, 12, tzinfo=UTC)


def messages(device: str, count: int) -> list[Envelope]:
    """Return so many messages of a device, on two topics in turn."""
    return [Envelope(f"{device}/{number % 2}", b"", AT, False, 1, 1) for number in range(count)]


def test_s_05_a_device_that_floods_is_named_until_it_no_longer_does() -> None:
    """S-05: by its own share, over whatever topics; the pace of docs/wire.md and a busy ward are none."""
    now = [0.0]
    traffic = Traffic(lambda topic: topic.partition("/")[0], lambda: now[0])
    most = int(FLOOD_A_SECOND * SPAN_S)
    for device in range(100):
        traffic.take(messages(f"ox-{device}", 250))  # 50 a second
    traffic.take(messages("bridge", most))
    now[0] = SPAN_S
    assert traffic.judge(0) == []
    traffic.take(messages("mad", most + 1))
    assert traffic.judge(0) == []  # not yet a whole span
    now[0] = 2 * SPAN_S
    [judged] = traffic.judge(0)
    assert (judged.key, judged.priority) == ("flood:mad", "low")
    assert judged.text.startswith("mad sends more than 250 messages a second")
    now[0] = 3 * SPAN_S
    assert traffic.judge(0) == [Judgement("flood:mad", None, "")]


def test_r_14_messages_that_pile_up_are_told_and_their_end_too() -> None:
    """R-14: from half of what the inbox holds on, until it is nearly empty; once each way."""
    traffic = Traffic(str)
    assert traffic.judge(CAPACITY // 2) == []
    [judged] = traffic.judge(CAPACITY // 2 + 1)
    assert (judged.key, judged.priority) == ("behind", "medium")
    assert "alarms may be late" in judged.text
    assert traffic.judge(CAPACITY // 4) == []
    assert traffic.judge(CAPACITY // 10) == [Judgement("behind", None, judged.text)]
    assert traffic.judge(CAPACITY // 4) == []


def test_s_05_a_flood_through_a_real_broker_is_told_at_the_station(
    mosquitto: Callable[..., Mosquitto],
    running: Callable[..., Running],
    ear: Callable[[int], Ear],  # noqa: F811
) -> None:
    """S-05: within a span of counting, on the alarm topic; it ends by itself."""
    broker = mosquitto()
    running(broker.port).start()
    one = ear(broker.port)
    for number in range(int(2 * FLOOD_A_SECOND * SPAN_S)):
        one.say("mad", {"boot_id": "b", "sequence": number, "values": {"spo2": 97}})

    def told(phase: str) -> bool:
        return any(
            (said["rule"], said["phase"]) == ("flood:mad", phase) for said in one.of("/beds/station/alarm")
        )

    one.wait(lambda: told("start"), "the flood's alarm")
    one.wait(lambda: told("end"), "its end")
