"""What appliance.yaml says, once read and checked: frozen and free of I/O. `config.py` makes these."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from appliance.contract.backup import Repository, Retention
from appliance.contract.router_policy import BreakerTimes, CanaryRule, Deadlines, Mode


class Target(StrEnum):
    LAB = "lab"
    HETZNER = "hetzner"


class Layout(StrEnum):
    SINGLE = "single"


class ProviderApi(StrEnum):
    OPENAI = "openai"  # chat completions
    ANTHROPIC = "anthropic"  # messages


@dataclass(frozen=True)
class SecretRef:
    """Where a secret stands, never the secret: `env:NAME` or `file:PATH` (relative to appliance.yaml)."""

    source: str  # "env" | "file"
    location: str

    def __str__(self) -> str:
        return f"{self.source}:{self.location}"


@dataclass(frozen=True)
class Provider:
    name: str
    api: ProviderApi
    base_url: str
    key: SecretRef


@dataclass(frozen=True)
class ModelRef:
    """`provider/model` as workloads name it; the model may itself contain slashes."""

    provider: str
    model: str
    context_window: int | None = field(default=None, compare=False)  # tokens; None: the workload's

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True)
class Workload:
    name: str
    primary: ModelRef
    fallbacks: tuple[ModelRef, ...]  # in the order they are asked; none: the workload is fail-closed
    context_window: int  # tokens, of each of its models that says nothing else
    max_tokens: int
    mode: Mode = Mode.PASS
    failed_status: int = 503
    deadlines: Deadlines = field(default_factory=Deadlines)

    @property
    def fail_closed(self) -> bool:
        return not self.fallbacks

    @property
    def models(self) -> tuple[ModelRef, ...]:
        return (self.primary, *self.fallbacks)

    def window_of(self, model: ModelRef) -> int:
        return model.context_window or self.context_window


@dataclass(frozen=True)
class Network:
    ip_range: IPv4Network
    subnet: IPv4Network


@dataclass(frozen=True)
class Access:
    ssh: tuple[IPv4Network | IPv6Network, ...]
    api: tuple[IPv4Network | IPv6Network, ...]
    ssh_public_key: Path  # the private key is beside it, or in the SSH agent


@dataclass(frozen=True)
class Tls:
    """Either the appliance's own CA (`ca_key` and `ca_cert`), or a certificate and key from files."""

    names: tuple[str, ...]
    ca_cert: Path | None
    ca_key: SecretRef | None
    certificate: Path | None
    key: SecretRef | None


@dataclass(frozen=True)
class Image:
    base: str  # "debian-13"
    bake_server_type: str  # the smallest disk: a snapshot boots on no smaller one


@dataclass(frozen=True)
class Backup:
    """Where backups go, and the keys to it: which of them there are, the repository's kind says."""

    repository: Repository
    passphrase: SecretRef
    ssh_key: SecretRef | None  # the node's
    operator_key: Path | None  # the desk's own: it may delete
    s3_id: SecretRef | None
    s3_secret: SecretRef | None
    every_hours: int
    retention: Retention
    verify_percent: int
    secrets: bool
    webhook: str | None


@dataclass(frozen=True)
class Settings:
    """One appliance.yaml."""

    path: Path
    name: str
    target: Target
    layout: Layout
    location: str
    server_type: str
    image: Image
    network: Network
    access: Access
    tls: Tls
    gateway_token: SecretRef
    providers: tuple[Provider, ...]
    workloads: tuple[Workload, ...]
    backup: Backup | None = None
    server_backups: bool = False  # Hetzner's own
    breaker: BreakerTimes = field(default_factory=BreakerTimes)
    canary: CanaryRule = field(default_factory=CanaryRule)
