"""HL7 over MLLP: a monitor or gateway sends, and hears AA when the broker has it.

Law: AA only after the broker's confirmation. In doubt AE, and the message is sent all the same: twice is
better than not at all, and the monitor knows a repeated reading.
"""

from __future__ import annotations

import logging
import socketserver
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from monitor.formats import Undecodable, er7
from monitor.formats.serial_frames import cut_mllp

log = logging.getLogger("afterwatch.bridge")

MLLP_SENDERS = 64


class Answer(NamedTuple):
    """The answer to one HL7 message; no bytes where the sender wants none (MSH-15 and MSH-16 NE)."""

    code: str
    payload: bytes


def receive(message: bytes, deliver: Callable[[bytes], str]) -> Answer:
    """Take one HL7 message and return its acknowledgement.

    Args:
        message: the message without its MLLP signs.
        deliver: keeps and sends it; returns why it is not confirmed, or an empty text.
    """
    try:
        header = er7.read_messages(message)[0].segments[0]
    except Undecodable as fault:
        log.error("a message without MSH was refused: %s", fault)
        return Answer("AR", acknowledgement(["MSH", "|", r"^~\&"], "AR", "no MSH segment"))
    why = deliver(message)
    code = "AE" if why else "AA"
    if why:
        log.warning("AE: %s", why)
    wants = {er7.field_of(header, index).strip().upper() for index in (15, 16)}
    return Answer(code, b"" if wants == {"NE"} else acknowledgement(header, code, why))


def acknowledgement(header: list[str], code: str, why: str = "") -> bytes:
    """Return the ACK to a message with this MSH segment, with its separators and control id."""
    sign, encoding = header[1], er7.field_of(header, 2) or r"^~\&"
    component = encoding[:1] or "^"
    kind = er7.field_of(header, 9).split(component)
    trigger = kind[1] if len(kind) > 1 else "R01"
    now = datetime.now(UTC)
    control_id = er7.field_of(header, 10)
    fields = ["MSH", encoding, "Afterwatch", "", er7.field_of(header, 3), er7.field_of(header, 4)]
    fields += [
        f"{now:%Y%m%d%H%M%S}+0000",
        "",
        component.join(("ACK", trigger, "ACK")),
        f"{now:%Y%m%d%H%M%S%f}",
    ]
    fields += [er7.field_of(header, 11) or "P", er7.field_of(header, 12) or "2.6"]
    answer = sign.join(fields) + "\r" + sign.join(["MSA", code, control_id, why]).rstrip(sign) + "\r"
    return b"\x0b" + answer.encode("utf-8", "replace") + b"\x1c\r"


class _Sender(socketserver.BaseRequestHandler):
    """One connected sender."""

    server: MllpListener

    def handle(self) -> None:
        """Read messages and answer each, until the sender hangs up."""
        if not self.server.places.acquire(blocking=False):
            log.error("more than %d senders: %s refused", MLLP_SENDERS, self.client_address[0])
            return
        try:
            self._converse()
        except OSError as fault:
            log.info("%s went away: %s", self.client_address[0], fault)
        finally:
            self.server.places.release()

    def _converse(self) -> None:
        rest = b""
        while content := self.request.recv(65536):
            cut = cut_mllp(rest + content)
            rest = cut.rest
            if cut.noise:
                log.warning("%d bytes from %s are outside of MLLP", cut.noise, self.client_address[0])
            for message in cut.frames:
                self.request.sendall(receive(message, self.server.deliver).payload)


class MllpListener(socketserver.ThreadingTCPServer):
    """Listens for HL7 senders."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], deliver: Callable[[bytes], str]) -> None:
        """Bind; ``serve_forever`` listens. Raises OSError when the port is taken."""
        self.deliver = deliver
        self.places = threading.BoundedSemaphore(MLLP_SENDERS)
        super().__init__(address, _Sender)
