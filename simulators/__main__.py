"""The ``drill`` command: simulated wards, recordings, and drills.

Law: a command says what it will do, does it, and ends with a documented exit code:
0 done, 1 done but not as it should be (a drill not passed, messages not confirmed), 2 wrong use,
3 a file cannot be used, 4 the broker or the monitor cannot be reached.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from zoneinfo import ZoneInfo

from monitor.formats import recording_options, recordings
from simulators import drill_commands
from simulators.device import Message
from simulators.drill import BadDrill
from simulators.exercise import MonitorRefused
from simulators.network import Conditions
from simulators.pace import run_ward
from simulators.plan import BASELINE_S, MIXED, PROTOCOLS, BedPlan, build_ward, plan_ward
from simulators.play import messages_of, together
from simulators.publisher import Broker, BrokerRefused, Publisher
from simulators.speech import LANGUAGES
from simulators.view import View
from simulators.ward import Ward
from simulators.wiring import beds_toml

DONE, NOT_AS_IT_SHOULD, WRONG_USE, BAD_FILE, UNREACHABLE = range(5)
HISTORY_PERIOD_S = 10.0  # a backlog holds one oximeter reading in ten seconds
EXIT_CODES = """exit codes:
  0  done
  1  done, but not as it should be: a drill not passed, messages not confirmed
  2  wrong use of the command
  3  a file cannot be used; every mistake is listed with file, key and remedy
  4  the broker or the monitor cannot be reached or refuses us"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    chosen = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        code: int = chosen.run(chosen)
    except (BrokerRefused, MonitorRefused) as fault:
        print(f"drill: {fault}", file=sys.stderr)
        return UNREACHABLE
    except (recordings.BadRecording, BadDrill, FileNotFoundError) as fault:
        print(f"drill: {fault}", file=sys.stderr)
        return BAD_FILE
    except KeyboardInterrupt:
        return DONE
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  whoever read us has enough
        return DONE
    return code


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="drill",
        description="Simulated patients, devices and drills. Everything sent is marked mode=drill.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_ward(commands)
    _add_play(commands)
    drill_commands.add(commands, _add_broker, _broker, EXIT_CODES)
    return parser


def _add_broker(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("broker")
    group.add_argument(
        "--broker", default="mqtt://127.0.0.1:1883", help="mqtt://host:port or mqtts:// (%(default)s)"
    )
    group.add_argument(
        "--site", default="clinic", help="site name in the topics afterwatch/v1/SITE/… (%(default)s)"
    )
    group.add_argument("--username", help="user name at the broker")
    group.add_argument("--password-file", type=Path, help="file whose first line is the password")
    group.add_argument("--ca-file", type=Path, help="certificate authority of an mqtts broker")


def _broker(chosen: argparse.Namespace) -> Broker:
    password = chosen.password_file.read_text().splitlines()[0] if chosen.password_file else None
    return Broker(chosen.broker, chosen.username, password, chosen.ca_file)


def _add_ward(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "ward",
        help="simulate a ward of beds, live",
        description="Simulate beds with their patients and devices and publish what the devices report. "
        "With --plan, print the plan as JSON and end.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--beds", type=int, default=6, help="number of beds; each has an oximeter and a cuff (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=7, help="same seed, same bytes (%(default)s)")
    parser.add_argument("--plan", action="store_true", help="print the plan of the beds as JSON and end")
    parser.add_argument(
        "--devices", action="store_true", help="print the beds and devices as beds.toml needs them and end"
    )
    parser.add_argument(
        "--speak",
        default="native",
        choices=(*LANGUAGES, MIXED),
        metavar="FORMAT",
        help=f"what the devices speak: {MIXED}, or one of {', '.join(LANGUAGES)} (%(default)s)",
    )
    parser.add_argument(
        "--backlog", action="store_true", help="first send what the devices kept since each session's start"
    )
    parser.add_argument(
        "--for", dest="for_s", type=float, default=float("inf"), metavar="SECONDS", help="end after so long"
    )
    parser.add_argument(
        "--speed", type=float, default=1.0, help="simulated seconds in a real one (%(default)s)"
    )
    parser.add_argument(
        "--print",
        dest="to_stdout",
        action="store_true",
        help="print envelopes as JSON lines, at once, instead of publishing; needs --for",
    )
    parser.add_argument(
        "--start-at",
        type=datetime.fromisoformat,
        metavar="ISO",
        help="with --print: the instant of second 0 (now)",
    )
    parser.add_argument(
        "--start-cuffs", action="store_true", help="a person starts every cuff as the ward goes live"
    )
    parser.add_argument(
        "--client-per-device", action="store_true", help="one connection and last will for each device"
    )
    parser.add_argument(
        "--subjects", type=int, metavar="N", help="simulate N sessions at once, print their table and end"
    )
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, default=PROTOCOLS[0], help="of --subjects (%(default)s)"
    )
    parser.add_argument("--sprays", type=int, default=2, help="of --subjects by nose (%(default)s)")
    parser.add_argument("--placebo", action="store_true", help="of --subjects: without the drug")
    parser.add_argument("--sites", type=int, default=0, help="clinics that --subjects are spread over (one)")
    parser.add_argument("--view", action="store_true", help="show truth, devices and alarms in the terminal")
    parser.add_argument("--quiet", action="store_true", help="no line of progress")
    network = parser.add_argument_group("network, each a probability or seconds")
    for name in ("delay-s", "jitter-s", "loss", "duplication", "reordering"):
        network.add_argument(f"--{name}", type=float, default=0.0, metavar="N")
    _add_broker(parser)
    parser.set_defaults(run=_ward)


def _ward(chosen: argparse.Namespace) -> int:
    if chosen.subjects:
        from simulators import population  # numpy is needed for this alone

        study = population.Study(chosen.protocol, chosen.sprays, chosen.placebo, sites=chosen.sites)
        print(population.table(population.simulate(chosen.subjects, chosen.seed, study)))
        return DONE
    plans = plan_ward(chosen.beds, chosen.seed, chosen.speak)
    records = [plan.record() for plan in plans]
    if chosen.plan or chosen.devices:
        print(beds_toml(records) if chosen.devices else json.dumps(records, indent=2, ensure_ascii=False))
        return DONE
    conditions = Conditions(
        chosen.delay_s, chosen.jitter_s, chosen.loss, chosen.duplication, chosen.reordering
    )
    start_at = chosen.start_at or datetime.now(UTC)
    if chosen.to_stdout:
        return _print_ward(_ward_of(plans, conditions, start_at, chosen), chosen)
    return _live_ward(plans, conditions, chosen)


def _ward_of(
    plans: list[BedPlan], conditions: Conditions, start_at: datetime, chosen: argparse.Namespace
) -> Ward:
    return build_ward(
        plans,
        chosen.seed,
        start_at,
        site=chosen.site,
        speed=chosen.speed,
        conditions=conditions,
        start_cuffs=chosen.start_cuffs,
    )


def _print_ward(ward: Ward, chosen: argparse.Namespace) -> int:
    if chosen.for_s == float("inf"):
        print("drill ward --print: say how long with --for SECONDS", file=sys.stderr)
        return WRONG_USE
    if chosen.backlog:
        for message in ward.history(-BASELINE_S, HISTORY_PERIOD_S):
            print(envelope(message))
    for message in ward.run(chosen.for_s * chosen.speed):
        print(envelope(message))
    return DONE


def envelope(message: Message) -> str:
    """Return a message as one JSON line; bytes that are no text stand as hexadecimal."""
    try:
        payload = {"payload": message.payload.decode()}
    except UnicodeDecodeError:
        payload = {"payload_hex": message.payload.hex()}
    return json.dumps(
        {"at_s": message.at_s, "topic": message.topic, **payload, "retained": message.retained},
        separators=(",", ":"),
    )


def _live_ward(plans: list[BedPlan], conditions: Conditions, chosen: argparse.Namespace) -> int:
    names = [device["device_id"] for plan in plans for device in plan.record()["devices"]]
    publisher = Publisher(
        _broker(chosen),
        f"drill-ward-{os.getpid()}",
        chosen.site,
        names,
        each_its_own=chosen.client_per_device,
    )
    publisher.connect()
    ward = _ward_of(plans, conditions, datetime.now(UTC), chosen)
    started = time.process_time()
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as after:
        if chosen.backlog:
            _send_history(ward, publisher, quiet=chosen.quiet)
        ward.go_live(lambda: datetime.now(UTC))
        shown = _progress(publisher, len(plans), quiet=chosen.quiet)
        if chosen.view:
            view = View(ward, publisher, chosen.site)
            after.callback(view.stop)
            view.start()
            shown = view.turn
        run_ward(ward, publisher, for_s=chosen.for_s, speed=chosen.speed, each_turn=shown)
    return _end(publisher, time.process_time() - started, quiet=chosen.quiet)


def _send_history(ward: Ward, publisher: Publisher, *, quiet: bool) -> None:
    count = 0
    for count, message in enumerate(ward.history(-BASELINE_S, HISTORY_PERIOD_S), 1):
        publisher.publish(message)
        if count % 200 == 0:
            publisher.wait(0.0)
    publisher.drain()
    if not quiet:
        print(f"backlog: {count} messages sent, {publisher.tally.confirmed} confirmed", file=sys.stderr)


def _progress(publisher: Publisher, beds: int, *, quiet: bool) -> Callable[[float], bool]:
    last = time.monotonic()

    def shown(now_s: float) -> bool:
        nonlocal last
        if not quiet and time.monotonic() - last >= 10.0:
            last = time.monotonic()
            tally = publisher.tally
            print(
                f"{now_s:8.0f} s  {beds} beds  sent {tally.sent}  confirmed {tally.confirmed}",
                file=sys.stderr,
            )
        return True

    return shown


def _end(publisher: Publisher, busy_s: float, *, quiet: bool) -> int:
    publisher.say_offline()
    confirmed = publisher.drain(10.0)
    tally = publisher.tally
    publisher.close()
    if not quiet:
        print(
            f"sent {tally.sent}, confirmed {tally.confirmed}, reconnects {tally.reconnects}, "
            f"late p50 {tally.late_at(0.5):.1f} ms, p99 {tally.late_at(0.99):.1f} ms, CPU {busy_s:.1f} s",
            file=sys.stderr,
        )
    return DONE if confirmed else NOT_AS_IT_SHOULD


def _add_play(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "play",
        help="send a recorded CSV to the broker as a device",
        description="Send a recording as a device: measured_at,metric,value, or what a maker's program "
        "exports, a time and a column for each metric. .gz is read too. Prints counts as JSON.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="the recording")
    parser.add_argument("--device", required=True, help="device id to send as")
    parser.add_argument("--speed", default="1", help="recorded seconds in a real one, or max (%(default)s)")
    parser.add_argument("--now", action="store_true", help="shift times so that the recording begins now")
    parser.add_argument(
        "--zone", type=ZoneInfo, default=ZoneInfo("UTC"), help="zone of times without offset (%(default)s)"
    )
    recording_options.add(parser)
    parser.add_argument(
        "--confirm-within",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long to wait for the broker at the end (%(default)s)",
    )
    _add_broker(parser)
    parser.set_defaults(run=_play)


def _play(chosen: argparse.Namespace) -> int:
    speed = float("inf") if chosen.speed == "max" else float(chosen.speed)
    found = recordings.read(chosen.file, zone=chosen.zone, **recording_options.asked(chosen))
    unused = recording_options.tell(found)
    messages = messages_of(
        together(found.rows), chosen.device, chosen.site, first_at=datetime.now(UTC) if chosen.now else None
    )
    publisher = Publisher(
        _broker(chosen), f"drill-play-{chosen.device}-{os.getpid()}", chosen.site, [chosen.device]
    )
    publisher.connect()
    started = time.monotonic()
    publisher.say_online()
    try:
        for message in messages:
            _send_at(publisher, message, started, speed)
    except KeyboardInterrupt:
        pass
    publisher.say_offline()
    confirmed = publisher.drain(chosen.confirm_within)
    publisher.close()
    tally = publisher.tally
    presence = 2
    print(
        json.dumps(
            {
                "reports": tally.sent - presence,
                "confirmed": max(tally.confirmed - presence, 0),
                "refused": tally.refused,
                "reconnects": tally.reconnects,
                "seconds": round(time.monotonic() - started, 2),
            }
        )
    )
    return DONE if confirmed and not tally.refused and not unused else NOT_AS_IT_SHOULD


UNCONFIRMED_MOST = 1000  # a recording is read no faster than the broker confirms


def _send_at(publisher: Publisher, message: Message, started: float, speed: float) -> None:
    publisher.wait(
        max(started + message.at_s / speed - time.monotonic(), 0.0) if speed != float("inf") else 0.0
    )
    while publisher.tally.sent - publisher.tally.confirmed - publisher.tally.refused > UNCONFIRMED_MOST:
        publisher.wait(0.01)
    publisher.publish(message)


if __name__ == "__main__":
    sys.exit(main())
