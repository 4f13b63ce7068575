"""restore/restore.sh on a server, over SSH: shipped, handed its keys on stdin, and followed step by step."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

from pydantic import ValidationError

from appliance.contract import backup
from appliance.contract.backup import S3, Manifest, Policy, Sftp
from appliance.contract.trouble import NodeTrouble
from appliance.desk.progress import Progress, Step
from appliance.desk.remote import Result, Shell

FOLDER = "/root/restore"
KEEPS = "/var/lib/appliance-restore"  # of restore.sh: what it fetched, by backup
MEMORY = "/run/appliance-restore"  # of restore.sh, in memory
FETCH_SECONDS = 2 * 3600.0
RUN_SECONDS = 3600.0
# One that a killed desk has left at work ends by itself, soon after nobody listens.
OTHER_SECONDS = 600
NO_SECRETS = "The secrets were left out"


@dataclass(frozen=True)
class Orders:
    """The script and what it needs to reach the repository."""

    script: bytes
    variables: Mapping[str, str] = field(repr=False)  # its environment, secrets among it
    ssh_key: str | None = field(default=None, repr=False)  # private, OpenSSH PEM


@dataclass(frozen=True)
class Fetched:
    id: str  # restic's
    manifest: Manifest


def orders(script: bytes, policy: Policy, secrets: Mapping[str, str], drill: bool = False) -> Orders:
    """`secrets` by the names of contract/backup.py. KeyError where one lacks."""
    repository = policy.repository
    variables = {
        "RESTIC_REPOSITORY": repository.address,
        "RESTIC_PASSWORD": secrets[backup.PASSPHRASE],
        "OLD_NODE_IS_OFF": "drill" if drill else "yes",  # the desk sees to it before
    }
    if isinstance(repository, S3):
        variables["AWS_DEFAULT_REGION"] = repository.region
        variables["AWS_ACCESS_KEY_ID"] = secrets[backup.S3_ID]
        variables["AWS_SECRET_ACCESS_KEY"] = secrets[backup.S3_SECRET]
    if not isinstance(repository, Sftp):
        return Orders(script, variables)
    variables["STORE_HOST_KEY"] = repository.host_key
    if repository.append_only:
        variables["SSH_KEY_APPENDS"] = "yes"
    return Orders(script, variables, secrets[backup.SSH_KEY])


def fetch(shell: Shell, ordered: Orders, wanted: str, progress: Progress) -> Fetched:
    """Have backup `wanted` (an id, or latest) fetched and verified; nothing else on the server is touched."""
    shell.check(["mkdir", "-p", FOLDER])
    shell.check(["install", "-m", "700", "/dev/stdin", f"{FOLDER}/restore.sh"], input=ordered.script)
    words = ["--fetch-only", *([] if wanted == "latest" else ["--backup", wanted])]
    with progress.step("Fetch and verify the backup, on the new server") as step:
        said = _run(shell, ordered, words, FETCH_SECONDS, progress, step)
        chosen = re.search(r"^ +([0-9a-f]{8,64}) of \d", said.out, re.MULTILINE)
        if chosen is None:
            raise NodeTrouble("restore.sh did not say which backup it took.", why=said.tail(8))
        text = shell.check(["cat", f"{KEEPS}/{chosen[1]}{backup.STAGING}/{backup.MANIFEST}"])
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            raise NodeTrouble(
                f"The manifest of backup {chosen[1]} cannot be read.",
                why=str(error),
                fix="it is of another version of this command; `appliance backup list` shows older ones",
            ) from error
        step.update(f"{chosen[1]} of {manifest.at:%Y-%m-%d %H:%M} UTC, {manifest.bytes / 1e6:.1f} MB")
    return Fetched(chosen[1], manifest)


def is_done(shell: Shell, fetched: Fetched) -> bool:
    """Whether that backup is in place on the server, and was started."""
    return shell.run(["test", "-e", f"{KEEPS}/{fetched.id}/done"]).code == 0


def mark_done(shell: Shell, fetched: Fetched) -> None:
    shell.check(["touch", f"{KEEPS}/{fetched.id}/done"])


def put_in_place(shell: Shell, ordered: Orders, fetched: Fetched, progress: Progress) -> bool:
    """State, secrets, start, an answer a workload. False where the secrets are not in the backup."""
    with progress.step("Put it in place and start") as step:
        try:
            _run(shell, ordered, ["--backup", fetched.id], RUN_SECONDS, progress, step)
        except NodeTrouble as trouble:
            if fetched.manifest.secrets or NO_SECRETS not in trouble.what:
                raise
            step.update("the secrets are not in this backup, they come from this desk")
            return False
    return True


def _run(
    shell: Shell, ordered: Orders, words: list[str], seconds: float, progress: Progress, step: Step
) -> Result:
    with _Listener(progress, step) as listener:
        result = shell.run(
            ["sh", "-s"], input=handover(ordered, words), timeout=seconds, on_line=listener.take
        )
        if result.code != 0:
            raise trouble_of(result, shell.host)
    return result


def handover(ordered: Orders, words: list[str]) -> bytes:
    """For the stdin of a shell: so nothing of it is in an argument list or on a disk."""
    lines = [
        "set -eu",
        "umask 077",
        f"mkdir -p {MEMORY}",
        f"flock -w {OTHER_SECONDS} {MEMORY}/lock true || true",
        *(f"export {name}={shlex.quote(value)}" for name, value in ordered.variables.items()),
    ]
    if ordered.ssh_key is not None:
        key = shlex.quote(ordered.ssh_key.rstrip("\n"))
        lines += [f"printf '%s\\n' {key} > {MEMORY}/given", f"export SSH_KEY={MEMORY}/given"]
    # Merged: its last words come after the lines that led to them.
    lines += [f"exec sh {FOLDER}/restore.sh {shlex.join(words)} < /dev/null 2>&1", ""]
    return "\n".join(lines).encode()


def trouble_of(result: Result, host: str) -> NodeTrouble:
    """restore.sh's own words for what failed and what to do next."""
    said = result.out + result.err
    failed = re.search(r'^FAILED(?: at "(?P<step>.*?)")?: (?P<what>.*)$', said, re.MULTILINE)
    following = re.search(r"^  next: (.*)$", said, re.MULTILINE)
    if failed is None:
        return NodeTrouble(f"restore.sh on {host} ended with {result.code}.", why=result.tail(8))
    told = [line.strip().removeprefix("| ") for line in said.splitlines() if line.startswith("    | ")]
    where = f' (at "{failed["step"]}")' if failed["step"] else ""
    return NodeTrouble(f"{failed['what']}{where}", why="\n".join(told), fix=following[1] if following else "")


class _Listener(AbstractContextManager["_Listener"]):
    """Makes steps of restore.sh's `--> …` and `    done in …` lines."""

    def __init__(self, progress: Progress, outer: Step) -> None:
        self.progress = progress
        self.at = outer
        self.open = ExitStack()

    def __exit__(self, *error: object) -> bool | None:
        return self.open.__exit__(*error)  # type: ignore[arg-type]

    def take(self, line: str) -> None:
        if line.startswith("--> "):
            self.open.close()
            self.at = self.open.enter_context(self.progress.step(line.removeprefix("--> ")))
        elif re.fullmatch(r" +done in \d+ s", line):
            self.open.close()
        elif line.startswith("    "):
            self.at.update(line.strip())
