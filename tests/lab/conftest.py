from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.real import INSTANCE, RealLab, place_for_tests, real_lab


@pytest.fixture(scope="session")
def machines() -> Iterator[RealLab]:
    """One real lab for all tests that only need machines and wires."""
    with real_lab(place_for_tests(INSTANCE)) as lab:
        yield lab
