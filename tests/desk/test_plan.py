from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network

import pytest

from appliance.contract.trouble import ConfigTrouble
from appliance.desk import hostkeys
from appliance.desk.model import Held, Image, Label, Observed, Role, Server, Verb
from appliance.desk.plan import PARTS, Wanted, make_plan, newer_snapshot
from appliance.desk.pricing import Pricing, read_pricing
from appliance.desk.settings import Settings
from tests.desk.samples import SETTINGS

KEY = hostkeys.make().public
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def amount(net: float) -> dict[str, str]:
    return {"net": f"{net:.4f}", "gross": f"{net * 1.19:.4f}"}


def price(monthly: float, hourly: float) -> dict[str, object]:
    return {"location": "fsn1", "price_monthly": amount(monthly), "price_hourly": amount(hourly)}


def pricing() -> Pricing:
    return read_pricing(
        {
            "currency": "EUR",
            "server_types": [{"name": "cx33", "prices": [price(5.49, 0.0088)]}],
            "primary_ips": [{"type": "ipv4", "prices": [price(0.5, 0.0008)]}],
            "image": {"price_per_gb_month": amount(0.011)},
            "server_backup": {"percentage": "20.00"},
        }
    )


def snapshot(number: int, verified: bool, age: int = 0, status: str = "available") -> Image:
    labels = {Label.APPLIANCE: "office", Label.INPUTS: "abc"}
    if verified:
        labels[Label.VERIFIED] = "yes"
    return Image(number, None, "d", status, "x86", 40, 1.2, labels, NOW - timedelta(days=age))


def part(kind: str, wanted: Wanted, number: int) -> Held:
    settings = wanted.settings
    facts: dict[str, dict[str, object]] = {
        "network": {
            "ip_range": str(settings.network.ip_range),
            "subnets": ((str(settings.network.subnet), "eu-central"),),
        },
        "firewall": {"rules": wanted.firewall_rules},
        "ssh_key": {"public_key": wanted.public_key},
        "primary_ip": {"ip": "198.18.0.9", "location": settings.location, "assignee_id": 1},
        "placement_group": {"servers": (1,)},
    }
    labels = {Label.APPLIANCE: settings.name, Label.ROLE: kind.replace("_", "-")}
    return Held(kind, number, wanted.part_name(kind), labels, facts[kind])


def node(wanted: Wanted, **changes: object) -> Server:
    server = Server(
        id=1,
        name="office-1",
        status="running",
        server_type="cx33",
        location="fsn1",
        image_id=7,
        public_ip="198.18.0.9",
        private_ip="10.60.1.2",
        placement_group_id=11,
        primary_ip_id=14,
        firewall_ids=(12,),
        labels={
            Label.APPLIANCE: "office",
            Label.ROLE: Role.NODE,
            Label.HOST_KEY: hostkeys.to_label(KEY),
        },
        created=NOW,
    )
    return replace(server, **changes)  # type: ignore[arg-type]


def all_there(wanted: Wanted, **changes: object) -> Observed:
    held = tuple(part(kind, wanted, 10 + number) for number, kind in enumerate(PARTS))
    return Observed((node(wanted, **changes),), held, (snapshot(7, True),))


def wanted(settings: Settings = SETTINGS) -> Wanted:
    return Wanted(settings, KEY)


def kinds(observed: Observed, want: Wanted | None = None, due: str = "") -> list[tuple[str, str]]:
    plan = make_plan(want or wanted(), observed, pricing(), due)
    return [(change.verb.value, change.kind) for change in plan.changes]


def test_from_nothing_everything_is_made_in_order_and_the_cost_is_said() -> None:
    plan = make_plan(wanted(), Observed(snapshots=(snapshot(7, True),)), pricing(), "")
    assert [c.kind for c in plan.changes] == [*PARTS, "server", "bundle"]
    assert all(c.verb is Verb.CREATE for c in plan.changes[:-1])
    assert sum(c.monthly for c in plan.changes) == pytest.approx(5.99)
    assert sum(c.hourly for c in plan.changes) == pytest.approx(0.0096)


def test_what_is_as_it_should_be_needs_nothing() -> None:
    assert make_plan(wanted(), all_there(wanted()), pricing(), "").empty


def test_another_node_s_lock_or_bake_server_is_no_part_of_the_plan() -> None:
    here = all_there(wanted())
    bake = node(wanted(), id=2, name="office-bake", labels={Label.APPLIANCE: "office", Label.ROLE: Role.BAKE})
    lock = Held("placement_group", 99, "appliance-office-lock", {Label.ROLE: Role.LOCK}, {"servers": ()})
    assert not kinds(replace(here, servers=(bake, *here.servers), held=(lock, *here.held)))


def test_a_missing_part_is_made_again() -> None:
    here = all_there(wanted())
    without = replace(here, held=tuple(h for h in here.held if h.kind != "firewall"))
    assert kinds(without) == [("create", "firewall"), ("update", "firewall_of_server")]


def test_a_new_source_for_ssh_updates_the_firewall_only() -> None:
    access = replace(SETTINGS.access, ssh=(IPv4Network("203.0.113.0/24"),))
    assert kinds(all_there(wanted()), wanted(replace(SETTINGS, access=access))) == [("update", "firewall")]


def test_without_ssh_sources_no_rule_opens_ssh() -> None:
    rules = wanted(replace(SETTINGS, access=replace(SETTINGS.access, ssh=()))).firewall_rules
    assert [rule.port for rule in rules] == [None, "443"]


def test_another_subnet_is_added() -> None:
    network = replace(SETTINGS.network, subnet=IPv4Network("10.60.2.0/24"))
    assert kinds(all_there(wanted()), wanted(replace(SETTINGS, network=network))) == [("update", "network")]


def test_a_node_met_only_half_gets_its_lasting_host_key() -> None:
    labels = {**node(wanted()).labels, Label.FIRST_HOST_KEY: hostkeys.to_label(KEY)}
    assert kinds(all_there(wanted(), labels=labels)) == [("update", "host_key")]


def test_a_node_that_is_off_is_started() -> None:
    assert kinds(all_there(wanted(), status="off")) == [("update", "server")]


def test_a_push_that_is_due_says_why() -> None:
    plan = make_plan(wanted(), all_there(wanted()), pricing(), "config has changed")
    assert [(c.verb, c.why) for c in plan.changes] == [(Verb.PUSH, "config has changed")]


def test_another_ssh_key_is_of_no_use_to_a_node_that_is_there() -> None:
    assert not kinds(all_there(wanted()), Wanted(SETTINGS, hostkeys.make().public))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"server_type": "cx23"}, "server_type"),
        ({"location": "nbg1"}, "location"),
        ({"placement_group_id": None}, "placement group"),
        ({"private_ip": None}, "private network"),
    ],
)
def test_what_cannot_be_changed_without_loss_is_refused(changes: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigTrouble) as caught:
        kinds(all_there(wanted(), **changes))
    assert word in caught.value.why
    assert "destroy" in caught.value.fix


def test_all_refusals_are_told_at_once() -> None:
    network = replace(
        SETTINGS.network, ip_range=IPv4Network("10.0.0.0/16"), subnet=IPv4Network("10.0.1.0/24")
    )
    with pytest.raises(ConfigTrouble) as caught:
        kinds(all_there(wanted(), server_type="cx23"), wanted(replace(SETTINGS, network=network)))
    assert "server_type" in caught.value.why
    assert "network.ip_range" in caught.value.why


@pytest.mark.parametrize("snapshots", [(), (snapshot(7, False),), (snapshot(7, True, status="creating"),)])
def test_without_a_verified_snapshot_it_says_to_build(snapshots: tuple[Image, ...]) -> None:
    plan = make_plan(wanted(), Observed(snapshots=snapshots), pricing(), "")
    (server,) = [change for change in plan.changes if change.kind == "server"]
    assert "`appliance build`" in server.why


def test_the_newest_verified_snapshot_is_taken() -> None:
    images = (snapshot(7, True, age=3), snapshot(8, True, age=1), snapshot(9, False))
    plan = make_plan(wanted(), Observed(snapshots=images), pricing(), "")
    assert "snapshot 8" in next(c.why for c in plan.changes if c.kind == "server")


def test_a_node_may_have_another_name_since_a_restore_gave_it_one() -> None:
    here = all_there(wanted(), name="office-1-restored")
    assert make_plan(wanted(), here, pricing(), "").empty
    assert [c.name for c in make_plan(wanted(), here, pricing(), "config").changes] == ["office-1-restored"]


@pytest.mark.parametrize("there", [False, True])
def test_beside_a_restore_that_was_broken_off_no_second_node_is_brought_up(there: bool) -> None:
    here = all_there(wanted(), status="off")
    new = node(wanted(), id=2, name="office-1-restored", labels={Label.ROLE: Role.RESTORE})
    with pytest.raises(ConfigTrouble, match="restore is under way: office-1-restored"):
        kinds(replace(here, servers=(*here.servers, new) if there else (new,)))
    going_on = all_there(wanted())
    assert not kinds(replace(going_on, servers=(new, *going_on.servers)))


def test_a_type_that_is_not_sold_there_is_refused() -> None:
    elsewhere = replace(SETTINGS, location="hel1")
    with pytest.raises(ConfigTrouble, match="cx33 in hel1"):
        kinds(Observed(snapshots=(snapshot(7, True),)), wanted(elsewhere))


def test_a_newer_verified_snapshot_is_seen_and_an_older_or_unverified_one_is_not() -> None:
    verified = tuple(snapshot(number, True, age) for number, age in ((1, 5), (2, 3), (3, 1)))
    seen = Observed(snapshots=(*verified, snapshot(4, False)))

    def newer(image_id: int, age: int) -> int | None:
        server = node(wanted(), image_id=image_id, created=NOW - timedelta(days=age))
        found = newer_snapshot(server, seen)
        return found.id if found else None

    assert [newer(number, 0) for number in (1, 2, 3)] == [3, 3, None]
    assert newer(99, 2) == 3, "its own is gone: the node's age counts"
    assert newer(99, 0) is None
    assert newer_snapshot(None, seen) is None


BACKED_UP = replace(SETTINGS, server_backups=True)


def test_the_clouds_own_backups_are_switched_on_once_and_their_price_is_said() -> None:
    want = wanted(BACKED_UP)
    (change,) = make_plan(want, all_there(want), pricing(), "").changes
    assert (change.verb, change.kind, round(change.monthly, 3)) == (Verb.UPDATE, "backups_of_server", 1.098)
    assert kinds(all_there(want, backed_up=True), want) == []


def test_a_new_server_gets_them_after_it_is_made() -> None:
    planned = kinds(Observed((), (), (snapshot(7, True),)), wanted(BACKED_UP))
    assert planned.index(("update", "backups_of_server")) == planned.index(("create", "server")) + 1


def test_the_clouds_own_backups_are_never_switched_off_since_that_deletes_them() -> None:
    assert kinds(all_there(wanted(), backed_up=True)) == []
