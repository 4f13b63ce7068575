"""The appliance's CA: what it signs is good for exactly what the desk said, and is renewed in time."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.contract.trouble import ConfigTrouble, NodeTrouble
from appliance.desk import pki

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
NAMES = ["gateway.example.org", "198.18.1.7", "2001:db8::7"]


def node_request(common_name: str = "anything the node likes") -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return key, csr.public_bytes(serialization.Encoding.PEM)


def handshake(chain: bytes, key: ec.EllipticCurvePrivateKey, ca: bytes, name: str, folder: Path) -> None:
    """Shake hands in memory, with OpenSSL as the judge."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain_file, key_file = folder / "chain.pem", folder / "key.pem"
    chain_file.write_bytes(chain)
    key_file.write_bytes(pem)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(chain_file, key_file)
    asking = ssl.create_default_context(cadata=ca.decode())
    asking.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server, server_hostname=name)
    server = served.wrap_bio(to_server, to_client, server_side=True)
    pending = [client, server]
    for _ in range(10):
        for side in list(pending):
            try:
                side.do_handshake()
                pending.remove(side)
            except ssl.SSLWantReadError:
                continue
        if not pending:
            return
    raise AssertionError("no handshake")


@pytest.mark.parametrize("name", NAMES)
def test_openssl_trusts_what_the_ca_signed_for_every_name(name: str, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ca = pki.make_ca("office", now)
    key, csr = node_request()
    handshake(pki.sign(ca, csr, NAMES, now), key, ca.certificate, name, tmp_path)


def test_openssl_refuses_a_name_the_desk_did_not_give(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ca = pki.make_ca("office", now)
    key, csr = node_request("evil.example.org")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(pki.sign(ca, csr, NAMES, now), key, ca.certificate, "evil.example.org", tmp_path)


def test_two_appliances_do_not_trust_each_other(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ours, theirs = pki.make_ca("office", now), pki.make_ca("office", now)
    key, csr = node_request()
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(pki.sign(ours, csr, NAMES, now), key, theirs.certificate, NAMES[0], tmp_path)


def test_a_certificate_lives_397_days_at_most_and_not_longer_than_its_ca() -> None:
    ca = pki.make_ca("office", NOW)
    _, csr = node_request()
    leaf = x509.load_pem_x509_certificate(pki.sign(ca, csr, NAMES, NOW))
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=397)
    late = NOW + timedelta(days=365 * pki.CA_YEARS - 40)
    last = x509.load_pem_x509_certificate(pki.sign(ca, csr, NAMES, late))
    end = x509.load_pem_x509_certificate(ca.certificate).not_valid_after_utc
    assert last.not_valid_after_utc == end


def test_serial_numbers_do_not_repeat() -> None:
    ca = pki.make_ca("office", NOW)
    _, csr = node_request()
    serials = {x509.load_pem_x509_certificate(pki.sign(ca, csr, NAMES, NOW)).serial_number for _ in range(20)}
    assert len(serials) == 20


def test_a_certificate_is_renewed_for_the_right_reasons_and_no_others() -> None:
    ca = pki.make_ca("office", NOW)
    _, csr = node_request()
    chain = pki.sign(ca, csr, NAMES, NOW)
    assert pki.flaw(chain, ca.certificate, NAMES, NOW) is None
    assert pki.flaw(chain, ca.certificate, ["2001:0DB8:0::7", "GATEWAY.example.org"], NOW) is None
    assert pki.flaw(chain, None, NAMES, NOW) is None
    assert "other.example" in str(pki.flaw(chain, ca.certificate, [*NAMES, "other.example"], NOW))
    assert "ends on" in str(pki.flaw(chain, ca.certificate, NAMES, NOW + timedelta(days=368)))
    assert pki.flaw(chain, ca.certificate, NAMES, NOW + timedelta(days=365)) is None
    other = pki.make_ca("office", NOW)
    assert "not signed" in str(pki.flaw(chain, other.certificate, NAMES, NOW))
    assert pki.flaw(b"nonsense", ca.certificate, NAMES, NOW) == "it cannot be read"


def test_a_request_or_ca_that_does_not_hold_is_refused_in_words() -> None:
    ca, other = pki.make_ca("office", NOW), pki.make_ca("office", NOW)
    _, csr = node_request()
    with pytest.raises(NodeTrouble):
        pki.sign(ca, b"nonsense", NAMES, NOW)
    with pytest.raises(ConfigTrouble, match="do not belong together"):
        pki.sign(pki.Authority(other.key, ca.certificate), csr, NAMES, NOW)
    with pytest.raises(ConfigTrouble, match="cannot be read"):
        pki.sign(pki.Authority(b"nonsense", ca.certificate), csr, NAMES, NOW)
