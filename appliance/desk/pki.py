"""The appliance's own certificate authority. The CA's key stays at the desk, the TLS key on the node.

Nothing here touches a file or a socket; entropy comes from the system, the time is handed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.contract.trouble import ConfigTrouble, NodeTrouble

CA_YEARS = 10
# Apple's and the CA/Browser Forum's former upper bound is 398 days; clients still hold to it for TLS servers.
LEAF_LIFE = timedelta(days=397)
RENEW_BEFORE = timedelta(days=30)
CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True)
class Authority:
    """PEM of the CA's private key (PKCS 8, unencrypted: guard it by file mode) and of its certificate."""

    key: bytes = field(repr=False)
    certificate: bytes


def make_ca(name: str, now: datetime) -> Authority:
    """Make the CA of the appliance `name`: ECDSA P-256, ten years, signs no further CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "appliance"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{name} CA"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=365 * CA_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Authority(pem, certificate.public_bytes(serialization.Encoding.PEM))


def sign(authority: Authority, csr_pem: bytes, names: Iterable[str], now: datetime) -> bytes:
    """Sign the node's request and return the chain: its certificate, then the CA's, in PEM.

    Only the public key is taken from the request; `names` (DNS names and addresses) are the desk's own.
    Raises NodeTrouble for a request that does not hold, ConfigTrouble for a CA that does not.
    """
    names = _unique(names)
    if not names:
        raise ValueError("a certificate needs at least one name")
    csr = _read_csr(csr_pem)
    ca_key, ca = read_authority(authority)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
        .issuer_name(ca.subject)
        .public_key(csr.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - CLOCK_SKEW, ca.not_valid_before_utc))
        .not_valid_after(min(now - CLOCK_SKEW + LEAF_LIFE, ca.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(csr.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + authority.certificate


def read_authority(authority: Authority) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Read the CA and check that key and certificate belong together. Raises ConfigTrouble."""
    try:
        certificate = x509.load_pem_x509_certificate(authority.certificate)
        key = serialization.load_pem_private_key(authority.key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigTrouble(
            "The appliance's CA cannot be read.",
            why=str(error),
            fix="Look at tls.ca_cert and tls.ca_key in appliance.yaml: PEM, the key without a password.",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigTrouble(
            "The appliance's CA key and CA certificate do not belong together.",
            fix="Put back the pair that `appliance init` made, or make a new one and push.",
        )
    return key, certificate


def flaw(chain_pem: bytes, ca_pem: bytes | None, names: Iterable[str], now: datetime) -> str | None:
    """Say why the node's certificate must be renewed, or None while it is good.

    `ca_pem` None: the certificate came from files, so only names and dates are looked at.
    """
    try:
        certificate = x509.load_pem_x509_certificate(chain_pem)
    except ValueError:
        return "it cannot be read"
    missing = [name for name in _unique(names) if name not in certificate_names(certificate)]
    if missing:
        return f"it is not good for {', '.join(missing)}"
    left = certificate.not_valid_after_utc - now
    if left <= RENEW_BEFORE:
        return f"it ends on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if ca_pem is None:
        return None
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_pem))
    except (ValueError, TypeError, InvalidSignature):
        return "it was not signed by this appliance's CA"
    return None


def certificate_names(certificate: x509.Certificate) -> list[str]:
    """The DNS names and addresses a certificate is good for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    ]


def _read_csr(csr_pem: bytes) -> x509.CertificateSigningRequest:
    try:
        csr = x509.load_pem_x509_csr(csr_pem)
    except ValueError as error:
        raise NodeTrouble(
            "The node sent a certificate request that cannot be read.", why=str(error), fix="Push again."
        ) from error
    if not csr.is_signature_valid:
        raise NodeTrouble("The node's certificate request is not signed by its own key.", fix="Push again.")
    return csr


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _unique(names: Iterable[str]) -> list[str]:
    """In their order, addresses in their canonical spelling."""
    canonical = []
    for name in names:
        try:
            canonical.append(str(ip_address(name)))
        except ValueError:
            canonical.append(name.lower())
    return list(dict.fromkeys(canonical))


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
