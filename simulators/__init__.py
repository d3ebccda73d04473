"""Simulated patients, devices and drills.

Law: this package talks to the monitor as devices, networks and people do (MQTT, HTTP) and in no other way.
All that it sends is marked ``drill``, and the same seed makes the same bytes.
"""
