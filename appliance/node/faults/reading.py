"""What of a provider's answer is content: events of streams, texts of answers, in either API. Pure.

Apart from the router's own reading, which is what a drill is to judge.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from appliance.contract.router_policy import Api

_SHOWN = ("content", "tool_calls", "reasoning_content", "reasoning", "refusal")


class Stage(StrEnum):
    OPENING = "opening"  # no content yet
    CONTENT = "content"
    CLOSING = "closing"  # from the event on that says that the answer is whole


class Piece(NamedTuple):
    data: bytes  # as it came
    stage: Stage
    text: str = ""


class Events:
    """Splits a stream at the borders of its events."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._rest = b""
        self._stage = Stage.OPENING

    def feed(self, data: bytes) -> Iterator[Piece]:
        self._rest = (self._rest + data).replace(b"\r\n", b"\n")
        *blocks, self._rest = self._rest.split(b"\n\n")
        for block in blocks:
            yield self._piece(block + b"\n\n")

    def close(self) -> Iterator[Piece]:
        if self._rest:
            yield self._piece(self._rest)

    def _piece(self, block: bytes) -> Piece:
        stage, text = _read(self._api, _data_of(block))
        if self._stage is not Stage.CLOSING and (stage is not Stage.OPENING):
            self._stage = stage
        return Piece(block, self._stage, text)


def whole(api: Api, body: bytes) -> list[Piece]:
    """A whole answer as pieces, so that faults strike it as they do a stream."""
    half = max(1, len(body) // 2)
    text = text_of(api, body)
    return [
        Piece(body[:1], Stage.OPENING),
        Piece(body[1:half], Stage.CONTENT, text),
        Piece(body[half:], Stage.CLOSING),
    ]


def text_of(api: Api, body: bytes) -> str:
    value = _object(body)
    if api is Api.ANTHROPIC:
        return "".join(_str(block.get("text")) for block in _dicts(value.get("content")))
    messages = [choice.get("message") for choice in _dicts(value.get("choices"))]
    return "".join(_str(message.get("content")) for message in messages if isinstance(message, dict))


def _read(api: Api, data: bytes) -> tuple[Stage, str]:
    if data.strip() == b"[DONE]":
        return Stage.CLOSING, ""
    value = _object(data)
    return _message(value) if api is Api.ANTHROPIC else _completion(value)


def _completion(value: dict[str, Any]) -> tuple[Stage, str]:
    stage, text = Stage.OPENING, ""
    for choice in _dicts(value.get("choices")):
        delta = choice.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        text += _str(delta.get("content"))
        if any(delta.get(key) for key in _SHOWN):
            stage = Stage.CONTENT
        elif choice.get("finish_reason") is not None:
            stage = Stage.CLOSING
    return stage, text


def _message(value: dict[str, Any]) -> tuple[Stage, str]:
    kind, delta = value.get("type"), value.get("delta")
    delta = delta if isinstance(delta, dict) else {}
    if kind == "content_block_delta":
        return Stage.CONTENT, _str(delta.get("text"))
    if kind == "message_stop" or (kind == "message_delta" and delta.get("stop_reason")):
        return Stage.CLOSING, ""
    return Stage.OPENING, ""


def _data_of(block: bytes) -> bytes:
    lines = (line.partition(b":") for line in block.split(b"\n"))
    return b"\n".join(value.removeprefix(b" ") for name, _, value in lines if name == b"data")


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""
