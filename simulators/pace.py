"""Send a stream of messages at the pace of its own clock.

Law: a message never leaves before its time; when the process was held up, what is late leaves at once, in
order, and its lateness is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from simulators.publisher import Publisher
from simulators.ward import Ward

SERVED_EVERY = 100  # messages
LONGEST_WAIT_S = 0.5  # keep-alives and the facilitator's keyboard are served at least so often


def run_ward(
    ward: Ward,
    publisher: Publisher,
    *,
    for_s: float = float("inf"),
    speed: float = 1.0,
    each_turn: Callable[[float], bool] | None = None,
) -> None:
    """Publish what the ward says, in real time.

    Args:
        ward: the ward; its clock starts now.
        publisher: connected.
        for_s: real seconds to run.
        speed: simulated seconds in a real one.
        each_turn: called at least every half second with the ward's clock, seconds; returning false ends it.
    """
    started = time.monotonic()
    origin_s = ward.now_s
    while True:
        real_s = time.monotonic() - started
        for count, message in enumerate(ward.run(origin_s + real_s * speed), 1):
            due_s = (message.at_s - origin_s) / speed
            publisher.tally.late_ms.append((time.monotonic() - started - due_s) * 1000.0)
            publisher.publish(message)
            if count % SERVED_EVERY == 0:  # a ward that has much to catch up with still keeps its connections
                publisher.wait(0.0)
        if real_s >= for_s or (each_turn is not None and not each_turn(ward.now_s)):
            return
        due = started + (ward.next_s() - origin_s) / speed
        publisher.wait(
            max(min(due - time.monotonic(), LONGEST_WAIT_S, started + for_s - time.monotonic()), 0.0)
        )
