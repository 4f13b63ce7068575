"""The router's policy: which provider answers which workload, and when the next one is asked.

The desk renders it from appliance.yaml, the node's router reads it. It holds no key: `credential` names
an entry of the router's credential file. All times are seconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

PORT = 8791  # loopback on the node; the gateway's only provider
MODEL_PREFIX = "router/"  # "code" and "router/code" are the same workload
BODY_BYTES = 32 * 1024 * 1024
FALLBACKS = 3

Seconds = Annotated[float, Field(gt=0, le=3600)]


class Api(StrEnum):
    OPENAI = "openai"  # chat completions
    ANTHROPIC = "anthropic"  # messages


class Mode(StrEnum):
    PASS = "pass"  # noqa: S105 - answers flow as they come; a break after content is an error in band
    HOLD = "hold"  # answers are held until they are whole; a break is answered by the fallback


class Policy(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Provider(Policy):
    api: Api
    base_url: str = Field(pattern=r"^https?://[^\s?#@]+$")  # up to and with the version
    credential: str

    @field_validator("base_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        return url.rstrip("/")


class Target(Policy):
    """A model at a provider."""

    provider: str
    model: str = Field(min_length=1)
    context_window: int = Field(128_000, ge=1)  # tokens; a request too long here goes only to a larger one
    max_tokens: int = Field(8_192, ge=1)  # of an answer, where the API insists on a limit and none is asked


class Deadlines(Policy):
    """When silence is acted on. Only content counts as a sign of life, not headers, comments or role chunks.

    hedge: no content of a stream yet: the next provider starts beside it. 5 is what the engines measured
        waited before they gave up, and a hedge kills nothing: an answer of 8 s to the first token still wins
        if the fallback is slower.
    whole_hedge: the same for answers without a stream, whose only content is the whole. OpenClaw always
        streams; 20 keeps other clients from paying twice for every longer answer.
    between: from one piece of content, reasoning included, to the next. With a time-out of 20 OpenClaw's own
        fallback answers after 24 to 32 (measured): ours begins at 20.
    closing: from finish_reason to the end of the stream; the answer is whole then, only its usage is awaited.
    start: until a stream has content, or the whole request has failed. OpenClaw's `timeoutSeconds` is an idle
        timer that comments do not reset, 120 when measured: the router must speak first.
    total: of a request, whatever flows. Below the 600 of OpenClaw's agents and of OpenAI's own clients.
        A `hold` workload sends only comments so long: its caller's idle timer must lie above this.
    connect: DNS, TCP and TLS. Below hedge: who cannot be connected is an error, not silence.
    comment: from comment to comment while a stream is held; before the first one, errors still have a status.
    """

    connect: Seconds = 4
    hedge: Seconds = 5
    whole_hedge: Seconds = 20
    between: Seconds = 20
    closing: Seconds = 5
    start: Seconds = 110
    total: Seconds = 570
    comment: Seconds = 10

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.hedge < self.start <= self.total:
            raise ValueError("deadlines: hedge < start <= total must hold")
        if self.whole_hedge >= self.total:
            raise ValueError("deadlines: whole_hedge < total must hold")
        return self


class Workload(Policy):
    """A class of model traffic.

    `failed_status` is what the client gets when nobody answered. OpenClaw makes 503 a 502 and masks its
    words; 422 keeps the words, for workloads whose users should read the cause. Other statuses make it call
    again or take the provider out of use.
    """

    primary: Target
    fallbacks: tuple[Target, ...] = Field((), max_length=FALLBACKS)
    fail_closed: bool = False
    mode: Mode = Mode.PASS
    failed_status: int = 503
    deadlines: Deadlines = Deadlines()

    @property
    def targets(self) -> tuple[Target, ...]:
        return (self.primary, *self.fallbacks)

    @field_validator("failed_status")
    @classmethod
    def _harmless(cls, status: int) -> int:
        if status not in (422, 503):
            raise ValueError("failed_status: 503 or 422; OpenClaw takes the others for something else")
        return status

    @model_validator(mode="after")
    def _one_or_more(self) -> Self:
        if self.fail_closed == bool(self.fallbacks):
            raise ValueError("a workload has either fallbacks or fail_closed: true")
        return self


class BreakerTimes(Policy):
    """How long a provider is asked last, per provider, key and model.

    failures: in a row until it opens. One: failing costs each request up to .15 s, an open breaker nothing.
    silences: as failures, for those that a hedge overtook. Two: one slow answer is no verdict.
    server_error, rate_limited: transient; OpenClaw's own tries spent 77-186 s there. Retry-After goes before.
    refused: 401, 402, 403, 404, spent quota: a person must act, so five minutes.
    longest: bound for a Retry-After.
    """

    failures: int = Field(1, ge=1, le=100)
    silences: int = Field(2, ge=1, le=100)
    server_error: Seconds = 15
    rate_limited: Seconds = 15
    refused: Seconds = 300
    longest: Seconds = 600


class CanaryRule(Policy):
    """How often each provider and model is asked directly, so that a dead key is found before it is needed.

    Its price: a question of about 20 tokens and an answer of at most `max_tokens`, a provider and model each.
    """

    every: float = Field(6 * 3600, ge=300, le=7 * 86400)  # seconds
    max_tokens: int = Field(16, ge=1, le=1024)


class RouterPolicy(Policy):
    providers: dict[str, Provider] = Field(min_length=1)
    workloads: dict[str, Workload] = Field(min_length=1)
    breaker: BreakerTimes = BreakerTimes()
    canary: CanaryRule = CanaryRule()

    @model_validator(mode="after")
    def _known_providers(self) -> Self:
        asked = {target.provider for workload in self.workloads.values() for target in workload.targets}
        if unknown := sorted(asked - self.providers.keys()):
            raise ValueError(f"unknown provider: {', '.join(unknown)}")
        return self

    def workload_of(self, model: str) -> str | None:
        """The workload that a client's `model` asks for."""
        name = model.removeprefix(MODEL_PREFIX)
        return name if name in self.workloads else None
