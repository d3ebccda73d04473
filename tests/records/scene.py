"""Real records for the tests of `monitor.records`: a session played through the core, and what came of it.

The law: every entry comes out of `monitor.core.bed.advance`, every trace holds exactly what was sent. Nothing
here is written by hand, so that a record in a test is a record as the journal would give it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from monitor.config import load_protocol
from monitor.core import inputs as given
from monitor.core.bed import Bed, advance
from monitor.core.device import DeviceProfile
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Protocol
from monitor.core.record import Delivery, Entry, SessionRecord, SessionSummary, Trace
from monitor.core.vitals import Mode, Report, screen, screen_pressures

REPOSITORY = Path(__file__).resolve().parents[2]
START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SIGNER = "Dr. José Müller"
FIRST_ID = 41  # the journal had other sessions before
OXIMETER, CUFF = "oximeter-1", "cuff-1"
SATURATION_RATE = ("spo2", "pulse_rate")
PRESSURE = ("nibp_systolic", "nibp_diastolic", "nibp_mean", "nibp_pulse_rate")

Cuffs = tuple[tuple[float, tuple[float, float, float, float]], ...]
# minutes from the session's start: systolic, diastolic, mean, pulse
ROUGH: Cuffs = (
    (1.0, (128, 78, 95, 70)),
    (7.0, (126, 76, 93, 70)),
    (20.0, (138, 82, 101, 75)),
    (31.0, (152, 92, 112, 80)),
    (41.0, (158, 95, 116, 82)),
    (49.0, (186, 108, 134, 88)),
    (50.5, (184, 106, 132, 88)),
    (58.0, (150, 90, 110, 78)),
    (70.0, (144, 88, 107, 76)),
    (85.0, (140, 84, 103, 74)),
    (101.0, (134, 80, 98, 72)),
    (118.0, (130, 79, 96, 70)),
    (134.0, (129, 78, 95, 70)),
)


@cache
def protocol(name: str) -> Protocol:
    """Read one of the protocols that are shipped."""
    return load_protocol(REPOSITORY / "config" / "protocols" / f"{name}.toml")


@dataclass
class Play:
    """A bed being played: give it inputs at minutes from the start, then ask for the record."""

    started_at: datetime
    protocol: Protocol
    mode: Mode
    bed: Bed = field(default_factory=lambda: Bed("bed-1"))
    outcomes: list[Outcome] = field(default_factory=list)
    samples: dict[tuple[str, str], list[tuple[float, float | None, str]]] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    by: str = "Łucja Nowak"

    def at(self, minute: float) -> datetime:
        """Return the instant of a minute of the session."""
        return self.started_at + timedelta(minutes=minute)

    def give(self, minute: float, one: given.Input) -> None:
        """Give the bed an input."""
        self.bed, outcomes = advance(self.bed, one, self.at(minute))
        self.outcomes += outcomes

    def report(self, minute: float, device: str, values: dict[str, float | None], *faults: str) -> None:
        """Let a device report, and chart what it said."""
        observations = screen_pressures(tuple(screen(name, value) for name, value in values.items()))
        at = self.at(minute)
        self.reports.append(Report(device, at, at, observations, faults, mode=self.mode))
        self.give(minute, given.Observe(self.reports[-1]))
        for one in observations:
            mark = "" if one.validity == "valid" else one.reason
            self.samples.setdefault((one.metric, device), []).append((at.timestamp(), one.value, mark))

    def acknowledge(self, minute: float, rule: str, by: str = "") -> None:
        """Acknowledge the alarm of a rule if it is present."""
        for alarm in (*self.bed.alarms.values(), *self.bed.latched.values()):
            if alarm.key == rule:
                self.give(minute, given.Acknowledge(alarm.alarm_id, by or self.by))
                return
        raise LookupError(f"no alarm {rule} at minute {minute:g}")

    def record(self, signed_by: str = "") -> SessionRecord:
        """Return all that is kept of the session."""
        of_session = [one for one in self.outcomes if one.session_id == self.session_id]
        kept = [one for one in of_session if signed_by or one.outcome != "RecordSigned"]
        signed = next((one for one in of_session if one.outcome == "RecordSigned"), None)
        ended = next((one for one in of_session if one.outcome == "SessionEnded"), None)
        raised = [o for o in of_session if o.outcome == "AlarmRaised" and o.kind == "physiological"]
        ended_at = ended.at if ended else None
        return SessionRecord(
            SessionSummary(
                self.session_id,
                self.bed.bed_id,
                "P-0107",
                self.protocol.name,
                self.protocol.digest,
                self.mode,
                self.started_at,
                self.by,
                ended_at,
                ended.by if ended else "",
                len(raised),
                sum(one.priority == "high" for one in raised),
                signed_by,
                signed.at if signed_by and signed else None,
            ),
            self.protocol,
            tuple(Entry(number, one) for number, one in enumerate(kept, start=FIRST_ID)),
            tuple(self._traces()),
            tuple(
                Delivery(
                    f"{one.alarm_id}:station",
                    one.alarm_id,
                    "station-mail",
                    one.at,
                    "delivered",
                    1,
                    "250 ok",
                    one.at + timedelta(seconds=2),
                )
                for one in raised
            ),
        )

    @property
    def session_id(self) -> str:
        """The identity that the record is asked for by."""
        return f"s-{self.started_at:%Y%m%d%H%M}"

    def _traces(self) -> list[Trace]:
        return [
            Trace(
                metric,
                device,
                [at for at, _, _ in rows],
                [value for _, value, _ in rows],
                {i: mark for i, (_, _, mark) in enumerate(rows) if mark},
            )
            for (metric, device), rows in sorted(self.samples.items())
        ]


def saturation(minute: float) -> float | None:
    """Return SpO2 in %: steady, with one dip to 84 and one probe-off of two minutes."""
    if 75.0 <= minute < 77.0:
        return None
    dip = 13.0 * math.exp(-(((minute - 44.0) / 0.9) ** 2))
    return round(97.6 - dip + 0.5 * math.sin(minute * 2.3))


def pulse(minute: float) -> float | None:
    """Return the pulse rate in /min: a slow hump after the dose."""
    if 75.0 <= minute < 77.0:
        return None
    return round(70 + 16 * math.exp(-(((minute - 42) / 25) ** 2)) + 2 * math.sin(minute * 1.7))


@cache
def esketamine(
    started_at: datetime = START, *, mode: Mode = "real", minutes: int = 136, signed: bool = True
) -> SessionRecord:
    """Play an intranasal session with a dip, a pressure peak, a gap, a struck dose, notes and an override."""
    return played(started_at, mode, minutes).record(SIGNER if signed else "")


@cache
def played(started_at: datetime = START, mode: Mode = "real", minutes: int = 136) -> Play:
    """Play that session and return all of it."""
    play = begin("in-esketamine", started_at, mode)
    people = _people(play)
    cuffs = {round(minute * 60): values for minute, values in ROUGH}
    for extra in range(150, minutes, 15):
        cuffs[extra * 60] = (128, 77, 94, 69)
    for second in range(minutes * 60):
        minute = second / 60
        if second in people:
            for step in people[second]:
                step()
        if second in cuffs:
            systolic, diastolic, mean, rate = cuffs[second]
            play.report(minute, CUFF, dict(zip(PRESSURE, (systolic, diastolic, mean, rate), strict=True)))
        values = (saturation(minute), pulse(minute))
        faults = ("probe_off",) if values[0] is None else ()
        play.report(minute, OXIMETER, dict(zip(SATURATION_RATE, values, strict=True)), *faults)
        if second == 78 * 60:
            play.give(minute, given.Tick())
    play.give(minutes, given.EndSession(play.by, "patient wished to leave, escort present"))
    _remarks(play, minutes)
    return play


def _remarks(play: Play, minutes: int) -> None:
    """Say what an alarm was, correct an entry and sign, when the patient has left."""
    name, alarm = play.session_id, next(o.alarm_id for o in play.outcomes if o.outcome == "AlarmRaised")
    told = [one.outcome for one in play.outcomes if one.session_id == name]
    wrong = FIRST_ID + told.index("NoteRecorded")
    play.give(minutes + 5, given.RecordDisposition(name, alarm, "actionable", play.by, "oxygen mask on"))
    play.give(minutes + 6, given.CorrectRecord(name, wrong, play.by, "wrong patient", "he felt well"))
    play.give(minutes + 12, given.SignRecord(name, SIGNER, "clinician", "seen and agreed"))


def begin(name: str, started_at: datetime, mode: Mode) -> Play:
    """Begin a session with an oximeter and a cuff."""
    play = Play(started_at, protocol(name), mode)
    play.give(0, given.Associate(DeviceProfile(OXIMETER, SATURATION_RATE, 1.0)))
    play.give(0, given.Associate(DeviceProfile(CUFF, PRESSURE, 300.0)))
    play.give(0, given.StartSession(play.session_id, "P-0107", play.protocol, play.by, mode))
    return play


def _people(play: Play) -> dict[int, list]:  # type: ignore[type-arg]
    """Return what people do, by second of the session."""
    first, wrong = play.at(10), play.at(15.5)
    steps: dict[float, list] = {  # type: ignore[type-arg]
        2.0: [lambda: play.give(2.0, given.RecordScore("moaas", 5, play.by))],
        10.0: [lambda: play.give(10.0, given.RecordDose(28, "in", play.by, first))],
        15.0: [lambda: play.give(15.0, given.RecordDose(28, "in", play.by))],
        15.5: [lambda: play.give(15.5, given.RecordDose(28, "in", play.by, wrong))],
        16.0: [lambda: play.give(16.0, given.WithdrawDose(wrong, play.by, "entered twice"))],
        25.0: [
            lambda: play.give(25.0, given.RecordScore("dissociation", 2, play.by)),
            lambda: play.give(
                25.0, given.RecordNote("symptom", "=feels “far away”; nausea ≥ 1, SpO₂ fine", play.by)
            ),
        ],
        36.0: [
            lambda: play.give(
                36.0,
                given.SetLimit("systolic-high", "Dr. José Müller", "clinician", "known hypertension", 165),
            )
        ],
        45.0: [lambda: play.acknowledge(45.0, "spo2-low-urgent")],
        49.5: [
            lambda: play.give(
                49.5, given.Accept(play.bed.alarms["systolic-high-urgent"].alarm_id, "Amir Haddad")
            )
        ],
        50.0: [lambda: play.acknowledge(50.0, "systolic-high-urgent", "Amir Haddad")],
        76.0: [lambda: play.give(76.0, given.PauseAudio(play.by, 60))],
        90.0: [
            lambda: play.give(90.0, given.RecordManual({"nibp_systolic": 138, "nibp_diastolic": 82}, play.by))
        ],
        100.0: [lambda: play.give(100.0, given.RecordScore("dissociation", 0, play.by))],
        132.0: [
            lambda: play.give(132.0, given.RecordScore("moaas", 5, play.by)),
            lambda: play.give(132.0, given.Answer("escort", True, play.by)),
        ],
        135.0: [
            lambda: play.give(135.0, given.ConfirmReady(play.by, "clinician present, Dr. Müller informed"))
        ],
    }
    return {round(minute * 60): todo for minute, todo in steps.items()}


@cache
def infusion(started_at: datetime = START, minutes: int = 130) -> SessionRecord:
    """Play a quiet intravenous session."""
    play = begin("iv-ketamine", started_at, "real")
    for second in range(minutes * 60):
        minute = second / 60
        if second == 11 * 60:
            play.give(minute, given.RecordDose(38.5, "iv", play.by))
        if second % 300 == 60:
            values = dict(zip(PRESSURE, (126.0, 77.0, 93.0, 68.0), strict=True))
            play.report(minute, CUFF, values)
        play.report(minute, OXIMETER, {"spo2": 98.0, "pulse_rate": 68.0})
    play.give(minutes, given.EndSession(play.by, "end of the test"))
    return play.record()


def bare(name: str = "in-esketamine", mode: Mode = "real") -> SessionRecord:
    """Play a session in which nothing was measured, given or said, and that still runs."""
    return begin(name, START, mode).record()


def cuffs_only(
    cuffs: Cuffs,
    doses: tuple[tuple[float, float], ...] = ((10.0, 28.0), (15.0, 28.0)),
    minutes: float = 136.0,
    *,
    started_at: datetime = START,
    mode: Mode = "real",
) -> SessionRecord:
    """Play an intranasal session with nothing but these cuff readings and doses (minute, mg)."""
    play = begin("in-esketamine", started_at, mode)
    todo = [(minute, lambda m=minute, v=values: _read(play, m, v)) for minute, values in cuffs]
    todo += [
        (at, lambda m=at, a=mg: play.give(m, given.RecordDose(a, "in", play.by, reason="seen")))
        for at, mg in doses
    ]
    for _, step in sorted(todo, key=lambda one: one[0]):
        step()
    play.give(minutes, given.EndSession(play.by, "end of the test"))
    return play.record()


def _read(play: Play, minute: float, values: tuple[float, float, float, float]) -> None:
    play.report(minute, CUFF, dict(zip(PRESSURE, values, strict=True)))


def noted(text: str) -> SessionRecord:
    """Play a short session in which a person writes this note and ends it with the same words."""
    play = begin("in-esketamine", START, "real")
    play.give(1.0, given.RecordNote("symptom", text, play.by))
    play.give(2.0, given.EndSession(play.by, text.strip() or "end"))
    return play.record()


EVERY_SCENE = ("esketamine", "drill", "infusion", "bare")


def scene(name: str) -> SessionRecord:
    """Return one of the played sessions by name."""
    return {
        "esketamine": esketamine,
        "drill": lambda: esketamine(mode="drill", signed=False),
        "infusion": infusion,
        "bare": bare,
    }[name]()
