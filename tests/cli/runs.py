"""The command as a process of its own, as an operator or a script runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def appliance(*words: str, at: Path, **environ: str) -> Ran:
    """Run `appliance …` in folder `at`, with nothing of the caller's environment that it reads."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HCLOUD_", "APPLIANCE_", "NO_COLOR"))}
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *words],
        cwd=at,
        env=kept | {"XDG_STATE_HOME": str(at / "state"), "PYTHONPATH": str(ROOT)} | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


ROOT = Path(__file__).resolve().parents[2]
