"""What healthy vendors stream in these tests, and what a client hears of a stream."""

from __future__ import annotations

import json
from typing import Any

WORDS = ["up", " is", " down ☃", " and so on"]


def event(value: Any, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    return event({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def openai_stream(name: str) -> list[bytes]:
    said = [chunk({"content": f"{name}:{word}"}) for word in WORDS]
    return [chunk({"role": "assistant", "content": ""}), *said, chunk({}, "stop"), b"data: [DONE]\n\n"]


def anthropic_stream(name: str) -> list[bytes]:
    message = {"id": "m", "model": "x", "usage": {"input_tokens": 1}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": f"{name}:{w}"},
            }
            for w in WORDS
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]
    return [event(e, e["type"]) for e in events]


def whole_text(name: str) -> str:
    return "".join(f"{name}:{word}" for word in WORDS)


def heard(data: bytes) -> tuple[str, list[str], bool, list[Any]]:
    """Text, finish reasons, whether [DONE] came, errors; asserts that every line is one of a stream."""
    text, done = "", False
    reasons: list[str] = []
    errors: list[Any] = []
    for line in data.decode().split("\n"):
        if not line or line.startswith(":"):
            continue
        assert line.startswith("data: "), line
        assert not done, "something behind [DONE]"
        assert not errors, "something behind an error"
        if line == "data: [DONE]":
            done = True
            continue
        value = json.loads(line[6:])
        errors += [value["error"]] if "error" in value else []
        for choice in value.get("choices", []):
            text += (choice.get("delta") or {}).get("content") or ""
            reasons += [choice["finish_reason"]] if choice.get("finish_reason") else []
    return text, reasons, done, errors
