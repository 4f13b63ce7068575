"""Labels and label selectors, as docs.hetzner.cloud, "Labels" and "Label Selector", tell them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from appliance.lab.api.errors import ApiError, invalid

Selector = Callable[[Mapping[str, str]], bool]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_PREFIX = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
_KEY = re.compile(rf"(?:({_PREFIX})/)?({_NAME})")
_VALUE = re.compile(rf"(?:{_NAME})?")
_SET = re.compile(r"(\S+)\s+(in|notin)\s*\(([^)]*)\)")
_EQUAL = re.compile(r"([^=!\s]+)\s*(==|=|!=)\s*(\S*)")


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise invalid_input naming each bad key."""
    wrong: dict[str, list[str]] = {}
    for key, value in labels.items():
        match = _KEY.fullmatch(key)
        if not match or len(match.group(1) or "") > 253:
            wrong[f"labels.{key}"] = ["invalid label key"]
        elif (match.group(1) or "").endswith("hetzner.cloud"):
            wrong[f"labels.{key}"] = ["the prefix hetzner.cloud/ is reserved"]
        elif not _VALUE.fullmatch(value):
            wrong[f"labels.{key}"] = ["invalid label value"]
    if wrong:
        raise invalid(wrong)


def parse_selector(text: str) -> Selector:
    """`k`, `!k`, `k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`; a comma is AND."""
    terms = [_term(t.strip()) for t in re.split(r",(?![^(]*\))", text) if t.strip()]
    return lambda labels: all(term(labels) for term in terms)


def _term(term: str) -> Selector:
    if match := _SET.fullmatch(term):
        key, values = _key(match.group(1)), {v.strip() for v in match.group(3).split(",")}
        if match.group(2) == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUAL.fullmatch(term):
        key, value = _key(match.group(1)), match.group(3)
        if match.group(2) == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if term.startswith("!"):
        absent = _key(term[1:].strip())
        return lambda labels: absent not in labels
    present = _key(term)
    return lambda labels: present in labels


def _key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise ApiError("invalid_input", f"label selector is invalid near '{text}'")
    return text
