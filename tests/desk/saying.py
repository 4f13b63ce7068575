"""A Progress that remembers what was said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from appliance.desk.progress import Step


@dataclass
class SaidStep:
    title: str
    details: list[str] = field(default_factory=list)
    skipped: str | None = None
    failed: bool = False

    def update(self, detail: str, fraction: float | None = None) -> None:
        self.details.append(detail)

    def skip(self, reason: str) -> None:
        self.skipped = reason


@dataclass
class Saying:
    steps: list[SaidStep] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def step(self, title: str) -> AbstractContextManager[Step]:
        return self._step(title)

    @contextmanager
    def _step(self, title: str) -> Iterator[Step]:
        step = SaidStep(title)
        self.steps.append(step)
        try:
            yield step
        except BaseException:
            step.failed = True
            raise

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    @property
    def titles(self) -> list[str]:
        return [step.title for step in self.steps]
