"""A canary is asked when its time has come, soon again where it failed, and soon after a push."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.contract.drill import Canaries, Canary
from appliance.contract.router_policy import CanaryRule
from appliance.contract.trouble import NodeTrouble
from appliance.node import evidence
from appliance.node.canary import AGAIN, canary_if_due, due
from appliance.node.system import Paths
from tests.node.router.house import Vendor, routed, two, vendor

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
EVERY = 6 * 3600.0


def told(ok: bool, age: float) -> Canaries:
    one = Canary(provider="a", model="m", ok=ok, detail="", seconds=0.1, workloads=("code",))
    return Canaries(at=NOW - timedelta(seconds=age), canaries=(one,))


@pytest.mark.parametrize(
    ("last", "is_due"),
    [
        (None, True),
        (told(True, EVERY - 1), False),
        (told(True, EVERY), True),
        (told(False, AGAIN - 1), False),
        (told(False, AGAIN), True),
        (told(True, -1), True),  # the clock was wrong once
    ],
)
def test_time_decides(last: Canaries | None, is_due: bool) -> None:
    assert due(last, NOW, EVERY, given=None) is is_due


def test_a_policy_that_asks_often_asks_as_often_after_a_failure() -> None:
    assert due(told(False, 300), NOW, every=300, given=None)


def test_what_was_pushed_since_is_tried_soon() -> None:
    last = told(True, 60)
    assert due(last, NOW, EVERY, given=NOW - timedelta(seconds=59))
    assert not due(last, NOW, EVERY, given=NOW - timedelta(seconds=61))


@pytest.fixture
def vendors() -> Iterator[list[Vendor]]:
    with vendor("alpha") as alpha, vendor("beta") as beta:
        yield [alpha, beta]


@pytest.fixture
def node(tmp_path: Path, vendors: list[Vendor]) -> Iterator[Paths]:
    """A node's folders, and a router that runs."""
    policy = two(vendors[0], vendors[1], canary=CanaryRule(every=600))
    files = tmp_path / "current" / "files"
    files.mkdir(parents=True)
    (files / "router.json").write_text(policy.model_dump_json())
    with routed(policy, {vendor.name: vendor.key for vendor in vendors}) as router:
        yield Paths(
            current=tmp_path / "current",
            router=Path(router.admin.socket).parent,
            applied=tmp_path / "applied",
            evidence=tmp_path / "evidence",
        )


def test_what_the_router_says_is_kept_for_all_to_read(node: Paths, vendors: list[Vendor]) -> None:
    alpha, beta = vendors
    beta.order("status", status=401)
    said = canary_if_due(node)
    assert said is not None
    assert not said.ok
    assert evidence.last_canary(node) == said
    file = node.evidence / "canary.json"
    assert file.stat().st_mode & 0o777 == 0o644
    assert [beta.key in file.read_text(), alpha.key in file.read_text()] == [False, False]
    before = beta.count()
    assert canary_if_due(node) is None
    assert beta.count() == before, "nobody was asked"
    aged = json.loads(file.read_text())
    aged["at"] = (datetime.now(UTC) - timedelta(seconds=AGAIN)).isoformat()
    file.write_text(json.dumps(aged))
    beta.heal()
    again = canary_if_due(node)
    assert again is not None
    assert again.ok
    node.applied.touch()
    assert canary_if_due(node), "keys were pushed since"
    os.utime(node.applied, (0, 0))
    assert canary_if_due(node) is None


def test_without_a_router_the_last_word_stays(node: Paths, tmp_path: Path) -> None:
    said = canary_if_due(node)
    lost = Paths(current=node.current, router=tmp_path / "none", applied=node.applied, evidence=node.evidence)
    node.applied.touch()
    with pytest.raises(NodeTrouble, match="does not answer"):
        canary_if_due(lost)
    assert evidence.last_canary(node) == said
    (node.current / "files" / "router.json").unlink()
    with pytest.raises(NodeTrouble, match="No policy"):
        canary_if_due(node)
