"""Ownership: somebody accepts, or the system says that nobody has."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from monitor.core import inputs as given
from monitor.core.escalation import Ladder, Level
from monitor.core.inputs import Input
from monitor.core.ownership import UNANSWERED, after_downtime
from monitor.core.turn import Bed
from monitor.snapshot import dump, load
from tests.core.scene import NOON, Scene

KEY = "channel:pager"  # a condition from outside: it is present until it is cleared, as long as a story needs
LADDER = Ladder(
    {
        "high": (Level(("anna", "ben"), 60), Level(("chris",), 60), Level(("dora",), 120)),
        "medium": (Level(("anna",), 300),),
    },
    {"high": 100},
)
MOVES = ("AlarmOffered", "AlarmAccepted", "AlarmRejected", "OwnershipTimedOut", "OwnershipExhausted")


def scene(ladder: Ladder = LADDER) -> Scene:
    """Return a bed with people to offer its alarms to."""
    begun = Scene()
    begun.give(given.SetLadder(ladder))
    return begun


def raised(ladder: Ladder = LADDER) -> Scene:
    """Return a bed on which a high alarm has just begun."""
    begun = scene(ladder)
    begun.give(given.ReportCondition(KEY, "high", "the pager does not answer"))
    return begun


def alarm_id(stage: Scene) -> str:
    """Return the identity of the story's alarm."""
    return stage.alarm(KEY).alarm_id


def moves(stage: Scene) -> list[tuple[str, float]]:
    """Return what was told of ownership, with seconds since the beginning."""
    return [(o.outcome, (o.at - NOON).total_seconds()) for o in stage.told if o.outcome in MOVES]


def test_an_alarm_is_offered_level_by_level_until_nobody_is_left() -> None:
    """AL-40: a chain of three, none answers: T1, T2, T3 on fixed timers, then a high technical alarm."""
    stage = raised()
    stage.wait(600)
    assert moves(stage) == [
        ("AlarmOffered", 0),
        ("OwnershipTimedOut", 60),
        ("AlarmOffered", 60),
        ("OwnershipTimedOut", 120),
        ("AlarmOffered", 120),
        ("OwnershipTimedOut", 240),
        ("OwnershipExhausted", 240),
    ]
    assert [o.detail["people"] for o in stage.of("AlarmOffered")] == [["anna", "ben"], ["chris"], ["dora"]]
    unanswered = stage.alarm(UNANSWERED + KEY)
    assert (unanswered.kind, unanswered.priority) == ("technical", "high")
    assert unanswered.ownership.state == "none"


def test_acceptance_ends_the_chain_and_leaves_the_signal_on() -> None:
    """AL-42, ALARMS §1.9: somebody has it, so nobody else is asked; sound and light stay as they are."""
    stage = raised()
    stage.wait(70)
    stage.give(given.Accept(alarm_id(stage), "chris"))
    stage.wait(200)
    assert moves(stage)[-1] == ("AlarmAccepted", 70)
    alarm = stage.alarm(KEY)
    assert (alarm.ownership.state, alarm.ownership.owner, alarm.signal) == ("accepted", "chris", "on")


def test_two_acceptances_make_one_owner() -> None:
    """AL-42: two accept within 10 ms: the first is the owner, the second hears who has it."""
    stage = raised()
    stage.give(given.Accept(alarm_id(stage), "anna"))
    refused = stage.give(given.Accept(alarm_id(stage), "ben"), after_s=0.01)
    assert [(o.outcome, o.reason) for o in refused] == [("Refused", "anna has accepted it already")]
    assert stage.alarm(KEY).ownership.owner == "anna"


def test_a_rejection_passes_on_at_once() -> None:
    """AL-41: whoever cannot come says so, and the next level is asked in the same instant."""
    stage = raised()
    told = stage.give(given.Reject(alarm_id(stage), "anna", "with a patient"), after_s=5)
    assert [o.outcome for o in told] == ["AlarmRejected", "AlarmOffered"]
    assert told[1].detail["people"] == ["chris"]
    assert stage.alarm(KEY).ownership.rejected_by == ("anna",)


def test_an_owner_gives_an_alarm_back_and_nobody_else_can() -> None:
    """AL-41: an owner who cannot come after all rejects it; somebody else's rejection does not count."""
    stage = raised()
    stage.give(given.Accept(alarm_id(stage), "anna"))
    stage.give(given.Reject(alarm_id(stage), "ben"))
    assert stage.told[-1].outcome == "Refused"
    stage.give(given.Reject(alarm_id(stage), "anna"))
    assert stage.told[-1].detail["people"] == ["chris"]


def test_acknowledging_at_the_bed_is_knowing() -> None:
    """P-35: a person who acknowledges on the wall has it; nobody is paged on."""
    stage = raised()
    stage.give(given.Acknowledge(alarm_id(stage), "ben"), after_s=30)
    stage.wait(100)
    assert moves(stage) == [("AlarmOffered", 0)]
    assert stage.alarm(KEY).ownership.owner == "ben"


def test_a_late_acceptance_does_not_undo_an_acknowledgement() -> None:
    """AL-42: the link in an old message changes nothing about what was acknowledged since."""
    stage = raised()
    stage.give(given.Acknowledge(alarm_id(stage), "ben"))
    stage.give(given.Accept(alarm_id(stage), "anna"), after_s=5)
    assert stage.told[-1].outcome == "Refused"
    assert stage.alarm(KEY).signal == "acknowledged"


def test_what_was_accepted_and_stays_is_offered_again() -> None:
    """AL-19: nobody's word lasts for ever: after ten minutes a high alarm that is still there starts anew."""
    stage = raised()
    stage.give(given.Accept(alarm_id(stage), "anna"))
    stage.wait(601)
    assert moves(stage)[-2:] == [("OwnershipTimedOut", 600), ("AlarmOffered", 600)]


def test_an_acknowledgement_that_ran_out_is_offered_again() -> None:
    """AL-19: still present after the acknowledgement: it signals and is offered again."""
    stage = raised()
    stage.give(given.Acknowledge(alarm_id(stage), "anna"))
    stage.wait(601)
    assert stage.alarm(KEY).signal == "on"
    assert moves(stage)[-1] == ("AlarmOffered", 600)


def test_a_worse_alarm_is_offered_anew() -> None:
    """AL-17: who accepted a medium alarm has not answered for a high one."""
    stage = scene()
    stage.give(given.ReportCondition(KEY, "medium", "the pager is slow"))
    stage.give(given.Accept(alarm_id(stage), "anna"))
    stage.give(given.ReportCondition(KEY, "high", "the pager is dead"), after_s=9)
    assert moves(stage)[-1] == ("AlarmOffered", 9)
    assert stage.alarm(KEY).ownership.state == "offered"


def test_the_end_of_the_condition_ends_the_offer() -> None:
    """An alarm that is over is offered to nobody, and neither is the one that said nobody had it."""
    stage = raised()
    stage.wait(300)
    stage.give(given.ClearCondition(KEY))
    assert stage.rules() == set()
    told = len(stage.told)
    stage.wait(3600)
    assert stage.told[told:] == []


def test_answering_the_outcry_answers_the_alarm() -> None:
    """AL-40: "nobody has accepted" has a link too; whoever takes it has the alarm itself."""
    stage = raised()
    stage.wait(300)
    stage.give(given.Accept(stage.alarm(UNANSWERED + KEY).alarm_id, "dora"))
    assert stage.alarm(KEY).ownership.owner == "dora"
    assert UNANSWERED + KEY not in stage.rules()


def test_it_is_told_again_until_somebody_accepts() -> None:
    """P-48: every 100 s here, during the chain and after it, and no more once somebody has it."""
    stage = raised()
    stage.wait(450)
    assert [(o.at - NOON).total_seconds() for o in stage.of("AlarmReminded")] == [100, 200, 300, 400]
    stage.give(given.Accept(alarm_id(stage), "dora"))
    stage.wait(300)
    assert len(stage.of("AlarmReminded")) == 4


def test_it_is_told_again_where_there_is_nobody_to_offer_it_to() -> None:
    """P-48: a clinic with routes and no people is told again all the same, and never that it is exhausted."""
    stage = raised(Ladder(repeat_s={"high": 100}))
    stage.wait(350)
    assert len(stage.of("AlarmReminded")) == 3
    assert moves(stage) == []


def test_without_a_ladder_nothing_is_offered_or_told_again() -> None:
    """A bed that was never given a ladder behaves as if there were no ownership."""
    stage = Scene()
    stage.give(given.ReportCondition(KEY, "high", "the pager does not answer"))
    stage.wait(3600)
    assert stage.names() == ["AlarmRaised"]


def test_a_level_with_nobody_on_duty_is_skipped() -> None:
    """AL-40: an empty level costs no time; a ladder with nobody at all says so at once."""
    stage = raised(Ladder({"high": (Level((), 60), Level(("chris",), 60))}))
    assert stage.of("AlarmOffered")[0].detail["people"] == ["chris"]
    alone = raised(Ladder({"high": (Level((), 60),)}))
    assert moves(alone) == [("OwnershipExhausted", 0)]


def test_who_takes_over_is_told_at_once() -> None:
    """Issue 4.2: the on-duty list changes at shift start; what is open goes to whoever is there now."""
    stage = raised()
    stage.wait(70)
    night = Ladder({"high": (Level(("emil",), 60),)}, on_duty=("emil",))
    told = stage.give(given.SetLadder(night, by="anna"))
    assert [(o.outcome, o.by) for o in told] == [("LadderChanged", "anna"), ("AlarmOffered", "")]
    assert told[1].detail["people"] == ["emil"]
    assert stage.give(given.SetLadder(night)) == ()


def test_a_pause_holds_back_a_new_low_alarm_and_never_the_offer_under_way() -> None:
    """AL-21, AL-23: what a pause holds is offered when it ends; a sound pause answers for nothing."""
    stage = scene(Ladder({"high": (Level(("anna",), 30),), "low": (Level(("anna",), 60),)}))
    stage.start()
    stage.give(given.ReportCondition(KEY, "high", "the pager does not answer"))
    stage.give(given.PauseAudio("anna", 60))
    stage.give(given.ReportCondition("disk", "low", "the disk fills up"))
    assert [o.rule for o in stage.of("AlarmOffered")] == [KEY]
    stage.wait(59)
    assert [o.rule for o in stage.of("OwnershipExhausted")] == [KEY]
    stage.wait(2)
    assert stage.of("AlarmOffered")[-1].rule == "disk"


def test_a_milder_alarm_of_the_same_metric_is_not_offered_beside_the_worse_one() -> None:
    """A deep desaturation is one page; accepting it answers for the milder limit too."""
    ladder = Ladder({p: (Level(("anna",), 60),) for p in ("high", "medium", "low")})
    stage = scene(ladder).start()
    stage.stream(5, spo2=97)
    stage.stream(60, spo2=80)
    high = next(a for a in stage.bed.alarms.values() if a.metric == "spo2" and a.priority == "high")
    offered = [
        a.key for a in stage.bed.alarms.values() if a.ownership.state == "offered" and a.metric == "spo2"
    ]
    assert offered == [high.key]
    stage.give(given.Accept(high.alarm_id, "anna"))
    assert {a.ownership.owner for a in stage.bed.alarms.values() if a.metric == "spo2"} == {"anna"}


def test_the_end_of_a_session_offers_nothing_any_more() -> None:
    """Nobody is called to a bed whose session a person has ended."""
    stage = scene().start()
    stage.stream(60, spo2=80)
    assert moves(stage)
    stage.give(given.EndSession("anna", "moved to the ward"))
    told = len(moves(stage))
    stage.wait(3600)
    assert len(moves(stage)) == told


def test_downtime_is_no_time_to_answer_in() -> None:
    """AL-43: down for an hour, the offer has as much time left as before, and nothing comes in a burst."""
    stage = raised()
    stage.wait(50)
    stage.now += timedelta(hours=1)
    stage.bed = after_downtime(load(dump(stage.bed), {}), stage.now)
    assert stage.wait(0) == ()
    stage.wait(9)
    assert len(moves(stage)) == 1
    stage.wait(2)
    assert [name for name, _ in moves(stage)[1:]] == ["OwnershipTimedOut", "AlarmOffered"]


STEPS: list[Input] = [
    given.ReportCondition(KEY, "medium", "slow"),
    given.ReportCondition(KEY, "high", "dead"),
    given.ClearCondition(KEY),
    given.PauseAudio("anna", 60),
    given.Tick(),
]


def choose(bed: Bed, dice: random.Random) -> Input:
    """Return something that can happen to the bed: a condition, or a person's answer."""
    present = bed.alarms.get(KEY)
    people = [
        given.Accept(present.alarm_id, dice.choice("abc")),
        given.Reject(present.alarm_id, dice.choice("abc")),
        given.Acknowledge(present.alarm_id, dice.choice("abc")),
    ]  if present else []  # fmt: skip
    return dice.choice([*STEPS, *people])


@pytest.mark.parametrize("seed", range(50))
def test_a_kill_in_any_state_changes_nothing(seed: int) -> None:
    """AL-43, issue 4: 1,000 kills (50 seeds of 20): owner, level, timers and outcomes are as without any."""
    dice = random.Random(seed)
    steady, killed = scene(), scene()
    for _ in range(20):
        one, seconds = choose(steady.bed, dice), dice.choice([0, 1, 30, 61, 400])
        expected = steady.give(one, after_s=seconds)
        killed.bed = load(dump(killed.bed), {})
        assert killed.give(one, after_s=seconds) == expected, f"seed {seed}"
        assert killed.bed == steady.bed, f"seed {seed}"


@drawn(st.lists(st.integers(1, 200), max_size=20))
def test_how_finely_time_is_ticked_changes_nothing(ticks: list[int]) -> None:
    """AL-43: fixed timers: one long tick and many short ones tell the same at the same instants."""
    fine, coarse = raised(), raised()
    for seconds in ticks:
        fine.wait(seconds)
    coarse.wait(sum(ticks))
    assert moves(fine) == moves(coarse)
    assert fine.bed == coarse.bed


@drawn(st.integers(0, 2**32))
def test_an_alarm_never_has_two_owners(seed: int) -> None:
    """AL-42: between an acceptance and the end of its word nobody else becomes the owner unheard."""
    dice, stage, owner = random.Random(seed), scene(), ""
    for _ in range(30):
        for outcome in stage.give(choose(stage.bed, dice), after_s=dice.choice([0, 1, 30, 400])):
            match outcome.outcome:
                case "AlarmAccepted":
                    assert owner == "", f"seed {seed}: {owner} had it"
                    owner = outcome.by
                case "AlarmAcknowledged":
                    owner = owner or outcome.by
                case "AlarmEnded" | "AlarmEscalated" | "OwnershipTimedOut" | "AlarmRejected" | "AlarmRaised":
                    owner = "" if outcome.rule == KEY else owner
                case _:
                    pass


def test_al_43_no_downtime_and_what_somebody_has_leave_ownership_as_it_is() -> None:
    """AL-43: a bed that is back at once is unchanged; what was accepted is not offered anew by downtime."""
    stage = raised()
    assert after_downtime(stage.bed, stage.now) is stage.bed
    assert after_downtime(Bed("bed-1"), stage.now).now is None
    stage.give(given.Accept(alarm_id(stage), "anna"))
    own = stage.alarm(KEY).ownership
    stage.bed = after_downtime(stage.bed, stage.now + timedelta(hours=1))
    assert stage.alarm(KEY).ownership == own


def test_al_42_other_people_on_duty_take_nothing_from_who_has_it() -> None:
    """AL-42: a new ladder offers what is wanted to other people, and leaves an owner the owner."""
    stage = raised()
    stage.give(given.Accept(alarm_id(stage), "anna"))
    stage.give(given.SetLadder(Ladder({"high": (Level(("dora",), 60),)})))
    assert stage.alarm(KEY).ownership.owner == "anna"
    assert [name for name, _ in moves(stage)] == ["AlarmOffered", "AlarmAccepted"]


def test_p_44_who_took_an_alarm_is_told_with_the_level_that_had_it() -> None:
    """P-44, AL-42: the second level's acceptance says so, with the instant until which it holds."""
    scene = Scene().start()
    levels = (Level(("anna",), 10), Level(("ben",), 60))
    scene.give(given.SetLadder(Ladder({"high": levels})))
    scene.course([97] * 5 + [84] * 20)
    alarm = scene.alarm("spo2-low-urgent")
    assert alarm.ownership.level == 1
    told = scene.give(given.Accept(alarm.alarm_id, "ben"))
    until = scene.now + timedelta(seconds=600)
    assert [(one.outcome, one.by, dict(one.detail)) for one in told] == [
        ("AlarmAccepted", "ben", {"until": until.isoformat(), "level": 1})
    ]


def test_al_42_who_acknowledges_takes_nothing_from_who_has_accepted() -> None:
    """AL-42: Anna is on her way; Ben presses the button at the bed: it is still hers, known until then."""
    for accepted, owner in ((True, "anna"), (False, "ben")):
        scene = Scene().start()
        scene.give(given.SetLadder(Ladder({"high": (Level(("anna",), 60),)})))
        scene.course([97] * 5 + [84] * 8)
        alarm = scene.alarm("spo2-low-urgent")
        if accepted:
            scene.give(given.Accept(alarm.alarm_id, "anna"))
        scene.give(given.Acknowledge(alarm.alarm_id, "ben"))
        own = scene.alarm("spo2-low-urgent").ownership
        assert (own.state, own.owner, own.due_at) == ("accepted", owner, scene.now + timedelta(seconds=600))
