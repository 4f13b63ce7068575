"""A staged bundle, judged by the programs that will read it: OpenClaw, HAProxy, nft."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.contract.bundle import CURRENT
from appliance.contract.trouble import NodeTrouble
from appliance.node import tls
from appliance.node.system import OPENCLAW, Outcome, run

RUN = Path("/run/appliance")
NFTABLES = Path("/etc/nftables.conf")
HAPROXY = Path("/etc/haproxy/haproxy.cfg")


def validate(staged: Path) -> None:
    """Raises NodeTrouble with the validator's own words in `why`."""
    outcome = _openclaw(staged)
    if outcome.code != 0:
        raise NodeTrouble("OpenClaw refuses the config.", why=issues(outcome.out) or outcome.tail())
    _judge("HAProxy refuses the bundle.", _haproxy(staged))
    _judge("nft refuses the bundle.", _nft(staged))


def _judge(what: str, outcome: Outcome) -> None:
    if outcome.code != 0:
        raise NodeTrouble(what, why=outcome.tail())


def issues(said: str) -> str:
    """OpenClaw's complaints, one a line: "gateway: Unrecognized key". Empty where its JSON has none."""
    try:
        found = json.loads(said)["issues"]
        return "\n".join(f"{issue['path']}: {issue['message']}" for issue in found)
    except (ValueError, KeyError, TypeError):
        return ""


def _openclaw(staged: Path) -> Outcome:
    with _folder() as state:
        shutil.chown(state, "openclaw", "openclaw")
        env = {
            "HOME": str(state),
            "TMPDIR": str(state),
            "OPENCLAW_STATE_DIR": str(state),
            "OPENCLAW_CONFIG_PATH": str(staged / "files" / "openclaw.json"),
            "NODE_DISABLE_COMPILE_CACHE": "1",
        }
        settings = [f"{name}={value}" for name, value in env.items()]
        command = ["runuser", "-u", "openclaw", "--", "env", "-C", str(state), *settings, *OPENCLAW]
        return run([*command, "config", "validate", "--json"], seconds=60)


def _haproxy(staged: Path) -> Outcome:
    """With a key made for this check alone: the real one stays closed."""
    with _folder() as folder:
        certificate, key = _throw_away()
        (folder / tls.CERTIFICATE).write_bytes(certificate)
        (folder / "key").write_bytes(key)
        env = {"BUNDLE": str(staged), "TLS": str(folder), "TLS_KEY": str(folder / "key")}
        return run(["haproxy", "-c", "-f", str(HAPROXY)], env=env, seconds=20)


def _nft(staged: Path) -> Outcome:
    rules = NFTABLES.read_text().replace(CURRENT, str(staged))
    return run(["nft", "--check", "--file", "-"], given=rules.encode(), seconds=20)


@contextmanager
def _folder() -> Iterator[Path]:
    """In memory, closed to others, gone afterwards."""
    RUN.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RUN) as name:
        os.chmod(name, 0o700)  # noqa: PTH101
        yield Path(name)


def _throw_away() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "check")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), tls.pem(key)
