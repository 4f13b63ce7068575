from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from appliance.lab import lifecycle
from appliance.lab.place import Place
from tests.lab.real import INSTANCE, RealLab, place_for_tests, real_lab

LIFECYCLE_INSTANCE = int(os.environ.get("APPLIANCE_TEST_LIFECYCLE_INSTANCE", "28"))


@pytest.fixture(scope="session")
def machines() -> Iterator[RealLab]:
    """One real lab for all tests that only need machines and wires."""
    with real_lab(place_for_tests(INSTANCE)) as lab:
        yield lab


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Where a lab may be brought up and down."""
    place = place_for_tests(LIFECYCLE_INSTANCE)
    lifecycle.down(place)
    yield place
    lifecycle.down(place)
