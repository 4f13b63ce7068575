"""The shape of appliance.yaml, read by pydantic. The JSON Schema that editors get is made from it. Pure.

What the keys mean for the operator is told by the comments that `appliance init` writes (initial.py).
"""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from appliance.desk.config import values
from appliance.desk.settings import Layout, ModelRef, ProviderApi, SecretRef, Target

# Taken on the node: the edge's own paths, and the router's and gateway's own names.
RESERVED_WORKLOADS = frozenset({"v1", "healthz", "readyz", "startupz", "livez", "router", "openclaw"})
RESERVED_PROVIDERS = frozenset({"router", "openclaw", "appliance"})


def _text(parse: object) -> BeforeValidator:
    """Run `parse` on text only; another type is its own mistake."""

    def validate(value: object) -> object:
        if not isinstance(value, str):
            raise values.Wrong(
                f"must be text, is {kind_of(value)}", "put it in quotes" if _is_scalar(value) else ""
            )
        assert callable(parse)
        return parse(value)

    return BeforeValidator(validate)


def _is_scalar(value: object) -> bool:
    return isinstance(value, bool | int | float)


def kind_of(value: object) -> str:
    """The type of a YAML value in the operator's words."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "a group of keys"


def _schema(kind: str = "string", **more: object) -> WithJsonSchema:
    return WithJsonSchema({"type": kind} | more)


Name = Annotated[
    str, _text(values.name), _schema(pattern="^[a-z]([a-z0-9-]*[a-z0-9])?$", maxLength=values.NAME_LENGTH)
]
Word = Annotated[str, _text(values.word)]
Source = Annotated[IPv4Network | IPv6Network, _text(values.source), _schema(examples=["203.0.113.7/32"])]
IpRange = Annotated[IPv4Network, _text(values.ip_range), _schema(examples=["10.90.0.0/16"])]
Subnet = Annotated[IPv4Network, _text(values.subnet), _schema(examples=["10.90.1.0/24"])]
Secret = Annotated[
    SecretRef, _text(values.secret_ref), _schema(pattern="^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")
]
Model = Annotated[
    ModelRef, _text(values.model_ref), _schema(pattern="^[^/]+/.+$", examples=["alpha/large-1"])
]
Url = Annotated[str, _text(values.base_url), _schema(format="uri")]
TlsName = Annotated[str, _text(values.tls_name)]
FilePath = Annotated[str, _text(values.path)]
ProviderName = Annotated[str, _text(partial(values.key_name, RESERVED_PROVIDERS))]
WorkloadName = Annotated[str, _text(partial(values.key_name, RESERVED_WORKLOADS))]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


class ImageSection(Section):
    base: Word = Field("debian-13", description="The base image that the bake starts from.")
    bake_server_type: Word = Field(
        "cx23",
        description="Where the bake runs. A snapshot boots on no smaller disk than the one it was baked on.",
    )


class NetworkSection(Section):
    ip_range: IpRange = Field(IPv4Network("10.90.0.0/16"), description="The private network: /24 or larger.")
    subnet: Subnet = Field(IPv4Network("10.90.1.0/24"), description="The nodes' part of it: /30 or larger.")


class AccessSection(Section):
    ssh: list[Source] = Field(min_length=1, description="Who may reach SSH. This desk must be among them.")
    api: list[Source] = Field(min_length=1, description="Who may reach the gateway on 443.")
    ssh_public_key: FilePath = Field(
        description="The public key for SSH; the private half beside it (no .pub) or in the SSH agent."
    )


class TlsSection(Section):
    names: list[TlsName] = Field(
        default_factory=list, description="DNS names that clients use. The node's addresses are always added."
    )
    ca_cert: FilePath | None = Field(None, description="The appliance's own CA: its certificate.")
    ca_key: Secret | None = Field(None, description="The appliance's own CA: its key, env:NAME or file:PATH.")
    certificate: FilePath | None = Field(
        None, description="Instead of a CA: a certificate chain of your own."
    )
    key: Secret | None = Field(
        None, description="Instead of a CA: the certificate's key, env:NAME or file:PATH."
    )


class GatewaySection(Section):
    token: Secret = Field(description="The bearer token that clients send: env:NAME or file:PATH.")


class ProviderSection(Section):
    api: ProviderApi = Field(strict=False, description="The protocol: chat completions, or messages.")
    base_url: Url = Field(description="Up to and including the version, like https://api.example.com/v1.")
    key: Secret = Field(description="The vendor's key: env:NAME or file:PATH, never the key itself.")
    timeout_seconds: int = Field(60, ge=1, le=3600, description="How long a silent answer is waited for.")


class WorkloadSection(Section):
    primary: Model = Field(description="provider/model that answers.")
    fallback: Model | None = Field(None, description="provider/model that answers while the primary cannot.")
    fail_closed: bool = Field(
        False, description="true: no fallback; when the primary fails, so do the requests."
    )
    context_window: int = Field(128_000, ge=1_000, le=100_000_000, description="Tokens.")
    max_tokens: int = Field(8_192, ge=1, le=10_000_000, description="Tokens of one answer at most.")


class BackupSection(Section):
    repository: str | None = Field(None, description="restic's repository. None yet: backups come later.")


class ConfigFile(Section):
    """appliance.yaml: one appliance."""

    name: Name = Field(description="Names everything at the cloud, and labels it appliance=<name>.")
    target: Target = Field(strict=False, description="The lab on this machine, or Hetzner's cloud.")
    layout: Layout = Field(Layout.SINGLE, strict=False, description="single: one node.")
    location: Word = Field(description="Where at Hetzner, like fsn1, nbg1, hel1.")
    server_type: Word = Field(description="The node's server type: 4 GB of memory is the floor.")
    image: ImageSection = ImageSection()
    network: NetworkSection = NetworkSection()
    access: AccessSection
    tls: TlsSection
    gateway: GatewaySection
    providers: dict[ProviderName, ProviderSection] = Field(min_length=1, description="The vendors of models.")
    workloads: dict[WorkloadName, WorkloadSection] = Field(
        min_length=1,
        description="Classes of model traffic. Clients choose one by path: https://node/<workload>/v1.",
    )
    backup: BackupSection = BackupSection()


def json_schema() -> dict[str, object]:
    """The JSON Schema of appliance.yaml (draft 2020-12)."""
    return ConfigFile.model_json_schema() | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "appliance.yaml",
    }
