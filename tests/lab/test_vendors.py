"""The fake vendors: what the real `openai` client and raw HTTP see of them, well and ill."""

from __future__ import annotations

import json
import logging
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

from appliance.lab.vendors import vendor_app
from appliance.lab.vendors.faults import FAULTS
from tests.lab.serving import serving, until
from tests.lab.vendor_words import WEATHER, stream_events

MESSAGES: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "which way is up"}]


@dataclass
class Alpha:
    url: str
    key: str

    def client(self, key: str = "", timeout: float = 10) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=key or self.key, max_retries=0, timeout=timeout
        )

    def order(self, fault: str, **figures: Any) -> None:
        answer = requests.put(f"{self.url}/_lab/fault", json={"fault": fault, **figures}, timeout=10)
        assert answer.status_code == 200, answer.text

    def heal(self) -> None:
        requests.delete(f"{self.url}/_lab/fault", timeout=10).raise_for_status()

    def seen(self) -> dict[str, Any]:
        told: dict[str, Any] = requests.get(f"{self.url}/_lab/requests", timeout=10).json()
        return told

    def post(
        self, body: dict[str, Any], path: str = "/v1/chat/completions", **more: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}", "x-api-key": self.key}
        return requests.post(f"{self.url}{path}", json=body, headers=headers, timeout=10, **more)

    def ask(self, stream: bool) -> requests.Response:
        return self.post({"model": "m", "messages": MESSAGES, "stream": stream}, stream=stream)


@pytest.fixture(scope="module")
def running() -> Iterator[Alpha]:
    key = secrets.token_urlsafe(24)
    with serving(vendor_app("alpha", key)) as url:
        yield Alpha(url, key)


@pytest.fixture
def alpha(running: Alpha) -> Iterator[Alpha]:
    yield running
    running.heal()


def test_openai_client_gets_an_answer_that_says_who_gave_it(alpha: Alpha) -> None:
    answer = alpha.client().chat.completions.create(model="large", messages=MESSAGES)
    assert answer.choices[0].message.content == "alpha/large heard: which way is up"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert answer.usage.prompt_tokens == 6


def test_openai_stream_carries_role_content_finish_usage_and_done(alpha: Alpha) -> None:
    stream = alpha.client().chat.completions.create(
        model="large", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == (
        "alpha/large heard: which way is up"
    )
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert alpha.ask(True).text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_openai_forced_tool_is_called_with_arguments_that_fit(alpha: Alpha, choice: Any) -> None:
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    asked: Any = {"model": "m", "messages": MESSAGES, "tools": tools, "tool_choice": choice}
    choice = alpha.client().chat.completions.create(**asked).choices[0]
    assert choice.finish_reason == "tool_calls"
    called = choice.message.tool_calls[0].function
    assert called.name == "weather"
    assert json.loads(called.arguments)["days"] == 1

    streamed = ""
    for chunk in alpha.client().chat.completions.create(**asked, stream=True):
        for call in chunk.choices[0].delta.tool_calls or []:
            streamed += call.function.arguments
    assert streamed == called.arguments


def test_a_conversation_is_remembered_as_it_was_told(alpha: Alpha) -> None:
    said = [
        ("user", "first"),
        ("assistant", "yes"),
        ("user", [{"type": "text", "text": "then"}]),
        ("user", "x"),
    ]
    alpha.post({"model": "m", "messages": [{"role": role, "content": words} for role, words in said]})
    assert alpha.seen()["last"][-1]["before"] == ["first", "then"]
    assert alpha.seen()["last"][-1]["heard"] == "x"


def test_openai_lists_models(alpha: Alpha) -> None:
    assert [m.id for m in alpha.client().models.list()] == ["alpha-large", "alpha-small"]


def test_a_token_limit_ends_the_answer_and_says_so(alpha: Alpha) -> None:
    answer = alpha.client().chat.completions.create(model="m", messages=MESSAGES, max_tokens=2)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (
        "alpha/m heard:",
        "length",
    )


def test_a_wrong_key_is_refused_in_openais_words(alpha: Alpha) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        alpha.client(key="wrong").chat.completions.create(model="m", messages=MESSAGES)
    assert refused.value.code == "invalid_api_key"
    assert "wrong" not in refused.value.message
    answer = requests.get(f"{alpha.url}/v1/models", timeout=10)
    assert answer.status_code == 401
    assert "You didn't provide an API key" in answer.json()["error"]["message"]


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"Authorization": "Bearer wrong"}])
def test_a_wrong_key_is_refused_in_anthropics_words(alpha: Alpha, headers: dict[str, str]) -> None:
    answer = requests.post(f"{alpha.url}/v1/messages", json={}, headers=headers, timeout=10)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"


def test_anthropic_answers_plain_and_streaming_alike(alpha: Alpha) -> None:
    asked = {"model": "opus", "max_tokens": 99, "messages": [MESSAGES[1]]}
    plain = alpha.post(asked, "/v1/messages").json()
    assert plain["content"] == [{"type": "text", "text": "alpha/opus heard: which way is up"}]
    assert plain["stop_reason"] == "end_turn"

    events = stream_events(alpha.post({**asked, "stream": True}, "/v1/messages").text)
    kinds = [e["type"] for e in events]
    assert kinds[:3] == ["message_start", "content_block_start", "ping"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert (
        "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta")
        == (plain["content"][0]["text"])
    )


def test_anthropic_forced_tool_is_called(alpha: Alpha) -> None:
    tools = [{"name": "weather", "input_schema": WEATHER}]
    asked = {"model": "m", "max_tokens": 99, "messages": [MESSAGES[1]], "tools": tools}
    asked["tool_choice"] = {"type": "tool", "name": "weather"}
    plain = alpha.post(asked, "/v1/messages").json()
    assert plain["stop_reason"] == "tool_use"
    assert plain["content"][0]["input"]["days"] == 1
    events = stream_events(alpha.post({**asked, "stream": True}, "/v1/messages").text)
    parts = [e["delta"]["partial_json"] for e in events if e["type"] == "content_block_delta"]
    assert json.loads("".join(parts)) == plain["content"][0]["input"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"messages": []}', b'{"model": "m", "messages": []}', b'{"model": "m", "messages": "x"}'],
)
def test_a_bad_body_is_the_clients_own_400(alpha: Alpha, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {alpha.key}"}
    answer = requests.post(f"{alpha.url}/v1/chat/completions", data=body, headers=headers, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_an_unknown_path_is_404_in_the_vendors_envelope(alpha: Alpha) -> None:
    assert alpha.post({}, "/v1/embeddings").json()["error"]["code"] == "unknown_url"


@pytest.mark.parametrize("code", [401, 402, 403, 404, 429, 500, 502, 503, 504, 529])
def test_every_error_status_can_be_ordered_for_both_vendors(alpha: Alpha, code: int) -> None:
    alpha.order("status", status=code, retry_after=7)
    answer = alpha.ask(False)
    assert (answer.status_code, answer.headers["Retry-After"]) == (code, "7")
    assert answer.json()["error"]["message"]
    answer = alpha.post({"model": "m", "max_tokens": 9, "messages": MESSAGES}, "/v1/messages")
    assert (answer.status_code, answer.json()["type"]) == (code, "error")


@pytest.mark.parametrize(
    ("fault", "code"), [("quota", "insufficient_quota"), ("context-length", "context_length_exceeded")]
)
def test_refusals_have_the_vendors_codes(alpha: Alpha, fault: str, code: str) -> None:
    alpha.order(fault)
    with pytest.raises(openai.APIStatusError) as refused:
        alpha.client().chat.completions.create(model="m", messages=MESSAGES)
    assert refused.value.code == code


def test_a_fault_strikes_what_it_matches_and_as_often_as_ordered(alpha: Alpha) -> None:
    alpha.order("status", model="big-*", count=2)
    codes = [alpha.post({"model": m, "messages": MESSAGES}).status_code for m in ("a", *["big-1"] * 3)]
    assert codes == [200, 503, 503, 200]
    alpha.order("status", path="/v1/messages")
    assert alpha.ask(False).status_code == 200
    alpha.order("status", stream=True)
    assert [alpha.ask(stream).status_code for stream in (False, True)] == [200, 503]


def test_an_unknown_fault_or_figure_is_refused_and_changes_nothing(alpha: Alpha) -> None:
    alpha.order("status")
    for order in ({"fault": "gremlins"}, {"fault": "hang", "seconds": 1e9}, {"fault": "hang", "typo": 1}):
        assert requests.put(f"{alpha.url}/_lab/fault", json=order, timeout=10).status_code == 400
    assert alpha.ask(False).status_code == 503


@pytest.mark.parametrize("stream", [False, True])
def test_reset_breaks_the_connection(alpha: Alpha, stream: bool) -> None:
    alpha.order("reset")
    with pytest.raises(requests.ConnectionError):
        alpha.ask(stream)
    assert alpha.seen()["last"][-1]["outcome"] == "broken"


@pytest.mark.parametrize("fault", ["hang", "black-hole", "trickled-headers"])
def test_silent_vendors_end_by_themselves_without_an_answer(alpha: Alpha, fault: str) -> None:
    alpha.order(fault, seconds=0.3, pace=0.05)
    with pytest.raises(requests.ConnectionError):
        alpha.ask(False)


@pytest.mark.parametrize("fault", ["hang", "black-hole", "trickled-headers", "slow"])
def test_silent_vendors_outlast_a_client(alpha: Alpha, fault: str) -> None:
    alpha.order(fault, seconds=30)
    with pytest.raises(openai.APITimeoutError):
        alpha.client(timeout=0.4).chat.completions.create(model="m", messages=MESSAGES)


def test_healing_ends_what_hangs_at_once(alpha: Alpha) -> None:
    alpha.order("hang", seconds=600)
    with socket.create_connection(alpha.url[7:].split(":"), timeout=10) as raw:  # type: ignore[arg-type]
        raw.sendall(
            f"GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {alpha.key}\r\n\r\n".encode()
        )
        until(lambda: alpha.seen()["last"][-1]["fault"] == "hang")
        alpha.heal()
        assert raw.recv(1) == b""  # closed, long before its time


def _received(alpha: Alpha, stream: bool) -> tuple[bytes, bool]:
    """What came of the body, and whether it ended as it should."""
    answer, got = alpha.post({"model": "m", "messages": MESSAGES, "stream": stream}, stream=True), b""
    assert answer.status_code == 200
    try:
        for data in answer.iter_content(1):
            got += data
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        return got, False
    return got, True


@pytest.mark.parametrize(
    ("fault", "figures", "content"),
    [
        ("stall-after-role", {}, 0),
        ("cut-before-content", {}, 0),
        ("stall-after-token", {}, 1),
        ("cut-after-content", {"tokens": 3}, 3),
        ("comments-only", {"pace": 0.05}, 0),
    ],
)
def test_broken_streams_break_where_ordered(
    alpha: Alpha, fault: str, figures: dict[str, Any], content: int
) -> None:
    alpha.order(fault, seconds=0.3, **figures)
    got, ended = _received(alpha, True)
    assert not ended
    assert sum(bool(e["choices"][0]["delta"].get("content")) for e in stream_events(got.decode())) == content
    assert b"[DONE]" not in got
    got, ended = _received(alpha, False)
    assert not ended
    with pytest.raises(ValueError, match=r".*"):
        json.loads(got)


def test_a_trickled_body_is_the_right_answer_slowly(alpha: Alpha) -> None:
    alpha.order("trickled-body", seconds=0.3, pace=0.02)
    got, ended = _received(alpha, True)
    assert not ended
    assert 0 < len(got) < 100
    assert b'data: {"id": "chatcmpl-'.startswith(got[:20])


@pytest.mark.parametrize("stream", [False, True])
def test_answers_that_look_fine_but_are_not(alpha: Alpha, stream: bool) -> None:
    alpha.order("html")
    assert alpha.ask(stream).headers["Content-Type"].startswith("text/html")
    alpha.order("empty-body")
    assert alpha.ask(stream).content == b""
    alpha.order("malformed-json")
    body = alpha.ask(stream).text
    with pytest.raises(ValueError, match=r".*"):
        json.loads(body.removeprefix("data: "))
    alpha.order("error-in-band", tokens=0)
    assert "error" in json.loads(alpha.ask(stream).text.removeprefix("data: "))


def test_an_error_in_band_reaches_the_client_after_some_content(alpha: Alpha) -> None:
    alpha.order("error-in-band", tokens=2)
    stream = alpha.client().chat.completions.create(model="m", messages=MESSAGES, stream=True)
    got: list[str] = []
    with pytest.raises(openai.APIError):
        got.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "".join(got) == "alpha/m heard:"


@pytest.mark.parametrize("stream", [False, True])
def test_a_slow_vendor_is_healthy(alpha: Alpha, stream: bool) -> None:
    alpha.order("slow", seconds=0.3)
    begun = time.monotonic()
    assert "which" in alpha.ask(stream).text
    assert time.monotonic() - begun >= 0.3


def test_records_tell_what_was_asked_but_no_key_and_no_long_content(alpha: Alpha) -> None:
    before = alpha.seen()["count"]
    long = "x" * 5000
    alpha.post({"model": "m", "messages": [{"role": "user", "content": long}]})
    seen = alpha.seen()
    assert seen["count"] == before + 1
    last = seen["last"][-1]
    assert (last["model"], last["status"], last["outcome"]) == ("m", 200, "answered")
    assert last["size"] > 5000
    assert alpha.key not in json.dumps(seen)
    assert "x" * 200 not in json.dumps(seen)


def test_a_client_that_leaves_is_seen_to_leave(alpha: Alpha) -> None:
    alpha.order("stall-after-token", seconds=60)
    with alpha.ask(True) as answer:
        next(answer.iter_content(1))
    until(lambda: alpha.seen()["last"][-1]["outcome"] == "client left")


def test_no_key_is_logged(alpha: Alpha, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        alpha.ask(False)
        requests.get(f"{alpha.url}/v1/models", headers={"Authorization": "Bearer wrong-key-here"}, timeout=10)
    assert alpha.key not in caplog.text
    assert "wrong-key-here" not in caplog.text


def test_a_body_of_32_mb_passes(alpha: Alpha) -> None:
    answer = alpha.post({"model": "m", "messages": [{"role": "user", "content": "y" * (32 << 20)}]})
    assert answer.status_code == 200
    assert len(answer.content) < 2000


def test_a_larger_body_is_refused_by_413(alpha: Alpha) -> None:
    answer = alpha.post({"model": "m", "messages": [{"role": "user", "content": "y" * (34 << 20)}]})
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "invalid_request_error")
    assert alpha.seen()["last"][-1]["outcome"] == "refused"


def test_every_fault_is_one_of_this_page_or_tested_by_name() -> None:
    text = Path(__file__).read_text()
    assert [name for name in FAULTS if f'"{name}"' not in text] == []


def test_a_rotated_key_is_taken_and_the_revoked_one_is_not(alpha: Alpha) -> None:
    new = secrets.token_urlsafe(24)

    def take(*keys: str) -> None:
        told = requests.put(f"{alpha.url}/_lab/keys", json={"keys": keys}, timeout=10)
        assert told.json() == {"keys": len(keys)}

    take(alpha.key, new)
    assert [bool(alpha.client(key).models.list().data) for key in (alpha.key, new)] == [True, True]
    try:
        take(new)
        with pytest.raises(openai.AuthenticationError):
            alpha.client().models.list()
    finally:
        take(alpha.key)
