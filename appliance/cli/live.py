"""Progress on a terminal: finished steps stay with their times, running ones turn below them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from appliance.cli.output import duration
from appliance.cli.progress import Marks, Running, Teller

REFRESH = 10  # a second


class LiveList(Teller):
    """The live part is on only while a step runs, so that a question in between finds a still terminal."""

    def __init__(self, stream: TextIO, color: bool) -> None:
        super().__init__(stream)
        self.marks = Marks.of(stream)
        self.console = Console(file=stream, no_color=not color, highlight=False)
        unicode = self.marks == Marks()
        self.spinner = Spinner("dots" if unicode else "line")
        self.live: Live | None = None

    def step_started(self, step: Running) -> None:
        if self.live is None:
            self.live = Live(
                _Steps(self),
                console=self.console,
                refresh_per_second=REFRESH,
                transient=True,
                auto_refresh=True,
            )
            self.live.start()

    def step_changed(self, step: Running) -> None:
        """The next refresh shows it."""

    def step_ended(self, step: Running, state: str, seconds: float) -> None:
        if not self.running and self.live is not None:
            self.live.stop()
            self.live = None
        mark, style = {
            "done": (self.marks.done, "green"),
            "skipped": (self.marks.skipped, "dim"),
            "failed": (self.marks.failed, "red"),
        }[state]
        line = Text("  " * step.depth).append(mark, style=style).append(f" {step.title}  ")
        if state == "skipped":
            line.append(str(step.skipped), style="dim")
        else:
            line.append(duration(seconds), style="dim")
            if state == "failed" and step.detail:
                line.append(f"  at: {step.detail}", style="red")
        self.console.print(line)

    def note(self, text: str) -> None:
        self.console.print(Text("  " * len(self.running) + "  " + text, style="dim"))

    def warn(self, text: str) -> None:
        line = Text("  " * len(self.running)).append(self.marks.warning, style="yellow bold")
        self.console.print(line.append(f" {text}"))


class _Steps:
    """Renders the running steps anew at every refresh."""

    def __init__(self, owner: LiveList) -> None:
        self.owner = owner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", style="dim", ratio=1)
        with self.owner.lock:
            for row in self._rows():
                grid.add_row(*row)
        yield grid

    def _rows(self) -> Iterator[tuple[Text, Text, Text]]:
        now = self.owner.clock()
        frame = self.owner.spinner.render(self.owner.console.get_time())
        sign = frame if isinstance(frame, Text) else Text(str(frame))
        for step in self.owner.running:
            title = Text("  " * step.depth).append_text(sign).append(f" {step.title}")
            percent = "" if step.fraction is None else f"{step.fraction:4.0%} "
            yield title, Text(duration(now - step.started), style="cyan"), Text(percent + step.detail)
