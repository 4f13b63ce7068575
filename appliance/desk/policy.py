"""What the router is told: appliance.yaml's providers and workloads as a RouterPolicy. Pure.

Built as the node will read it, so that what the node would refuse is refused here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from appliance.contract import router_policy
from appliance.contract.bundle import PROVIDER
from appliance.contract.router_policy import RouterPolicy
from appliance.desk.settings import ModelRef, Settings, Workload

# A canary's question (contract/router_policy.py, CanaryRule); its answer is bounded by the rule.
QUESTION_TOKENS = 20
DAY = 24 * 3600


def policy(settings: Settings) -> RouterPolicy:
    return RouterPolicy(
        providers={
            provider.name: router_policy.Provider(
                api=router_policy.Api(provider.api),
                base_url=provider.base_url,
                credential=PROVIDER + provider.name,
            )
            for provider in settings.providers
        },
        workloads={workload.name: _workload(workload) for workload in settings.workloads},
        breaker=settings.breaker,
        canary=settings.canary,
    )


def router_json(settings: Settings) -> bytes:
    """The policy with every value in it: what a node does is not for its own defaults to say."""
    return policy(settings).model_dump_json(indent=1).encode() + b"\n"


def _workload(workload: Workload) -> router_policy.Workload:
    return router_policy.Workload(
        primary=_target(workload, workload.primary),
        fallbacks=tuple(_target(workload, fallback) for fallback in workload.fallbacks),
        fail_closed=workload.fail_closed,
        mode=workload.mode,
        failed_status=workload.failed_status,
        deadlines=workload.deadlines,
    )


def _target(workload: Workload, model: ModelRef) -> router_policy.Target:
    return router_policy.Target(
        provider=model.provider,
        model=model.model,
        context_window=workload.window_of(model),
        max_tokens=workload.max_tokens,
    )


@dataclass(frozen=True)
class CanaryCost:
    """What the canaries cost at most."""

    models: int  # each model of each provider once, whoever uses it
    hours: float  # from one round to the next
    requests_a_day: int
    tokens_a_day: int


def canary_cost(settings: Settings) -> CanaryCost:
    models = len({model for workload in settings.workloads for model in workload.models})
    requests = math.ceil(models * DAY / settings.canary.every)
    tokens = requests * (QUESTION_TOKENS + settings.canary.max_tokens)
    return CanaryCost(models, settings.canary.every / 3600, requests, tokens)
