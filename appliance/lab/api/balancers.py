"""From the records of load balancers to what their hardware is told, and keeping it told."""

from __future__ import annotations

from collections.abc import Callable

from appliance.lab.api.catalogue import LOAD_BALANCER_TYPES
from appliance.lab.api.core import Lab, Ref
from appliance.lab.api.errors import ApiError
from appliance.lab.api.specs import primary_ip, private_wires, selected
from appliance.lab.api.wiring import make_network
from appliance.lab.hardware import BalancerService, BalancerSpec, HealthCheck
from appliance.lab.records import Action, LoadBalancer, Service, State, Target


def begin(lab: Lab, balancer: LoadBalancer, command: str, *more: Ref) -> Action:
    own: Ref = ("load_balancer", balancer.id)
    action = lab.action(command, own, *more, holds=(own,))
    lab.start(action)
    return action


async def perform_apply(lab: Lab, action: Action) -> None:
    balancer = lab.state.load_balancers.get(action.resources[0][1])
    if balancer is not None:
        await apply(lab, balancer)


async def apply(lab: Lab, balancer: LoadBalancer) -> None:
    for nic in balancer.private:
        await make_network(lab, nic.network)
    spec = balancer_spec(lab.state, balancer)
    await lab.do(("load_balancer", balancer.id), lab.hardware.apply_balancer, spec)
    lab.balancers[balancer.id] = spec


async def follow(lab: Lab) -> None:
    """Tell load balancers what changed around them (servers, labels, certificates); see how targets are."""
    for balancer in list(lab.state.load_balancers.values()):
        if lab.holder(("load_balancer", balancer.id)):
            continue
        if lab.balancers.get(balancer.id) != balancer_spec(lab.state, balancer):
            await apply(lab, balancer)
        health = await lab.do(("load_balancer", balancer.id), lab.hardware.balancer_health, balancer.id)
        lab.health[balancer.id] = health


def refuse_beyond(balancer: LoadBalancer) -> None:
    """What its type does not hold. Raises resource_limit_exceeded."""
    kind = LOAD_BALANCER_TYPES[balancer.type]
    counts = {
        "services": (len(balancer.services), kind.max_services),
        "targets": (len(balancer.targets), kind.max_targets),
    }
    for what, (count, most) in counts.items():
        if count > most:
            raise ApiError(
                "resource_limit_exceeded",
                f"{kind.name} has at most {most} {what}",
                details={"limits": [{"name": f"load_balancer_{what}"}]},
            )


def add_within_limits(balancer: LoadBalancer, add: Callable[[LoadBalancer], None]) -> None:
    """What `add` does to its services or targets, wholly or, when it raises ApiError, not at all."""
    trial = balancer.model_copy(deep=True)
    add(trial)
    refuse_beyond(trial)
    balancer.services, balancer.targets = trial.services, trial.targets


def target_key(target: Target) -> str:
    return f"server-{target.server}" if target.server else f"ip-{target.ip}"


def balancer_spec(state: State, balancer: LoadBalancer) -> BalancerSpec:
    targets = {}
    for target in balancer.targets:
        for one in expand(state, target):
            if address := address_of(state, balancer, one):
                targets[target_key(one)] = address
    return BalancerSpec(
        id=balancer.id,
        name=balancer.name or "",
        algorithm=balancer.algorithm,
        public_ipv4=balancer.ipv4 if balancer.public else None,
        private=private_wires(state, balancer.private),
        services=tuple(_service(state, s) for s in balancer.services),
        targets=tuple(sorted(targets.items())),
    )


def expand(state: State, target: Target) -> list[Target]:
    """A selector as the servers it means now."""
    if target.selector is None:
        return [target]
    found = selected(state, target.selector)
    return [Target(server=i, use_private_ip=target.use_private_ip) for i in found]


def address_of(state: State, balancer: LoadBalancer, target: Target) -> str | None:
    """Where a server or IP target is reached; None while it is not."""
    if target.ip is not None:
        return target.ip
    server = state.servers.get(target.server or 0)
    if server is None:
        return None
    if target.use_private_ip:
        networks = {nic.network for nic in balancer.private}
        return next((nic.ip for nic in server.private if nic.network in networks), None)
    ip = primary_ip(state, server.id, "ipv4")
    return ip.ip if ip else None


def _service(state: State, service: Service) -> BalancerService:
    check, http = service.health_check, service.http
    detail = {}
    if check.http is not None:
        detail = {
            "domain": check.http.domain or "",
            "path": check.http.path,
            "response": check.http.response,
            "tls": check.http.tls,
            "status_codes": tuple(check.http.status_codes),
        }
    shown = (state.certificates[i] for i in (http.certificates if http else []))
    return BalancerService(
        protocol=service.protocol,
        listen_port=service.listen_port,
        destination_port=service.destination_port,
        proxyprotocol=service.proxyprotocol,
        health_check=HealthCheck(
            protocol=check.protocol,
            port=check.port,
            interval=check.interval,
            timeout=check.timeout,
            retries=check.retries,
            **detail,  # type: ignore[arg-type]
        ),
        certificates=tuple(c.certificate.rstrip() + "\n" + c.private_key for c in shown),
        **(
            {
                "sticky_sessions": http.sticky_sessions,
                "cookie_name": http.cookie_name,
                "cookie_lifetime": http.cookie_lifetime,
                "redirect_http": http.redirect_http,
                "timeout_idle": http.timeout_idle,
            }  # type: ignore[arg-type]
            if http
            else {}
        ),
    )
