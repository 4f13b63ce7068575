"""A node's files as a backup finds them, and an `openclaw backup create` of paper."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

from appliance.contract import backup, bundle
from appliance.node.backup.stage import Places
from appliance.node.system import Paths


def paths_below(folder: Path) -> Paths:
    current = folder / "current"
    (current / "files").mkdir(parents=True)
    (current / "files" / "edge.map").write_text("code router/code\n")
    manifest = bundle.Manifest(
        name="gateway", digest="0" * 64, files={}, secrets={}, workloads=["code", "batch"]
    )
    (current / bundle.MANIFEST).write_text(manifest.model_dump_json())
    (folder / "inputs").write_text("0" * 40 + "\n")
    return Paths(
        current=current,
        own_tls=folder / "tls-own",
        inputs=folder / "inputs",
        applied=folder / "run" / "applied",
        lock=folder / "run" / "lock",
        evidence=folder / "evidence",
    )


def places_below(folder: Path) -> Places:
    (folder / "package.json").write_text(json.dumps({"version": "2026.9.6"}))
    (folder / "version").write_text("v24.19.0\n")
    for name in ("archive", "image/scripts", "code/appliance/__pycache__"):
        (folder / name).mkdir(parents=True)
    (folder / "image" / "scripts" / "10.sh").write_text("#!/bin/sh\n")
    (folder / "code" / "appliance" / "x.py").write_text("")
    return Places(
        staging=folder / "staging",
        secrets=folder / "secrets",
        archive=folder / "archive",
        state=Path("/var/lib/openclaw"),
        image=folder / "image",
        code=folder / "code",
        openclaw=folder / "package.json",
        node_js=folder / "version",
        command=openclaw(folder, {"state/openclaw.sqlite": b"database", "workspace/a b": os.urandom(99_999)}),
    )


def order(paths: Paths, repository: backup.Repository, **more: object) -> None:
    """A bundle's policy of backups, in force."""
    policy = backup.Policy.model_validate({"name": "gateway", "repository": repository, **more})
    (paths.current / bundle.FILES / backup.POLICY).write_text(policy.model_dump_json())


def unheard(event: str, detail: str) -> None:
    """What a job says of its progress."""


def openclaw(
    folder: Path, files: dict[str, bytes], links: dict[str, str] | None = None, ends: int = 0
) -> str:
    """A command that leaves an archive of these, as `openclaw backup create` does."""
    made = folder / "made.tar.gz"
    root = "2026-11-22T00-00-00.000+00-00-openclaw-backup/payload/posix"
    with tarfile.open(made, "w:gz") as tar:
        for name, content in {**files, "../../../etc/openclaw.json": b"{}"}.items():
            member = tarfile.TarInfo(f"{root}/var/lib/openclaw/{name}")
            if name.startswith(".."):
                member.name = f"{root}/etc/openclaw.json"
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(f"{root}/var/lib/openclaw/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    command = folder / "openclaw"
    command.write_text(f'#!/bin/sh\n[ "$3" = --output ] && cp {made} "$4"/\nexit {ends}\n')
    command.chmod(0o755)
    return str(command)
