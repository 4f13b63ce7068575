"""What a check of appliance.yaml finds, and how it reads a file that may be wrong anywhere. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from appliance.desk.config import values
from appliance.desk.config.yaml_lines import Value, Where

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    where: Where
    what: str
    right: str = ""
    warning: bool = False


def group(file: Value, *keys: str) -> dict[str, Value]:
    """The group of keys at `keys`; an empty one where there is none."""
    for key in keys:
        file = file.get(key) if isinstance(file, dict) else None
    return file if isinstance(file, dict) else {}


def parsed(parse: Callable[[str], T], value: Value) -> T | None:
    try:
        return parse(value) if isinstance(value, str) else None
    except values.Wrong:
        return None


def host_of(url: Value) -> str | None:
    """Host and port, since two vendors may stand in one lab."""
    clean = parsed(values.base_url, url)
    return urlsplit(clean).netloc.lower() if clean else None
