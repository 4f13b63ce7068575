"""Will it work? Secrets and files at the desk, then what the cloud says: all that can be told, at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from appliance.contract.trouble import ConfigTrouble, ExitCode, Trouble
from appliance.desk import pki
from appliance.desk.check_backup import Knock, check_backup
from appliance.desk.check_cloud import CloudFacts, judge, judge_second_line
from appliance.desk.check_policy import judge_policy
from appliance.desk.findings import Finding, Level
from appliance.desk.model import Label
from appliance.desk.policy import CanaryCost, canary_cost
from appliance.desk.pricing import Bill, node_bill, read_pricing
from appliance.desk.progress import Progress
from appliance.desk.secrets import read_secret, secret_refs
from appliance.desk.settings import Settings

if TYPE_CHECKING:
    from appliance.desk.cloud import Cloud


@dataclass(frozen=True)
class Checked:
    findings: tuple[Finding, ...]
    bill: Bill | None
    canaries: CanaryCost
    api_calls: int

    @property
    def ok(self) -> bool:
        return all(finding.level is not Level.WRONG for finding in self.findings)

    @property
    def exit_code(self) -> ExitCode:
        """The desk's own mistakes first: they are what the operator corrects first."""
        wrong = [finding for finding in self.findings if finding.level is Level.WRONG]
        if not wrong:
            return ExitCode.OK
        return ExitCode.USAGE if any(finding.at_desk for finding in wrong) else ExitCode.CLOUD


def check(
    settings: Settings,
    cloud: Cloud | Trouble,
    environ: Mapping[str, str],
    knock: Knock,
    progress: Progress,
    now: datetime,
) -> Checked:
    """Look at everything, change nothing. `cloud` may be the trouble that kept it from being built."""
    with progress.step("Look for secrets and keys"):
        canaries = canary_cost(settings)
        findings = [*check_desk(settings, environ, now), *judge_policy(settings, canaries)]
    with progress.step("Try the backups' store"):
        findings += check_backup(settings, knock)
    if isinstance(cloud, Trouble):
        return Checked((*findings, _told("cloud", cloud)), None, canaries, 0)
    with progress.step("Ask the cloud"):
        told, bill = _ask(settings, cloud)
    return Checked((*findings, *told), bill, canaries, cloud.calls)


def check_desk(settings: Settings, environ: Mapping[str, str], now: datetime) -> list[Finding]:
    """Secrets by their names, never their values; keys and certificates that must fit each other."""
    base = settings.path.parent
    findings, found = [], {}
    for where, ref in secret_refs(settings).items():
        try:
            found[where] = read_secret(ref, base, environ)
            findings.append(Finding(Level.OK, where, f"{ref} is there", at_desk=True))
        except ConfigTrouble as trouble:
            findings.append(_told(where, trouble, at_desk=True))
    findings.append(_ssh_key(settings.access.ssh_public_key))
    findings.append(_certificate(settings, found, now))
    return findings


def _told(subject: str, trouble: Trouble, *, at_desk: bool = False) -> Finding:
    what = trouble.what + (f": {trouble.why}" if trouble.why else "")
    return Finding(Level.WRONG, subject, what, trouble.fix, at_desk)


def _ssh_key(path: Path) -> Finding:
    subject = "access.ssh_public_key"
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        return Finding(Level.WRONG, subject, f"{path}: {why}", "name your public key", at_desk=True)
    if "PRIVATE KEY" in text:
        what = f"{path} is a private key"
        return Finding(Level.WRONG, subject, what, "name the public one, usually with .pub", at_desk=True)
    try:
        serialization.load_ssh_public_key(text.encode())
    except Exception as error:
        # cryptography raises more kinds than it documents (ValueError, UnsupportedAlgorithm, binascii's)
        what = f"{path} is no OpenSSH public key ({error})"
        return Finding(Level.WRONG, subject, what, "like: ssh-ed25519 AAAA... you@desk", at_desk=True)
    private = path.with_suffix("") if path.suffix == ".pub" else None
    if private is None or not private.exists():
        what = f"no private key beside {path}: the SSH agent must hold it"
        return Finding(Level.WARNING, subject, what, "`ssh-add -l` lists what it holds", at_desk=True)
    if private.stat().st_mode & 0o077:
        what = f"others may use {private}, so ssh will not"
        return Finding(Level.WRONG, subject, what, f"chmod 600 {private}", at_desk=True)
    return Finding(Level.OK, subject, f"{path} and its private half are there", at_desk=True)


def _certificate(settings: Settings, secrets: Mapping[str, str], now: datetime) -> Finding:
    """The CA, or the certificate from files, fits its key and is in date."""
    tls = settings.tls
    path, subject = (tls.ca_cert, "tls.ca_cert") if tls.ca_cert else (tls.certificate, "tls.certificate")
    assert path is not None
    try:
        content = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(content)
    except OSError as error:
        return Finding(Level.WRONG, subject, f"{path}: {error.strerror}", "name the PEM file", at_desk=True)
    except ValueError as error:
        return Finding(Level.WRONG, subject, f"{path} is no PEM certificate ({error})", "", at_desk=True)
    key = secrets.get("tls.ca_key" if tls.ca_cert else "tls.key")
    if key is not None and (flaw := _misfit(content, certificate, key, own_ca=tls.ca_cert is not None)):
        return Finding(Level.WRONG, subject, flaw, "put the pair back that belongs together", at_desk=True)
    end = certificate.not_valid_after_utc
    if end <= now:
        return Finding(Level.WRONG, subject, f"{path} ended on {end:%Y-%m-%d}", "a new one", at_desk=True)
    if end - now <= pki.RENEW_BEFORE:
        return Finding(Level.WARNING, subject, f"{path} ends on {end:%Y-%m-%d}", "renew it", at_desk=True)
    return Finding(Level.OK, subject, f"{path} is good until {end:%Y-%m-%d}", at_desk=True)


def _misfit(content: bytes, certificate: x509.Certificate, key: str, *, own_ca: bool) -> str | None:
    if own_ca:
        try:
            pki.read_authority(pki.Authority(key.encode(), content))
        except ConfigTrouble as trouble:
            return trouble.what
        return None
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError):
        return "tls.key is no PEM key without a password"
    return None if private.public_key() == certificate.public_key() else "tls.key is another certificate's"


def _ask(settings: Settings, cloud: Cloud) -> tuple[list[Finding], Bill | None]:
    try:
        locations = cloud.locations()
    except Trouble as trouble:
        # Whatever stopped this one stops the others too: a token, a network, a maintenance.
        return [_told("cloud", trouble)], None
    findings = [Finding(Level.OK, "cloud", "answers, and takes the token")]
    try:
        types = cloud.server_types()
        pricing = read_pricing(cloud.pricing())
        snapshots = cloud.snapshots({Label.VERIFIED: "yes"})
    except Trouble as trouble:
        return [*findings, _told("cloud", trouble)], None
    findings += judge(settings, CloudFacts(locations, types, pricing))
    findings.append(_base_image(settings, cloud, {kind.name: kind.architecture for kind in types}))
    sizes = [snapshot.image_size for snapshot in snapshots if snapshot.image_size] or None
    findings += judge_second_line(settings, pricing)
    bill = node_bill(
        pricing, settings.server_type, settings.location, sizes, backed_up=settings.server_backups
    )
    return findings, bill


def _base_image(settings: Settings, cloud: Cloud, architectures: Mapping[str, str]) -> Finding:
    architecture = architectures.get(settings.image.bake_server_type, "x86")
    try:
        image = cloud.base_image(settings.image.base, architecture)
    except Trouble as trouble:
        return _told("image.base", trouble)
    return Finding(Level.OK, "image.base", f"{image.name} is there for {architecture}")
