"""The laws of the core, tried on random stories: what must hold whatever happens."""

from __future__ import annotations

import copy
import json
import os
import random
from collections import Counter
from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.core import inputs
from monitor.core.bed import advance
from monitor.core.filters import IDLE, Boundary, Excursion, Sample, judge
from monitor.core.outcomes import Outcome, as_json
from monitor.core.protocol import RANK, Filter
from monitor.core.turn import Bed
from monitor.core.vitals import Report
from monitor.snapshot import dump, load
from tests.core.scene import NOON, OXIMETER, observations, protocols
from tests.core.stories import Given, Performance, Step, again, drawn, perform, play, seeded, stories

pytestmark = pytest.mark.slow

# ``make prove`` sets the factor: the same laws on many times as many stories.
TIMES = int(os.environ.get("AFTERWATCH_EXAMPLES", "1"))
FEW = settings(max_examples=25 * TIMES)
MANY = settings(max_examples=40 * TIMES)
BY_DIGEST = {one.digest: one for one in protocols().values()}


def told(outcomes: list[Outcome]) -> list[dict[str, object]]:
    """Return outcomes as JSON values, which a failure can show."""
    return [as_json(one) for one in outcomes]


def in_any_order(outcomes: list[Outcome]) -> list[dict[str, object]]:
    """Return outcomes by instant, those of one instant in an order of their own."""
    return sorted(told(outcomes), key=lambda one: (one["at"], json.dumps(one, default=str, sort_keys=True)))


def facts(bed: Bed) -> dict[str, object]:
    """Return a bed without what ticks alone move."""
    return {f.name: getattr(bed, f.name) for f in fields(bed) if f.name not in ("next_due_at", "now")}


# --- time, order, restart --------------------------------------------------------------------------------


@FEW
@given(stories(), st.integers(0, 2**32))
def test_al_13_how_finely_time_is_ticked_changes_nothing(story: list[Step], seed: int) -> None:
    """AL-13, DESIGN §1: extra ticks anywhere: the same outcomes at the same instants, the same bed."""
    chance = random.Random(seed)
    played = perform(story)
    more: list[Given] = []
    for one in played.inputs:
        if more:
            gap = (one.now - more[-1].now).total_seconds()
            parts = sorted(chance.random() for _ in range(chance.randint(0, 3)))
            more += [Given(inputs.Tick(), one.now - timedelta(seconds=gap * (1 - p))) for p in parts]
        more.append(one)
    bed, outcomes = again(more)
    assert told(outcomes) == told(played.told)
    assert facts(bed) == facts(played.bed)


@FEW
@given(stories(), st.integers(-400, 400))
def test_al_13_a_shift_of_time_changes_nothing(story: list[Step], days: int) -> None:
    """AL-13: the same story on another day comes to the same; only instants and identities move."""
    shift = timedelta(days=days)
    one, other = perform(story), perform(story, NOON + shift)
    assert [o._replace(alarm_id="", detail={}) for o in one.told] == [
        o._replace(alarm_id="", detail={}, at=o.at - shift) for o in other.told
    ]


@FEW
@given(stories())
@example(
    [Step("stream", 84, 72, (9, True)), Step("acknowledge", 0), Step("cuff", 165, 95), Step("wait", 130)]
)
def test_al_25_a_restart_at_any_step_is_no_restart(story: list[Step]) -> None:
    """AL-25, AL-26, AL-27, P-04: through the journal's bytes after every input: nothing changes."""
    played = perform(story)
    bed, outcomes = again(played.inputs, lambda bed: load(dump(bed), BY_DIGEST))
    assert told(outcomes) == told(played.told)
    assert bed == played.bed


@FEW
@given(stories())
@example([Step("both", 97, 97, (1, False)), Step("take second", 0), Step("stream", 97, 72, (6, False))])
def test_p_27_duplicates_change_nothing(story: list[Step]) -> None:
    """P-27: every numbered report twice, at once and again later: the same outcomes, the same bed."""
    played = perform(story)
    doubled: list[Given] = []
    for number, one in enumerate(played.inputs):
        doubled.append(one)
        if isinstance(one.one, inputs.Observe) and one.one.report.online is None:
            doubled.append(one)
            earlier, *since = (given.one for given in played.inputs[max(0, number - 7) : number])
            left = any(
                isinstance(one, inputs.Dissociate) for one in since
            )  # it is no report of this bed then
            if isinstance(earlier, inputs.Observe) and earlier.report.online is None and not left:
                doubled.append(Given(earlier, one.now))
    bed, outcomes = again(doubled)
    assert told(outcomes) == told(played.told)
    assert facts(bed) == facts(played.bed)


def without_words_of_silence(outcomes: list[Outcome]) -> list[Outcome]:
    """Return outcomes without the text of a channel's silence, which names what is missing at that moment."""
    return [one._replace(reason="") if one.rule.startswith("no-data:") else one for one in outcomes]


@FEW
@given(stories())
@example([Step("stream", 97, 72, (1, False)), Step("both", 97, 97, (1, False)),
          Step("stream", 97, 72, (19, False)), Step("second", 97, 0, (11, False))])  # fmt: skip
def test_splitting_a_message_changes_nothing(story: list[Step]) -> None:
    """Issue 3: SpO2 and pulse in one message or in two: the same alarms at the same instants.

    Which of several that come at one instant is told first may differ, and whether silence that becomes worse
    in that instant names a metric whose part is still to come.
    """
    played = perform(story)
    parts: list[Given] = []
    whole: list[Given] = []
    for one, now in played.inputs:
        if isinstance(one, inputs.Observe):
            report = one.report._replace(sequence=None)
            whole.append(Given(inputs.Observe(report), now))
            singles = [(o,) for o in report.observations]
            if report.device_id == "cuff-1" or not singles:
                parts.append(whole[-1])
                continue
            parts += [Given(inputs.Observe(report._replace(observations=o)), now) for o in singles]
        else:
            whole.append(Given(one, now))
            parts.append(Given(one, now))
    split, together = (without_words_of_silence(again(one)[1]) for one in (parts, whole))
    assert in_any_order(split) == in_any_order(together)


@FEW
@given(stories())
def test_advance_changes_nothing_that_it_was_given(story: list[Step]) -> None:
    """DESIGN §1.1: pure: the bed before stays as it was, so that an input that fails costs nothing."""
    played = perform(story)
    bed = Bed("bed-1")
    for one, now in played.inputs:
        before = copy.deepcopy(bed)
        after, _ = advance(bed, one, now)
        assert bed == before
        bed = after


def test_time_never_goes_back() -> None:
    """AL-13: an instant before the last one counts as the last one."""
    played = perform([Step("stream", 97, 72, (5, True))])
    bed, _ = advance(played.bed, inputs.Tick(), NOON - timedelta(hours=1))
    assert bed.now == played.now


# --- alarms -----------------------------------------------------------------------------------------------


@MANY
@given(stories())
def test_al_17_nothing_hides_a_worse_alarm(story: list[Step]) -> None:
    """AL-17, AL-21: what does not signal is known at its priority, paused, or spoken for by a worse one."""
    for bed in perform(story).beds:
        by_id = {alarm.alarm_id: alarm for alarm in bed.alarms.values()}
        for alarm in bed.alarms.values():
            if alarm.acknowledgement is not None:
                assert alarm.acknowledgement.priority == alarm.priority
            if alarm.covered_by:
                worse = by_id[alarm.covered_by]
                assert worse.rank > alarm.rank
                assert (worse.metric, worse.side, worse.kind) == (alarm.metric, alarm.side, "physiological")
            elif not alarm.signalling:
                assert alarm.signal in ("acknowledged", "audio_paused", "alarm_paused")
            if alarm.signal == "alarm_paused":
                assert alarm.pausable


@MANY
@given(stories())
def test_al_02_technical_and_physiological_never_turn_into_one_another(story: list[Step]) -> None:
    """AL-02: a rule's alarms are of one kind for ever; a raised one ends before it is raised again."""
    kinds: dict[str, str] = {}
    present: set[str] = set()
    for one in perform(story).told:
        if one.alarm_id:
            assert kinds.setdefault(one.rule, one.kind) == one.kind
        if one.outcome == "AlarmRaised":
            assert one.rule not in present
            present.add(one.rule)
        elif one.outcome == "AlarmEnded":
            present.remove(one.rule)
    limits = {limit.id for limit in protocols()["iv-ketamine"].limits}
    assert all((rule in limits) == (kind == "physiological") for rule, kind in kinds.items())


SILENT = ("wait", "probe off", "offline", "lose link", "restore link", "refuse", "late", "skip")


@MANY
@given(
    stories(25),
    st.lists(
        st.one_of(
            drawn(st.sampled_from(SILENT[1:]), st.integers(0, 5)),
            drawn(st.just("wait"), st.sampled_from([1, 11, 130, 700, 7200])),
            drawn(
                st.just("stream"),
                st.sampled_from([None, 0, 127, -100]),
                st.none(),
                st.tuples(st.integers(1, 30), st.booleans()),
            ),
        ),
        max_size=15,
    ),
)
def test_al_29_missing_data_never_ends_a_condition(story: list[Step], silence: list[Step]) -> None:
    """AL-29, AL-02: no silence, sentinel, fault, late value or lost link ends a physiological alarm."""
    quiet = [step for step in story if step.what not in ("dose", "restore link")]
    played = perform(quiet)
    before = {key for key, alarm in played.bed.alarms.items() if alarm.kind == "physiological"}
    count = len(played.told)
    for step in silence:
        play(played, step)
    after = {key for key, alarm in played.bed.alarms.items() if alarm.kind == "physiological"}
    assert before <= after
    ends = [o for o in played.told[count:] if o.outcome == "AlarmEnded" and o.kind == "physiological"]
    assert ends == []


@MANY
@given(stories())
def test_al_18_only_values_limits_and_people_end_a_condition(story: list[Step]) -> None:
    """AL-18: no acknowledgement, pause, reset or passing of time ends a physiological alarm."""
    played = perform(story)
    bed = Bed("bed-1")
    ending = (inputs.Observe, inputs.RecordManual, inputs.SetLimit, inputs.EndSession, inputs.StartSession)
    for one, now in played.inputs:
        bed, outcomes = advance(bed, one, now)
        ended = [o for o in outcomes if o.outcome == "AlarmEnded" and o.kind == "physiological"]
        assert not ended or isinstance(one, ending)


@FEW
@given(stories())
def test_al_27_an_alarm_is_told_once_by_one_name(story: list[Step]) -> None:
    """AL-27, AL-45: an id is raised once, and ends once at most."""
    outcomes = perform(story).told
    for name in ("AlarmRaised", "AlarmEnded"):
        ids = [(o.alarm_id, o.rule) for o in outcomes if o.outcome == name and o.kind == "physiological"]
        assert len(ids) == len(set(ids))


def fired(bed: Bed) -> set[str]:
    """Return the rules of which a filter or a repeat says that the condition is present."""
    return {
        rule
        for states in bed.tracks.values()
        for rule, state in states.items()
        if (state.fired if isinstance(state, Excursion) else state.present)
    }


@MANY
@given(stories())
def test_al_26_an_alarm_is_present_exactly_while_its_condition_is(story: list[Step]) -> None:
    """AL-26, AL-28, P-04: at every step: no condition without its alarm, no alarm without its condition."""
    for bed in perform(story).beds:
        assert fired(bed) == {key for key, alarm in bed.alarms.items() if alarm.kind == "physiological"}


def reconnect(played: Performance) -> None:
    """Let the link and the first oximeter be as they should be; its clock stays as it is."""
    played.give(inputs.RestoreLink())
    played.give(inputs.Associate(OXIMETER))
    played.report("oximeter-1", {}, faults=())


@FEW
@given(stories())
def test_af_04_whatever_came_before_a_patient_at_84_has_an_alarm(story: list[Step]) -> None:
    """AF-04, AL-14, P-05: after any story, 84 % for as long as a clock takes to be proved is an alarm."""
    played = perform(story)
    reconnect(played)
    play(played, Step("stream", 84, 72, (150, True)))
    assert played.bed.session is None or "spo2-low-urgent" in played.bed.alarms


@FEW
@given(stories())
def test_al_29_whatever_came_before_normal_values_end_every_condition(story: list[Step]) -> None:
    """AL-29: nothing stays for ever: a quarter of an hour of normal values ends what the patient had."""
    played = perform(story)
    reconnect(played)
    if played.bed.session is None:
        return
    for _ in range(4):
        play(played, Step("cuff", 121, 76))
        played.give(inputs.RecordManual({"respiration_rate": 14}, "nurse"))
        play(played, Step("stream", 97, 72, (240, True)))
    left = {key for key, alarm in played.bed.alarms.items() if alarm.kind == "physiological"}
    left |= {key for key in played.bed.alarms if key.startswith(("no-data:", "low-quality:", "refused:"))}
    assert left == set()


# --- filters ----------------------------------------------------------------------------------------------

LIMIT = Boundary("low", 90)
COURSE = st.lists(st.integers(70, 98), min_size=1, max_size=80)


def fired_at(chosen: Filter, course: list[int], steps: list[float] | None = None) -> float:
    """Return the index at which the filter fires first, or infinity."""
    state, at = IDLE, NOON
    for number, value in enumerate(course):
        step_s = steps[number] if steps else 1.0
        at += timedelta(seconds=step_s)
        state, verdict = judge(chosen, LIMIT, state, Sample(value, True, at, step_s))
        if verdict == "fires":
            return number
    return float("inf")


def all_filters() -> list[Filter]:
    """Return every low-side filter that ships, without the net (AF-05 is of single excursions)."""
    return [replace(f, net_crossings=0) for f in protocols()["iv-ketamine"].filters.values()]


@pytest.mark.parametrize("chosen", all_filters(), ids=list(protocols()["iv-ketamine"].filters))
@given(course=COURSE, deeper=st.lists(st.integers(0, 12), min_size=80, max_size=80))
def test_af_05_deeper_is_never_later(chosen: Filter, course: list[int], deeper: list[int]) -> None:
    """AF-05: wherever a course is lowered, the alarm comes no later."""
    lower = [value - more for value, more in zip(course, deeper, strict=False)]
    assert fired_at(chosen, lower) <= fired_at(chosen, course)


@pytest.mark.parametrize("chosen", all_filters(), ids=list(protocols()["iv-ketamine"].filters))
@given(dip=st.lists(st.integers(70, 89), min_size=1, max_size=60), more=st.integers(1, 60))
def test_af_05_longer_is_never_later_or_less(chosen: Filter, dip: list[int], more: int) -> None:
    """AF-05: a dip that lasts longer alarms no later."""
    assert fired_at(chosen, [*dip, *[dip[-1]] * more]) <= fired_at(chosen, dip)


@given(
    course=st.lists(st.integers(70, 89), min_size=2, max_size=60),
    where=st.integers(1, 59),
    gap_s=st.floats(1, 100_000),
)
def test_af_06_a_gap_adds_at_most_two_periods_and_resets_nothing(
    course: list[int], where: int, gap_s: float
) -> None:
    """AF-06: through the bed: a gap inside an excursion neither resets it nor counts for more than 2 s."""
    where = min(where, len(course) - 1)
    without, with_gap = Performance(), Performance()
    for played in (without, with_gap):
        start = perform([Step("stream", 97, 72, (5, True))])
        played.bed, played.now, played.sequence = start.bed, start.now, Counter(start.sequence)
        for number, value in enumerate(course):
            gap = gap_s if played is with_gap and number == where else 1
            played.now += timedelta(seconds=gap)
            played.report("oximeter-1", {"spo2": value, "pulse": 72})
    states = [p.bed.tracks["spo2"]["spo2-low-urgent"] for p in (without, with_gap)]
    assert all(isinstance(state, Excursion) for state in states)
    one, other = states
    assert isinstance(one, Excursion)
    assert isinstance(other, Excursion)
    assert one.since is not None
    assert 0 <= other.beyond_s - one.beyond_s <= 1.0001
    assert 0 <= other.integral - one.integral <= (90 - course[where]) * 1.0001
    assert not one.fired or other.fired


# --- replay -----------------------------------------------------------------------------------------------


def live_and_replayed(seed: int, length: int) -> None:
    """Play a seeded session, then replay it with ticks each 7 s and restarts; compare byte by byte."""
    played = perform(seeded(seed, length))
    ticked: list[Given] = []
    for one in played.inputs:
        while ticked and one.now - ticked[-1].now > timedelta(seconds=7):
            ticked.append(Given(inputs.Tick(), ticked[-1].now + timedelta(seconds=7)))
        ticked.append(one)
    count = iter(range(10**9))
    _, outcomes = again(ticked, lambda bed: load(dump(bed), BY_DIGEST) if next(count) % 997 == 0 else bed)
    assert repr(told(outcomes)).encode() == repr(told(played.told)).encode(), f"seed {seed}"


@pytest.mark.parametrize("seed", range(20))
def test_af_01_replay_equals_live(seed: int) -> None:
    """AF-01, AF-12: the same decisions, byte by byte, live and in replay (20 seeds here, 1000 in prove)."""
    live_and_replayed(seed, 60)


@pytest.mark.prove
def test_af_01_replay_equals_live_for_a_thousand_sessions() -> None:
    """AF-01: byte-equal decisions on 1000 seeded sessions."""
    for seed in range(1000):
        live_and_replayed(seed, 60)


@given(st.lists(st.tuples(st.sampled_from(["spo2", "hr", "sys", "temperature"]), st.floats()), max_size=8))
def test_no_number_breaks_the_core(numbers: list[tuple[str, float]]) -> None:
    """DESIGN §3: infinities, NaN and absurd values are no value; nothing raises, nothing absurd alarms."""
    played = perform([])
    for name, number in numbers:
        played.now += timedelta(seconds=1)
        found = observations({name: number})
        played.give(inputs.Observe(Report("oximeter-1", played.now, played.now, found)))
    for alarm in played.bed.alarms.values():
        assert alarm.kind == "technical" or alarm.value is not None
    assert all(RANK[a.priority] for a in played.bed.alarms.values())
