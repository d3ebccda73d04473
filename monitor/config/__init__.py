"""What the installer and the clinician wrote: read whole, checked whole, or not started.

Law: a file that is not fully understood stops the start, with every mistake listed at once by file, key and
remedy. Secrets come by environment variable or file, never in TOML.
"""

from monitor.config.entries import (
    SIMULATED,
    BedEntry,
    Broker,
    Clinic,
    DeviceEntry,
    Fhir,
    LadderEntry,
    LevelEntry,
    Notify,
    Person,
    RepeatTimes,
    Route,
    Series,
    Site,
    Store,
    Target,
    Ward,
    Web,
    read_secret,
)
from monitor.config.mistakes import ConfigurationError, Mistake
from monitor.config.reading import Configuration, default_folder, load, load_protocol

__all__ = [
    "SIMULATED",
    "BedEntry",
    "Broker",
    "Clinic",
    "Configuration",
    "ConfigurationError",
    "DeviceEntry",
    "Fhir",
    "LadderEntry",
    "LevelEntry",
    "Mistake",
    "Notify",
    "Person",
    "RepeatTimes",
    "Route",
    "Series",
    "Site",
    "Store",
    "Target",
    "Ward",
    "Web",
    "default_folder",
    "load",
    "load_protocol",
    "read_secret",
]
