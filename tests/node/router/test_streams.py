"""What a client sees once content flows: passed or held, hedged or slow, never two answers, never silence."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from appliance.contract.router_policy import RouterPolicy
from tests.lab.serving import until
from tests.lab.vendor_words import WEATHER
from tests.node.router.house import HEARD, HEDGE, MESSAGES, QUICK, Routed, Vendor, routed, target, two

APIS = [("openai", "openai"), ("anthropic", "anthropic")]


@pytest.mark.parametrize("apis", APIS, ids="-to-".join)
@pytest.mark.parametrize("fault", ["stall-after-token", "cut-after-content"])
def test_a_passed_answer_that_breaks_ends_in_a_clear_error(
    alpha: Vendor, beta: Vendor, keys: dict[str, str], apis: tuple[str, str], fault: str
) -> None:
    with routed(two(alpha, beta, apis), keys) as router:
        alpha.order(fault, tokens=2, pace=0.1 if fault.startswith("cut") else 0)
        answer = router.ask()
    assert answer.text.startswith("alpha/alpha-large")
    assert "beta" not in answer.raw
    assert not answer.done
    assert answer.error
    assert isinstance(answer.error["code"], int)
    assert "alpha" in answer.error["message"]


@pytest.mark.parametrize("apis", APIS, ids="-to-".join)
@pytest.mark.parametrize("fault", ["stall-after-token", "cut-after-content", "error-in-band"])
def test_a_held_answer_that_breaks_is_the_fallbacks_from_its_first_word(
    alpha: Vendor, beta: Vendor, keys: dict[str, str], apis: tuple[str, str], fault: str
) -> None:
    with routed(two(alpha, beta, apis), keys) as router:
        alpha.order(fault, tokens=2)
        answer = router.ask("safe")
    assert answer.is_whole_from("beta"), answer
    assert "alpha/" not in answer.raw


def test_a_held_answer_is_announced_by_comments(router: Routed, alpha: Vendor) -> None:
    alpha.order("slow", seconds=0.1, pace=0.2)
    answer = router.ask("safe")
    assert answer.is_whole_from("alpha")
    assert answer.raw.startswith(": held")
    assert ": alpha" in answer.raw


def test_a_held_answer_that_nobody_gives_ends_in_an_error_in_band(
    router: Routed, alpha: Vendor, beta: Vendor
) -> None:
    for vendor in (alpha, beta):
        vendor.order("stall-after-token")
    answer = router.ask("safe")
    assert answer.status == 200
    assert answer.raw.startswith(": held")
    assert answer.error
    assert "alpha fell silent; beta fell silent" in answer.error["message"]
    assert not answer.text


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_slow_healthy_answer_is_never_killed(
    router: Routed, alpha: Vendor, beta: Vendor, stream: bool
) -> None:
    """Its hedge fails, and hangs: the primary has all the time of the request."""
    for fault in ("status", "hang"):
        alpha.order("slow", seconds=HEDGE * 4)
        beta.order(fault)
        answer = router.ask(stream=stream)
        assert answer.is_whole_from("alpha"), (fault, answer)
        assert answer.seconds >= HEDGE * 4
        alpha.heal()
        beta.heal()


def test_a_slow_pace_is_never_hedged_after_the_first_content(
    router: Routed, alpha: Vendor, beta: Vendor
) -> None:
    alpha.order("slow", seconds=0.01, pace=HEDGE * 1.1)
    before = beta.count()
    assert router.ask().is_whole_from("alpha")
    assert beta.count() == before


def test_a_hedge_that_loses_is_cancelled_and_opens_no_breaker(
    router: Routed, alpha: Vendor, beta: Vendor
) -> None:
    alpha.order("slow", seconds=HEDGE * 3)
    beta.order("hang")
    for _ in range(3):
        assert router.ask().is_whole_from("alpha")
    assert router.state("beta") == "closed"
    assert router.state("alpha") == "closed"
    until(lambda: beta.calls()[-1]["outcome"] == "client left")


def test_the_fallback_wins_against_silence_and_the_primary_is_cancelled(
    router: Routed, alpha: Vendor
) -> None:
    alpha.order("hang")
    answer = router.ask()
    assert answer.is_whole_from("beta")
    assert answer.failover == "alpha=silent"
    assert answer.seconds >= HEDGE
    until(lambda: alpha.calls()[-1]["outcome"] == "client left")


def test_total_silence_ends_in_one_clear_error(router: Routed, alpha: Vendor, beta: Vendor) -> None:
    for vendor in (alpha, beta):
        vendor.order("hang")
    answer = router.ask()
    assert answer.status == 504
    assert answer.error
    assert QUICK["start"] <= answer.seconds < QUICK["start"] + 1.5


def test_the_total_deadline_ends_what_still_flows(alpha: Vendor, beta: Vendor, keys: dict[str, str]) -> None:
    policy = two(alpha, beta).model_dump(mode="json")
    policy["workloads"]["code"]["deadlines"] |= {"start": 0.5, "total": 0.6}
    with routed(RouterPolicy.model_validate(policy), keys) as router:
        alpha.order("slow", seconds=0.01, pace=0.2)
        answer = router.ask()
    assert answer.text.startswith("alpha/")
    assert answer.error
    assert answer.error["code"] == 504


@pytest.mark.parametrize(("fault", "figures"), [("hang", {}), ("slow", {"seconds": 0.01, "pace": 1})])
def test_the_upstream_is_cancelled_when_the_client_leaves(
    router: Routed, alpha: Vendor, fault: str, figures: dict[str, Any]
) -> None:
    before = alpha.count()
    alpha.order(fault, **figures)
    body = json.dumps({"model": "alone", "messages": MESSAGES, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    where = urlsplit(router.url)
    with socket.create_connection((where.hostname or "", where.port or 0)) as wire:
        wire.sendall(head.encode() + body)
        until(lambda: alpha.count() > before, 3)
        until(lambda: router.health()["in_flight"] == 1, 3)
    until(lambda: alpha.calls()[-1]["outcome"] == "client left", 3)
    until(lambda: router.health()["in_flight"] == 0, 3)


@pytest.mark.parametrize("apis", [*APIS, ("anthropic", "openai")], ids="-to-".join)
def test_openais_client_gets_text_tools_and_usage_of_either_api(
    alpha: Vendor, beta: Vendor, keys: dict[str, str], apis: tuple[str, str]
) -> None:
    with routed(two(alpha, beta, apis), keys) as router:
        client = openai.OpenAI(base_url=f"{router.url}/v1", api_key="any", max_retries=0, timeout=10)
        chunks = list(
            client.chat.completions.create(
                model="router/code", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
            )
        )
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == f"alpha/alpha-large {HEARD}"
        assert chunks[-1].usage
        assert chunks[-1].usage.prompt_tokens == 6
        tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
        choice: Any = {"type": "function", "function": {"name": "weather"}}
        asked: Any = {"model": "code", "messages": MESSAGES, "tools": tools, "tool_choice": choice}
        whole = client.chat.completions.create(**asked).choices[0]
        assert whole.finish_reason == "tool_calls"
        called = whole.message.tool_calls[0].function
        streamed = router.ask(**{k: v for k, v in asked.items() if k != "model"})
        assert streamed.calls[0]["name"] == called.name == "weather"
        assert streamed.reasons == ["tool_calls"]
        assert json.loads(streamed.calls[0]["arguments"]) == json.loads(called.arguments)


def test_every_provider_gets_its_own_key_and_model(router: Routed, alpha: Vendor, beta: Vendor) -> None:
    assert router.ask().is_whole_from("alpha")  # a vendor refuses any key but its own
    alpha.order("status")
    assert router.ask().is_whole_from("beta")
    assert alpha.calls()[-1]["model"] == "alpha-large"
    assert beta.calls()[-1]["model"] == "beta-large"


def test_bodies_of_32_megabytes_pass_and_larger_ones_are_refused(router: Routed, alpha: Vendor) -> None:
    filler = "x" * (31 * 1024 * 1024)
    answer = router.ask("alone", messages=[{"role": "user", "content": filler}], stream=False)
    assert answer.status == 200
    assert alpha.calls()[-1]["size"] > 31 * 1024 * 1024
    answer = router.ask("alone", messages=[{"role": "user", "content": filler + "x" * 3 * 1024 * 1024}])
    assert answer.status == 400


def test_three_candidates_are_gone_through_in_order(
    alpha: Vendor, beta: Vendor, keys: dict[str, str]
) -> None:
    policy = two(alpha, beta).model_dump(mode="json")
    policy["providers"]["gone"] = {
        "api": "openai",
        "base_url": "http://127.0.0.1:1/v1",
        "credential": "alpha",
    }
    policy["workloads"]["code"]["fallbacks"] = [target("gone"), target("beta")]
    with routed(RouterPolicy.model_validate(policy), keys) as router:
        alpha.order("status")
        answer = router.ask()
    assert answer.is_whole_from("beta")
    assert answer.failover == "alpha=server-error, gone=unreachable"
