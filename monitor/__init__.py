"""Afterwatch: watch a patient's vital signs through a ketamine session and tell the right person."""
