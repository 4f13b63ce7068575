#!/bin/bash
# Units are enabled, well formed and sandboxed; none failed; credentials can be encrypted; versions are the pinned ones.
set -u

wrong=0
bad() {
    echo "wrong: $*"
    wrong=1
}

units=(appliance-backup.timer appliance-backup-verify.timer appliance-canary.timer appliance-first-boot.service appliance-health.service
    appliance-private-network.service appliance-private-network.timer appliance-router.service haproxy.service
    nftables.service openclaw.service ssh.service)
for unit in "${units[@]}"; do
    [ "$(systemctl is-enabled "$unit")" = enabled ] || bad "$unit is not enabled"
done
systemd-analyze verify --man=no "${units[@]}" || bad "systemd-analyze verify"
for unit in appliance-health.service nftables.service ssh.service appliance-backup.timer \
    appliance-backup-verify.timer appliance-canary.timer \
    appliance-private-network.timer; do
    [ "$(systemctl is-active "$unit")" = active ] || bad "$unit does not run"
done
# Waiting for a bundle, not failing for want of one.
for unit in appliance-router.service openclaw.service haproxy.service; do
    [ "$(systemctl is-active "$unit")" = inactive ] || bad "$unit is $(systemctl is-active "$unit") without a bundle"
done
failed=$(systemctl list-units --failed --plain --no-legend | cut -d' ' -f1)
[ -z "$failed" ] || bad "failed units: $failed"

# unit and the most exposure it may have, in tenths
while read -r unit most; do
    systemd-analyze security --no-pager --threshold="$most" "$unit" > /dev/null \
        || bad "$unit: $(systemd-analyze security --no-pager "$unit" | tail -1)"
done << END
openclaw.service 9
appliance-router.service 11
haproxy.service 15
appliance-health.service 12
appliance-canary.service 11
appliance-backup.service 23
appliance-backup-verify.service 16
END

echo probe | systemd-creds encrypt --with-key=host --name=probe - - 2> /dev/null | systemd-creds decrypt --name=probe - - 2> /dev/null \
    | grep -qx probe || bad "systemd-creds does not encrypt and decrypt"

[ "$(/opt/node/bin/node --version)" = "$(cat /opt/node/version)" ] || bad "Node.js is not $(cat /opt/node/version)"
pinned=$(sed -n 's/.*"openclaw": "\(.*\)".*/\1/p' /opt/openclaw/package.json)
installed=$(sed -n 's/^ *"version": "\(.*\)".*/\1/p' /opt/openclaw/node_modules/openclaw/package.json)
[ "$installed" = "$pinned" ] || bad "OpenClaw is $installed, pinned is $pinned"
[ ! -e /opt/openclaw/node_modules/openclaw/.openclaw-lifecycle-pending ] || bad "OpenClaw's installation is not finished"
[ -s /usr/share/appliance/recipe/image/scripts/10-packages.sh ] || bad "backups would have no recipe"
[ -z "$(find /opt /usr/lib/appliance /etc/appliance ! -user root -print -quit)" ] || bad "code that is not root's"
[ -z "$(find /opt /usr/lib/appliance /usr/local -perm /022 ! -type l -print -quit)" ] || bad "code that others may write"

[ "$wrong" -ne 0 ] || echo "services in order; Node.js $(cat /opt/node/version), OpenClaw $installed"
exit "$wrong"
