"""The truth of one patient over time: what a perfect instrument would read.

Law: the truth knows nothing of devices. It moves in steps of a second from its own named chances, so what
one bed does never changes another, and a longer look never changes what was seen before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from simulators.chance import Chance
from simulators.course import Causes, Episode, Script
from simulators.effect import Drive, step
from simulators.lungs import DEAD_SPACE_L, INSPIRED_AIR, RESTING_VENTILATION, Lungs
from simulators.pharmacology import Dose, DrugInBody, Levels
from simulators.subject import Rises, Subject

DRUG_STEP_S = 15.0
SWING_S = 240.0  # time constant of slow swings of pressure; minutes, as in 24-h records (assumption)
DRIFT_S = 2700.0  # and of settling, waking, thinking of home, as large as the swings (assumption)
MAYER_S = 10.0  # sympathetic waves, about 0.1 Hz
CIRCADIAN_MMHG = 4.0  # half the day's swing of systolic pressure while awake (assumption), highest at 18 h


class Truth(NamedTuple):
    """One instant of one patient.

    Pressures mmHg, rates /min, saturation and perfusion %, temperature °C. ``pulse_rate`` is what a finger
    feels (beats without pulse are missing). ``moving`` is 0 to 1. ``sedation`` is MOAA/S 5 (awake) to 0,
    ``dissociation`` a CADSS-like score 0 to 76. ``effect`` is the drug's own part of the systolic pressure.
    """

    at_s: float
    systolic: float
    diastolic: float
    heart_rate: float
    pulse_rate: float
    spo2: float
    respiration_rate: float
    etco2: float
    temperature: float
    perfusion: float
    moving: float
    irregular: float
    sedation: int
    dissociation: int
    effect: float
    ketamine: float

    @property
    def mean(self) -> float:
        """Return the mean arterial pressure."""
        return self.diastolic + (self.systolic - self.diastolic) / 3.0


@dataclass(slots=True)
class Swing:
    """A slow wandering around zero with a given SD (Ornstein-Uhlenbeck), one step a second."""

    chance: Chance
    time_constant_s: float
    level: float = 0.0
    _step: tuple[float, float, float] = (0.0, 1.0, 0.0)  # seconds, what is kept, what is new

    def move(self, seconds: float) -> float:
        """Carry on by ``seconds``; return the level in SDs."""
        if self._step[0] != seconds:
            keep = round(math.exp(-seconds / self.time_constant_s), 9)
            self._step = (seconds, keep, math.sqrt(1.0 - keep * keep))
        _, keep, new = self._step
        self.level = round(keep * self.level + new * self.chance.normal(), 9)
        return self.level


@dataclass(slots=True)
class Patient:
    """One patient: the drug, the subject's way of answering it, and what else happens.

    Args:
        subject: who it is.
        chance: the patient's own stream.
        doses: what is given, minutes on the session's clock.
        episodes: what happens besides.
        scripts: numbers that a drill prescribes, by name of ``course.SCRIPTED``.
        variability: 1 lives as people do, 0 stands still; drills with exact numbers use less.
        clock_h: local hour at second 0, for the time of day.
        begin_s: when this patient begins to live, session seconds.
        fidgets: whether the patient moves now and then.
    """

    subject: Subject
    chance: Chance
    doses: Sequence[Dose] = ()
    episodes: list[Episode] = field(default_factory=list)
    scripts: Mapping[str, Script] = field(default_factory=dict)
    variability: float = 1.0
    clock_h: float = 10.0
    begin_s: float = -600.0
    fidgets: bool = True
    now_s: float = field(init=False)
    truth: Truth = field(init=False)
    drug: DrugInBody = field(init=False)
    lungs: Lungs = field(init=False)
    _stimulation: Drive = field(init=False, default=Drive())
    _mind: Drive = field(init=False, default=Drive())
    _effect: tuple[float, float] = field(init=False, default=(0.0, 0.0))
    _next_effect: tuple[float, float] = field(init=False, default=(0.0, 0.0))
    _levels: Levels = field(init=False, default=Levels(0.0, 0.0))
    _swings: dict[str, Swing] = field(init=False)
    _fidget: Episode | None = field(init=False, default=None)
    _next_fidget_s: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin ten minutes before the session, with no drug in the body."""
        self.now_s = self.begin_s
        self.drug = DrugInBody(self.subject.body, self.doses)
        self.lungs = Lungs(self.subject.lung_volume_l, self.subject.resting_spo2)
        times = {"pressure": SWING_S, "second": SWING_S, "drift": DRIFT_S}
        times |= {"rate": 90.0, "breath": 30.0, "saturation": 60.0}
        self._swings = {name: Swing(self.chance.branch(name), s) for name, s in times.items()}
        for name in ("pressure", "drift"):
            self._swings[name].level = self.chance.branch(f"{name}-first").normal()
        self._fidgets = self.chance.branch("fidget")
        self._next_fidget_s = self.begin_s + self._fidgets.wait(360.0)
        self.truth = self._look(Causes(), 0.0)

    _fidgets: Chance = field(init=False)

    def begin(self, episode: Episode) -> None:
        """Let something happen, from now on (a facilitator's inject)."""
        self.episodes.append(episode)

    def advance(self, to_s: float, step_s: float = 1.0) -> Truth:
        """Carry the patient on to ``to_s`` in whole steps of ``step_s``; return the truth of the last one.

        Whoever looks, and when, the steps are the same; so a device more or less changes nothing.
        """
        while self.now_s + step_s <= to_s + 1e-6:
            self.now_s = round(self.now_s + step_s, 6)
            self._follow_drug()
            causes = self._causes()
            self._breathe(causes, step_s)
            self.truth = self._look(causes, step_s)
        return self.truth

    def _follow_drug(self) -> None:
        """Keep the drug's effect one step ahead, so that the second between can be read off a line."""
        if self.now_s <= 0.0:
            return
        while self.drug.now_min * 60.0 < self.now_s:
            to_min = round(self.drug.now_min + DRUG_STEP_S / 60.0, 9)
            self._levels = self.drug.advance(to_min)
            self._effect = self._next_effect
            self._stimulation, stimulation = step(
                self.subject.stimulation, self._stimulation, self._levels, DRUG_STEP_S / 60.0
            )
            self._mind, mind = step(self.subject.mind, self._mind, self._levels, DRUG_STEP_S / 60.0)
            self._next_effect = (stimulation, max(mind, 0.0))

    def _between(self, which: int) -> float:
        share = 1.0 - (self.drug.now_min * 60.0 - self.now_s) / DRUG_STEP_S if self.now_s > 0.0 else 0.0
        before, after = self._effect[which], self._next_effect[which]
        return before + (after - before) * min(max(share, 0.0), 1.0)

    def _causes(self) -> Causes:
        causes = Causes()
        if self.fidgets and self.now_s >= self._next_fidget_s:
            length = 3.0 + self._fidgets.wait(6.0)
            self._fidget = Episode(
                "movement", self.now_s, length, self._fidgets.uniform(0.15, 0.7) * self.variability
            )
            self._next_fidget_s = self.now_s + length + self._fidgets.wait(360.0)
        for episode in [*self.episodes, self._fidget] if self._fidget else self.episodes:
            episode.act(causes, self.now_s)
        return causes

    def _respiration(self, causes: Causes) -> float:
        """Return the breaths a minute that the chest makes."""
        if causes.not_breathing:
            return 0.0
        swing = 0.8 * self.variability * self._swings["breath"].level
        drive = max(self.lungs.carbon_dioxide - 42.0, 0.0) * 0.6  # carbon dioxide makes one breathe
        rate = self.subject.respiration_rate + swing + causes.respiration_rate + drive
        if causes.respiration_target is not None:
            rate += (causes.respiration_target - rate) * causes.target_share
        script = self.scripts.get("respiration_rate")
        return max(script.apply(rate, self.now_s) if script else rate, 0.0)

    def _breathe(self, causes: Causes, seconds: float) -> None:
        self._swings["breath"].move(seconds)
        rate = self._respiration(causes)
        usual = self.subject.respiration_rate
        # Slow breaths are deeper, but not enough: half of the loss is made up (assumption).
        tidal = RESTING_VENTILATION / usual + DEAD_SPACE_L
        tidal *= 1.0 + 0.5 * max(usual / max(rate, 3.0) - 1.0, 0.0) * 0.5
        ventilation = max(rate * (tidal - DEAD_SPACE_L), 0.0) * causes.ventilation_share
        if causes.airway_closed:
            ventilation = RESTING_VENTILATION * causes.ventilation_share
        self.lungs.inspired = INSPIRED_AIR + causes.inspired_oxygen_mmhg
        self.lungs.breathe(ventilation, seconds)

    def _look(self, causes: Causes, seconds: float) -> Truth:
        """Put the parts together into what is true now."""
        subject, now = self.subject, self.now_s
        drug, mind = subject.rises(self._between(0)), self._between(1)
        systolic, diastolic = self._pressures(drug, causes, seconds)
        heart = self._heart_rate(drug, causes, seconds)
        spo2 = self._scripted(
            "spo2", self.lungs.at_finger + 0.25 * self.variability * self._swings["saturation"].move(seconds)
        )
        respiration = self._respiration(causes)
        flowing = respiration > 0.0 and not causes.airway_closed
        return Truth(
            at_s=now,
            systolic=round(systolic, 3),
            diastolic=round(min(diastolic, systolic - 12.0), 3),
            heart_rate=round(heart, 3),
            pulse_rate=round(heart * (1.0 - causes.pulse_deficit), 3),
            spo2=round(min(max(spo2, 20.0), 100.0), 3),
            respiration_rate=round(respiration, 3),
            etco2=round(self.lungs.carbon_dioxide - 3.0, 3) if flowing else 0.0,
            temperature=round(self._scripted("temperature", subject.temperature), 3),
            perfusion=round(subject.perfusion * causes.perfusion_share, 3),
            moving=round(causes.moving, 3),
            irregular=causes.irregular,
            sedation=max(0, 5 - int(mind / 0.45)),
            dissociation=min(76, int(28.0 * mind)),
            effect=round(drug.systolic, 3),
            ketamine=round(self._levels.ketamine, 3),
        )

    def _scripted(self, name: str, natural: float) -> float:
        script = self.scripts.get(name)
        return script.apply(natural, self.now_s) if script else natural

    def _pressures(self, drug: Rises, causes: Causes, seconds: float) -> tuple[float, float]:
        subject, now = self.subject, self.now_s
        waiting = math.exp(-max(now, 0.0) / 900.0)  # the needle's fright fades once the drug runs
        hour = self.clock_h + now / 3600.0
        day = CIRCADIAN_MMHG * math.cos((hour - 18.0) * math.pi / 12.0)
        systolic = subject.systolic + drug.systolic + subject.anxiety_mmhg * waiting + day + causes.systolic
        diastolic = subject.diastolic + drug.diastolic
        diastolic += 0.5 * subject.anxiety_mmhg * waiting + 0.5 * day + causes.diastolic
        systolic, diastolic = self._scripted("systolic", systolic), self._scripted("diastolic", diastolic)
        shared, own = self._swings["pressure"].move(seconds), self._swings["second"].move(seconds)
        drift = self._swings["drift"].move(seconds)
        mayer = math.sin(2.0 * math.pi * now / MAYER_S + 1.3 * own)
        systolic += self.variability * (subject.swing_systolic * (shared + drift) + 2.0 * mayer)
        swing = subject.swing_diastolic * (0.6 * (shared + drift) + 0.8 * own)
        diastolic += self.variability * (swing + 1.2 * mayer)
        return max(systolic, 35.0), max(diastolic, 20.0)

    def _heart_rate(self, drug: Rises, causes: Causes, seconds: float) -> float:
        subject = self.subject
        swing = self.variability * 2.5 * self._swings["rate"].move(seconds)
        breath = math.sin(2.0 * math.pi * self.now_s * subject.respiration_rate / 60.0)
        rate = subject.heart_rate + drug.rate + causes.heart_rate
        rate += (
            0.5 * max(90.0 - self.lungs.at_finger, 0.0) if self.lungs.at_finger > 60.0 else -15.0
        )  # hypoxia
        if causes.heart_rate_target is not None:
            rate += (causes.heart_rate_target - rate) * causes.target_share
        rate = self._scripted("heart_rate", rate)
        rate += swing + 1.0 * self.variability * breath
        return max(rate, 20.0)
