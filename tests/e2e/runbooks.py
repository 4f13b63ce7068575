"""A page of runbooks/ as a test reads it: its sections and their commands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

PAGES = Path(__file__).parents[2] / "runbooks"
BOUND_SECONDS = 600


@dataclass(frozen=True)
class Block:
    section: str
    script: str

    @property
    def exits(self) -> int:
        """As its first line says to the operator."""
        said = re.match(r"# exits (\d+)\b", self.script)
        return int(said[1]) if said else 0


def blocks(page: str) -> list[Block]:
    """The page's shell commands, in their order."""
    text = (PAGES / f"{page}.md").read_text()
    found = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        section = part.partition("\n")[0]
        found += [
            Block(section, s) for s in re.findall(r"^```sh\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
        ]
    assert found, f"{page} has no commands"
    return found


def follow(
    page: str,
    folder: Path,
    environment: Mapping[str, str],
    human: Mapping[tuple[str, int], Callable[[], None]],
) -> list[str]:
    """Type the page's commands; what they printed. `human`: done before a section's n-th block."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    counts: dict[str, int] = {}
    undone = dict(human)
    said = []
    for block in blocks(page):
        number = counts[block.section] = counts.get(block.section, -1) + 1
        undone.pop((block.section, number), lambda: None)()
        code, out = _type(block.script, folder, {**environment, "PATH": path})
        assert code == block.exits, f"{page}, {block.section}: exit {code}, not {block.exits}\n{out}"
        said.append(out)
    assert not undone, f"{page} has no such block any more: {list(undone)}"
    return said


def _type(script: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    process = subprocess.Popen(
        ["bash", "-eu", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=BOUND_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, out
