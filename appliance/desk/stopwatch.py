"""A Progress that passes everything on and keeps how long each step took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from appliance.contract.restore_report import Step as Told
from appliance.desk.progress import Progress, Step


@dataclass
class Lap:
    title: str
    depth: int
    seconds: float | None = None  # None: under way, or broken off
    detail: str = ""
    step: Step | None = field(default=None, repr=False)

    def update(self, detail: str, fraction: float | None = None) -> None:
        assert self.step is not None
        self.detail = detail
        self.step.update(detail, fraction)

    def skip(self, reason: str) -> None:
        assert self.step is not None
        self.detail = reason
        self.step.skip(reason)


@dataclass
class Stopwatch:
    to: Progress
    clock: Callable[[], float] = time.monotonic
    laps: list[Lap] = field(default_factory=list)
    depth: int = 0

    def step(self, title: str) -> AbstractContextManager[Step]:
        return self._step(title)

    @contextmanager
    def _step(self, title: str) -> Iterator[Step]:
        lap = Lap(title, self.depth)
        self.laps.append(lap)
        self.depth += 1
        began = self.clock()
        try:
            with self.to.step(title) as lap.step:
                yield lap
            lap.seconds = self.clock() - began
        finally:
            self.depth -= 1

    @property
    def told(self) -> tuple[Told, ...]:
        return tuple(
            Told(name=lap.title, depth=lap.depth, seconds=lap.seconds, detail=lap.detail) for lap in self.laps
        )

    def note(self, text: str) -> None:
        self.to.note(text)

    def warn(self, text: str) -> None:
        self.to.warn(text)
