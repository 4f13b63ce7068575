#!/bin/sh
# Brings a node back from its backup, with nothing but the repository's address and passphrase. README.md beside
# this file is the page for the night. Runs as root on a server made from one of our snapshots, or on a bare
# Debian 13, which it makes a node first; anywhere else (a rescue system) it fetches and verifies, and stops there.
#
#   restore.sh [--list] [--backup ID] [--fetch-only]
#
# Asked for where they are not in the environment:
#   RESTIC_REPOSITORY   sftp://user@host:port/path   s3:https://host/bucket/prefix   /a/folder
#   RESTIC_PASSWORD     the passphrase (or RESTIC_PASSWORD_FILE)
#   SSH_KEY             sftp: file with a private key that the store knows; none: one is made, and installed by password
#   SSH_KEY_APPENDS     sftp: "yes" where that key may only add to the repository, as the node's: then by rclone
#   STORE_HOST_KEY      sftp: "ssh-ed25519 AAAA...", from the recovery sheet; none: its fingerprint is shown
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY   s3
#   OLD_NODE_IS_OFF     "yes"; "drill" where this machine is thrown away afterwards, and the node goes on
#
# Nothing on this machine is touched before all of the backup is here and verified. Run it again after any failure:
# what is done is not done again. The state that was here before is kept beside.
set -eu
umask 077

WORK=/var/lib/appliance-restore # what was fetched, by backup
RUN=/run/appliance-restore      # in memory: keys, passphrase, secrets
STAGING=var/lib/appliance/backup
SECRETS=run/appliance-backup
STATE=/var/lib/openclaw
FORMAT=1

main() {
    list='' wanted=latest fetch_only=''
    while [ $# -gt 0 ]; do
        case $1 in
            --list) list=yes ;;
            --backup) wanted=${2:?--backup wants an ID} && shift ;;
            --fetch-only) fetch_only=yes ;;
            *) fail "unknown word: $1" "$(sed -n '6s/^# *//p' "$0")" ;;
        esac
        shift
    done
    [ "$(id -u)" = 0 ] || fail "This needs root." "run it with sudo"
    mkdir -p "$RUN" "$WORK"
    exec 9> "$RUN/lock"
    flock -n 9 || fail "Another restore is running on this machine." "wait for it, or end it"

    step "Tools" tools
    step "Reach the repository" reach
    if [ -n "$list" ]; then
        ask_restic snapshots --compact
        return
    fi
    step "Choose the backup" choose
    step "Fetch it" fetch
    step "Verify it" verify
    tell_of_it
    if [ -n "$fetch_only" ] || ! can_be_a_node; then
        say "It is in $here and whole. Nothing else was touched."
        return
    fi
    step "The old node is off" fence
    step "Software" software
    step "State" state
    step "Secrets and certificate" secrets
    step "Start" start
    step "Ask every workload" prove
    touch "$here/answered"
    say ""
    say "The node is back, as it was at $(fact at). Took $(($(date +%s) - begun)) s."
    after
}

# --- what the night sees

begun=$(date +%s)
now=''

say() {
    printf '%s\n' "$*"
}

fail() {
    printf '\nFAILED%s: %s\n' "${now:+ at \"$now\"}" "$1" >&2
    printf '  next: %s\n' "$2" >&2
    exit 1
}

step() {
    now=$1
    began=$(date +%s)
    say "--> $1"
    "$2"
    say "    done in $(($(date +%s) - began)) s"
    now=''
}

# prompt NAME "question" [hidden]: into $NAME where it is empty; without a terminal that is a failure.
prompt() {
    eval "given=\${$1:-}"
    # shellcheck disable=SC2154  # set by the eval above
    [ -z "$given" ] || return 0
    [ -t 0 ] || fail "$1 is not set, and nobody is there to ask." "set it in the environment"
    printf '%s: ' "$2" >&2
    if [ -n "${3:-}" ]; then
        stty -echo
        IFS= read -r given || true
        stty echo
        say "" >&2
    else
        IFS= read -r given
    fi
    [ -n "$given" ] || fail "$1 is empty." "run it again"
    eval "$1=\$given"
}

# --- the steps

tools() {
    missing=''
    for pair in restic:restic ssh:openssh-client update-ca-certificates:ca-certificates flock:util-linux; do
        command -v "${pair%%:*}" > /dev/null 2>&1 || missing="$missing ${pair##*:}"
    done
    [ -n "$missing" ] || return 0
    say "    installing$missing"
    # shellcheck disable=SC2086  # names, one a word
    { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $missing; } \
        > "$WORK/apt.log" 2>&1 || fail "apt-get could not install$missing." "see $WORK/apt.log; is the network up?"
}

reach() {
    prompt RESTIC_REPOSITORY "Repository"
    if [ -z "${RESTIC_PASSWORD_FILE:-}" ]; then
        prompt RESTIC_PASSWORD "Passphrase" hidden
        export RESTIC_PASSWORD
    fi
    export RESTIC_REPOSITORY
    export RESTIC_CACHE_DIR="$WORK/cache"
    case $RESTIC_REPOSITORY in
        sftp://*@*/*) reach_by_ssh ;;
        s3:http*)
            prompt AWS_ACCESS_KEY_ID "Access key of the store"
            prompt AWS_SECRET_ACCESS_KEY "Secret key of the store" hidden
            export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
            ;;
        /*) [ -d "$RESTIC_REPOSITORY" ] || fail "There is no folder $RESTIC_REPOSITORY." "mount what it is on" ;;
        *) fail "$RESTIC_REPOSITORY is no address." "sftp://user@host:port/path, s3:https://host/bucket/prefix, /folder" ;;
    esac
    ask_restic cat config > /dev/null
}

reach_by_ssh() {
    there=${RESTIC_REPOSITORY#sftp://}
    there=${there%%/*}
    host=${there#*@} port=22
    case $host in
        *:*) port=${host##*:} host=${host%:*} ;;
        *.your-storagebox.de) port=23 ;;
    esac
    if [ -z "${STORE_HOST_KEY:-}" ]; then
        STORE_HOST_KEY=$(ssh-keyscan -T 20 -p "$port" -t ed25519 "$host" 2> /dev/null | sed -n 's/^[^#][^ ]* //p')
        [ -n "$STORE_HOST_KEY" ] || fail "$host does not answer on port $port." "check the address, then the store"
        say "    $host shows: $(echo "$STORE_HOST_KEY" | ssh-keygen -lf -)"
        sure=''
        prompt sure "The same as on the recovery sheet or the store's own page? yes/no"
        [ "$sure" = yes ] || fail "The store is not known to be the store." "find out who answers there"
    fi
    printf '[%s]:%s %s\n%s %s\n' "$host" "$port" "$STORE_HOST_KEY" "$host" "$STORE_HOST_KEY" > "$RUN/known_hosts"
    ssh="ssh -F none -oIdentitiesOnly=yes -oStrictHostKeyChecking=yes -oConnectTimeout=20 -oServerAliveInterval=15"
    ssh="$ssh -oUserKnownHostsFile=$RUN/known_hosts -i $RUN/key -p $port ${there%%@*}@$host"
    if [ -n "${SSH_KEY:-}" ]; then
        cp "$SSH_KEY" "$RUN/key"
    elif [ ! -s "$RUN/key" ]; then
        say "    no SSH_KEY: making one; the store asks for its password"
        rm -f "$RUN/new" "$RUN/new.pub"
        ssh-keygen -q -t ed25519 -N '' -C appliance-restore -f "$RUN/new"
        # By password: no key of this machine's is known there yet.
        ${ssh% -i *} -oPubkeyAuthentication=no -p "$port" "${there%%@*}@$host" install-ssh-key < "$RUN/new.pub" ||
            fail "The store did not take the key." "set its password in the console, and see that the address is right"
        mv "$RUN/new" "$RUN/key"
    fi
    if [ "${SSH_KEY_APPENDS:-}" = yes ]; then
        # Whatever is asked for, the store answers as the rclone that its authorized_keys name for this key.
        RESTIC_REPOSITORY=rclone:${RESTIC_REPOSITORY#sftp://*/}
        ssh_command="$ssh -oBatchMode=yes"
        ssh_option="rclone.program=$ssh_command"
    else
        ssh_command="$ssh -oBatchMode=yes -s sftp"
        ssh_option="sftp.command=$ssh_command"
    fi
    # By itself first: restic may end before it has passed on what ssh said.
    $ssh_command < /dev/null > /dev/null 2> "$RUN/said" || explain
}

# Restic, without writing to the repository: one that only can be read will do.
ask_restic() {
    if [ -n "${ssh_option:-}" ]; then
        set -- -o "$ssh_option" "$@"
    fi
    restic --no-lock "$@" 2> "$RUN/said" || explain
}

# From the words of restic and ssh to those of this page. The first that fits. (Where a folder's entry is damaged,
# restic 0.18 counts sizes until it panics: "invalid memory address".)
explain() {
    grep -v 'ignoring error' "$RUN/said" | head -n 6 | cut -c 1-300 | sed 's/^/    | /' >&2
    while IFS='|' read -r pattern what next; do
        if grep -q -e "$pattern" "$RUN/said"; then
            fail "$what" "$next"
        fi
    done << 'END'
wrong password|The passphrase is not this repository's.|see the recovery sheet for where it is kept
Host key verification failed|The store shows another host key than the one it is known by.|do not go on before its owner says why
Permission denied|The store does not know the key.|install its public half at the store, or unset SSH_KEY
connection lost|The line to the store broke.|run it again
reset by peer|The line to the store broke.|run it again
refused|The store refuses connections.|see its status page; is SSH (port 23) switched on, and reachable from outside?
timed out|The store does not answer.|see its status page, and the network of this machine
Could not resolve|The store's name is not known here.|check the address, then /etc/resolv.conf
no space left|This machine's disk is full.|free some, or take a larger server
ciphertext|Some of the backup is damaged in the store.|take an older one: --list, then --backup ID
not match|Some of the backup is damaged in the store.|take an older one: --list, then --backup ID
invalid memory address|Some of the backup is damaged in the store.|take an older one: --list, then --backup ID
not found in repository|Some of the repository is missing, its index perhaps.|restic repair index (before 0.16: rebuild-index), then again; or an older one: --list
does not exist|There is no repository, or a part of it is missing.|check the address; with a Storage Box, look into .zfs/snapshot
Is there a repository|There is no repository, or a part of it is missing.|check the address; with a Storage Box, look into .zfs/snapshot
END
    fail "The store, or the way to it, failed." "run it again; if it stays so, the words above say more"
}

choose() {
    if [ "$wanted" = latest ]; then
        ask_restic snapshots --tag appliance --latest 1 --compact > "$RUN/snapshots"
    else
        ask_restic snapshots --compact "$wanted" > "$RUN/snapshots"
    fi
    id=$(grep -E '^[0-9a-f]{8} ' "$RUN/snapshots" | sort -k 2,3 | tail -n 1 | cut -d ' ' -f 1)
    [ -n "$id" ] || fail "There is no such backup in the repository." "--list shows them"
    here=$WORK/$id
    mkdir -p "$here"
    say "    $id of $(grep "^$id" "$RUN/snapshots" | awk '{print $2, $3}')"
}

fetch() {
    [ ! -e "$here/fetched" ] || return 0
    ask_restic stats --mode restore-size --json "$id" > "$RUN/stats"
    need=$(sed -n 's/.*"total_size":\([0-9]*\).*/\1/p' "$RUN/stats")
    free=$(($(df -Pk "$WORK" | awk 'END {print $4}') * 1024))
    # Once fetched, once in place.
    [ "$((need * 2))" -lt "$free" ] || fail "$need bytes are to come, $free are free." "free some, or take a larger server"
    ask_restic restore "$id" --verify --target "$here" --include "/$STAGING" > "$WORK/restic.log"
    touch "$here/fetched"
}

verify() {
    backup=$here/$STAGING
    manifest=$backup/manifest.json
    for file in "$manifest" "$backup/SHA256SUMS"; do
        [ -s "$file" ] || fail "There is no ${file##*/} in it." "take an older one: --list"
    done
    [ "$(fact format)" = "$FORMAT" ] || fail "Its format is $(fact format), this file reads $FORMAT." "get the matching one"
    if [ "$(sha256sum < "$backup/SHA256SUMS" | cut -d ' ' -f 1)" != "$(fact sums)" ] ||
        ! (cd "$backup" && sha256sum --quiet -c SHA256SUMS); then
        fail "What was fetched is not what was backed up." "remove $here and try again, or take an older one: --list"
    fi
}

# A value of the manifest, which has a key a line.
fact() {
    sed -n "s/^ \"$1\": *\"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$manifest"
}

tell_of_it() {
    say "    $(fact name), node $(fact node), $(fact at), OpenClaw $(fact openclaw), $(fact files) files, $(fact bytes) bytes"
}

can_be_a_node() {
    [ -d /run/systemd/system ] || return 1
    [ -x /usr/local/sbin/appliance-node ] && return
    # shellcheck source=/dev/null
    (. /etc/os-release && [ "$ID $VERSION_ID" = "debian 13" ]) || return 1
    [ "$(findmnt -n -o FSTYPE /)" != tmpfs ] # Hetzner's rescue system runs from memory
}

fence() {
    OLD_NODE_IS_OFF=${OLD_NODE_IS_OFF:-}
    [ ! -e "$here/answered" ] || fail "This backup was restored here on $(cat "$here/done")." "remove $here to do it again"
    if [ "$OLD_NODE_IS_OFF" = drill ]; then
        # It may wake beside the node with the same identity, as long as it can speak to nobody.
        nft list chain inet appliance output | grep -q "skuid $(id -u openclaw) oif != \"lo\" reject" ||
            fail "A drill's gateway must reach nobody, and this machine's could." "drill on a server from one of our snapshots"
        say "    a drill: it is not, but the gateway here can reach nobody"
        return
    fi
    prompt OLD_NODE_IS_OFF "Two nodes with one identity do harm. Is $(fact node) powered off? yes/no"
    [ "$OLD_NODE_IS_OFF" = yes ] || fail "The old node is not off." "power it off in the Hetzner console, then run this again"
}

software() {
    if [ ! -x /usr/local/sbin/appliance-node ] || [ -e "$WORK/bake" ]; then
        bake
    fi
    have=$(openclaw_version)
    newest=$(printf '%s\n%s\n' "$have" "$(fact openclaw)" | sort -V | tail -n 1)
    [ "$newest" = "$have" ] ||
        fail "The backup is of OpenClaw $(fact openclaw), this machine has $have." "use a newer snapshot, or a bare Debian 13"
    say "    OpenClaw $have"
}

openclaw_version() {
    sed -n 's/^  "version": "\(.*\)",$/\1/p' /opt/openclaw/node_modules/openclaw/package.json
}

# A bare Debian becomes a node by the very scripts that baked the old one; the backup carries them.
bake() {
    [ -d "$backup/recipe/image/scripts" ] || fail "The backup has no recipe for a bare Debian." "use one of our snapshots"
    grep -q '^ssh-' /root/.ssh/authorized_keys 2> /dev/null ||
        say "    BEWARE: from now on SSH takes keys only, and /root/.ssh/authorized_keys has none"
    rm -rf "$WORK/bake"
    cp -R "$backup/recipe" "$WORK/bake"
    chmod -R go=u-w "$WORK/bake" # the modes of its folders become those of /, /etc, /usr
    for script in "$WORK"/bake/image/scripts/[1-5]*.sh; do
        say "    baking: $(basename "$script" .sh)"
        (umask 022 && cd "$WORK/bake" && BAKE=$WORK/bake bash "$script") > "$WORK/bake.log" 2>&1 ||
            fail "$(basename "$script") failed: $(tail -n 1 "$WORK/bake.log")" "see $WORK/bake.log, then run this again"
    done
    systemctl daemon-reload
    systemd-tmpfiles --create 2> "$RUN/said"
    systemctl start appliance-first-boot.service
    rm -rf "$WORK/bake"
}

state() {
    [ ! -e "$here/state" ] || return 0
    rm -rf "$STATE.new"
    if ! cp -R "$backup/state" "$STATE.new" 2> "$RUN/said"; then
        rm -rf "$STATE.new"
        fail "The state could not be copied: $(tail -n 1 "$RUN/said")" "free some space, then run this again"
    fi
    chown -R openclaw:openclaw "$STATE.new"
    chmod -R u=rwX,go= "$STATE.new"
    systemctl stop openclaw.service haproxy.service
    if [ -e "$STATE" ]; then
        mv "$STATE" "$STATE.before-$(date +%Y%m%dT%H%M%S)"
    fi
    mv "$STATE.new" "$STATE"
    sync
    touch "$here/state"
}

# The bundle as the desk would push it: the node's own command checks it and encrypts what is secret.
secrets() {
    ask_restic restore "$id" --target "$RUN" --include "/$SECRETS" > /dev/null
    given=$RUN/$SECRETS
    if [ ! -s "$given/secrets.json" ]; then
        fail "The secrets were left out of this backup; the state is in place." "appliance push, from a desk that has them"
    fi
    mkdir -p "$RUN/bundle"
    cp -R "$backup/bundle/." "$RUN/bundle"
    cp "$given/secrets.json" "$RUN/bundle/"
    if [ -s "$given/own-tls-key.pem" ] && [ ! -e /etc/appliance/tls-own/tls-key.cred ]; then
        systemd-creds encrypt --with-key=host --name=tls-key "$given/own-tls-key.pem" "$RUN/tls-key.cred" 2> "$RUN/said"
        install -d -m 755 /etc/appliance/tls-own
        install -m 600 "$RUN/tls-key.cred" /etc/appliance/tls-own/
        install -m 644 "$backup/tls/certificate.pem" /etc/appliance/tls-own/
    fi
    (cd "$RUN/bundle" && find manifest.json files secrets.json -type f) > "$RUN/members"
    tar -C "$RUN/bundle" -cf - -T "$RUN/members" | node_command receive > "$RUN/received" ||
        fail "The node refused the bundle: $(cat "$RUN/received")" "use the snapshot that the backup was made on"
}

start() {
    node_command activate "$(fact bundle)" > "$RUN/activated" ||
        fail "The node did not come up: $(tail -n 1 "$RUN/activated")" "journalctl -u openclaw -u haproxy; then run this again"
    date > "$here/done"
}

# What it makes others must read: the gateway its config, the edge its certificate.
node_command() {
    (umask 022 && exec appliance-node "$@")
}

prove() {
    # Its own address, not loopback: the gateway takes that for its proxy.
    own=$(ip -4 -o address show scope global | awk '{sub("/.*", "", $4); print $4; exit}')
    python3 - "$manifest" "$RUN/bundle/secrets.json" "$own" << 'END' || fail "Not every workload answers." "the node is up: see its providers"
import http.client, json, ssl, sys, time
manifest, secrets = (json.load(open(path)) for path in sys.argv[1:3])
context = ssl._create_unverified_context()  # this machine itself
bad = 0
for workload in manifest["workloads"]:
    began = time.monotonic()
    try:
        edge = http.client.HTTPSConnection(sys.argv[3], 443, timeout=300, context=context)
        ask = {"model": "openclaw", "messages": [{"role": "user", "content": "Answer with the one word: ready"}]}
        head = {"Authorization": "Bearer " + secrets["gateway-token"], "Content-Type": "application/json"}
        edge.request("POST", f"/{workload}/v1/chat/completions", json.dumps(ask), head)
        answer = edge.getresponse()
        told = answer.read(500).decode(errors="replace")
        said = "answers" if answer.status == 200 else f"HTTP {answer.status}: {told}"
        bad += answer.status != 200
    except OSError as error:
        said, bad = str(error), bad + 1
    print(f"    {workload}: {said} ({time.monotonic() - began:.1f} s)")
sys.exit(bool(bad))
END
}

after() {
    say "Its address is $own. Clients trust the certificate for the old one's address and names:"
    say "move the primary IP here (Hetzner console; both servers off), or the DNS name; then delete the old node."
    say "The state that was on this machine is in $STATE.before-*, if there was any; what was fetched is in $here."
    rm -rf "$RUN"
}

main "$@"
