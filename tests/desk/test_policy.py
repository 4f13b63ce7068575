"""What the router is told is what appliance.yaml says, and what that costs is known beforehand."""

from __future__ import annotations

from dataclasses import replace

from appliance.contract.bundle import PROVIDER
from appliance.contract.router_policy import Api, CanaryRule, RouterPolicy
from appliance.desk.check_policy import judge_policy
from appliance.desk.policy import canary_cost, policy, router_json
from tests.desk.configs import FULL, read
from tests.desk.samples import SETTINGS

SAID = read(FULL).settings


def test_the_node_reads_what_the_desk_meant() -> None:
    assert RouterPolicy.model_validate_json(router_json(SAID)) == policy(SAID)


def test_nothing_is_left_to_the_defaults_of_the_node() -> None:
    text = router_json(SETTINGS).decode()
    for key in (*type(policy(SETTINGS).breaker).model_fields, "comment", "closing", "failed_status", "every"):
        assert f'"{key}":' in text


def test_providers_keep_their_address_api_and_the_name_of_their_secret() -> None:
    told = policy(SAID).providers
    assert [(p.api, p.base_url) for p in told.values()] == [
        (Api.OPENAI, "https://alpha.example/v1"),
        (Api.ANTHROPIC, "https://beta.example/v1"),
    ]
    assert [p.credential for p in told.values()] == [PROVIDER + "alpha", PROVIDER + "beta"]
    assert "ALPHA_KEY" not in router_json(SAID).decode()


def test_each_target_has_its_own_window_and_the_workloads_bound_of_an_answer() -> None:
    long = policy(SAID).workloads["long"]
    assert [(t.provider, t.context_window) for t in long.targets] == [
        ("beta", 200_000),
        ("alpha", 128_000),
        ("alpha", 1_000_000),
    ]
    assert {t.max_tokens for t in long.targets} == {9_000}


def test_a_workload_without_fallbacks_fails_closed_and_the_first_stays_first() -> None:
    told = policy(SAID).workloads
    assert [(name, w.fail_closed) for name, w in told.items()] == [
        ("code", False),
        ("batch", True),
        ("long", False),
    ]


def test_a_canary_asks_each_model_of_each_provider_once_whoever_uses_it() -> None:
    cost = canary_cost(SAID)  # alpha's two, beta's one
    assert (cost.models, cost.requests_a_day, cost.tokens_a_day) == (3, 6, 6 * (20 + 8))
    often = canary_cost(replace(SAID, canary=CanaryRule(every=3600, max_tokens=16)))
    assert (often.requests_a_day, often.tokens_a_day) == (72, 72 * 36)


def test_check_tells_the_cost_of_canaries_and_what_holding_asks_of_clients() -> None:
    said = {finding.subject: finding.what for finding in judge_policy(SAID, canary_cost(SAID))}
    assert said["canary"] == "3 models are asked every 12 h: 6 requests and at most about 168 tokens a day"
    assert "up to 500 s" in said["workloads.long.mode"]
