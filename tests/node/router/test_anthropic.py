"""Chat completions and messages say the same: requests, whole answers and streams, tool calls included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.node.router import anthropic
from appliance.node.router.classify import Cause, Failed
from appliance.node.router.content import StreamCheck, check_whole

TEXT = st.text(min_size=1, max_size=20)
NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
INPUTS = st.dictionaries(NAMES, st.integers() | st.text(max_size=5) | st.none(), max_size=3)
CALLS = st.fixed_dictionaries({"id": NAMES, "name": NAMES, "input": INPUTS})
TEXTS = st.builds(lambda text: {"type": "text", "text": text}, TEXT)
THOUGHTS = st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "s"}, TEXT)
TOOLS = st.builds(lambda call: {"type": "tool_use", **call}, CALLS)
BLOCKS = st.lists(THOUGHTS, max_size=1).flatmap(
    lambda first: st.lists(TEXTS | TOOLS, min_size=1, max_size=4).map(lambda rest: first + rest)
)


def message(blocks: Sequence[dict[str, Any]], reason: str = "end_turn") -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 4}
    return {
        "id": "m",
        "type": "message",
        "model": "x",
        "content": blocks,
        "stop_reason": reason,
        "usage": usage,
    }


def pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def streams(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A message, and events that bring it in pieces."""
    whole = message(draw(BLOCKS), draw(st.sampled_from(sorted(anthropic.FINISH))))
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 0}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(whole["content"]):
        kind = {"text": "text", "thinking": "thinking", "tool_use": "input_json"}[block["type"]]
        key = "partial_json" if kind == "input_json" else kind
        empty = {**block, "input": {}} if kind == "input_json" else {"type": kind, kind: ""}
        text = json.dumps(block["input"]) if kind == "input_json" else block[kind]
        if text == "{}" and draw(st.booleans()):
            text = ""
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [
            {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", key: piece}}
            for piece in pieces(draw, text)
        ]
        events += [{"type": "ping"}, {"type": "content_block_stop", "index": index}]
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": 5}})
    return whole, [*events, {"type": "message_stop"}]


def assembled(events: list[dict[str, Any]], usage: bool) -> dict[str, Any]:
    """What a client puts together from the translated stream, as a whole answer's choice and usage."""
    translator, check = anthropic.StreamTranslator(1, usage), StreamCheck()
    said: dict[str, Any] = {"content": None, "reasoning": None, "calls": [], "finish": None, "usage": None}
    for event in events:
        for data in translator.feed(json.dumps(event).encode()):
            check.take(data)
            if data == anthropic.DONE:
                continue
            value = json.loads(data)
            said["usage"] = value.get("usage", said["usage"])
            for choice in value["choices"]:
                delta = choice["delta"]
                said["finish"] = choice["finish_reason"] or said["finish"]
                if delta.get("content"):
                    said["content"] = (said["content"] or "") + delta["content"]
                if delta.get("reasoning_content"):
                    said["reasoning"] = (said["reasoning"] or "") + delta["reasoning_content"]
                for call in delta.get("tool_calls", []):
                    if "id" in call:
                        assert call["index"] == len(said["calls"])
                        said["calls"].append([call["id"], call["function"]["name"], ""])
                    said["calls"][call["index"]][2] += call["function"]["arguments"]
    assert check.done
    said["calls"] = [(name, tool, json.loads(arguments)) for name, tool, arguments in said["calls"]]
    return said


@given(streams(), st.booleans())
def test_a_stream_says_what_the_whole_answer_says(
    case: tuple[dict[str, Any], list[dict[str, Any]]], usage: bool
) -> None:
    whole, events = case
    answer = anthropic.to_answer(whole, 1)
    check_whole(answer)
    (choice,) = answer["choices"]
    said = choice["message"]
    assert assembled(events, usage) == {
        "content": said["content"],
        "reasoning": said.get("reasoning_content"),
        "calls": [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in said.get("tool_calls", [])
        ],
        "finish": choice["finish_reason"],
        "usage": answer["usage"] if usage else None,
    }


@given(BLOCKS)
def test_an_answer_sent_back_as_history_is_the_same_message_again(blocks: list[dict[str, Any]]) -> None:
    """Message to completion to request: texts join, thinking stays behind; tool calls keep everything."""
    said = anthropic.to_answer(message(blocks), 1)["choices"][0]["message"]
    history = [{"role": "user", "content": "q"}, said, {"role": "user", "content": "r"}]
    turns = anthropic.to_request({"messages": history}, "m", 9)["messages"]
    sent = turns[1]["content"] if turns[1]["role"] == "assistant" else []
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    assert "".join(block["text"] for block in sent if block["type"] == "text") == text
    assert [b for b in sent if b["type"] == "tool_use"] == [b for b in blocks if b["type"] == "tool_use"]


ROLES = st.sampled_from(["system", "developer", "user", "assistant"])


@given(st.lists(st.tuples(ROLES, st.text(max_size=8)), min_size=1, max_size=8))
def test_a_request_keeps_every_word_and_its_order(said: list[tuple[str, str]]) -> None:
    messages = [{"role": role, "content": text} for role, text in said]
    made = anthropic.to_request({"messages": messages}, "m", 9)
    turns = made["messages"]
    assert all(a["role"] != b["role"] for a, b in pairwise(turns))
    assert [b["text"] for t in turns for b in t["content"]] == [
        text for role, text in said if text and role in ("user", "assistant")
    ]
    system = [text for role, text in said if role in ("system", "developer")]
    assert made.get("system", "") == "\n\n".join(system)
    assert (made["model"], made["max_tokens"]) == ("m", 9)


def test_tools_results_images_and_settings_are_carried() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"error": 1}'}}
    body = {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                ],
            },
            {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "c2"}]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
            {"role": "user", "content": "and?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
            }
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "stop": "END",
        "temperature": 1.7,
        "top_p": 0.5,
        "max_completion_tokens": 77,
        "max_tokens": 5,
        "stream": True,
        "user": "u",
        "seed": 3,
    }
    text = {"type": "text", "text": "one"}
    assert anthropic.to_request(body, "m", 9) == {
        "model": "m", "max_tokens": 77, "stream": True, "temperature": 1, "top_p": 0.5,
        "stop_sequences": ["END"], "metadata": {"user_id": "u"},
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "see"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            ]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"error": 1}},
                {"type": "tool_use", "id": "c2", "name": "f", "input": {"error": 1}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [text]},
                {"type": "tool_result", "tool_use_id": "c2", "content": [{**text, "text": "two"}]},
                {"type": "text", "text": "and?"},
            ]},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}],
        [{"role": "user"}],
        [{"role": "nobody", "content": "x"}],
        [{"role": "user", "content": [3]}],
        [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{"}}]}],
        [{}],
    ],
)
def test_what_messages_cannot_carry_is_left_to_another_provider(messages: Any) -> None:
    with pytest.raises(Failed) as caught:
        anthropic.to_request({"messages": messages}, "m", 9)
    assert caught.value.outcome.cause is Cause.NOT_CARRIED


KEYS = st.sampled_from(["type", "content", "text", "role", "messages", "tools", "index", "delta", "message"])
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JSON, max_size=5))
def test_nothing_makes_the_translation_fail_otherwise(value: dict[str, Any]) -> None:
    for translate in (
        lambda: anthropic.to_request(value, "m", 9),
        lambda: anthropic.to_answer(value, 1),
        lambda: anthropic.StreamTranslator(1, True).feed(json.dumps(value).encode()),
    ):
        try:
            translate()
        except Failed:
            continue
