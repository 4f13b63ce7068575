"""The shape of appliance.yaml, read by pydantic. The JSON Schema that editors get is made from it. Pure.

What the keys mean for the operator is told by the comments that `appliance init` writes (initial.py).
"""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from appliance.contract.router_admin import DRILL
from appliance.contract.router_policy import FALLBACKS, BreakerTimes, CanaryRule, Deadlines, Mode
from appliance.desk.config import values
from appliance.desk.config.backup_file import BackupSection
from appliance.desk.config.pieces import FilePath, Secret, Section, Word, schema, text
from appliance.desk.settings import Layout, ModelRef, ProviderApi, Target

# Taken on the node: the edge's own paths, and the router's and gateway's own names.
RESERVED_WORKLOADS = frozenset({"v1", "healthz", "readyz", "startupz", "livez", "router", "openclaw"})
RESERVED_PROVIDERS = frozenset({"router", "openclaw", "appliance"})


Name = Annotated[
    str, text(values.name), schema(pattern="^[a-z]([a-z0-9-]*[a-z0-9])?$", maxLength=values.NAME_LENGTH)
]
Source = Annotated[IPv4Network | IPv6Network, text(values.source), schema(examples=["203.0.113.7/32"])]
IpRange = Annotated[IPv4Network, text(values.ip_range), schema(examples=["10.90.0.0/16"])]
Subnet = Annotated[IPv4Network, text(values.subnet), schema(examples=["10.90.1.0/24"])]
Model = Annotated[ModelRef, text(values.model_ref), schema(pattern="^[^/]+/.+$", examples=["alpha/large-1"])]
Url = Annotated[str, text(values.base_url), schema(format="uri")]
TlsName = Annotated[str, text(values.tls_name)]
ProviderName = Annotated[str, text(partial(values.key_name, RESERVED_PROVIDERS, DRILL))]
WorkloadName = Annotated[str, text(partial(values.key_name, RESERVED_WORKLOADS, DRILL))]


Window = Annotated[int, Field(ge=1_000, le=100_000_000)]  # tokens
# The edge gives up on a gateway that says nothing for 660 s, and who stands behind it must speak first.
SHORTEST, LONGEST = 0.1, 600.0
Seconds = Annotated[float, Field(ge=SHORTEST, le=LONGEST)]
Pause = Annotated[float, Field(ge=SHORTEST, le=3600)]  # seconds

_LIMITS, _BREAKER, _CANARY = Deadlines(), BreakerTimes(), CanaryRule()


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


class ModelSection(Section):
    model: Model = Field(description="provider/model, like alpha/large-1.")
    context_window: Window | None = Field(None, description="Tokens, where not the workload's.")


_MODEL_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": "^[^/]+/.+$", "examples": ["alpha/large-1"]},
        {
            "type": "object",
            "properties": {"model": {"type": "string"}, "context_window": {"type": "integer"}},
            "required": ["model"],
            "additionalProperties": False,
        },
    ]
}
_MODELS_SCHEMA = {"type": "array", "items": _MODEL_SCHEMA, "maxItems": FALLBACKS}


def _named(value: object) -> object:
    """A model by its name alone, or a group of keys."""
    return value if isinstance(value, dict) else {"model": value}


def _listed(value: object) -> object:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


ModelOrName = Annotated[ModelSection, BeforeValidator(_named), WithJsonSchema(_MODEL_SCHEMA)]
Fallbacks = Annotated[
    list[ModelOrName],
    Field(max_length=FALLBACKS),
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [*_MODEL_SCHEMA["anyOf"], _MODELS_SCHEMA, {"type": "null"}]}),
]


class DeadlinesSection(Section):
    """Seconds. Left out: the workload's are those of the top level, and those the defaults."""

    connect: Seconds | None = Field(None, description=f"DNS, TCP and TLS. {_LIMITS.connect:g} if left out.")
    hedge: Seconds | None = Field(
        None, description=f"A stream without content: the fallback starts too. {_LIMITS.hedge:g}."
    )
    whole_hedge: Seconds | None = Field(
        None, description=f"The same for an answer that is no stream. {_LIMITS.whole_hedge:g}."
    )
    between: Seconds | None = Field(None, description=f"Silence within a stream. {_LIMITS.between:g}.")
    start: Seconds | None = Field(
        None, description=f"No content from anybody: the request has failed. {_LIMITS.start:g}."
    )
    total: Seconds | None = Field(None, description=f"Of a request, whatever flows. {_LIMITS.total:g}.")

    def said(self) -> dict[str, float]:
        return {key: float(value) for key, value in self if value is not None}


class BreakerSection(Section):
    """Seconds that a provider is asked last after a failure."""

    server_error: Pause = Field(_BREAKER.server_error, description="After an error of its own, or silence.")
    rate_limited: Pause = Field(_BREAKER.rate_limited, description="After 429; its Retry-After goes before.")
    refused: Pause = Field(_BREAKER.refused, description="After a refused key or model, or a spent quota.")


class CanarySection(Section):
    every_hours: Annotated[float, Field(ge=0.1, le=168)] = Field(
        _CANARY.every / 3600, description="How often each provider is asked directly for each of its models."
    )
    max_tokens: int = Field(_CANARY.max_tokens, ge=1, le=1024, description="Of a canary's answer.")


class WorkloadSection(Section):
    primary: ModelOrName = Field(description="provider/model that answers.")
    fallback: Fallbacks = Field(
        default_factory=list, description="provider/model that answers while the primary cannot; or a list."
    )
    fail_closed: bool = Field(
        False, description="true: no fallback; when the primary fails, so do the requests."
    )
    mode: Mode = Field(
        Mode.PASS,
        strict=False,
        description="pass: answers flow as they come. hold: whole, or the fallback's.",
    )
    failed_status: Literal[422, 503] = Field(
        503, description="What the router says when nobody answered; 422 keeps its words for the client."
    )
    deadlines: DeadlinesSection = DeadlinesSection()
    context_window: Window = Field(128_000, description="Tokens.")
    max_tokens: int = Field(8_192, ge=1, le=10_000_000, description="Tokens of one answer at most.")


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
    deadlines: DeadlinesSection = Field(
        DeadlinesSection(), description="When silence is acted on, in seconds."
    )
    breaker: BreakerSection = Field(
        BreakerSection(), description="How long a provider that failed is asked last, in seconds."
    )
    canary: CanarySection = Field(
        CanarySection(), description="Each provider asked directly, so that a dead key is found early."
    )
    backup: BackupSection | None = Field(None, description="Backups off the node. null: there are none.")
    server_backups: bool = Field(
        False, description="Hetzner's own daily backups of the server, as a second line: 20 % of its price."
    )


def json_schema() -> dict[str, object]:
    """The JSON Schema of appliance.yaml (draft 2020-12)."""
    return ConfigFile.model_json_schema() | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "appliance.yaml",
    }
