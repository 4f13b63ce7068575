"""OpenClaw as it behaves in front of one provider, strictly asked: what the router is to reckon with.

Every test is a finding about OpenClaw itself, against a provider that follows a script. Where a new version
of OpenClaw makes one red, it is not as the router takes it to be: look there before changing the test.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.conftest import Node, node_shell
from tests.e2e.openclaw import (
    QUICK,
    Answer,
    OpenClaw,
    scripted_provider,
    scripted_providers,
    second_openclaw,
)
from tests.lab.serving import until

pytestmark = pytest.mark.lab

WORDS = "all of them said no"  # what a router might say; none that OpenClaw knows
QUESTION = "Which provider are you?"
HEALTHY: dict[str, Any] = {}
IDLE_SECONDS = 24  # three times the timeoutSeconds of a quick provider
COOLDOWN_OVER = 33  # seconds: past the 30 after a refused key


def error(
    words: str = WORDS, code: str | int | None = None, status: int = 0, **headers: str
) -> dict[str, Any]:
    """The script of an error: a status with a body, or in a stream that has begun."""
    body = {"error": {"message": words, "type": "router_error", "code": code}}
    return {"status": status, "json": body, "headers": headers} if status else {"json": body}


def event(value: Any, wait: float = 0) -> list[Any]:
    return [wait, f"data: {json.dumps(value)}\n\n"]


def chunk(delta: Mapping[str, Any], finish: str | None = None, wait: float = 0) -> list[Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return event({**head, "choices": [choice]}, wait)


ROLE, PARTIAL, DONE = (
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "par"}),
    [0, "data: [DONE]\n\n"],
)
WHOLE = [ROLE, chunk({"content": "late but "}), chunk({"content": "whole"}), chunk({}, "stop"), DONE]


def in_band(code: str | int | None, *before: list[Any]) -> dict[str, Any]:
    return {"pieces": [*before, event(error(code=code)["json"]), DONE]}


@dataclass(frozen=True)
class Try:
    """A script, asked about; then, with `after`, the same provider healthy, so many seconds later."""

    script: dict[str, Any]
    stream: bool = False
    after: tuple[float, ...] = ()
    kind: str = "patient"

    def with_provider(self, name: str) -> dict[str, Any]:
        ask = {"header": f"{name}/m", "stream": self.stream, "text": QUESTION}
        again = [{"wait": seconds, "script": HEALTHY, "ask": ask} for seconds in self.after]
        return {"provider": name, "steps": [{"script": self.script, "ask": ask}, *again]}


STATUSES = {
    "500": error(status=500),
    "502": error(status=502),
    "503": error(status=503),
    "503 with Retry-After": error(status=503, **{"Retry-After": "7"}),
    "504": error(status=504),
    "400": error(status=400),
    "404": error(status=404),
    "422": error(status=422),
    "429": error(status=429),
    "409": error(status=409),
    "413": error(status=413),
    "418": error(status=418),
    "424": error(status=424),
    "401": error(status=401),
    "403": error(status=403),
    "402": error(status=402),
    "400 context length": error(status=400, code="context_length_exceeded"),
}
CREDITS = "You have insufficient credits."
QUOTA = "You exceeded your current quota, please check your plan and billing details."
# Errors in band before any content: how often OpenClaw asks, by the error's code.
CODES: dict[str | int | None, int] = {500: 1, 503: 1, "server_error": 1, "all_failed": 4, None: 4}
TRIES = {
    **{f"status {name}": Try(script, after=(0,)) for name, script in STATUSES.items()},
    **{f"stream {name}": Try(STATUSES[name], stream=True) for name in ("500", "503", "422", "429", "404")},
    **{
        f"{status}: {words}": Try(error(words, status=status), after=(0,))
        for status in (422, 429, 503)
        for words in (CREDITS, QUOTA)
    },
    **{f"in band {code}": Try(in_band(code, ROLE), after=(0,)) for code in CODES},
    "stream, error after content": Try(in_band(500, ROLE, PARTIAL), stream=True),
    "whole, error after content": Try(in_band(500, ROLE, PARTIAL)),
    "cut": Try({"pieces": [ROLE, PARTIAL]}),
    "finish_reason error": Try({"pieces": [ROLE, PARTIAL, chunk({}, "error"), DONE]}),
    "finish_reason content_filter": Try({"pieces": [ROLE, PARTIAL, chunk({}, "content_filter"), DONE]}),
    "healthy": Try(HEALTHY),
    "healthy stream": Try(HEALTHY, stream=True),
}
# What waits, and waits beside all other tests.
SLOW_TRIES = {
    "refused key": Try(error(status=401), after=(COOLDOWN_OVER,)),
    "must pay": Try(error(status=402), after=(COOLDOWN_OVER,)),
    "comments": Try({"pieces": [*[[1, ": still here\n\n"]] * IDLE_SECONDS, *WHOLE]}, kind=QUICK),
    "empty chunks": Try(
        {"pieces": [ROLE, *[chunk({"content": ""}, wait=1)] * IDLE_SECONDS, *WHOLE]}, kind=QUICK
    ),
    "comments, in time": Try({"pieces": [*[[0.5, ": still here\n\n"]] * 4, *WHOLE]}, kind=QUICK),
}


def made(openclaw: OpenClaw, tries: Mapping[str, Try]) -> dict[str, list[Answer]]:
    """All of them at once."""
    answers = openclaw.run(*(one.with_provider(openclaw.provider(one.kind)) for one in tries.values()))
    return dict(zip(tries, answers, strict=True))


def ask(openclaw: OpenClaw, provider: str, model: str) -> Answer:
    steps = [{"ask": {"header": model, "text": QUESTION}}]
    ((answer,),) = openclaw.run({"provider": provider, "steps": steps})
    return answer


def add_provider(config: dict[str, Any], name: str) -> None:
    config["models"]["providers"][name] = scripted_provider(name)
    config["agents"]["defaults"]["modelPolicy"]["allow"].append(f"{name}/m")


@pytest.fixture(scope="module")
def openclaw(node: Node) -> Iterator[OpenClaw]:
    """A second one on the node: strict, maxRetries 0, and awake."""
    with node_shell(node) as shell, second_openclaw(shell, scripted_providers(), {"main": {}}) as openclaw:
        yield openclaw


@pytest.fixture(scope="module")
def unasked(openclaw: OpenClaw) -> list[dict[str, Any]]:
    """Calls before anybody asked."""
    return openclaw.all_calls()


@pytest.fixture(scope="module")
def awake(openclaw: OpenClaw, unasked: list[dict[str, Any]]) -> OpenClaw:
    """The first answer after a start takes seconds."""
    made(openclaw, {"awake": Try(HEALTHY)})
    return openclaw


@pytest.fixture(scope="module")
def waiting(awake: OpenClaw) -> Iterator[Future[dict[str, list[Answer]]]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(made, awake, SLOW_TRIES)


@pytest.fixture(scope="module")
def told(awake: OpenClaw, waiting: Future[dict[str, list[Answer]]]) -> dict[str, list[Answer]]:
    return made(awake, TRIES)


@pytest.fixture(scope="module")
def waited(waiting: Future[dict[str, list[Answer]]]) -> dict[str, list[Answer]]:
    return waiting.result(timeout=300)


KEPT, MASKED = True, False


@pytest.mark.parametrize(
    ("sent", "got", "words", "calls"),
    [
        ("500", 502, MASKED, 1),
        ("502", 502, MASKED, 1),
        ("503", 502, MASKED, 1),
        ("503 with Retry-After", 502, MASKED, 1),
        ("504", 504, MASKED, 1),
        ("400", 400, KEPT, 1),
        ("404", 404, KEPT, 1),
        ("422", 422, KEPT, 1),
        ("429", 429, KEPT, 1),
        ("409", 500, MASKED, 4),
        ("413", 500, MASKED, 4),
        ("418", 500, MASKED, 4),
        ("424", 500, MASKED, 4),
        ("401", 401, KEPT, 1),
        ("403", 403, KEPT, 1),
        ("402", 402, KEPT, 1),
        ("400 context length", 500, MASKED, 1),
    ],
)
def test_a_status_becomes_this_status_with_these_words_after_so_many_calls(
    told: dict[str, list[Answer]], sent: str, got: int, words: bool, calls: int
) -> None:
    answer = told[f"status {sent}"][0]
    assert (answer.status, WORDS in answer.error, len(answer.calls)) == (got, words, calls), answer.error


@pytest.mark.parametrize("sent", ["500", "503", "422", "429", "404"])
def test_a_stream_is_always_a_200_and_ends_with_the_error_and_done(
    told: dict[str, list[Answer]], sent: str
) -> None:
    answer = told[f"stream {sent}"][0]
    assert (answer.status, answer.text, answer.done) == (200, "", True)
    assert answer.error


@pytest.mark.parametrize(
    ("sent", "called"), [(name, 0 if name in ("401", "402", "403") else 1) for name in STATUSES]
)
def test_only_refused_keys_and_bills_leave_the_next_request_without_a_call(
    told: dict[str, list[Answer]], sent: str, called: int
) -> None:
    after = told[f"status {sent}"][1]
    assert (len(after.calls), after.status) == (called, 200 if called else 500)


def test_a_refused_key_is_held_against_a_provider_for_half_a_minute(
    awake: OpenClaw, waited: dict[str, list[Answer]]
) -> None:
    refused, after = waited["refused key"]
    assert (refused.status, after.status, len(after.calls)) == (401, 200, 1)


def test_a_bill_disables_a_provider_for_ten_minutes(awake: OpenClaw, waited: dict[str, list[Answer]]) -> None:
    refused, after = waited["must pay"]
    assert (refused.status, after.status, after.calls) == (402, 500, [])
    held = awake.held_against(refused.provider)
    assert held["disabledReason"] == "billing"
    assert held["disabledUntil"] - held["lastFailureAt"] == 600_000


@pytest.mark.parametrize(
    ("status", "words", "called"),
    [
        (422, CREDITS, 0),
        (429, CREDITS, 0),
        (503, CREDITS, 1),
        (422, QUOTA, 1),
        (429, QUOTA, 1),
        (503, QUOTA, 1),
    ],
)
def test_words_about_credits_disable_a_provider_unless_they_come_with_a_503(
    told: dict[str, list[Answer]], status: int, words: str, called: int
) -> None:
    after = told[f"{status}: {words}"][1]
    assert (len(after.calls), after.status) == (called, 200 if called else 500)


@pytest.mark.parametrize(("code", "calls"), CODES.items())
def test_an_error_in_band_is_asked_again_unless_its_code_is_a_number_or_one_that_openclaw_knows(
    told: dict[str, list[Answer]], code: str | int | None, calls: int
) -> None:
    answer = told[f"in band {code}"][0]
    assert (len(answer.calls), answer.status) == (calls, 502 if calls == 1 else 500)


def test_an_error_in_band_leaves_nothing_behind(told: dict[str, list[Answer]]) -> None:
    after = told["in band 500"][1]
    assert (after.status, len(after.calls)) == (200, 1)


def test_an_error_after_content_follows_the_content_in_a_stream(told: dict[str, list[Answer]]) -> None:
    (answer,) = told["stream, error after content"]
    assert (answer.status, answer.text, answer.done, len(answer.calls)) == (200, "par", True, 1)
    assert answer.error


def test_an_error_after_content_takes_the_content_away_without_a_stream(
    told: dict[str, list[Answer]],
) -> None:
    (answer,) = told["whole, error after content"]
    assert (answer.status, answer.text, len(answer.calls)) == (502, "", 1)


def test_an_answer_without_an_end_is_a_time_out(told: dict[str, list[Answer]]) -> None:
    (answer,) = told["cut"]
    assert (answer.status, answer.text, len(answer.calls)) == (408, "", 1)


@pytest.mark.parametrize(("reason", "status"), [("error", 502), ("content_filter", 500)])
def test_a_finish_reason_can_be_an_error(told: dict[str, list[Answer]], reason: str, status: int) -> None:
    (answer,) = told[f"finish_reason {reason}"]
    assert (answer.status, answer.text, len(answer.calls)) == (status, "", 1)


def test_comments_do_not_keep_an_answer_alive(waited: dict[str, list[Answer]]) -> None:
    """Had it waited for the end, it would have had the answer."""
    (answer,) = waited["comments"]
    assert (answer.status, len(answer.calls)) == (500, 1)


def test_comments_do_no_harm_as_long_as_the_timer_has_not_run_out(waited: dict[str, list[Answer]]) -> None:
    (answer,) = waited["comments, in time"]
    assert (answer.status, answer.text) == (200, "late but whole")


def test_empty_chunks_keep_an_answer_alive(waited: dict[str, list[Answer]]) -> None:
    (answer,) = waited["empty chunks"]
    assert (answer.status, answer.text, len(answer.calls)) == (200, "late but whole", 1)


@pytest.mark.parametrize("asked", ["healthy", "healthy stream"])
def test_it_always_asks_for_a_stream_with_its_usage(told: dict[str, list[Answer]], asked: str) -> None:
    (answer,) = told[asked]
    (call,) = answer.calls
    assert call["body"]["stream"] is True
    assert call["body"]["stream_options"] == {"include_usage": True}
    assert answer.text.endswith("answered")


def test_a_provider_in_the_bodys_model_is_a_400(awake: OpenClaw) -> None:
    name = awake.provider()
    ((answer,),) = awake.run({"provider": name, "steps": [{"ask": {"model": f"{name}/m"}}]})
    assert (answer.status, answer.calls) == (400, [])


def test_nobody_is_asked_before_a_client_asks(unasked: list[dict[str, Any]]) -> None:
    assert unasked == []


def test_every_call_carries_what_a_client_asked(awake: OpenClaw, waited: dict[str, list[Answer]]) -> None:
    last = [call["body"]["messages"][-1] for call in awake.all_calls()]
    strays = [
        message for message in last if message["role"] != "user" or QUESTION not in str(message["content"])
    ]
    assert last
    assert strays == []


def test_streams_in_flight_outlive_a_change_of_the_config(awake: OpenClaw) -> None:
    names = [awake.provider() for _ in range(5)]
    beating = Try({"beat": chunk({"content": "tick "})[1], "pieces": [chunk({}, "stop"), DONE]}, stream=True)
    with ThreadPoolExecutor(1) as pool:
        streams = pool.submit(awake.run, *(beating.with_provider(name) for name in names))
        try:
            before = len(awake.all_calls())
            until(lambda: len(awake.all_calls()) >= before + len(names), 60)
            awake.configure(lambda config: add_provider(config, "added"))
            until(lambda: ask(awake, "added", "added/m").status == 200, 30)
            assert not streams.done(), "the change was not in force while they ran"
        finally:
            awake.run(*({"provider": name, "steps": [{"script": HEALTHY}]} for name in names))
        answers = [answer for (answer,) in streams.result(60)]
    assert [(answer.status, answer.error, answer.done) for answer in answers] == [(200, "", True)] * len(
        names
    )
    assert all(answer.text.startswith("tick tick ") for answer in answers)


def test_a_model_that_the_policy_does_not_name_is_refused(awake: OpenClaw) -> None:
    answer = ask(awake, "patient-0", "patient-0/nothing-like-it")
    assert (answer.status, answer.calls) == (400, [])


def test_without_a_policy_any_model_in_the_header_is_asked_for(awake: OpenClaw) -> None:
    """So the edge's map and the router are what keeps a workload's name right, not OpenClaw."""
    awake.configure(lambda config: config["agents"]["defaults"].pop("modelPolicy"))
    until(lambda: ask(awake, "patient-0", "patient-0/nothing-like-it").status == 200, 30)
