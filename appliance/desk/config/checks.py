"""What must hold between keys of appliance.yaml, and what is allowed but worth a second thought. Pure.

They look at the file as it was read, and pass over what is wrong in itself: that is told elsewhere, and
one mistake must not hide another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TypeVar
from urllib.parse import urlsplit

from appliance.desk.config import values
from appliance.desk.config.file import NetworkSection, WorkloadSection
from appliance.desk.config.yaml_lines import Value, Where
from appliance.desk.settings import ModelRef

T = TypeVar("T")
_DEFAULTS = WorkloadSection.model_fields
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Finding:
    where: Where
    what: str
    right: str = ""
    warning: bool = False


def cross_check(file: dict[str, Value]) -> list[Finding]:
    return [
        *_workloads(file),
        *_unused_providers(file),
        *_network(file),
        *_tls(file),
        *_access(file),
        *_provider_urls(file),
    ]


def _group(file: Value, *keys: str) -> dict[str, Value]:
    for key in keys:
        file = file.get(key) if isinstance(file, dict) else None
    return file if isinstance(file, dict) else {}


def _parsed(parse: Callable[[str], T], value: Value) -> T | None:
    try:
        return parse(value) if isinstance(value, str) else None
    except values.Wrong:
        return None


def _workloads(file: dict[str, Value]) -> Iterator[Finding]:
    providers = _group(file, "providers")
    for name, workload in _group(file, "workloads").items():
        if not isinstance(workload, dict):
            continue
        where: Where = ("workloads", name)
        primary = _parsed(values.model_ref, workload.get("primary"))
        fallback = _parsed(values.model_ref, workload.get("fallback"))
        for key, ref in (("primary", primary), ("fallback", fallback)):
            if ref is not None and providers and ref.provider not in providers:
                right = values.suggest(ref.provider, providers, "providers")
                yield Finding((*where, key), f"no provider {values.quote(ref.provider)}", right)
        yield from _failing_over(where, workload, primary, fallback)
        if primary is not None and fallback is not None:
            yield from _independence(where, primary, fallback, providers)
        window = workload.get("context_window", _DEFAULTS["context_window"].default)
        answer = workload.get("max_tokens", _DEFAULTS["max_tokens"].default)
        if type(window) is int and type(answer) is int and answer >= window:
            what = f"{answer} leaves no room for a question in a context window of {window}"
            yield Finding((*where, "max_tokens"), what, "fewer")


def _failing_over(
    where: Where, workload: dict[str, Value], primary: ModelRef | None, fallback: ModelRef | None
) -> Iterator[Finding]:
    closed = workload.get("fail_closed", False)
    if workload.get("fallback") is None and closed is False:
        yield Finding(
            where,
            "says neither what answers when the primary fails, nor that nothing should",
            "fallback: provider/model, or fail_closed: true",
        )
    if workload.get("fallback") is not None and closed is True:
        yield Finding((*where, "fail_closed"), "there is a fallback as well", "keep one of the two")
    if closed is True and workload.get("fallback") is None:
        yield Finding(
            (*where, "fail_closed"),
            "when the primary fails, this workload's requests fail: by choice",
            warning=True,
        )
    if primary is not None and primary == fallback:
        yield Finding((*where, "fallback"), "is the primary itself", "another model, or fail_closed: true")


def _independence(
    where: Where, primary: ModelRef, fallback: ModelRef, providers: dict[str, Value]
) -> Iterator[Finding]:
    """A fallback that falls with the primary is none."""
    if primary == fallback:
        return
    right = "a fallback at another vendor survives more"
    if primary.provider == fallback.provider:
        what = f"is at the primary's provider, {values.quote(primary.provider)}"
        yield Finding((*where, "fallback"), what, right, warning=True)
        return
    first, second = _group(providers, primary.provider), _group(providers, fallback.provider)
    host = _host(first.get("base_url"))
    if host and host == _host(second.get("base_url")):
        what = f"is at the primary's host, {values.quote(host)}"
        yield Finding((*where, "fallback"), what, right, warning=True)
    key = _parsed(values.secret_ref, first.get("key"))
    if key is not None and key == _parsed(values.secret_ref, second.get("key")):
        what = f"uses the primary's key, {key}: one spent quota stops both"
        yield Finding((*where, "fallback"), what, "a key of its own", warning=True)


def _host(url: Value) -> str | None:
    """Host and port, since two vendors may stand in one lab."""
    clean = _parsed(values.base_url, url)
    return urlsplit(clean).netloc.lower() if clean else None


def _unused_providers(file: dict[str, Value]) -> Iterator[Finding]:
    used = {
        ref.provider
        for workload in _group(file, "workloads").values()
        if isinstance(workload, dict)
        for key in ("primary", "fallback")
        if (ref := _parsed(values.model_ref, workload.get(key))) is not None
    }
    for name in _group(file, "providers"):
        if used and name not in used:
            yield Finding(("providers", name), "no workload uses this provider", warning=True)


def _network(file: dict[str, Value]) -> Iterator[Finding]:
    network = _group(file, "network")
    defaults = NetworkSection.model_fields
    whole = network.get("ip_range", str(defaults["ip_range"].default))
    part = network.get("subnet", str(defaults["subnet"].default))
    ip_range, subnet = _parsed(values.ip_range, whole), _parsed(values.subnet, part)
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
    sources = _group(file, "access").get("ssh")
    for index, text in enumerate(sources if isinstance(sources, list) else []):
        found = _parsed(values.source, text)
        if found is not None and found.prefixlen == 0:
            where: Where = ("access", "ssh", index)
            what = "SSH is open to the world (by key only, but still)"
            yield Finding(where, what, "the addresses you work from", warning=True)


def _provider_urls(file: dict[str, Value]) -> Iterator[Finding]:
    if file.get("target") != "hetzner":
        return
    for name, provider in _group(file, "providers").items():
        url = _parsed(values.base_url, provider.get("base_url")) if isinstance(provider, dict) else None
        if url and url.startswith("http://") and urlsplit(url).hostname not in LOOPBACK:
            where: Where = ("providers", name, "base_url")
            what = "http:// sends the key and all content in the clear"
            yield Finding(where, what, "https://", warning=True)
