"""Settings as the tests want them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from appliance.desk.settings import (
    Access,
    Image,
    Layout,
    ModelRef,
    Network,
    Provider,
    ProviderApi,
    SecretRef,
    Settings,
    Target,
    Tls,
    Workload,
)

SETTINGS = Settings(
    path=Path("appliance.yaml"),
    name="office",
    target=Target.LAB,
    layout=Layout.SINGLE,
    location="fsn1",
    server_type="cx33",
    image=Image("debian-13", "cx23"),
    network=Network(IPv4Network("10.60.0.0/16"), IPv4Network("10.60.1.0/24")),
    access=Access(
        ssh=(IPv4Network("198.51.100.7/32"),),
        api=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")),
        ssh_public_key=Path("id_ed25519.pub"),
    ),
    tls=Tls(
        ("gateway.example.org",), Path("secrets/ca.pem"), SecretRef("file", "secrets/ca.key"), None, None
    ),
    gateway_token=SecretRef("env", "GATEWAY_TOKEN"),
    providers=(
        Provider("alpha", ProviderApi.OPENAI, "https://alpha.example/v1", SecretRef("env", "ALPHA")),
        Provider("beta", ProviderApi.ANTHROPIC, "https://beta.example/v1", SecretRef("env", "BETA")),
    ),
    workloads=(
        Workload("code", ModelRef("alpha", "big/1"), (ModelRef("beta", "other"),), 128_000, 8_000),
        Workload("batch", ModelRef("alpha", "big/1"), (), 200_000, 4_000),
    ),
)
