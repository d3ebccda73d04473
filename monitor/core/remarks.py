"""What people add to a session's record afterwards: a signature, a disposition, a correction.

Law: what was told is never changed or taken out; a remark stands beside it with who, when and why. It needs
no running session: the record is often read when the patient has left.
"""

from __future__ import annotations

from monitor.core.inputs import CorrectRecord, RecordDisposition, SignRecord
from monitor.core.turn import Turn

SIGNING_ROLES = ("clinician",)
DISPOSITIONS = ("actionable", "known", "artefact", "drill")  # AF-13
LONGEST = 2000  # characters of a person's words that are kept


def sign(turn: Turn, given: SignRecord) -> None:
    """Take a clinician's signature under the record as it stands."""
    if not given.session_id or not given.by.strip():
        turn.refuse("SignRecord", "name the session and who signs", given.by)
    elif given.role not in SIGNING_ROLES:
        turn.refuse("SignRecord", f"only {' or '.join(SIGNING_ROLES)} may sign", given.by)
    else:
        turn.tell(
            "RecordSigned",
            by=given.by,
            reason=given.text.strip()[:LONGEST],
            session_id=given.session_id,
            role=given.role,
        )


def dispose(turn: Turn, given: RecordDisposition) -> None:
    """Take a person's word for what an alarm turned out to be (AF-13)."""
    if not given.session_id or not given.alarm_id:
        turn.refuse("RecordDisposition", "name the session and the alarm", given.by)
    elif given.disposition not in DISPOSITIONS:
        turn.refuse("RecordDisposition", f"use one of: {', '.join(DISPOSITIONS)} (AF-13)", given.by)
    else:
        turn.tell(
            "DispositionRecorded",
            by=given.by,
            reason=given.text.strip()[:LONGEST],
            session_id=given.session_id,
            alarm_id=given.alarm_id,
            disposition=given.disposition,
        )


def correct(turn: Turn, given: CorrectRecord) -> None:
    """Take a correction of one entry; the entry stays and the correction points at it."""
    if not given.session_id or not given.text.strip():
        turn.refuse("CorrectRecord", "name the session and say what is right", given.by)
    elif not given.reason.strip():
        turn.refuse("CorrectRecord", "give a reason: why is the entry wrong", given.by)
    else:
        turn.tell(
            "RecordCorrected",
            by=given.by,
            reason=given.reason.strip()[:LONGEST],
            session_id=given.session_id,
            entry_id=given.entry_id,
            text=given.text.strip()[:LONGEST],
        )
