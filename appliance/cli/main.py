"""`appliance`: the command line's outermost shell. Imports nothing that a `--help` does not need."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from appliance.cli.globals import Globals, add_options

# name -> (module below appliance.cli, what the list of commands says). The module's `command` is the
# click command; it is imported only when it is called.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "Write a commented appliance.yaml, its secrets folder and JSON Schema."),
    "check": ("check", "Report every mistake in appliance.yaml, then what the cloud says."),
    "build": ("build", "Bake a snapshot, verify it on a scratch server, label it verified."),
    "deploy": ("deploy", "Bring the cloud to what appliance.yaml says, and prove it answers."),
    "push": ("push", "Bring new config and secrets to the node; roll back if it does not come up."),
    "status": ("status", "Tell how the node, its gateway and its providers are."),
    "ask": ("ask_workloads", "Ask each workload a question, as a client does."),
    "canary": ("canary", "Ask each provider directly, with the key that the node has."),
    "drill": ("drill", "Break providers on purpose, on the live node, and see that it holds."),
    "restore": ("restore", "Bring the node back from its backup on a new server, or drill that."),
    "backup": ("backup", "Backups: now, list, verify, prune, and the recovery sheet."),
    "ssh": ("ssh", "Run one command on the node, by its pinned host key."),
    "destroy": ("destroy", "Delete everything this appliance labelled, and nothing else."),
    "lab": ("lab", "Hetzner in a box, on this machine: up, down, status, env."),
    "demo": ("demo", "Lab, build, deploy, and an answer, in one command."),
    "schema": ("schema", "Print the JSON Schema of appliance.yaml."),
    "completion": ("completion", "Print the completion script for bash, zsh or fish."),
}

EPILOG = (
    "Exit codes: 0 done; 1 a bug of ours; 2 command line or appliance.yaml wrong; 3 the cloud refused; "
    "4 the node failed; 5 locked by another desk; 6 a check failed; 7 the lab cannot run; 8 declined; "
    "130 interrupted."
)


class LazyGroup(click.Group):
    """Knows its commands by name; imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            module = importlib.import_module(f"appliance.cli.{COMMANDS[cmd_name][0]}")
            self.commands[cmd_name] = add_options(module.command)
        return self.commands[cmd_name]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            ctx.fail(f'No such command "{args[0]}".{hint}')
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names from the table: a TAB must not import every command."""
        names = [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"appliance {version('appliance')}")
        context.exit()


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."
)
def root() -> None:
    """A hardened OpenClaw gateway on Hetzner, one command at a time.

    Start with `appliance demo` (Linux, root) or `appliance init`.
    """


add_options(root)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; every failure is printed, and becomes the exit code that is returned."""
    said = Globals()
    try:
        result = root.main(list(arguments), prog_name="appliance", standalone_mode=False, obj=said)
        sys.stdout.flush()
    except BaseException as error:
        from appliance.cli.failure import report

        return report(error, as_json=said.json or "--json" in arguments, color=said.color)
    return result if isinstance(result, int) else 0


def main() -> None:
    from appliance.cli.failure import interrupt_on_signals

    interrupt_on_signals()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
