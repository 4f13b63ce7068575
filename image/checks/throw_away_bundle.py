"""Write a small bundle's tar to stdout; its digest and an Authorization header to the folder given."""

import hashlib
import io
import json
import secrets
import sys
import tarfile
from pathlib import Path

from appliance.contract import bundle
from appliance.contract.router_policy import PORT, Api, Provider, RouterPolicy, Target, Workload

CONFIG = {
    "update": {"checkOnStart": False},
    "logging": {"file": "/var/log/openclaw/openclaw.log", "level": "warn", "consoleLevel": "warn"},
    "discovery": {"mdns": {"mode": "off"}},
    "secrets": {
        "providers": {"node": {"source": "file", "path": "/run/openclaw/secrets.json", "mode": "json"}}
    },
    "gateway": {
        "mode": "local",
        "bind": "loopback",
        "port": 18789,
        "auth": {"mode": "token", "token": {"source": "file", "provider": "node", "id": "/gateway-token"}},
        "trustedProxies": ["127.0.0.2"],
        "controlUi": {"enabled": False},
        "http": {"endpoints": {"chatCompletions": {"enabled": True}}},
    },
    "plugins": {"enabled": False, "slots": {"memory": "none"}},
    "models": {
        "mode": "replace",
        "catalogRefresh": {"enabled": False},
        "providers": {
            "router": {
                "api": "openai-completions",
                "baseUrl": f"http://127.0.0.1:{PORT}/v1",
                "apiKey": "the-router-takes-none",
                "models": [{"id": "first", "name": "first", "contextWindow": 128000, "maxTokens": 8192}],
            }
        },
    },
    "agents": {
        "ownership": "explicit",
        "defaults": {"model": {"primary": "router/first", "fallbacks": []}},
        "entries": {"main": {}},
    },
}
# Nobody listens at its provider's address.
POLICY = RouterPolicy(
    providers={
        "nobody": Provider(
            api=Api.OPENAI, base_url="http://127.0.0.1:9/v1", credential=bundle.PROVIDER + "nobody"
        )
    },
    workloads={"first": Workload(primary=Target(provider="nobody", model="none"), fail_closed=True)},
)


def main(folder: Path) -> None:
    token = secrets.token_hex(24)
    (folder / "authorization").write_text(f"Authorization: Bearer {token}\n")
    held = {
        bundle.GATEWAY_TOKEN: token,
        bundle.TLS_KEY: (folder / "key.pem").read_text(),
        bundle.PROVIDER + "nobody": secrets.token_hex(24),
    }
    files = {
        "openclaw.json": json.dumps(CONFIG).encode(),
        bundle.ROUTER_POLICY: POLICY.model_dump_json().encode(),
        "edge.map": b"* router/first\nfirst router/first\n",
        "nftables-allow.nft": b"",
        bundle.TLS_CHAIN: (folder / "chain.pem").read_bytes(),
    }
    manifest = bundle.Manifest(
        name="check",
        digest="",
        files={path: hashlib.sha256(content).hexdigest() for path, content in files.items()},
        secrets=bundle.keyed_digests(held),
        workloads=["first"],
    )
    manifest = manifest.model_copy(update={"digest": manifest.digest_of_content()})
    (folder / "digest").write_text(manifest.digest)
    members = {bundle.MANIFEST: manifest.model_dump_json().encode()}
    members |= {bundle.FILES + path: content for path, content in files.items()}
    members[bundle.SECRETS] = json.dumps(held).encode()
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


main(Path(sys.argv[1]))
