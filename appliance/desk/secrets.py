"""Secrets from where appliance.yaml says they stand. Messages say where and what is amiss, never a value."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.contract.trouble import ConfigTrouble
from appliance.desk.settings import SecretRef, Settings

LARGEST = 64 * 1024  # bytes; a TLS chain's key fits many times


@dataclass(frozen=True)
class Found:
    """What was there: the text, and a file's permission bits (None for a variable)."""

    text: str
    mode: int | None = None


def read_secret(ref: SecretRef, base: Path, environ: Mapping[str, str] = os.environ) -> str:
    """The secret, without the white space around it; `file:` is relative to `base`.

    Raises ConfigTrouble when it is missing, empty, of several lines (PEM may be), or readable by others.
    """
    if ref.source == "env":
        if ref.location not in environ:
            raise trouble(ref, "the variable is not set", f"export {ref.location}=... and run this again")
        return judge(ref, Found(environ[ref.location]))
    return judge(ref, _read_file(ref, base / Path(ref.location).expanduser()))


def secret_refs(settings: Settings) -> dict[str, SecretRef]:
    """Where in appliance.yaml -> reference, for every secret it names."""
    refs = {"gateway.token": settings.gateway_token}
    refs |= {f"providers.{provider.name}.key": provider.key for provider in settings.providers}
    if settings.tls.ca_key:
        refs["tls.ca_key"] = settings.tls.ca_key
    if settings.tls.key:
        refs["tls.key"] = settings.tls.key
    if settings.backup:
        for key in ("passphrase", "ssh_key", "s3_id", "s3_secret"):
            if ref := getattr(settings.backup, key):
                refs[f"backup.{key}"] = ref
    return refs


def read_secrets(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """All secrets, by where appliance.yaml names them. Raises one ConfigTrouble for all that are amiss."""
    found, troubles = {}, []
    for where, ref in secret_refs(settings).items():
        try:
            found[where] = read_secret(ref, settings.path.parent, environ)
        except ConfigTrouble as amiss:
            troubles.append((where, amiss))
    if troubles:
        count = f"{len(troubles)} secrets" if len(troubles) > 1 else "a secret"
        raise ConfigTrouble(
            f"{count} that {settings.path.name} names cannot be used",
            why="\n".join(f"{where}: {amiss.why}" for where, amiss in troubles),
            fix="; ".join(dict.fromkeys(amiss.fix for _, amiss in troubles)),
        )
    return found


def judge(ref: SecretRef, found: Found) -> str:
    """The decision alone: the usable secret, or the trouble with it. Pure."""
    text = found.text.strip()
    if found.mode is not None and found.mode & 0o077:
        why = f"others than its owner may use the file (mode {stat.S_IMODE(found.mode):04o})"
        raise trouble(ref, why, f"chmod 600 {ref.location}; and change the secret if others may have read it")
    if not text:
        raise trouble(ref, "it is empty", "put the secret there")
    if "\n" in text and not text.startswith("-----BEGIN "):
        raise trouble(ref, "it has more than one line", "one secret, one line (PEM excepted)")
    if any(not (c.isprintable() or c in "\n\r") for c in text):
        raise trouble(ref, "it holds control characters", "save it as plain text")
    return text


def trouble(ref: SecretRef, why: str, fix: str) -> ConfigTrouble:
    return ConfigTrouble(f"the secret {ref} cannot be used", why=why, fix=fix)


def _read_file(ref: SecretRef, path: Path) -> Found:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise trouble(ref, f"there is no file {path}", "write the secret there, mode 0600") from None
    except OSError as error:
        raise trouble(ref, f"{path}: {error.strerror}", "make it a file of yours, mode 0600") from None
    if len(content) > LARGEST:
        raise trouble(ref, f"{path} is larger than {LARGEST} bytes", "is it the right file?")
    try:
        return Found(content.decode("utf-8"), status.st_mode)
    except UnicodeDecodeError:
        raise trouble(ref, f"{path} is not text", "is it the right file?") from None
