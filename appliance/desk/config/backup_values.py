"""One value each of `backup` in appliance.yaml: what it must look like, what to say when it does not. Pure.

Those of a repository become words of a command line at the store, and are narrow for it
(contract/backup.py has the same patterns).
"""

from __future__ import annotations

import base64
import binascii
import re

from appliance.desk.config.values import Wrong, base_url, quote

_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
_PATH = re.compile(r"(\w|\.\w)[\w@-]*([./]\w[\w@-]*|/\.\w[\w@-]*)*", re.ASCII)
_FOLDER = re.compile(r"(/[\w.@-]+)+", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_WEBHOOK = re.compile(r"https?://[!-~]+")
SCAN = "`ssh-keyscan -p 23 -t ed25519 <host>` prints it; compare its fingerprint with the store's own pages"


def host(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise Wrong(
            f"{quote(text)} is not a host name or IPv4 address", "like u123456.your-storagebox.de, alone"
        )
    return text


def user(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise Wrong(f"{quote(text)} cannot be an account", "like u123456, or u123456-sub1")
    return text


def path(text: str) -> str:
    """Below the account's home, or below the bucket."""
    if not _PATH.fullmatch(text):
        better = text.strip("/")
        hint = f'did you mean "{better}"?' if text != better and _PATH.fullmatch(better) else ""
        raise Wrong(
            f"{quote(text)} cannot be the repository's path", hint or "letters, digits, _ - . and / between"
        )
    return text


def folder(text: str) -> str:
    if not _FOLDER.fullmatch(text) or "/.." in text:
        raise Wrong(f"{quote(text)} is not a folder of the node", "from the root, like /mnt/backup/gateway")
    return text


def host_key(text: str) -> str:
    """Type and base64, without what ssh-keyscan writes before and a comment after."""
    words = text.split()
    if text.startswith("SHA256:"):
        raise Wrong("this is a fingerprint, not the key", SCAN)
    for at, word in enumerate(words[:2]):
        if re.fullmatch(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[\w@.-]+", word) and len(words) > at + 1:
            if _key_type(words[at + 1]) != word:
                break
            return f"{word} {words[at + 1]}"
    raise Wrong("this is not an SSH host key", f"like ssh-ed25519 AAAA...; {SCAN}")


def _key_type(encoded: str) -> str | None:
    """What an OpenSSH public key says itself that it is (RFC 4253, 6.6)."""
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    length = int.from_bytes(blob[:4], "big")
    return blob[4 : 4 + length].decode("ascii", "replace") if 0 < length <= len(blob) - 4 else None


def endpoint(text: str) -> str:
    url = base_url(text)
    if url.count("/") > 2:
        raise Wrong(f"{quote(url)} has a path", "the store's address alone; bucket and prefix are keys")
    return url


def bucket(text: str) -> str:
    if not _BUCKET.fullmatch(text):
        raise Wrong(f"{quote(text)} cannot be a bucket", "3 to 63 of a-z, 0-9, - and .")
    return text


def region(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]*", text):
        raise Wrong(f"{quote(text)} is not a region", "like fsn1 or eu-central-1")
    return text


def webhook(text: str) -> str:
    if not _WEBHOOK.fullmatch(text):
        raise Wrong("this is not an http or https URL", "like https://alerts.example.com/hook")
    return text
