#!/bin/bash
# Leave nothing of this machine, of the bake, or of the surroundings in the snapshot.
set -eu

main() {
    export DEBIAN_FRONTEND=noninteractive
    cd /
    echo "removing what only the bake needed"
    # shellcheck disable=SC2046  # names, one a word
    apt-get -q -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io purge --autoremove \
        $(sed -e 's/#.*//' "$BAKE/image/packages-bake.txt")
    apt-get clean
    find /var/lib/apt/lists -mindepth 1 -delete
    find /root /opt -name __pycache__ -prune -exec rm -rf {} +

    echo "removing what the surroundings lent"
    find /usr/local/share/ca-certificates -type f -delete
    update-ca-certificates --fresh > /dev/null
    grep -lE '^[^#]*Proxy' /etc/apt/apt.conf /etc/apt/apt.conf.d/* 2> /dev/null | xargs -r rm -v
    : > /etc/environment
    rm -rf /root/.npmrc /root/.npm /root/.cache /root/.config /etc/pip.conf /etc/npmrc

    echo "removing what belongs to one machine"
    rm -rf /var/lib/openclaw /var/log/openclaw /var/lib/appliance /etc/appliance/current /etc/appliance/tls /etc/appliance/tls-own
    find /etc/appliance/bundles -mindepth 1 -delete
    rm -f /etc/ssh/ssh_host_* /etc/ssh/appliance_host_* /etc/ssh/sshd_config.d/05-host-key.conf
    rm -rf /root/.ssh /home/*/.ssh
    rm -f /var/lib/systemd/credential.secret /var/lib/systemd/random-seed /etc/hostname
    cloud-init clean --logs --machine-id --seed --configs all
    rm -rf /var/lib/cloud
    # Empty, not "uninitialized" as cloud-init leaves it: that would make systemd enable every unit by its presets.
    : > /etc/machine-id
    journalctl --rotate --quiet 2> /dev/null || true
    find /var/log -type f -delete
    rm -rf /var/log/journal/*
    find /tmp /var/tmp -mindepth 1 -maxdepth 1 ! -name 'systemd-private-*' -exec rm -rf {} +
    rm -f /root/.bash_history /root/.lesshst /root/.wget-hsts /root/.viminfo /root/.python_history
    rm -rf "$BAKE"
    fstrim --all 2> /dev/null || true
    sync
    echo "sealed"
}

main
exit 0
