"""The house keeps its rules: who may import whom, and who has no effects. Read from the source."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "appliance"

LAB_KNOWERS = {"appliance.cli.wiring", "appliance.cli.lab", "appliance.cli.demo"}
# library -> the modules that may import it, by prefix
OWNERS = {
    "hcloud": ("appliance.desk.cloud",),
    "jinja2": ("appliance.desk.render",),
    "click": ("appliance.cli.",),
    "rich": ("appliance.cli.",),
}
STARTS_PROCESSES = {"subprocess", "pty", "asyncio.subprocess"}
PURE = {  # within the desk
    "backup_policy", "bundle", "check_cloud", "check_policy", "cloud.read", "config.backup_checks",
    "config.backup_file", "config.backup_values", "config.checks", "config.deadline_checks",
    "config.errors", "config.file", "config.finding", "config.initial", "config.initial_backup",
    "config.pieces", "config.values",
    "config.workload_checks", "config.yaml_lines", "findings", "hostkeys", "inputs", "kit", "model", "pki",
    "plan", "policy", "pricing", "progress", "render", "render_page", "reports", "reports.advice",
    "reports.page", "reports.restore_page", "reports.scale", "reports.timeline", "reports.words",
    "restore_plan", "settings",
}  # fmt: skip
EFFECTS = {
    "aiohttp", "asyncio", "hcloud", "http", "os", "psutil", "requests", "shutil", "signal", "socket", "ssl",
    "subprocess", "tempfile", "threading", "time", "urllib.request",
}  # fmt: skip
USE_CASES = {
    "bake", "check", "deploy", "destroy", "drill", "init", "push", "restore", "restore_drill", "status",
}  # fmt: skip
ENDERS = {"sys.exit", "exit", "quit", "os._exit"}
TOO_LONG = 400


@dataclass(frozen=True)
class Module:
    name: str
    path: Path
    imports: frozenset[str]  # modules, and names of modules that may be attributes
    for_types: frozenset[str]  # the same, below TYPE_CHECKING

    @property
    def room(self) -> str:
        return self.name.split(".")[1] if "." in self.name else ""

    def all_imports(self) -> frozenset[str]:
        return self.imports | self.for_types


def read(path: Path) -> Module:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    tree = ast.parse(path.read_text())
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in node.body
        for inner in ast.walk(part)
    }
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found[id(node) in guarded] |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            found[id(node) in guarded] |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return Module(name, path, frozenset(found[False]), frozenset(found[True]))


MODULES = [read(path) for path in sorted(PACKAGE.rglob("*.py")) if "_image" not in path.parts]


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def breaches(importers: list[Module], forbidden: set[str]) -> list[str]:
    """`importer -> imported` for every import of something within `forbidden`."""
    return sorted(
        f"{module.name} -> {imported}"
        for module in importers
        for imported in module.all_imports()
        if any(within(imported, package) for package in forbidden)
    )


def rooms(*names: str) -> list[Module]:
    return [module for module in MODULES if module.room in names]


def test_the_modules_are_found_at_all() -> None:
    names = {module.name for module in MODULES}
    assert {"appliance.desk.config.reading", "appliance.cli.main", "appliance.contract.trouble"} <= names
    main = next(module for module in MODULES if module.name == "appliance.cli.main")
    assert {"click", "appliance.cli.globals", "appliance.cli.failure"} <= main.imports


@pytest.mark.parametrize("place", ["desk", "lab", "node"])
def test_places_meet_over_http_ssh_and_contract_only(place: str) -> None:
    others = {f"appliance.{other}" for other in ("desk", "lab", "node") if other != place}
    assert breaches(rooms(place), others) == []


def test_nobody_imports_the_command_line() -> None:
    assert breaches(rooms("desk", "lab", "node", "contract"), {"appliance.cli"}) == []


def test_contract_imports_none_of_ours() -> None:
    ours = {"appliance.cli", "appliance.desk", "appliance.lab", "appliance.node"}
    assert breaches(rooms("contract"), ours) == []


def test_only_three_files_of_the_command_line_know_the_lab() -> None:
    rest = [module for module in rooms("cli") if module.name not in LAB_KNOWERS]
    assert breaches(rest, {"appliance.lab"}) == []


def test_the_node_and_the_command_line_do_not_know_each_other() -> None:
    assert breaches(rooms("cli"), {"appliance.node"}) == []


@pytest.mark.parametrize("library", OWNERS)
def test_each_library_has_one_owner(library: str) -> None:
    rest = [module for module in MODULES if not module.name.startswith(OWNERS[library])]
    assert breaches(rest, {library}) == []


def test_only_remote_starts_processes_at_the_desk() -> None:
    rest = [module for module in rooms("desk", "cli", "contract") if module.name != "appliance.desk.remote"]
    assert breaches(rest, STARTS_PROCESSES) == []


def test_what_decides_has_no_effects() -> None:
    pure = [module for module in rooms("desk") if module.name.removeprefix("appliance.desk.") in PURE]
    assert {module.name.removeprefix("appliance.desk.") for module in pure} == PURE
    effects = [
        f"{module.name} -> {imported}"
        for module in [*pure, *rooms("contract")]
        for imported in sorted(module.imports)
        if any(within(imported, effect) for effect in EFFECTS)
    ]
    assert effects == []


def test_what_decides_imports_only_what_decides() -> None:
    effectful = {
        module.name
        for module in rooms("desk")
        if module.name.removeprefix("appliance.desk.") not in PURE and module.room
    } - {"appliance.desk", "appliance.desk.archive", "appliance.desk.config"}
    pure = [module for module in rooms("desk") if module.name.removeprefix("appliance.desk.") in PURE]
    assert breaches(pure, effectful) == []


@pytest.mark.parametrize("use_case", sorted(USE_CASES))
def test_use_cases_do_not_import_each_other(use_case: str) -> None:
    (module,) = [module for module in MODULES if module.name == f"appliance.desk.{use_case}"]
    assert breaches([module], {f"appliance.desk.{other}" for other in USE_CASES - {use_case}}) == []


def test_use_cases_get_their_cloud_and_shell_they_do_not_build_them() -> None:
    built = []
    for use_case in sorted(USE_CASES):
        tree = ast.parse((PACKAGE / "desk" / f"{use_case}.py").read_text())
        built += [
            f"{use_case} builds a {node.func.id}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("Cloud", "Shell")
        ]
    assert built == []


def test_the_node_needs_only_what_its_image_installs() -> None:
    packages = (ROOT / "image" / "packages.txt").read_text()
    installed = set(re.findall(r"^python3-(\w+)", packages, re.M))
    allowed = {"appliance", *installed, *sys.stdlib_module_names}
    foreign = [
        f"{module.name} -> {imported}"
        for module in rooms("node", "contract")
        for imported in sorted(module.all_imports())
        if imported.split(".")[0] not in allowed
    ]
    assert foreign == []


def test_deep_code_never_ends_the_process() -> None:
    enders = [
        f"{module.name}:{node.lineno}"
        for module in rooms("desk", "contract")
        for node in ast.walk(ast.parse(module.path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ENDERS
    ]
    assert enders == []


def test_no_file_is_too_long_to_read() -> None:
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    long = {str(path.relative_to(ROOT)): lines for path in files if (lines := _lines(path)) > TOO_LONG}
    assert long == {}


def _lines(path: Path) -> int:
    return path.read_text().count("\n")
