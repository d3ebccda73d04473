"""What is sent for which outcome, to whom, in which words."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from monitor.config import BedEntry, Configuration, Notify, Target, default_folder
from monitor.config import load as load_configuration
from monitor.core import inputs as given
from monitor.core.alarms import Alarm
from monitor.core.outcomes import Outcome
from monitor.core.turn import Bed
from monitor.core.vitals import Mode
from monitor.notify import Notification, cancels, collected, connect, divert, dump, load, plan
from tests.core.scene import Scene
from tests.notify.places import HttpPlace

TARGETS = [{"id": name, "url": f"json://127.0.0.1/{name}"} for name in ("wall", "anna", "ben", "chief")]
PEOPLE = [
    {"id": "anna", "roles": ["nurse"], "targets": ["anna"]},
    {"id": "ben", "roles": ["nurse"], "targets": ["ben"]},
    {"id": "chris", "roles": ["clinician"], "targets": ["chief"]},
]
LADDER = [
    {
        "priorities": ["high"],
        "levels": [{"to": ["role:nurse"], "wait_s": 60}, {"to": ["chris"], "wait_s": 60}],
    }
]
LINK = "http://wall.local/a/{}".format


def configured(**notify: Any) -> Configuration:
    """Return a clinic in Berlin with notification as given."""
    shipped = load_configuration(default_folder())
    site = shipped.clinic.site.model_copy(update={"zone": "Europe/Berlin", "name": "Riverside"})
    chosen = Notify.model_validate({"targets": TARGETS, **notify})
    ward = shipped.ward.model_copy(update={"beds": [BedEntry(id="bed-1", label="Room 4")]})
    return replace(
        shipped, clinic=shipped.clinic.model_copy(update={"site": site, "notify": chosen}), ward=ward
    )


class Told:
    """A scene of the core together with the messages that its outcomes cause."""

    def __init__(self, **notify: Any) -> None:
        """Begin with a session on a bed that has the configured ladder."""
        self.configuration = configured(**notify)
        self.scene = Scene()
        self.scene.give(given.SetLadder(self.configuration.clinic.notify.ladder()))
        self.sent: list[Notification] = []

    def see(self, outcomes: list[Outcome] | tuple[Outcome, ...]) -> list[Notification]:
        """Return the messages that outcomes cause now."""
        now, bed = self.scene.now, self.scene.bed
        fresh = [one for o in outcomes for one in plan(o, bed, self.configuration, now)]
        self.sent += fresh
        return fresh

    def desaturate(self, seconds: int = 60, value: float = 80) -> list[Notification]:
        """Let SpO2 fall and return what is sent meanwhile."""
        found: list[Notification] = []
        for _ in range(seconds):
            found += self.see(self.scene.stream(1, spo2=value))
        return found

    def high(self) -> Alarm:
        """Return the high alarm of SpO2."""
        found = [a for a in self.scene.bed.alarms.values() if a.metric == "spo2" and a.priority == "high"]
        return found[0]


def everywhere(**more: Any) -> dict[str, Any]:
    """Return a route for everything to the wall."""
    return {"targets": ["wall"], **more}


# --- words -------------------------------------------------------------------------------------------------


def test_a_message_says_what_where_and_since_when() -> None:
    """AL-44: priority, what, value and unit, limit, since when, age, minute; local time; never a name."""
    told = Told(routes=[everywhere(priorities=["high"])])
    told.scene.start(patient_code="SMITH-JOHN")
    told.scene.stream(120, spo2=97)
    (sent,) = told.desaturate()
    alarm = told.high()
    since = (alarm.onset_at + timedelta(hours=1)).strftime("%H:%M:%S")  # Berlin in November
    assert sent.title == f"HIGH, Room 4: SpO2 {alarm.value:.0f} %"
    lines = sent.body.splitlines()
    assert lines[0] == "HIGH, physiological, Room 4"
    assert f"(limit: {alarm.limit})" in lines[1]
    assert lines[2] == f"since {since} CET"
    assert lines[3].startswith("newest reading: 80 %, measured 13:0")
    assert lines[3].endswith("0 s ago")
    assert lines[4] == "session minute 2"
    assert f"ref {alarm.alarm_id}" in lines
    assert lines[-1].startswith("Secondary notification, not a primary alarm")
    assert "SMITH" not in sent.title + sent.body + sent.key


def test_p_22_a_message_has_its_instants_with_date_and_offset(http_place: Callable[..., HttpPlace]) -> None:
    """P-22: onset, decision, reading and receipt, as a web hook receives them; of an end and a flood too."""
    place = http_place()
    told = Told(routes=[everywhere(priorities=["high"], follow_up=True)])
    told.scene.start()
    told.scene.stream(120, spo2=97)
    (raised,) = told.desaturate(60)
    alarm = told.high()
    (ended,) = told.see(told.scene.stream(20, spo2=97))
    flood = collected("12 alarms", "wall", "real", told.configuration, told.scene.now)
    send = connect(Target(id="wall", url=f"json://127.0.0.1:{place.port}/wall"))
    assert all(send(one).delivered for one in (raised, ended, flood))
    bodies = [one.body["message"] for one in place.wait(3)]
    found = [dict(STAMP.findall(body)) for body in bodies]
    assert [sorted(one) for one in found] == [
        ["decided", "onset", "reading measured", "received"],
        ["decided", "onset", "reading measured", "received"],
        ["decided"],
    ]
    assert found[0]["onset"] == alarm.onset_at.astimezone(BERLIN).isoformat(timespec="seconds")
    assert found[0]["decided"] == alarm.present_at.astimezone(BERLIN).isoformat(timespec="seconds")
    assert found[0]["decided"].endswith("+01:00")
    assert found[1]["decided"] > found[0]["decided"]


STAMP = re.compile(r"(onset|decided|reading measured|received) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d)")
BERLIN = ZoneInfo("Europe/Berlin")

GOLDEN = """\
HIGH, physiological, Room 4
SpO2 80 %: 6 s below 90, 6 s at the floor (worst 80) (limit: below 90)
since 13:02:01 CET
newest reading: 80 %, measured 13:02:06, 0 s ago
session minute 2
offered to level 1; passes on at 13:03:06
Answer: http://wall.local/a/anna
onset 2026-11-23T13:02:01+01:00, decided 2026-11-23T13:02:06+01:00, \
reading measured 2026-11-23T13:02:06+01:00, received 2026-11-23T13:02:06+01:00
ref {alarm_id}
Secondary notification, not a primary alarm; designed after IEC 60601-1-8, claims no conformity."""


def test_the_whole_message_is_this() -> None:
    """AL-44: the golden text: what a nurse reads on the phone, line for line."""
    told = Told(people=PEOPLE, ladders=LADDER)
    told.scene.start()
    told.scene.stream(120, spo2=97)
    while not told.scene.of("AlarmOffered"):
        told.scene.stream(1, spo2=80)
    (offered,) = told.scene.of("AlarmOffered")
    sent = plan(offered, told.scene.bed, told.configuration, told.scene.now, lambda _b, _a, who: LINK(who))
    (one,) = [one for one in sent if one.target == "anna"]
    assert one.body == GOLDEN.format(alarm_id=told.high().alarm_id)


def test_times_in_an_alarms_own_words_are_the_sites() -> None:
    """AL-44: a message never carries two clocks; Berlin is an hour before UTC in November."""
    told = Told(routes=[everywhere(priorities=["medium", "high"])])
    told.scene.start()
    told.scene.stream(120, spo2=97)
    heard = told.scene.now + timedelta(hours=1)
    sent = told.see(told.scene.wait(200))
    silence = next(one for one in sent if "no valid value since" in one.body)
    assert f"(last {heard:%H:%M:%S})" in silence.body
    assert "UTC" not in silence.title + silence.body


@pytest.mark.parametrize("seed", range(20))
def test_no_message_ever_names_the_patient(seed: int) -> None:
    """AL-44, S-12: neither the code nor what people write of a patient leaves, whatever the target."""
    dice, told = random.Random(seed), Told(people=PEOPLE, ladders=LADDER, routes=[everywhere(follow_up=True)])
    told.scene.start(patient_code="SMITH-JOHN")
    for _ in range(40):
        present = [one.alarm_id for one in told.scene.bed.alarms.values()] or ["none"]
        step = dice.choice(
            [
                given.RecordNote("symptom", "Smith-John feels sick", "anna"),
                given.RecordDose(35.0, "iv", "anna", reason="SMITH-JOHN"),
                given.Acknowledge(dice.choice(present), "anna"),
                given.Accept(dice.choice(present), "ben"),
                given.Reject(dice.choice(present), "ben", "SMITH-JOHN knows me"),
                given.PauseAudio("anna", 60),
            ]
        )
        told.see(told.scene.give(step))
        told.desaturate(dice.randrange(1, 20), dice.choice([97, 88, 80]))
        told.see(told.scene.cuff(dice.choice([120, 170, 200]), 90))
        told.see(told.scene.wait(dice.choice([0, 30, 90])))
    words = " ".join(one.title + one.body + one.key + one.target for one in told.sent).lower()
    assert len(told.sent) > 10
    assert "smith" not in words, f"seed {seed}"


def test_s_12_what_a_refused_message_held_stays_in_the_house() -> None:
    """S-12: the reason of a refusal may quote a device's message, and with it a name; messages do not."""
    told = Told(routes=[everywhere(follow_up=True)])
    told.scene.start()
    told.see(told.scene.give(given.RefuseReport("oximeter-1", "mode is 'SMITH^JOHN'; it must be 'real'")))
    assert "SMITH" in told.scene.bed.alarms["refused:oximeter-1"].text, "nothing is quoted: it proves nothing"
    told.see(told.scene.wait(120))
    told_of = [one.title + one.body for one in told.sent]
    words = [one for one in told_of if "message refused" in one]
    assert len(words) == 1
    assert any("ENDED" in one for one in told_of)
    assert all("oximeter-1: message refused; the page says why" in one for one in words)
    assert "SMITH" not in " ".join(told_of)


def test_a_drill_says_so_first() -> None:
    """S-10, AL-44: nobody can take an exercise for a patient, not even on a locked phone."""
    told = Told(routes=[everywhere(priorities=["high"])])
    told.scene.start(mode="drill")
    told.scene.report(spo2=97, mode="drill")
    found: list[Notification] = []
    for _ in range(60):
        told.scene.now += timedelta(seconds=1)
        found += told.see(told.scene.report(spo2=80, pulse=70, mode="drill"))
    assert found[0].title.startswith("DRILL HIGH, Room 4")
    assert found[0].body.startswith("DRILL: an exercise, not a patient.")
    assert found[0].mode == "drill"


def test_pressure_is_written_as_people_write_it() -> None:
    """AL-44: mmHg, not the code of the unit."""
    told = Told(routes=[everywhere()])
    told.scene.start()
    sent = told.see([*told.scene.cuff(230, 120), *told.scene.cuff(230, 120, after_s=60)])
    bodies = " ".join(one.title + one.body for one in sent)
    assert "mmHg" in bodies
    assert "mm[Hg]" not in bodies


def test_a_link_names_the_alarm_and_whom_it_asks() -> None:
    """Issue 4.3: each recipient's message carries a link of its own."""
    told = Told(people=PEOPLE, ladders=LADDER, routes=[everywhere()])
    told.scene.start()
    outcomes = told.scene.stream(60, spo2=80)

    def link(bed_id: str, alarm_id: str, holder: str) -> str:
        return f"<{bed_id} {alarm_id == told.high().alarm_id} {holder}>"

    sent = [
        one
        for o in outcomes
        if o.rule == told.high().key
        for one in plan(o, told.scene.bed, told.configuration, told.scene.now, link)
    ]
    said = {one.target: next(line for line in one.body.splitlines() if "Answer" in line) for one in sent}
    assert said["anna"] == "Answer: <bed-1 True anna>"
    assert said["wall"] == "Answer: <bed-1 True wall>"


# --- to whom -----------------------------------------------------------------------------------------------


def test_routes_choose_by_priority_kind_and_bed() -> None:
    """Issue 2: each route hears what it asked for and nothing else."""
    told = Told(
        routes=[
            everywhere(priorities=["high"]),
            {"targets": ["anna"], "kinds": ["technical"]},
            {"targets": ["ben"], "beds": ["bed-9"]},
        ]
    )
    told.scene.start()
    found = told.desaturate()
    assert {one.target for one in found} == {"wall"}
    quiet = told.see(told.scene.wait(30))
    assert {one.target for one in quiet} == {"anna"}


def test_who_is_offered_an_alarm_gets_one_message_and_not_two() -> None:
    """AL-40: level by level; a target that a route names as well is told once for one onset."""
    told = Told(people=PEOPLE, ladders=LADDER, routes=[{"targets": ["wall", "anna"], "priorities": ["high"]}])
    told.scene.start()
    first = told.desaturate()
    assert sorted(one.target for one in first) == ["anna", "ben", "wall"]
    assert any("offered to level 1; passes on at" in one.body for one in first)
    second = told.desaturate(61)
    assert [one.target for one in second] == ["chief"]


def test_an_alarm_that_nobody_accepts_goes_to_every_target() -> None:
    """AL-40: exhaustion is a high technical alarm on all channels, also those without a route."""
    told = Told(people=PEOPLE, ladders=LADDER)
    told.scene.start()
    told.desaturate(130)
    outcry = [one for one in told.sent if "nobody has accepted" in one.title]
    assert sorted(one.target for one in outcry) == ["anna", "ben", "chief", "wall"]


def test_it_is_told_again_to_route_and_ladder() -> None:
    """P-48: the reminder reaches whoever was told before, and says how often."""
    told = Told(
        people=PEOPLE, ladders=LADDER, routes=[everywhere(priorities=["high"])], repeat_s={"high": 30.0}
    )
    told.scene.start()
    told.desaturate(59)
    again = [one for one in told.sent if one.title.startswith("STILL HIGH")]
    assert {one.target for one in again} == {"wall", "anna", "ben"}
    assert "nobody has accepted it yet; told 2 times" in again[0].body
    assert len({one.key for one in told.sent}) == len(told.sent)


def test_what_a_pause_holds_is_not_sent() -> None:
    """AL-21: a low alarm during an audio pause waits for the end of the pause."""
    told = Told(routes=[everywhere()])
    told.scene.start()
    told.scene.stream(5, spo2=97)
    told.scene.give(given.PauseAudio("anna", 60))
    held = told.see(told.scene.give(given.ReportCondition("x", "low", "the disk fills up")))
    assert held == []
    told.scene.stream(61, spo2=97)
    resumed = [o for o in told.scene.told if o.outcome == "AlarmResumed"]
    assert [one.title for one in told.see(resumed)] == ["AGAIN LOW, Room 4: the disk fills up"]


def test_a_dead_channel_is_not_told_of_its_own_death() -> None:
    """AL-39: the technical alarm about a target goes to the others."""
    told = Told(routes=[{"targets": ["wall", "anna"]}])
    sent = told.see(told.scene.give(given.ReportCondition("channel:anna", "medium", "anna is not reached")))
    assert [one.target for one in sent] == ["wall"]


def test_the_station_is_heard_on_every_route() -> None:
    """AL-39: a route for some beds still hears what is wrong with the monitor itself."""
    told = Told(routes=[everywhere(beds=["bed-9"])])
    told.scene.bed = Bed("station")
    sent = told.see(told.scene.give(given.ReportCondition("disk", "high", "the record is not durable")))
    assert [one.title for one in sent] == ["HIGH, Riverside: the record is not durable"]


def test_followers_hear_of_acceptance_and_end() -> None:
    """AL-42: those who were told also hear that somebody has it, where the clinic wants that."""
    told = Told(routes=[everywhere(follow_up=True), {"targets": ["ben"]}])
    told.scene.give(given.ReportCondition("x", "high", "the pager is dead"))
    alarm_id = told.scene.alarm("x").alarm_id
    accepted = told.see(told.scene.give(given.Accept(alarm_id, "anna")))
    ended = told.see(told.scene.give(given.ClearCondition("x")))
    assert [(one.target, one.title.partition(":")[0]) for one in (*accepted, *ended)] == [
        ("wall", "ACCEPTED by anna (HIGH), Room 4"),
        ("wall", "ENDED (HIGH), Room 4"),
    ]
    assert all(one.follow_up for one in (*accepted, *ended))


def test_what_somebody_has_is_not_told_again_when_it_gets_milder() -> None:
    """AL-42: the owner of a deep desaturation owns the milder limit too; its return pages nobody."""
    told = Told(routes=[everywhere(priorities=["high", "medium"], follow_up=True)])
    told.scene.start()
    told.desaturate()
    accepted = told.see(told.scene.give(given.Accept(told.high().alarm_id, "anna")))
    assert [one.title for one in accepted] == ["ACCEPTED by anna (HIGH), Room 4: SpO2 80 %"]
    recovered = told.desaturate(40, 97)
    assert "AlarmResumed" in told.scene.names()
    assert [one.title.partition(",")[0] for one in recovered] == ["ENDED (HIGH)", "ENDED (MEDIUM)"]


# --- keys, cancelling, the next channel --------------------------------------------------------------------


def test_the_same_outcome_makes_the_same_keys() -> None:
    """P-46, AL-27: what a restart derives again is the same row."""
    told = Told(people=PEOPLE, ladders=LADDER, routes=[everywhere()])
    told.scene.start()
    outcomes = told.scene.stream(60, spo2=80)
    first = [one.key for one in told.see(outcomes)]
    told.scene.now += timedelta(seconds=2)
    assert [one.key for one in told.see(outcomes)] == first
    assert len(set(first)) == len(first)


def test_a_notification_survives_the_journal() -> None:
    """P-09: what was due before a restart is the same afterwards."""
    told = Told(routes=[everywhere()])
    (one,) = told.see(told.scene.give(given.ReportCondition("x", "high", "µ „quoted“\nline")))
    assert load(dump(one)) == one


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (lambda one: given.Accept(one, "anna"), True),
        (lambda one: given.Acknowledge(one, "anna"), True),
        (lambda one: given.Reject(one, "anna"), False),
        (lambda one: given.ClearCondition("x"), False),
        (lambda one: given.PauseAudio("anna", 60), False),
    ],
)
def test_only_a_persons_word_cancels(answer: Callable[[str], Any], ends: bool) -> None:
    """P-35, P-47: acceptance and acknowledgement end the queue; the mere end of the condition does not."""
    scene = Scene()
    scene.give(given.ReportCondition("x", "high", "the pager is dead"))
    alarm_id = scene.alarm("x").alarm_id
    outcomes = scene.give(answer(alarm_id))
    assert ({alarm_id} == {name for o in outcomes for name in cancels(o, scene.bed)}) is ends


# --- the turn in which a session ends ----------------------------------------------------------------------


def test_p_47_the_end_of_a_real_session_takes_no_message_back() -> None:
    """P-47: a high alarm that nobody has answered is told, also when somebody ends the session meanwhile."""
    told = Told(routes=[everywhere()])
    told.scene.start()
    told.desaturate()
    ended = told.scene.give(given.EndSession("anna", "moved"))
    assert "AlarmEnded" in [one.outcome for one in ended]
    assert [name for o in ended for name in cancels(o, told.scene.bed)] == []


def test_s_10_the_end_of_a_drill_takes_its_messages_back_and_leaves_nothing_latched() -> None:
    """S-10: what a drill still had to say ends with it; no alarm of it stays where no DRILL would stand."""
    told = Told(routes=[everywhere()])
    told.scene.start(mode="drill")
    for _ in range(60):
        told.scene.now += timedelta(seconds=1)
        told.scene.report(spo2=80, pulse=70, mode="drill")
    present = {one.alarm_id for one in told.scene.bed.alarms.values()}
    ended = told.scene.give(given.EndSession("anna", "practised"))
    assert {name for o in ended for name in cancels(o, told.scene.bed)} == present != set()
    assert told.scene.bed.latched == {}


@pytest.mark.parametrize(("mode", "first"), [("real", "HIGH, Room 4: "), ("drill", "DRILL HIGH, Room 4: ")])
def test_p_47_a_high_alarm_of_the_turn_in_which_its_session_ends_is_told(mode: Mode, first: str) -> None:
    """P-47, S-10: its mode is the session's, which is over when the message is made."""
    told = Told(routes=[everywhere(priorities=["high"])], people=PEOPLE, ladders=LADDER)
    told.scene.start(mode=mode)
    for _ in range(60):
        told.scene.now += timedelta(seconds=1)
        told.see(told.scene.report(spo2=80, pulse=70, mode=mode))
    before = len(told.sent)
    # Nobody accepts. Both levels have timed out when, a minute late, the end of the session is heard.
    outcomes = told.scene.give(given.EndSession("anna", "moved"), after_s=180)
    assert told.scene.bed.session is None
    told.see(outcomes)
    fresh = [one for one in told.sent[before:] if "nobody has accepted" in one.title]
    assert sorted(one.target for one in fresh) == ["anna", "ben", "chief", "wall"]
    assert {one.mode for one in told.sent} == {mode}
    assert all(one.title.startswith(first) for one in fresh)


def test_s_11_a_real_high_reading_ends_the_drill_and_its_message_is_real() -> None:
    """S-11, S-10: of one turn, what belongs to the drill says DRILL and what is real does not."""
    told = Told(routes=[everywhere()])
    told.scene.start(mode="drill")
    told.scene.report(spo2=97, mode="drill")
    outcomes = told.scene.give(given.Tick(), after_s=1) + told.scene.report(spo2=80, mode="real")
    assert told.scene.bed.session is None
    said = {one.title for one in told.see(outcomes)}
    assert any(title.startswith("HIGH, Room 4: the drill ended: real reading SpO2 80") for title in said)
    assert all(title.startswith("DRILL") for title in said if "the drill ended" not in title)


def test_the_next_channel_is_told_with_a_fresh_deadline() -> None:
    """AL-39: the fallback gets the same words, says whose place it takes, and is made once."""
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    notify = Notify.model_validate({"targets": [{**TARGETS[1], "fallback": "wall"}, TARGETS[0]]})
    told = Told(routes=[{"targets": ["anna"]}])
    (failed,) = told.see(told.scene.give(given.ReportCondition("x", "high", "the disk is full")))
    (made,) = divert(failed, notify, now)
    assert (made.target, made.created_at, made.deadline_at) == ("wall", now, now + timedelta(seconds=300))
    assert made.body.endswith("sent here because anna was not reached")
    assert divert(failed, notify, now)[0].key == made.key
    assert divert(made, notify, now) == ()
