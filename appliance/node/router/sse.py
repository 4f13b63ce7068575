"""Server-sent events out of bytes that come in any pieces. Pure.

Source: the HTML standard, "Server-sent events": lines end in LF, CR LF or CR, an event ends at an empty line,
lines that begin with a colon are comments.
"""

from __future__ import annotations

from typing import NamedTuple

from appliance.node.router.classify import Cause, Failed

EVENT_BYTES = 16 * 1024 * 1024  # an event larger than this is no answer
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

    def feed(self, data: bytes) -> list[Event]:
        """The events that end in `data`. Failed: one is too large."""
        data = self._newlines(data)
        if b"\n" not in data:
            self._keep(data)
            return []
        first, *lines, rest = data.split(b"\n")
        events = [
            event
            for line in (b"".join([*self._line, first]), *lines)
            if (event := self._take(line)) is not None
        ]
        self._line, self._size = [], sum(map(len, self._data))
        self._keep(rest)
        return events

    def close(self) -> list[Event]:
        """The event that the stream's end leaves without its empty line."""
        line, self._line = b"".join(self._line), []
        found = [self._take(line) if line else None, self._take(b"")]
        return [event for event in found if event is not None]

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
        return None
