#!/bin/bash
# Debian's packages, brought up to date and completed by packages.txt.
set -eu

main() {
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -q -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold -o Acquire::Retries=3
        -o Dpkg::Options::=--force-unsafe-io)

    # Nothing starts while it is being installed.
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d

    # By itself apt takes old lists, or none, where a mirror fails: security updates would be missing.
    "${apt[@]}" -o APT::Update::Error-Mode=any update
    "${apt[@]}" upgrade
    # shellcheck disable=SC2046  # names, one a word
    "${apt[@]}" install --no-install-recommends $(names packages.txt packages-bake.txt)
    # Hetzner's own way of configuring private NICs; ours is appliance-private-network.service.
    if dpkg-query -W hc-utils > /dev/null 2>&1; then
        "${apt[@]}" purge hc-utils
    fi
    rm /usr/sbin/policy-rc.d
    echo "$(dpkg-query -W | wc -l) packages installed"
}

names() {
    (cd "$BAKE/image" && sed -e 's/#.*//' "$@")
}

main
