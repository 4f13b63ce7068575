"""A host whose own firewall stands in the way is told what to do; one without is not held up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from appliance.lab import host_firewall
from appliance.lab.shell import run
from tests.lab.real import RealLab


@contextmanager
def firewall(hook: str, inside: str) -> Iterator[str]:
    """A policy of drop that lets everything through but what comes from this lab."""
    table = f"test_{inside}"
    try:
        run(
            ["nft", "-f", "-"],
            f"""table inet {table} {{
              chain strict {{
                type filter hook {hook} priority filter; policy drop;
                iifname != "{inside}" accept
              }}
            }}
            """,
        )
        yield table
    finally:
        run(["nft", "delete", "table", "inet", table])


@pytest.mark.lab
@pytest.mark.parametrize("hook", ["input", "forward"])
def test_a_firewall_in_the_way_is_told_with_what_opens_it(machines: RealLab, hook: str) -> None:
    inside = f"{machines.place.prefix}h"
    assert host_firewall.trouble(machines.place) is None
    with firewall(hook, inside) as table:
        told = host_firewall.trouble(machines.place)
        assert told is not None
        assert f"inet {table} strict" in told.why
        *opening, last = told.fix.split("; ")
        assert last == "appliance lab up"
        for command in opening:
            if table in command:  # others are this host's own, which let the lab through
                run(["nft", "-f", "-"], command.removeprefix("nft ") + "\n")
        assert host_firewall.trouble(machines.place) is None, "the advice helps"


def test_chains_that_drop_are_told_before_those_that_may() -> None:
    def chain(table: str, policy: str, hook: str = "forward", family: str = "ip") -> dict[str, object]:
        return {"chain": {"family": family, "table": table, "name": "c", "hook": hook, "policy": policy}}

    def asked(*chains: dict[str, object]) -> list[str]:
        named = {"chain": {"family": "ip", "table": "filter", "name": "DOCKER"}}
        listed = {"nftables": [{"metainfo": {}}, named, *chains]}
        return host_firewall.dropping_chains(json.dumps(listed), "forward")

    mild, strict = chain("firewalld", "accept", family="inet"), chain("filter", "drop")
    elsewhere = [
        chain("alab0", "drop"),
        chain("filter", "drop", hook="input"),
        chain("x", "drop", family="ip6"),
    ]
    assert asked(mild, strict, *elsewhere) == ["ip filter c"]
    assert asked(mild, *elsewhere) == ["inet firewalld c"]
    assert asked(*elsewhere) == []
