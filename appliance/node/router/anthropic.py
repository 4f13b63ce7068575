"""Chat completions to Anthropic's messages and back: requests, whole answers, streams, tool calls. Pure.

Shapes: Anthropic's API reference, "Messages", "Streaming messages", "Tool use"; OpenAI's, "Chat".

Lost on the way there: n above 1, seed, logprobs, logit_bias, frequency and presence penalties,
response_format (no schema is enforced), reasoning_effort, prediction, store, metadata; temperature above 1
becomes 1; the names of speakers; the detail of images; reasoning of former turns. Refused, so that the next
provider is asked: parts that messages cannot carry (audio, files other than PDF data).
Lost on the way back: signatures of thinking (thinking itself becomes reasoning_content), redacted thinking,
citations, results of the vendor's own server tools, and the stop sequence that ended the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from appliance.node.router.classify import Cause, Failed
from appliance.node.router.content import parse_object, read_object

VERSION = "2023-06-01"
DONE = b"[DONE]"
FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(.*)", re.S)

# --- requests


def to_request(body: Mapping[str, Any], model: str, max_tokens: int) -> dict[str, Any]:
    """The body of POST /messages. Failed: messages cannot carry it."""
    try:
        return _request(body, model, max_tokens)
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        Failed,
    ):  # no chat completion, or not in messages
        raise Failed(Cause.NOT_CARRIED) from None


def _request(body: Mapping[str, Any], model: str, max_tokens: int) -> dict[str, Any]:
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or max_tokens
    request: dict[str, Any] = {"model": model, "max_tokens": limit, "messages": _turns(body["messages"])}
    if system := [_text(m["content"]) for m in body["messages"] if m["role"] in ("system", "developer")]:
        request["system"] = "\n\n".join(system)
    if body.get("stream") is True:
        request["stream"] = True
    if body.get("temperature") is not None:
        request["temperature"] = min(1, body["temperature"])
    if body.get("top_p") is not None:
        request["top_p"] = body["top_p"]
    if stop := body.get("stop"):
        request["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if user := body.get("user"):
        request["metadata"] = {"user_id": user}
    if tools := body.get("tools"):
        request["tools"] = [_tool(tool) for tool in tools]
        choice = _tool_choice(body.get("tool_choice"))
        if body.get("parallel_tool_calls") is False:
            choice = {"type": "auto"} | choice
            if choice["type"] != "none":
                choice["disable_parallel_tool_use"] = True
        if choice:
            request["tool_choice"] = choice
    return request


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    made = {
        "name": function["name"],
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    return made | ({"description": function["description"]} if function.get("description") else {})


def _tool_choice(choice: object) -> dict[str, Any]:
    if isinstance(choice, Mapping):
        return {"type": "tool", "name": choice["function"]["name"]}
    return {"auto": {"type": "auto"}, "required": {"type": "any"}, "none": {"type": "none"}}.get(
        str(choice), {}
    )


def _turns(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Turns that take each other in turn: what follows of the same role joins it, as tool results must."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = message["role"]
        if role in ("system", "developer"):
            continue
        if role == "tool":
            role, blocks = "user", [_tool_result(message)]
        elif role == "assistant":
            blocks = _assistant(message)
        elif role == "user":
            blocks = _blocks(message["content"])
        else:
            raise Failed(Cause.NOT_CARRIED)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _assistant(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    blocks = _blocks(message.get("content") or message.get("refusal") or [])
    for call in message.get("tool_calls") or []:
        function = call["function"]
        given = parse_object((function.get("arguments") or "{}").encode())
        blocks.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": given})
    return blocks


def _tool_result(message: Mapping[str, Any]) -> dict[str, Any]:
    content = _blocks(message.get("content") or [])
    return {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content}


def _blocks(content: str | list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Empty texts are left out: messages refuse them."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    made = [_block(part) for part in parts]
    return [block for block in made if block.get("text") != ""]


def _block(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind == "text" or kind == "refusal":
        return {"type": "text", "text": part[kind]}
    if kind == "image_url":
        return {"type": "image", "source": _source(part["image_url"]["url"])}
    if kind == "file" and (data := part["file"].get("file_data")):
        source = _source(data)
        if source.get("media_type") == "application/pdf":
            return {"type": "document", "source": source}
    raise Failed(Cause.NOT_CARRIED)


def _source(url: str) -> dict[str, Any]:
    if found := _DATA_URL.fullmatch(url):
        return {"type": "base64", "media_type": found[1], "data": found[2]}
    return {"type": "url", "url": url}


def _text(content: str | list[Mapping[str, Any]]) -> str:
    return "\n".join(block["text"] for block in _blocks(content))


# --- answers


def to_answer(message: Mapping[str, Any], created: int) -> dict[str, Any]:
    """A chat completion out of a message; `created` is Unix time. Failed: it is no message."""
    try:
        return _answer(message, created)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Failed(Cause.MALFORMED) from None


def _answer(message: Mapping[str, Any], created: int) -> dict[str, Any]:
    blocks = message["content"]
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    thoughts = [block["thinking"] for block in blocks if block["type"] == "thinking"]
    calls = [_call(block) for block in blocks if block["type"] == "tool_use"]
    said: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": None,
    }
    if thoughts:
        said["reasoning_content"] = "".join(thoughts)
    if calls:
        said["tool_calls"] = calls
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": _finish(message["stop_reason"])}
    head = _head(message, created, "chat.completion")
    return head | {"choices": [choice], "usage": _usage(message.get("usage") or {})}


def _head(message: Mapping[str, Any], created: int, kind: str) -> dict[str, Any]:
    return {"id": message["id"], "object": kind, "created": created, "model": message["model"]}


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": block["name"], "arguments": json.dumps(block["input"])}
    return {"id": block["id"], "type": "function", "function": function}


def _finish(reason: object) -> str:
    if not isinstance(reason, str):
        raise Failed(Cause.MALFORMED)
    return FINISH.get(reason, "stop")


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Anthropic counts cached input apart; chat completions count it in."""
    read, made = (usage.get(f"cache_{what}_input_tokens") or 0 for what in ("read", "creation"))
    asked = (usage.get("input_tokens") or 0) + read + made
    said = usage.get("output_tokens") or 0
    details = {"prompt_tokens_details": {"cached_tokens": read}} if read else {}
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said, **details}


# --- streams


class StreamTranslator:
    """A message's events in, a chat completion's events out: their data, without "data: "."""

    def __init__(self, created: int, usage: bool) -> None:
        self._created = created
        self._wants_usage = usage
        self._head: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._tools: dict[int, int] = {}  # content block -> number of the tool call
        self._empty: dict[int, Any] = {}  # tool blocks without arguments so far -> their input at the start

    def feed(self, data: bytes) -> list[bytes]:
        """Failed: no event of a message, or an error in band."""
        try:
            return [item if item == DONE else json.dumps(item).encode() for item in self._event(data)]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise Failed(Cause.MALFORMED) from None

    def _event(self, data: bytes) -> list[Any]:
        event = read_object(data)
        kind = event["type"]
        if kind == "message_start":
            message = event["message"]
            self._head = _head(message, self._created, "chat.completion.chunk")
            self._usage = dict(message.get("usage") or {})
            return [self._chunk({"role": "assistant", "content": ""})]
        if not self._head:
            if kind == "ping":
                return []
            raise Failed(Cause.MALFORMED)
        if kind == "content_block_start":
            return self._block_start(event["index"], event["content_block"])
        if kind == "content_block_delta":
            return self._delta(event["index"], event["delta"])
        if kind == "content_block_stop" and event["index"] in self._empty:
            return [self._arguments(event["index"], json.dumps(self._empty.pop(event["index"])))]
        if kind == "message_delta":
            self._usage |= {key: n for key, n in (event.get("usage") or {}).items() if n is not None}
            reason = event["delta"].get("stop_reason")
            return [] if reason is None else [self._chunk({}, _finish(reason))]
        if kind == "message_stop":
            end = [self._head | {"choices": [], "usage": _usage(self._usage)}] if self._wants_usage else []
            return [*end, DONE]
        return []

    def _block_start(self, index: int, block: Mapping[str, Any]) -> list[Any]:
        if block["type"] == "tool_use":
            number = self._tools[index] = len(self._tools)
            self._empty[index] = block.get("input") or {}
            function = {"name": block["name"], "arguments": ""}
            call = {"index": number, "id": block["id"], "type": "function", "function": function}
            return [self._chunk({"tool_calls": [call]})]
        shown = {"text": "content", "thinking": "reasoning_content"}.get(block["type"], "")
        text = block.get(block["type"]) if shown else None
        return [self._chunk({shown: text})] if text else []

    def _delta(self, index: int, delta: Mapping[str, Any]) -> list[Any]:
        match delta["type"]:
            case "text_delta":
                return [self._chunk({"content": delta["text"]})] if delta["text"] else []
            case "thinking_delta":
                return [self._chunk({"reasoning_content": delta["thinking"]})] if delta["thinking"] else []
            case "input_json_delta":
                if not delta["partial_json"]:
                    return []
                self._empty.pop(index, None)
                return [self._arguments(index, delta["partial_json"])]
        return []

    def _arguments(self, index: int, text: str) -> dict[str, Any]:
        return self._chunk({"tool_calls": [{"index": self._tools[index], "function": {"arguments": text}}]})

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._head | {"choices": [choice]}
