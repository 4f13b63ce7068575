"""A clean clone can be installed: what the wheel takes along is in the repository, not just on one desk."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_all_that_the_wheel_takes_along_holds_files() -> None:
    """Git keeps no empty folder: hatchling then fails on a clone, though not here."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    taken = build["targets"]["wheel"]["force-include"]
    empty = [name for name in taken if not any(path.is_file() for path in (ROOT / name).rglob("*"))]
    assert taken
    assert not empty
