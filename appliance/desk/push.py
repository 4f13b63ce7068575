"""The node gets this desk's config, secrets and certificate, unless it has them already."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.contract.node_report import NodeReport
from appliance.contract.trouble import NodeTrouble
from appliance.desk import bundle, pki
from appliance.desk.bundle import Bundle, Material
from appliance.desk.node_account import NODE, await_gateway, read_report
from appliance.desk.pki import Authority
from appliance.desk.progress import Progress, Step
from appliance.desk.remote import Shell
from appliance.desk.settings import Settings

RECEIVE_SECONDS = 120  # the gateway's own validator takes 2 to 11 s
# Twice, for the new bundle and the one before: 345 s for answers in flight to end, 120 s to be ready.
ACTIVATE_SECONDS = 1000


@dataclass(frozen=True)
class PushResult:
    node: str
    bundle: str
    bundle_changed: bool
    certificate_renewed: str | None  # why, or None where it was good
    seconds: float

    @property
    def changed(self) -> bool:
        return self.bundle_changed or self.certificate_renewed is not None


@dataclass(frozen=True)
class Due:
    """What a node lacks; an empty reason means that it has it."""

    bundle: Bundle  # the one it should have
    names: tuple[str, ...]  # those that its certificate should be good for
    bundle_why: str
    certificate_why: str

    @property
    def why(self) -> str:
        return "; ".join(reason for reason in (self.bundle_why, self.certificate_why) if reason)


def due(
    settings: Settings, material: Material, addresses: Sequence[str], report: NodeReport, now: datetime
) -> Due:
    """What of this desk's the node lacks, by its own report. Pure."""
    new = bundle.wanted(settings, material)
    names = (*settings.tls.names, *addresses)
    bundle_why = certificate_why = ""
    if report.bundle != new.digest:
        bundle_why = "config or secrets have changed" if report.bundle else "config and secrets"
    if material.authority is not None:
        certificate_why = "no certificate yet"
        if report.certificate is not None:
            pem, ca = report.certificate.pem.encode(), material.authority.certificate
            flaw = pki.flaw(pem, ca, names, now)
            certificate_why = f"its certificate: {flaw}" if flaw else ""
    return Due(new, names, bundle_why, certificate_why)


def push(
    settings: Settings,
    material: Material,
    shell: Shell,
    addresses: Sequence[str],
    now: datetime,
    progress: Progress,
) -> PushResult:
    """Bring the node at `shell` to what the desk would have. `addresses` are those that clients use.

    Raises NodeTrouble with the gateway's own words; the node then goes on with what it had.
    """
    start = time.monotonic()
    with progress.step("Read the node's report") as step:
        report = read_report(shell)
        step.update(f"bundle {_short(report.bundle)}")
    lacks = due(settings, material, addresses, report, now)
    if material.authority is not None:
        _certify(shell, material.authority, lacks, now, progress)
    if lacks.bundle_why:
        _send(shell, lacks.bundle, report, progress)
        _activate(shell, lacks.bundle, report, progress)
    else:
        with progress.step("Push the bundle") as step:
            step.skip(f"the node has {_short(lacks.bundle.digest)} in force")
        if report.gateway != "ready":
            await_gateway(shell, progress)  # a desk that was killed may have started it
    return PushResult(
        node=report.node,
        bundle=lacks.bundle.digest,
        bundle_changed=bool(lacks.bundle_why),
        certificate_renewed=lacks.certificate_why or None,
        seconds=time.monotonic() - start,
    )


def certify(
    settings: Settings,
    material: Material,
    shell: Shell,
    addresses: Sequence[str],
    now: datetime,
    progress: Progress,
) -> None:
    """Only the certificate, where the node's is not good for these addresses."""
    if material.authority is not None:
        lacks = due(settings, material, addresses, read_report(shell), now)
        _certify(shell, material.authority, lacks, now, progress)


def _certify(shell: Shell, authority: Authority, lacks: Due, now: datetime, progress: Progress) -> None:
    """The node makes a key and a request; only the request leaves it."""
    with progress.step("Certificate") as step:
        if not lacks.certificate_why:
            step.skip("the node's is good")
            return
        words = [word for name in lacks.names for word in ("--name", name)]
        csr = shell.check([NODE, "csr", *words])
        chain = pki.sign(authority, csr.encode(), lacks.names, now)
        shell.check([NODE, "certificate"], input=chain)
        step.update(f"signed by the appliance's CA: {lacks.certificate_why}")


def _send(shell: Shell, new: Bundle, report: NodeReport, progress: Progress) -> None:
    with progress.step("Send the bundle, which the gateway's validator reads") as step:
        step.update(f"{_short(new.digest)}, {len(new.tar) / 1024:.0f} KiB")
        result = shell.run([NODE, "receive"], input=new.tar, timeout=RECEIVE_SECONDS)
        verdict = _last_object(result.out)
        if verdict is None:
            raise NodeTrouble(
                f"{shell.host} did not take the bundle.", why=result.tail(), fix=_in_force(report)
            )
        if not verdict.get("ok"):
            raise NodeTrouble(
                "The node refuses this configuration. Nothing was changed.",
                why=_words(verdict),
                fix=f"Correct appliance.yaml and push again. {_in_force(report)}",
            )


def _activate(shell: Shell, new: Bundle, report: NodeReport, progress: Progress) -> None:
    with progress.step("Switch to the bundle and wait for the gateway") as step:
        result = shell.run(
            [NODE, "activate", new.digest],
            timeout=ACTIVATE_SECONDS,
            on_line=lambda line: _show(line, step),
        )
        verdict = _last_object(result.out)
        if verdict is None:
            raise NodeTrouble(
                f"{shell.host} ended the switch without a word on how it went.",
                why=result.tail(),
                fix="`appliance status` tells which bundle is in force; then push again.",
            )
        if verdict.get("ok"):
            return
        what = "The gateway did not come up with the new bundle."
        if verdict.get("rolled_back"):
            what += " The node went back to the one before."
        raise NodeTrouble(what, why=_words(verdict), fix=_in_force(report))


def _show(line: str, step: Step) -> None:
    event = _object(line)
    if event is not None and "event" in event:
        step.update(f"{event['event']}: {event.get('detail', '')}".rstrip(": "))


def _last_object(text: str) -> dict[str, Any] | None:
    """The last JSON object in a stream of lines that says `ok`."""
    found = None
    for line in text.splitlines():
        value = _object(line)
        if value is not None and "ok" in value:
            found = value
    return found


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _words(verdict: dict[str, Any]) -> str:
    return "\n".join(str(verdict[key]).strip() for key in ("error", "tail") if verdict.get(key))


def _in_force(report: NodeReport) -> str:
    if report.bundle is None:
        return "The node has no bundle in force yet."
    return f"In force is bundle {_short(report.bundle)}, as before."


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"
