"""The plan of a simulated ward: who lies where, at which moment of a session, and what will happen.

Law: the plan is made from the seed alone and printed before anything runs, so that whoever wires the monitor
(``drill ward --plan``) and whoever watches the ward speak of the same beds.

Session seconds count from the first dose; the session itself begins ten minutes earlier, with the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from simulators.chance import Chance
from simulators.course import Episode, Point, Script
from simulators.cuff import CUFF_METRICS, Cuff
from simulators.device import Device, Trouble
from simulators.effect import MIND, STIMULATION
from simulators.network import PERFECT, Conditions, Network
from simulators.patient import Patient
from simulators.pharmacology import Disposition, Dose, Number
from simulators.sensors import OXIMETER_METRICS, Oximeter
from simulators.speech import LANGUAGES, speaking
from simulators.subject import OneSubject, Subject, draw_subject
from simulators.ward import Bed, Ward
from simulators.wiring import device_record

BASELINE_S = 600.0  # the session begins ten minutes before the first dose
CUFF_INTERVAL_S = 300.0
PROTOCOLS = ("iv-ketamine", "in-esketamine", "im-ketamine")
SPRAY_MG, SPRAY_GAP_MIN = 28.0, 5.0  # esketamine device and the pause between two (CLINICAL §1.1)
MG_PER_KG = 0.5
INFUSION_MIN = 40.0


@dataclass(frozen=True, slots=True)
class Story:
    """What one bed will show. Times in ``now`` terms: seconds after the ward goes live.

    Args:
        text: one line for people.
        protocol: one of ``PROTOCOLS``.
        minute: minutes since the first dose when the ward goes live; negative before it.
        sprays: devices of a nasal dose.
        calm: a middling person, so that nothing but the story happens.
        episodes, troubles, systolic, diastolic: what happens, with live seconds.
        cuff_at_s: when a person starts the cuff, live seconds.
    """

    text: str
    protocol: str
    minute: float
    sprays: int = 2
    calm: bool = True
    episodes: tuple[Episode, ...] = ()
    oximeter_troubles: tuple[Trouble, ...] = ()
    systolic: tuple[Point, ...] = ()
    diastolic: tuple[Point, ...] = ()
    cuff_at_s: tuple[float, ...] = ()
    lung_volume_l: float | None = None


# The six beds of the demonstration. Two cross a red limit within the first minute, whatever the seed.
STORIES: tuple[Story, ...] = (
    Story(
        "infusion ending; pressure 186/112 at about +45 s, 181/109 on repeat; settles in ten minutes",
        "iv-ketamine",
        38.0,
        systolic=(Point(-600, 150), Point(-60, 178), Point(45, 186), Point(150, 180), Point(600, 146)),
        diastolic=(Point(-600, 92), Point(-60, 106), Point(45, 112), Point(150, 109), Point(600, 92)),
        cuff_at_s=(14.0, 85.0),
    ),
    Story(
        "second spray just taken; quiet, then a rise to about 166/102 after six minutes",
        "in-esketamine",
        7.0,
        episodes=(Episode("surge", 240.0, 700.0, 36.0),),
    ),
    Story(
        "stops breathing at the peak: saturation below 85 at about +25 s for most of a minute, then recovers",
        "in-esketamine",
        44.0,
        sprays=3,
        episodes=(Episode("apnoea", -46.0, 84.0), Episode("movement", 420.0, 25.0, 0.6)),
        lung_volume_l=2.2,
    ),
    Story(
        "observation; probe falls off at +3 min for 40 s, a faint at +9 min",
        "iv-ketamine",
        75.0,
        episodes=(Episode("vasovagal", 540.0, 120.0, 34.0),),
        oximeter_troubles=(Trouble("probe_off", 180.0, 40.0),),
    ),
    Story("baseline; the injection follows in two minutes, the rise after that", "im-ketamine", -2.0),
    Story("two hours nearly over, quiet, soon ready to leave", "in-esketamine", 117.0),
)

# Beyond the sixth bed: ordinary sessions of ordinary people, each at its own moment.
ORDINARY: tuple[Story, ...] = tuple(
    Story("an ordinary session", protocol, 0.0, sprays=2, calm=False) for protocol in PROTOCOLS
)


@dataclass(frozen=True, slots=True)
class BedPlan:
    """One bed of the plan, ready to print and to build."""

    bed_id: str
    number: int
    patient_code: str
    story: Story
    doses: tuple[Dose, ...]
    subject: Subject = field(repr=False)
    oximeter_speaks: str = "native"
    cuff_speaks: str = "native"

    @property
    def oximeter_metrics(self) -> tuple[str, ...]:
        """Return what the oximeter measures: more, where its language cannot leave it out."""
        more = LANGUAGES[self.oximeter_speaks].needs.difference(OXIMETER_METRICS)
        return (*OXIMETER_METRICS, *sorted(more))

    def record(self) -> dict[str, Any]:
        """Return the plan of this bed for JSON; minutes are counted back from the moment of going live."""
        given = [dose for dose in self.doses if dose.at_min <= self.story.minute]
        planned = [dose for dose in self.doses if dose.at_min > self.story.minute]
        return {
            "bed_id": self.bed_id,
            "devices": [
                device_record(
                    f"sim-oximeter-{self.number}",
                    "oximeter",
                    self.oximeter_metrics,
                    1.0,
                    self.oximeter_speaks,
                ),
                device_record(
                    f"sim-cuff-{self.number}", "cuff", CUFF_METRICS, CUFF_INTERVAL_S, self.cuff_speaks
                ),
            ],
            "patient_code": self.patient_code,
            "protocol": self.story.protocol,
            "minutes_since_start": round(self.story.minute + BASELINE_S / 60.0, 2),
            "doses": [dose_record(dose, "minutes_since", self.story.minute - dose.at_min) for dose in given],
            "planned_doses": [
                dose_record(dose, "in_minutes", dose.at_min - self.story.minute) for dose in planned
            ],
            "story": self.story.text,
        }


def dose_record(dose: Dose, when: str, minutes: float) -> dict[str, Any]:
    """Return a dose for the monitor, whose word for the nose is ``in``; ``minutes`` stands under ``when``."""
    route = "in" if dose.route == "nasal" else dose.route
    record = {when: round(minutes, 2), "amount_mg": round(dose.amount_mg, 1), "route": route}
    return record | ({"over_minutes": dose.over_min} if dose.over_min else {})


def doses_of(protocol: str, weight_kg: Number, sprays: int = 2) -> tuple[Dose, ...]:
    """Return the usual doses of a protocol (CLINICAL §1.1, §1.3): 0.5 mg/kg by vein over 40 min or muscle."""
    amount = MG_PER_KG * weight_kg
    if isinstance(amount, float):
        amount = round(amount, 1)  # a syringe is filled to a tenth; a population's doses are left as they are
    if protocol == "iv-ketamine":
        return (Dose(0.0, amount, "iv", INFUSION_MIN),)
    if protocol == "im-ketamine":
        return (Dose(0.0, amount, "im"),)
    return tuple(Dose(SPRAY_GAP_MIN * each, SPRAY_MG, "nasal", s_fraction=1.0) for each in range(sprays))


MIXED = "mixed"


def plan_ward(beds: int, seed: int, speaks: str = "native") -> list[BedPlan]:
    """Plan a ward of ``beds`` from a seed.

    Args:
        beds: how many.
        seed: of everything.
        speaks: the language of all devices; ``mixed`` gives each bed others, ``native`` where one has no
            words for what a device measures.
    """
    plans = [_plan_bed(number, seed) for number in range(1, beds + 1)]
    return [_speaking(plan, speaks) for plan in plans]


def _speaking(plan: BedPlan, speaks: str) -> BedPlan:
    def chosen(able: list[str]) -> str:
        if speaks == MIXED:
            return able[plan.number % len(able)]
        return speaks if speaks in able else "native"

    oximeter = chosen(speaking(OXIMETER_METRICS, ("perfusion_index",)))
    return replace(plan, oximeter_speaks=oximeter, cuff_speaks=chosen(speaking(CUFF_METRICS)))


def _plan_bed(number: int, seed: int) -> BedPlan:
    chance = Chance(seed, "ward", f"bed-{number}")
    if number <= len(STORIES):
        story = STORIES[number - 1]
    else:
        ordinary = ORDINARY[number % len(ORDINARY)]
        story = replace(ordinary, minute=round(chance.uniform(-8.0, 110.0), 2))
    subject = draw_subject(OneSubject(chance.branch("subject")))
    if story.calm:
        subject = calm(subject)
    if story.lung_volume_l is not None:
        subject = replace(subject, lung_volume_l=story.lung_volume_l, resting_spo2=96.5)
    code = f"SIM-{chance.branch('code').choose(_LETTERS)}{int(chance.branch('digits').uniform(100, 1000))}"
    doses = doses_of(story.protocol, subject.weight_kg, story.sprays)
    return BedPlan(f"bed-{number}", number, code, story, doses, subject)


_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


def calm(subject: Subject) -> Subject:
    """Return a middling person with this one's weight: nothing of theirs crosses a limit by itself."""
    return replace(
        subject,
        age_years=42.0,
        hypertensive=0.0,
        slow=0.0,
        systolic=117.0 + 0.2 * (subject.systolic - 120.0),
        diastolic=73.0 + 0.2 * (subject.diastolic - 76.0),
        heart_rate=68.0 + 0.3 * (subject.heart_rate - 72.0),
        resting_spo2=97.5,
        anxiety_mmhg=2.0,
        swing_systolic=3.0,
        swing_diastolic=2.2,
        systolic_factor=1.0,
        diastolic_factor=1.0,
        rate_factor=1.0,
        body=Disposition(weight_kg=subject.weight_kg),
        stimulation=STIMULATION,
        mind=MIND,
        pigment=0.2,
        perfusion=2.5,
    )


def build_ward(
    plans: Sequence[BedPlan],
    seed: int,
    start_at: datetime,
    *,
    site: str = "clinic",
    speed: float = 1.0,
    conditions: Conditions = PERFECT,
    start_cuffs: bool = False,
) -> Ward:
    """Make the ward of a plan; its clock reads 0 at ``start_at``.

    Args:
        plans: the beds.
        seed: of everything.
        start_at: when it goes live, aware UTC.
        site: the site's name in topics.
        speed: simulated seconds in a real one.
        conditions: of the network.
        start_cuffs: whether a person starts every cuff as the ward goes live.
    """
    network = Network(conditions, Chance(seed, "network"), site, start_at)
    if start_cuffs:
        plans = [
            replace(plan, story=replace(plan.story, cuff_at_s=(1.0, *plan.story.cuff_at_s))) for plan in plans
        ]
    return Ward([_build_bed(plan, seed, start_at, site, speed) for plan in plans], network)


def _build_bed(plan: BedPlan, seed: int, start_at: datetime, site: str, speed: float) -> Bed:
    chance = Chance(seed, "ward", plan.bed_id)
    story = plan.story
    live_s = round(story.minute * 60.0, 3)  # the session second at which the ward goes live
    scripts = {
        name: Script([Point(point.at_s + live_s, point.value) for point in points])
        for name, points in (("systolic", story.systolic), ("diastolic", story.diastolic))
        if points
    }
    patient = Patient(
        plan.subject,
        chance.branch("truth"),
        plan.doses,
        [replace(episode, at_s=episode.at_s + live_s) for episode in story.episodes],
        scripts,
        variability=0.3 if scripts else 1.0,
    )
    second_0 = start_at - timedelta(seconds=live_s / speed)
    oximeter = Device(
        f"sim-oximeter-{plan.number}",
        "oximeter",
        site,
        patient,
        second_0,
        chance.branch("oximeter"),
        [
            Oximeter(
                chance.branch("oximeter", "sensor"),
                bias=0.0 if story.calm else chance.branch("oximeter", "bias").normal(0.0, 1.0),
                pigment=plan.subject.pigment,
                artefacts=0.0 if story.calm else 1.0,
                perfusion_index="perfusion_index" in plan.oximeter_metrics,
            )
        ],
        phase_s=round(plan.number * 0.618034 % 1.0, 3),  # golden section: spread evenly over the second
        speech=plan.oximeter_speaks,
        troubles=[replace(trouble, at_s=trouble.at_s + live_s) for trouble in story.oximeter_troubles],
        speed=speed,
    )
    return Bed(
        plan.bed_id, patient, [oximeter, _build_cuff(plan, chance, patient, second_0, site, speed)], -live_s
    )


def _build_cuff(
    plan: BedPlan, chance: Chance, patient: Patient, second_0: datetime, site: str, speed: float
) -> Device:
    story = plan.story
    live_s = round(story.minute * 60.0, 3)
    scripted = bool(story.systolic)
    cuff = Cuff(
        chance.branch("cuff", "sensor"),
        CUFF_INTERVAL_S,
        bias_systolic=0.0 if story.calm else chance.branch("cuff", "bias").normal(0.0, 3.0),
        noise=0.2 if scripted else 1.0,
        artefacts=0.0 if story.calm else 1.0,
        # Snapped to a clock of its own, so that the six do not all inflate at once.
        clock_offset_s=(live_s + 47.0 * plan.number + 170.0) % CUFF_INTERVAL_S,
        repeat_above=None if scripted else (160.0, 100.0),
        at_s=[at + live_s for at in story.cuff_at_s],
    )
    name = f"sim-cuff-{plan.number}"
    return Device(
        name,
        "cuff",
        site,
        patient,
        second_0,
        chance.branch("cuff"),
        (),
        cuff,
        speech=plan.cuff_speaks,
        speed=speed,
    )
