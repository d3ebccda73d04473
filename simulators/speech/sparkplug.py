"""Sparkplug B: device data with the names of its metrics, a time for each, a quality where it is in doubt.

The message types are the decoder's own (``monitor.formats.sparkplug``), after Eclipse Sparkplug 3.0.
"""

from __future__ import annotations

from collections.abc import Sequence

from simulators.speech.contract import Language, Reading, Said, Speaker, epoch_ms

_NAMES = {
    "heart_rate": "Vitals/HeartRate",
    "pulse_rate": "Vitals/SpO2Pulse",
    "spo2": "Vitals/SpO2",
    "nibp_systolic": "BP/Systolic",
    "nibp_diastolic": "BP/Diastolic",
    "nibp_mean": "BP/Mean",
    "nibp_pulse_rate": "BP/CuffPulse",
    "respiration_rate": "Vitals/RespirationRate",
    "etco2": "Vitals/EtCO2",
    "temperature": "Vitals/BodyTemperature",
    "perfusion_index": "Vitals/PerfusionIndex",
}
_DOUBLE, _INT32, _UNCERTAIN = 10, 3, 64


def speak(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as DDATA of the edge node ``drill``."""
    if not reading.values:
        return ()
    from monitor.formats.sparkplug import Payload  # protobuf and the decoders take half a second to come

    message = Payload(seq=speaker.sequence % 256)
    at = {} if reading.measured_at is None else {"timestamp": epoch_ms(reading.measured_at)}
    for metric, value in reading.values.items():
        row = message.metrics.add(name=_NAMES[metric], datatype=_DOUBLE, **at)
        if value is None:
            row.is_null = True
        else:
            row.double_value = value
        if metric in reading.quality:
            row.properties.keys.append("Quality")
            row.properties.values.add(type=_INT32, int_value=_UNCERTAIN)
    payload = bytes(message.SerializeToString(deterministic=True))
    return (Said(f"spBv1.0/drill/DDATA/drill/{speaker.device_id}", payload),)


SPARKPLUG = Language("sparkplug", speak, "spBv1.0/drill/+/drill/{id}", address="drill/{id}", doubts=True)
