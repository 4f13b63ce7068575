"""What a client of the drill hears, out of the bytes that come. Pure but for the times handed in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

WORDS = 300  # of an error that are kept


@dataclass
class Heard:
    """All times are seconds since the question."""

    status: int | None = None
    text: str = ""
    error: str = ""  # its words, where there was one
    done: bool = False  # the answer says that it is whole
    told_by: str = ""  # whom the router names
    commented: bool = False
    first: float | None = None  # content
    seconds: float = 0
    silent: bool = False  # given up
    _rest: bytes = b""

    def begin(self, status: int, told_by: str) -> None:
        self.status, self.told_by = status, told_by

    def stream(self, data: bytes, at: float) -> None:
        """Some bytes of an event stream."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.rstrip(b"\r"), at)

    def whole(self, body: bytes, at: float) -> None:
        value = _object(body)
        if value is None or "error" in value or self.status != 200:
            self._error(value, f"status {self.status}: no JSON")
            return
        for choice in _dicts(value.get("choices")):
            message = choice.get("message")
            self._said(message if isinstance(message, dict) else {}, at)
            self.done = self.done or choice.get("finish_reason") is not None

    def broke(self, why: str) -> None:
        """The connection ended where no answer ends; it is no error that a client could read."""
        self.done = False
        self.error = "" if self.text else self.error or why

    def _line(self, line: bytes, at: float) -> None:
        if line.startswith(b":"):
            self.commented = True
            said = line[1:].strip().decode(errors="replace")
            self.told_by = said if said and " " not in said else self.told_by
        if not line.startswith(b"data:"):
            return
        data = line[5:].strip()
        if data == b"[DONE]":
            self.done = True
            return
        value = _object(data)
        if value is None or "error" in value:
            self._error(value, "an event that is no JSON")
            return
        for choice in _dicts(value.get("choices")):
            delta = choice.get("delta")
            self._said(delta if isinstance(delta, dict) else {}, at)

    def _said(self, message: dict[str, Any], at: float) -> None:
        content = message.get("content")
        if isinstance(content, str) and content:
            self.text += content
            self.first = at if self.first is None else self.first

    def _error(self, value: dict[str, Any] | None, instead: str) -> None:
        error = (value or {}).get("error")
        words = error.get("message") if isinstance(error, dict) else error
        self.error = str(words or instead)[:WORDS]


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
