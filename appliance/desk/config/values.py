"""One value of appliance.yaml each: what it must look like, and what to say when it does not. Pure."""

from __future__ import annotations

import re
from difflib import get_close_matches
from ipaddress import AddressValueError, IPv4Network, IPv6Network, NetmaskValueError, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from appliance.desk.settings import ModelRef, SecretRef

if TYPE_CHECKING:
    from collections.abc import Iterable

# Resource names at Hetzner that are built from it: "appliance-<name>-lock", "<name>-scratch-<8 hex>".
# A server's name must be a host name by RFC 1123 (POST /servers), a label's value at most 63 characters.
NAME_LENGTH = 32
EXAMPLES = tuple(
    ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
PRIVATE = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))

_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")
_URL = re.compile(r"[!-~]+")  # ASCII that is seen
_KEY_PREFIX = re.compile(
    r"(sk|pk|rk|gsk|hf|ghp|gho|github_pat|glpat|xox[a-z]|AKIA|AIza|ya29|eyJ|nvapi)[-_A-Z0-9.a-z]{8,}"
)
_KEY_SHAPE = re.compile(r"[A-Za-z0-9_+/=.-]{24,}")


class Wrong(ValueError):  # noqa: N818 - the word of the house
    """A value that is not what it should be: what is wrong, and what would be right."""

    def __init__(self, what: str, right: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.right = right


def looks_like_a_key(text: str) -> bool:
    """Whether `text` may be a secret itself: a vendor's prefix, or long and with letters and digits mixed."""
    if "-----BEGIN" in text or _KEY_PREFIX.search(text):
        return True
    return any(
        len(re.findall(r"\d", run)) >= 3 and len(re.findall(r"[A-Za-z]", run)) >= 3
        for run in _KEY_SHAPE.findall(text)
    )


def quote(value: object) -> str:
    """`value` in quotes for a message; shortened, on one line, and never when it may be a secret."""
    text = str(value)
    if looks_like_a_key(text):
        return "(not repeated here: it looks like a key)"
    shown = text if len(text) <= 60 else text[:57] + "..."
    return '"' + "".join(c if c.isprintable() else "?" for c in shown) + '"'


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean "x"?`, or nothing."""
    near = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else ""


def suggest(word: str, known: Iterable[str], label: str) -> str:
    """`did you mean "alpha"? (providers: alpha, beta)`"""
    known = list(known)
    return " ".join(
        part for part in (nearest(word, known), f"({label}: {', '.join(known) or 'none'})") if part
    )


def name(text: str) -> str:
    if len(text) > NAME_LENGTH or not _NAME.fullmatch(text):
        right = (
            f"a-z, 0-9 and -, beginning with a letter, not ending with -, at most {NAME_LENGTH} characters"
        )
        better = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-0123456789")[:NAME_LENGTH].strip("-")
        if better and not looks_like_a_key(text):
            right += f'; for instance "{better}"'
        raise Wrong(f"{quote(text)} cannot be a name at Hetzner", right)
    return text


def word(text: str) -> str:
    """The name of a location, server type or base image; whether it exists is the cloud's to say."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,62}", text):
        lower = text.strip().lower()
        hint = f'did you mean "{lower}"?' if re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,62}", lower) else ""
        raise Wrong(f"{quote(text)} is not such a name", hint)
    return text


def cidr(text: str) -> IPv4Network | IPv6Network:
    """An address range; the bits behind the prefix must be zero, so that nobody opens more than they read."""
    try:
        return ip_network(text)
    except (ValueError, AddressValueError, NetmaskValueError):
        pass
    try:
        wider = ip_network(text, strict=False)
    except ValueError:
        raise Wrong(
            f"{quote(text)} is not an address range", 'like "203.0.113.0/24" or "203.0.113.7/32"'
        ) from None
    raise Wrong(f"{quote(text)} has bits set behind its prefix", f'did you mean "{wider}"?')


def source(text: str) -> IPv4Network | IPv6Network:
    """A range that may reach the node; its prefix must be written out."""
    found = cidr(text)
    if "/" not in text:
        raise Wrong(f"{quote(text)} has no prefix", f'one address alone is "{found}"')
    if any(found.version == block.version and found.subnet_of(block) for block in EXAMPLES):  # type: ignore[arg-type]
        raise Wrong(
            f"{quote(text)} is an example (RFC 5737, RFC 3849), nobody's address",
            "the addresses you work from",
        )
    return found


def private_range(text: str) -> IPv4Network:
    found = cidr(text)
    if not isinstance(found, IPv4Network):
        raise Wrong(
            f"{quote(text)} is IPv6", 'Hetzner\'s private networks are IPv4 only, like "10.90.0.0/16"'
        )
    if not any(found.subnet_of(block) for block in PRIVATE):
        raise Wrong(
            f"{quote(text)} is not private (RFC 1918)", "within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
        )
    return found


def ip_range(text: str) -> IPv4Network:
    """Hetzner's networks are /24 or larger."""
    found = private_range(text)
    if found.prefixlen > 24:
        raise Wrong(f"{quote(text)} is too small for a network", "/24 or larger; /16 leaves room to grow")
    return found


def subnet(text: str) -> IPv4Network:
    """Hetzner's subnets are /30 or larger."""
    found = private_range(text)
    if found.prefixlen > 30:
        raise Wrong(f"{quote(text)} is too small for a subnet", "/30 or larger; /24 is usual")
    return found


def secret_ref(text: str) -> SecretRef:
    """`env:NAME` or `file:PATH`. What stands here instead is never repeated: it may be the secret."""
    kind, _, location = text.partition(":")
    right = "write env:NAME or file:PATH"
    if kind == "env" and _ENV_NAME.fullmatch(location) and not looks_like_a_key(location):
        return SecretRef("env", location)
    if kind == "env":
        raise Wrong("env: is not followed by the name of a variable", "like env:ALPHA_KEY")
    if kind == "file" and location.strip() and location.isprintable() and not _KEY_PREFIX.match(location):
        return SecretRef("file", location.strip())
    if kind == "file":
        raise Wrong("file: is not followed by a path", "like file:secrets/alpha.key")
    if looks_like_a_key(text):
        raise Wrong(
            "this looks like the key itself, which must not stand in this file",
            f"{right}; and change the key",
        )
    raise Wrong("this does not say where the secret stands", f"{right}; the secret itself never stands here")


def model_ref(text: str) -> ModelRef:
    provider, slash, model = text.partition("/")
    if not slash or not provider or not _MODEL.fullmatch(model):
        raise Wrong(
            f"{quote(text)} does not name a provider and a model", "provider/model, like alpha/large-1"
        )
    return ModelRef(provider, model)


def base_url(text: str) -> str:
    """An http(s) address without credentials, query or fragment. No trailing slash on return."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise Wrong("this is not a URL", "like https://api.example.com/v1") from None
    if any(mark in text for mark in "@?#"):
        raise Wrong(
            "a base URL holds no user, password, query or #",
            "the key goes to `key`; like https://api.example.com/v1",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or not _URL.fullmatch(text):
        raise Wrong(f"{quote(text)} is not an http or https URL", "like https://api.example.com/v1")
    return text.rstrip("/")


def tls_name(text: str) -> str:
    """A DNS name (a wildcard for its first label is fine) or an IP address."""
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    if not _HOST.fullmatch(text.removeprefix("*.")):
        raise Wrong(
            f"{quote(text)} is neither a DNS name nor an address",
            "like gateway.example.com, without https://",
        )
    return text


def path(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise Wrong("this is not a path", "a path, relative to this file")
    if looks_like_a_key(text) and "/" not in text:
        raise Wrong(
            "this looks like a key itself, which must not stand in this file",
            "the path of a file that holds it",
        )
    return text.strip()


def key_name(reserved: frozenset[str], drill: str, text: str) -> str:
    """The name of a provider or workload: it becomes part of file names and URL paths.

    Those that begin with `drill` are the drills' own.
    """
    if text.startswith(drill):
        raise Wrong(f"{quote(text)} is a drill's name: those begin with {drill}", "another name")
    if text in reserved:
        raise Wrong(f'"{text}" is taken: the node uses it itself', "another name")
    if len(text) > NAME_LENGTH or not _NAME.fullmatch(text):
        raise Wrong(
            f"{quote(text)} cannot be a name",
            f"a-z, 0-9 and -, beginning with a letter, at most {NAME_LENGTH}",
        )
    return text
