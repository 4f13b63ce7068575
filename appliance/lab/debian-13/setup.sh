#!/bin/sh
# Runs inside the new root: what Hetzner's image is like, and what a container has no use for.
set -eu

: > /etc/machine-id                      # made at the first boot
rm -f /var/lib/dbus/machine-id /etc/hostname
rm -f /etc/ssh/ssh_host_*                # cloud-init makes them, or takes them from user-data
rm -f /etc/resolv.conf                   # what DHCP would give is written at every power-on
passwd --lock root
echo 'LANG=C.UTF-8' > /etc/default/locale

# No hardware, no boot loader, no terminal to log in at.
systemctl mask --quiet getty@.service getty-static.service console-getty.service \
    systemd-pstore.service systemd-firstboot.service systemd-hwdb-update.service \
    systemd-journal-catalog-update.service systemd-update-done.service ldconfig.service \
    cloud-init-hotplugd.socket

# Disabled, not masked: an image that wants them can enable them.
systemctl disable --quiet apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
    systemd-timesyncd.service systemd-networkd.service 2>/dev/null || true

python3 -m compileall -q /usr/lib/python3/dist-packages/DataSourceHetzner.py
