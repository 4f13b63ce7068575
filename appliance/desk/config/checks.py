"""What must hold between keys of appliance.yaml, and what is allowed but worth a second thought. Pure.

They look at the file as it was read, and pass over what is wrong in itself: that is told elsewhere, and
one mistake must not hide another.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from urllib.parse import urlsplit

from appliance.desk.config import values
from appliance.desk.config.backup_checks import check_backup
from appliance.desk.config.deadline_checks import check_deadlines
from appliance.desk.config.file import NetworkSection
from appliance.desk.config.finding import Finding, group, parsed
from appliance.desk.config.workload_checks import check_workloads, named
from appliance.desk.config.yaml_lines import Value, Where

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def cross_check(file: dict[str, Value]) -> list[Finding]:
    return [
        *check_workloads(file),
        *check_deadlines(file),
        *_unused_providers(file),
        *_network(file),
        *_tls(file),
        *_access(file),
        *_provider_urls(file),
        *check_backup(file),
    ]


def _unused_providers(file: dict[str, Value]) -> Iterator[Finding]:
    used = {
        model.ref.provider
        for name, workload in group(file, "workloads").items()
        if isinstance(workload, dict)
        for model in named(name, workload)
    }
    for name in group(file, "providers"):
        if used and name not in used:
            yield Finding(("providers", name), "no workload uses this provider", warning=True)


def _network(file: dict[str, Value]) -> Iterator[Finding]:
    network = group(file, "network")
    defaults = NetworkSection.model_fields
    whole = network.get("ip_range", str(defaults["ip_range"].default))
    part = network.get("subnet", str(defaults["subnet"].default))
    ip_range, subnet = parsed(values.ip_range, whole), parsed(values.subnet, part)
    if ip_range is None or subnet is None:
        return
    if not subnet.subnet_of(ip_range):
        inside = f'inside {ip_range}, like "{_some_subnet(ip_range)}"'
        yield Finding(("network", "subnet"), f"{subnet} is not part of the network {ip_range}", inside)


def _some_subnet(ip_range: IPv4Network) -> IPv4Network:
    return next(ip_range.subnets(new_prefix=24)) if ip_range.prefixlen < 24 else ip_range


def _tls(file: dict[str, Value]) -> Iterator[Finding]:
    tls = file.get("tls")
    if not isinstance(tls, dict):
        return
    own = {key for key in ("ca_cert", "ca_key") if tls.get(key) is not None}
    given = {key for key in ("certificate", "key") if tls.get(key) is not None}
    if own and given:
        yield Finding(
            ("tls",), "names both a CA and a certificate", "ca_cert and ca_key, or certificate and key"
        )
    elif not own and not given:
        right = "ca_cert and ca_key (`appliance init` makes them), or certificate and key"
        yield Finding(("tls",), "says no way to a certificate", right)
    for pair in (("ca_cert", "ca_key"), ("certificate", "key")):
        there = [key for key in pair if tls.get(key) is not None]
        if len(there) == 1:
            other = pair[1 - pair.index(there[0])]
            yield Finding(("tls",), f"{there[0]} is there, {other} is missing", "both belong together")


def _access(file: dict[str, Value]) -> Iterator[Finding]:
    sources = group(file, "access").get("ssh")
    for index, text in enumerate(sources if isinstance(sources, list) else []):
        found = parsed(values.source, text)
        if found is not None and found.prefixlen == 0:
            where: Where = ("access", "ssh", index)
            what = "SSH is open to the world (by key only, but still)"
            yield Finding(where, what, "the addresses you work from", warning=True)


def _provider_urls(file: dict[str, Value]) -> Iterator[Finding]:
    for name in group(file, "providers"):
        provider = group(file, "providers", name)
        url = parsed(values.base_url, provider.get("base_url"))
        if url is None:
            continue
        where: Where = ("providers", name, "base_url")
        if provider.get("api") == "anthropic" and not urlsplit(url).path:
            what = f"has no version: the node will ask {url}/messages"
            yield Finding(where, what, f"{url}/v1 at most vendors", warning=True)
        plain = url.startswith("http://") and urlsplit(url).hostname not in LOOPBACK
        if plain and file.get("target") == "hetzner":
            what = "http:// sends the key and all content in the clear"
            yield Finding(where, what, "https://", warning=True)
