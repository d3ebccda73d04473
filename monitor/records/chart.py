"""The chart of a session, for print: pressure, rate and saturation over one axis of time.

Law: what was measured is drawn where it was measured. A gap stays a gap, what is thinned keeps its lowest and
highest value, a doubtful cuff reading is drawn hollow, and every colour has a second sign for paper without
colour.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.units import mm
from reportlab.platypus import Flowable

from monitor.clockface import Clockface, instant
from monitor.core.protocol import RANK
from monitor.core.record import Trace
from monitor.core.vitals import METRICS
from monitor.records.bands import Bound, Stretch, stretches
from monitor.records.story import CUFF, AlarmStory, Cuff, Story, runs, signed
from monitor.records.typeface import BOLD, REGULAR, fit, spell

WHITE = HexColor("#ffffff")
INK, SOFT, FAINT = HexColor("#16202b"), HexColor("#5b6875"), HexColor("#d5dbe1")
RED, AMBER, BLUE, GREEN = HexColor("#b3261e"), HexColor("#b26a00"), HexColor("#0b4f8a"), HexColor("#1b6b3a")
SHADE: dict[str, Color] = {
    "high": HexColor("#fadedb"),
    "medium": HexColor("#fef3da"),
    "low": HexColor("#f3f0e6"),
}
PRIORITY_INK = {"high": RED, "medium": AMBER, "low": SOFT}
LEFT, RIGHT = 13 * mm, 15 * mm
HEAD = 11.5 * mm  # doses and their labels
EDGE = 3.0  # points; a limit that is not a panel's own is an edge, not a field
LABEL = 12.0  # points for an alarm's letter and number
LANES = 5  # rows of alarm bars; what does not fit is counted beside them and stands in the table
COLUMNS_PER_POINT = 1.5  # printed at 600 dots an inch this is 5 dots: finer is not seen
STEPS_MIN = (1, 2, 5, 10, 15, 20, 30, 60, 120, 240, 480)


class Panel(NamedTuple):
    """One panel: its title, height in points, lowest range of its scale, and the metrics drawn in it."""

    title: str
    height: float
    low: float
    high: float
    step: float
    metrics: tuple[str, ...]
    banded: str

    @property
    def pressure(self) -> bool:
        """Say whether it is the panel of the cuff."""
        return self.banded == CUFF[0]


class Scale(NamedTuple):
    """A panel on the page: bottom, height (points) and what its scale spans."""

    bottom: float
    height: float
    low: float
    high: float

    def y(self, value: float) -> float:
        """Return where a value lies; beyond the scale on its edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.bottom + share * self.height


class Chart(Flowable):
    """The whole chart as one thing that a page holds."""

    def __init__(self, story: Story, clock: Clockface, width: float, numbers: dict[str, int]) -> None:
        """Take what is drawn; ``numbers`` gives each alarm its number in the table."""
        super().__init__()
        self.story, self.clock, self.numbers = story, clock, numbers
        self.width = width
        doses = [dose.at for dose in story.doses]
        self.from_at = min([story.started_at, *doses])
        self.to_at = max(story.ended_at, self.from_at + timedelta(minutes=10))
        self.panels = [_spread(panel, story) for panel in _panels(story)]
        self.height = HEAD + LANES * 3 * mm + sum(panel.height + 5 * mm for panel in self.panels) + 15 * mm

    def wrap(self, *_: Any) -> tuple[float, float]:
        """Return the size in points."""
        return self.width, self.height

    def x(self, at: datetime) -> float:
        """Return where an instant lies."""
        share = (at - self.from_at) / (self.to_at - self.from_at)
        return LEFT + min(max(share, 0.0), 1.0) * (self.width - LEFT - RIGHT)

    def draw(self) -> None:
        """Draw from the top down: doses, alarms, panels, then the axis of time."""
        top = self.height - HEAD
        lanes_bottom = top - LANES * 3 * mm
        bottom = lanes_bottom
        scales = []
        for panel in self.panels:
            bottom -= panel.height + 5 * mm
            scales.append(Scale(bottom, panel.height, panel.low, panel.high))
        for panel, scale in zip(self.panels, scales, strict=True):
            self._bands(panel, scale)
            self._grid(panel, scale)
        self._axis(bottom, scales)
        self._doses(top, [Scale(lanes_bottom, top - lanes_bottom, 0, 1), *scales])
        self._alarms(lanes_bottom, top)
        for panel, scale in zip(self.panels, scales, strict=True):
            self._values(panel, scale)

    # --- what lies behind -----------------------------------------------------------------------------------

    def _bands(self, panel: Panel, scale: Scale) -> None:
        for stretch in stretches(self.story):
            x0, x1 = self.x(stretch.from_at), self.x(stretch.to_at)
            for bound in sorted(_alarming(stretch, panel.banded), key=lambda one: one.priority == "high"):
                edge, far = scale.y(bound.value), scale.y(panel.high if bound.side == "high" else panel.low)
                if panel.pressure and bound.side == "low":  # a diastolic value below it is nothing unusual
                    far = max(far, edge - EDGE)
                self.canv.setFillColor(SHADE[bound.priority])
                self.canv.rect(x0, min(edge, far), x1 - x0, abs(far - edge), stroke=0, fill=1)
                self._line(x0, edge, x1, edge, PRIORITY_INK[bound.priority], 0.5, (1.5, 1.5))
            for bound in _alarming(stretch, CUFF[1]) if panel.pressure else ():
                y = scale.y(bound.value)
                self._line(x0, y, x1, y, PRIORITY_INK[bound.priority], 0.4, (0.6, 2.2))
        self._band_words(panel, scale)

    def _band_words(self, panel: Panel, scale: Scale) -> None:
        """Write the last limits in force on the right: the tightest of each kind, none over another."""
        last = stretches(self.story)[-1:]
        words: list[tuple[float, str, Color]] = []
        for metric, prefix in (
            ((panel.banded, "sys "), (CUFF[1], "dia ")) if panel.pressure else ((panel.banded, ""),)
        ):
            tightest: dict[tuple[str, str], Bound] = {}
            for bound in _alarming(last[0], metric) if last else ():
                other = tightest.setdefault((bound.side, bound.priority), bound)
                if (bound.value < other.value) == (bound.side == "high"):
                    tightest[bound.side, bound.priority] = bound
            words += [
                (scale.y(one.value) - 1.8, prefix + one.sign, PRIORITY_INK[one.priority])
                for one in tightest.values()
            ]
        below = -1e9
        for y, text, ink in sorted(words, key=lambda one: one[:2]):
            below = max(y, below + 5.8)
            self._text(self.width - RIGHT + 3, below, text, 5.5, ink)

    def _grid(self, panel: Panel, scale: Scale) -> None:
        right = self.width - RIGHT
        value = panel.low
        while value <= panel.high + 1e-9:
            y = scale.y(value)
            self._line(LEFT, y, right, y, FAINT, 0.35)
            self._text(LEFT - 3, y - 2, f"{value:g}", 6, SOFT, "right")
            value += panel.step
        self.canv.setStrokeColor(SOFT)
        self.canv.setLineWidth(0.5)
        self.canv.rect(LEFT, scale.bottom, right - LEFT, scale.height, stroke=1, fill=0)
        self._text(LEFT, scale.bottom + scale.height + 3, spell(panel.title), 7, INK, name=BOLD)

    def _axis(self, bottom: float, scales: list[Scale]) -> None:
        self._phases(bottom)
        room = 13 * mm if self.clock.shifts else 9 * mm
        most = max(2, int((self.width - LEFT - RIGHT) / room))
        length = (self.to_at - self.from_at) / timedelta(minutes=1)
        step = next((one for one in STEPS_MIN if length / one <= most), STEPS_MIN[-1])
        for at in _whole_minutes(self.from_at, self.to_at):
            local = self.clock.local(at)
            if (local.hour * 60 + local.minute) % step == 0:
                x = self.x(at)
                for scale in scales:
                    self._line(x, scale.bottom, x, scale.bottom + scale.height, FAINT, 0.35)
                self._text(x, bottom - 4.5 * mm - 7, self.clock.time(at), 6, INK, "middle")
        self._minutes(bottom, step)
        zone = (
            f"local time, UTC{self.clock.offset(self.from_at)}"
            if not self.clock.shifts
            else "local time with its offset"
        )
        self._text(self.width - RIGHT + 12, bottom - 4.5 * mm - 7, "time", 6, SOFT)
        self._text(LEFT, bottom - 4.5 * mm - 23, f"{zone}; min: minutes from the first dose", 5.5, SOFT)

    def _minutes(self, bottom: float, step: int) -> None:
        first = self.story.first_dose_at
        if first is None:
            return
        self._text(self.width - RIGHT + 12, bottom - 4.5 * mm - 15, "min", 6, SOFT)
        minute = -step * int((first - self.from_at) / timedelta(minutes=step))
        while (at := first + timedelta(minutes=minute)) <= self.to_at:
            self._text(self.x(at), bottom - 4.5 * mm - 15, signed(minute), 6, SOFT, "middle")
            minute += step

    def _phases(self, bottom: float) -> None:
        changes = self.story.named("PhaseChanged")
        starts = [(self.from_at, str(changes[0].detail.get("was", "")) if changes else "baseline")]
        for one in changes:
            if one.at == starts[-1][0]:  # a phase of no length: dosing goes on with the next device
                starts.pop()
            if not starts or starts[-1][1] != one.detail.get("phase"):
                starts.append((one.at, str(one.detail.get("phase", ""))))
        y, height = bottom - 4 * mm, 3.4 * mm
        for number, (at, phase) in enumerate(starts):
            until = starts[number + 1][0] if number + 1 < len(starts) else self.story.ended_at
            x0, x1 = self.x(at), self.x(until)
            self.canv.setFillColor(
                HexColor("#eef1f4") if phase in ("baseline", "observation") else HexColor("#d9e2ec")
            )
            self.canv.setStrokeColor(SOFT)
            self.canv.setLineWidth(0.3)
            self.canv.rect(x0, y, x1 - x0, height, stroke=1, fill=1)
            self._text((x0 + x1) / 2, y + 2.6, fit(spell(phase), x1 - x0 - 2, 6), 6, INK, "middle")

    # --- what happened --------------------------------------------------------------------------------------

    def _doses(self, top: float, scales: list[Scale]) -> None:
        ends = [-1e9] * 3  # where the labels of each row end
        for dose in sorted(self.story.doses, key=lambda one: one.at):
            x, struck = self.x(dose.at), dose.withdrawn is not None
            ink = SOFT if struck else INK
            for scale in scales:
                dash = (2.0, 2.0) if struck else ()
                self._line(x, scale.bottom, x, scale.bottom + scale.height, ink, 0.6, dash)
            words = f"{dose.amount_mg:g} mg" + (" (struck)" if struck else "")
            row = next((i for i, end in enumerate(ends) if x - 2 > end), len(ends) - 1)
            self._triangle(x, top + 0.5 * mm, ink, fill=not struck)
            name = REGULAR if struck else BOLD
            ends[row] = self._text(x - 2.4, top + 2.6 * mm + 7.5 * row, words, 6.5, ink, name=name)

    def _alarms(self, bottom: float, top: float) -> None:
        lanes: list[list[tuple[float, float]]] = [[] for _ in range(LANES)]
        left_out = 0
        for alarm in sorted(self.story.alarms, key=_importance):
            x0 = self.x(alarm.first.at)
            x1 = max(self.x(alarm.ended.at if alarm.ended else self.story.ended_at), x0 + 1.2)
            reach = max([x1, *(self.x(one.at) + 3 for one in alarm.answers)]) + LABEL
            lane = next(
                (i for i, taken in enumerate(lanes) if all(reach <= a or x0 >= b for a, b in taken)), None
            )
            if lane is None:
                left_out += 1
                continue
            lanes[lane].append((x0, reach))
            self._alarm(alarm, x0, x1, top - (lane + 1) * 3 * mm + 0.8)
        self._text(LEFT - 3, (bottom + top) / 2 - 2, "alarms", 6, SOFT, "right")
        if left_out:
            self._text(self.width - RIGHT + 3, bottom + 1, f"and {left_out} more,", 5, SOFT)
            self._text(self.width - RIGHT + 3, bottom - 5, "see the table", 5, SOFT)

    def _alarm(self, alarm: AlarmStory, x0: float, x1: float, y: float) -> None:
        ink, height = PRIORITY_INK[alarm.worst], 2.1 * mm
        physiological = alarm.first.kind == "physiological"
        self.canv.setFillColor(ink)
        self.canv.setStrokeColor(ink)
        self.canv.setLineWidth(0.6)
        self.canv.rect(x0, y, x1 - x0, height, stroke=1, fill=int(physiological))
        letter = alarm.worst[0].upper() if physiological else f"T{alarm.worst[0].upper()}"
        answered = [self.x(one.at) for one in alarm.answers]
        for x in answered:
            on_bar = physiological and x0 + 2 <= x <= x1 - 2
            self._text(x, y + height - 4.9, "✓", 6.5, WHITE if on_bar else INK, "middle", BOLD)
        start = max([x1 + 1, *(x + 3.5 for x in answered)])
        self._text(start, y + 1, f"{letter}{self.numbers.get(alarm.alarm_id, '')}", 5.5, ink)

    # --- what was measured ----------------------------------------------------------------------------------

    def _values(self, panel: Panel, scale: Scale) -> None:
        if panel.pressure:
            for cuff in self.story.cuffs:
                self._cuff(cuff, scale)
        drawn = [trace for trace in self.story.lines if trace.metric in panel.metrics]
        for number, trace in enumerate(drawn):
            ink = (BLUE, GREEN, AMBER)[number % 3]
            for run in runs(trace, self.story.break_after_s(trace)):
                self._run(trace, run, scale, ink, ((), (3, 1.2), (1, 1))[number % 3])
        if not drawn and not (panel.pressure and self.story.cuffs):
            self._text(
                (LEFT + self.width - RIGHT) / 2,
                scale.bottom + scale.height / 2 - 3,
                "not measured",
                8,
                SOFT,
                "middle",
            )
        if panel.metrics[0] == "heart_rate":
            for cuff in self.story.cuffs:
                if CUFF[3] in cuff.values:
                    self._ring(self.x(cuff.at), scale.y(cuff.values[CUFF[3]]), 1.3)

    def _run(self, trace: Trace, run: list[int], scale: Scale, ink: Color, dash: tuple[float, ...]) -> None:
        points = [
            (self.x(instant(at)), scale.y(value)) for at, value in _thinned(trace, run, self._column_s())
        ]
        self.canv.setStrokeColor(ink)
        self.canv.setLineWidth(0.7)
        self.canv.setDash(list(dash))
        path = self.canv.beginPath()
        path.moveTo(*points[0])
        for point in points[1:]:
            path.lineTo(*point)
        if len(points) == 1:
            path.lineTo(points[0][0] + 0.6, points[0][1])
        self.canv.drawPath(path)
        self.canv.setDash()

    def _column_s(self) -> float:
        width = self.width - LEFT - RIGHT
        return (self.to_at - self.from_at).total_seconds() / (width * COLUMNS_PER_POINT)

    def _cuff(self, cuff: Cuff, scale: Scale) -> None:
        x = self.x(cuff.at)
        ys = [scale.y(cuff.values[metric]) for metric in CUFF[:2] if metric in cuff.values]
        dash = (1, 1) if cuff.mark else ()
        if len(ys) == 2:
            self._line(x, ys[0], x, ys[1], INK, 1.1, dash)
        for y in ys:
            self._line(x - 2.2, y, x + 2.2, y, INK, 1.1)
        if CUFF[2] in cuff.values:
            self._ring(x, scale.y(cuff.values[CUFF[2]]), 1.1)
        if cuff.source.startswith("manual"):
            self._text(x, max(ys, default=scale.bottom) + 2, "m", 5.5, INK, "middle")

    # --- strokes --------------------------------------------------------------------------------------------

    def _line(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        ink: Color,
        width: float,
        dash: tuple[float, ...] = (),
    ) -> None:
        self.canv.setStrokeColor(ink)
        self.canv.setLineWidth(width)
        self.canv.setDash(list(dash))
        self.canv.line(x0, y0, x1, y1)
        self.canv.setDash()

    def _ring(self, x: float, y: float, radius: float) -> None:
        self.canv.setStrokeColor(INK)
        self.canv.setFillColor(WHITE)
        self.canv.setLineWidth(0.6)
        self.canv.circle(x, y, radius, stroke=1, fill=1)

    def _triangle(self, x: float, y: float, ink: Color, *, fill: bool) -> None:
        path = self.canv.beginPath()
        for number, (dx, dy) in enumerate(((0.0, 0.0), (-2.4, 4.4), (2.4, 4.4))):
            (path.moveTo if number == 0 else path.lineTo)(x + dx, y + dy)
        path.close()
        self.canv.setFillColor(ink)
        self.canv.setStrokeColor(ink)
        self.canv.drawPath(path, stroke=1, fill=int(fill))

    def _text(
        self, x: float, y: float, text: str, size: float, ink: Color, align: str = "left", name: str = REGULAR
    ) -> float:
        """Write a word and return where it ends on the right."""
        self.canv.setFont(name, size)
        self.canv.setFillColor(ink)
        write = {
            "left": self.canv.drawString,
            "right": self.canv.drawRightString,
            "middle": self.canv.drawCentredString,
        }
        write[align](x, y, text)
        return x + float(self.canv.stringWidth(text, name, size))


def _importance(alarm: AlarmStory) -> tuple[bool, int, datetime]:
    """The patient's alarms first, the worst of them first: what finds no lane is the least of them."""
    return alarm.first.kind != "physiological", -RANK[alarm.worst], alarm.first.at


def _alarming(stretch: Stretch, metric: str) -> list[Bound]:
    return [one for one in stretch.bounds.get(metric, ()) if not one.annotation]


def _panels(story: Story) -> list[Panel]:
    rates = [trace.metric for trace in story.lines if trace.metric in ("heart_rate", "pulse_rate")]
    banded = "pulse_rate" if "pulse_rate" in rates or not rates else rates[0]
    found = [
        Panel(
            "Blood pressure, mmHg (bar: systolic to diastolic, ring: mean)",
            46 * mm,
            40,
            200,
            20,
            CUFF[:3],
            CUFF[0],
        ),
        Panel(
            _title("Heart and pulse rate, /min", story, ("heart_rate", "pulse_rate")),
            29 * mm,
            30,
            140,
            20,
            ("heart_rate", "pulse_rate"),
            banded,
        ),
        Panel(_title("SpO2, %", story, ("spo2",)), 29 * mm, 80, 100, 5, ("spo2",), "spo2"),
    ]
    for metric, low, high, step in (("respiration_rate", 0, 40, 10), ("etco2", 0, 60, 20)):
        if any(trace.metric == metric for trace in story.lines):
            shown = METRICS[metric]
            title = _title(
                f"{shown.label.capitalize()}, {shown.unit.replace('mm[Hg]', 'mmHg')}", story, (metric,)
            )
            found.append(Panel(title, 22 * mm, low, high, step, (metric,), metric))
    return found


def _title(words: str, story: Story, metrics: tuple[str, ...]) -> str:
    """Name each line's source: heart rate of the ECG and pulse rate of the oximeter are different things."""
    lines = [trace for trace in story.lines if trace.metric in metrics]
    strokes = ("", "dashed: ", "dotted: ")
    sources = [
        f"{strokes[i % 3]}{METRICS[one.metric].label} of {one.device_id}" for i, one in enumerate(lines)
    ]
    rings = (
        ["ring: cuff pulse"]
        if "pulse_rate" in metrics and any(CUFF[3] in c.values for c in story.cuffs)
        else []
    )
    named = "; ".join([*sources, *rings])
    return f"{words} ({named})" if named else words


def _spread(panel: Panel, story: Story) -> Panel:
    """Widen a scale in whole steps so that every value lies inside it."""
    values = [
        v
        for trace in story.record.traces
        if trace.metric in panel.metrics
        for v in trace.values
        if v is not None
    ]
    values += [
        value for cuff in story.cuffs for metric, value in cuff.values.items() if metric in panel.metrics
    ]
    low, high = panel.low, panel.high
    while values and min(values) < low:
        low -= panel.step
    while values and max(values) > high:
        high += panel.step
    return panel._replace(low=low, high=high)


def _whole_minutes(from_at: datetime, to_at: datetime) -> Iterator[datetime]:
    at = from_at.astimezone(UTC).replace(second=0, microsecond=0)
    while at <= to_at:
        if at >= from_at:
            yield at
        at += timedelta(minutes=1)


def _thinned(trace: Trace, run: list[int], column_s: float) -> Iterator[tuple[float, float]]:
    """Yield the first, lowest, highest and last point of each column of the page, in their order of time."""
    column: list[int] = []
    for position in run:
        if column and int(trace.at[position] // column_s) != int(trace.at[column[0]] // column_s):
            yield from _outline(trace, column)
            column = []
        column.append(position)
    yield from _outline(trace, column)


def _outline(trace: Trace, column: list[int]) -> Iterator[tuple[float, float]]:
    def value(position: int) -> float:
        return trace.values[position] or 0.0

    for position in sorted({column[0], min(column, key=value), max(column, key=value), column[-1]}):
        yield trace.at[position], value(position)
