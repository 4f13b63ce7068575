"""What the cloud says is turned into what to do about it, with prices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appliance.contract.trouble import CloudTrouble
from appliance.desk.check_cloud import CloudFacts, judge, judge_second_line
from appliance.desk.findings import Finding, Level
from appliance.desk.model import Location, ServerType, TypeLocation
from appliance.desk.pricing import node_bill, read_pricing
from appliance.desk.settings import Settings
from tests.desk.configs import GOOD, read


def kind(
    name: str,
    memory: float = 4,
    disk: int = 40,
    architecture: str = "x86",
    **where: str,
) -> ServerType:
    """`where`: location -> yes | sold-out | deprecated."""
    places = tuple(TypeLocation(at, how != "sold-out", how == "deprecated") for at, how in where.items())
    return ServerType(name, 2, memory, disk, architecture, places)


def money(net: str) -> dict[str, str]:
    return {"net": net, "gross": "0"}


def prices(monthly: str, hourly: str) -> list[dict[str, Any]]:
    return [{"location": "fsn1", "price_hourly": money(hourly), "price_monthly": money(monthly)}]


PRICING = {
    "currency": "EUR",
    "vat_rate": "19.00",
    "server_types": [{"id": 1, "name": "cx23", "prices": prices("3.4900000000", "0.0056")}],
    "primary_ips": [
        {"type": "ipv6", "prices": prices("0.0", "0.0")},
        {"type": "ipv4", "prices": prices("0.5000", "0.0008")},
    ],
    "image": {"price_per_gb_month": money("0.0110")},
    "server_backup": {"percentage": "20.00"},
}
TYPES = (
    kind("cx23", fsn1="yes", nbg1="yes"),
    kind("cx33", 8, 80, fsn1="yes"),
    kind("cx43", 16, 160, nbg1="yes"),
    kind("cx53", 32, 320, fsn1="sold-out", nbg1="yes", hel1="yes"),
    kind("cpx12", 2, 40, fsn1="yes"),
    kind("old22", 4, 40, fsn1="deprecated"),
    kind("cax11", 4, 40, "arm", fsn1="yes"),
)
FACTS = CloudFacts(
    (Location("fsn1", "Falkenstein", "DE", "eu-central"), Location("nbg1", "Nuremberg", "DE", "eu-central")),
    TYPES,
    read_pricing(PRICING),
)


def office(**change: Any) -> Settings:
    settings = read(GOOD).settings
    bake = change.pop("bake", settings.image.bake_server_type)
    return replace(settings, image=replace(settings.image, bake_server_type=bake), **change)


def not_ok(settings: Settings) -> list[Finding]:
    return [finding for finding in judge(settings, FACTS) if finding.level is not Level.OK]


def the_finding(settings: Settings, level: Level = Level.WRONG) -> str:
    (finding,) = not_ok(settings)
    assert finding.level is level
    return f"{finding.subject}: {finding.what}; {finding.right}"


def test_what_is_available_is_fine_and_says_its_price() -> None:
    assert not_ok(office()) == []
    said = [finding.what for finding in judge(office(), FACTS) if finding.subject == "server_type"]
    assert said == ["cx23 is available in fsn1: 2 cores, 4 GB, 40 GB disk, x86, 3.49 EUR a month"]


def test_a_sold_out_type_says_where_it_is_and_what_is_here() -> None:
    said = the_finding(office(server_type="cx53"))
    assert said == (
        "server_type: cx53 is sold out for now in fsn1; "
        "cx53 is available in: nbg1, hel1; available in fsn1: cx23, cx33"
    )


def test_a_type_that_the_location_never_had_says_so() -> None:
    assert "cx43 is not offered in fsn1; cx43 is available in: nbg1" in the_finding(
        office(server_type="cx43")
    )


def test_an_unknown_type_or_location_suggests_one() -> None:
    assert 'did you mean "cx33"?' in the_finding(office(server_type="cx3"))
    assert 'there is no location "fsn"; did you mean "fsn1"?' in the_finding(office(location="fsn"))


def test_a_deprecated_type_is_a_warning() -> None:
    assert "old22 is deprecated in fsn1" in the_finding(office(server_type="old22"), Level.WARNING)


def test_too_little_memory_is_refused() -> None:
    assert "OpenClaw needs 4 GB" in the_finding(office(server_type="cpx12"))


def test_a_snapshot_that_would_not_boot_on_the_node_is_refused() -> None:
    assert "cax11 is arm, cx23 is x86" in the_finding(office(bake="cax11"))
    wrong = [finding.what for finding in not_ok(office(bake="cx33")) if finding.level is Level.WRONG]
    assert wrong == ["cx33 has 80 GB of disk, cx23 only 40"]


def test_baking_on_a_larger_disk_than_needed_is_a_warning() -> None:
    assert "not the smallest" in the_finding(office(server_type="cx33", bake="cx33"), Level.WARNING)


def test_a_bill_adds_server_address_and_snapshots() -> None:
    bill = node_bill(FACTS.pricing, "cx23", "fsn1", [2.0, 1.0])
    assert bill is not None
    assert [item.what for item in bill.items] == [
        "server cx23 in fsn1",
        "primary IPv4",
        "snapshot of 2.0 GB",
        "snapshot of 1.0 GB",
    ]
    assert bill.monthly == pytest.approx(3.49 + 0.5 + 3 * 0.011)
    assert bill.hourly == pytest.approx(0.0056 + 0.0008 + 3 * 0.011 / 730)


def test_there_is_no_bill_where_a_part_is_not_sold() -> None:
    assert node_bill(FACTS.pricing, "cx23", "nbg1") is None


def test_prices_that_cannot_be_read_are_a_trouble_and_no_crash() -> None:
    with pytest.raises(CloudTrouble, match="image"):
        read_pricing({key: value for key, value in PRICING.items() if key != "image"})


@pytest.mark.parametrize(
    ("on", "said"), [(False, "off; Hetzner's own, a second line: 0.70 EUR"), (True, "on: 0.70 EUR")]
)
def test_the_second_line_is_told_with_its_price_and_billed_where_it_is_on(on: bool, said: str) -> None:
    (finding,) = judge_second_line(office(server_backups=on), FACTS.pricing)
    assert finding.what == f"{said} a month"
    bill = node_bill(FACTS.pricing, "cx23", "fsn1", [], backed_up=on)
    assert bill is not None
    assert round(bill.monthly, 3) == (4.688 if on else 3.99)
