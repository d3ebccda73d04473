"""The commands about drill files: list, show, run, score, new.

Law: as all of ``drill``: say what will be done, do it, end with a documented exit code.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from simulators.drill import BadDrill, Drill, find, folder, load, on_beds, piece
from simulators.exercise import keep, open_live, run_fast, runs
from simulators.publisher import Broker
from simulators.report import as_csv, as_page, as_text
from simulators.score import Check, Heard, Scorecard, compare
from simulators.stage import SECOND_0, lines, set_stage
from simulators.wiring import beds_toml

DONE, NOT_AS_IT_SHOULD, WRONG_USE, BAD_FILE = range(4)
Commands = Any  # argparse's own name for it is private
RUNS = Path("run/drills")


def add(
    commands: Commands,
    add_broker: Callable[[argparse.ArgumentParser], None],
    broker: Callable[[argparse.Namespace], Broker],
    epilog: str,
) -> None:
    """Add the commands to the parser.

    Args:
        commands: of ``drill``.
        add_broker: adds the options that name the broker.
        broker: reads them.
        epilog: the exit codes.
    """
    form: dict[str, Any] = {"epilog": epilog, "formatter_class": argparse.RawDescriptionHelpFormatter}
    listing = commands.add_parser("list", help="list the drills", **form)
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(run=_list)

    show = commands.add_parser(
        "show", help="show one drill: its story, what is expected, who does what", **form
    )
    show.add_argument("name", help="name of a drill, or a .toml file")
    show.add_argument(
        "--plan", action="store_true", help="print its beds and devices as `drill ward --plan` does"
    )
    show.add_argument(
        "--devices", action="store_true", help="print its beds and devices as beds.toml needs them"
    )
    show.add_argument("--lines", action="store_true", help="print what a fast run gives to the monitor")
    show.set_defaults(run=_show)

    run = commands.add_parser(
        "run",
        help="play a drill, live or at full speed, and score it",
        description="Play a drill. --fast plays it through `afterwatch replay` in seconds, with a robot "
        "for staff. Without it the drill runs live, in real time: start the drill session "
        "on the wall when asked. While it runs, type injects: apnoea 60, probe_off 30, stop.",
        **form,
    )
    run.add_argument("names", nargs="*", metavar="NAME", help="names of drills, or .toml files")
    run.add_argument("--all", action="store_true", help="every drill, with --fast")
    run.add_argument("--fast", action="store_true", help="at full speed, without a broker")
    run.add_argument("--json", action="store_true", help="print the scores as JSON")
    run.add_argument(
        "--outcomes", type=Path, metavar="FILE", help="also write what the monitor said, as JSON lines"
    )
    run.add_argument("--runs", type=Path, default=RUNS, metavar="DIR", help="folder of scores (%(default)s)")
    run.add_argument("--no-keep", action="store_true", help="keep no score")
    run.add_argument(
        "--wait", type=float, default=300.0, metavar="SECONDS", help="for the drill session (%(default)s)"
    )
    run.add_argument("--backlog", action="store_true", help="live: first send what was measured before")
    run.add_argument(
        "--bed", action="append", help="live: the bed to play on (once for each bed of the drill)"
    )
    run.add_argument(
        "--from",
        dest="from_min",
        type=float,
        metavar="MIN",
        help="only a piece of the drill, from this minute",
    )
    run.add_argument("--to", dest="to_min", type=float, metavar="MIN", help="... to this one")
    run.add_argument("--no-keyboard", action="store_true", help="live: read no injects")
    add_broker(run)
    run.set_defaults(run=lambda chosen: _run(chosen, broker))

    scored = commands.add_parser("score", help="show the last score of a drill, compare, export", **form)
    scored.add_argument("name", nargs="?", default="", help="name of a drill (the last run of any)")
    scored.add_argument(
        "--runs", type=Path, default=RUNS, metavar="DIR", help="folder of scores (%(default)s)"
    )
    scored.add_argument("--page", type=Path, metavar="FILE", help="write the report as an HTML page")
    scored.add_argument("--csv", type=Path, metavar="FILE", help="write all kept runs as CSV")
    scored.set_defaults(run=_score)

    new = commands.add_parser("new", help="write a new drill file to begin with", **form)
    new.add_argument("file", type=Path, help="the .toml file to write; it must not exist")
    new.set_defaults(run=_new)


def _list(chosen: argparse.Namespace) -> int:
    drills = [(path.stem, load(path)) for path in sorted(folder().glob("*.toml"))]
    if chosen.json:
        rows = [{"name": name, "title": drill.title, "teaches": drill.teaches} for name, drill in drills]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return DONE
    for name, drill in drills:
        minutes = drill.ends_at_min - drill.starts_at_min
        print(f"{name:34} {minutes:4.0f} min, beds: {len(drill.beds)}  {drill.title}")
    print(f"{len(drills)} drills in {folder()}; `drill show NAME` tells more")
    return DONE


def _show(chosen: argparse.Namespace) -> int:
    drill = load(find(chosen.name))
    if chosen.plan:
        stage = set_stage(drill, SECOND_0, "clinic", live_min=drill.starts_at_min)
        print(json.dumps(stage.plan, indent=2, ensure_ascii=False))
    elif chosen.devices:
        print(beds_toml(set_stage(drill, SECOND_0, "clinic").plan))
    elif chosen.lines:
        for line in lines(set_stage(drill, SECOND_0, "clinic")):
            print(line)
    else:
        print(_told(drill))
    return DONE


def _told(drill: Drill) -> str:
    """Return a drill in words."""
    rows = [drill.title, f"Teaches: {drill.teaches}"]
    rows += [f"Source: {drill.source}"] if drill.source else []
    rows += [drill.story.strip()] if drill.story else []
    rows.append(f"From {drill.starts_at_min:g} to {drill.ends_at_min:g} min since the first dose.")
    for lying in drill.beds:
        rows.append(
            f"{lying.bed}: {lying.protocol}, {lying.age_years:g} years. {lying.patient}"
            f" Devices: {', '.join(lying.devices)}."
        )
        rows += [f"  at {h.at_min:g} min: {h.kind} for {h.lasts_s:g} s" for h in lying.happens]
        rows += [f"  at {f.at_min:g} min: {f.device} {f.kind}" for f in lying.faults]
    rows += ["The monitor should:"] if drill.expect else []
    for e in drill.expect:
        within = f", within {e.within_s:g} s of {e.truth}" if e.truth and e.within_s else ""
        rows.append(
            f"  {e.bed}: {e.outcome} {e.rule} between {e.from_min:g} and {e.to_min:g} min{within}. {e.why}"
        )
    rows += [f"  never: {f.outcome} {f.rule}. {f.why}" for f in drill.forbid]
    rows += ["Staff should:"] if drill.staff else []
    rows += [f"  {t.role}: {t.say or t.does} {t.after} (within {t.within_s:g} s)" for t in drill.staff]
    return "\n".join(rows)


def _run(chosen: argparse.Namespace, broker: Callable[[argparse.Namespace], Broker]) -> int:
    names = [path.stem for path in sorted(folder().glob("*.toml"))] if chosen.all else chosen.names
    if not names or (len(names) > 1 and not chosen.fast):
        print(
            "drill run: name one drill (or several, or --all, with --fast); see `drill list`", file=sys.stderr
        )
        return WRONG_USE
    cards = []
    for name in names:
        path = find(name)
        drill = on_beds(load(path), chosen.bed) if chosen.bed else load(path)
        if chosen.from_min is not None or chosen.to_min is not None:
            drill = piece(drill, chosen.from_min, chosen.to_min)
        if chosen.fast:
            card, outcomes = run_fast(path.stem, drill)
        else:
            card, outcomes = _live(path.stem, drill, chosen, broker(chosen))
        cards.append(card)
        _keep_and_tell(card, outcomes, chosen)
    if chosen.json:
        print(json.dumps([card.record() for card in cards], indent=2, ensure_ascii=False))
    elif len(cards) > 1:
        print(f"{sum(card.passed for card in cards)} of {len(cards)} drills as they should be")
    return DONE if all(card.passed for card in cards) else NOT_AS_IT_SHOULD


def _live(
    name: str, drill: Drill, chosen: argparse.Namespace, broker: Broker
) -> tuple[Scorecard, list[Heard]]:
    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    live = open_live(name, drill, broker, chosen.site, say)
    try:
        live.wait_for_sessions(chosen.wait)
        say(f"DRILL begins: {drill.title}. Type injects, or stop.")
        keyboard = None if chosen.no_keyboard else sys.stdin
        return live.run(keyboard=keyboard, backlog=chosen.backlog), live.outcomes
    finally:
        live.publisher.close()


def _keep_and_tell(card: Scorecard, outcomes: Sequence[Heard], chosen: argparse.Namespace) -> None:
    before = list(runs(chosen.runs, card.drill)) if chosen.runs.is_dir() else []
    if not chosen.no_keep:
        path = keep(card, chosen.runs)
        print(f"kept: {path}", file=sys.stderr)
    if chosen.outcomes:
        rows = [json.dumps({name: getattr(one, name) for name in Heard.__slots__}) for one in outcomes]
        chosen.outcomes.write_text("\n".join(rows) + "\n", encoding="utf-8")
    if not chosen.json:
        print(as_text(card, compare(card, before[-1]) if before else ()), end="\n\n")


def card_of(record: dict[str, Any]) -> Scorecard:
    """Read a kept score."""
    fields = {name: value for name, value in record.items() if name != "passed"}
    for part in ("raised", "forbidden", "unexpected", "staff", "met"):
        fields[part] = [Check(**row) for row in fields.get(part, ())]
    return Scorecard(**fields)


def _score(chosen: argparse.Namespace) -> int:
    records = list(runs(chosen.runs, chosen.name)) if chosen.runs.is_dir() else []
    if not records:
        raise BadDrill(
            f"{chosen.runs}: no run of {chosen.name or 'any drill'} is kept there; `drill run` makes one"
        )
    card = card_of(records[-1])
    earlier = [record for record in records[:-1] if record["drill"] == card.drill]
    changes = compare(card, earlier[-1]) if earlier else []
    print(as_text(card, changes))
    if chosen.page:
        chosen.page.write_text(as_page(card, changes), encoding="utf-8")
        print(f"page: {chosen.page} (print it to PDF in a browser)", file=sys.stderr)
    if chosen.csv:
        chosen.csv.write_text(as_csv([card_of(record) for record in records]), encoding="utf-8")
        print(f"table: {chosen.csv}", file=sys.stderr)
    return DONE if card.passed else NOT_AS_IT_SHOULD


def _new(chosen: argparse.Namespace) -> int:
    if chosen.file.exists():
        print(f"drill new: {chosen.file} is there already; give another name", file=sys.stderr)
        return WRONG_USE
    if chosen.file.suffix != ".toml":
        print(f"drill new: {chosen.file}: a drill file ends in .toml", file=sys.stderr)
        return WRONG_USE
    chosen.file.write_text(EXAMPLE, encoding="utf-8")
    load(chosen.file)
    print(f"{chosen.file}: written; change it, then `drill run {chosen.file} --fast`")
    return DONE


EXAMPLE = """\
# A drill. All *_min are minutes since the first dose; the session begins at -10 with the baseline.
title = "Saturation falls for a minute"
teaches = "Go to the bed, look at the patient, acknowledge."
source = ""                     # where the idea comes from
story = "The patient stops breathing for a while at 25 min and recovers."
starts_at_min = 20              # the exercise begins here ...
ends_at_min = 32                # ... and ends here
may = ["spo2-low"]              # alarms that may come besides those expected

[[beds]]
bed = "bed-1"
protocol = "iv-ketamine"        # or in-esketamine, im-ketamine
patient = "42 years, healthy"
age_years = 42
devices = ["oximeter", "cuff"]  # also breath, ecg

[beds.cuff]
every_min = 5

[beds.course]                   # prescribed numbers: [minute, value], joined by straight lines
systolic = [[-10, 122], [38, 136], [60, 122]]
diastolic = [[-10, 76], [38, 86], [60, 76]]

[[beds.happens]]                # causes; the numbers follow
kind = "apnoea"
at_min = 25
lasts_s = 100

# [[beds.faults]]               # what goes wrong with a device
# device = "oximeter"
# kind = "probe_off"
# at_min = 29
# lasts_s = 60

[[expect]]                      # what the monitor must say
rule = "spo2-low-urgent"
priority = "high"
from_min = 25
to_min = 28
truth = "spo2 below 90"         # the delay is counted from here
within_s = 60

[[staff]]                       # what people should do
does = "acknowledge"
after = "spo2-low-urgent"       # the alarm that starts their clock
at_min = 27                     # when the robot does it in a fast run
within_s = 120
say = "acknowledge at the bed"
"""
