"""Limits, records, what-if, ledger and chart, over HTTP and by themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from monitor.core.inputs import EndSession, RecordDose, Tick
from monitor.core.vitals import Observation, Report
from monitor.journal import Batch, Journal
from monitor.series.embedded import Embedded
from monitor.web.house import Export
from monitor.web.ledger import Ledger
from tests.core.scene import NOON
from tests.core.test_figures import useless
from tests.instants import instants
from tests.web.conftest import Person
from tests.web.small_house import SmallHouse

SignIn = Callable[[str], Person]
Enter = Callable[[SmallHouse, str], Person]


def _unfit(_: str) -> bytes:
    raise ValueError("this session has no reading to fill in")


EXPORTS = {
    "csv": Export("text/csv", ".csv", "Table", str.encode),
    "fhir": Export("application/fhir+json", ".fhir.json", "Bundle", str.encode),
    "rems": Export("application/json", ".rems.json", "Form", _unfit, routes=("in",)),
    "drip": Export("text/plain", ".txt", "For infusions", str.encode, routes=("iv",)),
}


@pytest.fixture
def past(open_house: Callable[..., SmallHouse]) -> SmallHouse:
    """Give a house whose bed-1 has an hour behind it: baseline, a dose, a gap, a desaturation."""
    house = open_house(history=True, beds=2, exports=EXPORTS)
    house.start("bed-1", minutes_ago=60, code="P-9")
    began = house.desk.now() - timedelta(minutes=60)
    for second in range(0, 3600, 2):
        at = began + timedelta(seconds=second)
        if second % 300 == 0:
            house.tell("bed-1", at, nibp_systolic=121.0, nibp_diastolic=78.0, nibp_mean=92.0)
        if second == 900:
            house.desk.submit("bed-1", RecordDose(56, "in", "Nora", at), at).result(30)
        if not 1500 <= second < 1600:
            low = 2000 <= second < 2060
            house.tell("bed-1", at, spo2=86.0 if low else 97.0, pulse_rate=70.0)
    house.desk.ticking = True
    return house


def test_the_chart_keeps_gaps_marks_and_limits_by_phase(past: SmallHouse, enter: Enter) -> None:
    """DESIGN §3: traces as measured, gaps as gaps, limits over time, doses and alarms as marks."""
    found = enter(past, "Nora").get("/sessions/s-bed-1-P-9/chart").json()
    spo2 = next(one for one in found["traces"] if one["metric"] == "spo2")
    steps = [after - before for before, after in pairwise(spo2["at"])]
    assert max(steps) == pytest.approx(102)
    assert {"DoseRecorded", "PhaseChanged", "AlarmRaised", "AlarmEnded"} <= {
        m["what"] for m in found["marks"]
    }
    systolic = [one for one in found["bands"] if one["metric"] == "nibp_systolic"]
    assert len(systolic) >= 2, "the limit relative to the baseline begins with the baseline"
    rises = [limit["value"] for one in systolic for limit in one["limits"] if limit["id"] == "systolic-rise"]
    assert rises[-1] == 161.0
    assert systolic[-1]["to"] is None
    for before, after in pairwise(systolic):
        assert before["to"] == after["from"]


def test_a_long_session_is_drawn_by_its_extremes_and_told_exactly_to_who_looks_closer(
    open_house: Callable[..., SmallHouse], enter: Enter, tmp_path: Path
) -> None:
    """Issue 5.2: over the real journal: no extreme is lost, the newest part is exact, and so is any hour."""
    house = open_house(history=True, beds=1)
    began = house.desk.now() - timedelta(hours=2)
    session = house.start("bed-1", minutes_ago=120)
    dip = began + timedelta(minutes=30, seconds=4)
    times = [began + timedelta(seconds=second) for second in range(0, 7200, 4)]
    batch = Batch()
    for place, at in enumerate(times):
        seen = (Observation("spo2", 81.0 if at == dip else 96.0 + place % 2),)
        batch.readings.append(("bed-1", Report("oximeter-1", at, at, seen)))
    journal = Journal(tmp_path / "store")
    journal.commit([batch])
    journal.close()
    house.archive.traces = Embedded(tmp_path / "store").traces  # type: ignore[method-assign]
    nora = enter(house, "Nora")

    whole = nora.get(f"/sessions/{session}/chart").json()
    (trace,) = whole["traces"]
    assert whole["every_s"] == 10
    assert len(trace["at"]) < 0.9 * len(times)
    assert trace["at"] == sorted(trace["at"])
    assert min(trace["values"]) == 81.0
    exact = [at.timestamp() for at in times if at >= times[-1] - timedelta(minutes=9)]
    assert trace["at"][-len(exact) :] == pytest.approx(exact)

    span = {
        "from_at": (dip - timedelta(minutes=20)).isoformat(),
        "to_at": (dip + timedelta(minutes=20)).isoformat(),
    }
    near = nora.get(f"/sessions/{session}/traces", params=span).json()
    (close,) = near["traces"]
    assert near["every_s"] == 0
    inside = [at.timestamp() for at in times if abs(at - dip) <= timedelta(minutes=20)]
    assert close["at"] == pytest.approx(inside)
    assert close["values"][close["at"].index(dip.timestamp())] == 81.0


def test_days_of_a_search_are_the_sites(open_house: Callable[..., SmallHouse], enter: Enter) -> None:
    """P-49: "from the 24th" in Auckland begins when the 24th begins there, not in Greenwich."""
    house = open_house(history=True, beds=1, zone="Pacific/Auckland")
    house.start("bed-1", minutes_ago=30)
    began = house.desk.now() - timedelta(minutes=30)
    local = began.astimezone(ZoneInfo("Pacific/Auckland")).replace(tzinfo=None)
    carla = enter(house, "Carla")

    def found(**given: datetime) -> int:
        asked = {name: at.isoformat() for name, at in given.items()}
        return len(carla.get("/sessions", params=asked).json()["sessions"])

    minute = timedelta(minutes=1)
    assert found(from_at=local - minute, to_at=local + minute) == 1
    assert found(from_at=local + minute) == 0
    assert found(to_at=local - minute) == 0
    assert found(from_at=began - minute, to_at=began + minute) == 1, "an offset is believed"


def test_other_limits_are_asked_of_the_same_core(past: SmallHouse, enter: Enter) -> None:
    """Issue 5.2: what-if of other limits with alarms lost and gained; nothing is changed by asking."""
    nora = enter(past, "Nora")
    same = nora.post("/sessions/s-bed-1-P-9/what-if", {"limits": {}}).json()
    assert same["before"] == same["after"] >= 1
    assert same["lost"] == same["gained"] == []
    lower = nora.post(
        "/sessions/s-bed-1-P-9/what-if", {"limits": {"spo2-low-urgent": 86, "spo2-low": 88}}
    ).json()
    assert "spo2-low-urgent" in {one["rule"] for one in lower["lost"]}
    assert nora.post("/sessions/s-bed-1-P-9/what-if", {"limits": {"none": 1}}).status_code == 422
    assert past.desk.beds()["bed-1"].session.changes == {}  # type: ignore[union-attr]


def test_a_record_is_found_downloaded_and_signed_once(past: SmallHouse, enter: Enter) -> None:
    """Issue 5.4: list and search, downloads, sign-off by a clinician after the end; every look is kept."""
    carla = enter(past, "Carla")
    assert carla.get("/sessions?code=p-9&had_alarms=true").json()["sessions"][0]["patient_code"] == "P-9"
    assert carla.get("/sessions?code=unknown").json()["sessions"] == []
    assert carla.post("/sessions/s-bed-1-P-9/sign").status_code == 409
    past.desk.submit("bed-1", EndSession("Nora", "test")).result(30)
    signed = carla.post("/sessions/s-bed-1-P-9/sign", {"text": "read"}).json()["outcomes"][0]
    assert (signed["outcome"], signed["by"], signed["detail"]["role"]) == (
        "RecordSigned",
        "Carla",
        "clinician",
    )
    assert carla.get("/sessions/s-bed-1-P-9").json()["signed_by"] == "Carla"
    assert carla.post("/sessions/s-bed-1-P-9/sign").status_code == 409
    file = carla.get("/sessions/s-bed-1-P-9/exports/csv")
    assert file.headers["content-disposition"].endswith('s-bed-1-P-9.csv"')
    assert carla.get("/sessions/s-bed-1-P-9/exports/exe").status_code == 404
    kept = [line.what for line in past.site.house.ledger.read(by="Carla")]
    assert kept[:2] == ["export", "sign"]


def test_a_way_out_has_its_suffix_its_routes_and_its_reasons(past: SmallHouse, enter: Enter) -> None:
    """Issue 5.4: a file has the suffix programs know; a form that does not fit says why."""
    carla = enter(past, "Carla")
    bundle = carla.get("/sessions/s-bed-1-P-9/exports/fhir")
    assert bundle.headers["content-disposition"].endswith('s-bed-1-P-9.fhir.json"')
    assert carla.get("/sessions/s-bed-1-P-9/exports/drip").status_code == 404
    unfit = carla.get("/sessions/s-bed-1-P-9/exports/rems")
    assert (unfit.status_code, unfit.json()["detail"]) == (409, "this session has no reading to fill in")


def test_what_an_alarm_was_and_what_is_wrong_stand_beside_the_record(past: SmallHouse, enter: Enter) -> None:
    """AF-13, issue 5.3: the core judges disposition and correction; the entry itself stays."""
    nora = enter(past, "Nora")
    path = "/sessions/s-bed-1-P-9"
    alarm = past.archive.log(names=("AlarmRaised",))[0].outcome
    told = nora.post(f"{path}/alarms/{alarm.alarm_id}/disposition", {"code": "artefact"}).json()["outcomes"][
        0
    ]
    assert (told["outcome"], told["detail"]["disposition"]) == ("DispositionRecorded", "artefact")
    unknown = nora.post(f"{path}/alarms/{alarm.alarm_id}/disposition", {"code": "whatever"})
    assert unknown.status_code == 409
    assert "AF-13" in unknown.json()["detail"]
    entry = past.archive.log(names=("DoseRecorded",))[0]
    wrong = {"entry_id": entry.id, "text": "28 mg", "reason": "one spray only"}
    told = nora.post(f"{path}/corrections", wrong).json()["outcomes"][0]
    assert (told["outcome"], told["detail"]["entry_id"], told["by"]) == ("RecordCorrected", entry.id, "Nora")
    assert nora.post(f"{path}/corrections", {**wrong, "entry_id": 10**6}).status_code == 404
    assert past.archive.log(names=("DoseRecorded",))[0] == entry


def test_indicators_count_each_alarm_once(past: SmallHouse, enter: Enter) -> None:
    """AL-56, AF-14: the split by priority beside its target, of the hour that the session has run."""
    found = enter(past, "Nora").get("/kpis").json()
    raised = past.archive.log(names=("AlarmRaised",))
    assert found["alarms"] == len({entry.outcome.alarm_id for entry in raised})
    assert found["target_share"] == {"high": 5, "medium": 15, "low": 80}
    assert (found["sessions"], found["session_hours"]) == (1, pytest.approx(1.0, abs=0.05))
    assert found["overloaded"] == {}


def test_p_22_what_a_program_reads_of_a_session_has_dates_and_offsets(past: SmallHouse, enter: Enter) -> None:
    """P-22: the log, its line and the audit; reading, receipt and decision of every outcome."""
    ada = enter(past, "Ada")
    log = ada.get("/sessions/s-bed-1-P-9/log").json()
    found = list(instants([log, ada.get("/sessions/s-bed-1-P-9").json(), ada.get("/admin/audit").json()]))
    assert {"at", "onset_at", "started_at", "given_at"} <= {name for name, _ in found}
    assert all(at.tzinfo is not None for _, at in found)
    raised = next(
        one for one in log["entries"] if one["outcome"] == "AlarmRaised" and one["metric"] == "spo2"
    )
    assert raised["detail"]["onset_at"] < raised["at"]


def test_af_15_the_figures_name_who_had_too_many_alarms_just_now(past: SmallHouse, enter: Enter) -> None:
    """AF-15: beside the figures of any span, the last 120 min of each person."""
    moved = past.desk.now() - timedelta(minutes=30) - NOON
    told = [one._replace(at=one.at + moved) for one in useless(31, "Nora")]
    past.archive.keep("bed-1", Tick(), told)
    assert enter(past, "Carla").get("/kpis").json()["overloaded"] == {"Nora": 31}


def test_a_limit_changes_in_two_steps_by_the_same_person(house: SmallHouse, sign_in: SignIn) -> None:
    """S-14, AL-09: proposed, shown in words, confirmed; another person's token is worth nothing."""
    house.start("bed-1")
    carla, ada, nora = sign_in("Carla"), sign_in("Ada"), sign_in("Nora")
    wish = {"limit_id": "pulse-rate-high", "value": 120, "reason": "athlete"}
    assert nora.post("/beds/bed-1/limits/propose", wish).status_code == 403
    step = carla.post("/beds/bed-1/limits/propose", wish).json()
    assert "110 /min becomes 120 /min" in step["words"]
    assert house.desk.beds()["bed-1"].session.changes == {}  # type: ignore[union-attr]
    assert ada.post("/beds/bed-1/limits/confirm", {"token": step["token"]}).status_code == 409
    assert carla.post("/beds/bed-1/limits/confirm", {"token": step["token"]}).status_code == 200
    change = house.desk.beds()["bed-1"].session.changes["pulse-rate-high"]  # type: ignore[union-attr]
    assert (change.limit, change.by, change.reason) == (120.0, "Carla", "athlete")


def test_an_absurd_limit_is_refused_before_it_is_shown(house: SmallHouse, sign_in: SignIn) -> None:
    """AL-09: limits outside the sanity range are refused with the remedy."""
    house.start("bed-1")
    wish = {"limit_id": "spo2-low-urgent", "value": 20, "reason": "x"}
    assert sign_in("Carla").post("/beds/bed-1/limits/propose", wish).status_code == 422


def test_the_worst_case_is_the_sum_of_what_is_configured(house: SmallHouse, sign_in: SignIn) -> None:
    """AL-12: page value = configured sum, device averaging included."""
    house.start("bed-1")
    found = sign_in("Nora").get("/beds/bed-1/limits").json()["limits"]
    urgent = next(one for one in found if one["id"] == "spo2-low-urgent")["delay"]
    assert urgent["parts"]["condition delay"] == 30
    assert urgent["worst_s"] == sum(urgent["parts"].values()) == 0 + 1 + 30 + 8 + 1
    assert urgent["floor_s"] == 0 + 1 + 6 + 8 + 1
    pressure = next(one for one in found if one["id"] == "systolic-high")["delay"]
    assert pressure["parts"]["repeat to confirm"] == 120


def test_an_altered_line_of_the_ledger_shows(tmp_path: Path) -> None:
    """S-13: the chain tells which line was altered, and that one is missing."""
    path = tmp_path / "access.jsonl"
    ledger = Ledger(path)
    for number in range(5):
        ledger.write("Nora", "read", f"chart {number}")
    assert Ledger(path).verify() == ""
    lines = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[2])
    row[2] = "Somebody"
    path.write_text("\n".join([*lines[:2], json.dumps(row), *lines[3:]]) + "\n", encoding="utf-8")
    assert "line 3" in ledger.verify()
    path.write_text("\n".join(lines[:4]) + "\n", encoding="utf-8")
    assert "1 lines are missing" in ledger.verify()


def test_figures_for_machines_name_no_patient(house: SmallHouse, sign_in: SignIn) -> None:
    """S-12: /healthz and /metrics are open to the network and hold nothing of a patient."""
    house.start("bed-1", code="SECRET-CODE")
    house.desaturate("bed-1")
    http = sign_in("").http
    text = http.get("/metrics").text + http.get("/healthz").text
    assert "SECRET-CODE" not in text
    assert 'afterwatch_alarms{kind="physiological",priority="high"} 1.0' in text
    house.desk.well = False
    assert http.get("/healthz").status_code == 503
