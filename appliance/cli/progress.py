"""Progress on stderr, in three ways: a live list on a terminal, plain lines, JSON lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TextIO

from appliance.cli.output import duration
from appliance.desk.progress import Step

QUIET_SECONDS = 10.0  # a plain line tells a step's detail at most this often


@dataclass
class Marks:
    """The signs in front of a line; ASCII where the stream cannot carry more."""

    done: str = "✓"
    failed: str = "✗"
    skipped: str = "–"
    running: str = "›"
    warning: str = "!"

    @staticmethod
    def of(stream: TextIO) -> Marks:
        marks = Marks()
        try:
            "".join((marks.done, marks.failed, marks.skipped, marks.running)).encode(
                stream.encoding or "ascii"
            )
        except (UnicodeEncodeError, LookupError):
            return Marks(done="+", failed="x", skipped="-", running=">")
        return marks


@dataclass
class Running:
    """A step that is under way. Its fields are what any of the three ways may show."""

    title: str
    depth: int
    started: float
    changed: Callable[[Running], None] = field(repr=False)
    detail: str = ""
    fraction: float | None = None
    skipped: str | None = None

    def update(self, detail: str, fraction: float | None = None) -> None:
        self.detail = detail
        self.fraction = fraction
        self.changed(self)

    def skip(self, reason: str) -> None:
        self.skipped = reason


class Teller:
    """What the three ways share: which steps run, their times and how they ended."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.began = clock()
        self.running: list[Running] = []
        self.lock = threading.RLock()

    @property
    def elapsed(self) -> float:
        return self.clock() - self.began

    def step(self, title: str) -> AbstractContextManager[Step]:
        return self._step(title)

    @contextmanager
    def _step(self, title: str) -> Iterator[Step]:
        with self.lock:
            step = Running(title, len(self.running), self.clock(), self.step_changed)
            self.running.append(step)
            self.step_started(step)
        state = "failed"
        try:
            yield step
            state = "done" if step.skipped is None else "skipped"
        finally:
            with self.lock:
                self.running.remove(step)
                self.step_ended(step, state, self.clock() - step.started)

    def write(self, line: str) -> None:
        """One line. A reader that left must not stop the work half-way."""
        with self.lock, suppress(BrokenPipeError, ValueError):
            self.stream.write(line + "\n")
            self.stream.flush()

    def step_started(self, step: Running) -> None:
        raise NotImplementedError

    def step_changed(self, step: Running) -> None:
        raise NotImplementedError

    def step_ended(self, step: Running, state: str, seconds: float) -> None:
        raise NotImplementedError


class PlainLines(Teller):
    """`[ 12.3s] ✓ Create server` for logs and pipes: a line when a step starts, one when it ends."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, clock)
        self.marks = Marks.of(stream)
        self.told = self.began

    def line(self, mark: str, text: str, depth: int = 0) -> None:
        self.told = self.clock()
        self.write(f"[{duration(self.elapsed):>7}] {'  ' * depth}{mark} {text}")

    def step_started(self, step: Running) -> None:
        self.line(self.marks.running, step.title, step.depth)

    def step_changed(self, step: Running) -> None:
        if self.clock() - self.told >= QUIET_SECONDS:
            self.line(self.marks.running, f"{step.title}: {step.detail}{_percent(step)}", step.depth)

    def step_ended(self, step: Running, state: str, seconds: float) -> None:
        marks = {"done": self.marks.done, "failed": self.marks.failed, "skipped": self.marks.skipped}
        self.line(marks[state], f"{step.title} ({_ending(step, state, seconds)})", step.depth)

    def note(self, text: str) -> None:
        self.line(" ", text, len(self.running))

    def warn(self, text: str) -> None:
        self.line(self.marks.warning, text, len(self.running))


class JsonLines(Teller):
    """{"event": started|update|done|skipped|failed|note|warning, "elapsed": seconds, …} a line."""

    def event(self, event: str, **facts: object) -> None:
        import json

        said = {key: value for key, value in facts.items() if value not in (None, "")}
        line = {"event": event, "elapsed": round(self.elapsed, 3)} | said
        self.write(json.dumps(line, ensure_ascii=False))

    def step_started(self, step: Running) -> None:
        self.event("started", step=step.title, depth=step.depth)

    def step_changed(self, step: Running) -> None:
        self.event("update", step=step.title, detail=step.detail, fraction=step.fraction)

    def step_ended(self, step: Running, state: str, seconds: float) -> None:
        self.event(state, step=step.title, seconds=round(seconds, 3), detail=step.skipped or step.detail)

    def note(self, text: str) -> None:
        self.event("note", text=text)

    def warn(self, text: str) -> None:
        self.event("warning", text=text)


def _percent(step: Running) -> str:
    return "" if step.fraction is None else f" {step.fraction:.0%}"


def _ending(step: Running, state: str, seconds: float) -> str:
    if state == "skipped":
        return str(step.skipped)
    if state == "failed" and step.detail:
        return f"at: {step.detail}, {duration(seconds)}"
    return duration(seconds)
