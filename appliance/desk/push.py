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
from appliance.desk.node_account import NODE, read_report
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
    new = bundle.wanted(settings, material)
    renewed = None
    if material.authority is not None:
        names = [*settings.tls.names, *addresses]
        renewed = _renew_certificate(shell, material.authority, names, report, now, progress)
    changed = report.bundle != new.digest
    if changed:
        _send(shell, new, report, progress)
        _activate(shell, new, report, progress)
    else:
        with progress.step("Push the bundle") as step:
            step.skip(f"the node has {_short(new.digest)} in force")
        if report.gateway != "ready":
            progress.warn(f"The gateway is {report.gateway}, though its bundle is the right one.")
    return PushResult(report.node, new.digest, changed, renewed, time.monotonic() - start)


def _renew_certificate(
    shell: Shell,
    authority: pki.Authority,
    names: Sequence[str],
    report: NodeReport,
    now: datetime,
    progress: Progress,
) -> str | None:
    with progress.step("Certificate") as step:
        present = report.certificate
        why = "there is none yet"
        if present is not None:
            flaw = pki.flaw(present.pem.encode(), authority.certificate, names, now)
            if flaw is None:
                step.skip(f"good until {present.not_after:%Y-%m-%d}")
                return None
            why = flaw
        step.update("the node makes a key and a request")
        csr = shell.check([NODE, "csr", *(word for name in names for word in ("--name", name))])
        chain = pki.sign(authority, csr.encode(), names, now)
        shell.check([NODE, "certificate"], input=chain)
        step.update(f"signed by the appliance's CA: {why}")
        return why


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
