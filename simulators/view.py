"""A ward on the terminal: the truth beside what the devices say beside what the monitor raised.

Law: it only looks. It changes no patient and sends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from simulators.patient import Truth
from simulators.publisher import Publisher
from simulators.speech import ROOT
from simulators.ward import Bed, Ward

NOTICE = (
    "DRILL · secondary notification, not a primary alarm; designed after IEC 60601-1-8, claims no conformity"
)
COLOURS = {"high": "bold white on red", "medium": "black on yellow", "low": "black on cyan"}
MARKS = {"high": "!!!", "medium": "!!", "low": "!"}


class View:
    """The table, once a second."""

    def __init__(self, ward: Ward, publisher: Publisher, site: str, console: Console | None = None) -> None:
        """Prepare; ``start`` takes the terminal."""
        self._ward = ward
        self._alarms: dict[str, list[Mapping[str, Any]]] = {}
        self._modes: dict[str, str] = {}
        self._screen = Screen(console=console or Console(stderr=True), auto_refresh=False, screen=False)
        self._shown_s = -1e9
        publisher.hear(f"{ROOT}/{site}/beds/+/alarms", self.hear)

    def start(self) -> None:
        """Take the terminal."""
        self._screen.start()

    def stop(self) -> None:
        """Give the terminal back."""
        self._screen.stop()

    def hear(self, topic: str, payload: bytes, _retained: bool) -> None:
        """Take a bed's list of alarms, as the monitor tells it."""
        try:
            told = json.loads(payload)
        except ValueError:
            return
        bed = topic.split("/")[-2]
        self._alarms[bed] = list(told.get("alarms", ()))
        self._modes[bed] = str(told.get("mode", ""))

    def turn(self, now_s: float) -> bool:
        """Show the ward as it is, at most once a second."""
        if now_s - self._shown_s >= 1.0:
            self._shown_s = now_s
            self._screen.update(self.table(), refresh=True)
        return True

    def table(self) -> Table:
        """Return the ward as a table."""
        table = Table(title=NOTICE, expand=True)
        for heading in ("bed", "min", "truth: BP  HR  SpO2  RR", "devices say", "monitor raised"):
            table.add_column(heading, overflow="fold")
        for bed in self._ward.beds:
            minute = (self._ward.now_s - bed.session_start_s) / 60.0
            table.add_row(
                bed.bed_id, f"{minute:.0f}", _truth(bed.patient.truth), _said(bed), self._raised(bed.bed_id)
            )
        return table

    def _raised(self, bed_id: str) -> Text:
        if self._modes.get(bed_id) == "real":
            return Text("a real session: not ours", style="bold")
        text = Text()
        for alarm in self._alarms.get(bed_id, ()):
            priority = str(alarm.get("priority", ""))
            seen = " (acknowledged)" if alarm.get("acknowledged_by") else ""
            words = f"{MARKS.get(priority, '')} {alarm.get('text') or alarm.get('rule')}{seen}\n"
            text.append(words, style="" if seen else COLOURS.get(priority, ""))
        return text


def _truth(truth: Truth) -> str:
    return (
        f"{truth.systolic:.0f}/{truth.diastolic:.0f}  {truth.heart_rate:.0f}  "
        f"{truth.spo2:.0f}  {truth.respiration_rate:.0f}"
    )


def _said(bed: Bed) -> str:
    rows = []
    for device in bed.devices:
        values = [f"{_short(name)} {'–' if value is None else value}" for name, value in device.last.items()]
        faults = sorted(device.active(bed.patient.now_s))
        rows.append(", ".join([*values, *faults]) or "–")
    return "\n".join(rows)


def _short(name: str) -> str:
    return name.replace("nibp_", "").replace("_rate", "").replace("_", " ")
