"""What each way out costs for a four-hour session, beside the plainest use of the same library.

    python -m bench.records

Law: the peer does less than we do (no limits, no gaps, no times of the site, nothing checked), so a ratio
near 1 means that our own part costs little. Best of five, processor time, one process, the same record.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

from fhir.resources.R4B.bundle import Bundle
from reportlab.graphics.shapes import Drawing, PolyLine
from reportlab.platypus import SimpleDocTemplate, Table

from monitor.config import Site
from monitor.core.record import SessionRecord
from monitor.records import EXPORTS, fhir, readback, table
from monitor.records.story import Story
from tests.records.scene import esketamine

SITE = Site(id="klinika", name="Klinika", zone="Asia/Kolkata")
ROUNDS = 5


def plain_pdf(record: SessionRecord) -> bytes:
    """Give ReportLab every point as it is, and one table of the entries."""
    out = io.BytesIO()
    drawing = Drawing(480, 300)
    for trace in record.traces:
        points = [
            (at - trace.at[0], value)
            for at, value in zip(trace.at, trace.values, strict=True)
            if value is not None
        ]
        drawing.add(PolyLine([coordinate for at, value in points for coordinate in (at / 30, value)]))
    rows = [
        [one.outcome.outcome, f"{one.outcome.at:%H:%M}", one.outcome.reason[:60]] for one in record.entries
    ]
    SimpleDocTemplate(out).build([drawing, Table(rows)])
    return out.getvalue()


def plain_csv(record: SessionRecord) -> bytes:
    """Write time, metric and value of each reading."""
    out = io.StringIO()
    writer = csv.writer(out)
    for trace in record.traces:
        for at, value in zip(trace.at, trace.values, strict=True):
            writer.writerow([datetime.fromtimestamp(at, UTC).isoformat(), trace.metric, value])
    return out.getvalue().encode()


def plain_json(record: SessionRecord) -> bytes:
    """Dump the traces alone."""
    return json.dumps([trace._asdict() for trace in record.traces]).encode()


def best_ms(work: Callable[[], object]) -> float:
    """Return the best processor time of a few rounds, in milliseconds."""
    taken = []
    for _ in range(ROUNDS):
        before = time.process_time()
        work()
        taken.append(time.process_time() - before)
    return min(taken) * 1000


def main() -> None:
    """Print one row for each way out."""
    record = esketamine(minutes=240)
    story = Story(record)
    values = sum(len(trace.at) for trace in record.traces)
    size = f"{values} readings, {len(record.entries)} entries, {len(story.alarms)} alarms"
    print(f"four hours, {size}; best of {ROUNDS}")
    bundle = json.dumps(fhir.build(record, SITE)).encode()
    lines, cells = table.as_jsonl(record), table.as_csv(record, SITE)
    peers: dict[str, tuple[str, Callable[[], object]]] = {
        "pdf": ("ReportLab, every point, one table", lambda: plain_pdf(record)),
        "csv": ("csv.writer, three columns", lambda: plain_csv(record)),
        "jsonl": ("json.dumps of the traces", lambda: plain_json(record)),
        "fhir": (
            "fhir.resources, read and written",
            lambda: Bundle.model_validate_json(bundle).model_dump_json(),
        ),
        "hl7": ("json.dumps of the traces", lambda: plain_json(record)),
        "rems": ("json.dumps of the traces", lambda: plain_json(record)),
    }
    print(f"{'way out':10} {'bytes':>9} {'ours ms':>9} {'peer ms':>9} {'ratio':>6}  peer")
    for name, (title, peer) in peers.items():
        made = len(EXPORTS[name].render(record, SITE))
        ours, theirs = best_ms(lambda name=name: EXPORTS[name].render(record, SITE)), best_ms(peer)
        print(f"{name:10} {made:9} {ours:9.1f} {theirs:9.1f} {ours / theirs:6.2f}  {title}")
    parsers: dict[str, tuple[bytes, Callable[[], object]]] = {
        "jsonl in": (lines, lambda: [json.loads(line) for line in lines.splitlines()]),
        "csv in": (cells, lambda: list(csv.reader(io.StringIO(cells.decode("utf-8-sig"), newline="")))),
    }
    for name, (content, peer) in parsers.items():
        ours, theirs = best_ms(lambda content=content: readback.read(content)), best_ms(peer)
        print(f"{name:10} {len(content):9} {ours:9.1f} {theirs:9.1f} {ours / theirs:6.2f}  the parser alone")


if __name__ == "__main__":
    main()
