"""What counts as content, and what a 200 must be to be an answer. Pure; the shapes are chat completions'.

Content is what a client could show or act on: text, a refusal, reasoning, a tool call, audio, or the
finish_reason. A role alone is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from appliance.node.router.classify import Cause, Failed, in_band

DONE = b"data: [DONE]\n\n"
_SHOWN = ("content", "tool_calls", "function_call", "reasoning_content", "reasoning", "refusal", "audio")


class Chunk(NamedTuple):
    data: bytes  # the event as the client gets it
    content: bool


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object. Failed: it is something else."""
    try:
        value = _decode(data.decode())
    except (ValueError, RecursionError):
        raise Failed(Cause.MALFORMED) from None
    if not isinstance(value, dict):
        raise Failed(Cause.MALFORMED)
    return value


def read_object(data: bytes) -> dict[str, Any]:
    """What a provider said. Failed: no JSON object, or an error."""
    value = parse_object(data)
    if value.get("error"):
        failure = Failed(Cause.ERROR_IN_BAND)
        failure.outcome = in_band(value["error"])
        raise failure
    return value


def check_type(headers: Mapping[str, str], stream: bool) -> None:
    """Failed: a 200 whose content type is not that of the answer asked for."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    fits = kind == "text/event-stream" if stream else kind == "application/json" or kind.endswith("+json")
    if not fits:
        raise Failed(Cause.MALFORMED)


def check_whole(value: Mapping[str, Any]) -> None:
    """Failed: a completion without choices, or with one that has no message or no finish_reason."""
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices:
        raise Failed(Cause.MALFORMED)
    for choice in choices:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise Failed(Cause.MALFORMED)
        _check_finish(choice.get("finish_reason"))


class StreamCheck:
    """Takes a stream's events in order and gives them on, as long as they make up an answer."""

    def __init__(self) -> None:
        self.content = False  # there was some
        self.done = False
        self._unfinished: set[int] = set()
        self._finished: set[int] = set()

    @property
    def finished(self) -> bool:
        """Every choice has its finish_reason: the answer is whole, though usage may follow."""
        return bool(self._finished) and not self._unfinished

    def take(self, data: bytes) -> Chunk:
        """Failed: this event makes the stream no answer."""
        if data.strip() == b"[DONE]":
            return Chunk(self.end(), False)
        value = read_object(data)
        if "choices" not in value:
            # No part of the answer, though some vendors send their usage so. A client may not expect it.
            if "usage" not in value:
                return Chunk(b"", False)
            data = json.dumps({**value, "choices": []}).encode()
        choices = value.get("choices", [])
        if not isinstance(choices, list):
            raise Failed(Cause.MALFORMED)
        shown = [self._choice(choice) for choice in choices]
        self.content = self.content or any(shown)
        line = b" ".join(data.split(b"\n"))  # one event may have come in several lines
        return Chunk(b"data: " + line + b"\n\n", any(shown))

    def end(self) -> bytes:
        """The stream ended in order, with [DONE] or without. Failed: too early."""
        if not self.finished:
            raise Failed(Cause.DROPPED if self.content else Cause.MALFORMED)
        self.done = True
        return DONE

    def _choice(self, choice: object) -> bool:
        """Whether it shows anything."""
        if not isinstance(choice, dict) or not isinstance(choice.get("delta", {}), dict | None):
            raise Failed(Cause.MALFORMED)
        index = choice.get("index", 0)
        if not isinstance(index, int):
            raise Failed(Cause.MALFORMED)
        if choice.get("finish_reason") is not None:
            _check_finish(choice["finish_reason"])
            self._finished.add(index)
            self._unfinished.discard(index)
            return True
        if index not in self._finished:
            self._unfinished.add(index)
        delta = choice.get("delta") or {}
        return any(delta.get(key) for key in _SHOWN)


def _check_finish(reason: object) -> None:
    if reason == "error":  # some aggregators end a broken answer so
        raise Failed(Cause.ERROR_IN_BAND)
    if not isinstance(reason, str) or not reason:
        raise Failed(Cause.MALFORMED)
