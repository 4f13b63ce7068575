"""What HAProxy (2.6 and 3.0) must be told to behave as a Hetzner load balancer. Pure.

Sources: the API description's LoadBalancerService and its health check; the pages "Load Balancers" of
docs.hetzner.com. Where these say nothing, the less comfortable behaviour is taken: a connection that goes
to a dead target before the checks have noticed fails, it is not moved to another one.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from ipaddress import ip_address
from pathlib import Path

from appliance.lab.hardware import BalancerService, BalancerSpec, HardwareTrouble, HealthCheck, TargetHealth

HARD_STOP = 900  # seconds that connections outlive a reload
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,80}")
_COOKIE = re.compile(
    r"[A-Za-z0-9!#$&*+.^`|~-][A-Za-z0-9!#$&*+.^_`|~-]{0,79}"
)  # RFC 6265's token, less ' and %
_BACKEND = re.compile(r"p(\d+)-to-\d+-check-\d+")
# HAProxy's outcome of a check -> Hetzner's word
_DETAILS = {
    "L4CON": "layer4_no_connection",
    "SOCKERR": "layer4_no_connection",
    "L4TOUT": "layer4_timeout",
    "L6TOUT": "layer7_timeout",
    "L7TOUT": "layer7_timeout",
    "L7STS": "unexpected_http_status",
}


def quoted(text: str) -> str:
    """One word of HAProxy's configuration. Raises HardwareTrouble on what no quoting can carry."""
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", text):
        raise HardwareTrouble(f"{text!r} holds what a configuration cannot")
    return "'" + text.replace("'", "'\\''") + "'"


def served(spec: BalancerSpec) -> bool:
    """Whether there is anything to listen for."""
    return bool(spec.services and addresses(spec))


def addresses(spec: BalancerSpec) -> list[str]:
    """What it listens on, as HAProxy writes addresses."""
    own = [spec.public_ipv4] if spec.public_ipv4 else []
    return [_address(address) for address in (*own, *(wire.ip for wire in spec.private))]


def certificate_file(pem: str) -> str:
    return f"{hashlib.sha256(pem.encode()).hexdigest()[:24]}.pem"


def configuration(spec: BalancerSpec, folder: Path) -> str:
    """haproxy.cfg; `folder` holds its socket, state and certificates.

    Raises HardwareTrouble on a figure or a name that makes no sense.
    """
    keys = [key for key, _ in spec.targets]
    if len(set(keys)) != len(keys):
        raise HardwareTrouble("a target stands twice")
    if len({service.listen_port for service in spec.services}) != len(spec.services):
        raise HardwareTrouble("two services listen on one port")
    lines = []
    for service in spec.services:
        lines += [*_frontend(spec, service, folder), "", *_backend(spec, service), ""]
    body = "\n".join(lines)
    return "\n".join([*_head(folder, hashlib.sha256(body.encode()).hexdigest()[:24]), "", body])


def generation(text: str) -> str:
    """The digest by which a running process is known to have read `text`."""
    found = re.search(r"^  description (\w+)$", text, re.MULTILINE)
    return found.group(1) if found else ""


def _head(folder: Path, digest: str) -> list[str]:
    return [
        "global",
        f"  description {digest}",
        f"  stats socket {quoted(str(folder / 'stats.sock'))} mode 600 level admin expose-fd listeners",
        f"  server-state-file {quoted(str(folder / 'state'))}",
        f"  hard-stop-after {HARD_STOP}s",
        "  nbthread 1",
        "  maxconn 4000",
        "  ssl-default-bind-options ssl-min-ver TLSv1.2",
        "",
        "defaults",
        "  load-server-state-from-file global",
        "  retries 1",
        "  timeout http-request 30s",
    ]


def _frontend(spec: BalancerSpec, service: BalancerService, folder: Path) -> list[str]:
    idle = _figure(service.timeout_idle, 1, 3600)
    tls = ""
    if service.protocol == "https":
        if not service.certificates:
            raise HardwareTrouble(f"the https service on {service.listen_port} has no certificate")
        files = (quoted(str(folder / certificate_file(pem))) for pem in service.certificates)
        tls = " ssl " + " ".join(f"crt {file}" for file in files) + " alpn h2,http/1.1"
    mode = "tcp" if service.protocol == "tcp" else "http"
    lines = [f"frontend p{_port(service.listen_port)}", f"  mode {mode}"]
    lines += [f"  bind {address}:{service.listen_port}{tls}" for address in addresses(spec)]
    lines += [f"  timeout client {idle}s"]
    if mode == "http":
        lines += [
            f"  timeout http-keep-alive {idle}s",
            "  option forwardfor",
            f"  http-request set-header X-Forwarded-Proto {service.protocol}",
            f"  http-request set-header X-Forwarded-Port {service.listen_port}",
        ]
    lines += [f"  default_backend {_backend_name(service)}"]
    if service.protocol == "https" and service.redirect_http:
        lines += ["", "frontend redirect", "  mode http"]
        lines += [f"  bind {address}:80" for address in addresses(spec)]
        lines += [f"  timeout client {idle}s", "  http-request redirect scheme https code 301"]
    return lines


def _backend_name(service: BalancerService) -> str:
    """Everything that HAProxy's state file must not carry over a change of is part of the name."""
    check = service.health_check.port
    return f"p{service.listen_port}-to-{_port(service.destination_port)}-check-{_port(check)}"


def _backend(spec: BalancerSpec, service: BalancerService) -> list[str]:
    idle = _figure(service.timeout_idle, 1, 3600)
    mode = "tcp" if service.protocol == "tcp" else "http"
    check = service.health_check
    lines = [
        f"backend {_backend_name(service)}",
        f"  mode {mode}",
        f"  balance {'leastconn' if spec.algorithm == 'least_connections' else 'roundrobin'}",
        # also bounds a check's connection: HAProxy takes the smaller of this and the interval
        f"  timeout connect {_figure(check.timeout, 1, 60)}s",
        f"  timeout server {idle}s",
        f"  timeout tunnel {idle}s",
        f"  timeout check {check.timeout}s",
    ]
    sticky = mode == "http" and service.sticky_sessions
    if sticky:
        if not _COOKIE.fullmatch(service.cookie_name):
            raise HardwareTrouble(f"{service.cookie_name!r} cannot be a cookie's name")
        age = _figure(service.cookie_lifetime, 1, 10**8)
        lines.append(f"  cookie {quoted(service.cookie_name)} insert indirect nocache attr Max-Age={age}")
    if check.protocol == "http":
        lines += _http_check(check)
    options = _server_options(service)
    for key, address in spec.targets:
        stick = f" cookie {hashlib.sha256(key.encode()).hexdigest()[:16]}" if sticky else ""
        where = f"{_address(address)}:{service.destination_port}"
        lines.append(f"  server {_server_name(key, address)} {where}{options}{stick}")
    return lines


def _http_check(check: HealthCheck) -> list[str]:
    # Without a domain no Host header is sent: only HTTP/1.0 allows that.
    host = f" ver HTTP/1.1 hdr Host {quoted(check.domain.replace('%', '%%'))}" if check.domain else ""
    lines = [
        "  option httpchk",
        f"  http-check send meth GET uri {quoted(check.path or '/')}{host}",
        f"  http-check expect rstatus {quoted(_status_pattern(check.status_codes))}",
    ]
    if check.response:
        lines.append(f"  http-check expect string {quoted(check.response)}")
    return lines


def _status_pattern(codes: tuple[str, ...]) -> str:
    """ "2??" and "40*" as one regular expression."""
    for code in codes:
        if not re.fullmatch(r"[0-9?*]{1,3}", code):
            raise HardwareTrouble(f"{code!r} is no status code")
    signs = {"?": "[0-9]", "*": "[0-9]*"}
    patterns = ("".join(signs.get(sign, sign) for sign in code) for code in codes or ("2??", "3??"))
    return f"^({'|'.join(patterns)})$"


def _server_options(service: BalancerService) -> str:
    check = service.health_check
    retries = _figure(check.retries, 1, 100)
    options = (
        f" check port {check.port} inter {_figure(check.interval, 1, 3600)}s fall {retries} rise {retries}"
    )
    if check.protocol == "http" and check.tls:
        sni = f" check-sni {quoted(check.domain)}" if check.domain else ""
        options += f" check-ssl verify none{sni}"
    if service.proxyprotocol:
        options += " send-proxy-v2"
        # The target's port takes nothing without the header, so a check of that same port brings it too.
        if check.port == service.destination_port:
            options += " check-send-proxy"
    return options


def _server_name(key: str, address: str) -> str:
    """The address is part of it: HAProxy's state file would give a target its old one back."""
    if not _KEY.fullmatch(key):
        raise HardwareTrouble(f"{key!r} cannot name a target")
    return f"{key}_{ip_address(address)}"


def _address(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise HardwareTrouble(f"{text!r} is no address") from None
    if "%" in str(address):
        raise HardwareTrouble(f"{text!r} names an interface")
    return str(address) if address.version == 4 else f"[{address}]"


def _port(port: int) -> int:
    return _figure(port, 1, 65535)


def _figure(value: int, least: int, most: int) -> int:
    if not isinstance(value, int) or not least <= value <= most:
        raise HardwareTrouble(f"{value!r} is not between {least} and {most}")
    return value


def read_stats(text: str) -> dict[tuple[str, int], TargetHealth]:
    """(target key, listen port) -> health, from HAProxy's `show stat`."""
    found = {}
    for row in csv.DictReader(io.StringIO(text.removeprefix("# "))):
        backend = _BACKEND.fullmatch(row["pxname"])
        if backend and row["svname"] not in ("BACKEND", "FRONTEND"):
            key = row["svname"].rpartition("_")[0]
            found[key, int(backend.group(1))] = _health(row)
    return found


def _health(row: dict[str, str]) -> TargetHealth:
    check = row["check_status"].removeprefix("* ")  # the star: another check is under way
    if row["status"].startswith("UP"):
        # HAProxy takes a server for well until its first check is through.
        return TargetHealth("unknown" if check in ("INI", "UNK", "") else "healthy")
    detail = _DETAILS.get(check, "unspecified")
    if check == "L7RSP" and "content check did not match" in row["last_chk"]:
        detail = "unexpected_http_content"
    code = row["check_code"]
    return TargetHealth("unhealthy", detail, int(code) if check == "L7STS" and code.isdigit() else None)
