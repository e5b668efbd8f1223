#!/usr/bin/env bash
# Exchange clients as their registries ship them, none of them modified, each with a stand-in exchange of its own: first
# directly, then through the proxy. Their steps are those of steps.txt.
#
#   tests/e2e/clients/run.sh PATH-OF-THE-BINARY
#
# Needs python3 (3.11 or newer) with venv, node with npm, jq, and the registries of both (PyPI, npm). Everything is
# installed into a temporary directory. About two minutes.
set -uo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[[ $# == 1 && -x $1 ]] || {
    printf 'usage: %s PATH-OF-THE-BINARY\n' "$0" >&2
    exit 64
}
binary=$(realpath -- "$1")
work=$(mktemp -d)
# shellcheck source=tests/e2e/checks.sh
. "$here/../checks.sh"
started=()

finish() {
    local pid
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf -- "$work"
    printf '%d passed, %d failed, %d s\n' "$passed" "$failed" "$SECONDS"
    ((failed == 0 && passed > 0)) || exit 1
}
trap finish EXIT
trap 'exit 1' INT TERM HUP
abort() {
    check "$*" false
    exit 1
}
within() { # seconds, command...: asks again until it is so
    local end=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

# ---- the clients, from their registries ------------------------------------------------------------------------------

install_python() {
    python3 -m venv "$work/python" &&
        "$work/python/bin/pip" install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes \
            --only-binary :all: --requirement "$here/requirements.txt"
}
install_node() {
    mkdir "$work/node" && cp -- "$here"/package*.json "$here"/*.mjs "$here"/*.txt "$work/node/" &&
        (cd "$work/node" && npm ci --silent --ignore-scripts --no-audit --no-fund)
}
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || abort 'python3 is 3.11 or newer, as cryptocom-exchange demands'
install_python >"$work/python.log" 2>&1 &
python=$!
install_node >"$work/node.log" 2>&1 &
node=$!
check 'the Python clients come from PyPI, with the locked hashes' wait "$python"
check 'the JavaScript clients come from npm, with the locked hashes' wait "$node"
if ((failed > 0)); then
    cat "$work/python.log" "$work/node.log"
    exit 1
fi
"$work/python/bin/pip" list --disable-pip-version-check 2>/dev/null | grep -E '^(ccxt|cryptocom-exchange) '
printf 'ccxt (JavaScript) %s\n' "$(jq -r .version "$work/node/node_modules/ccxt/package.json")"

# ---- an exchange for each ----------------------------------------------------------------------------------------------

# Sets exchange_key, exchange_secret, exchange_base and stand_in.
stand_in() { # name
    "$binary" sandbox --listen 127.0.0.1:0 --env-file-out "$work/$1.env" >"$work/$1.exchange.log" 2>&1 &
    stand_in=$!
    started+=("$stand_in")
    within 10 test -s "$work/$1.env" || abort "$1: the stand-in did not start"
    exchange_key=$(value CRYPTO_API_KEY "$work/$1.env")
    exchange_secret=$(value CRYPTO_API_SECRET "$work/$1.env")
    exchange_base=$(value CRYPTO_REST_BASE "$work/$1.env")
}
value() { sed -n "s/^$1=//p" "$2"; }
stop() { # pids...
    kill "$@" 2>/dev/null
    wait "$@" 2>/dev/null
}

# Runs a client; each of its steps is a check. What it said besides stands below a step that failed.
client() { # script, directly|proxy
    local line lines=0
    local command=("$work/python/bin/python" "$here/$1")
    [[ $1 != *.mjs ]] || command=(node "$work/node/$1")
    env -u http_proxy -u https_proxy -u all_proxy -u HTTP_PROXY -u HTTPS_PROXY -u ALL_PROXY PYTHONDONTWRITEBYTECODE=1 \
        CLIENTS_THROUGH="$2" CLIENTS_REST="$rest" CLIENTS_STREAM="$stream" CLIENTS_KEY="$key" CLIENTS_SECRET="$secret" \
        CLIENTS_CONTROL="${exchange_base%/exchange/v1}/sandbox" "${command[@]}" >"$work/said" 2>"$work/said.err"
    while IFS= read -r line; do
        lines=$((lines + 1))
        check "$1, $2: ${line#* }" test "${line%% *}" = PASS
    done < <(grep -E '^(PASS|FAIL) ' "$work/said")
    check "$1, $2: these were all its steps" grep -qx "DONE $lines" "$work/said"
    if grep -q '^FAIL ' "$work/said" || ((lines == 0)); then tail -n 40 "$work/said.err"; fi
}
for script in ccxt_sync.py ccxt_async.py ccxt_js.mjs cryptocom_rest.py ccxt_pro.py ccxt_pro_js.mjs cryptocom_ws.py; do
    stand_in "$script"
    rest=$exchange_base stream=ws${exchange_base#http} key=$exchange_key secret=$exchange_secret
    client "$script" directly
    stop "$stand_in"
done
