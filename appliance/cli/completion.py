"""`appliance completion`: what a shell needs to complete our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from appliance.cli.main import root


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash:  appliance completion bash > ~/.local/share/bash-completion/completions/appliance
    zsh:   appliance completion zsh > ~/.zfunc/_appliance
    fish:  appliance completion fish > ~/.config/fish/completions/appliance.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    # The base class's source: bash's own first starts a bash to learn its version.
    click.echo(ShellComplete.source(kind(root, {}, "appliance", "_APPLIANCE_COMPLETE")))
