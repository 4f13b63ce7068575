"""Fixtures that all rooms share, and who may run beside whom."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests.lab.served import LabApi, served

# A slow machine is no broken promise; a test that hangs meets pytest's own time-out.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

_nice = False


@pytest.fixture
def lab_api() -> Iterator[LabApi]:
    """The lab's API, its machines on paper: `lab_api.endpoint`, `.token`, `.fault({...})`."""
    with served() as api:
        yield api


def lane(item: pytest.Item) -> str:
    """Tests of one lane run one after another (pytest-xdist): those of a lab share its machines."""
    if item.nodeid.startswith("tests/e2e/"):
        return "e2e"
    return "lab" if item.get_closest_marker("lab") else item.nodeid.partition("::")[0]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(lane(item)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Beside a worker that measures on real machines, the others give way."""
    global _nice
    beside = os.environ.get("PYTEST_XDIST_WORKER") and lane(item) != "e2e"
    if beside and not _nice:
        os.nice(10)
        _nice = True
