"""Two vendors for all, healed after each test; a router of its own for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.node.router.house import Routed, Vendor, routed, two, vendor


@pytest.fixture(scope="session")
def _alpha() -> Iterator[Vendor]:
    with vendor("alpha") as running:
        yield running


@pytest.fixture(scope="session")
def _beta() -> Iterator[Vendor]:
    with vendor("beta") as running:
        yield running


@pytest.fixture
def alpha(_alpha: Vendor) -> Iterator[Vendor]:
    yield _alpha
    _alpha.heal()


@pytest.fixture
def beta(_beta: Vendor) -> Iterator[Vendor]:
    yield _beta
    _beta.heal()


@pytest.fixture
def keys(alpha: Vendor, beta: Vendor) -> dict[str, str]:
    return {"alpha": alpha.key, "beta": beta.key}


@pytest.fixture
def router(alpha: Vendor, beta: Vendor, keys: dict[str, str]) -> Iterator[Routed]:
    with routed(two(alpha, beta), keys) as running:
        yield running
