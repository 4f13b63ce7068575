#!/bin/bash
# Closed to the network: the firewall, what listens, SSH, the metadata service.
set -u

wrong=0
bad() {
    echo "wrong: $*"
    wrong=1
}

rules=$(nft list ruleset)
for hook in input forward; do
    grep -q "hook $hook priority filter; policy drop;" <<< "$rules" || bad "nftables: $hook does not drop by default"
done
grep -q 'ip daddr 169.254.169.254 meta skuid != 0 reject' <<< "$rules" || bad "nftables: metadata is open to all users"

listening=$(ss -H -l -n -t -u | awk '{print $1, $5}')
while read -r protocol address; do
    case "$protocol $address" in
        "tcp 0.0.0.0:22" | "tcp [::]:22" | *" 127."* | *" [::1]:"*) ;;
        "udp "*:68 | "udp "*:546) ;;
        *) bad "$protocol $address listens" ;;
    esac
done <<< "$listening"
grep -q 'tcp 127.0.0.1:8790' <<< "$listening" || bad "the health page does not listen"

ssh=$(sshd -T 2> /dev/null)
for setting in 'permitrootlogin without-password' 'passwordauthentication no' 'kbdinteractiveauthentication no' \
    'authenticationmethods publickey' 'permitemptypasswords no' 'x11forwarding no' 'allowtcpforwarding no' \
    'allowagentforwarding no' 'permituserenvironment no' 'allowusers root'; do
    grep -qxi "$setting" <<< "$ssh" || bad "sshd: not \"$setting\""
done

metadata=http://169.254.169.254/hetzner/v1/metadata/instance-id
curl -fsS --noproxy '*' --max-time 10 -o /dev/null "$metadata" || bad "root cannot read the metadata service"
for user in openclaw appliance-router appliance-health haproxy nobody; do
    ! runuser -u "$user" -- curl -fsS --noproxy '*' --max-time 3 -o /dev/null "$metadata" 2> /dev/null \
        || bad "$user can read the metadata service"
done
# A datagram to nowhere (a documentation address): what the firewall forbids fails at once.
out() {
    runuser -u "$1" -- bash -c 'echo > /dev/udp/192.0.2.1/9' 2> /dev/null
}
out appliance-router || bad "appliance-router cannot send to the world"
! out openclaw || bad "openclaw can send to the world"
[ -z "$(awk -F: '$2 !~ /^[!*]/ {print $1}' /etc/shadow)" ] || bad "an account has a password"

[ "$wrong" -ne 0 ] || echo "closed but for SSH by key"
exit "$wrong"
