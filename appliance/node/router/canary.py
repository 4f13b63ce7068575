"""Each provider and model of the policy asked directly, so that a dead key is found before it is needed.

Users' breakers have no part in it: a key that is dead for a short question says little of the next long one,
and who acted gets a closed breaker with the new key, or the first probe of an open one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from appliance.contract.drill import Canaries, Canary
from appliance.contract.router_policy import Api, Deadlines, RouterPolicy, Target
from appliance.node.router.attempt import Attempt, Opener
from appliance.node.router.classify import Cause, Failed, Outcome
from appliance.node.router.dialects import Ask
from appliance.node.router.switchboard import InForce

SECONDS = 30.0  # for all of them, side by side
QUESTION = "Reply with the word ok."
LIMITS = ("max_tokens", "max_completion_tokens")  # OpenAI's newer models refuse the first, Mistral the second
# OpenAI's 400 where a model that reasons reached the limit before it said a word: it did work.
CUT_SHORT = "model output limit was reached"

log = logging.getLogger("router")


async def ask_all(force: InForce, opener: Opener, seconds: float = SECONDS) -> Canaries:
    """Within `seconds`, whatever the providers do."""
    at = datetime.now(UTC)
    asked = [_ask(force, target, workloads, opener, seconds) for target, workloads in _wanted(force.policy)]
    return Canaries(at=at, canaries=tuple(await asyncio.gather(*asked)))


def _wanted(policy: RouterPolicy) -> list[tuple[Target, tuple[str, ...]]]:
    """A target for each provider and model, and the workloads that depend on it."""
    found: dict[tuple[str, str], tuple[Target, list[str]]] = {}
    for name, workload in policy.workloads.items():
        for target in workload.targets:
            _, names = found.setdefault((target.provider, target.model), (target, []))
            if name not in names:
                names.append(name)
    return [(target, tuple(names)) for target, names in found.values()]


async def _ask(
    force: InForce, target: Target, workloads: tuple[str, ...], opener: Opener, seconds: float
) -> Canary:
    begun = _now()
    try:
        async with asyncio.timeout(seconds):
            outcome = await _outcome(force, target, opener)
    except TimeoutError:
        outcome = Outcome(Cause.DEADLINE)
    return Canary(
        provider=target.provider,
        model=target.model,
        ok=outcome is None,
        detail=_words(outcome),
        seconds=round(_now() - begun, 3),
        workloads=workloads,
    )


async def _outcome(force: InForce, target: Target, opener: Opener) -> Outcome | None:
    """None: it answered."""
    provider = force.policy.providers[target.provider]
    key = force.keys.get(provider.credential)
    outcome: Outcome | None = None
    for limit in LIMITS if provider.api is Api.OPENAI else LIMITS[:1]:
        attempt = Attempt(_question(limit, force), provider, target, key, Deadlines())
        try:
            await attempt.begin(opener)
            return None
        except Failed as failed:
            outcome = failed.outcome
        except Exception:
            log.exception("a canary at %s ended in a bug", target.provider)
            return Outcome(Cause.MALFORMED)
        finally:
            attempt.close()
        if outcome.cause is not Cause.REQUEST:
            break
        if CUT_SHORT in outcome.told:
            return None
    return outcome


def _question(limit: str, force: InForce) -> Ask:
    messages = [{"role": "user", "content": QUESTION}]
    body: Mapping[str, Any] = {"messages": messages, limit: force.policy.canary.max_tokens}
    return Ask("canary", body, int(time.time()))


def _words(outcome: Outcome | None) -> str:
    if outcome is None:
        return "answered"
    status = f" ({outcome.status})" if outcome.status else ""
    return outcome.words + status + (f": {outcome.told}" if outcome.told else "")


def _now() -> float:
    return asyncio.get_running_loop().time()
