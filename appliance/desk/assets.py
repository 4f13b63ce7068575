"""Where image/ and restore/ stand: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import appliance
from appliance.desk.archive import Entry

PACKAGE = Path(appliance.__file__).resolve().parent


def image_folder() -> Path:
    shipped = PACKAGE / "_image"
    return shipped if shipped.is_dir() else PACKAGE.parent / "image"


def bake_files() -> dict[str, Entry]:
    """All that goes to the bake server: `image/…` and the node's `code/appliance/…`, sorted by path.

    Templates are rendered at the desk and travel with each bundle; pages are for people. Neither goes.
    """
    image = image_folder()
    entries = {
        f"image/{path}": entry
        for path, entry in _tree(image)
        if not path.startswith("templates/") and not path.endswith(".md")
    }
    entries["code/appliance/__init__.py"] = Entry((PACKAGE / "__init__.py").read_bytes())
    for part in ("contract", "node"):
        for path, entry in _tree(PACKAGE / part):
            if path.endswith(".py"):
                entries[f"code/appliance/{part}/{path}"] = entry
    return dict(sorted(entries.items()))


def restore_script() -> bytes:
    """The very file that works without a desk."""
    shipped = PACKAGE / "_restore"
    return ((shipped if shipped.is_dir() else PACKAGE.parent / "restore") / "restore.sh").read_bytes()


def templates() -> Mapping[str, str]:
    """Path below image/templates -> text."""
    return {
        path: entry.content.decode()
        for path, entry in _tree(image_folder() / "templates")
        if not path.endswith(".md")
    }


def report_templates() -> Mapping[str, str]:
    """Name -> text: what the pages of drills are made of."""
    names = ("drill.html.j2", "restore.html.j2", "drill.css")
    return {name: (PACKAGE / "desk" / "reports" / name).read_text(encoding="utf-8") for name in names}


def _tree(folder: Path) -> Iterator[tuple[str, Entry]]:
    """Regular files, with only the executable bit of their modes: a checkout's umask is no input."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            yield path.relative_to(folder).as_posix(), Entry(path.read_bytes(), mode)
