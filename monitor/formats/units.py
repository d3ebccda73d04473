"""Units by every name that devices use, and their conversion into the metric's own.

Law: a unit that is not known, or that measures something else, gives no value; a conversion says from what.
Sources: UCUM; ISO/IEEE 11073-10101 dimension codes in 16 and 32 bit (CLINICAL §7.1); Philips MDIL, which
writes the same codes in hexadecimal with the partition (4) in front.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple


class Scale(NamedTuple):
    """How a unit becomes the metric's: ``number * factor + offset``; ``name`` as people write it."""

    name: str
    factor: float
    offset: float = 0.0


# mm[Hg] per kilopascal: 1 mm[Hg] = 133.322387415 Pa (UCUM).
_MMHG_PER_KPA = 1000 / 133.322387415

_SAME = 1.0
_RATE = Scale("/min", _SAME)
_PER_SECOND = Scale("/s", 60.0)
_PERCENT = Scale("%", _SAME)
_FRACTION = Scale("1 (a fraction)", 100.0)
_DIMENSIONLESS = Scale("%", _SAME)
_MMHG = Scale("mm[Hg]", _SAME)
_KPA = Scale("kPa", _MMHG_PER_KPA)
_HPA = Scale("hPa", _MMHG_PER_KPA / 10)
_PA = Scale("Pa", _MMHG_PER_KPA / 1000)
_CMH2O = Scale("cm[H2O]", _MMHG_PER_KPA * 0.0980665)
_CELSIUS = Scale("Cel", _SAME)
_FAHRENHEIT = Scale("[degF]", 5 / 9, -160 / 9)
_KELVIN = Scale("K", 1.0, -273.15)

# 11073-10101 dimension codes, 16 bit; the 32-bit code is 4 * 65536 more.
_DIMENSIONS: dict[int, dict[str, Scale]] = {
    512: {"%": _DIMENSIONLESS},  # MDC_DIM_DIMLESS: see convert()
    544: {"%": _PERCENT},  # MDC_DIM_PERCENT
    2528: {"/min": _RATE},  # MDC_DIM_PER_MIN
    2496: {"/min": _PER_SECOND},  # MDC_DIM_HZ
    2720: {"/min": _RATE},  # MDC_DIM_BEAT_PER_MIN
    2784: {"/min": _RATE},  # MDC_DIM_RESP_PER_MIN
    3840: {"mm[Hg]": _PA},  # MDC_DIM_X_PASCAL
    3842: {"mm[Hg]": _HPA},  # MDC_DIM_HECTO_PASCAL
    3843: {"mm[Hg]": _KPA},  # MDC_DIM_KILO_PASCAL
    3872: {"mm[Hg]": _MMHG},  # MDC_DIM_MMHG
    3904: {"mm[Hg]": _CMH2O},  # MDC_DIM_CM_H2O
    4384: {"Cel": _KELVIN},  # MDC_DIM_KELVIN
    4416: {"Cel": _FAHRENHEIT},  # MDC_DIM_FAHR
    6048: {"Cel": _CELSIUS},  # MDC_DIM_DEGC
}

_NAMES: dict[str, dict[str, str]] = {
    "/min": {
        "rate": "/min 1/min min-1 min^-1 bpm beats/min {beats}/min {beat}/min beat/min beats/minute"
        " beatsperminute {breaths}/min breaths/min {breath}/min breath/min breathsperminute rpm resp/min"
        " brpm br/min"
        " /minute perminute {counts}/min {pulse}/min {heartbeats}/min pulse/min pulses/min count/min"
        " counts/min 1/minute {resp}/min mdc_dim_beat_per_min mdc_dim_resp_per_min mdc_dim_puls_per_min"
        " mdc_dim_per_min ppm pm",
        "per second": "hz /s 1/s mdc_dim_hz {beats}/s",
    },
    "%": {
        "percent": "% percent pct {%} %{oxygen} %spo2 vol% mdc_dim_percent",
        "fraction": "1 {fraction} fraction ratio",
        "dimensionless": "mdc_dim_dimless dimensionless dimless {1} {pi} {index}",
    },
    "mm[Hg]": {
        "mmhg": "mm[hg] mmhg mm(hg) torr mm[hg]{gauge} mdc_dim_mmhg",
        "kpa": "kpa kilopascal mdc_dim_kilo_pascal",
        "hpa": "hpa mbar hectopascal mdc_dim_hecto_pascal",
        "pa": "pa pascal mdc_dim_pascal",
        "cmh2o": "cm[h2o] cmh2o cm(h2o) mdc_dim_cm_h2o",
    },
    "Cel": {
        "celsius": "cel °c ℃ c degc deg_c degreec celsius degreescelsius degreesc mdc_dim_degc ºc oc 'c",
        "fahrenheit": "[degf] degf deg_f °f ℉ f fahrenheit degreesfahrenheit degreesf mdc_dim_fahr ºf",
        "kelvin": "k kelvin mdc_dim_kelvin",
    },
}
_SCALES = {
    "rate": _RATE,
    "per second": _PER_SECOND,
    "percent": _PERCENT,
    "fraction": _FRACTION,
    "dimensionless": _DIMENSIONLESS,
    "mmhg": _MMHG,
    "kpa": _KPA,
    "hpa": _HPA,
    "pa": _PA,
    "cmh2o": _CMH2O,
    "celsius": _CELSIUS,
    "fahrenheit": _FAHRENHEIT,
    "kelvin": _KELVIN,
}
_BY_NAME: dict[str, dict[str, Scale]] = {
    unit: {name: _SCALES[scale] for scale, names in rows.items() for name in names.split()}
    for unit, rows in _NAMES.items()
}


def convert(unit: str, number: float, given: str) -> tuple[float | None, str]:
    """Convert ``number`` from the unit called ``given`` into a metric's ``unit``.

    Args:
        unit: the metric's unit ("/min", "%", "mm[Hg]", "Cel").
        number: the number as sent.
        given: the unit as sent: UCUM, an 11073 name, code ("266016", "3872"), MDIL ("0004-0f20") or a
            usual spelling.

    Returns:
        The number, rounded to a hundredth when it was converted, and what to say about it; no number
        when the unit is unknown or measures something else.
    """
    scale = find_scale(unit, given)
    if scale is None:
        return None, f"unit {given[:24]!r} is not one that becomes {unit}: {number:g} not used"
    if scale.factor == _SAME and scale.offset == 0.0:
        return number, ""
    return round(number * scale.factor + scale.offset, 2), f"converted from {scale.name} {number}"


@lru_cache(maxsize=1024)
def find_scale(unit: str, given: str) -> Scale | None:
    """Return how the unit called ``given`` becomes ``unit``, or ``None``."""
    name = "".join(given.lower().split())
    if name in _BY_NAME[unit]:
        return _BY_NAME[unit][name]
    code = _dimension(name)
    return _DIMENSIONS.get(code, {}).get(unit) if code is not None else None


def _dimension(name: str) -> int | None:
    """Return the 16-bit dimension code in ``name``, or ``None``."""
    if len(name) == 9 and name.startswith("0004-"):
        try:
            return int(name[5:], 16)
        except ValueError:
            return None
    if not (name.isascii() and name.isdigit()) or len(name) > 9:
        return None
    code = int(name)
    if code >> 16 == 4:
        return code & 0xFFFF
    return code if code < 65536 else None
