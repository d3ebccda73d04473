"""Instants as people at the site read them: `monitor.clockface`, by the name that the records use."""

from monitor.clockface import Clockface, duration, instant

__all__ = ["Clockface", "duration", "instant"]
