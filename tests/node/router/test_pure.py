"""What decides in the router has no effects and asks no clock; only upstream and server touch sockets."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import appliance.node.router

FOLDER = Path(appliance.node.router.__file__).parent
PURE = ["anthropic", "breaker", "classify", "content", "dialects", "race", "shaping", "sse"]
EFFECTS = {
    "aiohttp",
    "asyncio",
    "logging",
    "os",
    "pathlib",
    "random",
    "signal",
    "socket",
    "subprocess",
    "time",
}
SOCKETS = {"__main__", "admin", "server", "upstream"}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("name", PURE)
def test_what_decides_has_no_effects(name: str) -> None:
    found = imports(FOLDER / f"{name}.py")
    assert not {module for module in found if module.split(".")[0] in EFFECTS}
    ours = {module.rpartition(".")[2] for module in found if module.startswith("appliance.node.router.")}
    assert ours <= set(PURE)


def test_only_the_edges_know_aiohttp() -> None:
    knowers = {path.stem for path in FOLDER.glob("*.py") if "aiohttp" in imports(path)}
    assert knowers <= SOCKETS
