"""A drill's evidence: written on the node, read by the desk, `status` and the report page.

All times are seconds; those of calls and asks are counted from the beginning of their row.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

FORMAT = 1
STATE = "/var/lib/appliance"  # the node keeps its last evidence here
LAST_DRILL = f"{STATE}/drill.json"  # Summary
LAST_CANARY = f"{STATE}/canary.json"  # Canaries


class Evidence(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Level(StrEnum):
    ROUTER = "router"  # asked at the router itself
    GATEWAY = "gateway"  # as a client: through the edge's TLS and OpenClaw


class Kind(StrEnum):
    STREAM = "stream"
    WHOLE = "whole"


class Expected(StrEnum):
    """The right outcome of a fault for a workload."""

    FALLBACK = "fallback"  # the fallback's whole answer
    PRIMARY = "primary"  # the primary's whole answer, slow as it may be
    ERROR = "error"  # one clear error, at once or after the deadline, and nothing beside it


class Ended(StrEnum):
    ANSWER = "answer"  # whole, and one provider's
    ERROR = "error"  # a clear error and no content
    BROKEN = "broken"  # content, then a clear error in band
    PARTIAL = "partial"  # content that ends without an error: the client takes it for whole
    MIXED = "mixed"  # words of two answers
    EMPTY = "empty"  # an answer without content
    SILENT = "silent"  # nothing within the row's bound


class Call(Evidence):
    """One request that reached a provider, as the fault proxy saw it."""

    provider: str
    primary: bool
    began: float
    first: float | None = None  # content
    ended: float | None = None
    outcome: str  # a few words: "answered", "503", "hung", "cut off", "cancelled"


class Ask(Evidence):
    """One question and what became of it."""

    began: float
    seconds: float
    first: float | None = None  # content
    ended: Ended
    answered_by: str | None = None  # provider
    status: int | None = None
    told: str = ""  # the error's words
    calls: tuple[Call, ...] = ()


class Row(Evidence):
    workload: str
    fault: str
    level: Level
    kind: Kind
    expected: Expected
    healthy: float  # seconds of who should answer, without a fault, at the same level: the median
    asks: tuple[Ask, ...]  # the first meets the fault; the second, where there is one, the open breaker
    fault_began: float
    fault_ended: float
    healed: float | None = None  # seconds after the fault's end until the primary answered again
    wrong: tuple[str, ...] = ()  # empty: green

    @property
    def ok(self) -> bool:
        return not self.wrong


class Canary(Evidence):
    """A provider asked directly, with its own key."""

    provider: str
    model: str
    ok: bool
    detail: str  # "answered", or why not, in neutral words
    seconds: float
    workloads: tuple[str, ...]  # who depends on it


class Canaries(Evidence):
    at: datetime
    canaries: tuple[Canary, ...]

    @property
    def ok(self) -> bool:
        return all(canary.ok for canary in self.canaries)


class Aftermath(Evidence):
    """How the node is after the drill, by looking: no shadow workload, no breaker or cooldown left of it."""

    ok: bool
    detail: str


class Report(Evidence):
    format: int = FORMAT
    node: str
    bundle: str | None
    at: datetime
    seconds: float
    rows: tuple[Row, ...]
    canaries: Canaries
    aftermath: Aftermath

    @property
    def ok(self) -> bool:
        return bool(self.rows) and self.aftermath.ok and self.canaries.ok and all(row.ok for row in self.rows)

    def summary(self) -> Summary:
        red = sum(not row.ok for row in self.rows)
        return Summary(at=self.at, ok=self.ok, rows=len(self.rows), red=red, seconds=self.seconds)


class Summary(Evidence):
    """What `status` tells of the last drill."""

    at: datetime
    ok: bool
    rows: int
    red: int
    seconds: float
