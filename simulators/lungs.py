"""Oxygen in a breathing and in a not breathing patient.

Law: saturation falls because oxygen is used up and not replaced, at the speed that the stores in lung and
blood allow, along the sigmoid dissociation curve. No desaturation is drawn; a person stops breathing instead.

One alveolar space with blood behind it (West, Respiratory Physiology; Benumof 1997 for the order of the
result: room air, about a minute to 90 %). Pressures mmHg, volumes L, flows L/min, oxygen at STPD.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

INSPIRED_AIR = 149.0  # 0.2093 · (760 - 47), saturated with water at sea level
BTPS_TO_STPD = 863.0  # mmHg · L BTPS per L STPD
OXYGEN_USE = 0.25  # L/min, adult at rest
CARBON_DIOXIDE_MADE = 0.20  # L/min, respiratory quotient 0.8
BLOOD_CAPACITY = (
    5.0 * 150.0 * 1.34e-3
)  # L of oxygen at 100 %: 5 L of blood, 150 g/L of haemoglobin, 1.34 mL/g
CARBON_DIOXIDE_STORE = 0.034  # L per mmHg: PaCO2 rises 3 to 6 mmHg a minute of apnoea (Eger 1961)
DEAD_SPACE_L = 0.15
TO_FINGER_S = 15.0  # circulation from lung to finger, 10 to 20 s


def saturation(oxygen_mmhg: float) -> float:
    """Return the saturation, %, at an oxygen pressure (Severinghaus 1979)."""
    pressure = max(oxygen_mmhg, 1.0)
    return 100.0 / (1.0 + 23400.0 / (pressure**3 + 150.0 * pressure))


def pressure_at(saturation_percent: float) -> float:
    """Return the oxygen pressure, mmHg, at a saturation, by bisection."""
    low, high = 1.0, 600.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if saturation(middle) < saturation_percent else (low, middle)
    return round(0.5 * (low + high), 6)


@dataclass(slots=True)
class Lungs:
    """Gas stores of one patient.

    Args:
        volume_l: functional residual capacity; 2.4 supine adult, less when obese.
        resting_spo2: arterial saturation when breathing normally, %; it sets the admixture.
    """

    volume_l: float
    resting_spo2: float
    alveolar_oxygen: float = 100.0
    carbon_dioxide: float = 40.0
    gradient: float = 8.0
    inspired: float = INSPIRED_AIR
    at_finger: float = 97.0

    def __post_init__(self) -> None:
        """Settle at the resting saturation."""
        self.alveolar_oxygen = self.inspired - self.carbon_dioxide / 0.8
        self.gradient = self.alveolar_oxygen - pressure_at(self.resting_spo2)
        self.at_finger = self.resting_spo2

    @property
    def arterial_spo2(self) -> float:
        """Return the saturation of arterial blood, %."""
        return saturation(self.alveolar_oxygen - self.gradient)

    def breathe(self, ventilation_l_per_min: float, seconds: float) -> None:
        """Carry the stores on; alveolar ventilation 0 is apnoea.

        Args:
            ventilation_l_per_min: alveolar ventilation; 4.3 keeps PaCO2 at 40.
            seconds: length of the step, at most a few seconds.
        """
        minutes = seconds / 60.0
        arterial = self.alveolar_oxygen - self.gradient
        slope = (saturation(arterial) - saturation(arterial - 1.0)) / 100.0
        store = self.volume_l / BTPS_TO_STPD + BLOOD_CAPACITY * max(slope, 0.0)
        supply = ventilation_l_per_min * (self.inspired - self.alveolar_oxygen) / BTPS_TO_STPD
        self.alveolar_oxygen += minutes * (supply - OXYGEN_USE) / store
        self.alveolar_oxygen = max(self.alveolar_oxygen, self.gradient + 5.0)
        given_off = ventilation_l_per_min * self.carbon_dioxide / BTPS_TO_STPD
        self.carbon_dioxide += minutes * (CARBON_DIOXIDE_MADE - given_off) / CARBON_DIOXIDE_STORE
        self.carbon_dioxide = min(max(self.carbon_dioxide, 10.0), 120.0)
        self.at_finger += (self.arterial_spo2 - self.at_finger) * (1.0 - math.exp(-seconds / TO_FINGER_S))


RESTING_VENTILATION = CARBON_DIOXIDE_MADE * BTPS_TO_STPD / 40.0  # L/min, 4.3: keeps PaCO2 at 40
