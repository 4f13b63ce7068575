"""Root's door: only root's, safely made; lanes of a drill come and go and no user sees them."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from appliance.contract.router_admin import Lane
from appliance.contract.router_policy import Api, Provider
from appliance.contract.trouble import NodeTrouble
from appliance.node.router.admin import door
from appliance.node.router_admin import RouterAdmin
from tests.lab.serving import until
from tests.node.router.house import QUICK, Answer, Routed, Vendor, provider

SOMEONE = Provider(api=Api.OPENAI, base_url="http://x/v1", credential="x")
STREAM: dict[str, Any] = {"messages": [{"role": "user", "content": "a b c d e f g h i j"}], "stream": True}


def lane(alpha: Vendor, beta: Vendor, seconds: float = 30, **more: Any) -> Lane:
    shadows = {"drill-alpha": provider(alpha), "drill-beta": provider(beta)}
    workload = {
        "primary": {"provider": "drill-alpha", "model": "alpha-large"},
        "fallbacks": [{"provider": "drill-beta", "model": "beta-large"}],
        "deadlines": QUICK,
    }
    return Lane.model_validate({"seconds": seconds, "workload": workload, "providers": shadows, **more})


def opened(router: Routed, name: str, what: Lane) -> None:
    asyncio.run(router.admin.open_lane(name, what))


def lanes(router: Routed) -> dict[str, Any]:
    told: dict[str, Any] = asyncio.run(router.admin.healthz())["lanes"]
    return told


def is_unknown(answer: Answer) -> bool:
    return answer.status == 404 and answer.error is not None and "unknown" in answer.error["message"]


def test_what_can_send_keys_elsewhere_is_not_on_the_port(router: Routed) -> None:
    for method, path in (
        ("POST", "/reload"),
        ("PUT", "/drill/1"),
        ("DELETE", "/drill/1"),
        ("POST", "/canary"),
    ):
        assert requests.request(method, router.url + path, timeout=5).status_code == 404, path


def test_a_lane_answers_like_any_workload_and_is_gone_when_closed(
    router: Routed, alpha: Vendor, beta: Vendor
) -> None:
    assert is_unknown(router.ask("drill-1"))
    opened(router, "1", lane(alpha, beta))
    for model in ("drill-1", "router/drill-1"):
        answer = router.ask(model)
        assert answer.text.startswith("alpha/alpha-large")
        assert answer.provider == "drill-alpha"
    assert router.ask("drill-1", stream=False).text.startswith("alpha/alpha-large")
    asyncio.run(router.admin.close_lane("1"))
    assert is_unknown(router.ask("drill-1"))
    asyncio.run(router.admin.close_lane("1"))


def test_users_see_nothing_of_a_lane(router: Routed, alpha: Vendor, beta: Vendor) -> None:
    opened(router, "1", lane(alpha, beta))
    before = router.health()
    alpha.order("status", status=401)
    assert router.ask("drill-1").provider == "drill-beta"
    alpha.heal()
    assert router.health() == before
    listed = requests.get(f"{router.url}/v1/models", timeout=5).text
    assert "drill" not in listed + str(router.ask("nonsense").error)
    (told,) = lanes(router).values()
    assert told["status"] == "degraded"
    assert {b["provider"]: b["state"] for b in told["breakers"]} == {
        "drill-alpha": "open",
        "drill-beta": "closed",
    }
    assert told["requests"] == {"drill-1": {"drill-beta": 1}}
    assert router.ask().is_whole_from("alpha")


def test_a_lane_ends_by_itself_and_what_is_in_flight_gets_its_answer(
    router: Routed, alpha: Vendor, beta: Vendor
) -> None:
    alpha.order("slow", seconds=0.1, pace=0.3)
    opened(router, "1", lane(alpha, beta, seconds=1.5))
    body = STREAM | {"model": "drill-1"}
    with requests.post(f"{router.url}/v1/chat/completions", json=body, stream=True, timeout=10) as got:
        until(lambda: is_unknown(router.ask("drill-1")), 5)
        assert lanes(router) == {}
        assert got.text.endswith("data: [DONE]\n\n")


def test_a_lane_outlives_a_reload(router: Routed, alpha: Vendor, beta: Vendor) -> None:
    opened(router, "1", lane(alpha, beta))
    router.reload()
    assert router.ask("drill-1").provider == "drill-alpha"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seconds": 0}, "seconds"),
        ({"providers": {"alpha": SOMEONE}}, "drill-"),
        ({"providers": {"drill-x": SOMEONE}}, "unknown"),
    ],
)
def test_what_is_no_lane_is_refused_with_the_reason(
    router: Routed, alpha: Vendor, beta: Vendor, change: dict[str, Any], words: str
) -> None:
    given = lane(alpha, beta).model_copy(update=change)
    with pytest.raises(NodeTrouble, match="refuses /drill/1") as told:
        opened(router, "1", given)
    assert words in told.value.why
    assert lanes(router) == {}
    with pytest.raises(NodeTrouble):
        opened(router, "Not A Name", lane(alpha, beta))


def test_the_socket_is_roots_alone_and_goes_with_the_router(router: Routed, tmp_path: Path) -> None:
    assert Path(router.admin.socket).stat().st_mode & 0o777 == 0o600
    path = tmp_path / "admin.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()  # a process that was killed leaves its socket behind

    async def once() -> None:
        async with door(router.router, path):
            assert (await RouterAdmin(str(path)).healthz())["lanes"] == {}

    asyncio.run(once())
    assert not path.exists()


def test_a_living_routers_socket_is_not_taken_over(router: Routed, tmp_path: Path) -> None:
    async def once(path: str) -> None:
        async with door(router.router, Path(path)):
            pass

    with pytest.raises(NodeTrouble, match="another router"):
        asyncio.run(once(router.admin.socket))
    assert lanes(router) == {}, "and still answers"
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(NodeTrouble, match="no socket"):
        asyncio.run(once(str(file)))
    assert file.read_text() == "precious"
    with pytest.raises(NodeTrouble, match="cannot make"):
        asyncio.run(once(str(tmp_path / "nowhere" / "admin.sock")))


def test_without_a_router_there_is_clear_trouble_and_no_wait(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(NodeTrouble, match="does not answer"):
        asyncio.run(RouterAdmin(str(tmp_path / "none")).healthz())
    assert time.monotonic() - begun < 5
