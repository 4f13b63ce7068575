"""`appliance restore` says what it cannot do before it looks at the cloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.runs import appliance


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--drill", "--to", "phoenix"], "--drill goes with neither"),
        (["--drill", "--delete-old"], "--drill goes with neither"),
        (["--report", "nowhere/page.html"], "no folder nowhere"),
    ],
)
def test_words_that_do_not_go_together_are_refused(tmp_path: Path, words: list[str], said: str) -> None:
    ran = appliance("restore", *words, at=tmp_path)
    assert ran.code == 2
    assert said in ran.err


def test_without_a_repository_it_says_where_to_name_one(tmp_path: Path) -> None:
    assert appliance("init", "--target", "hetzner", at=tmp_path).code == 0
    config = tmp_path / "appliance.yaml"
    config.write_text(config.read_text().replace("203.0.113.7/32", "8.8.8.8/32"))
    environ = dict.fromkeys(("HCLOUD_TOKEN", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"), "x")
    ran = appliance("restore", at=tmp_path, **environ)
    assert ran.code == 2
    assert "names no repository" in ran.err
