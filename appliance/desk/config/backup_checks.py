"""What must hold within `backup` of appliance.yaml, and what is worth a second thought. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.desk.config import backup_values, values
from appliance.desk.config.backup_file import BackupSection, RepositorySection, RetentionSection
from appliance.desk.config.finding import Finding, group, parsed
from appliance.desk.config.yaml_lines import Value, Where

AT: Where = ("backup",)
IN: Where = ("backup", "repository")
# kind -> keys it must have, keys it may have
OF_REPOSITORY = {
    "sftp": (("host", "user", "path", "host_key"), ("port", "append_only")),
    "s3": (("endpoint", "bucket", "prefix"), ("region", "append_only")),
    "folder": (("path",), ("append_only",)),
}
OF_BACKUP = {
    "sftp": (("ssh_key",), ("operator_key",)),
    "s3": (("s3_id", "s3_secret"), ()),
    "folder": ((), ()),
}


def check_backup(file: dict[str, Value]) -> Iterator[Finding]:
    backup, repository = group(file, "backup"), group(file, "backup", "repository")
    kind = repository.get("kind")
    if not isinstance(kind, str) or kind not in OF_REPOSITORY:
        return
    yield from _belonging(IN, repository, kind, OF_REPOSITORY, RepositorySection)
    yield from _belonging(AT, backup, kind, OF_BACKUP, BackupSection)
    yield from _path(repository, kind)
    yield from _protection(repository, kind)
    yield from _keys(backup, repository, kind)
    yield from _sense(backup)


def _belonging(
    where: Where,
    said: dict[str, Value],
    kind: str,
    keys: dict[str, tuple[tuple[str, ...], tuple[str, ...]]],
    section: type[RepositorySection] | type[BackupSection],
) -> Iterator[Finding]:
    must, may = keys[kind]
    for key in must:
        if said.get(key) is None:
            yield Finding((*where, key), "is missing", section.model_fields[key].description or "")
    for other in sorted({key for pair in keys.values() for key in (*pair[0], *pair[1])} - {*must, *may}):
        if said.get(other) is not None:
            right = f"a repository of kind {kind} has {', '.join((*must, *may)) or 'none such'}"
            yield Finding((*where, other), f"is not for kind {kind}", right)


def _path(repository: dict[str, Value], kind: str) -> Iterator[Finding]:
    key = "prefix" if kind == "s3" else "path"
    said = repository.get(key)
    parse = backup_values.folder if kind == "folder" else backup_values.path
    if isinstance(said, str) and parsed(parse, said) is None:
        other = backup_values.path if kind == "folder" else backup_values.folder
        if parsed(other, said) is not None:  # what it is neither way is told by its own shape
            try:
                parse(said)
            except values.Wrong as wrong:
                yield Finding((*IN, key), wrong.what, wrong.right)


def _protection(repository: dict[str, Value], kind: str) -> Iterator[Finding]:
    """What a thief, or a dying disk, can do to the backups."""
    append_only = repository.get("append_only", kind == "sftp")
    where: Where = (*IN, "append_only") if "append_only" in repository else (*IN, "kind")
    if kind == "folder":
        if append_only is True:
            yield Finding(where, "a folder is not append-only: root on the node can delete it", "false")
        what = "a folder on the node's own disk is lost with it; and whoever breaks in can delete it"
        yield Finding(
            (*IN, "kind"), what, "another machine's file system mounted there, or sftp", warning=True
        )
    elif append_only is False:
        what = "a node that is broken into can delete its own backups"
        right = "true" if kind == "sftp" else "true, with a key at the store that may not delete"
        yield Finding(where, what, right, warning=True)


def _keys(backup: dict[str, Value], repository: dict[str, Value], kind: str) -> Iterator[Finding]:
    if kind != "sftp":
        return
    node = parsed(values.secret_ref, backup.get("ssh_key"))
    operator = parsed(values.path, backup.get("operator_key"))
    append_only = repository.get("append_only", True) is not False
    if append_only and operator is None and backup.get("operator_key") is None:
        what = "nobody could prune: the node can only add, and there is no key that may do more"
        yield Finding((*AT, "operator_key"), what, "the path of a key of yours", warning=True)
    if node is not None and node.source == "file" and operator == node.location:
        what = "is the node's own key: the node could do all that you can"
        yield Finding((*AT, "operator_key"), what, "another key, that stays at the desk")


def _sense(backup: dict[str, Value]) -> Iterator[Finding]:
    if backup.get("secrets") is False:
        what = (
            "keys and token are not in the backup: after a restore nothing answers before `appliance push` "
            "from a desk that has them"
        )
        yield Finding((*AT, "secrets"), what, "true, or keep a copy of them elsewhere", warning=True)
    said = group(backup, "retention")
    counts = [
        said.get(key, field.default)
        for key, field in RetentionSection.model_fields.items()
        if key != "within_days"
    ]
    if all(count == 0 for count in counts):
        what = "keeps nothing that is older than within_days"
        yield Finding((*AT, "retention"), what, "daily: 14 at least", warning=True)
    webhook = parsed(backup_values.webhook, backup.get("webhook"))
    if webhook is not None and webhook.startswith("http://"):
        yield Finding((*AT, "webhook"), "http:// is read by all on its way", "https://", warning=True)
