"""How a failed run ends: three lines for a person, or one JSON document, and an exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import click

from appliance.cli.output import state_folder
from appliance.contract.trouble import ExitCode, Trouble

INTERRUPTED = Trouble(
    "interrupted",
    why="the run was stopped half-way; what it leaves at the cloud is labelled, so it is found again",
    fix="run the same command again to go on from there, or `appliance destroy` to remove it all",
    code=ExitCode.INTERRUPTED,
)


def interrupt_on_signals() -> None:
    """Let a polite kill and a closed terminal end like Ctrl-C: locks are let go and the why is said."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, stop)


def report(error: BaseException, *, as_json: bool, color: bool) -> int:
    """Print `error` for whoever ran the command; returns the exit code."""
    if isinstance(error, BrokenPipeError):
        # The reader left (`| head`): nothing of ours failed. Keep the interpreter's own flush quiet too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, SystemExit):  # click's completion ends so
        return error.code if isinstance(error.code, int) else ExitCode.OK
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
    trouble = as_trouble(error)
    if as_json:
        try:
            click.echo(json.dumps({"ok": False, "error": as_data(trouble)}, indent=2, ensure_ascii=False))
            return trouble.code
        except OSError:  # a full disk: what failed can still be said
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    _print(trouble, color)
    return trouble.code


def as_trouble(error: BaseException) -> Trouble:
    match error:
        case Trouble():
            return error
        case KeyboardInterrupt() | click.Abort():
            return INTERRUPTED
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "appliance"
            what = error.format_message()
            return Trouble(what, fix=f"`{command} --help` tells what it takes", code=ExitCode.USAGE)
        case click.ClickException():
            return Trouble(error.format_message(), code=ExitCode.USAGE)
        case _:
            return _unforeseen(error)


def as_data(trouble: Trouble) -> dict[str, object]:
    """The shape of `error` in --json: {kind, code, what, why, next} and what the trouble itself adds."""
    data: dict[str, object] = {
        "kind": trouble.code.name.lower(),
        "code": int(trouble.code),
        "what": trouble.what,
        "why": trouble.why,
        "next": trouble.fix,
    }
    more = getattr(trouble, "data", None)
    return data | more() if callable(more) else data


def _print(trouble: Trouble, color: bool) -> None:
    lines = [("error", "red", trouble.what), ("why", None, trouble.why), ("next", "cyan", trouble.fix)]
    for label, hue, text in lines:
        if text:
            head = click.style(f"{label + ':':<7}", fg=hue, bold=True) if color else f"{label + ':':<7}"
            click.echo(head + text.replace("\n", "\n       "), err=True, color=color)


def _unforeseen(error: BaseException) -> Trouble:
    kind = type(error).__name__
    return Trouble(
        f"appliance met an error that nobody foresaw ({kind})",
        why=str(error).partition("\n")[0],
        fix=f"running the command again is safe; if it stays, report it with {_write_traceback(error)}",
        code=ExitCode.BUG,
    )


def _write_traceback(error: BaseException) -> str:
    """Keep the traceback in a file that only the operator reads; returns its path, or says it failed."""
    text = "".join(traceback.format_exception(error))
    name = f"traceback-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    for folder in (state_folder(), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            continue
        return str(folder / name)
    return "the traceback (it could not be written to a file)"
