"""Breakers, fail-closed workloads, the client's own mistakes, keys, reload: over real sockets."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

import pytest
import requests

from appliance.contract.router_policy import RouterPolicy
from appliance.node.router.keys import Keys
from appliance.node.router.switchboard import InForce
from tests.lab.serving import until
from tests.node.router.house import Answer, Routed, Vendor, provider, routed, target, two

UNSAFE = {401, 402, 403, 409, 413, 418, 424}  # what OpenClaw takes for something else
RISKY = re.compile(r"quota|credit|billing|balance|api.?key|unauthor|forbidden|rate.?limit|overload", re.I)


def with_breaker(alpha: Vendor, beta: Vendor, **times: float) -> RouterPolicy:
    return two(alpha, beta, breaker=times)


def test_with_the_breaker_open_the_primary_is_not_asked(router: Routed, alpha: Vendor, beta: Vendor) -> None:
    alpha.order("status", status=500)
    assert router.ask().failover == "alpha=server-error"
    before = alpha.count()
    second = router.ask()
    assert second.is_whole_from("beta")
    assert second.failover == "alpha=skipped:server-error"
    assert alpha.count() == before


def test_the_breaker_is_open_for_all_workloads_that_ask_the_same_model(router: Routed, alpha: Vendor) -> None:
    alpha.order("status", status=500)
    router.ask("code")
    assert router.ask("safe").failover == "alpha=skipped:server-error"


def test_two_silences_open_the_breaker(router: Routed, alpha: Vendor) -> None:
    alpha.order("hang")
    assert [router.ask().failover for _ in range(3)] == [
        "alpha=silent",
        "alpha=silent",
        "alpha=skipped:silent",
    ]


def test_after_its_time_one_probe_closes_the_breaker(
    alpha: Vendor, beta: Vendor, keys: dict[str, str]
) -> None:
    with routed(with_breaker(alpha, beta, server_error=0.3), keys) as router:
        alpha.order("status", status=503)
        router.ask()
        assert router.state("alpha") == "open"
        until(lambda: router.state("alpha") == "half-open", 3)
        alpha.order("slow", seconds=0.25)
        probe: list[Answer] = []
        thread = threading.Thread(target=lambda: probe.append(router.ask()))
        before = alpha.count()
        thread.start()
        until(lambda: alpha.count() > before, 3)
        assert router.ask().is_whole_from("beta"), "one probe at a time"
        thread.join()
        assert probe[0].is_whole_from("alpha")
        assert router.state("alpha") == "closed"
        assert router.ask().failover == "none"


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_what_a_person_must_mend_opens_for_longer(router: Routed, alpha: Vendor, status: int) -> None:
    alpha.order("status", status=status)
    router.ask()
    (left,) = [b["seconds_left"] for b in router.health()["breakers"] if b["provider"] == "alpha"]
    assert left > 250


def test_retry_after_is_honoured(router: Routed, alpha: Vendor) -> None:
    alpha.order("status", status=429, retry_after=77)
    router.ask()
    (left,) = [b["seconds_left"] for b in router.health()["breakers"] if b["provider"] == "alpha"]
    assert 70 < left <= 77


def test_with_all_breakers_open_they_are_tried_all_the_same(
    router: Routed, alpha: Vendor, beta: Vendor
) -> None:
    for vendor in (alpha, beta):
        vendor.order("status", status=401)
    assert router.ask().status == 503
    assert router.health()["workloads"]["code"] == "failing"
    beta.heal()
    assert router.ask().is_whole_from("beta")
    assert router.state("beta") == "closed"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    ("fault", "figures", "words"),
    [
        ("status", {"status": 401}, "refused this node access"),
        ("quota", {}, "account"),
        ("status", {"status": 429}, "asked later"),
        ("status", {"status": 529}, "error of its own"),
        ("cut-before-content", {}, ""),
    ],
)
def test_fail_closed_names_the_cause_at_once_and_again(
    router: Routed, alpha: Vendor, fault: str, figures: dict[str, Any], words: str, stream: bool
) -> None:
    """The second error is the provider's too, never a cooldown's; healed, the next request is answered."""
    alpha.order(fault, **figures)
    for _ in range(2):
        before = alpha.count()
        answer = router.ask("alone", stream=stream)
        assert answer.status == 503
        assert answer.error
        assert answer.error["message"].startswith("Workload alone got no answer: alpha ")
        assert words in answer.error["message"]
        assert alpha.count() == before + 1
        assert answer.seconds < 1
    alpha.heal()
    assert router.ask("alone", stream=stream).is_whole_from("alpha")


@pytest.mark.parametrize("apis", [("openai", "openai"), ("anthropic", "anthropic")], ids="-".join)
@pytest.mark.parametrize(
    ("fault", "figures"),
    [
        *[("status", {"status": code}) for code in (400, 401, 402, 403, 404, 409, 413, 418, 422, 424, 429)],
        *[("status", {"status": code}) for code in (500, 502, 503, 504, 529)],
        ("quota", {}), ("context-length", {}), ("html", {}), ("error-in-band", {"tokens": 0}),
    ],
)  # fmt: skip
def test_errors_have_harmless_statuses_codes_and_words(
    alpha: Vendor, beta: Vendor, keys: dict[str, str], apis: tuple[str, str], fault: str, figures: Any
) -> None:
    with routed(two(alpha, beta, apis), keys) as router:
        for vendor in (alpha, beta):
            vendor.order(fault, **figures)
        for workload in ("code", "alone"):
            answer = router.ask(workload)
            assert answer.status in (400, 404, 422, 503, 504)
            assert answer.error
            assert isinstance(answer.error["code"], int)
            assert not RISKY.search(answer.error["message"])
            assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_the_clients_own_mistake_passes_straight_through(
    router: Routed, alpha: Vendor, beta: Vendor, status: int, stream: bool
) -> None:
    alpha.order("status", status=status)
    before = beta.count()
    answer = router.ask(stream=stream)
    assert answer.status == (422 if status == 422 else 400)
    assert answer.error
    assert "did not accept the request" in answer.error["message"]
    assert beta.count() == before
    assert router.state("alpha") == "closed"


def test_the_vendor_says_what_is_wrong_with_the_request(router: Routed) -> None:
    answer = router.ask(max_completion_tokens=-1)
    assert answer.status == 400
    assert answer.error
    assert "must be an integer above 0" in answer.error["message"]


@pytest.mark.parametrize("api", ["openai", "anthropic"])
@pytest.mark.parametrize(("window", "who"), [(1_000_000, "beta"), (128_000, ""), (8_000, "")])
def test_what_is_too_long_goes_to_a_larger_window_only(
    alpha: Vendor, beta: Vendor, keys: dict[str, str], api: str, window: int, who: str
) -> None:
    policy = two(alpha, beta, (api, "openai")).model_dump(mode="json")
    policy["workloads"]["code"]["fallbacks"] = [target("beta", context_window=window)]
    with routed(RouterPolicy.model_validate(policy), keys) as router:
        alpha.order("context-length")
        answer = router.ask()
        assert router.state("alpha") == "closed"
    if who:
        assert answer.is_whole_from(who)
        assert answer.failover == "alpha=context"
    else:
        assert answer.status == 400
        assert answer.error
        assert "larger than any model" in answer.error["message"]


@pytest.mark.parametrize("model", ["nope", "router/nope", "openai/code", "", None, 7, "alpha-large"])
def test_an_unknown_workload_is_refused(router: Routed, alpha: Vendor, model: Any) -> None:
    before = alpha.count()
    answer = router.ask(model)
    assert answer.status == 404
    assert alpha.count() == before


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"model": "code"}', b"[" * 100_000])
def test_what_is_no_request_is_refused(router: Routed, body: bytes) -> None:
    got = requests.post(f"{router.url}/v1/chat/completions", data=body, timeout=5)
    assert got.status_code in (400, 404)
    assert got.json()["error"]["message"]


def test_models_are_the_workloads(router: Routed) -> None:
    listed = requests.get(f"{router.url}/v1/models", timeout=5).json()
    assert [model["id"] for model in listed["data"]] == ["code", "safe", "alone"]


def test_no_key_is_ever_shown(
    alpha: Vendor, beta: Vendor, keys: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    rows: list[tuple[str, Any]] = [
        ("status", {"status": code}) for code in (400, 401, 403, 422, 429, 500)
    ] + [("html", {}), ("reset", {}), ("error-in-band", {"tokens": 0})]
    shown = ""
    with routed(two(alpha, beta), keys) as router:
        for fault, figures in rows:
            for vendor in (alpha, beta):
                vendor.order(fault, **figures)
            for stream in (True, False):
                answer = router.ask(stream=stream)
                shown += answer.raw + json.dumps(answer.headers)
        shown += json.dumps(router.health()) + repr(router.force) + repr(vars(router.router.boards.users))
    shown += caplog.text
    assert "provider=" in caplog.text
    for key in keys.values():
        assert key not in shown
        assert key[:8] not in shown
        assert key[-8:] not in shown


def test_a_missing_or_wrong_key_falls_back_and_a_new_one_starts_afresh(
    alpha: Vendor, beta: Vendor, keys: dict[str, str]
) -> None:
    policy = two(alpha, beta)
    with routed(policy, {"beta": beta.key}) as router:
        assert router.ask().failover == "alpha=no-key"
        for key, cause in (("wrong", "access-refused"), (alpha.key, "none")):
            router.force = InForce(policy, Keys({"alpha": key, "beta": beta.key}))
            router.reload()
            assert cause in router.ask().failover


def test_a_reload_keeps_streams_in_flight_and_breakers(
    router: Routed, alpha: Vendor, beta: Vendor, keys: dict[str, str]
) -> None:
    alpha.order("slow", seconds=0.01, pace=0.1)
    told: list[Answer] = []
    threads = [threading.Thread(target=lambda: told.append(router.ask())) for _ in range(5)]
    before = alpha.count()
    for thread in threads:
        thread.start()
    until(lambda: alpha.count() == before + 5, 3)
    changed = {
        "providers": {"beta": provider(beta)},
        "workloads": {"new": {"primary": target("beta"), "fail_closed": True}},
    }
    router.force = InForce(RouterPolicy.model_validate(changed), Keys(keys))
    router.reload()
    assert router.ask("new").is_whole_from("beta")
    assert router.ask("code").status == 404
    for thread in threads:
        thread.join()
    assert len(told) == 5
    assert all(answer.is_whole_from("alpha") for answer in told)


def test_health_tells_breakers_and_who_answered(router: Routed, alpha: Vendor) -> None:
    assert router.health()["status"] == "ok"
    alpha.order("status", status=500)
    router.ask()
    health = router.health()
    assert health["status"] == "failing", "the fail-closed one has nobody else"
    assert health["workloads"] == {"code": "degraded", "safe": "degraded", "alone": "failing"}
    assert health["requests"] == {"code": {"beta": 1}}
    (breaker,) = [b for b in health["breakers"] if b["provider"] == "alpha"]
    assert (breaker["state"], breaker["cause"]) == ("open", "server-error")
