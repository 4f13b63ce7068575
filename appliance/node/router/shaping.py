"""What the client is told when there is no answer: OpenAI's envelope, in statuses and words that OpenClaw
takes as they are meant. Pure.

Measured at OpenClaw 2026.9.6: 401 and 403 silence the provider for 30 s, 402 for 600 s; 409, 413, 418, 424
and a string `code` are asked again three times; "quota", "billing" disable the provider even in a 422.
Left are 400, 404, 422, 503, 504, numeric codes, and words of our own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from appliance.node.router.classify import Cause, Outcome, Verdict

PROVIDER = "x-appliance-provider"
FAILOVER = "x-appliance-failover"
NOBODY = "none"


@dataclass(frozen=True)
class Reply:
    """An answer that is sent at once."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Passed:
    """A candidate that did not answer: it failed, was overtaken, or stood behind an open breaker."""

    provider: str
    cause: Cause
    skipped: bool = False

    def __str__(self) -> str:
        return f"{self.provider}={'skipped:' if self.skipped else ''}{self.cause}"


def error_body(status: int, message: str) -> bytes:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": status}}).encode()


def in_band(status: int, message: str) -> bytes:
    """The last event of a stream that broke; no [DONE] follows."""
    return b"data: " + error_body(status, message) + b"\n\n"


def refusal(status: int, message: str) -> Reply:
    """An error as a whole answer. The header keeps OpenAI's clients from trying again by themselves."""
    return Reply(status, error_body(status, message), {"x-should-retry": "false", PROVIDER: NOBODY})


def told_by(provider: str | None, passed: Sequence[Passed]) -> dict[str, str]:
    """The headers that say who answered, and who did not and why."""
    return {PROVIDER: provider or NOBODY, FAILOVER: ", ".join(map(str, passed)) or NOBODY}


def failure(workload: str, failed: Sequence[tuple[str, Outcome]], status: int) -> tuple[int, str]:
    """Status and words when nobody answered: `failed` are (provider, outcome), in the order of their ends."""
    for provider, outcome in failed:
        if outcome.verdict is Verdict.CLIENTS_OWN:
            code = 422 if outcome.status == 422 else 400
            return code, f"{provider} {outcome.words}" + (f": {outcome.told}" if outcome.told else "")
    causes = {outcome.cause for _, outcome in failed}
    if causes == {Cause.CONTEXT}:
        return 400, f"The request is larger than any model of workload {workload} takes."
    who = "; ".join(f"{provider} {outcome.words}" for provider, outcome in failed) or "nobody was asked"
    if causes == {Cause.NOT_CARRIED}:
        return 400, f"No provider of workload {workload} can be asked this: {who}."
    late = causes <= {Cause.SILENT, Cause.DEADLINE} and status == 503
    return (504 if late and causes else status), f"Workload {workload} got no answer: {who}."


def broke_off(provider: str, outcome: Outcome) -> tuple[int, str]:
    """Status and words for an answer that broke after the client had some of it."""
    late = outcome.cause in (Cause.SILENT, Cause.DEADLINE)
    return (504 if late else 502), f"The answer is not whole: {provider} {outcome.words}."
