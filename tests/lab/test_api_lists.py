"""Lists: pages, order, names, labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.lab.api.errors import ApiError
from appliance.lab.api.labels import check_labels, parse_selector
from tests.lab.rest import Rest
from tests.lab.served import LabApi


@pytest.fixture
def rest(lab_api: LabApi) -> Rest:
    return Rest(lab_api)


def groups(rest: Rest, count: int) -> list[int]:
    made = []
    for number in range(count):
        body = {"name": f"g{number:03}", "type": "spread", "labels": {"even": str(number % 2 == 0).lower()}}
        made.append(rest.ok("POST", "/placement_groups", body)["placement_group"]["id"])
    return made


def test_pages_cover_a_list_once(rest: Rest) -> None:
    made = groups(rest, 7)
    seen: list[int] = []
    page: int | None = 1
    while page is not None:
        body = rest.ok("GET", f"/placement_groups?per_page=3&page={page}")
        seen += [g["id"] for g in body["placement_groups"]]
        assert body["meta"]["pagination"]["total_entries"] == 7
        assert body["meta"]["pagination"]["last_page"] == 3
        page = body["meta"]["pagination"]["next_page"]
    assert seen == made


def test_a_page_holds_25_and_at_most_50(rest: Rest) -> None:
    groups(rest, 60)
    assert len(rest.ok("GET", "/placement_groups")["placement_groups"]) == 25
    assert len(rest.ok("GET", "/placement_groups?per_page=1000")["placement_groups"]) == 50
    assert rest.ok("GET", "/placement_groups?page=9")["placement_groups"] == []
    assert rest.refused("GET", "/placement_groups?page=0") == (422, "invalid_input")


def test_the_link_header_leads_through_the_pages(rest: Rest) -> None:
    groups(rest, 5)
    answer = rest("GET", "/placement_groups?per_page=2&page=2&sort=id:asc")
    for rel, page in {"prev": 1, "next": 3, "first": 1, "last": 3}.items():
        url = answer.links[rel]["url"]
        assert f"page={page}" in url
        assert "sort=id:asc" in url or "sort=id%3Aasc" in url
    following = rest.session.get(answer.links["next"]["url"], timeout=5)
    assert len(following.json()["placement_groups"]) == 1


def test_lists_are_sorted_as_asked(rest: Rest) -> None:
    made = groups(rest, 4)
    body = rest.ok("GET", "/placement_groups?sort=name:desc")
    assert [g["id"] for g in body["placement_groups"]] == made[::-1]
    assert rest.refused("GET", "/placement_groups?sort=labels") == (422, "invalid_input")
    assert rest.refused("GET", "/placement_groups?sort=id:up") == (422, "invalid_input")


def test_names_and_labels_select(rest: Rest) -> None:
    made = groups(rest, 4)
    one = rest.ok("GET", "/placement_groups?name=g002")["placement_groups"]
    assert [g["id"] for g in one] == [made[2]]
    even = rest.ok("GET", "/placement_groups?label_selector=even==true")
    assert [g["id"] for g in even["placement_groups"]] == [made[0], made[2]]
    assert rest.refused("GET", "/placement_groups?label_selector=a b") == (422, "invalid_input")


def test_status_and_type_select_images_and_servers(rest: Rest) -> None:
    server = rest.server()["id"]
    rest.server("off", start_after_create=False)
    rest.ok("POST", f"/servers/{server}/actions/create_image", {"labels": {"a": "b"}})
    assert [s["id"] for s in rest.ok("GET", "/servers?status=running")["servers"]] == [server]
    assert [i["type"] for i in rest.ok("GET", "/images?type=system")["images"]] == ["system"]
    assert [i["name"] for i in rest.ok("GET", "/images?label_selector=a")["images"]] == [None]
    assert rest.ok("GET", "/images?architecture=arm")["images"] == []


def test_put_replaces_the_whole_label_set(rest: Rest) -> None:
    [made] = groups(rest, 1)
    body = rest.ok("PUT", f"/placement_groups/{made}", {"labels": {"new": ""}})
    assert body["placement_group"]["labels"] == {"new": ""}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("a", True),
        ("!a", False),
        ("!z", True),
        ("a=1", True),
        ("a==1", True),
        ("a == 1", True),
        ("a=2", False),
        ("a!=1", False),
        ("z!=1", True),
        ("a in (1,2)", True),
        ("a in (2, 3)", False),
        ("a notin (2,3)", True),
        ("z notin (2,3)", True),
        ("a,b", True),
        ("a=1,b=2", False),
        ("a in (1,2),!z,example.org/c=x.y", True),
        ("b=", True),
        ("", True),
    ],
)
def test_selectors(selector: str, expected: bool) -> None:
    labels = {"a": "1", "b": "", "example.org/c": "x.y"}
    assert parse_selector(selector)(labels) is expected


NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", fullmatch=True)


@given(key=NAMES, value=NAMES | st.just(""))
def test_a_valid_label_is_found_by_its_own_selector(key: str, value: str) -> None:
    check_labels({key: value})
    assert parse_selector(f"{key}={value}")({key: value})
    assert parse_selector(f"{key} in ({value})")({key: value})
    assert not parse_selector(f"{key}!={value}")({key: value})
    assert not parse_selector(f"!{key}")({key: value})


@pytest.mark.parametrize(
    "labels",
    [
        {"": "x"},
        {"a b": "x"},
        {"a": "x y"},
        {"a": "-x"},
        {"a" * 64: "x"},
        {"a": "x" * 64},
        {"UPPER.org/a": "x"},
        {"hetzner.cloud/a": "x"},
        {"a/b/c": "x"},
    ],
)
def test_labels_that_are_none_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(ApiError, match="labels") as refusal:
        check_labels(labels)
    assert refusal.value.code == "invalid_input"
