"""Faults of the API itself, for tests and drills of the desk. `PUT /_lab/faults` sets them, DELETE clears.

    {"match": {"method": "POST", "path": "/servers"}, "after": 0, "times": 1,
     "effect": {"kind": "answer", "status": 503, "code": "unavailable"}}

`path` is a shell pattern below /v1; `after` lets that many matching calls pass first; `times` null is for
ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST_HANG = 300.0  # seconds


class Match(BaseModel):
    model_config = ConfigDict(extra="forbid")

    method: str = "*"
    path: str = "*"


class Effect(BaseModel):
    """What happens instead.

    answer: refuse with `status`, `code`, `message`.     hang: say nothing for `seconds`, then drop.
    drop: cut the connection, nothing done.               lose_answer: do it, then cut the connection.
    slow: do it after `seconds`.                          fail_action: actions of `command` end in an error.
    sold_out: `server_type` in `location`.                no_wire: servers named `server` get no public wire.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["answer", "hang", "drop", "lose_answer", "slow", "fail_action", "sold_out", "no_wire"]
    status: int | None = None
    code: str | None = None
    message: str | None = None
    seconds: float = Field(default=0, ge=0, le=LONGEST_HANG)
    command: str = "*"
    server_type: str = "*"
    location: str = "*"
    server: str = "*"


class Fault(BaseModel):
    model_config = ConfigDict(extra="forbid")

    match: Match = Match()
    after: int = Field(default=0, ge=0)
    times: int | None = Field(default=1, ge=1)
    effect: Effect
    seen: int = 0

    def strikes(self) -> bool:
        """Count one occasion; whether it is one of those that are hit."""
        self.seen += 1
        return self.seen > self.after and (self.times is None or self.seen <= self.after + self.times)


@dataclass
class Faults:
    present: list[Fault] = field(default_factory=list)

    def on_call(self, method: str, path: str) -> Effect | None:
        """The effect on this call, `path` as below /v1."""
        for fault in self.present:
            if fault.effect.kind in ("fail_action", "sold_out", "no_wire"):
                continue
            if fnmatch(method, fault.match.method) and fnmatch(path, fault.match.path) and fault.strikes():
                return fault.effect
        return None

    def failing_action(self, command: str) -> Effect | None:
        return self._first("fail_action", lambda e: fnmatch(command, e.command))

    def sold_out(self, server_type: str, location: str) -> bool:
        """Standing: it is not counted, since availability is also only looked at."""
        return any(
            f.effect.kind == "sold_out"
            and fnmatch(server_type, f.effect.server_type)
            and fnmatch(location, f.effect.location)
            for f in self.present
        )

    def no_wire(self, server: str) -> bool:
        return self._first("no_wire", lambda e: fnmatch(server, e.server)) is not None

    def _first(self, kind: str, fits: Callable[[Effect], bool]) -> Effect | None:
        for fault in self.present:
            if fault.effect.kind == kind and fits(fault.effect) and fault.strikes():
                return fault.effect
        return None
