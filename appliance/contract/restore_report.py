"""The evidence of a restore or of its drill: what came back, how long each step took, what was lost."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from appliance.contract.backup import Manifest


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(Shape):
    name: str
    depth: int  # 0: a step of the restore; 1: a part of the one before
    seconds: float | None  # None: it was broken off
    detail: str = ""


class RestoreReport(Shape):
    format: int = 1
    drill: bool
    appliance: str
    at: datetime  # when it began
    ok: bool
    error: str | None = None  # in words
    server: str | None = None  # the new one
    snapshot: int | None = None  # the image that it was made from
    backup: str | None = None  # restic's id
    manifest: Manifest | None = None
    recovery_seconds: float | None = None  # from the beginning to the last workload's answer
    lost_seconds: float | None = None  # the recovery point: between the backup and the beginning
    steps: tuple[Step, ...] = ()
