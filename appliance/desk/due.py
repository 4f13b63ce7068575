"""Whether a node has what this desk would push, by the node's own report. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from appliance.contract.node_report import NodeReport
from appliance.desk import pki


def push_due(
    report: NodeReport,
    digest: str,
    authority: pki.Authority | None,
    names: Sequence[str],
    now: datetime,
) -> str:
    """Why a push is due; empty where none is.

    `digest` is that of the bundle wanted, `names` those that the certificate of the appliance's own CA,
    if there is one, must be good for.
    """
    reasons = []
    if report.bundle is None:
        reasons.append("config and secrets")
    elif report.bundle != digest:
        reasons.append("config or secrets have changed")
    if authority is not None:
        present = report.certificate
        flaw = "no certificate yet"
        if present is not None:
            flaw = pki.flaw(present.pem.encode(), authority.certificate, names, now) or ""
        reasons += [flaw] if flaw else []
    return "; ".join(reasons)
