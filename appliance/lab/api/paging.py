"""Sorting and paging of lists, as docs.hetzner.cloud, "Sorting" and "Pagination", tell them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from yarl import URL

from appliance.lab.api.errors import invalid

PER_PAGE = 25
MOST_PER_PAGE = 50

T = TypeVar("T")


@dataclass(frozen=True)
class Page:
    number: int
    per_page: int
    total: int

    @property
    def last(self) -> int:
        return max(1, -(-self.total // self.per_page))

    def cut(self, items: Sequence[T]) -> Sequence[T]:
        return items[(self.number - 1) * self.per_page : self.number * self.per_page]

    def meta(self) -> dict[str, Any]:
        number, last = self.number, self.last
        return {
            "pagination": {
                "page": number,
                "per_page": self.per_page,
                "previous_page": number - 1 if number > 1 else None,
                "next_page": number + 1 if number < last else None,
                "last_page": last,
                "total_entries": self.total,
            }
        }

    def link(self, url: URL) -> str:
        """The Link header (RFC 8288)."""
        pages = {"prev": self.number - 1, "next": self.number + 1, "first": 1, "last": self.last}
        return ", ".join(
            f"<{url.update_query(page=n, per_page=self.per_page)}>; rel={rel}"
            for rel, n in pages.items()
            if 1 <= n <= self.last
        )


def read_page(query: Mapping[str, str], total: int) -> Page:
    return Page(_number(query, "page", 1, None), _number(query, "per_page", PER_PAGE, MOST_PER_PAGE), total)


def _number(query: Mapping[str, str], name: str, default: int, most: int | None) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise invalid(name, "must be a positive number")
    return min(int(text), most) if most else int(text)


def sort(items: list[T], wanted: Sequence[str], allowed: Collection[str]) -> list[T]:
    """`wanted` holds `field`, `field:asc` or `field:desc`; the first weighs most."""
    for term in reversed(wanted):
        field, _, direction = term.partition(":")
        if field not in allowed or direction not in ("", "asc", "desc"):
            raise invalid("sort", f"cannot sort by '{term}'")
        items = sorted(items, key=lambda i: _key(getattr(i, field)), reverse=direction == "desc")
    return items


def _key(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)
