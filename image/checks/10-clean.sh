#!/bin/bash
# Nothing of the bake, of its machine or of its surroundings is left in the snapshot.
set -u

wrong=0
bad() {
    echo "wrong: $*"
    wrong=1
}
gone() {
    local path
    for path in "$@"; do
        [ ! -e "$path" ] || bad "$path is there"
    done
}

[ "$(cat /etc/appliance/inputs)" = "$(cat inputs)" ] || bad "/etc/appliance/inputs is not that of this bake"
[ -z "$(find /usr/local/share/ca-certificates -type f)" ] || bad "extra CA certificates are trusted"
for certificate in /etc/ssl/certs/*.pem; do
    case "$(readlink "$certificate")" in
        /usr/share/ca-certificates/*) ;;
        *) bad "$certificate is not one of Debian's" ;;
    esac
done
! grep -rqiE '^[^#/]*proxy' /etc/apt/apt.conf.d /etc/apt/apt.conf 2> /dev/null || bad "apt has a proxy"
[ ! -s /etc/environment ] || bad "/etc/environment is not empty"
! env | grep -qiE '^[a-z]*_proxy=' || bad "the environment names a proxy"

gone /root/bake /root/.npm /root/.npmrc /root/.cache /root/.bash_history /etc/pip.conf /usr/bin/pip3
gone /var/lib/openclaw/state /var/lib/appliance/canary.json /var/lib/appliance/backup.json /var/cache/appliance-restic
gone /etc/appliance/current /etc/appliance/tls /etc/ssh/appliance_host_ed25519_key
gone /etc/ssh/sshd_config.d/05-host-key.conf
[ -z "$(ls -A /etc/appliance/bundles)" ] || bad "a bundle is there"
[ -z "$(find /var/lib/apt/lists -type f)" ] || bad "apt's lists are there"
[ -z "$(find /var/cache/apt/archives -name '*.deb')" ] || bad "downloaded packages are there"
[ "$(wc -l < /root/.ssh/authorized_keys)" -eq 1 ] || bad "authorized_keys holds another key than this server's"
# What this server made itself is younger than its boot.
booted=$(stat -c %Y /proc/1)
for path in /etc/machine-id /etc/ssh/ssh_host_ed25519_key /var/lib/systemd/credential.secret; do
    if [ ! -s "$path" ]; then
        bad "$path was not made at the first boot"
    elif [ "$(stat -c %Y "$path")" -lt "$((booted - 5))" ]; then
        bad "$path is older than this server"
    fi
done

[ "$wrong" -ne 0 ] || echo "nothing of the bake is left"
exit "$wrong"
