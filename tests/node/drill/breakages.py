"""The router with one of its ten behaviours turned off: `python -m tests.node.drill.breakages NAME …`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from appliance.contract.router_policy import Api, Provider, Target
from appliance.node.router import __main__ as router
from appliance.node.router import attempt, classify, content, dialects, shaping
from appliance.node.router.attempt import Attempt, Upstream
from appliance.node.router.breaker import Breaker, Permit
from appliance.node.router.classify import Cause, Failed, Outcome, Verdict
from appliance.node.router.content import StreamCheck
from appliance.node.router.dialects import Ask, Question
from appliance.node.router.race import Cancel, Move, Race, _Is
from appliance.node.router.relay import Candidate, Relay
from appliance.node.router.switchboard import Switchboard

BREAKAGES: dict[str, Callable[[], None]] = {}


def breakage(function: Callable[[], None]) -> Callable[[], None]:
    BREAKAGES[function.__name__] = function
    return function


# --- 1: the head is held until the first content


@breakage
def role_is_content() -> None:
    original = StreamCheck._choice

    def choice(self: StreamCheck, value: object) -> bool:
        original(self, value)
        return True

    StreamCheck._choice = choice  # type: ignore[method-assign, assignment]


# --- 2: content is timed, not bytes


class _Touching:
    """An upstream whose every byte puts off the hedge."""

    def __init__(self, upstream: Upstream, race: Race) -> None:
        self._upstream = upstream
        self._race = race
        self.status = upstream.status
        self.headers: Mapping[str, str] = upstream.headers

    async def read(self) -> bytes:
        data = await self._upstream.read()
        self._race._hedge_at = asyncio.get_running_loop().time() + self._race._hedge
        return data

    def close(self) -> None:
        self._upstream.close()


@breakage
def bytes_put_off_the_hedge() -> None:
    original = Relay.__init__

    def init(self: Relay, *given: Any) -> None:
        original(self, *given)
        opener, race = self._opener, self._race

        class Opener:
            async def open(self, question: Question, connect: float) -> Upstream:
                return _Touching(await opener.open(question, connect), race)

        self._opener = Opener()

    Relay.__init__ = init  # type: ignore[method-assign, assignment]


@breakage
def bytes_are_signs_of_life() -> None:
    original = Attempt._step

    async def step(self: Attempt, upstream: Upstream) -> list[bytes]:
        made = await original(self, upstream)
        self._content_at = asyncio.get_running_loop().time()
        return made

    Attempt._step = step  # type: ignore[method-assign]


# --- 3: hedge, don't kill


@breakage
def the_hedge_kills() -> None:
    def tick(self: Race, now: float) -> list[Move]:
        index = self._next_hedge()
        if index is None or now < self._hedge_at:
            return []
        late: list[Move] = [Cancel(other, silent=True) for other in self.running]
        for other in self.running:
            self._is[other] = _Is.OUT
        return late + self._start(index, now)

    Race.tick = tick  # type: ignore[method-assign]


@breakage
def silence_is_waited_for() -> None:
    Race.tick = lambda self, now: []  # type: ignore[method-assign]


# --- 4: after content, by workload


@breakage
def a_break_is_a_silent_end() -> None:
    shaping.in_band = lambda status, message: b"data: [DONE]\n\n"


@breakage
def nothing_is_held() -> None:
    original = Relay.__init__

    def init(self: Relay, *given: Any) -> None:
        original(self, *given)
        self._holds = False

    Relay.__init__ = init  # type: ignore[method-assign, assignment]


# --- 5: a 200 is checked


@breakage
def an_end_is_an_end() -> None:
    def end(self: StreamCheck) -> bytes:
        self.done = self.content = True
        return content.DONE

    StreamCheck.end = end  # type: ignore[method-assign]


@breakage
def whole_answers_are_passed_on() -> None:
    original = dialects.whole

    def whole(ask: Ask, api: Api, body: bytes) -> bytes:
        try:
            return original(ask, api, body)
        except Failed:
            return body

    attempt.check_type = lambda headers, stream: None  # type: ignore[attr-defined]
    dialects.whole = whole


# --- 6: the client's own mistakes, and what is too long


@breakage
def too_long_is_the_clients_own() -> None:
    def cause(status: int, words: str, envelope: bool) -> Cause:
        return Cause.REQUEST

    classify._cause_of_bad_request = cause


@breakage
def the_clients_own_is_tried_elsewhere() -> None:
    classify._VERDICTS[Cause.REQUEST] = Verdict.RETRYABLE


# --- 7: breakers


@breakage
def no_breaker_opens() -> None:
    def failed(self: Breaker, permit: Permit, outcome: Outcome, now: float) -> None:
        self.let_go(permit)

    Breaker.failed = failed  # type: ignore[method-assign]


@breakage
def no_breaker_closes() -> None:
    Breaker.admits = lambda self, now: self._until is None  # type: ignore[method-assign]


@breakage
def retry_after_is_not_heard() -> None:
    classify.retry_after = lambda headers: None


# --- 8: fail-closed


@breakage
def a_cooldown_masks_the_cause() -> None:
    original = Switchboard.candidates

    def candidates(self: Switchboard, workload: str, now: float) -> list[Candidate]:
        return [candidate for candidate in original(self, workload, now) if not candidate.open]

    Switchboard.candidates = candidates  # type: ignore[method-assign]


# --- 9: key and model by provider


@breakage
def the_model_is_the_clients() -> None:
    original = dialects.question

    def question(ask: Ask, provider: Provider, target: Target, key: str) -> Question:
        return original(ask, provider, target.model_copy(update={"model": ask.body["model"]}), key)

    dialects.question = question


@breakage
def all_get_one_key() -> None:
    original = Switchboard._candidate

    def candidate(self: Switchboard, target: Target, now: float) -> Candidate:
        return replace(original(self, target, now), key=self.force.keys.get("alpha"))

    Switchboard._candidate = candidate  # type: ignore[method-assign]


# --- 10: answers say who gave them, nobody works for nothing, there is an end


@breakage
def nobody_says_who_answered() -> None:
    shaping.told_by = lambda provider, passed: {shaping.PROVIDER: "", shaping.FAILOVER: ""}


@breakage
def losers_go_on() -> None:
    Relay._drop = lambda self, run: None  # type: ignore[method-assign]


@breakage
def there_is_no_deadline() -> None:
    Relay._deadline = lambda self: self._begun + 3600  # type: ignore[method-assign]


if __name__ == "__main__":
    BREAKAGES[sys.argv[1]]()
    sys.exit(router.main(sys.argv[2:]))
