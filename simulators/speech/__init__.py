"""How devices say what they measured: every format of ``monitor/formats``, one small encoder each, one table.

Law: whatever is spoken, a simulated device says that it is one wherever the language has a place for it, and
where it has none its name does (``sim-…``): the monitor takes such a device for nothing but a drill.

To add a language: write its file with a ``Language`` and put it into ``LANGUAGES``.
"""

from __future__ import annotations

from collections.abc import Collection

from simulators.speech import fhir, gateways, gatt, hl7, serial, sparkplug
from simulators.speech.contract import MODE, ROOT, Language, Reading, Said, Speaker, stamp
from simulators.speech.native import NATIVE, native, presence

__all__ = [
    "LANGUAGES",
    "MODE",
    "ROOT",
    "Language",
    "Reading",
    "Said",
    "Speaker",
    "native",
    "presence",
    "speaking",
    "stamp",
]

LANGUAGES: dict[str, Language] = {
    "native": NATIVE,
    "hl7v2": hl7.HL7V2,
    "pcd01": hl7.PCD01,
    "fhir": fhir.FHIR,
    "gatt": gatt.GATT,
    "gatt-json": gatt.GATT_JSON,
    "theengs": gateways.THEENGS,
    "openmqttgateway": gateways.OPENMQTTGATEWAY,
    "thingsboard": gateways.THINGSBOARD,
    "tasmota": gateways.TASMOTA,
    "zigbee2mqtt": gateways.ZIGBEE2MQTT,
    "esphome": gateways.ESPHOME,
    "ava4": gateways.AVA4,
    "keymap": gateways.KEYMAP,
    "sparkplug": sparkplug.SPARKPLUG,
    "ivy": serial.IVY,
    "pc60": serial.PC60,
    "bci": serial.BCI,
}


def speaking(metrics: Collection[str], more: Collection[str] = ()) -> list[str]:
    """Return the languages of a device that measures ``metrics``, and could measure ``more`` besides."""
    return [
        name
        for name, language in LANGUAGES.items()
        if language.metrics.issuperset(metrics) and language.needs.issubset({*metrics, *more})
    ]
