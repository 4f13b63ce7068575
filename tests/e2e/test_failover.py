"""Providers and the router fail on a real node: clients get the fallback's answer, or one clear error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from appliance.desk.remote import Shell
from tests.e2e.conftest import Node, node_shell, openai_client
from tests.e2e.test_first_node import QUESTION
from tests.e2e.test_push_under_load import Vendor

pytestmark = pytest.mark.lab

ROUTER = "appliance-router.service"
BOUND_SECONDS = 60  # OpenClaw by itself takes 77 to 186 for these


@pytest.fixture
def alpha(node: Node) -> Iterator[Vendor]:
    """The vendor of code's primary; healthy afterwards, and without a breaker open."""
    yield from _whole_again(node, "alpha")


@pytest.fixture
def beta(node: Node) -> Iterator[Vendor]:
    yield from _whole_again(node, "beta")


def _whole_again(node: Node, name: str) -> Iterator[Vendor]:
    vendor = Vendor(str(node.config()["providers"][name]["base_url"]).removesuffix("/v1"))
    yield vendor
    vendor.heals()
    with node_shell(node) as shell:
        shell.check(["systemctl", "restart", ROUTER])
        _wait_for_router(shell)


def _wait_for_router(shell: Shell) -> None:
    shell.check(["timeout", "30", "sh", "-c", "until curl -sf 127.0.0.1:8791/healthz; do sleep .2; done"])


def ask(node: Node, workload: str, *, stream: bool = False) -> str:
    with openai_client(node.desk, node.address, workload) as client:
        if not stream:
            answer = client.chat.completions.create(model="openclaw", messages=QUESTION)
            return answer.choices[0].message.content or ""
        pieces = client.chat.completions.create(model="openclaw", messages=QUESTION, stream=True)
        return "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)


def _status(node: Node) -> dict[str, Any]:
    told: dict[str, Any] = node.desk.tries("status", "--json").json["nodes"][0]
    return told


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "status", "status": 500},
        {"fault": "status", "status": 401},
        {"fault": "hang", "seconds": 600},
    ],
)
def test_a_failing_primary_is_answered_for_by_the_fallback(
    node: Node, alpha: Vendor, fault: dict[str, Any], stream: bool
) -> None:
    began = time.monotonic()
    alpha.orders(fault)
    assert "beta" in ask(node, "code", stream=stream)
    assert time.monotonic() - began < BOUND_SECONDS


def test_status_tells_who_is_asked_last_and_the_node_stays_in_service(node: Node, alpha: Vendor) -> None:
    alpha.orders({"fault": "status", "status": 500})
    ask(node, "code")
    told = _status(node)
    opened = [b for b in told["breakers"] if b["state"] == "open"]
    assert [(b["provider"], b["cause"]) for b in opened] == [("alpha", "server-error")]
    (code,) = (check for check in told["checks"] if check["name"] == "workload:code")
    assert not code["ok"]
    assert "asked last" in code["detail"]
    assert told["well"]


def test_a_fail_closed_workload_fails_clearly_and_at_once_and_is_well_with_its_provider(
    node: Node, beta: Vendor
) -> None:
    beta.orders({"fault": "status", "status": 500})
    for _ in range(2):  # the second meets the open breaker, which masks nothing
        began = time.monotonic()
        with pytest.raises(openai.UnprocessableEntityError, match="beta failed with an error of its own"):
            ask(node, "batch")
        assert time.monotonic() - began < BOUND_SECONDS
    beta.heals()
    assert "beta" in ask(node, "batch")


def test_a_killed_router_is_back_by_itself(node: Node) -> None:
    with node_shell(node) as shell:
        shell.check(["systemctl", "kill", "--signal=KILL", ROUTER])
        _wait_for_router(shell)
    assert "alpha" in ask(node, "code")


def test_without_its_router_a_node_says_that_it_is_of_no_use(node: Node) -> None:
    with node_shell(node) as shell:
        shell.check(["systemctl", "stop", ROUTER])
        page = shell.run(["curl", "-s", "-w", "%{http_code}", "127.0.0.1:8790/healthz"]).out
        told = _status(node)
        shell.check(["systemctl", "start", ROUTER])
        _wait_for_router(shell)
    assert page.endswith("503")
    assert (told["router"], told["well"]) == ("inactive", False)


def test_the_gateway_reaches_the_router_and_nothing_else(node: Node) -> None:
    vendor = str(node.config()["providers"]["alpha"]["base_url"])
    with node_shell(node) as shell:

        def reaches(user: str, url: str) -> bool:
            knock = ["curl", "--silent", "--noproxy", "*", "--max-time", "5", "--output", "/dev/null", url]
            return shell.run(["runuser", "-u", user, "--", *knock]).code == 0

        router = "http://127.0.0.1:8791/healthz"
        assert reaches("appliance-router", vendor)
        assert not reaches("openclaw", vendor)
        assert [
            user for user in ("openclaw", "appliance-health", "haproxy", "nobody") if reaches(user, router)
        ] == [
            "openclaw",
            "appliance-health",
        ]
