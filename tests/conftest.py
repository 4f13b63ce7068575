"""Fixtures that all rooms share."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

from tests.lab.served import LabApi, served

# A slow machine is no broken promise; a test that hangs meets pytest's own time-out.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


@pytest.fixture
def lab_api() -> Iterator[LabApi]:
    """The lab's API, its machines on paper: `lab_api.endpoint`, `.token`, `.fault({...})`."""
    with served() as api:
        yield api
