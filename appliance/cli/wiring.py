"""The only place that builds adapters: from the options, appliance.yaml and the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.cli.globals import Globals
from appliance.cli.output import plain
from appliance.contract.trouble import CloudTrouble, ConfigTrouble, LabTrouble, NodeTrouble, Trouble
from appliance.desk.settings import Settings, Target

if TYPE_CHECKING:
    from appliance.contract.backup import Sftp
    from appliance.desk.cloud import Cloud
    from appliance.desk.config.initial import Vendor
    from appliance.desk.config.initial_backup import Store
    from appliance.desk.deploy import Deployer
    from appliance.desk.model import Server
    from appliance.desk.progress import Progress
    from appliance.desk.remote import Shell

    CloudOrTrouble = Cloud | Trouble

HETZNER = "https://api.hetzner.cloud/v1"
MAKE_ONE = (
    "make one in the Hetzner console (project, Security, API tokens, read and write), "
    "then `export HCLOUD_TOKEN=...`"
)


@dataclass(frozen=True)
class Access:
    """Where the API is and what opens it."""

    endpoint: str
    token: str


def progress(said: Globals) -> Progress:
    """The way that fits where stderr goes."""
    from appliance.cli.progress import JsonLines, PlainLines

    if said.json:
        return JsonLines(sys.stderr)
    if not sys.stderr.isatty():
        return PlainLines(sys.stderr)
    from appliance.cli.live import LiveList

    return LiveList(sys.stderr, said.color)


def settings(said: Globals, to: Progress | None = None) -> Settings:
    """Read the file; its warnings go to `to`, if given."""
    from appliance.desk.config.reading import read

    reading = read(said.config)
    for warning in reading.warnings if to else ():
        assert to is not None
        to.warn(str(warning))
    return reading.settings


def cloud(of: Settings, to: Progress) -> Cloud:
    """Waits that a person would notice are told to `to`."""
    from appliance.desk.cloud import Cloud

    found = access(of.target, os.environ)
    return Cloud(found.endpoint, found.token, of.name, tell=to.note)


def connect(host: str, private_key: Path | None, host_keys: Sequence[str]) -> Shell:
    from appliance.desk.remote import Shell

    return Shell(host, private_key, host_keys)


def private_key(of: Settings) -> Path:
    """The file beside the public key; else the public key, by which ssh finds it in the SSH agent."""
    public = of.access.ssh_public_key
    beside = public.with_suffix("")
    return beside if public.suffix == ".pub" and beside.exists() else public


def access(target: Target, environ: Mapping[str, str]) -> Access:
    """HCLOUD_ENDPOINT and HCLOUD_TOKEN, as every client of this API reads them; else what the target says.

    A token alone does not turn the lab into Hetzner: the endpoint must be named as well.
    """
    endpoint, token = environ.get("HCLOUD_ENDPOINT", "").strip(), environ.get("HCLOUD_TOKEN", "").strip()
    if target is Target.LAB and not endpoint:
        return _lab_access()
    if not token:
        raise CloudTrouble(
            "HCLOUD_TOKEN is not set",
            why=f"the API at {endpoint or HETZNER} needs a token",
            fix=MAKE_ONE if not endpoint else "export the token of that API, see `appliance lab env`",
        )
    return Access(endpoint or HETZNER, token)


def _lab_access() -> Access:
    from appliance.lab.place import Place

    place = Place.from_environment()
    try:
        token = place.token_file.read_text().strip()
    except FileNotFoundError:
        raise LabTrouble(
            "the lab is not up",
            why=f"there is no {place.token_file}",
            fix="`appliance lab up` (as root) starts it",
        ) from None
    except PermissionError:
        raise LabTrouble(
            "the lab's token cannot be read",
            why=f"{place.token_file} is root's",
            fix="run this as root (sudo), or export what `sudo appliance lab env` prints",
        ) from None
    return Access(place.api_endpoint, token)


@dataclass(frozen=True)
class LabStart:
    """What a first appliance.yaml says of the lab on this machine."""

    sources: tuple[str, ...]  # the desk as the lab's machines see it
    vendors: tuple[Vendor, Vendor, Vendor]
    store: Store | None  # its Storage Box; None while the lab is down


def lab_start() -> LabStart:
    from appliance.desk.config.initial import Vendor
    from appliance.lab.place import PUBLIC, Place

    place = Place.from_environment()

    def vendor(name: str, port: int) -> Vendor:
        key: Path = place.folder / "vendors" / f"{name}.key"
        url = f"http://{place.host_ip}:{port}/v1"
        return Vendor(name, "openai", url, f"file:{key}", f"{name}-large")

    alpha, beta = (vendor(*there) for there in place.vendor_ports[:2])
    # The lab's vendors speak both APIs.
    messages = replace(alpha, name=f"{alpha.name}-messages", api="anthropic")
    return LabStart((str(PUBLIC),), (alpha, beta, messages), lab_store())


def lab_store() -> Store | None:
    from appliance.desk.config.initial_backup import Store

    try:
        box = _lab_box("GET", "", None)
    except LabTrouble:
        return None
    return Store(str(box["host"]), int(box["port"]), str(box["user"]), str(box["host_key"]), path="")


def authorize_at_lab(store: Store, keys: Sequence[str]) -> None:
    """As an operator would in the console of a real box."""
    _lab_box("POST", f"/accounts/{store.user}/keys", {"keys": list(keys)})


def _lab_box(method: str, path: str, body: object) -> dict[str, Any]:
    import requests

    at = _lab_access()
    url = f"{at.endpoint.removesuffix('/v1')}/_lab/storagebox{path}"
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy stands between this machine and itself
            session.headers["Authorization"] = f"Bearer {at.token}"
            answer = session.request(method, url, json=body, timeout=20)
            answer.raise_for_status()
    except requests.RequestException as error:
        raise LabTrouble(
            "the lab's Storage Box does not answer", why=str(error), fix="`appliance lab up` mends it"
        ) from error
    told: dict[str, Any] = answer.json()
    return told


def connect_as(of: Settings) -> Callable[[str, Sequence[str]], Shell]:
    """(address, accepted host keys) -> a shell with the operator's key."""
    return lambda host, host_keys: connect(host, private_key(of), host_keys)


def shell(of: Settings, server: Server) -> Shell:
    """On a node, by the host keys in its server's labels."""
    from appliance.desk import hostkeys
    from appliance.desk.first_contact import address_of

    return connect(address_of(server), private_key(of), hostkeys.accepted(server.labels))


def at_store(repository: Sftp, key: Path) -> Shell:
    """Where backups go, with one of the keys to it."""
    from appliance.desk.remote import Shell

    return Shell(repository.host, key, [repository.host_key], repository.user, repository.port)


def the_node(of: Settings, at: Cloud) -> Server:
    from appliance.desk.model import Label, Role

    for server in at.servers({Label.ROLE: Role.NODE}):
        if server.status != "running":
            raise NodeTrouble(f"{server.name} is {server.status}", fix="`appliance deploy` brings it up")
        return server
    back = "" if of.backup is None else "; if there was one, `appliance restore` brings it back"
    raise NodeTrouble(f"{of.name} has no node", fix=f"`appliance deploy` makes it{back}")


def deployer(of: Settings, to: Progress) -> Deployer:
    from appliance.cli.delivery import NodeDelivery, material
    from appliance.desk.deploy import Deployer
    from appliance.desk.plan import Wanted

    wanted = Wanted(of, public_key(of))
    delivery = NodeDelivery(of, material(of), to)
    return Deployer(wanted, cloud(of, to), connect_as(of), delivery, to)


def public_key(of: Settings) -> str:
    path = of.access.ssh_public_key
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigTrouble(
            f"the SSH public key {path} cannot be read", why=str(error), fix="correct access.ssh_public_key"
        ) from error
    if "PRIVATE KEY" in text or len(text.split()) < 2:
        raise ConfigTrouble(f"{path} is no OpenSSH public key", fix="correct access.ssh_public_key")
    return text


def with_calls(result: object, at: Cloud) -> dict[str, object]:
    """A use case's result as data, and the API requests it took."""
    data = plain(result)
    assert isinstance(data, dict)
    return data | {"api_calls": at.calls}
