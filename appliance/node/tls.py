"""The TLS key of the appliance's own CA: made here, kept encrypted by this machine's, never sent away."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID

from appliance.contract.bundle import TLS_KEY
from appliance.contract.trouble import NodeTrouble
from appliance.node.system import EDGE, Paths, decrypt, encrypt, must, run, write

CERTIFICATE = "certificate.pem"
KEY = f"{TLS_KEY}.cred"


def csr(names: Sequence[str], paths: Paths = Paths()) -> str:  # noqa: B008 - frozen
    """A PEM request for these DNS names and addresses. The key is made when there is none that opens here."""
    key = _own_key(paths)
    if key is None:
        key = ec.generate_private_key(ec.SECP256R1())
        write(paths.own_tls / KEY, encrypt(TLS_KEY, pem(key)), 0o600)
    return request(key, names).public_bytes(serialization.Encoding.PEM).decode()


def install(chain: bytes, paths: Paths = Paths()) -> str:  # noqa: B008 - frozen
    """Take a chain for our own key; the edge serves it from now on. Returns its SHA-256 fingerprint."""
    key = _own_key(paths)
    if key is None:
        raise NodeTrouble("There is no TLS key for this certificate.", fix="Ask for a request first: `csr`.")
    leaf = checked(chain, key)
    changed = _read(paths.own_tls / CERTIFICATE) != chain
    write(paths.own_tls / CERTIFICATE, chain)
    serving = paths.tls.exists() and paths.tls.resolve() == paths.own_tls.resolve()
    if changed and serving and run(["systemctl", "is-active", "--quiet", EDGE]).code == 0:
        must(["systemctl", "reload", EDGE])
    return leaf.fingerprint(hashes.SHA256()).hex()


def request(key: ec.EllipticCurvePrivateKey, names: Sequence[str]) -> x509.CertificateSigningRequest:
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )


def checked(chain: bytes, key: PrivateKeyTypes) -> x509.Certificate:
    """The leaf of a PEM chain. Raises NodeTrouble when it cannot be read or belongs to another key."""
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, IndexError) as error:
        raise NodeTrouble(
            "The certificate cannot be read.", why=str(error), fix="Send a chain in PEM."
        ) from error
    if leaf.public_key() != key.public_key():
        raise NodeTrouble("The certificate and the TLS key do not belong together.")
    return leaf


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load(key: bytes) -> PrivateKeyTypes:
    """Raises NodeTrouble when it is not a PEM key without a password."""
    try:
        return serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        raise NodeTrouble("The TLS key cannot be read.", fix="Give a PEM key without a password.") from error


def _own_key(paths: Paths) -> ec.EllipticCurvePrivateKey | None:
    clear = decrypt(TLS_KEY, paths.own_tls / KEY)
    if clear is None:
        return None
    key = load(clear)
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
