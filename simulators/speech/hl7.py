"""HL7 v2: a plain ORU^R01 with 16-bit codes, IHE PCD-01 with containment, and PCD-04 for technical alarms.

Sources: IHE PCD TF-2 (PCD-01, PCD-04), CLINICAL §7.1 for codes and units. MSH-11 ``T`` says training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from monitor.core.vitals import METRICS
from simulators.speech.contract import Language, Reading, Said, Speaker

_NAMES = {
    "heart_rate": "MDC_ECG_HEART_RATE",
    "pulse_rate": "MDC_PULS_OXIM_PULS_RATE",
    "spo2": "MDC_PULS_OXIM_SAT_O2",
    "nibp_systolic": "MDC_PRESS_BLD_NONINV_SYS",
    "nibp_diastolic": "MDC_PRESS_BLD_NONINV_DIA",
    "nibp_mean": "MDC_PRESS_BLD_NONINV_MEAN",
    "nibp_pulse_rate": "MDC_PULS_RATE_NON_INV",
    "respiration_rate": "MDC_RESP_RATE",
    "etco2": "MDC_AWAY_CO2_ET",
    "temperature": "MDC_TEMP",
    "perfusion_index": "MDC_PULS_OXIM_PERF_REL",
}
_UNITS = {
    "%": "262688^MDC_DIM_PERCENT^MDC",
    "mm[Hg]": "266016^MDC_DIM_MMHG^MDC",
    "/min": "264864^MDC_DIM_BEAT_PER_MIN^MDC",
    "Cel": "268192^MDC_DIM_DEGC^MDC",
}
# What a bedside monitor writes of itself; each is read back as the fault of its name.
_WORDS = {
    "probe_off": "SpO2 probe off",
    "probe_fault": "SpO2 probe fault",
    "searching": "SpO2 pulse search",
    "low_perfusion": "SpO2 low perfusion",
    "motion": "SpO2 motion",
    "interference": "SpO2 light interference",
    "lead_off": "ECG lead off",
    "ecg_noise": "ECG noise",
    "cuff_leak": "NIBP cuff leak",
    "cuff_error": "NIBP measurement failed",
    "cuff_motion": "NIBP motion",
    "respiration_lost": "RESP lost",
    "capnograph_fault": "CO2 sensor fail",
    "artefact": "artefact",
    "battery_low": "battery low",
    "clock_unset": "clock not set",
    "standby": "standby",
}


def oru(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as an older monitor: version 2.3.1, 16-bit codes, UCUM units, one OBR."""
    at, topic = _dtm(reading.measured_at), f"hl7/{speaker.device_id}"
    segments = [_header(speaker, "ORU^R01", "2.3.1", at), "PID|||", f"OBR|1||||||{at}"]
    for number, (metric, value) in enumerate(reading.values.items(), 1):
        code = f"{METRICS[metric].mdc & 0xFFFF}^{_NAMES[metric]}^MDC"
        segments.append(_obx(number, code, "", value, METRICS[metric].unit, reading, metric, at, speaker))
    said = [Said(topic, _join(segments))] if reading.values else []
    return [*said, *_alarms(reading, speaker, topic, at)]


def pcd01(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as IHE PCD-01: version 2.6, 32-bit codes, 11073 units, device containment in OBX-4."""
    at, topic = _dtm(reading.measured_at), f"pcd01/{speaker.device_id}"
    system = "69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC"
    segments = [
        _header(speaker, "ORU^R01^ORU_R01", "2.6", at),
        "PID|||",
        f"OBR|1|||{system}|||{at}",
        f"OBX|1||{system}|1.0.0.0|||||||X|||||||{speaker.device_id}^^^EUI-64",
    ]
    for number, (metric, value) in enumerate(reading.values.items(), 2):
        row, code = METRICS[metric], f"{METRICS[metric].mdc}^{_NAMES[metric]}^MDC"
        place = f"1.{list(METRICS).index(metric) + 1}.1.1"
        segments.append(_obx(number, code, place, value, _UNITS[row.unit], reading, metric, at, speaker))
    said = [Said(topic, _join(segments))] if reading.values else []
    return [*said, *_alarms(reading, speaker, topic, at)]


def _header(speaker: Speaker, kind: str, version: str, at: str) -> str:
    return (
        rf"MSH|^~\&|{speaker.device_id}|SIM|||{at}||{kind}|{speaker.boot_id}-{speaker.sequence}|T|{version}"
    )


def _obx(
    number: int,
    code: str,
    place: str,
    value: float | None,
    unit: str,
    reading: Reading,
    metric: str,
    at: str,
    speaker: Speaker,
) -> str:
    given, status = ("", "X") if value is None else (f"{value:g}", "R")
    doubt = "QUES" if metric in reading.quality else ""
    own = at if metric.startswith("nibp") else ""  # a cuff's value keeps its own time
    return f"OBX|{number}|NM|{code}|{place}|{given}|{unit}||{doubt}|||{status}|||{own}||||{speaker.device_id}"


def _alarms(reading: Reading, speaker: Speaker, topic: str, at: str) -> Iterator[Said]:
    """Say the technical alarms that are there, and those that have ended, as PCD-04."""
    there = [(fault, "start", "active") for fault in reading.faults or () if fault in _WORDS]
    gone = [(fault, "end", "inactive") for fault in reading.ended if fault in _WORDS]
    if not there and not gone:
        return
    segments = [_header(speaker, "ORU^R40^ORU_R40", "2.6", at), "PID|||"]
    for number, (fault, phase, state) in enumerate([*there, *gone], 1):
        segments += [
            f"OBR|{number}|||196616^MDC_EVT_ALARM^MDC|||{at}",
            f"OBX|1|ST|196616^MDC_EVT_ALARM^MDC|1.{number}|{_WORDS[fault]}|||PM~ST|||F|||{at}",
            f"OBX|2|ST|68481^MDC_ATTR_EVENT_PHASE^MDC|1.{number}|{phase}|||||F",
            f"OBX|3|ST|68482^MDC_ATTR_ALARM_STATE^MDC|1.{number}|{state}|||||F",
        ]
    yield Said(topic, _join(segments))


def _dtm(at: datetime | None) -> str:
    if at is None:
        return ""
    at = at.astimezone(UTC)
    return f"{at:%Y%m%d%H%M%S}.{at.microsecond // 1000:03d}+0000"


def _join(segments: Sequence[str]) -> bytes:
    return ("\r".join(segments) + "\r").encode()


HL7V2 = Language("hl7v2", oru, "hl7/{id}", faults=frozenset(_WORDS), doubts=True, says_drill=True)
PCD01 = Language("hl7v2", pcd01, "pcd01/{id}", faults=frozenset(_WORDS), doubts=True, says_drill=True)
