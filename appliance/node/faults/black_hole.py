"""Packets vanish: a connect that never completes."""

from __future__ import annotations

from appliance.node.faults.fault import Costs, Fault, Meaning

_CONNECT = Meaning(costs=Costs.CONNECT)
BLACK_HOLE = Fault(
    "black-hole",
    "a connect never completes",
    elsewhere=lambda wires: wires.hole,
    stream=_CONNECT,
    whole=_CONNECT,
)
