"""The ``afterwatch`` command.

Law: a command says what it will do, does it, and ends with a documented exit code. An error names the
place and the remedy; nothing is half done.
"""

from __future__ import annotations

import argparse
import gc
import getpass
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitor import __version__

DONE, NOT_AS_IT_SHOULD, WRONG_USE, BAD_FILE, UNREACHABLE = range(5)
LABEL = (
    "Secondary notification: the bedside monitor and the person in the room stay primary.\n"
    "Not a primary alarm; designed after IEC 60601-1-8, claims no conformity."
)
EXIT_CODES = """exit codes:
  0  done
  1  done, but not as it should be: lines not used, targets not reached, a journal that does not verify
  2  wrong use of the command
  3  a file, the configuration or a payload cannot be used; every mistake is listed with its remedy
  4  the broker, the port, the monitor or (by `run`) the journal's disk cannot be reached; try again"""


class Unusable(Exception):
    """A file cannot be used; the text says which, why, and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    from monitor.config import ConfigurationError
    from monitor.formats.recordings import BadRecording
    from monitor.journal import JournalError

    words = [*(sys.argv[1:] if arguments is None else arguments)]
    chosen = _parser(next((word for word in words if not word.startswith("-")), "")).parse_args(words)
    try:
        code: int = chosen.run(chosen)
    except ConfigurationError as fault:
        print(f"{len(fault.mistakes)} mistakes in the configuration:", file=sys.stderr)
        for mistake in fault.mistakes:
            print(f"  {mistake}", file=sys.stderr)
        return BAD_FILE
    except (BadRecording, JournalError, Unusable, FileNotFoundError) as fault:
        print(f"afterwatch: {fault}", file=sys.stderr)
        return BAD_FILE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code


# --- the parser --------------------------------------------------------------------------------------------

Run = Callable[[argparse.Namespace], int]
_Commands = Any  # argparse gives its own subparsers no public name


def _command(commands: _Commands, name: str, run: Run, text: str, more: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}. {more}".strip(),
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=os.environ.get("AFTERWATCH_CONFIG"),
        help="folder that holds clinic.toml (what AFTERWATCH_CONFIG says, else the one shipped)",
    )


def _parser(word: str) -> argparse.ArgumentParser:
    """Return the parser; where ``word``, the chosen command, stands in a module, its own arguments are there.

    The modules of the others are left where they are: to import all took a tenth of a start.
    """
    parser = argparse.ArgumentParser(
        prog="afterwatch",
        description=f"Afterwatch {__version__}.\n{LABEL}",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"afterwatch {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    demo = _command(commands, "demo", _demo, "a broker, six simulated patients and the wall, on this machine")
    demo.add_argument("--port", type=int, default=8080, help="of the pages; 0 takes a free one (%(default)s)")
    demo.add_argument("--no-browser", action="store_true", help="do not open a browser")
    demo.add_argument("--for", dest="for_s", type=float, metavar="SECONDS", help="end after so long")
    demo.add_argument("--beds", type=int, default=6, help="simulated beds (%(default)s)")
    demo.add_argument("--seed", type=int, default=7, help="of the simulation (%(default)s)")

    run = _command(commands, "run", _run, "watch: the real thing, against a real broker")
    _add_config(run)

    init = _command(commands, "init", _init, "lay out a new site: certificates, credentials, broker rules")
    credentials = _command(
        commands, "credentials", _credentials, "look at or change who may sign in at the broker"
    )
    _add_config(credentials)
    if word in ("init", "credentials"):
        from monitor import install

        install.add_init(init)
        install.add_credentials(credentials)

    check = _command(commands, "check", _check, "check all configuration and print the limits in words")
    _add_config(check)
    check.add_argument("--send", action="store_true", help="send a test message to every target")

    users = _command(commands, "users", _users, "list, add or remove people")
    _add_config(users)
    users.add_argument("act", nargs="?", choices=["list", "add", "remove", "password"], default="list")
    users.add_argument("name", nargs="?", help="sign-in name")
    users.add_argument("--role", action="append", help="nurse, clinician, operator or admin; may be repeated")
    users.add_argument(
        "--password-file", type=Path, help="file whose first line is the password (else asked)"
    )

    sessions = _command(commands, "sessions", _sessions, "list sessions")
    _add_config(sessions)
    sessions.add_argument("--patient", default="", help="patient code")
    sessions.add_argument("--json", action="store_true", help="one JSON line for each session")

    _add_device_commands(commands, word)
    _add_reading_commands(commands, word)
    _add_store_commands(commands)
    return parser


def _add_device_commands(commands: _Commands, word: str) -> None:
    bridge = _command(commands, "bridge", _bridge, "carry a monitor that speaks no MQTT to the broker")
    _add_config(bridge)
    devices = _command(commands, "devices", _discover, "listen to the broker and propose beds.toml lines")
    devices.add_argument("act", choices=["discover"], help="what to do")
    _add_config(devices)
    sites = _command(commands, "overview", _overview, "show many sites on one page, from a central broker")
    if word == "bridge":
        from monitor import bridge as bridging

        bridging.add_arguments(bridge)
    elif word == "devices":
        from monitor import discover

        discover.add_arguments(devices)
    elif word == "overview":
        from monitor import overview

        overview.add_arguments(sites)


def _add_reading_commands(commands: _Commands, word: str) -> None:
    from monitor.core.protocol import PHASES
    from monitor.formats import recording_options

    replay = _command(
        commands,
        "replay",
        _replay,
        "run the alarm core over recorded readings",
        "FILE is CSV with measured_at,metric,value and optional received_at,device_id,unit, or what a "
        "maker's program exports: a time and a column for each metric; .gz too.",
    )
    replay.add_argument("file", nargs="?", type=Path, help="the recording")
    replay.add_argument("--protocol", help="name of a protocol, or a .toml file (iv-ketamine)")
    replay.add_argument(
        "--phase", choices=PHASES, default="observation", help="phase of it all (%(default)s)"
    )
    replay.add_argument("--jsonl", action="store_true", help="one outcome a line as JSON, else as text")
    replay.add_argument("--session", metavar="ID", help="a session of the journal instead of FILE")
    replay.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="LIMIT=VALUE",
        help="with --session: another value of a limit, or LIMIT=off; may be repeated",
    )
    replay.add_argument(
        "--compare", action="store_true", help="with --session: which alarms would be kept, lost and new"
    )
    replay.add_argument(
        "--envelopes", type=Path, metavar="FILE", help="messages and staff actions (- is stdin)"
    )
    recording_options.add(replay)
    _add_config(replay)

    shadow = _command(
        commands,
        "shadow",
        _shadow,
        "what another version of a protocol would have told in the last days (AF-11)",
        "Each ended session with the protocol is lived again; every alarm that would be lost is listed.",
    )
    shadow.add_argument("--protocol", required=True, help="the candidate: a .toml file, or a name")
    shadow.add_argument("--days", type=float, default=7.0, help="how far back (%(default)s)")
    _add_config(shadow)

    decoding = _command(commands, "decode", _decode, "show what we make of a payload, as JSON lines")
    if word == "decode":
        from monitor import decode

        decode.add_arguments(decoding)


def _add_store_commands(commands: _Commands) -> None:
    for name, run, text in (
        ("report", _export, "write a session's record as PDF"),
        ("export", _export, "write a session's record in another format"),
    ):
        parser = _command(commands, name, run, text)
        _add_config(parser)
        parser.add_argument("session", help="session id, as `afterwatch sessions` lists them")
        parser.add_argument("--format", default="pdf" if name == "report" else "csv", help="(%(default)s)")
        parser.add_argument("--output", type=Path, help="file to write; - is standard output")
    importing = _command(
        commands,
        "import",
        _import,
        "take in records that `export` wrote as jsonl or csv",
        "They are kept beside the journal, which is only read: a running monitor is not disturbed.",
    )
    _add_config(importing)
    importing.add_argument("files", nargs="+", type=Path, metavar="FILE", help="as exported, unchanged")
    verify = _command(commands, "verify", _verify, "check the journal: pages, and the chain of outcomes")
    _add_config(verify)
    backup = _command(commands, "backup", _backup, "copy the journal while it is in use")
    _add_config(backup)
    backup.add_argument("target", type=Path, help="file to write")
    retain = _command(
        commands, "retain", _retain, "remove readings and records older than clinic.toml says, with proof"
    )
    _add_config(retain)
    retain.add_argument("--proofs", action="store_true", help="only print what was removed so far")
    restore = _command(
        commands, "restore", _restore, "put a backup in the journal's place; the monitor must rest"
    )
    _add_config(restore)
    restore.add_argument("source", type=Path, help="file that `backup` wrote")


def _load(chosen: argparse.Namespace) -> Any:
    from monitor import config

    return config.load(chosen.config or config.default_folder())


# --- the commands ------------------------------------------------------------------------------------------


def _demo(chosen: argparse.Namespace) -> int:
    from monitor.demo import Demo

    return Demo(
        port=chosen.port,
        browser=not chosen.no_browser,
        for_s=chosen.for_s,
        beds=chosen.beds,
        seed=chosen.seed,
    ).run()


def _run(chosen: argparse.Namespace) -> int:
    gc.disable()  # a start makes little but what stays: searching it for garbage takes a tenth of the time
    try:
        return _watch(chosen)
    finally:
        gc.enable()


def _watch(chosen: argparse.Namespace) -> int:
    from monitor.app.site import Site
    from monitor.journal import JournalError

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    configuration = _load(chosen)
    if configuration.clinic.pair.name:
        from monitor.app.pair import Pair

        gc.enable()
        return DONE if Pair(configuration, __version__).run() else NOT_AS_IT_SHOULD
    try:
        site = Site(configuration, __version__)
    except (JournalError, OSError) as fault:  # a disk may get better: not the code after which systemd rests
        print(f"afterwatch: {fault}", file=sys.stderr)
        return UNREACHABLE
    try:
        site.start()
    except OSError as fault:
        web = site.configuration.clinic.web
        site.stop()
        print(f"afterwatch: {web.host}:{web.port}: {fault}; choose another [web] port", file=sys.stderr)
        return UNREACHABLE
    gc.enable()
    if not site.users.list():
        print("nobody can sign in yet: `afterwatch users add NAME --role nurse`", file=sys.stderr)
    print(f"{LABEL}\nwall: http://{site.server.host}:{site.server.port}/", flush=True)
    site.run_until_told()
    return DONE if site.stop() else NOT_AS_IT_SHOULD


def _init(chosen: argparse.Namespace) -> int:
    return _installed(chosen, "run_init")


def _credentials(chosen: argparse.Namespace) -> int:
    return _installed(chosen, "run_credentials")


def _installed(chosen: argparse.Namespace, name: str) -> int:
    from monitor import install
    from monitor.config import ConfigurationError

    try:
        code: int = getattr(install, name)(chosen)
    except ConfigurationError:
        raise
    except ValueError as fault:
        raise Unusable(str(fault)) from fault
    return code


def _bridge(chosen: argparse.Namespace) -> int:
    from monitor import bridge

    configuration = _load(chosen)
    return bridge.run(configuration.clinic.broker, configuration.store, chosen)


def _discover(chosen: argparse.Namespace) -> int:
    from monitor import discover

    return discover.run(_load(chosen).clinic.broker, chosen)


def _overview(chosen: argparse.Namespace) -> int:
    from monitor import overview

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        overview.run(chosen, ended.wait)
    except FileNotFoundError:
        raise
    except OSError as fault:
        print(f"afterwatch: {fault}", file=sys.stderr)
        return UNREACHABLE
    return DONE


def _check(chosen: argparse.Namespace) -> int:
    from monitor import notify
    from monitor.wording import effective_limits

    configuration = _load(chosen)
    print(
        f"{configuration.folder}: sound. {len(configuration.ward.beds)} beds, "
        f"{len(configuration.ward.devices)} devices, {len(configuration.protocols)} protocols.\n"
    )
    for protocol in configuration.protocols.values():
        print("\n".join(effective_limits(protocol)), end="\n\n")
    if not chosen.send:
        return DONE
    trials = list(notify.try_targets(configuration.clinic.notify.targets))
    for trial in trials:
        said = "delivered" if trial.delivered else "NOT delivered"
        print(f"{trial.target}: {said} in {trial.seconds:.1f} s: {trial.text}")
    return DONE if all(trial.delivered for trial in trials) else NOT_AS_IT_SHOULD


def _users(chosen: argparse.Namespace) -> int:
    from monitor.web.users import Users

    users = Users(_load(chosen).store / "users.json")
    if chosen.act == "list":
        for account in users.list():
            print(f"{account.name}\t{', '.join(account.roles)}")
        return DONE
    if not chosen.name:
        print(f"afterwatch users {chosen.act}: give a NAME", file=sys.stderr)
        return WRONG_USE
    try:
        if chosen.act == "remove":
            users.remove(chosen.name)
        elif chosen.act == "password":
            users.set_password(chosen.name, _password(chosen))
        else:
            users.add(chosen.name, _password(chosen), chosen.role or ["nurse"])
    except (ValueError, LookupError) as fault:
        print(f"afterwatch users: {fault}", file=sys.stderr)
        return WRONG_USE
    return DONE


def _password(chosen: argparse.Namespace) -> str:
    if chosen.password_file:
        return str(chosen.password_file.read_text(encoding="utf-8").splitlines()[0])
    return getpass.getpass(f"password for {chosen.name}: ")


def _sessions(chosen: argparse.Namespace) -> int:
    from monitor.records.imported import Imports

    store = _load(chosen).store
    archive = _archive(store)
    for one in archive.sessions(patient_code=chosen.patient, limit=1000) if archive else ():
        _print_session(one, chosen.json, imported=False)
    imports, code = Imports(store), DONE
    for session_id in imports.sessions():
        try:
            one = imports.record(session_id).summary
        except ValueError as fault:
            print(f"afterwatch: imported record {session_id}: {fault}", file=sys.stderr)
            code = BAD_FILE
        else:
            if chosen.patient in ("", one.patient_code):
                _print_session(one, chosen.json, imported=True)
    return code


def _print_session(one: Any, as_json: bool, *, imported: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print(json.dumps({**asdict(one), "imported": imported}, default=str))
        return
    ended = f"{one.ended_at:%H:%M}" if one.ended_at else "running"
    mark = "  imported" if imported else ""
    print(
        f"{one.session_id}  {one.started_at:%Y-%m-%d %H:%M} to {ended} UTC  {one.bed_id}  "
        f"{one.patient_code}  {one.protocol}  {one.mode}  {one.alarms} alarms ({one.high} high){mark}"
    )


def _archive(store: Path) -> Any:
    """Return the journal as people read it, or ``None`` when there is none in this store."""
    from monitor.series.embedded import Embedded

    archive = Embedded(store)
    return archive if archive.path.exists() else None


def _protocol(chosen: argparse.Namespace) -> Any:
    from monitor import config

    name = chosen.protocol or "iv-ketamine"
    if name.endswith(".toml"):
        return config.load_protocol(Path(name))
    known = _load(chosen).protocols
    if name not in known:
        raise Unusable(f"no protocol {name!r}; known are {', '.join(known)}, or give a .toml file")
    return known[name]


def _replay(chosen: argparse.Namespace) -> int:
    from monitor import recording, replay
    from monitor.formats import recording_options, recordings

    found = recordings.Recording()
    if chosen.envelopes:
        protocols = _load(chosen).protocols
        if chosen.protocol:
            protocols = {**protocols, chosen.protocol: _protocol(chosen)}
        lines = sys.stdin if str(chosen.envelopes) == "-" else chosen.envelopes.open(encoding="utf-8")
        outcomes = replay.replay_envelopes(lines, protocols)
    elif chosen.session:
        return _live_again(chosen)
    elif chosen.file:
        found = recordings.read(chosen.file, **recording_options.asked(chosen))
        outcomes = replay.replay(list(recording.reports(found.rows)), _protocol(chosen), phase=chosen.phase)
    else:
        print("afterwatch replay: give a FILE, or --envelopes", file=sys.stderr)
        return WRONG_USE
    for one in outcomes:
        _print_outcome(one, chosen.jsonl)
    return NOT_AS_IT_SHOULD if recording_options.tell(found) else DONE


def _print_outcome(one: Any, jsonl: bool) -> None:
    from monitor.core.outcomes import as_json

    if jsonl:
        print(json.dumps(as_json(one), ensure_ascii=False))
        return
    print(f"{one.at:%Y-%m-%d %H:%M:%S}  {one.outcome:20}  {one.priority:6}  {one.rule:22}  {one.reason}")


def _live_again(chosen: argparse.Namespace) -> int:
    from monitor.series.embedded import Embedded

    archive = Embedded(_load(chosen).store)
    changes: dict[str, float | None] = {}
    for one in chosen.set:
        name, _, value = one.partition("=")
        try:
            changes[name] = None if value == "off" else float(value)
        except ValueError as fault:
            raise Unusable(f"--set {one}: write LIMIT=VALUE or LIMIT=off") from fault
    protocol = _protocol(chosen) if chosen.protocol else None
    outcomes = _lived(archive, chosen.session, protocol, changes)
    if chosen.compare:
        _print_difference(_happened(archive, chosen.session), outcomes)
        return DONE
    for outcome in outcomes:
        _print_outcome(outcome, chosen.jsonl)
    return DONE


def _lived(archive: Any, session_id: str, protocol: Any, changes: dict[str, float | None]) -> list[Any]:
    """Return what a stored session tells with a protocol (``None``: its own) and other limits."""
    from monitor import replay

    try:
        given = archive.lived(session_id, replay.WARM_UP)
    except LookupError as fault:
        raise Unusable(str(fault)) from fault
    summary = archive.summary(session_id)
    return list(replay.live_again(given, summary.bed_id if summary else "", session_id, protocol, changes))


def _happened(archive: Any, session_id: str) -> list[Any]:
    return [entry.outcome for entry in archive.log(session_id=session_id, limit=1_000_000)]


def _print_difference(happened: list[Any], outcomes: list[Any]) -> Any:
    """Print and return which alarms are kept, lost (each of them) and new."""
    from monitor.core import shadow

    found = shadow.compare(happened, outcomes)
    for word, alarms in (("kept", found.kept), ("LOST", found.lost), ("new", found.new)):
        print(f"{word}: {len(alarms)}")
        for outcome in alarms if word != "kept" else ():
            print(f"  {outcome.at:%H:%M:%S} UTC  {outcome.priority:6}  {outcome.rule}  {outcome.reason}")
    return found


def _shadow(chosen: argparse.Namespace) -> int:
    candidate = _protocol(chosen)
    archive = _archive(_load(chosen).store)
    begin = datetime.now(UTC) - timedelta(days=chosen.days)
    every = archive.sessions(mode="real", from_at=begin, limit=100_000) if archive else []
    kept = lost = new = looked_at = 0
    for one in reversed(every):
        happened = _happened(archive, one.session_id)
        if one.protocol != candidate.name or not any(each.outcome == "SessionEnded" for each in happened):
            continue
        looked_at += 1
        print(f"{one.session_id}  {one.started_at:%Y-%m-%d %H:%M} UTC  {one.bed_id}")
        found = _print_difference(happened, _lived(archive, one.session_id, candidate, {}))
        kept, lost, new = kept + len(found.kept), lost + len(found.lost), new + len(found.new)
    print(
        f"{looked_at} ended sessions with {candidate.name} in {chosen.days:g} days; with version "
        f"{candidate.version}, digest {candidate.digest}: {kept} alarms kept, {lost} LOST, {new} new"
    )
    return DONE


def _decode(chosen: argparse.Namespace) -> int:
    from monitor import decode

    try:
        return decode.run(chosen)
    except OSError as fault:
        raise Unusable(f"{fault.filename}: {fault.strerror}; give a file, or - for standard input") from fault


def _export(chosen: argparse.Namespace) -> int:
    from monitor import records

    configuration = _load(chosen)
    if chosen.format not in records.EXPORTS:
        print(f"no format {chosen.format!r}; known are {', '.join(records.EXPORTS)}", file=sys.stderr)
        return WRONG_USE
    export = records.EXPORTS[chosen.format]
    record, imported = _find_record(configuration.store, chosen.session)
    if imported and chosen.format in ("fhir", "hl7"):
        site = configuration.clinic.site.identity
        print(f"an imported record: the file names its patient as one of site {site!r}", file=sys.stderr)
    try:
        made = export.render(record, configuration.clinic.site)
    except ValueError as fault:
        raise Unusable(f"{chosen.session} as {chosen.format}: {fault}") from fault
    target = chosen.output or Path(f"{chosen.session}{export.suffix}")
    if str(target) == "-":
        sys.stdout.buffer.write(made)
    else:
        target.write_bytes(made)
        print(f"{target}: {len(made)} bytes")
    return DONE


def _find_record(store: Path, session_id: str) -> tuple[Any, bool]:
    """Return a session's record, of the journal or imported, and whether it was imported."""
    from monitor.records.imported import Imports

    archive = _archive(store)
    if archive is not None and archive.summary(session_id) is not None:
        return archive.record(session_id), False
    try:
        return Imports(store).record(session_id), True
    except (LookupError, ValueError) as fault:
        raise Unusable(str(fault)) from fault


def _import(chosen: argparse.Namespace) -> int:
    store = _load(chosen).store
    code = DONE
    for file in chosen.files:
        try:
            became = _take_in(store, file)
        except (ValueError, OSError) as fault:
            print(f"afterwatch: {file}: {getattr(fault, 'strerror', None) or fault}", file=sys.stderr)
            code = BAD_FILE
        else:
            print(f"{file}: {became}")
    return code


def _take_in(store: Path, file: Path) -> str:
    """Import one file; return what became of it. Raises ValueError or OSError with the reason."""
    from monitor.records import imported, readback, table

    record = readback.read(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    name, archive = record.summary.session_id, _archive(store)
    if archive is not None and archive.summary(name) is not None:
        if imported.covers(archive.record(name), record):
            return f"{name} is in the journal; nothing to do"
        raise ValueError(f"the journal has session {name} itself and says otherwise; the journal counts")
    if not imported.Imports(store).add(record):
        return f"{name} was imported before; nothing to do"
    measurements = sum(len(trace.at) for trace in record.traces)
    digest = table.digest(record)
    return f"{name}: {measurements} measurements, {len(record.entries)} entries, digest {digest}"


def _verify(chosen: argparse.Namespace) -> int:
    from monitor.safekeeping import verify

    found = verify(_load(chosen).store)
    for line in found.faults:
        print(line, file=sys.stderr)
    said = "NOT sound" if found.faults else "sound"
    print(f"{found.outcomes} outcomes and {found.readings} readings: {said}; anchor {found.anchor or 'none'}")
    return NOT_AS_IT_SHOULD if found.faults else DONE


def _backup(chosen: argparse.Namespace) -> int:
    from monitor.safekeeping import backup

    size = backup(_load(chosen).store, chosen.target)
    print(f"{chosen.target}: {size} bytes, verified")
    return DONE


def _retain(chosen: argparse.Namespace) -> int:
    from monitor.series.retention import proofs, retain

    configuration = _load(chosen)
    clinic = configuration.clinic
    if not chosen.proofs:
        retain(
            configuration.store,
            datetime.now(UTC),
            readings_days=clinic.store.keep_readings_days,
            records_days=clinic.store.keep_records_days,
            mirrored=bool(clinic.series.url),
        )
    for one in proofs(configuration.store):
        print(one)
    return DONE


def _restore(chosen: argparse.Namespace) -> int:
    from monitor.safekeeping import restore

    kept = restore(chosen.source, _load(chosen).store)
    print("restored and verified" + (f"; what was there is now {kept}" if kept else ""))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
