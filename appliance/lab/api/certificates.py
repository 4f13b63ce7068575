"""/certificates: uploaded ones. Managed ones need DNS at Hetzner, which the lab has not."""

from __future__ import annotations

from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from appliance.lab.api.core import Lab
from appliance.lab.api.errors import ApiError, beyond_the_lab, invalid
from appliance.lab.api.resource import Answer, Body, Operation, Resource
from appliance.lab.api.views import time
from appliance.lab.records import Certificate

PUBLIC = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class Create(Body):
    name: str
    labels: dict[str, str] = {}
    type: Literal["uploaded", "managed"] = "uploaded"
    certificate: str | None = None
    private_key: str | None = None
    domain_names: list[str] = []


def used_by(lab: Lab, certificate_id: int) -> list[int]:
    """Load balancers with a service that shows it."""
    return [
        b.id
        for b in lab.state.load_balancers.values()
        if any(s.http and certificate_id in s.http.certificates for s in b.services)
    ]


def view(lab: Lab, certificate: Certificate) -> dict[str, Any]:
    return {
        "id": certificate.id,
        "name": certificate.name,
        "labels": certificate.labels,
        "type": "uploaded",
        "certificate": certificate.certificate,
        "created": time(certificate.created),
        "not_valid_before": time(certificate.not_valid_before),
        "not_valid_after": time(certificate.not_valid_after),
        "domain_names": certificate.domain_names,
        "fingerprint": certificate.fingerprint,
        "status": None,
        "used_by": [{"id": i, "type": "load_balancer"} for i in used_by(lab, certificate.id)],
    }


def create(lab: Lab, body: Create) -> Answer:
    if body.type == "managed":
        raise beyond_the_lab("A managed certificate")
    leaf = _leaf(body.certificate or "", body.private_key or "")
    digest = leaf.fingerprint(hashes.SHA1()).hex()  # noqa: S303 - what the API shows
    certificate = Certificate(
        id=lab.store.new_id(),
        name=body.name,
        labels=body.labels,
        certificate=body.certificate or "",
        private_key=body.private_key or "",
        not_valid_before=leaf.not_valid_before_utc,
        not_valid_after=leaf.not_valid_after_utc,
        domain_names=_names(leaf),
        fingerprint=":".join(digest[i : i + 2] for i in range(0, len(digest), 2)),
    )
    lab.state.certificates[certificate.id] = certificate
    return CERTIFICATES.answer(lab, certificate, 201, action=None)


def _leaf(chain: str, key: str) -> x509.Certificate:
    """Raises invalid_input unless the chain begins with a certificate for the key."""
    try:
        leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    except ValueError as e:
        raise invalid("certificate", "is not a certificate chain in PEM format") from e
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError) as e:
        raise invalid("private_key", "is not a private key in PEM format") from e
    if private.public_key().public_bytes(*PUBLIC) != leaf.public_key().public_bytes(*PUBLIC):
        raise invalid("private_key", "does not belong to the certificate")
    return leaf


def _names(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)


def delete(lab: Lab, certificate: Certificate) -> Answer:
    if used_by(lab, certificate.id):
        raise ApiError("resource_in_use", "certificate is in use by a load balancer", status=409)
    del lab.state.certificates[certificate.id]
    return 204, None


def retry(lab: Lab, certificate: Certificate, body: Body) -> Answer:
    raise ApiError("unsupported_error", "only managed certificates are issued anew")


CERTIFICATES = Resource(
    "certificate",
    "certificates",
    table=lambda state: state.certificates,
    view=view,
    create=(create, Create),
    delete=delete,
    filters={"type": lambda certificate, wanted: "uploaded" in wanted},
    operations={"retry": Operation(retry)},
)
