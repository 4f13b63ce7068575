"""The command's outer shell: help, options, errors and exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from appliance.cli import main
from appliance.cli.failure import as_data, as_trouble
from appliance.cli.globals import Globals, add_options
from appliance.contract.trouble import ExitCode, Trouble
from tests.cli.runs import ROOT, appliance

HEAVY = ("hcloud", "requests", "rich", "pydantic", "yaml", "jinja2", "aiohttp", "cryptography", "psutil")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--version"], ["biuld"], ["completion", "bash"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    program = (
        "import sys; from appliance.cli.main import run; run(sys.argv[1:]);"
        "print('IMPORTED', *(name for name in sys.modules if '.' not in name))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = done.stdout.splitlines()[-1].split()
    assert imported[0] == "IMPORTED"
    assert set(imported) & set(HEAVY) == set()


def test_help_lists_every_command_and_the_exit_codes(tmp_path: Path) -> None:
    said = " ".join(appliance("--help", at=tmp_path).out.split())
    for name in main.COMMANDS:
        assert f" {name} " in said
    for code in ExitCode:
        assert f" {int(code)} " in said


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_explains_itself(name: str, tmp_path: Path) -> None:
    done = appliance(name, "--help", at=tmp_path)
    assert done.code == 0, done.err
    assert f"appliance {name}" in done.out
    assert "--json" in done.out


def test_a_disk_that_is_full_hides_neither_error_nor_exit_code(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "appliance", "check", "--json", "-c", str(tmp_path / "none.yaml")],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == ExitCode.USAGE
    assert "none.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistyped_command_is_suggested(tmp_path: Path) -> None:
    done = appliance("depoly", at=tmp_path)
    assert done.code == ExitCode.USAGE
    assert 'Did you mean "deploy"?' in done.err
    assert done.out == ""


def test_an_unknown_option_is_a_usage_error_in_json_too(tmp_path: Path) -> None:
    done = appliance("check", "--jsno", at=tmp_path)
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    done = appliance("--json", "check", "--foo", at=tmp_path)
    assert done.code == ExitCode.USAGE
    assert done.json["error"]["kind"] == "usage"


@pytest.mark.parametrize("words", [["--json", "check"], ["check", "--json"]])
def test_global_options_stand_before_or_after_the_command(words: list[str], tmp_path: Path) -> None:
    done = appliance(*words, "-c", "other.yaml", at=tmp_path)
    assert done.code == ExitCode.USAGE
    assert done.json["ok"] is False
    assert "other.yaml" in done.json["error"]["what"]
    assert "appliance init" in done.json["error"]["next"]


def test_given_before_and_after_the_later_one_wins(tmp_path: Path) -> None:
    done = appliance("-c", "first.yaml", "check", "-c", "second.yaml", at=tmp_path)
    assert "second.yaml" in done.err


def test_an_error_says_what_why_and_what_next(tmp_path: Path) -> None:
    done = appliance("check", at=tmp_path)
    last = [line.split()[0] for line in done.err.splitlines()[-3:]]
    assert last == ["error:", "why:", "next:"]


def test_mistakes_in_the_file_are_data_with_json(tmp_path: Path) -> None:
    (tmp_path / "appliance.yaml").write_text("nam: x\n")
    done = appliance("check", "--json", at=tmp_path)
    assert done.code == ExitCode.USAGE
    problem = done.json["error"]["problems"][0]
    assert (problem["file"], problem["line"]) == ("appliance.yaml", 1)


def test_no_escape_codes_leave_a_pipe(tmp_path: Path) -> None:
    done = appliance("check", at=tmp_path, NO_COLOR="", TERM="xterm-256color", FORCE_COLOR="1")
    assert "\x1b" not in done.out + done.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_the_command_back(shell: str, tmp_path: Path) -> None:
    done = appliance("completion", shell, at=tmp_path)
    assert done.code == 0
    assert f"_APPLIANCE_COMPLETE={shell}_complete" in done.out


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    def complete(line: str, word: int) -> str:
        return appliance(
            at=tmp_path, _APPLIANCE_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(word)
        ).out

    assert complete("appliance de", 1).split() == ["plain,deploy", "plain,destroy", "plain,demo"]
    assert "plain,--plan" in complete("appliance deploy --p", 2)


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m appliance schema | head -c 1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("{0\n", "")


def run_command(body: click.Command, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """`main.run` with one more command in the place of `check`."""
    monkeypatch.setitem(main.root.commands, "check", add_options(body))
    return main.run(["check", *words])


def test_what_nobody_foresaw_is_short_and_its_traceback_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    @click.command("check")
    def broken() -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert run_command(broken, monkeypatch) == ExitCode.BUG
    said = capsys.readouterr().err
    assert "a bug of ours" in said
    assert "Traceback" not in said
    (file,) = (tmp_path / "appliance").iterdir()
    assert str(file) in said
    assert "Traceback" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_an_interrupt_says_that_running_it_again_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command("check")
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert run_command(interrupted, monkeypatch) == ExitCode.INTERRUPTED
    assert "run the same command again" in capsys.readouterr().err


@pytest.mark.parametrize("code", list(ExitCode))
def test_a_trouble_ends_with_its_own_exit_code(
    code: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command("check")
    def troubled() -> None:
        raise Trouble("it broke", why="so", fix="that", code=code)

    assert run_command(troubled, monkeypatch) == code
    assert capsys.readouterr().err == "error: it broke\nwhy:   so\nnext:  that\n"


def test_a_trouble_as_data_names_its_kind() -> None:
    data = as_data(as_trouble(Trouble("x", code=ExitCode.LOCKED)))
    assert (data["kind"], data["code"]) == ("locked", 5)


def test_options_are_given_once_to_commands_below_a_group() -> None:
    @click.group("outer")
    def outer() -> None: ...

    @outer.command("inner")
    @click.pass_obj
    def inner(said: Globals) -> None:
        click.echo(f"yes={said.yes}")

    add_options(add_options(outer))
    options = [option for parameter in inner.params for option in parameter.opts]
    assert len(options) == len(set(options))
    assert "--yes" in options
