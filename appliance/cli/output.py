"""Results on stdout: text for a person, or exactly one JSON document."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from enum import Enum
from pathlib import Path, PurePath

import click


def plain(value: object) -> object:
    """`value` as JSON knows it: dataclasses and pydantic models as objects, times as ISO 8601."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | Set):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    return str(value)


def finish(as_json: bool, data: object, text: str) -> None:
    """Print the command's result: `data` with "ok": true in JSON, or `text`."""
    if as_json:
        document = plain(data)
        body = document if isinstance(document, dict) else {"result": document}
        click.echo(json.dumps({"ok": True} | body, indent=2, ensure_ascii=False))
    elif text:
        click.echo(text)


def table(rows: Sequence[tuple[str, ...]], indent: str = "  ") -> str:
    """Rows as aligned columns; the last one is left ragged."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        indent
        + "  ".join(
            [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]
        ).rstrip()
        for row in rows
    )


def duration(seconds: float) -> str:
    """12.3 -> "12.3s", 83 -> "1m 23s", 3720 -> "1h 02m", 100000 -> "1d 03h"."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02d}h"
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {rest:02d}s"


def state_folder() -> Path:
    """Where logs and tracebacks go: by the XDG base directory specification, the state home."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "appliance"
