"""What a body names: objects of the project by their id, what Hetzner offers by name or id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from appliance.lab.api.errors import invalid
from appliance.lab.api.resource import Body
from appliance.lab.records import Record

R = TypeVar("R", bound=Record)


class Entry(Protocol):
    """Of the catalogue."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...


E = TypeVar("E", bound=Entry)


class ServerRef(Body):
    id: int


class SelectorRef(Body):
    selector: str


def named(records: Mapping[int, R], field: str, kind: str, id_: int) -> R:
    """Raises invalid_input for `field` when there is none."""
    found = records.get(id_)
    if found is None:
        raise invalid(field, f"{kind} {id_} not found")
    return found


def offered(entries: Iterable[E], field: str, kind: str, wanted: int | str) -> E:
    """Raises invalid_input for `field` when there is none."""
    for entry in entries:
        if wanted in (entry.name, entry.id, str(entry.id)):
            return entry
    raise invalid(field, f"{kind} {wanted} not found")
