"""Drills for the console: each run is a process of the simulators, on free beds of this monitor.

Law: a drill never joins a real session (S-10): its session is begun here, in mode drill, on a free bed, and
ended here when the run is over. The run itself knows us through the broker alone, as any drill does.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Protocol

from monitor.config import Configuration
from monitor.core import inputs as given
from monitor.core.inputs import Input
from monitor.core.turn import Bed
from monitor.web.desk import Reply

SIMULATORS = (sys.executable, "-m", "simulators")
ACCOUNT = "drill"  # at a broker with passwords: the account that may speak as a simulated device
PASSWORD_FILE = "AFTERWATCH_DRILL_PASSWORD_FILE"  # noqa: S105 - the name of a variable
ASK_S, BEGIN_S, END_S = 20.0, 8.0, 5.0
KEPT, LINES = 50, 40


class Desk(Protocol):
    """What is needed of the monitor."""

    def submit(self, bed_id: str, one: Input) -> Any:
        """Put an input in line for a bed; return a future of its reply."""
        ...

    def beds(self) -> Mapping[str, Bed]:
        """Return every bed as it is now."""
        ...

    def now(self) -> datetime:
        """Return the present instant."""
        ...


@dataclass(slots=True)
class Run:
    """One drill as it is played."""

    id: str
    name: str
    title: str
    beds: list[str]
    by: str
    started_at: datetime
    process: subprocess.Popen[str]
    sessions: dict[str, str] = field(default_factory=dict)
    said: deque[str] = field(default_factory=lambda: deque(maxlen=LINES))
    state: str = "running"
    score: dict[str, Any] | None = None

    def show(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "id": self.id,
            "name": self.name,
            "title": self.title,
            "beds": self.beds,
            "by": self.by,
            "started_at": self.started_at.isoformat(),
            "state": self.state,
            "sessions": self.sessions,
            "steps": list(self.said),
            "score": self.score,
        }


class DrillRuns:
    """Starts, lists, changes and stops drills; every method may be called from any thread."""

    def __init__(self, configuration: Configuration, desk: Desk, log: Callable[[str], None]) -> None:
        """Nothing is started yet; ``log`` hears why a run ended otherwise than it should."""
        self._configuration, self._desk, self._log = configuration, desk, log
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}

    # --- what there is ------------------------------------------------------------------------------------

    def drills(self) -> Sequence[Mapping[str, Any]]:
        """Return every drill: name, title, what it teaches."""
        return self._listed

    @cached_property
    def _listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(_ask("list", "--json"))
        return found

    def script(self, name: str) -> str:
        """Return a drill in words. Raises ValueError for an unknown one."""
        self._known(name)
        return _ask("show", name)

    def runs(self) -> Sequence[Mapping[str, Any]]:
        """Return the runs since the start, newest first."""
        with self._lock:
            return [run.show() for run in reversed(self._runs.values())]

    # --- one run ------------------------------------------------------------------------------------------

    def run(self, name: str, bed_ids: Sequence[str], by: str) -> str:
        """Start a drill on free beds and return the run's id. Raises ValueError with the reason."""
        title = self._known(name)["title"]
        plan = _on_beds(json.loads(_ask("show", name, "--plan")), bed_ids)
        self._ready(plan)
        process = self._spawn(name, bed_ids)
        run = Run(secrets.token_hex(4), name, title, list(bed_ids), by, self._desk.now(), process)
        try:
            for bed in plan:
                self._begin(run, bed)
        except ValueError:
            process.terminate()
            self._leave(run, "the drill could not begin")
            raise
        with self._lock:
            self._runs[run.id] = run
            for old in list(self._runs.values())[:-KEPT]:
                if old.state != "running":
                    del self._runs[old.id]
        threading.Thread(target=self._follow, args=(run,), name=f"drill {name}", daemon=True).start()
        return run.id

    def inject(self, run_id: str, words: str, by: str) -> None:
        """Change a patient's course or a device now: ``[bed] kind seconds [size]``. Raises ValueError."""
        run = self._running(run_id)
        self._tell(run, " ".join(words.split()))
        run.said.append(f"{by}: {words}")

    def stop(self, run_id: str, by: str) -> None:
        """Stop a run; it is scored as far as it went. Raises ValueError with the reason."""
        run = self._running(run_id)
        run.said.append(f"{by}: stop")
        self._tell(run, "stop")

    def stop_all(self) -> None:
        """End every run: the monitor stops."""
        with self._lock:
            left = [run for run in self._runs.values() if run.state == "running"]
        for run in left:
            run.process.terminate()
        for run in left:
            run.process.wait(END_S)

    # --- beginning ----------------------------------------------------------------------------------------

    def _known(self, name: str) -> dict[str, Any]:
        found = next((one for one in self._listed if one["name"] == name), None)
        if found is None:
            raise ValueError(f"there is no drill {name!r}")
        return found

    def _ready(self, plan: list[dict[str, Any]]) -> None:
        """Raise ValueError unless every bed is free and its simulated devices are in beds.toml."""
        known = {entry.id for entry in self._configuration.ward.devices}
        for bed in plan:
            present = self._desk.beds().get(bed["bed_id"])
            if present is None or present.session is not None:
                raise ValueError(f"{bed['bed_id']} is not free; a drill never joins a session")
            missing = [one["device_id"] for one in bed["devices"] if one["device_id"] not in known]
            if missing:
                raise ValueError(
                    f"{bed['bed_id']} has no simulated devices: add {', '.join(missing)} to beds.toml "
                    "(`drill show NAME --devices` prints the lines) and restart the monitor"
                )

    def _spawn(self, name: str, bed_ids: Sequence[str]) -> subprocess.Popen[str]:
        broker, site = self._configuration.clinic.broker, self._configuration.clinic.site
        scheme = "mqtts" if broker.tls_ca else "mqtt"
        command = [*SIMULATORS, "run", name, "--json", "--backlog", "--wait", "30", "--site", site.id]
        command += ["--broker", f"{scheme}://{broker.host}:{broker.port}"]
        command += ["--runs", str(self._configuration.store / "drills")]
        command += [word for bed in bed_ids for word in ("--bed", bed)]
        command += ["--ca-file", broker.tls_ca] if broker.tls_ca else []
        if broker.username:
            file = os.environ.get(PASSWORD_FILE, "")
            if not file:
                raise ValueError(
                    f"the broker asks for a password: set {PASSWORD_FILE} to the drill account's"
                )
            command += ["--username", ACCOUNT, "--password-file", file]
        pipe = subprocess.PIPE
        return subprocess.Popen(  # noqa: S603 - the drill and the beds are known ones
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )

    def _begin(self, run: Run, bed: Mapping[str, Any]) -> None:
        """Begin the drill's session on a bed: devices, session, and the doses that were given before."""
        bed_id, now = bed["bed_id"], self._desk.now()
        protocol = self._configuration.protocols.get(bed["protocol"])
        if protocol is None:
            raise ValueError(f"this drill needs the protocol {bed['protocol']!r}")
        entries = {entry.id: entry for entry in self._configuration.ward.devices}
        for device in bed["devices"]:
            if device["device_id"] not in self._desk.beds()[bed_id].devices:
                self._do(bed_id, given.Associate(entries[device["device_id"]].profile(), run.by))
        session_id = f"s-drill-{secrets.token_hex(6)}"
        began = now - timedelta(minutes=bed["minutes_since_start"])
        start = given.StartSession(session_id, bed["patient_code"], protocol, run.by, "drill", began)
        self._do(bed_id, start)
        run.sessions[bed_id] = session_id
        for dose in bed["doses"]:
            at = now - timedelta(minutes=dose["minutes_since"])
            self._do(bed_id, given.RecordDose(dose["amount_mg"], dose["route"], run.by, at, run.name))
        for dose in bed["planned_doses"]:
            run.said.append(
                f"{bed_id}: give {dose['amount_mg']:g} mg {dose['route']} in {dose['in_minutes']:g} min"
            )

    def _do(self, bed_id: str, one: Input) -> None:
        reply: Reply = self._desk.submit(bed_id, one).result(BEGIN_S)
        for told in reply.outcomes:
            if told.outcome == "Refused" and told.detail.get("input") == type(one).__name__:
                raise ValueError(f"{bed_id}: {told.reason}")

    # --- while it runs, and after ---------------------------------------------------------------------------

    def _running(self, run_id: str) -> Run:
        with self._lock:
            run = self._runs.get(run_id)
        if run is None or run.state != "running":
            raise ValueError("this run is over")
        return run

    def _tell(self, run: Run, line: str) -> None:
        try:
            assert run.process.stdin is not None  # noqa: S101 - it is a pipe
            run.process.stdin.write(line + "\n")
            run.process.stdin.flush()
        except OSError:
            raise ValueError("this run is over") from None

    def _follow(self, run: Run) -> None:
        """Hear what the run says until it ends; keep its score and free its beds."""
        assert run.process.stdout is not None  # noqa: S101 - both are pipes
        assert run.process.stderr is not None  # noqa: S101
        for line in run.process.stderr:
            run.said.append(line.rstrip())
        told = run.process.stdout.read()
        code = run.process.wait()
        try:
            run.score = json.loads(told)[0]
            run.state = "as it should be" if run.score and run.score["passed"] else "not as it should be"
        except (ValueError, LookupError):
            run.state = f"failed ({code})"
            self._log(f"drill {run.name} ended with {code}: {' | '.join(list(run.said)[-3:])}")
        self._leave(run, "the drill is over")

    def _leave(self, run: Run, reason: str) -> None:
        """End the drill's sessions that still run; another one on the bed is none of ours."""
        for bed_id, session_id in run.sessions.items():
            session = self._desk.beds()[bed_id].session
            if session is not None and session.session_id == session_id:
                self._desk.submit(bed_id, given.EndSession(run.by, reason))


def _ask(*words: str) -> str:
    """Return what the simulators answer. Raises ValueError with what they say is wrong."""
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            [*SIMULATORS, *words], capture_output=True, text=True, timeout=ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise ValueError(f"the simulators do not answer: {fault}") from None
    if done.returncode != 0:
        raise ValueError(done.stderr.strip()[-400:] or f"the simulators ended with {done.returncode}")
    return done.stdout


def _on_beds(plan: list[dict[str, Any]], bed_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return a drill's plan on other beds, whose simulated devices carry the bed's number."""
    if len(set(bed_ids)) != len(plan):
        raise ValueError(f"this drill needs {len(plan)} different beds")
    ends = [bed[len(bed.rstrip("0123456789")) :] for bed in bed_ids]
    named = all(ends) and len(set(ends)) == len(ends)  # as `drill run` numbers them
    numbers = [int(end) for end in ends] if named else list(range(1, len(ends) + 1))
    moved = []
    for bed, bed_id, number in zip(plan, bed_ids, numbers, strict=True):
        devices = [
            {**one, "device_id": f"{one['device_id'].rpartition('-')[0]}-{number}"} for one in bed["devices"]
        ]
        moved.append({**bed, "bed_id": bed_id, "devices": devices, "patient_code": f"DRILL-{bed_id}"})
    return moved
