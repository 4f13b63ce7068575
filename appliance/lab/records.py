"""What the lab remembers of each object: its own record, not the API's view of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class Record(BaseModel):
    model_config = ConfigDict(validate_assignment=False)

    id: int
    name: str | None = None
    created: datetime = Field(default_factory=now)
    labels: dict[str, str] = {}
    protected: bool = False  # against deletion


class SshKey(Record):
    fingerprint: str
    public_key: str


class Image(Record):
    type: str  # system | snapshot | backup
    status: str = "available"  # creating | available | unavailable
    description: str
    image_size: float | None = None  # GB
    disk_size: int  # GB
    created_from: tuple[int, str] | None = None  # server id and name
    bound_to: int | None = None
    os_flavor: str = "debian"
    os_version: str | None = None
    rapid_deploy: bool = False
    architecture: str = "x86"
    layers: list[str]  # disk layers, lowest first; a snapshot's own is the last


class Subnet(BaseModel):
    type: str = "cloud"
    ip_range: str
    network_zone: str


class Route(BaseModel):
    destination: str
    gateway: str


class Network(Record):
    ip_range: str
    subnets: list[Subnet] = []
    routes: list[Route] = []
    expose_routes_to_vswitch: bool = False


class FirewallRule(BaseModel):
    direction: str
    protocol: str
    port: str | None = None
    source_ips: list[str] = []
    destination_ips: list[str] = []
    description: str | None = None


class Firewall(Record):
    rules: list[FirewallRule] = []
    servers: list[int] = []
    selectors: list[str] = []


class PlacementGroup(Record):
    type: str = "spread"


class PrimaryIp(Record):
    type: str  # ipv4 | ipv6
    ip: str  # the address, or the /64 of an IPv6
    location: str
    auto_delete: bool = False
    assignee_id: int | None = None
    dns_ptr: dict[str, str] = {}


class FloatingIp(Record):
    type: str
    ip: str
    description: str | None = None
    home_location: str
    server: int | None = None
    dns_ptr: dict[str, str] = {}


class PrivateNic(BaseModel):
    network: int
    ip: str
    alias_ips: list[str] = []
    mac: str


class Server(Record):
    status: str = "initializing"
    server_type: str
    location: str
    image: int | None
    layers: list[str]
    mac: str
    user_data: str = ""
    ssh_keys: list[str] = []  # public keys
    disk_size: int  # GB
    placement_group: int | None = None
    private: list[PrivateNic] = []
    backup_window: str | None = None
    rebuild_protected: bool = False
    new_password: str | None = None  # root's, until it is set in the running machine
    wired: bool = True  # False: a fault took its public wire, SSH never comes up


class Volume(Record):
    size: int  # GB
    location: str
    server: int | None = None
    format: str | None = None
    status: str = "available"


class Certificate(Record):
    certificate: str  # PEM chain
    private_key: str
    not_valid_before: datetime
    not_valid_after: datetime
    domain_names: list[str]
    fingerprint: str


class HealthCheckHttp(BaseModel):
    domain: str | None = None
    path: str = "/"
    response: str = ""
    status_codes: list[str] = ["2??", "3??"]
    tls: bool = False


class ServiceHealthCheck(BaseModel):
    protocol: str
    port: int
    interval: int = 15
    timeout: int = 10
    retries: int = 3
    http: HealthCheckHttp | None = None


class ServiceHttp(BaseModel):
    cookie_name: str = "HCLBSTICKY"
    cookie_lifetime: int = 300
    timeout_idle: int = 50
    certificates: list[int] = []
    redirect_http: bool = False
    sticky_sessions: bool = False


class Service(BaseModel):
    protocol: str
    listen_port: int
    destination_port: int
    proxyprotocol: bool = False
    health_check: ServiceHealthCheck
    http: ServiceHttp | None = None


class Target(BaseModel):
    """Of a load balancer: exactly one of server, selector and ip."""

    server: int | None = None
    selector: str | None = None
    ip: str | None = None
    use_private_ip: bool = False


class LoadBalancer(Record):
    type: str  # lb11 ...
    location: str
    algorithm: str = "round_robin"
    services: list[Service] = []
    targets: list[Target] = []
    public: bool = True
    ipv4: str
    ipv6: str
    dns_ptr: dict[str, str] = {}
    private: list[PrivateNic] = []


class ActionError(BaseModel):
    code: str
    message: str


class Action(BaseModel):
    """Work under way or done. `args` is all its performer needs, so that it can go on after a crash."""

    id: int
    command: str
    status: str = "running"  # running | success | error
    progress: int = 0
    started: datetime = Field(default_factory=now)
    finished: datetime | None = None
    resources: list[tuple[str, int]] = []  # (type, id)
    holds: list[tuple[str, int]] = []  # locked while this runs
    error: ActionError | None = None
    args: dict[str, Any] = {}
    chain: int = 0  # the first action of its chain: they run one after another
    hidden: bool = False  # a chore of the lab's own, not shown by the API


class State(BaseModel):
    """The whole of a lab's memory."""

    next_id: int = 1001
    next_address: int = 0
    ssh_keys: dict[int, SshKey] = {}
    images: dict[int, Image] = {}
    networks: dict[int, Network] = {}
    firewalls: dict[int, Firewall] = {}
    placement_groups: dict[int, PlacementGroup] = {}
    primary_ips: dict[int, PrimaryIp] = {}
    floating_ips: dict[int, FloatingIp] = {}
    servers: dict[int, Server] = {}
    volumes: dict[int, Volume] = {}
    certificates: dict[int, Certificate] = {}
    load_balancers: dict[int, LoadBalancer] = {}
    actions: dict[int, Action] = {}
