"""One row a fault of the failover study: whatever the primary does, the client soon has beta's clean answer.

Streaming and not, passing and holding, and either vendor in either API.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.node.router.house import HEDGE, Routed, Vendor

SLACK = 1.2  # seconds that a busy machine may add; the bench measures without it
APIS = [("openai", "openai"), ("anthropic", "openai"), ("openai", "anthropic"), ("anthropic", "anthropic")]


@dataclass(frozen=True)
class Row:
    fault: str
    failover: str  # the cause in x-appliance-failover
    figures: dict[str, Any] = field(default_factory=dict)
    silence: bool = False  # costs the hedge's time

    def __str__(self) -> str:
        return "-".join([self.fault, *map(str, self.figures.values())])


def status(code: int, cause: str, **more: Any) -> Row:
    return Row("status", cause, {"status": code, **more})


ERRORS = [
    status(401, "access-refused"),
    status(402, "account"),
    status(403, "access-refused"),
    status(404, "model-unknown"),
    status(429, "rate-limited"),
    status(429, "rate-limited", retry_after=30),
    *(status(code, "server-error") for code in (500, 502, 503, 504, 529)),
    Row("quota", "account"),
    Row("reset", "dropped"),
    Row("html", "malformed"),
    Row("empty-body", "malformed"),
]
SILENCES = [
    Row("hang", "silent", silence=True),
    Row("black-hole", "silent", silence=True),
    Row("trickled-headers", "silent", {"pace": 0.05}, silence=True),
    Row("trickled-body", "silent", {"pace": 0.1}, silence=True),
    Row("comments-only", "silent", {"pace": 0.05}, silence=True),
]
OF_STREAMS = [
    Row("stall-after-role", "silent", silence=True),
    Row("cut-before-content", "dropped"),
    Row("error-in-band", "error-in-band", {"tokens": 0}),
    Row("malformed-json", "malformed"),
]
OF_WHOLES = [
    Row("stall-after-token", "silent", silence=True),
    Row("cut-after-content", "dropped"),
    Row("error-in-band", "error-in-band"),
    Row("malformed-json", "malformed"),
]


def is_right(router: Routed, row: Row, workload: str, stream: bool) -> None:
    answer = router.ask(workload, stream=stream)
    assert answer.is_whole_from("beta"), answer
    assert row.failover in answer.failover or "x-appliance-failover" not in answer.headers
    assert answer.seconds < SLACK + (HEDGE if row.silence else 0)


@pytest.mark.parametrize("row", [*ERRORS, *SILENCES, *OF_STREAMS], ids=str)
@pytest.mark.parametrize("workload", ["code", "safe"])
def test_a_stream_comes_whole_from_the_fallback(
    router: Routed, alpha: Vendor, row: Row, workload: str
) -> None:
    alpha.order(row.fault, **row.figures)
    is_right(router, row, workload, stream=True)


@pytest.mark.parametrize("row", [*ERRORS, *SILENCES, *OF_WHOLES], ids=str)
def test_an_answer_comes_whole_from_the_fallback(router: Routed, alpha: Vendor, row: Row) -> None:
    alpha.order(row.fault, **row.figures)
    is_right(router, row, "code", stream=False)
