"""Write a small bundle's tar to stdout; its digest and an Authorization header to the folder given."""

import hashlib
import io
import json
import secrets
import sys
import tarfile
from pathlib import Path

from appliance.contract import bundle

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
    "models": {"mode": "replace", "catalogRefresh": {"enabled": False}, "providers": {}},
    "agents": {"ownership": "explicit", "entries": {"main": {}}},
}


def main(folder: Path) -> None:
    token = secrets.token_hex(24)
    (folder / "authorization").write_text(f"Authorization: Bearer {token}\n")
    held = {bundle.GATEWAY_TOKEN: token, bundle.TLS_KEY: (folder / "key.pem").read_text()}
    files = {
        "openclaw.json": json.dumps(CONFIG).encode(),
        "edge.map": b"* none/none\nfirst none/none\n",
        "health.json": b'{"workloads": []}',
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
