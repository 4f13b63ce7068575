"""Progress says what runs, how it ended and how long it took, in the way that fits where it goes."""

from __future__ import annotations

import io
import json

import pytest

from appliance.cli.live import LiveList
from appliance.cli.progress import JsonLines, PlainLines, Teller
from appliance.desk.progress import Progress


class Clock:
    """Advances when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def stream(encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def said(to: io.TextIOWrapper) -> str:
    buffer = to.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(to.encoding)


def work(progress: Progress, clock: Clock) -> None:
    """A run with a step in a step, one skipped and one that fails."""
    with progress.step("Create server") as outer:
        clock.now += 2
        with progress.step("Boot") as inner:
            inner.update("starting", 0.5)
            clock.now += 61
        outer.update("done soon")
    with progress.step("Network") as step:
        step.skip("there already")
    progress.note("a note")
    progress.warn("a warning")
    with pytest.raises(RuntimeError):
        fail(progress)


def fail(progress: Progress) -> None:
    with progress.step("Push") as step:
        step.update("gateway")
        raise RuntimeError


def test_plain_lines_tell_each_step_with_its_time() -> None:
    to, clock = stream(), Clock()
    work(PlainLines(to, clock), clock)
    assert said(to).splitlines() == [
        "[   0.0s] › Create server",
        "[   2.0s]   › Boot",
        "[ 1m 03s]   ✓ Boot (1m 01s)",
        "[ 1m 03s] ✓ Create server (1m 03s)",
        "[ 1m 03s] › Network",
        "[ 1m 03s] – Network (there already)",
        "[ 1m 03s]   a note",
        "[ 1m 03s] ! a warning",
        "[ 1m 03s] › Push",
        "[ 1m 03s] ✗ Push (at: gateway, 0.0s)",
    ]


def test_a_stream_that_knows_ascii_only_gets_ascii() -> None:
    to, clock = stream("ascii"), Clock()
    work(PlainLines(to, clock), clock)
    assert "+ Create server" in said(to)
    assert said(to).isascii()


def test_a_chatty_step_does_not_flood_a_log() -> None:
    to, clock = stream(), Clock()
    with PlainLines(to, clock).step("Install") as step:
        for number in range(1000):
            clock.now += 0.1
            step.update(f"package {number}")
    assert 5 < len(said(to).splitlines()) < 20


def test_json_lines_are_events_with_times() -> None:
    to, clock = stream(), Clock()
    work(JsonLines(to, clock), clock)
    events = [json.loads(line) for line in said(to).splitlines()]
    assert [event["event"] for event in events] == [
        "started", "started", "update", "done", "update", "done", "started", "skipped",
        "note", "warning", "started", "update", "failed",
    ]  # fmt: skip
    assert events[2] == {
        "event": "update",
        "elapsed": 2,
        "step": "Boot",
        "detail": "starting",
        "fraction": 0.5,
    }
    assert events[5]["seconds"] == 63


def test_the_live_list_leaves_finished_steps_with_their_times() -> None:
    to = stream()
    progress = LiveList(to, color=False)
    clock = Clock()
    progress.clock = clock
    work(progress, clock)
    lines = said(to)
    for line in ("✓ Create server  1m 03s", "  ✓ Boot  1m 01s", "– Network  there already", "! a warning"):
        assert line in lines
    assert "✗ Push" in lines
    assert "at: gateway" in lines
    assert progress.live is None


@pytest.mark.parametrize("kind", [PlainLines, JsonLines])
def test_a_reader_that_left_does_not_stop_the_work(kind: type[Teller]) -> None:
    to = stream()
    progress = kind(to)
    to.close()
    with progress.step("Create server"):
        reached = True
    assert reached
