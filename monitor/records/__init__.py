"""What leaves about a session: on paper, as FHIR, HL7 v2, CSV, JSON Lines and as a form.

Law: a record is read, never computed anew, and every way out says the same. Each is a row of ``EXPORTS``;
its module is imported when it is first asked for, so that starting costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from monitor.config import Site
from monitor.core.record import SessionRecord

__all__ = ["EXPORTS", "Export"]


class Export(NamedTuple):
    """One way out: media type and file suffix, and where its function is (``module:function``)."""

    media_type: str
    suffix: str
    where: str
    title: str

    def render(self, record: SessionRecord, site: Site) -> bytes:
        """Return the record in this form.

        Args:
            record: what was kept of the session.
            site: the clinic: its name is shown, times are told in its zone.

        Raises:
            ValueError: this record cannot be given in this form, or the zone is unknown; the text says why.
        """
        module, function = self.where.split(":")
        made = getattr(import_module(f"monitor.records.{module}"), function)(record, site)
        return bytes(made)


EXPORTS: dict[str, Export] = {
    "pdf": Export("application/pdf", ".pdf", "pdf:render", "Session record on paper"),
    "csv": Export("text/csv; charset=utf-8", ".csv", "table:as_csv", "Everything as CSV"),
    "jsonl": Export("application/jsonl", ".jsonl", "table:as_jsonl", "Everything as JSON Lines"),
    "fhir": Export("application/fhir+json", ".fhir.json", "fhir:render", "FHIR R4 bundle"),
    "hl7": Export("x-application/hl7-v2+er7; charset=utf-8", ".hl7", "hl7:render", "HL7 v2 ORU^R01"),
    "rems": Export(
        "application/json", ".rems.json", "rems:render", "SPRAVATO REMS monitoring form, prefilled"
    ),
    "rems-pdf": Export(
        "application/pdf", ".rems.pdf", "rems_sheet:render", "The same, as a sheet to fill in"
    ),
}
