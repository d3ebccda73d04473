"""Delivery: no target waits for another, every attempt is reported, and nobody is believed too far."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from monitor.config import Target
from monitor.notify import Notification, Notifier, Result, try_targets
from monitor.notify.delivery import MOST_STUCK, STUCK_FORGOTTEN_S
from monitor.notify.service import Send, judge, secrets_of
from tests.conftest import Mosquitto, wait_for
from tests.notify.conftest import NOW, Hand
from tests.notify.places import WITHIN_S, HttpPlace, MailPlace, silent_port

Begin = Callable[..., Notifier]


def message(target: str, key: str = "", **changes: object) -> Notification:
    """Return a high notification made at noon, that lives for five minutes."""
    made = Notification(
        key or f"alarm-1/high/0/{target}/raised",
        "alarm-1",
        "bed-4",
        "session-1",
        target,
        "high",
        "real",
        "HIGH, Room 4: SpO2 84 %",
        "SpO2 84 % < 85\nref alarm-1",
        NOW,
        NOW + timedelta(minutes=5),
    )
    return made._replace(**changes)  # type: ignore[arg-type]


def states(results: list[Result], target: str = "") -> list[str]:
    """Return what was reported, in order, of one target or of all."""
    return [one.state for one in results if target in ("", one.target)]


# --- real channels -----------------------------------------------------------------------------------------


def test_a_json_target_gets_title_and_body(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result]
) -> None:
    """AL-38: the message arrives over HTTP as JSON and is reported delivered after one attempt."""
    place = http_place()
    begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/in")).submit([message("phone")])
    body = place.wait()[0].body
    assert body["title"] == "HIGH, Room 4: SpO2 84 %"
    assert "SpO2 84 % < 85" in body["message"]
    wait_for(lambda: bool(results))
    assert [(one.state, one.attempts, one.final) for one in results] == [("delivered", 1, True)]


def test_a_mail_target_gets_the_text_unharmed(
    mail_place: MailPlace, begin_notifier: Begin, results: list[Result]
) -> None:
    """AL-44: a sign such as "<" in the text survives the way through a mail program."""
    address = (
        f"mailto://clinic.local?smtp=127.0.0.1&port={mail_place.port}&from=a@clinic.local&to=n@clinic.local"
    )
    begin_notifier(Target(id="mail", url=f"{address}&format=text")).submit([message("mail")])
    mail = mail_place.wait()[0]
    assert mail["subject"] == "HIGH, Room 4: SpO2 84 %"
    assert "SpO2 84 % < 85" in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    wait_for(lambda: states(results) == ["delivered"])


def test_an_mqtt_target_publishes(
    mosquitto: Callable[..., Mosquitto], begin_notifier: Begin, results: list[Result]
) -> None:
    """A pager gateway that listens on MQTT is a target as any other."""
    from paho.mqtt import client as mqtt

    broker, heard = mosquitto(), []
    listener = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    listener.on_message = lambda _c, _u, one: heard.append(one.payload.decode())
    listener.connect("127.0.0.1", broker.port)
    listener.subscribe("pager")
    listener.loop_start()
    begin_notifier(Target(id="pager", url=f"mqtt://127.0.0.1:{broker.port}/pager")).submit([message("pager")])
    wait_for(lambda: bool(heard))
    wait_for(lambda: states(results) == ["delivered"])
    listener.loop_stop()
    listener.disconnect()
    assert "HIGH, Room 4: SpO2 84 %" in heard[0]
    assert "ref alarm-1" in heard[0]


def test_ntfy_and_gotify_targets_get_their_own_shape(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result]
) -> None:
    """Servers that a clinic hosts itself are reached, and nothing points a phone outside the clinic."""
    ntfy, gotify = http_place(), http_place()
    begin_notifier(
        Target(id="ntfy", url=f"ntfy://127.0.0.1:{ntfy.port}/nurses"),
        Target(id="gotify", url=f"gotify://127.0.0.1:{gotify.port}/token123"),
    ).submit([message("ntfy"), message("gotify")])
    first, second = ntfy.wait()[0], gotify.wait()[0]
    assert (first.body["topic"], first.body["title"]) == ("nurses", "HIGH, Room 4: SpO2 84 %")
    assert second.headers["X-Gotify-Key"] == "token123"
    assert "http" not in str({**first.headers, **first.body, **second.headers, **second.body}).lower()
    wait_for(lambda: sorted(states(results)) == ["delivered", "delivered"])


# --- faults ------------------------------------------------------------------------------------------------


def test_twenty_stuck_targets_delay_no_other(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result]
) -> None:
    """AL-48, P-33: while ten services hang and ten drip, a healthy one gets everything at once."""
    hanging, dripping, healthy = http_place("hang"), http_place("drip"), http_place()
    stuck = [
        Target(id=f"stuck-{n}", url=f"json://127.0.0.1:{(hanging, dripping)[n % 2].port}/") for n in range(20)
    ]
    notifier = begin_notifier(*stuck, Target(id="phone", url=f"json://127.0.0.1:{healthy.port}/"))
    notifier.submit(message(one.id) for one in stuck)
    hanging.wait(10)
    dripping.wait(10)
    notifier.submit(message("phone", key=f"alarm-{number}") for number in range(5))
    wait_for(lambda: states(results) == ["delivered"] * 5)
    assert {one.target for one in results} == {"phone"}
    assert notifier.waiting() == 20  # no attempt of the others has ended: time stands still


def test_an_attempt_that_does_not_end_is_left_behind(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result], hand: Hand
) -> None:
    """P-34: a service that drips for ever costs one deadline; the message is tried again beside it."""
    place = http_place("drip")
    begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/", deadline_s=4)).submit(
        [message("phone")]
    )
    place.wait(1)
    place.mood = "200"
    hand.advance(4)
    wait_for(lambda: states(results) == ["retrying"])
    assert results[0].text == "no answer within 4 s"
    assert results[0].next_at == hand.now() + timedelta(seconds=2)
    hand.advance(2)
    wait_for(lambda: states(results) == ["retrying", "delivered"])
    assert results[-1].attempts == 2


def test_a_late_answer_still_counts(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result], hand: Hand
) -> None:
    """P-31: what was taken for a failure and then succeeds is delivered, and not sent again."""
    place = http_place("hold")
    notifier = begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/", deadline_s=1))
    notifier.submit([message("phone")])
    place.wait(1)
    hand.advance(1)
    wait_for(lambda: states(results) == ["retrying"])
    place.let_go.set()
    wait_for(lambda: states(results) == ["retrying", "delivered"])
    hand.advance(600)
    assert notifier.waiting() == 0
    assert len(place.arrived) == 1


def test_what_is_cancelled_on_its_way_is_no_result_and_leaves_the_channel_free(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result], hand: Hand
) -> None:
    """P-35, P-34: an attempt that nobody waits for may end late or never; the next message goes out."""
    place = http_place("hold")
    notifier = begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/", deadline_s=1))
    notifier.submit([message("phone")])
    place.wait(1)
    notifier.cancel("alarm-1")
    hand.advance(1)
    place.mood = "200"
    notifier.submit([message("phone", key="other", alarm_id="alarm-2")])
    wait_for(lambda: states(results) == ["delivered"])
    place.let_go.set()
    wait_for(lambda: not notifier._channels["phone"]._stuck, "the late answer")
    notifier.submit([message("phone", key="third", alarm_id="alarm-3")])
    wait_for(lambda: states(results) == ["delivered"] * 2)
    assert [one.key for one in results] == ["other", "third"]
    assert notifier.channels() == {}


def test_attempts_that_never_end_are_forgotten_and_hold_up_nothing(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result], hand: Hand
) -> None:
    """P-34, R-14: so many may hang at a time; after some minutes their places are free again."""
    place = http_place("drip")
    notifier = begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/", deadline_s=1))
    for number in range(MOST_STUCK):
        notifier.submit([message("phone", key=f"k{number}", alarm_id=f"a{number}")])
        place.wait(number + 1)
        notifier.cancel(f"a{number}")
        hand.advance(1)
    place.mood = "200"
    now = hand.now()
    notifier.submit(
        [
            message(
                "phone",
                key="after",
                created_at=now,
                deadline_at=now + timedelta(seconds=2 * STUCK_FORGOTTEN_S),
            )
        ]
    )
    assert states(results) == []
    hand.advance(STUCK_FORGOTTEN_S + 1)
    wait_for(lambda: states(results, "phone")[-1:] == ["delivered"])


def test_a_plugin_that_breaks_is_a_failed_attempt(results: list[Result]) -> None:
    """P-33: whatever a service's plugin raises, opening or sending, is told and tried again."""
    opened: list[str] = []

    def open_(target: Target) -> Send:
        opened.append(target.id)
        raise RuntimeError("a plugin of somebody else")

    notifier = Notifier([Target(id="phone", url="json://127.0.0.1/")], results.append, Hand(), open_)
    notifier.presume("nobody", None)
    notifier.submit([message("phone")])
    wait_for(lambda: states(results) == ["retrying"])
    assert results[0].text == "the plugin of the service failed (RuntimeError)"
    assert opened == ["phone", "phone"]
    notifier.stop()


def test_an_address_that_is_not_there_is_said(begin_notifier: Begin, results: list[Result]) -> None:
    """P-31: a secret that is missing is named by its target, as what the installer must mend."""
    begin_notifier(Target(id="phone", url_env="AFTERWATCH_NO_SUCH_ADDRESS")).submit([message("phone")])
    wait_for(lambda: bool(results))
    assert "the address of target 'phone' is not there" in results[0].text
    assert try_targets([]) == []


def test_a_failed_attempt_is_tried_again_after_two_four_and_eight_seconds(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result], hand: Hand
) -> None:
    """P-09, P-32: a service that is not ready when the alarm comes gets the message when it is."""
    place = http_place("503")
    notifier = begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/"))
    notifier.submit([message("phone")])
    for number, pause_s in enumerate((2, 4, 8), start=1):
        wait_for(lambda expected=number: len(results) == expected)
        assert results[-1].next_at == hand.now() + timedelta(seconds=pause_s)
        if number == 3:
            place.mood = "200"
        hand.advance(pause_s)
    wait_for(lambda: states(results) == ["retrying"] * 3 + ["delivered"])
    assert "503" in results[0].text or "error" in results[0].text
    assert len(place.arrived) == 4
    assert notifier.channels() == {}


def test_a_refusal_is_final_and_makes_the_channel_dead(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result]
) -> None:
    """AL-38, AL-39: a wrong token (401) is not tried again; the channel is dead until it delivers."""
    place = http_place("401")
    notifier = begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/"))
    notifier.submit([message("phone")])
    wait_for(lambda: states(results) == ["failed"])
    assert results[0].undelivered
    assert set(notifier.channels()) == {"phone"}
    place.mood = "200"
    notifier.submit([message("phone", key="another")])
    wait_for(lambda: states(results) == ["failed", "delivered"])
    assert notifier.channels() == {}


def test_an_undelivered_high_is_late_after_thirty_seconds(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result], hand: Hand
) -> None:
    """AL-39: 30 s after the alarm the next channel can be told, while the first is still tried."""
    place = http_place("hang")
    notifier = begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/", deadline_s=40))
    notifier.submit([message("phone"), message("phone", key="milder", priority="medium")])
    place.wait(1)
    hand.advance(29.5)
    assert notifier.channels() == {}
    hand.advance(0.5)
    wait_for(lambda: states(results) == ["late"])
    assert (results[0].notification.priority, results[0].at) == ("high", NOW + timedelta(seconds=30))
    assert not results[0].final
    assert results[0].undelivered
    assert set(notifier.channels()) == {"phone"}


def test_the_next_channel_is_asked_for_once_whatever_happens_then(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result], hand: Hand
) -> None:
    """AL-39, P-46: late, then refused for good: the second is no reason to tell the next channel again."""
    place = http_place("503")
    notifier = begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/"))
    notifier.submit([message("phone")])
    wait_for(lambda: states(results) == ["retrying"])
    place.mood = "403"
    hand.advance(30)
    wait_for(lambda: "failed" in states(results))
    assert sorted(states(results)) == ["failed", "late", "retrying"]
    assert [one.state for one in results if one.undelivered] == ["late"]


def test_what_is_too_old_is_dropped_and_said(begin_notifier: Begin, results: list[Result]) -> None:
    """P-36: a message that outlived its deadline, as after a long outage, is reported and never sent."""
    notifier = begin_notifier(Target(id="phone", url="json://127.0.0.1:1/"))
    past = NOW - timedelta(hours=2)
    notifier.submit([message("phone", created_at=past, deadline_at=past + timedelta(minutes=5))])
    wait_for(lambda: bool(results))
    assert [(one.state, one.attempts) for one in results] == [("expired", 0)]


def test_an_acceptance_cancels_what_waits(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result], hand: Hand
) -> None:
    """P-35: after an answer nothing more is sent for that alarm; another alarm's message still is."""
    place = http_place("503")
    notifier = begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/"))
    notifier.submit([message("phone"), message("phone", key="other", alarm_id="alarm-2")])
    wait_for(lambda: states(results) == ["retrying", "retrying"])
    notifier.cancel("alarm-1")
    place.mood = "200"
    hand.advance(2)
    wait_for(lambda: "delivered" in states(results))
    assert [one.key for one in results if one.state == "delivered"] == ["other"]
    assert notifier.waiting() == 0
    assert len(place.arrived) == 3


def test_the_worst_goes_first(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result]
) -> None:
    """R-12: in a storm the high ones do not stand in line behind the low ones."""
    place = http_place("hold")
    notifier = begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/"))
    notifier.submit([message("phone", key="on its way", title="on its way")])
    place.wait(1)
    many = [message("phone", key=f"low-{n}", priority="low", title=f"low {n}") for n in range(5)]
    notifier.submit([*many, message("phone", key="high")])
    place.let_go.set()
    titles = [one.body["title"] for one in place.wait(7)]
    assert titles[:2] == ["on its way", "HIGH, Room 4: SpO2 84 %"]


def test_a_storm_of_sixty_beds_reaches_one_phone(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result]
) -> None:
    """R-12: all beds alarm together; each is told once, at the first attempt (how soon: tests/app)."""
    place = http_place()
    notifier = begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/"))
    notifier.submit(message("phone", key=f"bed-{n}") for n in range(60))
    assert notifier.flush(WITHIN_S)
    assert states(results) == ["delivered"] * 60
    assert len(place.arrived) == 60


def test_the_same_key_is_not_sent_twice(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result]
) -> None:
    """P-46: what a crash makes us submit twice is one message while it waits."""
    place = http_place("503")
    notifier = begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/"))
    notifier.submit([message("phone"), message("phone")])
    assert notifier.waiting() == 1


def test_an_address_that_nobody_understands_fails_at_once(
    begin_notifier: Begin, results: list[Result]
) -> None:
    """A mistake of the installer is said in words with the remedy, and is not tried again."""
    begin_notifier(Target(id="typo", url="nosuchservice://x/y")).submit([message("typo"), message("nobody")])
    wait_for(lambda: len(results) == 2)
    said = {one.target: (one.state, one.text) for one in results}
    assert said["typo"][0] == "failed"
    assert "correct it" in said["typo"][1]
    assert said["nobody"] == ("failed", "no target 'nobody' in clinic.toml")


def test_a_result_that_is_not_taken_does_not_end_the_worker(http_place: Callable[..., HttpPlace]) -> None:
    """P-33: a fault in what hears the results never makes a channel silently dead."""

    def refuse(_: Result) -> None:
        raise RuntimeError("the inbox is gone")

    place = http_place()
    notifier = Notifier([Target(id="phone", url=f"json://127.0.0.1:{place.port}/")], refuse, Hand())
    notifier.submit([message("phone", key="one")])
    place.wait(1)
    notifier.submit([message("phone", key="two")])
    assert len(place.wait(2)) == 2
    notifier.stop()


def test_leaving_waits_for_what_is_on_its_way(
    http_place: Callable[..., HttpPlace], begin_notifier: Begin, results: list[Result]
) -> None:
    """AL-52: what was said before leaving has left, or flush says that it has not."""
    place = http_place("hold")
    notifier = begin_notifier(Target(id="phone", url=f"json://127.0.0.1:{place.port}/"))
    notifier.submit([message("phone")])
    assert not notifier.flush(0.1)
    place.let_go.set()
    assert notifier.flush(WITHIN_S)
    assert states(results) == ["delivered"]


# --- what is said ------------------------------------------------------------------------------------------


def test_no_secret_is_ever_in_what_is_said() -> None:
    """Results are shown to people and stored: what may be a token in the address is taken out."""
    hidden = secrets_of("tgram://user1234:passw0rd@host/tokentoken/?key=queryvalue")
    assert {"user1234", "passw0rd", "tokentoken", "queryvalue"} <= set(hidden)


def test_only_a_refusal_of_the_request_itself_is_permanent() -> None:
    """P-32: 4xx will be refused again, except those that ask for patience; 5xx and broken lines pass."""
    permanent = {
        code: judge(False, [f"2026-11-23 10:00:00,000 - WARNING - no, error={code}."]).permanent
        for code in (400, 401, 403, 404, 408, 425, 429, 500, 503)
    }
    assert [code for code, final in permanent.items() if final] == [400, 401, 403, 404]
    assert judge(False, ["2026-11-23 10:00:00,000 - WARNING - A Connection error occurred"]) == (
        False,
        "A Connection error occurred",
        False,
    )
    assert not judge(False, []).permanent


def test_trying_shows_each_target_and_waits_for_none(
    http_place: Callable[..., HttpPlace],
) -> None:
    """`afterwatch check --send`: each target's result in its own words, a silent one within its deadline."""
    with silent_port() as port:
        trials = try_targets(
            [
                Target(id="good", url=f"json://127.0.0.1:{http_place().port}/"),
                Target(id="bad", url=f"json://127.0.0.1:{http_place('500').port}/"),
                Target(
                    id="silent",
                    url=f"mailto://c.local?smtp=127.0.0.1&port={port}&from=a@c.local",
                    deadline_s=1,
                ),
            ],
            "Clinic",
        )
    assert [(one.target, one.delivered) for one in trials] == [
        ("good", True),
        ("bad", False),
        ("silent", False),
    ]
    assert trials[2].text == "no answer within 1 s"
