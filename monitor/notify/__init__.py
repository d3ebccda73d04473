"""Who is told, by which way, in which words, and what became of it.

Law: a notification is a row before it is a message. ``plan`` says what is to be sent, the journal keeps it
with the alarm that caused it, ``Notifier`` sends it, and its results come back as inputs. A service that
took a message is not a nurse who saw it: only a person's answer ends the telling.
"""

from monitor.notify.answer import Answer, Answers
from monitor.notify.delivery import FINAL, Dead, Notifier, Result
from monitor.notify.message import (
    CHANNEL,
    DISCLAIMER,
    Notification,
    cancels,
    collected,
    divert,
    dump,
    load,
    plan,
)
from monitor.notify.service import Sent, Trial, connect, try_targets

__all__ = [
    "CHANNEL",
    "DISCLAIMER",
    "FINAL",
    "Answer",
    "Answers",
    "Dead",
    "Notification",
    "Notifier",
    "Result",
    "Sent",
    "Trial",
    "cancels",
    "collected",
    "connect",
    "divert",
    "dump",
    "load",
    "plan",
    "try_targets",
]
