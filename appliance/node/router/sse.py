"""Server-sent events out of bytes that come in any pieces. Pure.

Source: the HTML standard, "Server-sent events": lines end in LF, CR LF or CR, an event ends at an empty line,
lines that begin with a colon are comments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from appliance.node.router.classify import Cause, Failed

EVENT_BYTES = 16 * 1024 * 1024  # an event larger than this is no answer
_UNREAD = (b"", b"id", b"retry")  # the first: a comment
BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    name: str
    data: bytes


class SseParser:
    def __init__(self) -> None:
        self._line: list[bytes] = []  # pieces of a line whose end has not come
        self._size = 0
        self._after_cr = False
        self._first = True
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that end in `data`, one by one: what stands before a fault is given out before it.

        Failed: one is too large, or a line is no field.
        """
        data = self._newlines(data)
        if b"\n" not in data:
            self._keep(data)
            return
        first, *lines, rest = data.split(b"\n")
        lines.insert(0, b"".join([*self._line, first]))
        self._line = []
        for line in lines:
            if event := self._take(line):
                yield event
        self._size = sum(map(len, self._data))
        self._keep(rest)

    def close(self) -> Iterator[Event]:
        """The event that the stream's end leaves without its empty line."""
        line, self._line = b"".join(self._line), []
        for last in (line, b""):
            if event := self._take(last):
                yield event

    def _newlines(self, data: bytes) -> bytes:
        if not data:
            return data
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
            if not data:
                return data
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data

    def _keep(self, data: bytes) -> None:
        if data:
            self._line.append(data)
            self._size += len(data)
        if self._size > EVENT_BYTES:
            raise Failed(Cause.MALFORMED)

    def _take(self, line: bytes) -> Event | None:
        if self._first:
            self._first = False
            line = line.removeprefix(BOM)
        if not line:
            event = Event(self._name, b"\n".join(self._data)) if self._data else None
            self._name, self._data = "", []
            return event
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field not in _UNREAD:  # browsers pass over it; here it may be a damaged piece of the answer
            raise Failed(Cause.MALFORMED)
        return None
