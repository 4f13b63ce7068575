"""The Anthropic API's wire format: messages and the list of models.

Shapes: the API reference's pages "Messages", "Streaming messages" and "Errors".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.lab.vendors.answers import Answer, Ask, BadAsk, Part, Refusal, Tool, common, digest, limit_of

# reason or status -> (type, message)
_WORDS: dict[str | int, tuple[str, str]] = {
    "key-missing": ("authentication_error", "x-api-key header is required"),
    "key-wrong": ("authentication_error", "invalid x-api-key"),
    "quota": (
        "invalid_request_error",
        (
            "Your credit balance is too low to access the Anthropic API. "
            "Please go to Plans & Billing to upgrade or purchase credits."
        ),
    ),
    "context": ("invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
    "url": ("not_found_error", "Not Found"),
    400: ("invalid_request_error", "The request is invalid."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "There is an issue with your billing or payment information."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "model: not found"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "The request timed out."),
    529: ("overloaded_error", "Overloaded"),
}


def _event(value: dict[str, Any]) -> bytes:
    return f"event: {value['type']}\ndata: {json.dumps(value)}\n\n".encode()


class Anthropic:
    """Dialect of POST /v1/messages and GET /v1/models."""

    def read(self, body: Mapping[str, Any]) -> Ask:
        model, heard, before, words = common(body)
        limit = limit_of(body, "max_tokens")
        if limit is None:
            raise BadAsk("max_tokens: Field required")
        return Ask(
            model=model,
            heard=heard,
            before=before,
            words=words,
            stream=body.get("stream") is True,
            limit=limit,
            tool=_forced(body),
        )

    def whole(self, number: int, ask: Ask, answer: Answer) -> dict[str, Any]:
        block: dict[str, Any] = {"type": "text", "text": answer.text}
        if answer.tool:
            block = {**_tool_use(answer.tool, answer), "input": _arguments(answer)}
        return {**_message(number, ask, answer), "content": [block], **_end(answer), "usage": _usage(answer)}

    def events(self, number: int, ask: Ask, answer: Answer) -> list[Part]:
        begun = {**_message(number, ask, answer), "content": [], "stop_reason": None, "stop_sequence": None}
        begun["usage"] = {"input_tokens": answer.words, "output_tokens": 0}
        block: dict[str, Any] = {"type": "text", "text": ""}
        key, kind = "text", "text_delta"
        if answer.tool:
            block = {**_tool_use(answer.tool, answer), "input": {}}
            key, kind = "partial_json", "input_json_delta"
        opening: list[dict[str, Any]] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "ping"},
        ]
        deltas: list[dict[str, Any]] = [
            {"type": "content_block_delta", "index": 0, "delta": {"type": kind, key: piece}}
            for piece in answer.pieces
        ]
        closing: list[dict[str, Any]] = [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": _end(answer), "usage": _usage(answer)},
            {"type": "message_stop"},
        ]
        stages = (("opening", opening), ("content", deltas), ("closing", closing))
        return [Part(stage, _event(event)) for stage, events in stages for event in events]

    def error(self, refusal: Refusal) -> dict[str, Any]:
        kind, message = _WORDS.get(refusal.reason) or _WORDS.get(refusal.status) or _WORDS[500]
        return {"type": "error", "error": {"type": kind, "message": refusal.detail or message}}

    def error_event(self, refusal: Refusal) -> bytes:
        return _event(self.error(refusal))

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        data = [
            {"type": "model", "id": name, "display_name": name, "created_at": "2025-01-01T00:00:00Z"}
            for name in names
        ]
        ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return {"data": data, "has_more": False, **ends}


def _message(number: int, ask: Ask, answer: Answer) -> dict[str, Any]:
    name = f"msg_{digest(ask.heard)}{number:06d}"
    return {"id": name, "type": "message", "role": "assistant", "model": ask.model}


def _tool_use(tool: Tool, answer: Answer) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{digest(answer.text)}", "name": tool.name}


def _arguments(answer: Answer) -> Any:
    try:
        return json.loads(answer.text)
    except ValueError:  # the token limit cut them
        return {}


def _end(answer: Answer) -> dict[str, Any]:
    reason = "max_tokens" if answer.cut else "tool_use" if answer.tool else "end_turn"
    return {"stop_reason": reason, "stop_sequence": None}


def _usage(answer: Answer) -> dict[str, int]:
    return {"input_tokens": answer.words, "output_tokens": len(answer.pieces)}


def _forced(body: Mapping[str, Any]) -> Tool | None:
    """The tool that tool_choice names, or the first one where it says "any"."""
    choice, tools = body.get("tool_choice"), body.get("tools")
    if not isinstance(tools, list | None):
        raise BadAsk("tools: must be a list")
    known = {t["name"]: t for t in tools or [] if isinstance(t, dict) and isinstance(t.get("name"), str)}
    if not isinstance(choice, dict) or choice.get("type") not in ("tool", "any"):
        return None
    name = choice.get("name") if choice["type"] == "tool" else next(iter(known), None)
    if not isinstance(name, str) or name not in known:
        raise BadAsk("tool_choice: names no tool of tools")
    schema = known[name].get("input_schema")
    return Tool(name, schema if isinstance(schema, dict) else {})
