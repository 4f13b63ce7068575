"""Two vendors for all drills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.contract.drill import Level
from appliance.node.drill import limits
from tests.node.router.house import Vendor, vendor


@pytest.fixture(scope="session")
def alpha() -> Iterator[Vendor]:
    with vendor("alpha") as running:
        yield running


@pytest.fixture(scope="session")
def beta() -> Iterator[Vendor]:
    with vendor("beta") as running:
        yield running


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test machine may be late; what is late on a node has tests of its own."""
    monkeypatch.setitem(limits.FLOOR, Level.ROUTER, 2.0)
    monkeypatch.setattr(limits, "PATIENCE", 4.0)
