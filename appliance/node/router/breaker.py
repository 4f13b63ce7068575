"""A breaker: is this provider, with this key and model, worth asking first? Pure; `now` is monotonic.

An open breaker puts a provider behind the others, and never turns a request away: with all open, they are
tried all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from appliance.contract.router_policy import BreakerTimes
from appliance.node.router.classify import Cause, Outcome

_LONG = {Cause.ACCESS_REFUSED, Cause.ACCOUNT, Cause.MODEL_UNKNOWN, Cause.NO_KEY}
_NO_FAULT = {Cause.REQUEST, Cause.CONTEXT, Cause.NOT_CARRIED, Cause.DEADLINE}  # says nothing of the provider


class Key(NamedTuple):
    provider: str
    credential: str  # a digest of the key: a new one starts afresh
    model: str


@dataclass(frozen=True)
class Permit:
    """What an attempt carries from its start to its end."""

    at: float
    probe: bool


@dataclass
class Breaker:
    times: BreakerTimes
    lease: float = 120  # seconds after which a probe that was never heard of again is forgotten
    cause: Cause | None = None
    _failures: int = 0
    _silences: int = 0
    _opened: float = 0
    _until: float | None = None  # None: closed
    _probe_until: float | None = None

    def state(self, now: float) -> str:
        if self._until is None:
            return "closed"
        return "open" if now < self._until else "half-open"

    def seconds_left(self, now: float) -> float:
        return max(0.0, self._until - now) if self._until is not None else 0.0

    def admits(self, now: float) -> bool:
        """Closed, or its time is over and no probe is out."""
        if self._until is None:
            return True
        return now >= self._until and (self._probe_until is None or now >= self._probe_until)

    def start(self, now: float) -> Permit:
        probe = self._until is not None and self.admits(now)
        if probe:
            self._probe_until = now + self.lease
        return Permit(now, probe)

    def succeeded(self, permit: Permit) -> None:
        """A whole answer. One that began before the breaker opened proves nothing."""
        if self._until is None or permit.at >= self._opened:
            self._failures = self._silences = 0
            self._until = self._probe_until = self.cause = None

    def let_go(self, permit: Permit) -> None:
        """The attempt ended without a verdict: overtaken, or the client left."""
        if permit.probe:
            self._probe_until = None

    def failed(self, permit: Permit, outcome: Outcome, now: float) -> None:
        self.let_go(permit)
        if outcome.cause in _NO_FAULT:
            return
        if outcome.cause is Cause.SILENT:
            self._silences += 1
        else:
            self._failures += 1
        enough = self._failures >= self.times.failures or self._silences >= self.times.silences
        if enough or permit.probe or outcome.cause in _LONG:
            self._open(outcome, now)

    def _open(self, outcome: Outcome, now: float) -> None:
        if self._until is None or now >= self._until:
            self._opened = now
        until = now + self._seconds(outcome)
        self._until = max(self._until or until, until)
        self.cause = outcome.cause

    def _seconds(self, outcome: Outcome) -> float:
        if outcome.cause in _LONG:
            return max(self.times.refused, min(outcome.retry_after or 0, self.times.longest))
        if outcome.retry_after is not None:
            return min(outcome.retry_after, self.times.longest)
        limited = outcome.cause is Cause.RATE_LIMITED
        return self.times.rate_limited if limited else self.times.server_error
