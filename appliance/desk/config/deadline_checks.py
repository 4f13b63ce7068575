"""What must hold between the deadlines of appliance.yaml: those of all workloads, and of each. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.contract.router_policy import Deadlines
from appliance.desk.config.file import LONGEST, SHORTEST
from appliance.desk.config.finding import Finding, group
from appliance.desk.config.workload_checks import named
from appliance.desk.config.yaml_lines import Value, Where

_DEFAULTS = Deadlines().model_dump()


@dataclass(frozen=True)
class _Limit:
    key: str
    seconds: float
    where: Where  # empty: it is left out


def check_deadlines(file: dict[str, Value]) -> Iterator[Finding]:
    """A mistake of the top level is found with each workload, and told once: by where it stands."""
    of_all = group(file, "deadlines")
    workloads = group(file, "workloads")
    for name, workload in workloads.items():
        if isinstance(workload, dict):
            limits = _limits(of_all, group(workload, "deadlines"), name)
            fallbacks = sum(model.role == "fallback" for model in named(name, workload))
            yield from _in_order(limits)
            yield from _roomy(limits, fallbacks)


def _limits(of_all: dict[str, Value], own: dict[str, Value], workload: str) -> dict[str, _Limit]:
    limits = {}
    for key, default in _DEFAULTS.items():
        limits[key] = _Limit(key, default, ())
        places: list[tuple[Where, Value]] = [
            (("deadlines", key), of_all.get(key)),
            (("workloads", workload, "deadlines", key), own.get(key)),
        ]
        for where, value in places:
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if SHORTEST <= value <= LONGEST:
                limits[key] = _Limit(key, value, where)
    return limits


def _in_order(limits: dict[str, _Limit]) -> Iterator[Finding]:
    for low, high, equal in (
        ("hedge", "start", False),
        ("start", "total", True),
        ("whole_hedge", "total", False),
    ):
        lower, upper = limits[low], limits[high]
        if lower.seconds > upper.seconds or (lower.seconds == upper.seconds and not equal):
            relation = "is above" if equal else "is not below"
            yield Finding(*_told(lower, upper, relation), "hedge < start <= total, whole_hedge < total")


def _roomy(limits: dict[str, _Limit], fallbacks: int) -> Iterator[Finding]:
    """The last fallback should have as long for its first content as the primary had."""
    for low, high in (("hedge", "start"), ("whole_hedge", "total")):
        hedge, end = limits[low], limits[high]
        left = end.seconds - hedge.seconds * fallbacks
        if fallbacks and hedge.seconds < end.seconds and left < hedge.seconds:
            where, what = _told(hedge, end, "is too near to")
            what += f": {max(left, 0):g} s are left for the last fallback"
            yield Finding(
                where, what, f"{high} of at least {hedge.seconds * (fallbacks + 1):g}", warning=True
            )


def _told(lower: _Limit, upper: _Limit, relation: str) -> tuple[Where, str]:
    """At the one that is the workload's own, else at the one that is written at all."""
    places = sorted((limit for limit in (lower, upper) if limit.where), key=lambda limit: -len(limit.where))
    what = f"{lower.key} of {lower.seconds:g} s {relation} {upper.key} of {upper.seconds:g} s"
    return places[0].where if places else (), what
