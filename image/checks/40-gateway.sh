#!/bin/bash
# A throw-away bundle through the real door: received, activated, the gateway ready in its sandbox, the edge before it.
# This server is deleted afterwards, so what it leaves here goes too.
set -eu

main() {
    local folder
    folder=$(mktemp -d /run/check.XXXXXX)
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=check \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$folder/key.pem" -out "$folder/chain.pem" 2> /dev/null
    PYTHONPATH=/usr/lib/appliance PYTHONDONTWRITEBYTECODE=1 python3 throw_away_bundle.py "$folder" > "$folder/bundle.tar"
    appliance-node receive < "$folder/bundle.tar"
    appliance-node activate "$(cat "$folder/digest")"

    # By an address of its own: the gateway takes no forwarded client from loopback.
    edge="https://$(ip -4 -o route get 169.254.169.254 | sed 's/.* src \([^ ]*\).*/\1/')"
    status 401 "$edge/v1/models"
    status 401 "$edge/first/v1/models"
    status 200 "$edge/v1/models" -H "@$folder/authorization"
    for path in / /readyz /startupz /other/v1/models /v1/embeddings /first/readyz /first/v1/../readyz; do
        status 404 "$edge$path"
    done
    status 404 "$edge/first/v1/../../readyz" --path-as-is
    status 200,503 "$edge/healthz"
    router
    reload
    status 200 "$edge/v1/models" -H "@$folder/authorization"
    ! grep -rqF "$(cut -d' ' -f3 "$folder/authorization")" /etc/appliance /var/log /var/lib/openclaw \
        || bad "the gateway's token stands in a file in clear"
    failed=$(systemctl list-units --failed --plain --no-legend | cut -d' ' -f1)
    [ -z "$failed" ] || bad "failed units: $failed"
    appliance-node report > /dev/null
    rm -rf "$folder"
    echo "the gateway was ready, behind TLS"
}

# status WANTED[,WANTED] URL [curl's options]
status() {
    local wanted="$1" got
    shift
    got=$(curl -sk --noproxy '*' --max-time 20 -o /dev/null -w '%{http_code}' "$@")
    case ",$wanted," in
        *",$got,"*) ;;
        *) bad "$1 answers $got, not $wanted" ;;
    esac
}

# The router runs, and only the gateway, the health page and root come to it.
router() {
    local user
    [ "$(systemctl is-active appliance-router.service)" = active ] || bad "the router does not run"
    status 200 http://127.0.0.1:8791/healthz
    for user in openclaw appliance-health; do
        knock "$user" || bad "$user cannot come to the router"
    done
    for user in haproxy appliance-router nobody; do
        ! knock "$user" || bad "$user can come to the router"
    done
}

knock() {
    runuser -u "$1" -- bash -c ': > /dev/tcp/127.0.0.1/8791' 2> /dev/null
}

# The edge's worker is replaced by a new one.
reload() {
    local master worker
    master=$(systemctl show --value --property MainPID haproxy.service)
    worker=$(pgrep --parent "$master")
    systemctl reload haproxy.service
    for _ in $(seq 50); do
        kill -0 "$worker" 2> /dev/null || return 0
        sleep 0.1
    done
    bad "the edge's old worker stays after a reload"
}

bad() {
    echo "wrong: $*"
    exit 1
}

main
