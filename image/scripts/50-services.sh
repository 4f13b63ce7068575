#!/bin/bash
# What starts at boot, and that its units and configs are well formed.
set -eu

main() {
    local units=(appliance-backup.timer appliance-backup-verify.timer appliance-canary.timer appliance-first-boot.service appliance-health.service
        appliance-private-network.service appliance-private-network.timer appliance-router.service haproxy.service
        nftables.service openclaw.service ssh.service systemd-timesyncd.service)
    systemctl daemon-reload
    systemctl enable --quiet "${units[@]}"
    systemd-analyze verify --man=no "${units[@]}"
    nft --check --file /etc/nftables.conf
    mkdir -p /run/sshd
    sshd -t
    echo "${#units[@]} units enabled"
}

main
