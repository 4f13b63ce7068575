"""Errors for a person: what happened, why, what to do next, and the exit code that says which kind."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command's exit status means. The README documents the same list."""

    OK = 0
    BUG = 1  # an error of ours that nobody foresaw
    USAGE = 2  # the command line or appliance.yaml is wrong
    CLOUD = 3  # the Hetzner API refused, or did not answer
    NODE = 4  # the node could not be reached, or did not do what it was told
    LOCKED = 5  # another desk is at work on the same appliance
    UNVERIFIED = 6  # a check failed: the snapshot or the node is not what it should be
    LAB = 7  # this machine cannot run the lab, or the lab is not up
    DECLINED = 8  # a question was answered with no, or could not be asked
    INTERRUPTED = 130


class Trouble(Exception):  # noqa: N818 - the word of the house
    """An expected failure. `what` happened, `why`, and the `fix` to try next, in the operator's words."""

    code: ExitCode = ExitCode.BUG

    def __init__(self, what: str, *, why: str = "", fix: str = "", code: ExitCode | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"  why:  {self.why}")
        if self.fix:
            lines.append(f"  next: {self.fix}")
        return "\n".join(lines)


class ConfigTrouble(Trouble):
    code = ExitCode.USAGE


class CloudTrouble(Trouble):
    code = ExitCode.CLOUD


class NodeTrouble(Trouble):
    code = ExitCode.NODE


class LockedTrouble(Trouble):
    code = ExitCode.LOCKED


class UnverifiedTrouble(Trouble):
    code = ExitCode.UNVERIFIED


class LabTrouble(Trouble):
    code = ExitCode.LAB
