"""Base images: Debian made once by mmdebstrap and kept by the digest of its recipe.

The recipe stands in the folder debian-13/: packages, files at their real paths, and setup.sh. The image is
shared by all labs. What belongs to this host and lab only (extra CAs, the package proxy, caches) lies in a
layer of its own on top, so that it can be told from what an image is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from appliance.lab.hardware import HardwareTrouble
from appliance.lab.place import Place
from appliance.lab.shell import locked, run
from appliance.lab.trees import mounts_below, remove, unmount

NAME = "debian-13"
SUITE = "trixie"
RECIPE = Path(__file__).parent / NAME
EXTRA_CAS = Path("/usr/local/share/ca-certificates")
LENT = "/var/cache/lent"  # where the shared package cache appears in machines booted from a base image
BUILD_SECONDS = 1200


def architecture() -> str:
    """Hetzner's word for this host's processor."""
    return "arm" if os.uname().machine == "aarch64" else "x86"


def ensure(place: Place, say: Callable[[str], None] = lambda _: None) -> tuple[str, ...]:
    """The layers of a machine booted from `debian-13`, lowest first; made if they are not there.

    Raises HardwareTrouble when mmdebstrap fails; nothing half-made is kept.
    """
    name = f"{NAME}-{recipe_digest()}"
    bases = place.cache / "base"
    with locked(place.cache / "base.lock"):
        if not (bases / name).is_dir():
            say(f"making the base image {NAME} (about a minute, once)")
            _bootstrap(bases / name)
        lent = _lend(place, name)
        for old in set(bases.iterdir()) - {bases / used for used in _used(place)}:
            place.trash.mkdir(exist_ok=True)
            with contextlib.suppress(OSError):  # in the way of nothing; another time then
                old.rename(place.trash / old.name)
    return (name, lent)


def _used(place: Place) -> set[str]:
    """The base images that labs stand on, this one too: each has a layer of its own on those it uses."""
    lent = place.root.glob("lab*/layers/lent-*-*")
    return {f"{NAME}-{path.name.split('-')[1]}" for path in lent}


def recipe_digest() -> str:
    digest = hashlib.sha256(SUITE.encode())
    for path in _recipe_files():
        digest.update(f"\0{path.relative_to(RECIPE)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _recipe_files() -> list[Path]:
    return sorted(p for p in RECIPE.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def packages() -> list[str]:
    lines = (RECIPE / "packages").read_text().splitlines()
    return [words[0] for line in lines if (words := line.split("#")[0].split())]


def _bootstrap(final: Path) -> None:
    new = final.with_suffix(".new")
    _clear(new)
    new.parent.mkdir(parents=True, exist_ok=True)
    files = RECIPE / "files"
    copies = [
        f"--customize-hook=install -D -m 644 '{path}' \"$1/{path.relative_to(files)}\""
        for path in _recipe_files()
        if path.is_relative_to(files)
    ]
    setup = f"--customize-hook=install -m 755 '{RECIPE / 'setup.sh'}' \"$1/setup.sh\""
    run(
        [
            "unshare",  # what it mounts goes with it, when it is killed too
            "--mount",
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            "--quiet",
            f"--include={','.join(packages())}",
            *copies,
            setup,
            '--customize-hook=chroot "$1" /setup.sh',
            '--customize-hook=rm "$1/setup.sh"',
            SUITE,
            str(new),
        ],
        seconds=BUILD_SECONDS,
    )
    new.rename(final)


def _lend(place: Place, base: str) -> str:
    """The layer with what the surroundings have: extra CAs, the lab's package proxy, the package caches."""
    files = _lent_files(place)
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:12]
    name = f"lent-{base.removeprefix(NAME + '-')}-{digest}"
    final = place.folder / "layers" / name
    if final.is_dir():
        return name
    new, work, root = (final.with_name(f"{name}.{part}") for part in ("new", "work", "root"))
    for folder in (root, work, new):
        _clear(folder)
        folder.mkdir(parents=True)
    options = f"lowerdir={place.cache / 'base' / base},upperdir={new},workdir={work}"
    run(["mount", "-t", "overlay", "overlay", "-o", options, str(root)])
    try:
        for path, content in files.items():
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        run(["chroot", str(root), "update-ca-certificates"])
    finally:
        unmount(root)
    remove(work)
    root.rmdir()
    new.rename(final)
    return name


def _clear(folder: Path) -> None:
    """Of what a process that was killed left there."""
    for left in mounts_below(folder):
        unmount(left)
    remove(folder)


def _lent_files(place: Place) -> dict[str, bytes]:
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    environment = {
        "NODE_EXTRA_CA_CERTS": bundle,
        "PIP_CERT": bundle,
        "PIP_CACHE_DIR": f"{LENT}/pip",
        "npm_config_cache": f"{LENT}/npm",
        "npm_config_prefer_offline": "true",
    }
    files = {
        "/etc/environment": "".join(f"{k}={v}\n" for k, v in environment.items()).encode(),
        "/etc/apt/apt.conf.d/95proxy": (
            f'Acquire::http::Proxy "http://{place.host_ip}:{place.mirror_port}";\n'
        ).encode(),
    }
    if EXTRA_CAS.is_dir():
        for path in sorted(EXTRA_CAS.glob("*.crt")):
            files[str(path)] = path.read_bytes()
    return files


def layer_path(place: Place, layer: str) -> Path:
    """Where a layer lies on disk. Raises HardwareTrouble when it does not exist."""
    for folder in (place.folder / "layers", place.cache / "base"):
        if "/" not in layer and (folder / layer).is_dir():
            return folder / layer
    raise HardwareTrouble(f"the disk layer {layer} is not there")
