"""A shell on a node, against a real OpenSSH server."""

from __future__ import annotations

import hashlib
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.contract.trouble import NodeTrouble
from appliance.desk import archive
from appliance.desk.remote import AccessDenied, HostKeyMismatch, Shell, TimedOut, Unreachable
from tests.desk.sshd import Sshd, free_port, make_key, sshd
from tests.lab.serving import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def shell(server: Sshd) -> Iterator[Shell]:
    with server.shell() as open_shell:
        open_shell.wait(10)
        yield open_shell


def test_a_command_comes_back_with_its_code_output_and_errors(shell: Shell) -> None:
    result = shell.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (result.code, result.out, result.err) == (7, "out\n", "err\n")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30), min_size=1, max_size=4
    )
)
def test_every_argument_arrives_as_it_was(shell: Shell, arguments: list[str]) -> None:
    assert shell.run(["printf", "%s\\0", *arguments]).out == "".join(f"{a}\0" for a in arguments)


def test_a_megabyte_of_any_bytes_goes_in_by_stdin(shell: Shell) -> None:
    data = bytes(range(256)) * 4096
    assert shell.run(["sha256sum"], input=data).out.split()[0] == hashlib.sha256(data).hexdigest()


def test_a_command_that_reads_nothing_ends_though_much_was_sent(shell: Shell) -> None:
    assert shell.run(["true"], input=b"x" * 4_000_000).code == 0


def test_lines_are_handed_on_while_the_command_still_runs(shell: Shell, tmp_path: Path) -> None:
    flag = tmp_path / "seen"
    script = f"echo first; while ! test -e {flag}; do sleep 0.02; done; echo second"
    seen: list[str] = []

    def on_line(line: str) -> None:
        seen.append(line)
        flag.touch()

    assert shell.run(["sh", "-c", script], timeout=20, on_line=on_line).code == 0
    assert seen == ["first", "second"]


def test_a_command_that_hangs_is_given_up_and_says_so(shell: Shell) -> None:
    with pytest.raises(TimedOut, match=r"`sleep 600` on 127\.0\.0\.1 did not end within 1 s"):
        shell.run(["sleep", "600"], timeout=1)
    assert shell.run(["echo", "still", "here"]).out == "still here\n"


def test_an_exception_while_reading_ends_the_local_ssh(shell: Shell) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shell.run(["sh", "-c", "echo go; exec sleep 600"], on_line=interrupt)
    assert not [p for p in psutil.Process().children() if "sleep 600" in " ".join(p.cmdline())]
    assert shell.run(["true"]).code == 0


def test_check_raises_with_the_end_of_what_was_said(shell: Shell) -> None:
    with pytest.raises(NodeTrouble) as caught:
        shell.check(["sh", "-c", "echo the reason >&2; exit 3"])
    assert "failed with 3" in str(caught.value)
    assert "the reason" in str(caught.value)


def test_a_tree_arrives_with_modes(shell: Shell, tmp_path: Path) -> None:
    entries = {"a/run.sh": archive.Entry(b"#!/bin/sh\n", 0o755), "b.txt": archive.Entry(b"text")}
    shell.send_tree(archive.pack(entries), str(tmp_path / "new folder"))
    assert stat.S_IMODE((tmp_path / "new folder/a/run.sh").stat().st_mode) == 0o755
    assert (tmp_path / "new folder/b.txt").read_bytes() == b"text"


def test_another_host_key_is_refused_before_anything_is_sent(server: Sshd, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    with server.shell([other]) as wrong:
        with pytest.raises(HostKeyMismatch, match="does not hold the SSH host key"):
            wrong.wait(10)
        with pytest.raises(HostKeyMismatch):
            wrong.run(["touch", str(tmp_path / "sent")], input=b"secret")
    assert not (tmp_path / "sent").exists()


def test_any_one_of_the_pinned_host_keys_will_do(server: Sshd, tmp_path: Path) -> None:
    with server.shell([make_key(tmp_path / "first"), server.host_key + " a comment"]) as either:
        either.wait(10)


def test_a_refused_ssh_key_says_where_to_look(server: Sshd, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    with (
        server.shell(key=tmp_path / "stranger") as stranger,
        pytest.raises(AccessDenied, match="does not accept your SSH key") as caught,
    ):
        stranger.wait(10)
    assert "access.ssh_public_key" in caught.value.fix


def test_the_agent_s_key_is_chosen_by_its_public_half(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.DEVNULL) as agent:
        until((tmp_path / "agent").exists)
        others = [tmp_path / f"other{n}" for n in range(8)]  # more than a server lets one try
        for key in others:
            make_key(key)
        subprocess.run(["ssh-add", "-q", *others, server.client_key], check=True)
        public = tmp_path / "mine.pub"
        public.write_text(server.client_key.with_suffix(".pub").read_text())
        with server.shell(key=public) as by_agent:
            by_agent.wait(10)
        agent.terminate()


def test_a_closed_port_is_told_from_silence(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    with Shell("127.0.0.1", None, [key], port=free_port()) as closed:
        with pytest.raises(Unreachable, match="nothing answers on its SSH port"):
            closed.wait(0.3)
        with pytest.raises(Unreachable, match="nothing answers on its SSH port"):
            closed.run(["true"])


def test_wait_outlasts_a_server_that_comes_up_late_with_a_wrong_key_at_first(
    tmp_path: Path,
) -> None:
    with sshd(tmp_path) as late:
        late.stop()
        final = make_key(tmp_path / "final")
        late.start()

        def settle() -> None:
            time.sleep(0.5)
            late.stop()
            (tmp_path / "host").write_bytes((tmp_path / "final").read_bytes())
            late.start()

        settling = threading.Thread(target=settle)
        settling.start()
        with late.shell([final]) as patient:
            patient.wait(20, grace=20)
        settling.join()


def test_a_node_that_goes_away_ends_the_command_and_a_new_wait_reconnects(tmp_path: Path) -> None:
    with sshd(tmp_path) as mortal, mortal.shell() as shell:
        shell.wait(10)
        started = threading.Event()

        def kill() -> None:
            started.wait(10)
            mortal.stop()

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(Unreachable, match="failed or broke"):
            shell.run(["sh", "-c", "echo go; exec sleep 600"], timeout=30, on_line=lambda _: started.set())
        killer.join()
        mortal.start()
        shell.wait(10)
        assert shell.run(["true"]).code == 0


def test_no_host_key_means_no_shell() -> None:
    with pytest.raises(NodeTrouble, match="No SSH host key is known"):
        Shell("127.0.0.1", None, [])


def test_a_desk_without_ssh_is_told_what_to_install(
    server: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with server.shell() as without, pytest.raises(NodeTrouble, match="no `ssh`"):
        without.run(["true"])


def test_nothing_stays_behind_when_a_shell_is_closed(server: Sshd) -> None:
    shell = server.shell()
    folder = shell._folder
    shell.wait(10)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "known_hosts").stat().st_mode) == 0o600
    socket_path = folder / "c"
    assert socket_path.exists()
    shell.close()
    shell.close()
    assert not folder.exists()


def test_short_commands_share_one_connection(server: Sshd, shell: Shell) -> None:
    clients = {shell.run(["sh", "-c", "echo $SSH_CONNECTION"]).out for _ in range(3)}
    assert len(clients) == 1
