"""The OpenAI API's wire format: chat completions and the list of models.

Shapes: the API reference's pages "Chat" and "Chat streaming"; error words: its guide "Error codes".
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.lab.vendors.answers import Answer, Ask, BadAsk, Part, Refusal, Tool, common, digest, limit_of

# reason or status -> (type, code, message)
_WORDS: dict[str | int, tuple[str, str | None, str]] = {
    "key-missing": (
        "invalid_request_error",
        None,
        (
            "You didn't provide an API key. You need to provide your API key in an Authorization header "
            "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        ),
    ),
    "key-wrong": ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: ********."),
    "quota": (
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "context": (
        "invalid_request_error",
        "context_length_exceeded",
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 "
            "tokens. Please reduce the length of the messages."
        ),
    ),
    "url": ("invalid_request_error", "unknown_url", "Unknown request URL."),
    400: ("invalid_request_error", None, "The request is invalid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: ********."),
    402: ("billing_error", "billing_hard_limit_reached", "Billing hard limit has been reached."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Access to it is not allowed."),
    404: (
        "invalid_request_error",
        "model_not_found",
        "The model does not exist or you do not have access to it.",
    ),
    413: ("invalid_request_error", None, "The request is too large."),
    429: (
        "requests",
        "rate_limit_exceeded",
        "Rate limit reached on requests per min. Please try again later.",
    ),
    500: (
        "server_error",
        None,
        "The server had an error while processing your request. Sorry about that!",
    ),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


class OpenAI:
    """Dialect of POST /v1/chat/completions and GET /v1/models."""

    def read(self, body: Mapping[str, Any]) -> Ask:
        model, heard, before, words = common(body)
        options = body.get("stream_options")
        return Ask(
            model=model,
            heard=heard,
            before=before,
            words=words,
            stream=body.get("stream") is True,
            usage=isinstance(options, dict) and options.get("include_usage") is True,
            limit=limit_of(body, "max_completion_tokens", "max_tokens"),
            tool=_forced(body),
        )

    def whole(self, number: int, ask: Ask, answer: Answer) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.tool:
            function = {"name": answer.tool.name, "arguments": answer.text}
            message["content"] = None
            message["tool_calls"] = [{"id": _call_id(answer), "type": "function", "function": function}]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
        return {**_head(number, ask, "chat.completion"), "choices": [choice], "usage": _usage(answer)}

    def events(self, number: int, ask: Ask, answer: Answer) -> list[Part]:
        head = _head(number, ask, "chat.completion.chunk")

        def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            usage = {"usage": None} if ask.usage else {}
            return _event({**head, "choices": [choice], **usage})

        def call(part: dict[str, Any]) -> bytes:
            return chunk({"tool_calls": [{"index": 0, **part}]})

        parts = [Part("opening", chunk({"role": "assistant", "content": None if answer.tool else ""}))]
        if answer.tool:
            named = {"name": answer.tool.name, "arguments": ""}
            parts += [Part("content", call({"id": _call_id(answer), "type": "function", "function": named}))]
            parts += [Part("content", call({"function": {"arguments": piece}})) for piece in answer.pieces]
        else:
            parts += [Part("content", chunk({"content": piece})) for piece in answer.pieces]
        parts.append(Part("closing", chunk({}, _finish(answer))))
        if ask.usage:
            parts.append(Part("closing", _event({**head, "choices": [], "usage": _usage(answer)})))
        return [*parts, Part("closing", b"data: [DONE]\n\n")]

    def error(self, refusal: Refusal) -> dict[str, Any]:
        kind, code, message = _WORDS.get(refusal.reason) or _WORDS.get(refusal.status) or _WORDS[500]
        param = "messages" if refusal.reason == "context" else None
        error = {"message": refusal.detail or message, "type": kind, "param": param, "code": code}
        return {"error": error}

    def error_event(self, refusal: Refusal) -> bytes:
        return _event(self.error(refusal))

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        data = [{"id": name, "object": "model", "created": 1735689600, "owned_by": "lab"} for name in names]
        return {"object": "list", "data": data}


def _head(number: int, ask: Ask, kind: str) -> dict[str, Any]:
    name = f"chatcmpl-{digest(ask.heard)}{number:06d}"
    return {"id": name, "object": kind, "created": int(time.time()), "model": ask.model}


def _call_id(answer: Answer) -> str:
    return f"call_{digest(answer.text)}"


def _finish(answer: Answer) -> str:
    if answer.cut:
        return "length"
    return "tool_calls" if answer.tool else "stop"


def _usage(answer: Answer) -> dict[str, int]:
    said = len(answer.pieces)
    return {"prompt_tokens": answer.words, "completion_tokens": said, "total_tokens": answer.words + said}


def _forced(body: Mapping[str, Any]) -> Tool | None:
    """The function that tool_choice names, or the first one where it says "required"."""
    choice, tools = body.get("tool_choice"), body.get("tools")
    if not isinstance(tools, list | None):
        raise BadAsk("tools: must be a list")
    functions = [tool.get("function") for tool in tools or [] if isinstance(tool, dict)]
    known = {f["name"]: f for f in functions if isinstance(f, dict) and isinstance(f.get("name"), str)}
    name: object = None
    if choice == "required":
        name = next(iter(known), None)
    elif isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        name = choice["function"].get("name")
    else:
        return None
    if not isinstance(name, str) or name not in known:
        raise BadAsk("tool_choice: names no function of tools")
    schema = known[name].get("parameters")
    return Tool(name, schema if isinstance(schema, dict) else {})
