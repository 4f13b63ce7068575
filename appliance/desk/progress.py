"""How a use case says what it is doing. The terminal, plain lines and JSON are the cli's business."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Step(Protocol):
    """One running step. It ends well when its `with` block does, and failed when that raises."""

    def update(self, detail: str, fraction: float | None = None) -> None:
        """Say what the step is at; `fraction` of the whole is 0..1, where known."""

    def skip(self, reason: str) -> None:
        """Say that there was nothing to do."""


class Progress(Protocol):
    def step(self, title: str) -> AbstractContextManager[Step]:
        """Open a step, e.g. `with progress.step("Create server") as step:`."""

    def note(self, text: str) -> None:
        """Something worth knowing that is not a step."""

    def warn(self, text: str) -> None:
        """Something the operator should act on, though the command goes on."""
