"""Every shell script that ships passes shellcheck."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SHELLCHECK = Path(sys.executable).with_name("shellcheck")


def scripts() -> list[Path]:
    """By their first line: some have no ending."""
    files = [path for room in ("image", "restore", "appliance") for path in sorted((ROOT / room).rglob("*"))]
    return [
        path
        for path in files
        if path.is_file() and path.read_bytes()[:40].startswith((b"#!/bin/sh", b"#!/bin/bash"))
    ]


def test_every_shell_script_that_ships_passes_shellcheck() -> None:
    found = scripts()
    assert len(found) > 8
    done = subprocess.run(
        [SHELLCHECK, "--severity=style", *found], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
