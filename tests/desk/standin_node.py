"""A stand-in for `appliance-node` on a machine without OpenClaw: same subcommands, state in a folder.

argv: FOLDER SUBCOMMAND… A file FOLDER/refuse makes `receive` refuse, FOLDER/fail makes `activate` roll back.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

from appliance.contract.bundle import FILES, MANIFEST, SECRETS, Manifest, keyed_digests


def report(folder: Path) -> None:
    current = folder / "current"
    chain = folder / "chain.pem"
    certificate = None
    if chain.exists():
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization

        leaf = x509.load_pem_x509_certificate(chain.read_bytes())
        pem = leaf.public_bytes(serialization.Encoding.PEM).decode()
        certificate = {
            "issuer": leaf.issuer.rfc4514_string(),
            "names": [],
            "not_after": leaf.not_valid_after_utc.isoformat(),
            "fingerprint": leaf.fingerprint(hashes.SHA256()).hex(),
            "pem": pem,
        }
    say(
        node="office-1",
        snapshot_inputs="abc",
        bundle=current.read_text() if current.exists() else None,
        openclaw="2026.9.6",
        gateway=gateway(folder),
        router="ready",
        health=None,
        certificate=certificate,
        disk_used_percent=10.0,
        memory_used_percent=20.0,
        uptime_seconds=30.0,
        last_backup=None,
    )


def gateway(folder: Path) -> str:
    """What a test has written into `gateway`, one word a report; then ready, once there is a bundle."""
    words = folder / "gateway"
    if words.exists() and (left := words.read_text().split()):
        words.write_text(" ".join(left[1:]))
        return left[0]
    return "ready" if (folder / "current").exists() else "inactive"


def csr(folder: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    sys.stdout.write(request.public_bytes(serialization.Encoding.PEM).decode())


def receive(folder: Path) -> None:
    if (folder / "refuse").exists():
        sys.stdout.write("a line of something else\n")
        say(ok=False, error="openclaw.json: gateway.bnd: unknown key", tail="rc 1")
        raise SystemExit(1)
    with tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())) as tar:
        content = {member.name: read(tar, member) for member in tar}
    manifest = Manifest.model_validate_json(content[MANIFEST])
    assert manifest.digest == manifest.digest_of_content()
    for path, digest in manifest.files.items():
        assert hashlib.sha256(content[FILES + path]).hexdigest() == digest
    assert keyed_digests(json.loads(content[SECRETS])) == manifest.secrets
    (folder / manifest.digest).write_bytes(content[SECRETS])
    say(ok=True)


def activate(folder: Path, digest: str) -> None:
    say(event="switch", detail=digest[:12])
    if (folder / "fail").exists():
        say(ok=False, rolled_back=True, error="/readyz answered 503 for 120 s", tail="Error: port in use")
        raise SystemExit(1)
    assert (folder / digest).exists()
    (folder / "current").write_text(digest)
    say(ok=True, rolled_back=False)


def read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def say(**values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def main() -> None:
    folder, verb, rest = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    with (folder / "calls").open("a") as calls:
        calls.write(verb + "\n")
    if verb == "report":
        report(folder)
    elif verb == "csr":
        (folder / "names").write_text(" ".join(rest))
        csr(folder)
    elif verb == "certificate":
        (folder / "chain.pem").write_bytes(sys.stdin.buffer.read())
    elif verb == "receive":
        receive(folder)
    elif verb == "activate":
        activate(folder, rest[0])


if __name__ == "__main__":
    main()
