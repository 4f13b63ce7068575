"""What goes on a node and the proof that it works: push and ask, as a deploy needs them."""

from __future__ import annotations

from datetime import UTC, datetime

from appliance.contract import backup
from appliance.contract import bundle as contract
from appliance.contract.node_report import NodeReport
from appliance.contract.trouble import ConfigTrouble
from appliance.desk import assets, pki
from appliance.desk.ask import Answer, Door, ask
from appliance.desk.bundle import Material
from appliance.desk.model import Server
from appliance.desk.progress import Progress
from appliance.desk.push import PushResult, certify, due, push
from appliance.desk.remote import Shell
from appliance.desk.secrets import read_secrets
from appliance.desk.settings import Settings, Workload

# Name in the bundle -> where appliance.yaml names it. The operator's key is not among them.
BACKUP_SECRETS = {
    backup.PASSPHRASE: "backup.passphrase",
    backup.SSH_KEY: "backup.ssh_key",
    backup.S3_ID: "backup.s3_id",
    backup.S3_SECRET: "backup.s3_secret",
}


def material(settings: Settings) -> Material:
    """Read what a bundle is made of. ConfigTrouble names every secret and file that is amiss."""
    found = read_secrets(settings)
    secrets = {contract.GATEWAY_TOKEN: found["gateway.token"]}
    for provider in settings.providers:
        secrets[contract.PROVIDER + provider.name] = found[f"providers.{provider.name}.key"]
    for name, where in BACKUP_SECRETS.items():
        if where in found:
            secrets[name] = found[where]
    tls = settings.tls
    path = tls.ca_cert or tls.certificate
    assert path is not None  # config.py has seen to one of them
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise ConfigTrouble(f"{path} cannot be read", why=error.strerror or str(error)) from error
    if tls.ca_cert is not None:
        authority = pki.Authority(found["tls.ca_key"].encode() + b"\n", pem)
        return Material(assets.templates(), secrets, authority)
    secrets[contract.TLS_KEY] = found["tls.key"]
    return Material(assets.templates(), secrets, None, chain=pem)


def addresses(server: Server) -> list[str]:
    """What clients may call the node by, beside its names."""
    return [address for address in (server.public_ip, server.private_ip) if address]


class NodeDelivery:
    """deploy.Delivery and restore.Delivery on a real node."""

    def __init__(self, settings: Settings, made_of: Material, progress: Progress) -> None:
        self.settings = settings
        self.material = made_of
        self.progress = progress

    def due(self, report: NodeReport, server: Server) -> str:
        return due(self.settings, self.material, addresses(server), report, datetime.now(UTC)).why

    def deliver(self, shell: Shell, server: Server) -> PushResult:
        return push(self.settings, self.material, shell, addresses(server), datetime.now(UTC), self.progress)

    def certify(self, shell: Shell, server: Server) -> None:
        now = datetime.now(UTC)
        certify(self.settings, self.material, shell, addresses(server), now, self.progress)

    def prove(self, server: Server, workload: Workload) -> Answer:
        return ask(self.door(server), workload.name)

    def door(self, server: Server) -> Door:
        address = server.public_ip or ""
        authority = self.material.authority
        named = self.settings.tls.names if authority is None else ()
        trusted = authority.certificate if authority else self.material.chain
        assert trusted is not None  # material() reads the one or the other
        return Door(
            address=address,
            name=named[0] if named else address,
            ca=trusted,
            token=self.material.secrets[contract.GATEWAY_TOKEN],
        )
