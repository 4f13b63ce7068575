"""The one question a command may ask."""

from __future__ import annotations

import sys

import click

from appliance.cli.globals import Globals
from appliance.contract.trouble import ExitCode, Trouble


def must_be_askable(said: Globals, question: str) -> None:
    """Raise Trouble (DECLINED) if `question` will need a yes that nobody can give."""
    if said.yes or (not said.json and sys.stdin.isatty() and sys.stderr.isatty()):
        return
    raise Trouble(
        "this needs a yes, and there is nobody to ask",
        why=f"{'--json was given' if said.json else 'this is not a terminal'}; the question is: {question}",
        fix="give --yes if you mean it",
        code=ExitCode.DECLINED,
    )


def confirm(said: Globals, question: str) -> None:
    """Return if the operator agrees; raise Trouble (DECLINED) if not, or if nobody can be asked."""
    must_be_askable(said, question)
    if not said.yes and not click.confirm(question, default=False, err=True):
        raise Trouble("not done: the answer was no", why="nothing was changed", code=ExitCode.DECLINED)
