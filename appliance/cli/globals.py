"""The options that every command understands, before or after its name."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import click

DEFAULT_CONFIG = "appliance.yaml"


@dataclass
class Globals:
    """What the global options said; one object for the whole run, as click's `ctx.obj`."""

    config: Path = Path(DEFAULT_CONFIG)
    json: bool = False
    yes: bool = False
    no_color: bool = False

    @property
    def color(self) -> bool:
        """Whether stderr may carry colours (https://no-color.org)."""
        return not (self.no_color or os.environ.get("NO_COLOR")) and sys.stderr.isatty()


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Given later wins; not given leaves what stood before the command's name."""
    if value is not None and parameter.name is not None:
        said = context.ensure_object(Globals)
        setattr(said, parameter.name, value)


def _options() -> list[click.Option]:
    def flag(name: str, text: str) -> click.Option:
        return click.Option(
            [name], is_flag=True, default=None, expose_value=False, callback=_keep, help=text, is_eager=True
        )

    config = click.Option(
        ["--config", "-c"],
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=_keep,
        is_eager=True,
        help=f"The file to read.  [default: {DEFAULT_CONFIG}]",
    )
    return [
        config,
        flag("--json", "One JSON document on stdout; progress as JSON lines on stderr."),
        flag("--yes", "Do not ask."),
        flag("--no-color", "No colours. So does the environment's NO_COLOR."),
    ]


def add_options(command: click.Command) -> click.Command:
    """Give `command`, and every command below it, the global options it has not got itself."""
    taken = {flag for parameter in command.params for flag in parameter.opts}
    command.params.extend(option for option in _options() if not taken & set(option.opts))
    if isinstance(command, click.Group):
        for below in command.commands.values():
            add_options(below)
    return command


def current() -> Globals:
    """The global options of the command that runs."""
    return click.get_current_context().ensure_object(Globals)
