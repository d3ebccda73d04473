"""What the keys of JSON devices mean, when nobody has named them in ``beds.toml``.

Law: a key becomes a metric only when it can mean nothing else beside its neighbours. A bare pulse belongs
to the instrument it came with; a bare temperature is a room's unless a patient was measured with it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from monitor.core.vitals import PRESSURES
from monitor.formats.code_tables import CHANNELS, LINES
from monitor.formats.codes import BLOOD_PRESSURE, plain


class Name(NamedTuple):
    """What a key means: a metric, ``BLOOD_PRESSURE``, or one of the readings below that depend on company."""

    metric: str
    unit: str = ""


PULSE = "a pulse"  # pulse_rate; nibp_pulse_rate beside a pressure and no saturation
BEATS = "beats"  # as PULSE, but alone it is a chest strap's heart rate
WARMTH = "a temperature"  # the patient's only beside another vital sign, or where the gateway says so

_NAMES: dict[str, str] = {
    "heart_rate": "hr heartrate ecghr hrecg ecgheartrate heartratevalue heartratemeasurement heartratebeats"
    " actbpm",
    PULSE: "pulse pr pul pulserate spo2pr pulsespo2 ppgpulse plethpulse pulseoximeterrate",
    "pulse_rate": "spo2pulse spo2pulserate oximeterpulse oximeterpulserate plethpulserate",
    BEATS: "bpm beatsperminute heartbeat",
    "spo2": "spo2 sp02 spo₂ oxygensaturation bloodoxygen bloodoxygensaturation oxygenlevel o2sat"
    " o2saturation spo2value pulseox pulseoximetry saturation oxysat oxygensat sao2spo2 bloodoxygenlevel"
    " oximetry spo2percentage spo2level spo2saturation peripheraloxygensaturation",
    "nibp_systolic": "systolic sys sbp bpsys bphigh bps bpsystolic systolicpressure systolicbp"
    " bloodpressuresystolic"
    " bloodpressuresys bloodpressurehigh sysbp highpressure nibpsys nibpsystolic systolicbloodpressure nbpsys"
    " pressuresystolic nibps systolicvalue sysvalue highbloodpressure",
    "nibp_diastolic": "diastolic dia dbp bpdia bplow bpd bpdiastolic diastolicpressure diastolicbp"
    " bloodpressurediastolic bloodpressuredia bloodpressurelow diabp lowpressure nibpdia nibpdiastolic"
    " diastolicbloodpressure nbpdia pressurediastolic nibpd diastolicvalue diavalue lowbloodpressure",
    "nibp_mean": "map meanarterialpressure meanpressure bpmean bpmap meanbp nibpmean nibpmap nbpmean"
    " bloodpressuremean bloodpressuremap meanbloodpressure meanarterial",
    "nibp_pulse_rate": "nibppr nibppulse nibppulserate bppulse bppr bppulserate bloodpressurepulse"
    " bloodpressurepulserate cuffpulse cuffpulserate",
    BLOOD_PRESSURE: "bp bloodpressure nibp nbp bpvalue bloodpressurevalue nibpvalue",
    "respiration_rate": "rr resp respiration respirationrate respiratoryrate breathingrate breathrate"
    " resprate"
    " breathsperminute respirations",
    "etco2": "etco2 endtidalco2",
    "temperature": "bodytemperature bodytemp tempbody temperaturebody coretemperature coretemp"
    " oraltemperature eartemperature foreheadtemperature",
    WARMTH: "temperature temp tempc temperaturec tempf temperaturef t1",
    "perfusion_index": "pi perfusionindex perfusion perfindex spo2pi",
}
_BY_NAME = {name: metric for metric, names in _NAMES.items() for name in names.split()}
_SUFFIXES = (
    ("value", ""),
    ("reading", ""),
    ("mmhg", "mmHg"),
    ("kpa", "kPa"),
    ("percent", "%"),
    ("pct", "%"),
    ("%", "%"),
    ("bpm", "bpm"),
    ("permin", "/min"),
    ("celsius", "Cel"),
    ("fahrenheit", "[degF]"),
    ("degc", "Cel"),
    ("degf", "[degF]"),
)
_WITH_UNIT = {
    "tempf": "[degF]",
    "temperaturef": "[degF]",
    "bodytemperaturef": "[degF]",
    "bodytempf": "[degF]",
    "tempc": "Cel",
    "temperaturec": "Cel",
}
_BY_NAME.update({"bodytemperaturef": "temperature", "bodytempf": "temperature", "bodytempc": "temperature"})
# Keys that hold a value of what stands above them: {"spo2": {"value": 97, "unit": "%"}}.
GENERIC = frozenset(
    "value val v reading result current measurement measured state data latest now last payload".split()
)
_CLOCKS = frozenset({"time", "date", "clock", "uptime"})  # {"time": {"hr": 12}} is no heart rate
# What stands under these was not measured now: {"limits": {"spo2": 90}, "previous": {"spo2": 97}}.
NOT_MEASURED = frozenset(
    "limit limits threshold thresholds alarmlimit alarmlimits alarmthresholds target targets desired delta"
    " metadata goal goals setpoint setpoints config configuration settings range ranges normalrange"
    " referencerange previous prev old baseline average averages avg mean min minimum max maximum stats"
    " statistics predicted prediction forecast simulatedlimits alarm alarms alarmsettings high low upper"
    " lower highlimit lowlimit upperlimit lowerlimit highlimits lowlimits".split()
)
# Names that mean the same with a place or a device before them: "bed_1_heart_rate", "max30102_spo2".
_STRONG = (
    "heart_rate heartrate pulse_rate pulserate spo2 oxygen_saturation blood_oxygen systolic diastolic"
    " respiration_rate respiratory_rate body_temperature etco2 perfusion_index".split()
)
_WEAK_BEFORE = frozenset(
    "max min avg average mean target resting rest limit threshold alarm high low upper lower baseline desired"
    " set goal predicted estimated previous prev last peak walking recovery fetal foetal sleeping daily delta"
    " next normal reference ref raw quality valid has is no variability second sao2".split()
) | (LINES - CHANNELS)
_OF_A_LINE = frozenset({*PRESSURES, BLOOD_PRESSURE, "nibp_pulse_rate", PULSE})
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+[0-9]*|[0-9]+")

FLAGS: dict[str, str] = {
    "batterylow": "battery_low",
    "lowbattery": "battery_low",
    "probeoff": "probe_off",
    "sensoroff": "probe_off",
    "fingeroff": "probe_off",
    "fingerout": "probe_off",
    "nofinger": "probe_off",
    "probedisconnected": "probe_off",
    "pulsesearching": "searching",
    "searching": "searching",
    "lowperfusion": "low_perfusion",
    "leadoff": "lead_off",
    "leadsoff": "lead_off",
    "cufferror": "cuff_error",
    "movementdetected": "cuff_motion",
    "bodymovement": "cuff_motion",
    "cuffloose": "cuff_leak",
}
# The fault is that these are not so.
FLAGS_OF_HEALTH: dict[str, str] = dict.fromkeys(
    "finger fingerdetected fingerpresent fingerdetect fingeron fingerin probeon probeconnected probeattached"
    " sensoron sensorattached skincontact skindetected sensorcontact contactdetected onskin onfinger".split(),
    "probe_off",
)
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
# {"spo2": 97, "valid": false}: what the device says of what it sends, of all or of one metric.
_VALID = re.compile(r"(?:is)?valid(.*)|(.*?)(?:is)?valid(?:ity)?")
_OF_ALL = frozenset({"", "data", "measurement", "value", "values", "reading", "result", "signal"})
_WORTHLESS = frozenset("bad invalid unusable unreliable nosignal error artifact artefact".split())
_DOUBTFUL = frozenset({"poor", "low", "weak", "uncertain", "questionable", "doubtful", "suspect"})
_QUALITIES = frozenset("quality signalquality dataquality measurementquality validity confidence".split())
DRILL_KEYS = frozenset(
    "demo demomode simulated simulation simulator isdemo issimulated training drill".split()
)


def truth(value: Any) -> bool | None:
    """Return what a flag says; ``None`` when it is no flag."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    word = value.lower() if isinstance(value, str) and len(value) < 6 else ""
    return True if word in _TRUE else False if word in _FALSE else None


class Verdict(NamedTuple):
    """What a device says against a value: of which metric (empty: of all beside it), and how much."""

    metric: str
    worthless: bool


def verdict(key: str, value: Any) -> Verdict | None:
    """Return what a key such as "valid", "spo2Valid" or "quality" says against what stands beside it."""
    name = plain(key)
    if name in _QUALITIES and isinstance(value, str):
        word = plain(value)
        return Verdict("", word in _WORTHLESS) if word in _WORTHLESS or word in _DOUBTFUL else None
    if "valid" not in name or truth(value) is not False:
        return None
    match = _VALID.fullmatch(name)
    of = (match[1] or match[2] or "") if match else name
    if of in _OF_ALL:
        return Verdict("", worthless=True)
    found = name_of((of,))
    return Verdict(found.metric, worthless=True) if found else None


@lru_cache(maxsize=4096)
def name_of(path: tuple[str, ...]) -> Name | None:
    """Return what a key means, by itself or with the key above it; ``None`` when nobody knows."""
    names = [plain(step) for step in path if plain(step)]
    while names and names[-1] in GENERIC:
        names.pop()
    if not names or _CLOCKS.intersection(names[:-1]):
        return None
    joined = "".join(names[-2:])
    found = _look_up(joined) or _look_up(names[-1]) or _with_place(path)
    return None if found and found.metric in _OF_A_LINE and not LINES.isdisjoint(names) else found


def _with_place(path: tuple[str, ...]) -> Name | None:
    """Return what a name means that a place or a device stands before: "bed_1_heart_rate"."""
    last = next((step for step in reversed(path) if plain(step) and plain(step) not in GENERIC), "")
    words = [word.lower() for word in _WORDS.findall(last)]
    for name in _STRONG:
        wanted = name.split("_")
        before = words[: -len(wanted)]
        if before[-2:] == ["non", "invasive"]:
            del before[-2:]
        if words[-len(wanted) :] == wanted and _WEAK_BEFORE.isdisjoint(before):
            return _look_up(plain(name))
    return None


def name_in_topic(topic: str) -> str:
    """Return the level of a topic that names a vital sign, for payloads that are a bare value, or nothing."""
    levels = [level for level in topic.split("/") if level]
    return next((level for level in reversed(levels[-3:]) if name_of((level,))), "")


def _look_up(name: str) -> Name | None:
    if name in _BY_NAME:
        return Name(_BY_NAME[name], _WITH_UNIT.get(name, ""))
    for suffix, unit in _SUFFIXES:
        stem = name.removesuffix(suffix)
        if stem != name and stem in _BY_NAME:
            return Name(_BY_NAME[stem], unit)
    return None


def settle(metric: str, company: set[str]) -> str:
    """Return the metric that a name means beside the metrics in ``company``; empty when it cannot be told."""
    pressed = bool(company & {"nibp_systolic", "nibp_diastolic", "nibp_mean", BLOOD_PRESSURE})
    if metric in {PULSE, BEATS}:
        if "spo2" in company:
            return "pulse_rate"
        if pressed:
            return "nibp_pulse_rate"
        return "heart_rate" if metric == BEATS else "pulse_rate"
    if metric == WARMTH:
        measured = pressed or bool(company & {"spo2", "heart_rate", PULSE, "pulse_rate", BEATS})
        return "temperature" if measured else ""
    return metric
