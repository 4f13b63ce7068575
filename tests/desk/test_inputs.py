"""What goes into a snapshot: the digest changes with what is sent, and with nothing else."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from appliance.desk import assets, inputs
from appliance.desk.archive import Entry

entries = st.dictionaries(
    st.text("abc/", min_size=1, max_size=5), st.builds(Entry, st.binary(max_size=8)), min_size=1, max_size=4
)


@given(entries, entries)
def test_different_trees_have_different_digests(one: dict[str, Entry], other: dict[str, Entry]) -> None:
    same = inputs.digest(one, "debian-13", "x86") == inputs.digest(other, "debian-13", "x86")
    assert same == (one == other)


def test_base_image_architecture_and_modes_count() -> None:
    tree = {"image/scripts/10-a.sh": Entry(b"true\n", 0o755)}
    digests = {
        inputs.digest(tree, "debian-13", "x86"),
        inputs.digest(tree, "debian-13", "arm"),
        inputs.digest(tree, "debian-14", "x86"),
        inputs.digest({"image/scripts/10-a.sh": Entry(b"true\n")}, "debian-13", "x86"),
    }
    assert len(digests) == 4


def test_a_digest_fits_in_a_label() -> None:
    assert re.fullmatch(r"[0-9a-f]{40}", inputs.digest({}, "debian-13", "x86"))


def test_the_node_gets_its_own_code_and_the_contract_but_no_desk_no_lab_no_templates() -> None:
    sent = set(assets.bake_files())
    assert "code/appliance/__init__.py" in sent
    assert "code/appliance/contract/bundle.py" in sent
    assert "code/appliance/node/main.py" in sent
    assert any(path.startswith("image/scripts/") for path in sent)
    assert not [p for p in sent if re.search(r"desk|/lab/|/cli/|templates|\.md$|__pycache__", p)]
