"""Role × route × session: every pair is judged on the server, and every forbidden one is refused.

The law: the table below names every route of the API and of the pages. A route that no row knows fails, so
that nothing new is open by oversight (ASVS V8.2.1, V8.2.2, V8.3.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.web.pages import static_path
from tests.web.conftest import Person
from tests.web.small_house import SmallHouse

NURSE, CLINICIAN, OPERATOR, ADMIN = "Nora", "Carla", "Otto", "Ada"
EVERYONE = {NURSE, CLINICIAN, OPERATOR, ADMIN}
CARERS = {NURSE, CLINICIAN}
READERS = {NURSE, CLINICIAN, ADMIN}
NOBODY = ""
WHO = (NOBODY, NURSE, CLINICIAN, OPERATOR, ADMIN)

# (pattern of "METHOD path", who may on a real session, who may on a drill's). First match counts.
REAL_ONLY_CARERS = (CARERS, CARERS | {OPERATOR, ADMIN})  # whoever runs drills also cares for theirs
TABLE: list[tuple[str, tuple[set[str], set[str]]]] = [
    (r"POST /sign-in$", (EVERYONE | {NOBODY}, EVERYONE | {NOBODY})),
    (r"GET /(healthz|metrics|sign-in|enter|openapi.json)", (EVERYONE | {NOBODY},) * 2),
    (r"POST /me/duty", (CARERS,) * 2),
    (r"(GET|POST) /(sign-out|me|people)", (EVERYONE,) * 2),
    (r"GET /(beds|protocols|trend|start-up)$", (EVERYONE,) * 2),
    (r"POST /start-up$", (EVERYONE,) * 2),  # whoever may begin a session, be it a drill's
    (r"GET /beds/X(/trend|/limits)?$", (EVERYONE,) * 2),
    (r"POST /beds/X/limits/", ({CLINICIAN, ADMIN},) * 2),
    (r"POST /beds/X/", REAL_ONLY_CARERS),
    (r"DELETE /beds/X/devices/", REAL_ONLY_CARERS),
    (r"GET /kpis", (READERS,) * 2),
    (r"GET /sessions$", (EVERYONE,) * 2),  # an operator sees drills only: its own test below
    (r"POST /sessions/X/sign", ({CLINICIAN},) * 2),
    (r"POST /sessions/X/(corrections|alarms/X/disposition)", REAL_ONLY_CARERS),
    (r"(GET|POST) /sessions/X", (READERS, EVERYONE)),
    (r"(GET|POST) /drills", ({OPERATOR, ADMIN},) * 2),
    (r"GET /admin/health", ({OPERATOR, ADMIN},) * 2),
    (r"GET /admin/devices", (EVERYONE,) * 2),
    (r"(GET|POST|PATCH|DELETE) /admin/", ({ADMIN},) * 2),
]
PAGES: dict[str, set[str]] = {
    "/": EVERYONE,
    "/alarms": EVERYONE,
    "/devices": EVERYONE,
    "/me": EVERYONE,
    "/drills": {OPERATOR, ADMIN},
    "/admin/users": {ADMIN},
    "/admin/audit": {ADMIN},
    "/admin/health": {ADMIN},
    "/rooms/bed-1": EVERYONE,
    "/beds/bed-3/start": CARERS | {OPERATOR, ADMIN},  # those without care may begin a drill
    "/beds/bed-1/limits": EVERYONE,
    "/sessions": EVERYONE,
}

# A sound body where one is needed: rights are judged before it is used, but after it is read.
BODIES: dict[str, dict[str, Any]] = {
    "dose": {"amount_mg": 1, "route": "in"},
    "dose/withdraw": {"at": "2020-01-01T00:00:00Z", "reason": "none"},
    "manual": {"values": {"spo2": 97}},
    "score": {"scale": "none", "value": 1},
    "note": {"text": "a note"},
    "answer": {"criterion": "none", "met": True},
    "same-limb": {"same": False},
    "{bed_id}/acknowledge": {"seen": {"none": "low"}},
    "start": {"patient_code": "X", "protocol": "in-esketamine", "mode": "drill"},
    "audio/pause": {},
    "pause": {"seconds": 10, "reason": "none"},
    "limits/propose": {"limit_id": "none", "reason": "none"},
    "limits/confirm": {"token": "none"},
    "disposition": {"code": "known"},
    "corrections": {"entry_id": 1, "text": "none", "reason": "none"},
    "duty": {"on_duty": True},
    "users": {"name": "<", "password": "x", "roles": ["nurse"]},
    "runs": {"name": "none", "beds": ["none"]},
    "inject": {"what": "none"},
    "switch": {"name": "nobody", "pin": "1"},
    "emergency": {"reason": "because of the test"},
    "pin": {"password": "x", "new": "1"},
    "password": {"password": "x", "new": "1"},
    "factor": {"seed": "x", "code": "1"},
    "what-if": {"limits": {}},
    "start-up": {"screen": "none"},
    "sign-in": {"name": "nobody", "password": "x"},
}
# These would change who asks, or the seat, for the rest of the matrix.
LEAVING = {"POST /me/switch", "POST /sign-out", "POST /me/emergency"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallHouse]:
    """Give one house with a real session on bed-1 and a drill on bed-2."""
    house = SmallHouse(tmp_path_factory.mktemp("rights"))
    house.start("bed-1", code="REAL")
    house.start("bed-2", code="DRILL", mode="drill")
    for bucket in (house.site.house.writes, house.site.house.acknowledgements, house.site.house.entries):
        bucket.take = lambda _key: 0.0  # type: ignore[method-assign]
    yield house
    house.stop()


@pytest.fixture(scope="module")
def people(house: SmallHouse) -> Iterator[dict[str, Person]]:
    """Give everyone, signed in, and nobody."""
    people = {name: Person(house, name) for name in WHO}
    yield people
    for person in people.values():
        person.http.close()


def api_routes(house: SmallHouse) -> list[tuple[str, str]]:
    """Give each method and path of the API."""
    found = []
    for path, methods in house.site.openapi()["paths"].items():
        found += [(method.upper(), path.removeprefix("/api/v1")) for method in methods]
    return found


def rule(method: str, path: str) -> tuple[set[str], set[str]]:
    """Return who may, on a real session and on a drill's."""
    name = f"{method} {re.sub(r'{[^}]*}', 'X', path)}"
    for pattern, who in TABLE:
        if re.match(pattern, name):
            return who
    raise AssertionError(f"no row of TABLE knows {name}: who may?")


def body_for(path: str) -> dict[str, Any]:
    """Return a body that the route can read."""
    for end, body in BODIES.items():
        if path.endswith(f"/{end}"):
            return body
    return {}


def ask(person: Person, method: str, path: str, session: str, bed: str) -> int:
    """Ask one route and return the code."""
    filled = path.replace("{bed_id}", bed).replace("{session_id}", session)
    filled = re.sub(r"{[^}]*}", "none", filled)
    content = None if method in ("GET", "DELETE") else body_for(path)
    return person.http.request(method, f"/api/v1{filled}", json=content).status_code


@pytest.mark.timeout(600)
def test_every_forbidden_pair_of_role_and_route_is_refused(
    house: SmallHouse, people: dict[str, Person]
) -> None:
    """ASVS V8.2.1, V8.3.1: role × route × session (real, drill); 401 for nobody, 403 for the wrong role."""
    judged, wrong = 0, []
    for method, path in api_routes(house):
        if f"{method} {path}" in LEAVING or path.endswith(("/end", "/start")):
            continue
        sessions = {"bed-1": "s-bed-1-REAL", "bed-2": "s-bed-2-DRILL"}
        for kind, (bed, session) in enumerate(sessions.items()):
            may = rule(method, path)[kind]
            for who in WHO:
                code = ask(people[who], method, path, session, bed)
                refused = code in (401, 403)
                judged += 1
                if code >= 500 and code != 501:
                    wrong.append(f"{who or 'nobody'} {method} {path} on {bed}: {code}, a fault of ours")
                if method == "POST" and path in ("/sign-in", "/me/pin", "/me/password", "/me/factor"):
                    refused = False if who else refused  # a wrong secret is a 401 of its own
                if who not in may and code != (403 if who else 401):
                    wrong.append(f"{who or 'nobody'} {method} {path} on {bed}: {code}, not refused")
                if who in may and refused and path != "/sign-in":
                    wrong.append(f"{who or 'nobody'} {method} {path} on {bed}: {code}, refused")
    assert judged > 300
    assert not wrong, "\n".join(wrong)


def test_every_page_is_judged(house: SmallHouse, people: dict[str, Person]) -> None:
    """A page that is not for someone says so; nobody is sent to the sign-in."""
    pages = {**PAGES, "/sessions/s-bed-1-REAL": READERS, "/sessions/s-bed-2-DRILL": EVERYONE}
    for path, may in pages.items():
        for who in WHO:
            answer = people[who].http.get(path, follow_redirects=False)
            expected = 303 if not who else 200 if who in may else 403
            assert answer.status_code == expected, f"{who or 'nobody'} {path}: {answer.status_code}"


def test_every_route_of_a_page_stands_in_the_table(house: SmallHouse) -> None:
    """A page that no row knows fails, so that nothing is open by oversight."""
    known = {
        *PAGES,
        "/rooms/{bed_id}",
        "/beds/{bed_id}/start",
        "/beds/{bed_id}/limits",
        "/sessions/{session_id}",
    }
    known |= {
        "/sign-in",
        "/enter",
        "/healthz",
        "/metrics",
        "/api/v1/openapi.json",
        static_path(),
        "/a/{token}",
        "/api/v1/wall",
    }
    described = {f"/api/v1{path}" for _, path in api_routes(house)}
    served = {route.path for route in flat(house.site.routes)}
    assert served - known - described == set()


def flat(routes: Any) -> Iterator[Any]:
    """Give every route with a path, whatever it is wrapped in."""
    for route in routes:
        if hasattr(route, "path"):
            yield route


def test_an_operator_lists_drills_only(people: dict[str, Person]) -> None:
    """ASVS V8.2.2: a record is judged by itself, not only by its route."""
    found = people[OPERATOR].get("/sessions?mode=real").json()["sessions"]
    assert {one["mode"] for one in found} == {"drill"}


def test_an_operator_cannot_begin_a_real_session(people: dict[str, Person]) -> None:
    """S-10: whoever runs drills begins drills only."""
    body = {"patient_code": "X", "protocol": "in-esketamine", "mode": "real"}
    assert people[OPERATOR].post("/beds/bed-4/start", body).status_code == 403
    assert people[OPERATOR].post("/beds/bed-4/start", {**body, "mode": "drill"}).status_code == 200


def test_only_carers_end_a_real_session(house: SmallHouse, people: dict[str, Person]) -> None:
    """The routes that the matrix leaves out because they would end it."""
    for who in (NOBODY, OPERATOR, ADMIN):
        assert people[who].post("/beds/bed-1/end", {"reason": "test"}).status_code == (403 if who else 401)
    assert house.desk.beds()["bed-1"].session is not None


def test_an_emergency_opens_records_with_a_reason_and_is_written_down(
    house: SmallHouse, tmp_path: Path
) -> None:
    """164.312(a)(2)(ii): break-glass read within seconds, logged; it gives no right to change."""
    otto = Person(house, OPERATOR)
    assert otto.get("/sessions/s-bed-1-REAL/chart").status_code == 403
    assert otto.post("/me/emergency", {"reason": "no nurse can be found"}).status_code == 200
    assert otto.get("/sessions/s-bed-1-REAL/chart").status_code == 200
    assert otto.post("/beds/bed-1/note", {"text": "x"}).status_code == 403
    assert house.site.house.ledger.read(what="EMERGENCY")[0].by == OPERATOR
    otto.http.close()
