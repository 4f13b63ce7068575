"""The drill at the router's level, against a real router and the lab's vendors."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.contract.drill import Ended, Expected
from appliance.node.faults import FAULTS
from tests.node.drill.site import drilled, red, site
from tests.node.router.house import Vendor

pytestmark = pytest.mark.usefixtures("busy")


def test_a_router_that_keeps_its_word_is_green_on_every_row(
    tmp_path: Path, alpha: Vendor, beta: Vendor
) -> None:
    with site(tmp_path, alpha, beta) as at:
        report = drilled(at)
    assert red(report) == {}
    assert report.ok, report.aftermath
    assert {row.fault for row in report.rows} == set(FAULTS)
    assert {row.expected for row in report.rows} == set(Expected)
    assert {row.workload for row in report.rows} == {"code", "safe", "alone"}
    assert {row.asks[0].ended for row in report.rows} == {Ended.ANSWER, Ended.ERROR, Ended.BROKEN}
    assert any(row.healed for row in report.rows)
