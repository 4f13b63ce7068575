"""The provider's name does not resolve."""

from __future__ import annotations

from appliance.node.faults.fault import Costs, Fault, Meaning

# A resolver that cannot be reached itself takes its time to say so; the connect deadline bounds it.
_RESOLVER = Meaning(costs=Costs.CONNECT)
DNS = Fault(
    "dns",
    "the provider's name does not resolve",
    elsewhere=lambda wires: wires.no_name,
    stream=_RESOLVER,
    whole=_RESOLVER,
)
