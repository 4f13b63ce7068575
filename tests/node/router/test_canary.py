"""Each provider and model is asked with its own key, all at once, and no breaker moves."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from appliance.contract.drill import Canaries
from appliance.contract.router_policy import RouterPolicy
from appliance.node.router.attempt import Upstream
from appliance.node.router.canary import LIMITS, ask_all
from appliance.node.router.classify import WORDS, Cause
from appliance.node.router.dialects import Question
from appliance.node.router.keys import Keys
from appliance.node.router.switchboard import InForce
from appliance.node.router.upstream import HttpOpener, new_session
from tests.node.router.house import Routed, Vendor, routed, target, two
from tests.node.router.virtual import FOREVER, run


def canaries(router: Routed) -> Canaries:
    return asyncio.run(router.admin.canary())


def detail(said: Canaries, provider: str) -> str:
    (one,) = [canary for canary in said.canaries if canary.provider == provider]
    assert one.ok is (one.detail == "answered")
    return one.detail


@pytest.mark.parametrize("apis", [("openai", "anthropic"), ("anthropic", "openai")])
def test_each_provider_and_model_is_asked_once_and_who_depends_on_it_is_told(
    alpha: Vendor, beta: Vendor, keys: dict[str, str], apis: tuple[str, str]
) -> None:
    before = alpha.count(), beta.count()
    with routed(two(alpha, beta, apis), keys) as router:
        said = canaries(router)
    assert said.ok
    assert {c.provider: (c.model, c.detail, c.workloads) for c in said.canaries} == {
        "alpha": ("alpha-large", "answered", ("code", "safe", "alone")),
        "beta": ("beta-large", "answered", ("code", "safe")),
    }
    assert (alpha.count(), beta.count()) == (before[0] + 1, before[1] + 1)
    assert not alpha.calls()[-1]["stream"]


def test_a_refused_fallback_key_is_found_before_it_is_needed(
    alpha: Vendor, beta: Vendor, keys: dict[str, str]
) -> None:
    with routed(two(alpha, beta), {**keys, "beta": "not-its-key"}) as router:
        said = canaries(router)
        assert detail(said, "alpha") == "answered"
        assert detail(said, "beta") == f"{WORDS[Cause.ACCESS_REFUSED]} (401)"
        assert "not-its-key" not in said.model_dump_json()


@pytest.mark.parametrize(
    ("fault", "figures", "cause", "status"),
    [
        ("quota", {}, Cause.ACCOUNT, " (429)"),
        ("status", {"status": 404}, Cause.MODEL_UNKNOWN, " (404)"),
        ("status", {"status": 529}, Cause.SERVER_ERROR, " (529)"),
        ("reset", {}, Cause.DROPPED, ""),
        ("html", {}, Cause.MALFORMED, ""),
    ],
)
def test_what_is_wrong_is_told_in_neutral_words_and_no_breaker_moves(
    router: Routed, beta: Vendor, fault: str, figures: dict[str, Any], cause: Cause, status: str
) -> None:
    beta.order(fault, **figures)
    assert detail(canaries(router), "beta") == WORDS[cause] + status
    assert router.state("beta") == "closed"
    assert router.health()["requests"] == {}


def test_a_canary_that_is_answered_leaves_an_open_breaker_to_its_probe(router: Routed, alpha: Vendor) -> None:
    alpha.order("status", status=401)
    assert router.ask().provider == "beta"
    alpha.heal()
    assert detail(canaries(router), "alpha") == "answered"
    assert router.state("alpha") == "open"


def test_who_never_answers_is_told_so(alpha: Vendor, beta: Vendor, keys: dict[str, str]) -> None:
    beta.order("hang")

    async def asked() -> Canaries:
        async with new_session() as session:
            return await ask_all(InForce(two(alpha, beta), Keys(keys)), HttpOpener(session), seconds=2)

    said = asyncio.run(asked())
    assert detail(said, "alpha") == "answered"
    assert detail(said, "beta") == WORDS[Cause.DEADLINE]


# --- what the lab's vendors do not say


@dataclass
class _Said:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})

    async def read(self) -> bytes:
        body, self.body = self.body, b""
        return body

    def close(self) -> None:
        pass


class Picky:
    """OpenAI and its likes: takes the limit of an answer by one name only, or by none."""

    def __init__(self, limit: str, then: _Said) -> None:
        self.limit = limit
        self.then = then
        self.asked: list[dict[str, Any]] = []

    async def open(self, question: Question, connect: float) -> Upstream:
        body = json.loads(question.body)
        self.asked.append(body)
        if self.limit in body:
            return self.then
        refusal = {"error": {"message": "Unsupported parameter.", "type": "invalid_request_error"}}
        return _Said(400, json.dumps(refusal).encode())


def completion(text: str, reason: str) -> _Said:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
    return _Said(200, json.dumps({"choices": [choice]}).encode())


def alone(api: str = "openai") -> InForce:
    policy = {
        "providers": {"alpha": {"api": api, "base_url": "http://alpha/v1", "credential": "alpha"}},
        "workloads": {"code": {"primary": target("alpha"), "fail_closed": True}},
        "canary": {"max_tokens": 24},
    }
    return InForce(RouterPolicy.model_validate(policy), Keys({"alpha": "key"}))


@pytest.mark.parametrize("limit", LIMITS)
def test_the_limit_of_an_answer_goes_by_the_name_that_the_provider_takes(limit: str) -> None:
    picky = Picky(limit, completion("ok", "stop"))
    assert run(ask_all(alone(), picky)).ok
    assert picky.asked[-1][limit] == 24


def test_a_provider_that_takes_no_limit_is_told_so_after_two_tries() -> None:
    picky = Picky("none", completion("ok", "stop"))
    (said,) = run(ask_all(alone(), picky)).canaries
    assert (said.ok, said.detail) == (False, f"{WORDS[Cause.REQUEST]} (400): Unsupported parameter.")
    assert len(picky.asked) == 2


def test_an_answer_that_met_its_limit_before_its_first_word_is_one() -> None:
    assert run(ask_all(alone(), Picky("max_tokens", completion("", "length")))).ok
    words = "Could not finish the message because max_tokens or model output limit was reached."
    refused = _Said(400, json.dumps({"error": {"message": words}}).encode())
    assert run(ask_all(alone(), Picky("max_completion_tokens", refused))).ok


def test_all_are_asked_at_once_and_within_half_a_minute(alpha: Vendor, beta: Vendor) -> None:
    class Deaf:
        async def open(self, question: Question, connect: float) -> Upstream:
            await asyncio.sleep(FOREVER)
            raise AssertionError

    async def asked() -> tuple[Canaries, float]:
        said = await ask_all(InForce(two(alpha, beta), Keys({"alpha": "a", "beta": "b"})), Deaf())
        return said, asyncio.get_running_loop().time()

    said, seconds = run(asked())
    assert seconds == 30
    assert [canary.seconds for canary in said.canaries] == [30, 30]
