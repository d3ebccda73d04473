"""The fixtures of the pair, for every test here."""

from tests.app.test_running_site import ear
from tests.pair.pairs import pager, patients, two

__all__ = ["ear", "pager", "patients", "two"]
