"""`appliance demo`: the whole way once, in the lab, from nothing to an answer."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from appliance.cli import build, wiring
from appliance.cli.ask import confirm
from appliance.cli.globals import DEFAULT_CONFIG, Globals
from appliance.cli.init import first, write
from appliance.cli.output import duration, finish, table
from appliance.contract.trouble import ConfigTrouble
from appliance.desk.deploy import DeployResult
from appliance.desk.lock import hold
from appliance.desk.progress import Progress
from appliance.desk.settings import Target
from appliance.lab import lifecycle
from appliance.lab.place import Place

QUESTION = "hello"


@dataclass
class Diary:
    """Seconds a chapter took."""

    chapters: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def chapter(self, name: str, progress: Progress) -> Iterator[None]:
        start = time.monotonic()
        with progress.step(name):
            yield
        self.chapters[name] = time.monotonic() - start


@click.command("demo")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("appliance-demo"),
    show_default=True,
    help="Where its appliance.yaml and secrets go; one that is there is used again.",
)
@click.pass_obj
def command(said: Globals, folder: Path) -> None:
    """Lab with two fake vendors, snapshot, node, and an answer a workload. Linux and root only."""
    place = Place.from_environment()
    lifecycle.refuse_if_unable(place)
    _refuse_another_cloud(place)
    confirm(
        said,
        f"This brings up a lab's machines, wires and firewall rules below {place.folder}; it takes minutes, "
        "and `appliance lab down` removes them. Go on?",
    )
    progress, diary = wiring.progress(said), Diary()
    with diary.chapter("Lab: Hetzner in a box, and two vendors", progress):
        lifecycle.up(place, progress.note)
    config = folder / DEFAULT_CONFIG
    if not config.exists():
        with diary.chapter(f"Init: write {config} and its secrets", progress):
            folder.mkdir(parents=True, exist_ok=True)
            write(config, first(Target.LAB))
    settings = wiring.settings(replace(said, config=config))
    if settings.target is not Target.LAB:
        raise ConfigTrouble(
            f"{config} is not for the lab",
            why="the demo spends no money",
            fix="name another folder with --dir",
        )
    with diary.chapter("Build: bake a snapshot and verify it", progress):
        build.perform(settings, wiring.cloud(settings, progress), progress)
    with diary.chapter("Deploy: network, node, secrets, an answer a workload", progress):
        deployer = wiring.deployer(settings, progress)
        result = deployer.deploy(lambda: hold(deployer.cloud, settings.name, progress))
    finish(said.json, _data(folder, diary, result), _text(folder, diary, result))


def _refuse_another_cloud(place: Place) -> None:
    """HCLOUD_ENDPOINT wins over the lab everywhere else; a demo must not build there."""
    endpoint = os.environ.get("HCLOUD_ENDPOINT")
    if endpoint and endpoint.rstrip("/") != place.api_endpoint:
        raise ConfigTrouble(
            "HCLOUD_ENDPOINT names another cloud",
            why=f"it is {endpoint}, the demo's lab is {place.api_endpoint}",
            fix="unset HCLOUD_ENDPOINT HCLOUD_TOKEN",
        )


def _data(folder: Path, diary: Diary, result: DeployResult) -> dict[str, object]:
    return {
        "folder": folder.absolute(),
        "address": result.address,
        "seconds": {name.partition(":")[0].lower(): round(s, 3) for name, s in diary.chapters.items()},
        "answers": result.answers,
        "curl": curl(folder, result),
        "python": snippet(folder, result),
    }


def _text(folder: Path, diary: Diary, result: DeployResult) -> str:
    times = [(duration(seconds), name) for name, seconds in diary.chapters.items()]
    times.append((duration(sum(diary.chapters.values())), "all of it"))
    heard = [(a.workload, duration(a.seconds), " ".join(a.text.split())[:70]) for a in result.answers]
    return "\n".join(
        [
            "What it did:",
            table(times),
            "",
            f"What the workloads answered through https://{result.address}:",
            table(heard),
            "",
            "Ask it yourself:",
            curl(folder, result),
            "",
            "or, with the openai package of Python:",
            snippet(folder, result),
            "",
            f"What to try next (cd {folder}):",
            table(
                [
                    ("appliance status", "how the node is, by its own account"),
                    ("appliance deploy", "again: nothing changes, and it says so"),
                    (
                        "appliance drill providers --workload code --report drill.html",
                        "break its provider in every way, and see the fallback answer",
                    ),
                    ("appliance push", "after an edit of appliance.yaml: a new bundle, or back to the old"),
                    ("appliance backup now", "all that a new node needs, to the lab's Storage Box"),
                    ("appliance destroy", "all of it, and nothing else"),
                    ("appliance lab down", "the lab as well"),
                ]
            ),
        ]
    )


def _first_workload(result: DeployResult) -> str:
    return result.answers[0].workload


def curl(folder: Path, result: DeployResult) -> str:
    """For a shell; `printf` is its own, so that the token stands in no process's arguments."""
    secrets = folder.absolute() / "secrets"
    token, ca = shlex.quote(str(secrets / "gateway-token")), shlex.quote(str(secrets / "ca.crt"))
    body = f'{{"model": "openclaw", "messages": [{{"role": "user", "content": "{QUESTION}"}}]}}'
    return (
        f"printf 'Authorization: Bearer %s' \"$(cat {token})\" | curl --noproxy '*' --cacert {ca} -H @- \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}' \\\n"
        f"  https://{result.address}/{_first_workload(result)}/v1/chat/completions"
    )


def snippet(folder: Path, result: DeployResult) -> str:
    secrets = folder.absolute() / "secrets"
    return f"""\
import pathlib, ssl
from openai import DefaultHttpxClient, OpenAI
trust = ssl.create_default_context(cafile="{secrets}/ca.crt")
client = OpenAI(
    base_url="https://{result.address}/{_first_workload(result)}/v1",
    api_key=pathlib.Path("{secrets}/gateway-token").read_text().strip(),
    http_client=DefaultHttpxClient(verify=trust, trust_env=False),
)
asked = [{{"role": "user", "content": "{QUESTION}"}}]
print(client.chat.completions.create(model="openclaw", messages=asked).choices[0].message.content)"""
