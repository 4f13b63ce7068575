"""appliance.yaml -> Settings, with every mistake at once, each with its line and what would be right.

`parse` is pure; `load` and `read` read the one file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from appliance.contract.backup import Repository, Retention
from appliance.contract.router_policy import BreakerTimes, CanaryRule, Deadlines
from appliance.contract.trouble import ConfigTrouble
from appliance.desk import settings as known
from appliance.desk.config.backup_file import BackupSection
from appliance.desk.config.checks import cross_check
from appliance.desk.config.errors import explain
from appliance.desk.config.file import ConfigFile, DeadlinesSection, ModelSection, WorkloadSection
from appliance.desk.config.finding import Finding
from appliance.desk.config.pieces import kind_of
from appliance.desk.config.values import quote
from appliance.desk.config.yaml_lines import Document, Key, Value, Where, read_yaml

MOST_TOLD = 50  # a file with more mistakes than this is not an appliance.yaml


@dataclass(frozen=True)
class Problem:
    """One mistake: `line` counts from 1, `path` is where in the file (like workloads.code.primary)."""

    file: str
    line: int
    path: str
    what: str
    right: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " + (f"{self.path}: " if self.path else "")
        return where + "; ".join(part for part in (self.what, self.right) if part)


class BadConfig(ConfigTrouble):
    """appliance.yaml cannot be used; `problems` are all of its mistakes in the order of their lines."""

    def __init__(self, file: str, problems: tuple[Problem, ...]) -> None:
        count = f"{len(problems)} mistake{'s' if len(problems) != 1 else ''}"
        super().__init__(
            f"{file} has {count}",
            why="\n".join(str(problem) for problem in problems),
            fix="correct the file, then `appliance check` reads it again",
        )
        self.problems = problems

    def data(self) -> dict[str, object]:
        """What --json says beside what, why and next."""
        return {
            "problems": [
                {"file": p.file, "line": p.line, "path": p.path, "what": p.what, "right": p.right}
                for p in self.problems
            ]
        }


@dataclass(frozen=True)
class Reading:
    settings: known.Settings
    warnings: tuple[Problem, ...]


def load(path: Path) -> known.Settings:
    """Read appliance.yaml. Raises BadConfig, or ConfigTrouble when there is no file to read."""
    return read(path).settings


def read(path: Path) -> Reading:
    """As `load`, with what is not wrong but worth a second thought."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigTrouble(
            f"there is no {path}",
            why="every command reads what it should do from there",
            fix="run `appliance init` to write one, or name another with --config",
        ) from None
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigTrouble(f"{path} cannot be read", why=why, fix="name another with --config") from None
    return parse(content, path)


def parse(content: bytes, path: Path) -> Reading:
    """The file's content as Settings; `path` is only named, and what relative paths start from."""
    document = read_yaml(content)
    last_line = content.count(b"\n") + 1

    def problem(where: Where, what: str, right: str, line: int | None = None) -> Problem:
        at = document.line(where) if line is None else line
        return Problem(path.name, min(max(at, 1), last_line), show(where), what, right)

    problems = [problem(slip.where, slip.what, slip.right, slip.line) for slip in document.slips]
    file = None
    findings: list[Finding] = []
    if not isinstance(document.value, dict):
        if not problems:
            problems.append(_not_a_config(document, problem((), "", "").file))
    else:
        try:
            file = ConfigFile.model_validate(document.value)
        except ValidationError as invalid:
            for error in invalid.errors(include_url=False):
                where, what, right = explain(error)
                problems.append(problem(_as_written(where, document.value), what, right))
        findings = cross_check(document.value)
        problems += [problem(f.where, f.what, f.right) for f in findings if not f.warning]
    if problems or file is None:
        raise BadConfig(path.name, _in_order(problems))
    warnings = _in_order([problem(f.where, f.what, f.right) for f in findings])
    return Reading(_settings(file, path), warnings)


def show(where: Where) -> str:
    """("access", "ssh", 0) -> access.ssh[0]. A key that may be a secret is not shown."""
    text = ""
    for key in where:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            plain = quote(key)
            text += ("." if text else "") + (key if plain == f'"{key}"' else "(...)")
    return text


def _as_written(where: Where, value: Value) -> Where:
    """Without the steps that the file leaves out: a fallback for a list of one, a name for a model."""
    steps: list[Key] = []
    for key in where:
        if isinstance(value, list if isinstance(key, int) else dict):
            steps.append(key)
            value = _inside(value, key)
    return tuple(steps)


def _inside(value: Value, key: Key) -> Value:
    if isinstance(value, list):
        return value[key] if isinstance(key, int) and key < len(value) else None
    return value.get(key) if isinstance(value, dict) and isinstance(key, str) else None


def _not_a_config(document: Document, file: str) -> Problem:
    if document.value is None:
        return Problem(file, 1, "", "the file is empty", "`appliance init` writes one with comments")
    return Problem(
        file, 1, "", f"must be a group of keys, is {kind_of(document.value)}", "like `name: gateway`"
    )


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    unique = sorted(set(problems), key=lambda p: (p.line, p.path, p.what))
    return tuple(unique[:MOST_TOLD])


def _settings(file: ConfigFile, path: Path) -> known.Settings:
    base = path.absolute().parent

    def at(text: str) -> Path:
        return base / Path(text).expanduser()

    tls = file.tls
    return known.Settings(
        path=path.absolute(),
        name=file.name,
        target=file.target,
        layout=file.layout,
        location=file.location,
        server_type=file.server_type,
        image=known.Image(file.image.base, file.image.bake_server_type),
        network=known.Network(file.network.ip_range, file.network.subnet),
        access=known.Access(tuple(file.access.ssh), tuple(file.access.api), at(file.access.ssh_public_key)),
        tls=known.Tls(
            names=tuple(tls.names),
            ca_cert=at(tls.ca_cert) if tls.ca_cert else None,
            ca_key=tls.ca_key,
            certificate=at(tls.certificate) if tls.certificate else None,
            key=tls.key,
        ),
        gateway_token=file.gateway.token,
        providers=tuple(known.Provider(name, p.api, p.base_url, p.key) for name, p in file.providers.items()),
        workloads=tuple(_workload(name, w, file.deadlines) for name, w in file.workloads.items()),
        breaker=BreakerTimes(**dict(file.breaker)),
        canary=CanaryRule(every=file.canary.every_hours * 3600, max_tokens=file.canary.max_tokens),
        backup=_backup(file.backup, base) if file.backup else None,
        server_backups=file.server_backups,
    )


def _workload(name: str, said: WorkloadSection, of_all: DeadlinesSection) -> known.Workload:
    return known.Workload(
        name=name,
        primary=_model(said.primary),
        fallbacks=tuple(_model(fallback) for fallback in said.fallback),
        context_window=said.context_window,
        max_tokens=said.max_tokens,
        mode=said.mode,
        failed_status=said.failed_status,
        deadlines=Deadlines(**(of_all.said() | said.deadlines.said())),
    )


def _backup(said: BackupSection, base: Path) -> known.Backup:
    repository = {key: value for key, value in said.repository if value is not None}
    return known.Backup(
        repository=TypeAdapter(Repository).validate_python(repository),
        passphrase=said.passphrase,
        ssh_key=said.ssh_key,
        operator_key=base / Path(said.operator_key).expanduser() if said.operator_key else None,
        s3_id=said.s3_id,
        s3_secret=said.s3_secret,
        every_hours=said.every_hours,
        retention=Retention(**dict(said.retention)),
        verify_percent=said.verify_percent,
        secrets=said.secrets,
        webhook=said.webhook,
    )


def _model(said: ModelSection) -> known.ModelRef:
    return replace(said.model, context_window=said.context_window)
