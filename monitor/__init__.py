"""Afterwatch: secondary notification of vital signs while ketamine is given."""

__version__ = "0.1.0"
