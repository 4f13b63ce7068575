"""`backup` of a first appliance.yaml, with comments; where no store is there yet, all of it is one. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.contract.backup import Policy, Retention

PASSPHRASE = "secrets/backup-passphrase"  # noqa: S105 - where it stands
NODE_KEY = "secrets/backup-node"  # and .pub
OPERATOR_KEY = "secrets/backup-operator"  # and .pub


@dataclass(frozen=True)
class Store:
    """A Storage Box that is there, and takes keys by its console: the lab's."""

    host: str
    port: int
    user: str
    host_key: str
    path: str


_YOURS = Store("u123456.your-storagebox.de", 23, "u123456", "ssh-ed25519 AAAA...", "")


def block(name: str, store: Store | None) -> str:
    """`name`: the appliance's."""
    lines = _COMMENT + (_YOUR_STEPS if store is None else _LABS)
    of = store or _YOURS
    kept, policy = Retention(), Policy.model_fields
    values = f"""\
backup:
  repository:
    kind: sftp
    host: {of.host}
    port: {of.port}
    user: {of.user}
    path: {of.path or name}
    host_key: {of.host_key}
    append_only: true
  passphrase: file:{PASSPHRASE}
  ssh_key: file:{NODE_KEY}
  operator_key: {OPERATOR_KEY}
  every_hours: {policy["every_hours"].default}
  retention: {{hourly: {kept.hourly}, daily: {kept.daily}, weekly: {kept.weekly}, monthly: {kept.monthly}, \
within_days: {kept.within_days}}}
  verify_percent: {policy["verify_percent"].default}
  secrets: true
  webhook: null
"""
    if store is None:
        values = "".join(f"# {line}\n" for line in values.splitlines())
    return lines + values


_COMMENT = """\
# Backups: everything a new node needs to go on where this one stopped, encrypted, off the node. Without
# this block there are none, and `check` and `status` say so. What each store protects from: README, Backups.
#   repository      where they go, by its kind:
#                   sftp    a Storage Box, or any SSH server: host, port, user, path, host_key; and below
#                           ssh_key and operator_key
#                   s3      endpoint, bucket, prefix, region; and below s3_id and s3_secret
#                   folder  path: another machine's file system, mounted on the node
#                   append_only: the node can add backups, and neither change nor delete one
#   passphrase      of the repository. It, and a way into the store, is all that a restore needs: keep a copy
#                   where neither this machine nor the node loses it. `appliance backup kit` prints the sheet
#   ssh_key         the node's key to the store
#   operator_key    yours, that may delete, for `appliance backup prune`. It never goes to the node
#   s3_id, s3_secret   of an access key to kind s3, env:NAME or file:PATH
#   every_hours     1 to 24: what is lost at most
#   retention       how many of each are kept when pruned; within_days: all of so many days. A store that
#                   only takes more is pruned by you (`appliance backup prune`), others by the node itself
#   verify_percent  of all data, read back every week
#   secrets         false leaves keys and token out: a restore then ends with `appliance push` from a desk
#   webhook         a URL that gets a POST when a backup fails. Its address is all that protects it
"""
_LABS = """\
# The store is the lab's Storage Box, which has been given both keys. It goes with `appliance lab down`; after
# the next `lab up`, `appliance init --target lab --force` writes this file for the new one.
"""
_YOUR_STEPS = """\
#
# With a Storage Box of Hetzner's:
#   1. console.hetzner.com, Storage Boxes: make one, in another location than the node. In its settings
#      switch on "SSH support" and "External reachability"; below Snapshots, automatic ones, daily: they are
#      the second line, which nobody can change who has only keys.
#   2. Take away the # below, and put its address, user and host key there. The key:
#        ssh-keyscan -p 23 -t ed25519 u123456.your-storagebox.de
#      Compare its fingerprint (ssh-keygen -lf -) with that on docs.hetzner.com, Storage Box, SSH host keys.
#   3. Your key goes to the box with its password, once; then both, the node's bound to adding:
#        ssh -p 23 u123456@u123456.your-storagebox.de install-ssh-key < secrets/backup-operator.pub
#        appliance backup kit --keys > box-keys     # add other keys that the box is to know
#        scp -P 23 -i secrets/backup-operator box-keys \\
#          u123456@u123456.your-storagebox.de:.ssh/authorized_keys
#   4. `appliance check` tries both keys; then `appliance push` and `appliance backup now`.
"""
