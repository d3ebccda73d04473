"""Play a drill: at full speed against the monitor's own core, or live against a running monitor.

Law: a drill never touches a session that is not a drill. On a live monitor it waits until the bed says
``drill`` by itself (a person starts that session), and it leaves the bed at once when the bed stops saying
so: a real high alarm ends the drill there (S-10, S-11).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from simulators.course import EPISODE_KINDS, Episode
from simulators.device import Trouble
from simulators.drill import BEGIN_MIN, Drill
from simulators.pace import run_ward
from simulators.publisher import Broker, Publisher
from simulators.score import Heard, Scorecard, heard, score
from simulators.speech import ROOT
from simulators.stage import SECOND_0, Stage, lines, patient_code, set_stage
from simulators.ward import Bed

MONITOR = (sys.executable, "-m", "monitor")
LONGEST_REPLAY_S = 300.0
HISTORY_PERIOD_S = 10.0


class MonitorRefused(RuntimeError):
    """The monitor cannot be started or reached, or the bed is not free for a drill."""


# --- at full speed ------------------------------------------------------------------------------------------


Replay = Callable[[Iterable[str]], Iterable[str]]


def run_fast(name: str, drill: Drill, replay: Replay | None = None) -> tuple[Scorecard, list[Heard]]:
    """Play a drill through the monitor's own core; staff is a robot that follows the file.

    Args:
        name: of the drill.
        drill: the exercise.
        replay: what turns the lines of a session into outcomes as JSON lines; ``afterwatch replay``.

    Raises:
        MonitorRefused: the command failed; the text is what it said.
    """
    stage = set_stage(drill, SECOND_0, "clinic")
    told = (replay or by_command)(lines(stage))
    outcomes = [heard(json.loads(line), SECOND_0) for line in told if line.strip()]
    card = score(name, drill, outcomes, stage.truths)
    card.played_at, card.mode = datetime.now(UTC).isoformat(timespec="seconds"), "fast"
    return card, outcomes


def by_command(given: Iterable[str]) -> Iterable[str]:
    """Replay lines by the monitor's command.

    Raises:
        MonitorRefused: it failed; the text is what it said.
    """
    text = "\n".join(given) + "\n"
    command = [*MONITOR, "replay", "--envelopes", "-", "--jsonl"]
    try:
        done = subprocess.run(  # noqa: S603  the command is ours
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=LONGEST_REPLAY_S,
            check=False,
            cwd=Path(__file__).resolve().parent.parent,
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise MonitorRefused(f"{' '.join(command)} did not run: {fault}") from fault
    if done.returncode != 0:
        why = done.stderr.strip()[-800:]
        raise MonitorRefused(f"{' '.join(command)} ended with {done.returncode}: {why}")
    return done.stdout.splitlines()


# --- live ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Live:
    """A drill that runs against a real broker.

    Args:
        name: of the drill.
        stage: set with ``live_min``.
        publisher: connected.
        site: the site's name in topics.
        say: where words for the facilitator go.
    """

    name: str
    stage: Stage
    publisher: Publisher
    site: str
    say: Callable[[str], None]
    outcomes: list[Heard] = field(default_factory=list)
    modes: dict[str, str] = field(default_factory=dict)
    active: dict[str, list[str]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    injects: list[str] = field(default_factory=list)
    stopped: bool = False

    def listen(self) -> None:
        """Hear what the monitor says of the beds, and injects from elsewhere (the web console)."""
        self.publisher.hear(f"{ROOT}/{self.site}/beds/+/alarm", self._hear)
        self.publisher.hear(f"{ROOT}/{self.site}/beds/+/alarms", self._hear)
        self.publisher.hear(f"{ROOT}/{self.site}/drills/+/outcome", self._hear)
        self.publisher.hear(f"{ROOT}/{self.site}/drills/inject", self._hear)

    def wait_for_sessions(self, within_s: float) -> None:
        """Wait until every bed of the drill says that its session is a drill.

        Raises:
            MonitorRefused: a bed has a real session, or none came in time.
        """
        beds = [lying.bed for lying in self.stage.drill.beds]
        deadline = time.monotonic() + within_s
        told = False
        while not all(self.modes.get(bed) == "drill" for bed in beds):
            self.publisher.wait(0.1)
            for bed in beds:
                if self.modes.get(bed) == "real":
                    raise MonitorRefused(
                        f"{bed} has a real session; choose a free bed (drills never join one)"
                    )
            if not told:
                told = True
                self.say(self._how_to_begin(beds))
            if time.monotonic() > deadline:
                late = ", ".join(bed for bed in beds if self.modes.get(bed) != "drill")
                raise MonitorRefused(
                    f"no drill session on {late} within {within_s:g} s; start one on the wall"
                )

    def _how_to_begin(self, beds: list[str]) -> str:
        rows = [
            f"  {lying.bed}: patient {patient_code(lying)}, protocol {lying.protocol}, mode drill; devices "
            + ", ".join(device["device_id"] for device in bed["devices"])
            for lying, bed in zip(self.stage.drill.beds, self.stage.plan, strict=True)
        ]
        rows += [
            f"  {bed['bed_id']}: record {dose['amount_mg']:g} mg {dose['route']}, "
            f"given {dose['minutes_since']:g} min ago"
            for bed in self.stage.plan
            for dose in bed["doses"]
        ]
        return "Start on the wall, as a drill:\n" + "\n".join(rows) + f"\nWaiting for {', '.join(beds)} …"

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:
        parts = topic.split("/")
        if topic.endswith("/drills/inject"):
            self.inject(payload.decode(errors="replace"))
            return
        try:
            message = json.loads(payload)
        except ValueError:
            return
        if parts[-2] not in self._beds:
            return  # another drill, or a patient: none of ours
        if parts[-1] == "alarms":
            self._bed_says(parts[-2], message)
        elif not retained and message.get("outcome") and message.get("mode") == "drill":
            one = heard({**message, "bed_id": parts[-2], **_reason(message)}, self.stage.second_0)
            self.outcomes.append(one)
            if one.outcome not in _QUIET:
                self.say(f"  monitor: {one.bed} {one.outcome} {one.rule} {one.priority or one.what}".rstrip())

    def _bed_says(self, bed: str, message: dict[str, Any]) -> None:
        before, now = self.modes.get(bed), str(message.get("mode", ""))
        self.modes[bed] = now
        self.active[bed] = [str(alarm.get("rule", "")) for alarm in message.get("alarms", ())]
        if before == "drill" and now != "drill" and bed not in self.left:
            self.left[bed] = "a real session" if now == "real" else "its session ended"
            ended = {"outcome": "SessionEnded", "at": datetime.now(UTC).isoformat(), "bed_id": bed}
            self.outcomes.append(heard(ended, self.stage.second_0))
            self.stage.ward.leave(bed)
            self.say(f"{bed} is no drill any more ({self.left[bed]}): nothing more is sent there")

    @property
    def _beds(self) -> dict[str, Bed]:
        return {bed.bed_id: bed for bed in self.stage.ward.beds}

    def inject(self, text: str) -> None:
        """Do what the facilitator asks: ``[bed-2] apnoea 60 [size]``, ``[bed-2] probe_off 30``, ``stop``.

        What is for another drill's bed is none of ours.
        """
        words = text.split()
        if not words:
            return
        if len(words) > 1 and words[0] not in self._beds and words[1] in (*_STOPS, *INJECTS):
            return
        bed = self._beds[words.pop(0)] if words and words[0] in self._beds else self.stage.ward.beds[0]
        if words and words[0] in _STOPS:
            self.stopped = True
            return
        try:
            kind, numbers = words[0], [float(word) for word in words[1:3]]
        except (IndexError, ValueError):
            self.say("inject: write [bed] kind seconds [size], such as: apnoea 60")
            return
        lasts_s, size = [*numbers, 60.0][0], numbers[1] if len(numbers) > 1 else None
        now_s = bed.patient.now_s
        if kind in EPISODE_KINDS:
            bed.patient.begin(Episode(kind, now_s, lasts_s, size))  # type: ignore[arg-type]  # just looked up
        elif any(_goes_with(device.kind, kind) for device in bed.devices):
            for device in bed.devices:
                if _goes_with(device.kind, kind):
                    device.troubles.append(Trouble(kind, now_s, lasts_s, size or 0.0))
        else:
            self.say(f"inject: {kind!r} is unknown; known: {', '.join(INJECTS)}, stop")
            return
        minute = self.stage.minute(datetime.now(UTC))
        self.injects.append(f"{bed.bed_id}: {kind} for {lasts_s:g} s at {minute:.1f} min")
        self.say(f"inject: {bed.bed_id} {kind} for {lasts_s:g} s")

    def run(self, *, keyboard: TextIO | None = None, backlog: bool = False) -> Scorecard:
        """Play the drill to its end, in real time; return its score.

        Args:
            keyboard: where the facilitator types injects.
            backlog: first send what the devices measured since the session's beginning.
        """
        drill = self.stage.drill
        second_0 = datetime.now(UTC) - timedelta(minutes=drill.starts_at_min)
        self.outcomes.clear()
        self.stage = set_stage(drill, second_0, self.site, live_min=drill.starts_at_min)
        if backlog:
            for message in self.stage.ward.history(BEGIN_MIN * 60.0, HISTORY_PERIOD_S):
                self.publisher.publish(message)
            self.publisher.drain()
        if keyboard is not None:
            self.publisher.watch_lines(keyboard, self.inject)
        self.stage.ward.go_live(lambda: datetime.now(UTC))
        self.stage.second_0 = datetime.now(UTC) - timedelta(minutes=drill.starts_at_min)
        length_s = (drill.ends_at_min - drill.starts_at_min) * 60.0
        run_ward(self.stage.ward, self.publisher, for_s=length_s, each_turn=self._goes_on)
        self.publisher.wait(0.5)
        card = score(self.name, drill, list(self.outcomes), self.stage.truths)
        card.injects = self.injects
        self.publisher.say_offline(but=self._left_devices())  # what that raises is no part of the drill
        self.publisher.drain(5.0)
        card.played_at, card.mode = datetime.now(UTC).isoformat(timespec="seconds"), "live"
        return card

    def _goes_on(self, _now_s: float) -> bool:
        self.stage.note_truth()
        return not self.stopped and len(self.left) < len(self.stage.drill.beds)

    def _left_devices(self) -> set[str]:
        plans = [bed for bed in self.stage.plan if bed["bed_id"] in self.left]
        return {device["device_id"] for bed in plans for device in bed["devices"]}


_INJECTABLE = {
    "oximeter": (
        "probe_off",
        "probe_fault",
        "searching",
        "low_perfusion",
        "interference",
        "stuck",
        "sentinel",
    ),
    "cuff": ("cuff_leak", "cuff_error", "wrong_cuff", "outlier", "auto_off"),
    "breath": ("respiration_lost",),
    "ecg": ("lead_off", "ecg_noise"),
}
_QUIET = ("DeviceAssociated", "CheckpointDue", "AlarmOffered", "AlarmReminded", "Refused")
_EVERY_DEVICE = ("off", "offline", "restart", "battery_low", "clock_wrong")
_STOPS = ("stop", "quit", "end")
INJECTS = (*EPISODE_KINDS, *(kind for kinds in _INJECTABLE.values() for kind in kinds), *_EVERY_DEVICE)


def _goes_with(device_kind: str, trouble: str) -> bool:
    return trouble in _INJECTABLE.get(device_kind, ()) or trouble in _EVERY_DEVICE


def _reason(message: dict[str, Any]) -> dict[str, str]:
    return {"reason": str(message.get("text", "")), "by": str(message.get("by", ""))}


def open_live(name: str, drill: Drill, broker: Broker, site: str, say: Callable[[str], None]) -> Live:
    """Connect a drill to a broker; its first minute begins when ``run`` is called.

    Raises:
        BrokerRefused: no broker, or it does not let us in.
    """
    stage = set_stage(drill, SECOND_0, site, live_min=drill.starts_at_min)
    names = [device["device_id"] for bed in stage.plan for device in bed["devices"]]
    publisher = Publisher(broker, f"drill-run-{os.getpid()}", site, names)
    publisher.connect()
    live = Live(name, stage, publisher, site, say)
    live.listen()
    return live


# --- the folder of runs -------------------------------------------------------------------------------------


def keep(card: Scorecard, folder: Path) -> Path:
    """Write a score to the folder of runs; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    at = card.played_at.replace(":", "").replace("-", "")[:15]
    path = folder / f"{card.drill}-{at}-{card.mode}.json"
    path.write_text(json.dumps(card.record(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def runs(folder: Path, name: str = "") -> Iterator[dict[str, Any]]:
    """Give the kept scores, oldest first."""
    found = []
    for path in folder.glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        if not name or record.get("drill") == name:
            found.append(record)
    yield from sorted(found, key=lambda record: str(record["played_at"]))
