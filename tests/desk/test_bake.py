"""Which snapshots a bake may delete, what it calls things. The bake itself: tests/e2e/test_toy_bake.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from appliance.desk import assets
from appliance.desk.bake import SNAPSHOTS_KEPT, script_title, scripts_in, superfluous
from appliance.desk.model import Image, Label, Observed, Server

START = datetime(2026, 11, 1, tzinfo=UTC)


def image(number: int, age_days: int, verified: bool = True) -> Image:
    labels = {Label.VERIFIED: "yes"} if verified else {}
    made = START - timedelta(days=age_days)
    return Image(number, None, "", "available", "x86", 40, 1.5, labels, made)


def server(image_id: int) -> Server:
    return Server(image_id, "n", "running", "cx23", "fsn1", image_id, None, None, None, None, (), {}, START)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=8),
    st.sets(st.integers(1, 8)),
    st.integers(1, 8),
)
def test_the_new_one_and_those_in_use_always_stay(
    made: list[tuple[int, bool]], used: set[int], newest: int
) -> None:
    images = tuple(image(i, age, verified) for i, (age, verified) in enumerate(made, start=1))
    seen = Observed(servers=tuple(server(i) for i in used), snapshots=images)
    gone = {i.id for i in superfluous(seen, newest)}
    verified = {i.id for i in images if i.labels}
    assert not gone & used
    assert gone <= verified - {newest}
    assert len(verified - gone) <= SNAPSHOTS_KEPT + len(used)
    assert len(verified - gone) >= min(SNAPSHOTS_KEPT, len(verified))


def test_the_oldest_go_first() -> None:
    images = tuple(image(i, age) for i, age in ((1, 5), (2, 0), (3, 9), (4, 1)))
    assert [i.id for i in superfluous(Observed(snapshots=images), 2)] == [1, 3]


def test_scripts_run_in_the_order_of_their_numbers_and_have_readable_titles() -> None:
    scripts = scripts_in(assets.bake_files(), "image/scripts/")
    numbers = [path.rsplit("/", 1)[1].split("-")[0] for path in scripts]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == len(numbers)
    assert scripts[-1].endswith("-seal.sh")
    assert script_title("image/scripts/20-node-and-npm.sh") == "node and npm"
