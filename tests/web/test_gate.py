"""The outer wall: origin, host, size, headers, buckets; over a real socket."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from monitor.web.gate import Throttle
from monitor.web.pages import static_path
from tests.web.conftest import Person, get, post
from tests.web.small_house import PASSWORD, SmallHouse

SignIn = Callable[[str], Person]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_change_from_another_site_is_refused(house: SmallHouse, sign_in: SignIn, origin: str) -> None:
    """Issue 2: Origin check; a foreign page changes nothing even with our cookie and token."""
    house.start("bed-1")
    nora = sign_in("Nora")
    answer = nora.post("/beds/bed-1/audio/pause", headers={"Origin": origin})
    assert answer.status_code == 403
    assert house.desk.beds()["bed-1"].audio_pause is None


def test_a_change_without_the_page_s_token_is_refused(house: SmallHouse, sign_in: SignIn) -> None:
    """Issue 2: CSRF; the cookie alone is not enough."""
    house.start("bed-1")
    nora = sign_in("Nora")
    del nora.http.headers["X-CSRF-Token"]
    assert nora.post("/beds/bed-1/audio/pause").status_code == 403
    assert house.desk.beds()["bed-1"].audio_pause is None


def test_a_name_that_is_not_ours_is_refused(house: SmallHouse) -> None:
    """DNS rebinding: a foreign name that points here does not open the pages."""
    answer = get(f"{house.url}/sign-in", headers={"Host": "rebound.example"})
    assert answer.status_code == 403
    assert "public_url" in answer.text


def test_every_answer_carries_a_strict_policy(house: SmallHouse) -> None:
    """ASVS V3.4.3: strict CSP, no inline script or style, no frame, nothing from elsewhere."""
    for path in ("/sign-in", "/healthz", f"{static_path()}/style.css", "/nowhere"):
        policy = get(house.url + path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "frame-ancestors 'none'" in policy


def test_a_large_body_is_refused(house: SmallHouse) -> None:
    """R-14: nothing of any size waits in memory, announced or not."""
    assert post(f"{house.url}/api/v1/sign-in", content=b"x" * 100_000).status_code == 413

    def drip() -> object:
        for _ in range(100):
            yield b"x" * 2000

    try:
        code = post(f"{house.url}/api/v1/sign-in", content=drip()).status_code  # type: ignore[arg-type]
    except httpx.HTTPError:
        code = 413
    assert code >= 400


def test_sign_in_is_slowed_after_five_wrong_tries(open_house: Callable[..., SmallHouse]) -> None:
    """S-09, ASVS V6.3.1: guessing is slowed by name and by address, written down, and counted."""
    refused: list[str] = []
    house = open_house(sign_in_refused=lambda: refused.append(""))
    house.stop_buckets()
    codes = [
        post(f"{house.url}/api/v1/sign-in", json={"name": "Nora", "password": "wrong one"}).status_code
        for _ in range(6)
    ]
    assert codes == [401] * 5 + [429]
    right = {"name": "Nora", "password": PASSWORD}
    assert post(f"{house.url}/api/v1/sign-in", json=right).status_code == 429
    assert len(house.site.house.ledger.read(what="sign-in refused")) == len(refused) == 7
    assert get(f"{house.url}/enter?token=guessed").status_code >= 400
    assert len(house.site.house.ledger.read(what="sign-in refused")) == len(refused) == 8


def test_a_bucket_fills_again_with_time() -> None:
    """A flood is slowed, never shut out for good."""
    now = [0.0]
    bucket = Throttle(2, 0.5, lambda: now[0])
    assert [bucket.take("a"), bucket.take("a")] == [0, 0]
    assert bucket.take("a") == pytest.approx(2.0)
    assert bucket.take("b") == 0
    now[0] = 2.0
    assert bucket.take("a") == 0


def test_a_return_path_never_leads_elsewhere(house: SmallHouse) -> None:
    """ASVS V3.7.2: after sign-in the browser stays here."""
    for path in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        answer = post(f"{house.url}/sign-in", data={"name": "Nora", "password": PASSWORD, "next": path})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/"
