"""Fixtures that all rooms share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.served import LabApi, served


@pytest.fixture
def lab_api() -> Iterator[LabApi]:
    """The lab's API, its machines on paper: `lab_api.endpoint`, `.token`, `.fault({...})`."""
    with served() as api:
        yield api
