"""The page of a drill, read as text: all of it is there, and nothing in it is taken for markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.contract.drill import Report
from appliance.desk.assets import report_templates
from appliance.desk.reports.page import page
from appliance.desk.reports.words import legible
from tests.desk.drill_samples import FAULTS, red_report, report, rows

TEMPLATES = report_templates()
ANY = st.text(max_size=40) | st.sampled_from(
    [
        "<script>",
        "</style>",
        '"',
        "'",
        "&amp;",
        "]]>",
        "-->",
        "{{ 7*7 }}",
        "{% raw %}",
        "\u202e",
        "javascript:",
    ]
)


class Skeleton(HTMLParser):
    """Tags and their attributes' names, in order; and all the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        found = dict(attrs)
        self.links += [str(found[name]) for name in ("href", "src") if name in found]
        self.ids += [str(found["id"])] if "id" in found else []

    def handle_data(self, data: str) -> None:
        self.words += data


def made(of: Report) -> Skeleton:
    return Skeleton(page(of, TEMPLATES))


def one(name: str = "code", fault: str = "503", told: str = "it said no") -> Report:
    """A red report of one row, with `name` and the others wherever words from afar may stand."""
    row = next(row for row in red_report().rows if not row.ok)
    calls = tuple(c.model_copy(update={"provider": name, "outcome": told}) for c in row.asks[0].calls)
    ask = row.asks[0].model_copy(update={"told": told, "calls": calls})
    row = row.model_copy(update={"workload": name, "fault": fault, "asks": (ask,), "wrong": (told,)})
    return report(row, beta=told, left=told).model_copy(update={"node": name, "bundle": name})


KNOWN = {tag for of in (report(), red_report()) for tag in made(of).tags}


@settings(max_examples=40, deadline=None)
@given(ANY, ANY, ANY)
def test_whatever_the_words_they_stay_words(name: str, fault: str, told: str) -> None:
    found = made(one(name, fault, told))
    assert set(found.tags) <= KNOWN
    assert [tag for tag, _ in found.tags].count("body") == 1
    assert all(legible(word) in found.words for word in (name, fault, told))


@pytest.mark.parametrize("of", [report(), red_report(), one()], ids=["green", "red", "one"])
def test_every_link_leads_to_a_place_on_the_page(of: Report) -> None:
    found = made(of)
    assert len(found.ids) == len(set(found.ids))
    assert {link for link in found.links if link != "data:,"} <= {f"#{place}" for place in found.ids}
    assert "#r0" in found.links


def test_every_fault_and_every_reason_is_told() -> None:
    of = red_report()
    words = " ".join(made(of).words.split())
    assert [fault for fault in FAULTS if fault not in words] == []
    assert [reason for row in of.rows for reason in row.wrong if reason not in words] == []
    assert "refused this node access (401)" in words
    assert "lane drill-2 is still open" in words


def test_a_green_page_has_nothing_to_do_and_says_nothing_is_wrong() -> None:
    words = made(report()).words
    assert "Green: every fault had its right outcome" in words
    assert "what to do" not in words
    assert "✗" not in words


def test_a_drill_without_rows_is_red_and_says_so() -> None:
    nothing = report(next(rows())).model_copy(update={"rows": ()})
    assert "Red" in made(nothing).words
    assert "nothing was drilled" in made(nothing).words


def test_a_row_that_was_never_asked_is_shown() -> None:
    row = next(rows()).model_copy(update={"asks": (), "wrong": ("the lane could not be opened",)})
    words = made(report(row)).words
    assert "the lane could not be opened" in words
    assert "not asked" in words


def test_long_drills_show_pictures_of_what_is_red_and_fold_the_rest() -> None:
    def open_ones(of: Report) -> int:
        return sum(tag == "details" and "open" in names for tag, names in made(of).tags)

    assert open_ones(report()) == 0
    assert open_ones(one()) == 1
    red = {row.fault for row in red_report().rows if not row.ok}
    assert open_ones(red_report()) == len(red)
