"""Every way we know to write a configuration wrongly, with what its author is told.

The law: one change to a sound configuration, and the mistake is named by file, key, text and remedy; nothing
else is complained of, and nothing starts. The table is the specification: a message changes here or nowhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from monitor import config
from monitor.__main__ import BAD_FILE, main
from monitor.config import ConfigurationError, Mistake

REPOSITORY = Path(__file__).resolve().parent.parent

CLINIC = """\
[site]
id = "clinic"
name = "Clinic"
zone = "Europe/Berlin"

[broker]
host = "127.0.0.1"
port = 1883

[web]
port = 8080

[[notify.targets]]
id = "desk"
url = "json://127.0.0.1:9/"
fallback = "pager"

[[notify.targets]]
id = "pager"
url = "json://127.0.0.1:9/pager"

[[notify.routes]]
targets = ["desk"]
priorities = ["high", "medium"]
beds = ["bed-1"]

[[notify.people]]
id = "anna"
roles = ["nurse"]
targets = ["pager"]

[[notify.ladders]]
priorities = ["high"]
levels = [{ to = ["role:nurse"], wait_s = 60 }]

[notify.repeat_s]
high = 120
"""

BEDS = """\
[[beds]]
id = "bed-1"
label = "Room 1"

[[beds]]
id = "bed-2"

[[devices]]
id = "oximeter-1"
bed = "bed-1"
format = "native"
metrics = ["spo2", "pulse_rate"]
expected_interval_s = 1

[[devices]]
id = "cuff-1"
bed = "bed-1"
metrics = ["nibp_systolic"]
expected_interval_s = 300
"""

SPELL = "remove it, or correct its spelling"
QUOTES = "put it in quotes"
NUMBER = "write a number without quotes"
NAME_RULE = "use letters, digits, '-', '_' and '.', beginning with a letter or digit"
ZONE = "use an IANA name such as 'Europe/Berlin'"
TWICE = "the same id twice"


class Case(NamedTuple):
    """One change to a file, and all that must be said of it; ``remedy`` ending in ``…`` is a beginning."""

    name: str
    file: str
    old: str
    new: str
    key: str
    text: str
    remedy: str


def clinic(name: str, old: str, new: str, key: str, text: str, remedy: str) -> Case:
    """Return a case of ``clinic.toml``."""
    return Case(name, "clinic.toml", old, new, key, text, remedy)


def beds(name: str, old: str, new: str, key: str, text: str, remedy: str) -> Case:
    """Return a case of ``beds.toml``."""
    return Case(name, "beds.toml", old, new, key, text, remedy)


def protocol(name: str, old: str, new: str, key: str, text: str, remedy: str) -> Case:
    """Return a case of ``protocols/iv-ketamine.toml``."""
    return Case(name, "protocols/iv-ketamine.toml", old, new, key, text, remedy)


CASES = [
    # --- clinic.toml: shape -------------------------------------------------------------------------------
    clinic(
        "records over plain http",
        "[web]",
        '[fhir]\nurl = "http://ehr.example/fhir"\n[web]',
        "fhir.url",
        "not an https address without user and password",
        "give the server's base, such as 'https://ehr.example/fhir'",
    ),
    clinic(
        "a token that is not there",
        "[web]",
        '[fhir]\nurl = "https://ehr.example/fhir"\ntoken_env = "NOBODY_SET_THIS"\n[web]',
        "fhir.token",
        "NOBODY_SET_THIS is not there or empty",
        "set it, or remove the key",
    ),
    clinic("unknown table", "[web]", "[webb]", "webb", "nobody knows this key", SPELL),
    clinic("unknown key", 'zone = "E', 'zones = "E', "site.zones", "nobody knows this key", SPELL),
    clinic(
        "key of another program",
        "port = 1883",
        "port = 1883\nqos = 1",
        "broker.qos",
        "nobody knows this key",
        SPELL,
    ),
    clinic(
        "password in the file",
        "port = 1883",
        'port = 1883\npassword = "x"',
        "broker.password",
        "nobody knows this key",
        SPELL,
    ),
    clinic(
        "port in quotes",
        "port = 1883",
        'port = "1883"',
        "broker.port",
        "Input should be a valid integer (it is '1883')",
        "write a whole number without quotes",
    ),
    clinic(
        "port of nothing",
        "port = 1883",
        "port = 0",
        "broker.port",
        "Input should be greater than or equal to 1 (it is '0')",
        "correct it",
    ),
    clinic(
        "port too large",
        "port = 8080",
        "port = 80800",
        "web.port",
        "Input should be less than or equal to 65535 (it is '80800')",
        "correct it",
    ),
    clinic(
        "port with a fraction",
        "port = 8080",
        "port = 80.5",
        "web.port",
        "Input should be a valid integer (it is '80.5')",
        "write a whole number without quotes",
    ),
    clinic(
        "host without quotes is a number",
        '"127.0.0.1"',
        "127",
        "broker.host",
        "Input should be a valid string (it is '127')",
        QUOTES,
    ),
    clinic(
        "site id with a space",
        'id = "clinic"',
        'id = "our clinic"',
        "site.id",
        "String should match pattern '^[a-z0-9][a-z0-9_.-]{0,62}$' (it is 'our clinic')",
        NAME_RULE,
    ),
    clinic(
        "site id with a slash",
        'id = "clinic"',
        'id = "a/b"',
        "site.id",
        "String should match pattern '^[a-z0-9][a-z0-9_.-]{0,62}$' (it is 'a/b')",
        NAME_RULE,
    ),
    clinic(
        "site id empty",
        'id = "clinic"',
        'id = ""',
        "site.id",
        "String should match pattern '^[a-z0-9][a-z0-9_.-]{0,62}$' (it is '')",
        NAME_RULE,
    ),
    clinic(
        "site id of a wildcard",
        'id = "clinic"',
        'id = "+"',
        "site.id",
        "String should match pattern '^[a-z0-9][a-z0-9_.-]{0,62}$' (it is '+')",
        NAME_RULE,
    ),
    clinic(
        "a table as a value",
        '[site]\nid = "clinic"\nname = "Clinic"\nzone = "Europe/Berlin"',
        'site = "clinic"',
        "site",
        "Input should be an object (it is 'clinic')",
        "correct it",
    ),
    clinic(
        "not TOML",
        "[site]",
        "[site",
        "-",
        "not TOML: Expected ']' at the end of a table declaration (at line 1, column 6)",
        "correct the line it names",
    ),
    clinic(
        "the same key twice",
        "port = 1883",
        "port = 1883\nport = 1884",
        "-",
        "not TOML: Cannot overwrite a value (at line 9, column 12)",
        "correct the line it names",
    ),
    clinic(
        "deadline of nothing",
        'id = "pager"',
        'id = "pager"\ndeadline_s = 0',
        "notify.targets[2] (pager).deadline_s",
        "Input should be greater than 0 (it is '0')",
        "correct it",
    ),
    clinic(
        "deadline of an hour",
        'id = "pager"',
        'id = "pager"\ndeadline_s = 3600',
        "notify.targets[2] (pager).deadline_s",
        "Input should be less than or equal to 60 (it is '3600')",
        "correct it",
    ),
    clinic(
        "a route to nowhere",
        'targets = ["desk"]',
        "targets = []",
        "notify.routes[1].targets",
        "List should have at least 1 item after validation, not 0 (it is '[]')",
        "give at least 1",
    ),
    clinic(
        "a priority nobody knows",
        '["high", "medium"]',
        '["high", "urgent"]',
        "notify.routes[1].priorities[2]",
        "Input should be 'high', 'medium' or 'low' (it is 'urgent')",
        "use 'high', 'medium' or 'low'",
    ),
    clinic(
        "priorities as one word",
        '["high", "medium"]',
        '"high"',
        "notify.routes[1].priorities",
        "Input should be a valid array (it is 'high')",
        "correct it",
    ),
    clinic(
        "a kind nobody knows",
        'beds = ["bed-1"]',
        'kinds = ["clinical"]',
        "notify.routes[1].kinds[1]",
        "Input should be 'physiological' or 'technical' (it is 'clinical')",
        "use 'physiological' or 'technical'",
    ),
    clinic(
        "follow-up in quotes",
        'beds = ["bed-1"]',
        'follow_up = "yes"',
        "notify.routes[1].follow_up",
        "Input should be a valid boolean (it is 'yes')",
        "write true or false",
    ),
    clinic(
        "a person nobody can reach",
        'targets = ["pager"]',
        "targets = []",
        "notify.people[1] (anna).targets",
        "List should have at least 1 item after validation, not 0 (it is '[]')",
        "give at least 1",
    ),
    clinic(
        "a level for nobody",
        'to = ["role:nurse"]',
        "to = []",
        "notify.ladders[1].levels[1].to",
        "List should have at least 1 item after validation, not 0 (it is '[]')",
        "give at least 1",
    ),
    clinic(
        "a wait of a second",
        "wait_s = 60",
        "wait_s = 1",
        "notify.ladders[1].levels[1].wait_s",
        "Input should be greater than or equal to 10 (it is '1')",
        "correct it",
    ),
    clinic(
        "a wait of a day",
        "wait_s = 60",
        "wait_s = 86400",
        "notify.ladders[1].levels[1].wait_s",
        "Input should be less than or equal to 1800 (it is '86400')",
        "correct it",
    ),
    clinic(
        "a ladder without levels",
        'levels = [{ to = ["role:nurse"], wait_s = 60 }]',
        "levels = []",
        "notify.ladders[1].levels",
        "List should have at least 1 item after validation, not 0 (it is '[]')",
        "give at least 1",
    ),
    clinic(
        "a high alarm that is never told again",
        "high = 120",
        "high = 0",
        "notify.repeat_s.high",
        "Input should be greater than or equal to 30 (it is '0')",
        "correct it",
    ),
    clinic(
        "messages that never grow old",
        "[notify.repeat_s]",
        "[notify]\nlifetime_s = 86400\n[notify.repeat_s]",
        "notify.lifetime_s",
        "Input should be less than or equal to 3600 (it is '86400')",
        "correct it",
    ),
    # --- clinic.toml: meaning -----------------------------------------------------------------------------
    clinic(
        "no such zone", "Europe/Berlin", "Europe/Berlyn", "site.zone", "no time zone 'Europe/Berlyn'", ZONE
    ),
    clinic(
        "a zone that is a path",
        "Europe/Berlin",
        "../etc/passwd",
        "site.zone",
        "no time zone '../etc/passwd'",
        ZONE,
    ),
    clinic(
        "user without a password",
        "port = 1883",
        'port = 1883\nusername = "afterwatch"',
        "broker.username",
        "a user without a password",
        "add password_env or password_file",
    ),
    clinic(
        "CA that is not there",
        "port = 1883",
        'port = 1883\ntls_ca = "/nowhere/ca.pem"',
        "broker.tls_ca",
        "no file '/nowhere/ca.pem'",
        "give the path of the broker's CA certificate (PEM)",
    ),
    clinic(
        "two targets of one name",
        "[[notify.routes]]",
        '[[notify.targets]]\nid = "desk"\nurl = "json://127.0.0.1:9/"\n[[notify.routes]]',
        "notify.targets (desk)",
        TWICE,
        "give each target its own",
    ),
    clinic(
        "target without an address",
        'url = "json://127.0.0.1:9/pager"',
        "",
        "notify.targets (pager)",
        "needs exactly one of url, url_env and url_file",
        "keep one; a URL with a secret belongs in a file",
    ),
    clinic(
        "target with two addresses",
        'url = "json://127.0.0.1:9/pager"',
        'url = "json://127.0.0.1:9/pager"\nurl_env = "X"',
        "notify.targets (pager)",
        "needs exactly one of url, url_env and url_file",
        "keep one; a URL with a secret belongs in a file",
    ),
    clinic(
        "address in an empty variable",
        'url = "json://127.0.0.1:9/pager"',
        'url_env = "AFTERWATCH_NOT_SET"',
        "notify.targets (pager)",
        "environment variable AFTERWATCH_NOT_SET is not there or empty",
        "set it, or remove the target",
    ),
    clinic(
        "address in a missing file",
        'url = "json://127.0.0.1:9/pager"',
        'url_file = "/nowhere/x.url"',
        "notify.targets (pager)",
        "file /nowhere/x.url is not there or empty",
        "set it, or remove the target",
    ),
    clinic(
        "secret in a URL",
        "json://127.0.0.1:9/pager",
        "mailto://me:secret@example.net",
        "notify.targets (pager).url",
        "a URL with a password stands in TOML",
        "move it to url_env or url_file",
    ),
    clinic(
        "fallback to nobody",
        'fallback = "pager"',
        'fallback = "pagers"',
        "notify.targets (desk).fallback",
        "no target 'pagers'",
        "use the id of a [[notify.targets]]",
    ),
    clinic(
        "fallback to itself",
        'fallback = "pager"',
        'fallback = "desk"',
        "notify.targets (desk).fallback",
        "the fallbacks go round in a circle",
        "let one target of the circle have no fallback",
    ),
    clinic(
        "route to an unknown target",
        'targets = ["desk"]',
        'targets = ["desc"]',
        "notify.routes[1].targets",
        "no target 'desc'",
        "use the id of a [[notify.targets]]",
    ),
    clinic(
        "route of an unknown bed",
        'beds = ["bed-1"]',
        'beds = ["bed-9"]',
        "notify.routes[1].beds",
        "no bed 'bed-9'",
        "use the id of a bed in beds.toml",
    ),
    clinic(
        "two people of one name",
        "[[notify.ladders]]",
        '[[notify.people]]\nid = "anna"\ntargets = ["desk"]\n[[notify.ladders]]',
        "notify.people (anna)",
        TWICE,
        "give each person their own",
    ),
    clinic(
        "person by an unknown target",
        'targets = ["pager"]',
        'targets = ["phone"]',
        "notify.people (anna).targets",
        "no target 'phone'",
        "use the id of a [[notify.targets]]",
    ),
    clinic(
        "ladder to an unknown person",
        '"role:nurse"',
        '"berta"',
        "notify.ladders[1].levels[1].to",
        "no person or role 'berta'",
        "use the id of a [[notify.people]], or role:their-role",
    ),
    clinic(
        "ladder to a role nobody has",
        '"role:nurse"',
        '"role:clinician"',
        "notify.ladders[1].levels[1].to",
        "no person or role 'role:clinician'",
        "use the id of a [[notify.people]], or role:their-role",
    ),
    clinic(
        "two ladders for one priority",
        "[notify.repeat_s]",
        '[[notify.ladders]]\npriorities = ["high"]\nlevels = [{ to = ["anna"] }]\n[notify.repeat_s]',
        "notify.ladders",
        "priority 'high' has two ladders",
        "keep each priority in one [[notify.ladders]]",
    ),
    # --- beds.toml: shape ---------------------------------------------------------------------------------
    beds("no beds", BEDS, "", "beds", "it is missing", "add it"),
    beds("bed without an id", 'id = "bed-1"\n', "", "beds[1].id", "it is missing", "add it"),
    beds(
        "bed id with capitals",
        'id = "bed-2"',
        'id = "Bed 2"',
        "beds[2] (Bed 2).id",
        "String should match pattern '^[a-z0-9][a-z0-9_.-]{0,62}$' (it is 'Bed 2')",
        NAME_RULE,
    ),
    beds(
        "label too long for a tile",
        "Room 1",
        "R" * 25,
        "beds[1] (bed-1).label",
        "String should have at most 24 characters (it is 'RRRRRRRRRRRRRRRRRRRRRRRRR')",
        "use at most 24 characters",
    ),
    beds(
        "unknown key of a bed",
        'label = "Room 1"',
        'labell = "Room 1"',
        "beds[1] (bed-1).labell",
        "nobody knows this key",
        SPELL,
    ),
    beds("device without an id", 'id = "oximeter-1"\n', "", "devices[1].id", "it is missing", "add it"),
    beds(
        "device id with a slash",
        'id = "oximeter-1"',
        'id = "ward/oximeter"',
        "devices[1] (ward/oximeter).id",
        "String should match pattern '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}$' (it is 'ward/oximeter')",
        NAME_RULE,
    ),
    beds(
        "unknown key of a device",
        "expected_interval_s = 300",
        "interval_s = 300",
        "devices[2] (cuff-1).interval_s",
        "nobody knows this key",
        SPELL,
    ),
    beds(
        "interval of nothing",
        "expected_interval_s = 1\n",
        "expected_interval_s = 0\n",
        "devices[1] (oximeter-1).expected_interval_s",
        "Input should be greater than 0 (it is '0')",
        "correct it",
    ),
    beds(
        "interval in quotes",
        "expected_interval_s = 300",
        'expected_interval_s = "5 min"',
        "devices[2] (cuff-1).expected_interval_s",
        "Input should be a valid number (it is '5 min')",
        NUMBER,
    ),
    beds(
        "metrics as one word",
        'metrics = ["nibp_systolic"]',
        'metrics = "nibp_systolic"',
        "devices[2] (cuff-1).metrics",
        "Input should be a valid array (it is 'nibp_systolic')",
        "correct it",
    ),
    beds(
        "topic longer than a broker takes",
        'format = "native"',
        f'topic = "{"t" * 201}"',
        "devices[1] (oximeter-1).topic",
        "String should have at most 200 characters …",
        "use at most 200 characters",
    ),
    # --- beds.toml: meaning -------------------------------------------------------------------------------
    beds(
        "two beds of one id", 'id = "bed-2"', 'id = "bed-1"', "beds (bed-1)", TWICE, "give each bed its own"
    ),
    beds(
        "a bed called station",
        'id = "bed-2"',
        'id = "station"',
        "beds (station)",
        "'station' is the monitor's own place",
        "rename the bed",
    ),
    beds(
        "two devices of one id",
        'id = "cuff-1"',
        'id = "oximeter-1"',
        "devices (oximeter-1)",
        TWICE,
        "give each device its own; a device serves one bed (AL-53)",
    ),
    beds(
        "device of an unknown bed",
        'bed = "bed-1"\nformat',
        'bed = "bed-7"\nformat',
        "devices (oximeter-1).bed",
        "no bed 'bed-7'",
        "use one of bed-1, bed-2",
    ),
    beds(
        "format nobody speaks",
        'format = "native"',
        'format = "nativ"',
        "devices (oximeter-1).format",
        "no format 'nativ'",
        "use one of native, hl7v2, …",
    ),
    beds(
        "metric nobody knows",
        '"spo2", "pulse_rate"',
        '"spo2", "puls"',
        "devices (oximeter-1).metrics",
        "unknown metric 'puls'",
        "use one of heart_rate, pulse_rate, …",
    ),
    beds(
        "device zone nobody knows",
        'format = "native"',
        'zone = "CET+1"',
        "devices (oximeter-1).zone",
        "no time zone 'CET+1'",
        ZONE,
    ),
    beds(
        "wildcard inside a level",
        'format = "native"',
        'topic = "ward/ox+/report"',
        "devices (oximeter-1).topic",
        "'ward/ox+/report' is no topic filter",
        "'+' and '#' stand alone between slashes, '#' last",
    ),
    beds(
        "hash not at the end",
        'format = "native"',
        'topic = "ward/#/report"',
        "devices (oximeter-1).topic",
        "'ward/#/report' is no topic filter",
        "'+' and '#' stand alone between slashes, '#' last",
    ),
    beds(
        "simulated device on everybody's topics",
        'id = "oximeter-1"',
        'id = "sim-1"\ntopic = "+/+/clinic/devices/+/report"',
        "devices (sim-1).topic",
        "'+/+/clinic/devices/+/report' takes in the native topics: no simulated device",
        "give simulated devices topics of their own (`drill ward --devices` prints some)",
    ),
    beds(
        "simulated device on a real one's topic",
        'id = "oximeter-1"',
        'id = "ward-1"\ntopic = "hl7/ward"\n[[devices]]\nid = "sim-1"\ntopic = "hl7/+"',
        "devices (sim-1).topic",
        "'hl7/+' takes in ward-1: no simulated device",
        "give simulated devices topics of their own (`drill ward --devices` prints some)",
    ),
    beds(
        "too slow to watch saturation",
        '"spo2", "pulse_rate"]\nexpected_interval_s = 1\n',
        '"spo2"]\nexpected_interval_s = 20\n',
        "devices (oximeter-1).expected_interval_s",
        "20 s is too slow to watch spo2 (silence is noticed at 2.5 periods)",
        "use a device that reports at least every 12 s",
    ),
    # --- protocols/*.toml: shape --------------------------------------------------------------------------
    protocol("no route", 'route = "iv"\n', "", "route", "it is missing", "add it"),
    protocol(
        "route nobody knows",
        'route = "iv"',
        'route = "oral"',
        "route",
        "Input should be 'iv', 'in' or 'im' (it is 'oral')",
        "use 'iv', 'in' or 'im'",
    ),
    protocol(
        "limit without a source",
        'source = "CLINICAL 1.3: red < 90 %; filter by ALARMS 3.4"\n',
        "",
        "limits[1] (spo2-low-urgent).source",
        "it is missing",
        "add it",
    ),
    protocol(
        "limit in quotes",
        "limit = 93",
        'limit = "93"',
        "limits[2] (spo2-low).limit",
        "Input should be a valid number (it is '93')",
        NUMBER,
    ),
    protocol(
        "harm nobody knows",
        'harm = "minor"',
        'harm = "small"',
        "limits[21] (systolic-20-percent).harm",
        "Input should be 'death_or_irreversible', 'reversible_injury' or 'minor' (it is 'small')",
        "use 'death_or_irreversible', 'reversible_injury' or 'minor'",
    ),
    protocol(
        "unknown key of a limit",
        "limit = 93",
        "limit = 93\nthreshold = 93",
        "limits[2] (spo2-low).threshold",
        "nobody knows this key",
        SPELL,
    ),
    protocol(
        "a phase nobody knows",
        "limit = 93",
        'limit = 93\nphases = ["recovery"]',
        "limits[2] (spo2-low).phases[1]",
        "Input should be 'baseline', 'dosing', 'observation', 'ready' or 'ended' (it is 'recovery')",
        "use 'baseline', 'dosing', 'observation', 'ready' or 'ended'",
    ),
    protocol(
        "latching in quotes",
        "latching = true\npausable",
        'latching = "true"\npausable',
        "limits[1] (spo2-low-urgent).latching",
        "Input should be a valid boolean (it is 'true')",
        "write true or false",
    ),
    # --- protocols/*.toml: meaning ------------------------------------------------------------------------
    protocol(
        "gate that hides real dips (AF-07)",
        'gate_s = 8\ndeadband = 2\nrearm_s = 10\nsettle_s = 60\nsource = "ALARMS 3.4 rank 1"',
        'gate_s = 15\ndeadband = 2\nrearm_s = 10\nsettle_s = 60\nsource = "ALARMS 3.4 rank 1"',
        "filters.time-and-depth.gate_s",
        "a quality gate of 15 s hides real events",
        "use at most 8 s (AF-07); 15 s lost 30 of 843 short deep dips on the bench",
    ),
    protocol(
        "ceiling of a minute (AF-07)",
        "[filters.sustained-30]       # for the milder limit: half a minute without a break\nceiling_s = 30",
        "[filters.sustained-30]\nceiling_s = 60",
        "filters.sustained-30.ceiling_s",
        "a ceiling of 60 s is no ceiling",
        "use 0 to 30 s (AF-07)",
    ),
    protocol(
        "integral without a time",
        "min_time_s = 10\n",
        "",
        "filters.time-and-depth.integral",
        "an integral alone fires on a spike of two seconds",
        "set integral and min_time_s above 0 (ALARMS §3.5)",
    ),
    protocol(
        "net without crossings (AF-08)",
        "net_crossings = 3",
        "net_crossings = 0",
        "limits.spo2-low-urgent.filter",
        "filter 'time-and-depth' uses an integral without the net",
        "set net_crossings = 3 (AF-08)",
    ),
    protocol(
        "too long at the floor (AL-14)",
        "integral = 50                # unit x seconds below the limit\nfloor = 85\nfloor_s = 6",
        "integral = 50\nfloor = 85\nfloor_s = 20",
        "filters.time-and-depth.floor_s",
        "20 s at the floor is too long",
        "use 0 to 6 s (AL-14)",
    ),
    protocol(
        "no floor for urgent saturation (AL-14)",
        "integral = 50                # unit x seconds below the limit\nfloor = 85\nfloor_s = 6",
        "integral = 50",
        "limits.spo2-low-urgent.filter",
        "filter 'time-and-depth' has no floor for the urgent SpO2 limit",
        "set floor (for example 85) and floor_s (AL-14, AF-07)",
    ),
    protocol(
        "saturation limit too low (AL-11)",
        "limit = 90                   # 89",
        "limit = 82                   # 89",
        "limits.spo2-low-urgent.limit",
        "an SpO2 low limit of 82 % leaves 82 to 85 % unseen",
        "use 85 % or more (AL-11)",
    ),
    protocol(
        "limit no body could reach (AL-09)",
        "limit = 180\n",
        "limit = 400\n",
        "limits.systolic-high-urgent.limit",
        "400 mm[Hg] is outside 60 to 240",
        "use a limit inside that range (AL-09)",
    ),
    protocol(
        "low above high (AL-09)",
        'id = "heart-rate-low"\nmetric = "heart_rate"\nside = "low"\nlimit = 50',
        'id = "heart-rate-low"\nmetric = "heart_rate"\nside = "low"\nlimit = 115',
        "limits.heart-rate-low.limit",
        "the low limit 115 is not below the high limit 110 of heart-rate-high",
        "exchange or correct them (AL-09)",
    ),
    protocol(
        "unknown metric of a limit",
        'id = "respiration-high"\nmetric = "respiration_rate"',
        'id = "respiration-high"\nmetric = "breaths"',
        "limits.respiration-high.metric",
        "unknown metric 'breaths'",
        "use one of heart_rate, pulse_rate, …",
    ),
    protocol(
        "filter of no name",
        'filter = "sustained-30"',
        'filter = "sustained-45"',
        "limits.spo2-low.filter",
        "no filter 'sustained-45'",
        "name one of [filters]: time-and-depth, plain-15, sustained-30, rate-10, plain-rate-15",
    ),
    protocol(
        "filter on a cuff",
        'id = "systolic-low"\n',
        'id = "systolic-low"\nfilter = "rate-10"\n',
        "limits.systolic-low.filter",
        "a cuff reading has no duration",
        "use confirm and repeat_within_s instead",
    ),
    protocol(
        "repeat of what is not a cuff",
        "limit = 93\n",
        "limit = 93\nconfirm = true\n",
        "limits.spo2-low.confirm",
        "only a cuff reading can be repeated",
        "remove confirm and repeat_within_s",
    ),
    protocol(
        "two limits of one id",
        'id = "spo2-low"\n',
        'id = "spo2-low-urgent"\n',
        "limits.spo2-low-urgent",
        "the same name twice",
        "give each its own",
    ),
    protocol(
        "urgent saturation switched off (AF-07)",
        "limit = 90                   # 89",
        "on = false\nlimit = 90                   # 89",
        "limits.spo2-low-urgent.on",
        "the urgent SpO2 limit cannot be off by default",
        "leave it on (AF-07)",
    ),
    protocol(
        "a rise downwards",
        "rise = 40",
        "rise = -40",
        "limits.systolic-rise.rise",
        "-40 is not above 0",
        "give how far from the baseline, as a positive number",
    ),
    protocol(
        "neither limit nor rise",
        "rise = 25\n",
        "",
        "limits.diastolic-rise.limit",
        "neither limit nor rise",
        "give limit, rise or rise_fraction",
    ),
    protocol(
        "stale too late (AL-29)",
        'metric = "spo2"\nstale_after_s = 10\nmedium_after_s = 30',
        'metric = "spo2"\nstale_after_s = 31\nmedium_after_s = 40',
        "watch.spo2.stale_after_s",
        "31 s",
        "use up to 30 s (AL-29)",
    ),
    protocol(
        "ages that do not grow",
        'metric = "spo2"\nstale_after_s = 10\nmedium_after_s = 30',
        'metric = "spo2"\nstale_after_s = 10\nmedium_after_s = 5',
        "watch.spo2.medium_after_s",
        "the ages do not grow",
        "stale <= medium <= high",
    ),
    protocol(
        "saturation not watched",
        '[[watch]]\nmetric = "spo2"',
        '[[watch]]\nmetric = "etco2"',
        "watch",
        "SpO2 is not watched",
        "add [[watch]] metric = 'spo2' (REMS: oximetry each session)",
    ),
    protocol(
        "window that is empty",
        "at_min = 60\nearly_min = 10\nlate_min = 10",
        "at_min = 60\nearly_min = 10\nlate_min = 0",
        "checkpoints.bp-60.late_min",
        "the window is empty",
        "use early_min >= 0 and late_min > 0 (minutes)",
    ),
    protocol(
        "criterion without minutes",
        'anchor = "dosing_end"\nminutes = 60\n',
        'anchor = "dosing_end"\n',
        "discharge.observed.minutes",
        "no duration",
        "give minutes above 0",
    ),
    protocol(
        "score without a scale",
        'scale = "moaas"\n',
        "",
        "discharge.alert.scale",
        "no scale",
        "name the scale, such as moaas or dissociation",
    ),
    protocol(
        "score without a bound",
        "at_most = 0\n",
        "",
        "discharge.dissociation-resolved.at_least",
        "no bound",
        "give at_least or at_most",
    ),
    protocol(
        "audio pause of an hour (AL-20)",
        "audio_pause_max_s = 600",
        "audio_pause_max_s = 3600",
        "timing.audio_pause_s",
        "audio pause out of range",
        "at most 600 s, default 120 s (AL-20)",
    ),
    protocol(
        "reminder of an hour (AL-24)",
        "reminder_s = 300",
        "reminder_s = 3600",
        "timing.reminder_s",
        "reminder out of range",
        "use up to 300 s (AL-24)",
    ),
    protocol(
        "acknowledgement of nothing (AL-19)",
        "acknowledge_low_s = 3600",
        "acknowledge_low_s = 0",
        "timing.acknowledge_low_s",
        "an acknowledgement must last",
        "use seconds above 0 (AL-19)",
    ),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a sound configuration to spoil."""
    (tmp_path / "protocols").mkdir()
    shutil.copy(REPOSITORY / "config" / "protocols" / "iv-ketamine.toml", tmp_path / "protocols")
    (tmp_path / "clinic.toml").write_text(CLINIC)
    (tmp_path / "beds.toml").write_text(BEDS)
    return tmp_path


def spoil(folder: Path, case: Case) -> None:
    """Make the change; the table names text that stands in the file exactly once."""
    file = folder / case.file
    text = file.read_text(encoding="utf-8")
    assert text.count(case.old) == 1, f"{case.name}: {case.old!r} stands {text.count(case.old)} times"
    file.write_text(text.replace(case.old, case.new), encoding="utf-8")


def told(folder: Path) -> list[Mistake]:
    """Return what the loader says of a configuration."""
    with pytest.raises(ConfigurationError) as refused:
        config.load(folder)
    return refused.value.mistakes


def agrees(said: str, expected: str) -> bool:
    """Say whether a text is the expected one, or begins as it does when that ends in ``…``."""
    return said.startswith(expected[:-1]) if expected.endswith("…") else said == expected


def test_the_configuration_that_is_spoiled_is_sound(folder: Path) -> None:
    """Issue 2: what the table says of a change is due to the change alone."""
    configuration = config.load(folder)
    assert [bed.id for bed in configuration.ward.beds] == ["bed-1", "bed-2"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_named_by_file_key_text_and_remedy(folder: Path, case: Case) -> None:
    """Issue 2, done when 6: each broken configuration has its expected message, and only that one."""
    spoil(folder, case)
    (mistake,) = told(folder)
    assert (mistake.file, mistake.key) == (Path(case.file).name, case.key)
    assert agrees(mistake.text, case.text), mistake.text
    assert agrees(mistake.remedy, case.remedy), mistake.remedy


# --- files as a whole ---------------------------------------------------------------------------------------

Spoil = Callable[[Path], object]
MISSING = "make it (see the one in …"
WHOLE: list[tuple[str, Spoil, str, str, str]] = [
    ("no clinic.toml", lambda f: (f / "clinic.toml").unlink(), "clinic.toml", "the file is missing", MISSING),
    ("no beds.toml", lambda f: (f / "beds.toml").unlink(), "beds.toml", "the file is missing", MISSING),
    (
        "no protocol",
        lambda f: shutil.rmtree(f / "protocols"),
        "protocols/",
        "no protocol",
        "put at least one .toml there …",
    ),
    (
        "a file in Latin-1",
        lambda f: (f / "clinic.toml").write_bytes("[site]\nname = 'Übung'\n".encode("latin-1")),
        "clinic.toml",
        "not UTF-8 text: invalid continuation byte",
        "save it as UTF-8",
    ),
    (
        "a folder where a file should be",
        lambda f: ((f / "beds.toml").unlink(), (f / "beds.toml").mkdir()),
        "beds.toml",
        "cannot be read: Is a directory",
        "make it readable",
    ),
    (
        "two protocols of one name",
        lambda f: shutil.copy(f / "protocols" / "iv-ketamine.toml", f / "protocols" / "night.toml"),
        "night.toml",
        "'iv-ketamine' is taken by another file",
        "rename one",
    ),
    (
        "a protocol cut in half",
        lambda f: (f / "protocols" / "half.toml").write_text('name = "half'),
        "half.toml",
        "not TOML: …",
        "correct the line it names",
    ),
]


@pytest.mark.parametrize(("name", "act", "file", "text", "remedy"), WHOLE, ids=[row[0] for row in WHOLE])
def test_a_file_that_cannot_be_read_is_named(
    folder: Path, name: str, act: Spoil, file: str, text: str, remedy: str
) -> None:
    """Issue 2, done when 6: a missing, unreadable or doubled file is a mistake like any other."""
    act(folder)
    (mistake,) = told(folder)
    assert mistake.file == file, name
    assert agrees(mistake.text, text), mistake.text
    assert agrees(mistake.remedy, remedy), mistake.remedy


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """DESIGN §4: an error names the place and the remedy, before any file is read."""
    (mistake,) = told(tmp_path / "nowhere")
    assert str(mistake).endswith("there is no such folder -> give the folder that holds clinic.toml")


# --- many at once -------------------------------------------------------------------------------------------


def test_every_mistake_of_every_file_is_listed_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """DESIGN §4: one start tells all; an installer must not find the mistakes one by one. Exit code 3."""
    chosen = [
        case for case in CASES if case.name in ("no such zone", "format nobody speaks", "a rise downwards")
    ]
    assert len({case.file for case in chosen}) == 3
    for case in chosen:
        spoil(folder, case)
    assert {mistake.key for mistake in told(folder)} == {case.key for case in chosen}
    assert main(["check", "--config", str(folder)]) == BAD_FILE
    said = capsys.readouterr().err
    assert said.startswith("3 mistakes in the configuration:")
    assert all(
        f"{Path(case.file).name}: {case.key}: {case.text} -> {case.remedy}"[:60] in said for case in chosen
    )


def test_the_table_is_as_long_as_was_promised() -> None:
    """Issue 2, done when 6: at least 40 kinds of broken configuration, each kind once."""
    kinds = {(case.file, case.old, case.new) for case in CASES}
    assert len(kinds) == len(CASES) >= 40


def test_a_secret_never_stands_in_what_is_said(folder: Path) -> None:
    """ASVS V13.2: a mistake about a URL with a password does not repeat the password."""
    spoil(folder, next(case for case in CASES if case.name == "secret in a URL"))
    assert "secret" not in "".join(told(folder)[0])
