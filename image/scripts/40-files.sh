#!/bin/bash
# files/ at their real paths, and the node's own code.
set -eu

main() {
    cp -R --preserve=mode --no-preserve=ownership "$BAKE/image/files/." /
    rm -rf /usr/lib/appliance
    mkdir -p /usr/lib/appliance
    cp -R --no-preserve=ownership "$BAKE/code/appliance" /usr/lib/appliance/
    python3 -m compileall -q /usr/lib/appliance
    # What this node was baked from goes into its backups: on a bare Debian restore.sh bakes it again.
    rm -rf /usr/share/appliance/recipe
    mkdir -p /usr/share/appliance/recipe
    cp -R --no-preserve=ownership "$BAKE/image" /usr/share/appliance/recipe/
    install -d -m 755 /etc/appliance /etc/appliance/bundles
    install -m 644 "$BAKE/inputs" /etc/appliance/inputs
    systemd-sysusers /etc/sysusers.d/appliance.conf
    echo "$(find "$BAKE/image/files" -type f | wc -l) files and the node's code in place"
}

main
