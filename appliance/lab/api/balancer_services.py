"""Services of load balancers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from appliance.lab.api.balancers import add_within_limits, begin
from appliance.lab.api.core import Lab
from appliance.lab.api.errors import ApiError, invalid
from appliance.lab.api.references import named
from appliance.lab.api.resource import Answer, Body, Operation, begun
from appliance.lab.records import HealthCheckHttp, LoadBalancer, Service, ServiceHealthCheck, ServiceHttp

DEFAULT_PORTS = {"http": (80, 80), "https": (443, 80)}  # listen, destination


class CheckHttpBody(Body):
    domain: str | None = None
    path: str | None = None
    response: str | None = None
    status_codes: list[str] | None = Field(default=None, max_length=20)
    tls: bool | None = None


class CheckBody(Body):
    protocol: Literal["tcp", "http"] | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    interval: int | None = Field(default=None, ge=3, le=60)
    timeout: int | None = Field(default=None, ge=1, le=60)
    retries: int | None = Field(default=None, ge=1, le=5)
    http: CheckHttpBody | None = None


class HttpBody(Body):
    cookie_name: str | None = None
    cookie_lifetime: int | None = Field(default=None, ge=30, le=86400)
    timeout_idle: int | None = Field(default=None, ge=30, le=300)
    certificates: list[int] | None = None
    redirect_http: bool | None = None
    sticky_sessions: bool | None = None


class ServiceBody(Body):
    """Of add_service, and of update_service, where what is not said stays."""

    protocol: Literal["tcp", "http", "https"] | None = None
    listen_port: int | None = Field(default=None, ge=1, le=65535)
    destination_port: int | None = Field(default=None, ge=1, le=65535)
    proxyprotocol: bool | None = None
    health_check: CheckBody | None = None
    http: HttpBody | None = None


class ListenPort(Body):
    listen_port: int


def view(service: Service) -> dict[str, Any]:
    """`http` is there only where the protocol has it; a plain http service has no certificates."""
    shown = service.model_dump(exclude_none=True)
    if service.protocol == "http":
        del shown["http"]["certificates"], shown["http"]["redirect_http"]
    if service.health_check.http is not None:
        shown["health_check"]["http"]["domain"] = service.health_check.http.domain
    return shown


def add(lab: Lab, balancer: LoadBalancer, body: ServiceBody) -> None:
    if body.protocol is None:
        raise invalid("protocol", "is required")
    listen, destination = DEFAULT_PORTS.get(body.protocol, (None, None))
    listen, destination = body.listen_port or listen, body.destination_port or destination
    if listen is None or destination is None:
        raise invalid("listen_port", "a tcp service needs listen_port and destination_port")
    check = ServiceHealthCheck(protocol="tcp" if body.protocol == "tcp" else "http", port=destination)
    service = Service(
        protocol=body.protocol, listen_port=listen, destination_port=destination, health_check=check
    )
    new = _patched(service, body)
    _refuse_unfit(lab, new)
    if _ports(new) & {port for s in balancer.services for port in _ports(s)}:
        raise ApiError("source_port_already_used", f"port {listen} is already used", status=412)
    balancer.services.append(new)


def _patched(service: Service, body: ServiceBody) -> Service:
    """`service` with what `body` says, the parts that its protocols need, and without those they have not."""
    new = service.model_copy(deep=True)
    for name, value in body.model_dump(exclude_none=True, exclude={"health_check", "http"}).items():
        setattr(new, name, value)
    if body.health_check is not None:
        said = body.health_check.model_dump(exclude_none=True, exclude={"http"})
        new.health_check = new.health_check.model_copy(update=said)
    if new.health_check.protocol == "http":
        checked = body.health_check.http if body.health_check else None
        old = new.health_check.http or HealthCheckHttp()
        new.health_check.http = old.model_copy(
            update=checked.model_dump(exclude_none=True) if checked else {}
        )
    else:
        new.health_check.http = None
    if new.protocol == "tcp":
        new.http = None
    else:
        said = body.http.model_dump(exclude_none=True) if body.http else {}
        new.http = (new.http or ServiceHttp()).model_copy(update=said)
    return new


def _ports(service: Service) -> set[int]:
    return {service.listen_port} | ({80} if service.http and service.http.redirect_http else set())


def _refuse_unfit(lab: Lab, service: Service) -> None:
    if service.http is None:
        return
    if service.protocol == "https" and not service.http.certificates:
        raise invalid("http.certificates", "an https service needs a certificate")
    if service.protocol == "http" and service.http.redirect_http:
        raise invalid("http.redirect_http", "only an https service redirects")
    for certificate in service.http.certificates:
        named(lab.state.certificates, "http.certificates", "certificate", certificate)


def _find(balancer: LoadBalancer, port: int | None) -> Service:
    for service in balancer.services:
        if service.listen_port == port:
            return service
    raise ApiError("not_found", f"there is no service on port {port}")


def add_service(lab: Lab, balancer: LoadBalancer, body: ServiceBody) -> Answer:
    add_within_limits(balancer, lambda trial: add(lab, trial, body))
    return begun(begin(lab, balancer, "add_service"))


def update_service(lab: Lab, balancer: LoadBalancer, body: ServiceBody) -> Answer:
    """`listen_port` says which; it cannot be changed."""
    old = _find(balancer, body.listen_port)
    new = _patched(old, body)
    _refuse_unfit(lab, new)
    others = [s for s in balancer.services if s is not old]
    if _ports(new) & {port for s in others for port in _ports(s)}:
        raise ApiError("source_port_already_used", "port 80 is already used")
    balancer.services[balancer.services.index(old)] = new
    return begun(begin(lab, balancer, "update_service"))


def delete_service(lab: Lab, balancer: LoadBalancer, body: ListenPort) -> Answer:
    balancer.services.remove(_find(balancer, body.listen_port))
    return begun(begin(lab, balancer, "delete_service"))


OPERATIONS: dict[str, Operation[LoadBalancer]] = {
    "add_service": Operation(add_service, ServiceBody),
    "update_service": Operation(update_service, ServiceBody),
    "delete_service": Operation(delete_service, ListenPort),
}
