"""Who of a request's candidates runs when. Pure: the clock's time is handed in, moves come out.

Candidates are numbered in the order of this request: those with an open breaker come last, and are asked
all the same when the others fail or are silent.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from appliance.node.router.classify import Cause, Outcome, Verdict


@dataclass(frozen=True)
class Start:
    index: int


@dataclass(frozen=True)
class Cancel:
    index: int
    silent: bool = False  # it had its time, and one that began later overtook it


Move = Start | Cancel


class _Is(Enum):
    WAITING = 0
    RUNNING = 1
    OUT = 2  # failed, or no use for this request


class Race:
    """`windows`: each candidate's context window. `hedge`: seconds without content until the next."""

    def __init__(self, windows: Sequence[int], hedge: float) -> None:
        self._windows = windows
        self._hedge = hedge
        self._is = [_Is.WAITING] * len(windows)
        self._started = [0.0] * len(windows)
        self._hedge_at = 0.0
        self.leader: int | None = None  # has content

    @property
    def running(self) -> list[int]:
        return [index for index, state in enumerate(self._is) if state is _Is.RUNNING]

    @property
    def over(self) -> bool:
        """Nobody runs and nobody is left."""
        return all(state is _Is.OUT for state in self._is)

    @property
    def wake(self) -> float | None:
        """When `tick` has something to do."""
        return None if self._next_hedge() is None else self._hedge_at

    def begin(self, now: float) -> list[Move]:
        return self._start(0, now)

    def tick(self, now: float) -> list[Move]:
        index = self._next_hedge()
        return self._start(index, now) if index is not None and now >= self._hedge_at else []

    def content(self, index: int, now: float) -> list[Move]:
        """The first with content leads; the others stop, and wait in case it breaks."""
        if self.leader is not None or self._is[index] is not _Is.RUNNING:
            return []
        self.leader = index
        return [self._cancel(other, index, now) for other in self.running if other != index]

    def failed(self, index: int, outcome: Outcome, now: float) -> list[Move]:
        self._is[index] = _Is.OUT
        if self.leader == index:
            self.leader = None
        if outcome.verdict is Verdict.FATAL or (outcome.verdict is Verdict.CLIENTS_OWN and index == 0):
            return self._stop()
        if outcome.cause is Cause.CONTEXT:
            self._keep_larger_than(self._windows[index])
        waiting = [other for other, state in enumerate(self._is) if state is _Is.WAITING]
        return self._start(waiting[0], now) if waiting and not self.running else []

    def time_over(self, now: float) -> list[Move]:
        """Nobody runs any more; who had its time without content was silent."""
        silent = {
            index
            for index in self.running
            if index != self.leader and now - self._started[index] >= self._hedge
        }
        return self._stop(silent)

    def _stop(self, silent: Collection[int] = ()) -> list[Move]:
        moves: list[Move] = [Cancel(index, index in silent) for index in self.running]
        self._is = [_Is.OUT] * len(self._is)
        return moves

    def _next_hedge(self) -> int | None:
        if self.leader is not None or not self.running:
            return None
        return next((i for i in range(len(self._is)) if self._is[i] is _Is.WAITING), None)

    def _start(self, index: int, now: float) -> list[Move]:
        self._is[index] = _Is.RUNNING
        self._started[index] = now
        self._hedge_at = now + self._hedge
        return [Start(index)]

    def _cancel(self, other: int, winner: int, now: float) -> Cancel:
        self._is[other] = _Is.WAITING
        had_its_time = now - self._started[other] >= self._hedge
        return Cancel(other, had_its_time and self._started[other] < self._started[winner])

    def _keep_larger_than(self, window: int) -> None:
        for index, state in enumerate(self._is):
            if state is _Is.WAITING and self._windows[index] <= window:
                self._is[index] = _Is.OUT
