"""Nobody listens where the provider should be."""

from __future__ import annotations

from appliance.node.faults.fault import Fault

REFUSED = Fault("refused", "the connection is refused", elsewhere=lambda wires: wires.refused)
