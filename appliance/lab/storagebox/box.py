"""What a Storage Box holds: accounts, files with a quota, snapshots, a host key.

    storagebox/data    the disk, a tmpfs as large as the quota: files/ and snapshots/. It is kept in memory,
                       and so outlives the daemon, but not the host
    storagebox/root    what its sshd sees: the lab's Debian, and /accounts/<name> for each account, to which
                       a session is confined: /home is the account's folder, /usr the box's commands

As at Hetzner (docs.hetzner.com, Storage Box): the main account sees everything, a sub-account its folder;
no account can change what a snapshot holds, the main one sees it below /home/.zfs/snapshot, and it counts
against the quota. Different: accounts and snapshots are made by routes.py, there is no API of Hetzner's;
the only protocol is SSH on port 23.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.lab.base import layer_path
from appliance.lab.place import Place
from appliance.lab.shell import run
from appliance.lab.trees import mounts_below, remove, unmount

HERE = Path(__file__).parent
QUOTA = 1 << 30  # bytes
MAIN_FOLDER = ""
FIRST_USER_ID = 60600  # + the lab's number; nobody's on Debian (policy manual, 9.2.2)
COMMANDS = ("/usr",)  # of the box's Debian; /bin and the like are links into it
NOT_DEBIANS = Path("/usr/bin/rclone")  # the host's


class Trouble(Exception):  # noqa: N818 - the word of the house
    """What was asked of the box cannot be."""


@dataclass(frozen=True)
class Account:
    name: str
    folder: str  # below the box; "" is all of it
    keys: int


def _blob(line: str) -> str:
    """What tells one key of authorized_keys from another, whatever stands before and behind it."""
    found = re.search(r"\bAAAA[\w+/=]+", line)
    return found[0] if found else line


class Box:
    def __init__(self, place: Place, layers: Sequence[str]) -> None:
        self.place = place
        self.folder = place.folder / "storagebox"
        self.root = self.folder / "root"
        self.files = self.folder / "data" / "files"
        self.snapshots = self.folder / "data" / "snapshots"
        self.user = place.storage_box_user
        self._layers = layers
        self._id = FIRST_USER_ID + place.instance

    # -- the box as a whole

    def up(self) -> None:
        """Mounts and accounts; all that stands already stays, its files above all."""
        data = self.files.parent
        for folder in (data, self.root, self.folder / "upper", self.folder / "work"):
            folder.mkdir(parents=True, exist_ok=True)
        if not os.path.ismount(data):
            options = f"size={QUOTA},mode=0755,nosuid,nodev,noexec"
            run(["mount", "-t", "tmpfs", "-o", options, "storagebox", str(data)])
        self._make(self.files)
        self.snapshots.mkdir(exist_ok=True)
        if not os.path.ismount(self.root):
            lower = ":".join(str(layer_path(self.place, name)) for name in reversed(self._layers))
            options = f"lowerdir={lower},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}"
            run(["mount", "-t", "overlay", "storagebox", "-o", options, str(self.root)])
        (self.root / "run" / "sshd").mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "sshd_config", self.root / "etc" / "ssh" / "box_config")
        self._bind(Path("/dev/null"), self.root / "dev" / "null")
        if not self._key.exists():
            self.new_host_key()
        self._put_account(self.user, MAIN_FOLDER)
        for name, below in self._sub_accounts().items():
            self._put_account(name, below)

    def session(self) -> list[str]:
        """One connection's sshd, on its standard input; it and all it started end with this process."""
        sshd = ["/usr/sbin/sshd", "-i", "-e", "-f", "/etc/ssh/box_config"]
        alone = ["unshare", "--pid", "--fork", "--kill-child"]
        return ["setpriv", "--pdeathsig", "KILL", *alone, "chroot", str(self.root), *sshd]

    # -- accounts

    def accounts(self) -> list[Account]:
        known = {self.user: MAIN_FOLDER, **self._sub_accounts()}
        return [Account(n, f, len(self._authorized(f).splitlines())) for n, f in sorted(known.items())]

    def authorize(self, name: str, folder: str, keys: Sequence[str]) -> None:
        """`keys`, lines of authorized_keys, replace those that were there. A new name makes a sub-account.

        Raises Trouble for a name or folder that cannot be.
        """
        if name != self.user:
            if not re.fullmatch(rf"{self.user}-sub\d+", name):
                raise Trouble(f"a sub-account's name is {self.user}-sub and a number")
            if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", folder):
                raise Trouble("a sub-account's folder is one name: letters, digits, _ . -")
        elif folder:
            raise Trouble("the main account has the whole box")
        if any("\n" in key or not key.strip() for key in keys):
            raise Trouble("a key is one line")
        self._put_account(name, folder)
        ssh = self.files / folder / ".ssh"
        self._make(ssh)
        target = ssh / "authorized_keys"
        target.unlink(missing_ok=True)  # never through a link that the account made
        target.write_text("".join(f"{key}\n" for key in keys))
        os.chown(target, self._id, self._id)

    def add_keys(self, name: str, keys: Sequence[str]) -> None:
        """Beside those that are there, as `install-ssh-key` does; one that is there already is put anew.

        Raises Trouble where there is no such account.
        """
        folders = {account.name: account.folder for account in self.accounts()}
        if name not in folders:
            raise Trouble(f"there is no account {name!r}")
        new = {_blob(key) for key in keys}
        kept = [line for line in self._authorized(folders[name]).splitlines() if _blob(line) not in new]
        self.authorize(name, folders[name], [*kept, *keys])

    def set_password(self, name: str, password: str) -> None:
        """As the console does. Raises Trouble for an account that is not there."""
        if name not in (account.name for account in self.accounts()):
            raise Trouble(f"there is no account {name}")
        run(["chroot", str(self.root), "chpasswd"], f"{name}:{password}\n")

    def _authorized(self, folder: str) -> str:
        try:
            return (self.files / folder / ".ssh" / "authorized_keys").read_text(errors="replace")
        except OSError:
            return ""

    def _sub_accounts(self) -> dict[str, str]:
        """name -> folder, as they stand in the box's own list of users."""
        fields = [line.split(":") for line in (self.root / "etc" / "passwd").read_text().splitlines()]
        return {f[0]: f[4] for f in fields if f[0].startswith(f"{self.user}-sub")}

    def _put_account(self, name: str, folder: str) -> None:
        self._make(self.files / folder)
        jail = self.root / "accounts" / name
        for path in COMMANDS:
            self._bind(self.root / path.lstrip("/"), jail / path.lstrip("/"), "ro")
        for link in ("bin", "lib", "lib64"):
            if (self.root / link).is_symlink() and not (jail / link).is_symlink():
                (jail / link).symlink_to((self.root / link).readlink())
        self._bind(Path("/dev/null"), jail / "dev" / "null")
        self._bind(self.files / folder, jail / "home")
        if NOT_DEBIANS.exists():
            (self.root / "usr" / "bin" / NOT_DEBIANS.name).touch()
            self._bind(NOT_DEBIANS, jail / str(NOT_DEBIANS).lstrip("/"), "ro")
        shell = jail / "etc" / "shell"
        shell.parent.mkdir(exist_ok=True)
        shutil.copy(HERE / "shell", shell)
        if folder == MAIN_FOLDER:
            (self.files / ".zfs" / "snapshot").mkdir(parents=True, exist_ok=True)
            self._bind(self.snapshots, jail / "home" / ".zfs" / "snapshot", "ro")
        self._enlist(name, folder)

    def _enlist(self, name: str, folder: str) -> None:
        passwd, shadow = (self.root / "etc" / file for file in ("passwd", "shadow"))
        lines = [line for line in passwd.read_text().splitlines() if line.split(":")[0] != name]
        lines.append(f"{name}:x:{self._id}:{self._id}:{folder}:/home:/etc/shell")
        passwd.write_text("\n".join(lines) + "\n")
        if not any(line.startswith(f"{name}:") for line in shadow.read_text().splitlines()):
            with shadow.open("a") as file:
                file.write(f"{name}:*:1::::::\n")  # no password, and not locked

    def _make(self, folder: Path) -> None:
        """A folder of the accounts' own; never through a link that one of them made."""
        if folder.is_symlink():
            folder.unlink()
        folder.mkdir(exist_ok=True)
        os.chown(folder, self._id, self._id, follow_symlinks=False)

    def _bind(self, source: Path, target: Path, *options: str) -> None:
        if target in mounts_below(self.root):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            target.mkdir(exist_ok=True)
        elif not target.exists():
            target.touch()
        run(["mount", "--bind", *(f"-o{option}" for option in options), str(source), str(target)])

    # -- quota

    def usage(self) -> tuple[int, int]:
        """Bytes used, and the quota."""
        told = os.statvfs(self.files)
        return (told.f_blocks - told.f_bfree) * told.f_frsize, told.f_blocks * told.f_frsize

    def set_quota(self, size: int | None = None) -> None:
        """In bytes; None is what the box came with. Less than is used makes it just full."""
        size = max(QUOTA if size is None else size, self.usage()[0], os.sysconf("SC_PAGE_SIZE"))
        run(["mount", "-o", f"remount,size={size}", str(self.files.parent)])

    # -- snapshots

    def snapshot(self, name: str) -> None:
        """A copy, and so as large as what it is of. Raises Trouble for a name that is taken or none."""
        if not re.fullmatch(r"[A-Za-z0-9_][\w.:-]*", name) or (self.snapshots / name).exists():
            raise Trouble(f"no snapshot can be called {name!r}, or one is already")
        new = self.snapshots / f".{name}"
        remove(new)
        new.mkdir()
        for entry in self.files.iterdir():
            if entry.name != ".zfs":
                run(["cp", "--archive", str(entry), str(new)])
        new.rename(self.snapshots / name)

    def roll_back(self, name: str) -> None:
        """The files of that snapshot, and none else; later snapshots go, as at Hetzner."""
        kept = self._snapshot(name)
        for entry in self.files.iterdir():
            if entry.name != ".zfs":
                remove(entry)
        for entry in kept.iterdir():
            run(["cp", "--archive", str(entry), str(self.files)])
        for later in self.snapshots.iterdir():
            if later.stat().st_ctime > kept.stat().st_ctime:
                remove(later)

    def delete_snapshot(self, name: str) -> None:
        remove(self._snapshot(name))

    def snapshot_names(self) -> list[str]:
        return sorted(p.name for p in self.snapshots.iterdir() if not p.name.startswith("."))

    def _snapshot(self, name: str) -> Path:
        if name not in self.snapshot_names():
            raise Trouble(f"there is no snapshot {name!r}")
        return self.snapshots / name

    # -- host key

    @property
    def _key(self) -> Path:
        return self.root / "etc" / "ssh" / "box_host_key"

    def host_key(self) -> str:
        """The public half: type and base64."""
        return " ".join(self._key.with_suffix(".pub").read_text().split()[:2])

    def new_host_key(self) -> None:
        new = self._key.with_name("box_host_key.new")
        for old in (new, new.with_name(f"{new.name}.pub")):
            old.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(new)])
        new.with_name(f"{new.name}.pub").replace(self._key.with_suffix(".pub"))
        new.replace(self._key)

    def down(self) -> None:
        """Every mount and file of it. Also after half an `up`."""
        for mount in mounts_below(self.folder):
            unmount(mount)
        remove(self.folder)
