"""The provider's TLS fails."""

from __future__ import annotations

from appliance.node.faults.fault import Fault

TLS = Fault("tls", "the TLS handshake fails", elsewhere=lambda wires: wires.tls)
