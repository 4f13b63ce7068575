"""What a fault is: how it strikes, and what must come of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import web

from appliance.contract.drill import Kind
from appliance.node.faults.visit import Visit
from appliance.node.faults.wires import Wires


class Rule(StrEnum):
    """What must come of a fault; the workload's own policy says the rest."""

    MOVES_ON = "the next provider answers"
    AFTER_CONTENT = "held: the next provider answers; passed on: a clear error in band"
    CLIENTS_OWN = "the client's own error: nobody else is asked"
    CONTEXT = "a larger window answers, or the client is told"
    PRIMARY = "the primary answers, and no breaker opens"


class Costs(StrEnum):
    """Until when nothing can be known of it."""

    ERROR = "no time"
    CONNECT = "the connect deadline"
    SILENCE = "the hedge"
    GAP = "the deadline between pieces of content"
    WAIT = "its own slowness"


@dataclass(frozen=True)
class Meaning:
    rule: Rule = Rule.MOVES_ON
    costs: Costs = Costs.ERROR


Strike = Callable[[Visit], Awaitable[web.StreamResponse]]
ERROR = Meaning()
SILENCE = Meaning(costs=Costs.SILENCE)


@dataclass(frozen=True)
class Fault:
    """`stream`, `whole`: for those answers; None: it makes no sense there.

    strike: at a request. elsewhere: a base URL where the connection itself fails; nothing reaches the proxy.
    beside: the strike at the fallbacks. first: shares of the hedge until content, where it is only slow.
    heals: seconds of the breaker where the fault itself says so.
    router_only: to the gateway it is the same as another one, and takes long.
    asks: the provider itself is asked first, which takes its time.
    """

    name: str
    what: str
    strike: Strike | None = None
    elsewhere: Callable[[Wires], str] | None = None
    stream: Meaning | None = field(default=ERROR)
    whole: Meaning | None = field(default=ERROR)
    beside: Strike | None = None
    first: float = 0
    heals: float | None = None
    asks: bool = False
    router_only: bool = False

    def meaning(self, upstream: Kind) -> Meaning | None:
        """`upstream`: what the provider is asked for; the gateway always asks for a stream."""
        return self.stream if upstream is Kind.STREAM else self.whole
