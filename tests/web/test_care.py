"""What people do at a bed, over HTTP, judged by the real core."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from monitor.core.inputs import ReportCondition
from tests.web.conftest import Person
from tests.web.small_house import PASSWORD, SmallHouse

SignIn = Callable[[str], Person]
Enter = Callable[[SmallHouse, str], Person]


def test_a_whole_visit_by_the_routes(house: SmallHouse, sign_in: SignIn) -> None:
    """Issue 2: start on a bed with code and protocol, record a dose, end; each with the person's name."""
    nora = sign_in("Nora")
    begun = nora.post(
        "/beds/bed-1/start",
        {"patient_code": "P-7", "protocol": "in-esketamine", "override": "no screen here"},
    )
    assert begun.status_code == 200
    session = house.desk.beds()["bed-1"].session
    assert session is not None
    assert (session.session_id, session.patient_code, session.started_by) == (
        begun.json()["session_id"],
        "P-7",
        "Nora",
    )
    assert nora.post("/beds/bed-1/dose", {"amount_mg": 56, "route": "in"}).json()["durable"] is True
    assert house.desk.beds()["bed-1"].session.phase == "dosing"  # type: ignore[union-attr]
    refused = nora.post("/beds/bed-1/end")
    assert refused.status_code == 409
    assert "give a reason" in refused.json()["detail"]
    assert nora.post("/beds/bed-1/end", {"reason": "moved to a ward"}).status_code == 200
    assert house.desk.beds()["bed-1"].session is None


def test_the_same_tap_twice_is_one_dose(house: SmallHouse, sign_in: SignIn) -> None:
    """A retry after a lost answer, or two at once, never records a dose twice."""
    house.start("bed-1")
    nora = sign_in("Nora")
    dose = {"amount_mg": 28, "route": "in"}
    headers = {"Idempotency-Key": "tap-1"}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: nora.post("/beds/bed-1/dose", dose, headers=headers), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(house.desk.beds()["bed-1"].session.doses) == 1  # type: ignore[union-attr]
    nora.post("/beds/bed-1/dose", dose, headers={"Idempotency-Key": "tap-2"})
    assert len(house.desk.beds()["bed-1"].session.doses) == 2  # type: ignore[union-attr]


def test_a_wrong_dose_is_struck_with_a_reason_and_stays(house: SmallHouse, sign_in: SignIn) -> None:
    """Issue 5.3: wrong taps can be corrected with a reason; nothing is erased."""
    house.start("bed-1")
    nora = sign_in("Nora")
    nora.post("/beds/bed-1/dose", {"amount_mg": 560, "route": "in"})
    dose = house.desk.beds()["bed-1"].session.doses[0]  # type: ignore[union-attr]
    assert (
        nora.post("/beds/bed-1/dose/withdraw", {"at": dose.at.isoformat(), "reason": ""}).status_code == 422
    )
    assert (
        nora.post("/beds/bed-1/dose/withdraw", {"at": dose.at.isoformat(), "reason": "typo"}).status_code
        == 200
    )
    kept = house.desk.beds()["bed-1"].session.doses  # type: ignore[union-attr]
    assert [one.withdrawn for one in kept] == ["typo (Nora)"]


def test_an_acknowledgement_carries_the_name_and_the_priority_seen(
    house: SmallHouse, sign_in: SignIn
) -> None:
    """AL-17: scoped to instance and priority; an alarm that is worse by now is looked at again."""
    house.start("bed-1")
    house.desaturate("bed-1")
    nora = sign_in("Nora")
    alarm = next(iter(house.desk.beds()["bed-1"].alarms.values()))
    path = f"/beds/bed-1/alarms/{alarm.alarm_id}/acknowledge"
    assert nora.post(path, {"priority": "medium"}).status_code == 409
    assert nora.post(path, {"priority": "high"}).status_code == 200
    known = house.desk.beds()["bed-1"].alarms[alarm.key].acknowledgement
    assert known is not None
    assert known.by == "Nora"


def test_p_37_one_press_acknowledges_the_low_and_medium_alarms_of_a_bed(
    house: SmallHouse, sign_in: SignIn
) -> None:
    """P-37: by the ids and priorities that the page showed; a high one cannot even be named."""
    for key, priority in (("disk", "low"), ("broker", "medium")):
        house.desk.submit("bed-1", ReportCondition(key, priority, "test")).result(30)  # type: ignore[arg-type]
    house.start("bed-1")
    house.desaturate("bed-1")
    alarms = house.desk.beds()["bed-1"].alarms
    nora, path = sign_in("Nora"), "/beds/bed-1/acknowledge"
    assert (
        nora.post(path, {"seen": {one.alarm_id: one.priority for one in alarms.values()}}).status_code == 422
    )
    seen = {one.alarm_id: one.priority for one in alarms.values() if one.priority != "high"}
    told = nora.post(path, {"seen": seen}).json()["outcomes"]
    assert {(one["outcome"], one["rule"], one["by"]) for one in told} >= {
        ("AlarmAcknowledged", "disk", "Nora"),
        ("AlarmAcknowledged", "broker", "Nora"),
    }
    after = house.desk.beds()["bed-1"].alarms
    assert {one.priority for one in after.values() if one.signalling} == {"high"}


def test_a_flood_never_holds_back_the_first_acknowledgement(house: SmallHouse, sign_in: SignIn) -> None:
    """ASVS V2.4.1: the bucket is empty for everything else, and the first acknowledge still passes."""
    house.start("bed-1")
    house.desaturate("bed-1")
    nora = sign_in("Nora")
    house.stop_buckets()
    codes = [nora.post("/beds/bed-1/note", {"text": "again"}).status_code for _ in range(40)]
    assert codes[-1] == 429
    alarm = next(iter(house.desk.beds()["bed-1"].alarms.values()))
    path = f"/beds/bed-1/alarms/{alarm.alarm_id}/acknowledge"
    assert nora.post(path).status_code == 200
    assert [nora.post(path).status_code for _ in range(4)][-1] == 429


def test_a_floor_alarm_cannot_be_paused(house: SmallHouse, sign_in: SignIn) -> None:
    """AL-22: alarm pause impossible for the deep floor: 403, and the try is in the log."""
    house.start("bed-1")
    house.desaturate("bed-1")
    alarm = next(iter(house.desk.beds()["bed-1"].alarms.values()))
    nora = sign_in("Nora")
    answer = nora.post(f"/beds/bed-1/alarms/{alarm.alarm_id}/pause", {"seconds": 30, "reason": "probe"})
    assert answer.status_code == 403
    tried = [entry.outcome for entry in house.archive.log(names=("Refused",))]
    assert tried[-1].by == "Nora"


def test_an_audio_pause_is_capped(house: SmallHouse, sign_in: SignIn) -> None:
    """AL-20: two minutes by default, ten at most."""
    house.start("bed-1")
    nora = sign_in("Nora")
    assert nora.post("/beds/bed-1/audio/pause", {"seconds": 601}).status_code == 409
    assert nora.post("/beds/bed-1/audio/pause").status_code == 200
    pause = house.desk.beds()["bed-1"].audio_pause
    assert pause is not None
    assert (pause.until - pause.at).total_seconds() == 120


def test_a_device_is_handed_over_not_shared(house: SmallHouse, sign_in: SignIn) -> None:
    """AL-53: a device serves one bed; the hand-over ends its service at the other."""
    nora = sign_in("Nora")
    assert nora.post("/beds/bed-2/devices/oximeter-1").status_code == 200
    beds = house.desk.beds()
    assert "oximeter-1" not in beds["bed-1"].devices
    assert "oximeter-1" in beds["bed-2"].devices
    assert nora.post("/beds/bed-2/devices/unheard-of").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("dose", {"amount_mg": "NaN", "route": "in"}),
        ("dose", {"amount_mg": -1, "route": "in"}),
        ("dose", {"amount_mg": 28, "route": "by ear"}),
        ("dose", {"amount_mg": 28, "route": "in", "by": "Someone else"}),
        ("manual", {"values": {"glucose": 5}}),
        ("manual", {"values": {}}),
        ("note", {"text": ""}),
        ("note", {"text": "x" * 2001}),
    ],
)
def test_a_form_that_is_not_understood_is_refused_whole(
    house: SmallHouse, sign_in: SignIn, path: str, body: dict[str, object]
) -> None:
    """Nobody can hand in for another; what is not a number is no dose."""
    house.start("bed-1")
    assert sign_in("Nora").post(f"/beds/bed-1/{path}", body).status_code == 422


def test_who_was_away_is_asked_again_and_a_pin_is_enough(
    house: SmallHouse, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 5.6: quick switch by PIN after a first full sign-in; the deed carries the new name."""
    house.start("bed-1")
    nora = sign_in("Nora")
    house.users.set_pin("Carla", "8642")
    monkeypatch.setattr("monitor.web.seats.IDLE_S", -1.0)
    asleep = nora.post("/beds/bed-1/note", {"text": "x"})
    assert (asleep.status_code, asleep.headers["x-why"]) == (403, "asleep")
    assert nora.get("/beds").status_code == 200
    monkeypatch.undo()
    assert nora.post("/me/switch", {"name": "Carla", "pin": "1111"}).status_code == 401
    assert nora.post("/me/switch", {"name": "Carla", "pin": "8642"}).json()["name"] == "Carla"
    assert nora.post("/beds/bed-1/note", {"text": "seen"}).json()["outcomes"][0]["by"] == "Carla"


def test_a_sign_in_survives_a_restart(open_house: Callable[..., SmallHouse], enter: Enter) -> None:
    """Issue 2: the signing key is kept, so that nobody signs in again after a restart."""
    first = open_house()
    nora = enter(first, "Nora")
    cookies = dict(nora.http.cookies)
    token = nora.http.headers["X-CSRF-Token"]
    first.stop()
    second = open_house()
    second.start("bed-1")
    again = enter(second, "")
    again.http.cookies.update(cookies)
    again.http.headers["X-CSRF-Token"] = token
    assert again.post("/beds/bed-1/note", {"text": "still here"}).status_code == 200


def test_signing_out_ends_the_seat(house: SmallHouse, sign_in: SignIn) -> None:
    """ASVS V7.4.1: the cookie is worth nothing afterwards, even if it was copied."""
    nora = sign_in("Nora")
    copied = dict(nora.http.cookies)
    assert nora.post("/sign-out").status_code == 200
    thief = sign_in("")
    thief.http.cookies.update(copied)
    assert thief.get("/beds").status_code == 401


def test_an_admin_signs_in_with_a_second_factor(house: SmallHouse, sign_in: SignIn) -> None:
    """ASVS V6.3.3: password alone administers nothing; with the code it does."""
    import pyotp

    seed = pyotp.random_base32()
    house.users.set_factor("Ada", seed)
    ada = sign_in("")
    without = ada.post("/sign-in", {"name": "Ada", "password": PASSWORD})
    assert (without.status_code, without.headers["x-why"]) == (401, "factor")
    code = {"name": "Ada", "password": PASSWORD, "code": pyotp.TOTP(seed).now()}
    assert "admin" in ada.post("/sign-in", code).json()["rights"]
