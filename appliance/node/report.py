"""This node's account of itself, for the desk."""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from pydantic import ValidationError

from appliance.contract.health import PATH, PORT, HealthPage
from appliance.contract.node_report import Certificate, NodeReport
from appliance.node import evidence, router_account, services
from appliance.node.activate import applied, in_force
from appliance.node.backup import memory
from appliance.node.system import GATEWAY, ROUTER, Paths
from appliance.node.tls import CERTIFICATE

PACKAGE = Path("/opt/openclaw/node_modules/openclaw/package.json")


def report(paths: Paths = Paths()) -> NodeReport:  # noqa: B008 - frozen
    router = router_account.account()
    return NodeReport(
        node=socket.gethostname(),
        snapshot_inputs=_line(paths.inputs),
        bundle=_bundle(paths),
        openclaw=_version(),
        gateway="ready" if services.gateway_ready() else services.state(GATEWAY),
        router="ready" if router is not None else services.state(ROUTER),
        breakers=router_account.breakers(router),
        canaries=evidence.last_canary(paths),
        last_drill=evidence.last_drill(paths),
        health=_health(),
        certificate=read_certificate(paths.tls / CERTIFICATE),
        disk_used_percent=psutil.disk_usage("/").percent,
        memory_used_percent=psutil.virtual_memory().percent,
        uptime_seconds=time.time() - psutil.Process(1).create_time(),
        last_backup=memory.last(paths),
        backup_every_hours=memory.every_hours(paths),
    )


def read_certificate(path: Path) -> Certificate | None:
    try:
        leaf = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (OSError, ValueError, IndexError):
        return None
    return Certificate(
        issuer=leaf.issuer.rfc4514_string(),
        names=_names(leaf),
        not_after=leaf.not_valid_after_utc,
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
        pem=leaf.public_bytes(serialization.Encoding.PEM).decode(),
    )


def _bundle(paths: Paths) -> str | None:
    """None when an activation was cut short: what is linked may not be what is running."""
    linked, given = in_force(paths), applied(paths)
    return linked if given in (None, linked) else None


def _names(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    ]


def _health() -> HealthPage | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{PORT}{PATH}", timeout=5) as answer:
            return HealthPage.model_validate_json(answer.read())
    except urllib.error.HTTPError as error:  # 503 carries the page too
        try:
            return HealthPage.model_validate_json(error.read())
        except ValidationError:
            return None
    except (OSError, http.client.HTTPException, ValidationError):
        return None


def _version() -> str | None:
    try:
        return str(json.loads(PACKAGE.read_text())["version"])
    except (OSError, ValueError, KeyError):
        return None


def _line(path: Path) -> str | None:
    return path.read_text().strip() if path.exists() else None
