"""A second opinion: ALARMS §1.9 and §3.2 written again, from the page, in the plainest way.

The law: nothing of the core's is used here. Time is whole seconds. The filter keeps the history of an
excursion and reckons all of it anew at every sample; signals are rules in plain ifs. It knows two limits
(SpO2 below 90, high, latching; pulse above 110, medium) and one channel that can fall silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ACKNOWLEDGED_FOR = {"high": 600, "medium": 1200, "low": 3600}


@dataclass
class Told:
    """One alarm as the oracle sees it."""

    priority: str
    signal: str = "on"
    until: int = 0
    frozen: bool = False


@dataclass
class Oracle:
    """The state of one bed, second by second."""

    t: int = 0
    last_value_at: int | None = None
    since: int = 0
    spo2: list[tuple[int, int, float]] = field(default_factory=list)  # instant, seconds it stands for, value
    pulse: list[tuple[int, int, float]] = field(default_factory=list)
    alarms: dict[str, Told] = field(default_factory=dict)
    latched: int = 0
    raised: int = 0
    paused_until: int | None = None

    # --- time ---------------------------------------------------------------------------------------

    def pass_second(self) -> None:
        """Let one second pass: what ends by itself ends; what is missing is missed."""
        self.t += 1
        if self.paused_until is not None and self.t >= self.paused_until:
            self._sound_again()
        for told in self.alarms.values():
            if told.signal in ("acknowledged", "alarm_paused") and self.t >= told.until:
                told.signal = "on"
        self._miss(self.t - (self.since if self.last_value_at is None else self.last_value_at))

    def _sound_again(self) -> None:
        self.paused_until = None
        for told in self.alarms.values():
            if told.signal == "audio_paused":
                told.signal = "on"

    def _miss(self, age: int) -> None:
        level = "high" if age >= 120 else "medium" if age >= 30 else "low" if age >= 10 else ""
        if not level:
            return
        silence = self.alarms.get("silence")
        if silence is None:
            self.alarms["silence"] = Told(level)
            self.raised += 1
            if self.paused_until is not None and level == "low":
                self.alarms["silence"].signal = "audio_paused"
        elif silence.priority != level:
            silence.priority, silence.signal = level, "on"
        for name in ("spo2", "pulse"):
            if name in self.alarms:
                self.alarms[name].frozen = True

    # --- a sample -------------------------------------------------------------------------------------

    def sample(self, spo2: float, pulse: float) -> None:
        """Take one pair of values now."""
        stands_for = 0 if self.last_value_at is None else min(self.t - self.last_value_at, 2)
        self.last_value_at = self.t
        self.alarms.pop("silence", None)
        for told in self.alarms.values():
            told.frozen = False
        self.spo2.append((self.t, stands_for, spo2))
        self.pulse.append((self.t, stands_for, pulse))
        if "spo2" in self.alarms:
            self._close("spo2", self.spo2, lambda x: x >= 90, lambda x: x >= 92)
        elif self._spo2_fires():
            self._raise("spo2", "high")
        elif spo2 >= 90 and self._integral() == 0 and not self._entries():
            self.spo2.clear()
        if "pulse" in self.alarms:
            self._close("pulse", self.pulse, lambda x: x <= 110, lambda x: x <= 107)
        elif self._run(self.pulse, lambda x: x > 110) >= 10:
            self._raise("pulse", "medium")
        elif pulse <= 110:
            self.pulse.clear()

    @staticmethod
    def _run(history: list[tuple[int, int, float]], beyond: Any) -> int:
        """Return how many seconds the last samples have been beyond without a break."""
        seconds = 0
        for _, stands_for, value in reversed(history):
            if not beyond(value):
                break
            seconds += stands_for
        return seconds

    def _integral(self) -> float:
        total = 0.0
        for _, seconds, x in self.spo2:
            if x < 90:
                total += (90 - x) * seconds
            else:
                total = max(0.0, total - max(1.0, x - 90) * seconds)
        return total

    def _entries(self) -> int:
        """Return how often SpO2 fell below 90 within the last 60 s."""
        count, inside = 0, True
        for at, _, x in self.spo2:
            if x < 90 and inside and at > self.t - 60:
                count += 1
            inside = x >= 90
        return count

    def _spo2_fires(self) -> bool:
        if self.spo2[-1][2] >= 90:
            return False
        below = self._run(self.spo2, lambda x: x < 90)
        at_floor = self._run(self.spo2, lambda x: x <= 85)
        deep = self.spo2[-1][2] <= 85 and at_floor >= 6
        return deep or below >= 30 or (below >= 10 and self._integral() >= 50) or self._entries() >= 3

    def _raise(self, name: str, priority: str) -> None:
        self.alarms[name] = Told(priority)
        self.raised += 1
        getattr(self, name).clear()

    def _close(self, name: str, history: Any, inside: Any, well: Any) -> None:
        if self._run(history, inside) < 60 and not (self._run(history, well) >= 10):
            return
        if name == "spo2" and self.alarms[name].signal != "acknowledged":
            self.latched += 1
        del self.alarms[name]
        history.clear()

    # --- people ---------------------------------------------------------------------------------------

    def acknowledge(self, name: str) -> None:
        """Acknowledge one present alarm; latched ones of its rule have been seen with it."""
        told = self.alarms.get(name)
        if told is None:
            return
        told.signal, told.until = "acknowledged", self.t + ACKNOWLEDGED_FOR[told.priority]
        if name == "spo2":
            self.latched = 0

    def pause_audio(self, seconds: int) -> None:
        """Pause the sound of what sounds now."""
        self.paused_until = self.t + seconds
        for told in self.alarms.values():
            if told.signal == "on":
                told.signal = "audio_paused"

    def resume_audio(self) -> None:
        """End the pause."""
        if self.paused_until is not None:
            self._sound_again()

    def pause_alarm(self, name: str, seconds: int) -> None:
        """Pause one alarm, if it is one that may be paused."""
        if name == "pulse" and name in self.alarms and self.alarms[name].signal != "alarm_paused":
            self.alarms[name].signal, self.alarms[name].until = "alarm_paused", self.t + seconds

    def resume_alarm(self, name: str) -> None:
        """End the pause of one alarm."""
        if name in self.alarms and self.alarms[name].signal == "alarm_paused":
            self.alarms[name].signal = "on"

    def reset(self) -> None:
        """Reset one latched alarm."""
        self.latched = max(0, self.latched - 1)
