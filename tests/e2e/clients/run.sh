#!/usr/bin/env bash
# Exchange clients as their registries ship them, none of them modified, each with a stand-in exchange of its own: first
# directly, then through the proxy. Their steps are those of the lists beside them: steps.txt, names_steps.txt …
#
#   tests/e2e/clients/run.sh PATH-OF-THE-BINARY [SCRIPT...]
#
# Two are so large that they run only when they are named: dot_com_sdk.py (450 MB) and freqtrade_live.py (600 MB).
#
# Needs python3 (3.11 or newer) with venv, node (18 or newer) with npm, jq, curl, and the registries of both (PyPI, npm).
# Everything is installed into a temporary directory. About six minutes.
set -uo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[[ $# -ge 1 && -x $1 ]] || {
    printf 'usage: %s PATH-OF-THE-BINARY [SCRIPT...]\n' "$0" >&2
    exit 64
}
binary=$(realpath -- "$1")
shift
scripts=("$@")
((${#scripts[@]} > 0)) || scripts=(ccxt_sync.py ccxt_async.py ccxt_js.mjs cryptocom_rest.py backend.py added.py again.py ccxt_pro.py ccxt_pro_js.mjs cryptocom_ws.py
    websocket_client.py crypto_com_client.py crypto_com_sdk.py bittrade.py one_key.py one_key_js.mjs)
work=$(mktemp -d)
# shellcheck source=tests/e2e/checks.sh
. "$here/../checks.sh"
started=()
readonly TOKEN=invented-token-0123456789

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

# ---- the clients, from their registries ------------------------------------------------------------------------------

# The lock of a script's packages; its venv has the same name.
lock() { # script
    case $1 in
        websocket_client.py | crypto_com_client.py | crypto_com_sdk.py | bittrade.py) echo others ;;
        dot_com_sdk.py | freqtrade_live.py) echo "${1%.py}" ;;
        *) echo requirements ;;
    esac
}
install_python() { # lock
    local hashes=(--require-hashes)
    grep -q -- --hash= "$here/$1.txt" || hashes=()
    python3 -m venv "$work/$1" &&
        "$work/$1/bin/pip" install --quiet --disable-pip-version-check --no-compile --no-deps "${hashes[@]}" \
            --only-binary :all: --requirement "$here/$1.txt"
}
install_node() {
    mkdir "$work/node" && cp -- "$here"/package*.json "$here"/*.mjs "$here"/*.txt "$work/node/" &&
        (cd "$work/node" && npm ci --silent --ignore-scripts --no-audit --no-fund)
}
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || abort 'python3 is 3.11 or newer, as cryptocom-exchange demands'
mapfile -t locks < <({ echo requirements && for script in "${scripts[@]}"; do lock "$script"; done; } | sort -u)
installing=()
for lock in "${locks[@]}"; do
    install_python "$lock" >"$work/$lock.log" 2>&1 &
    installing+=("$!")
done
install_node >"$work/node.log" 2>&1 &
node=$!
for at in "${!locks[@]}"; do
    check "the Python clients of ${locks[at]}.txt come from PyPI, as locked" wait "${installing[at]}"
done
check 'the JavaScript clients come from npm, with the locked hashes' wait "$node"
if ((failed > 0)); then
    cat "$work"/*.log
    exit 1
fi
"$work/requirements/bin/pip" list --disable-pip-version-check 2>/dev/null | grep -E '^(ccxt|cryptocom-exchange) '
printf 'ccxt (JavaScript) %s\n' "$(jq -r .version "$work/node/node_modules/ccxt/package.json")"

# ---- an exchange for each, and a proxy before it -----------------------------------------------------------------------

# Sets exchange_key, exchange_secret, exchange_base and stand_in.
stand_in() { # directory
    "$binary" sandbox --listen 127.0.0.1:0 --env-file-out "$1/exchange.env" --executed "$1/executed.jsonl" >"$1/exchange.log" 2>&1 &
    stand_in=$!
    started+=("$stand_in")
    within 10 test -s "$1/exchange.env" || abort "$1: the stand-in did not start"
    exchange_key=$(value CRYPTO_API_KEY "$1/exchange.env")
    exchange_secret=$(value CRYPTO_API_SECRET "$1/exchange.env")
    exchange_base=$(value CRYPTO_REST_BASE "$1/exchange.env")
}
value() { sed -n "s/^$1=//p" "$2"; }
# Sets recorder and address.
record() { # to, directory
    mkdir -p "$2"
    "$work/requirements/bin/python" "$here/recorder.py" "$1" "$2" >"$2.port" 2>"$2.log" &
    recorder=$!
    started+=("$recorder")
    within 10 test -s "$2.port" || abort "$2: the recorder did not start"
    address=127.0.0.1:$(<"$2.port")
}
# The daemon as an operator runs it, but for the places of its files: between two recorders, with one caller, who may
# trade. Sets base, key and secret, and daemon.
proxy() { # directory
    local environment exchange port
    mkdir "$1/state"
    : >"$1/config.toml"
    exchange=${exchange_base#http://}
    record "${exchange%/exchange/v1}" "$1/upstream"
    mapfile -t environment < <(grep -v '^CRYPTO_REST_BASE=' "$1/exchange.env")
    environment+=("CRYPTO_REST_BASE=http://$address/exchange/v1" CRYPTO_PROXY_LISTEN=127.0.0.1:0 "CRYPTO_PROXY_TOKEN=$TOKEN"
        CRYPTO_PROXY__EGRESS__ENABLED=false "STATE_DIRECTORY=$1/state")
    [[ $1 != */added.py ]] || environment+=(CRYPTO_PROXY__ORDERS__ADD_CLIENT_OID=true)
    env -i "${environment[@]}" "$binary" caller --config "$1/config.toml" add strategy --preset trade --out "$1/caller.env" \
        >"$1/caller.log" 2>&1 || abort "$1: the caller was not added: $(<"$1/caller.log")"
    env -i "${environment[@]}" "$binary" serve --config "$1/config.toml" >"$1/daemon.log" 2>&1 &
    daemon=$!
    started+=("$daemon")
    within 10 listens "$1/daemon.log" || abort "$1: the daemon did not start: $(<"$1/daemon.log")"
    port=$(sed -n 's/.* listens on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$1/daemon.log" | head -n 1)
    record "127.0.0.1:$port" "$1/downstream"
    base=http://$address
    key=$(value CRYPTO_PROXY_VIRTUAL_KEY "$1/caller.env")
    secret=$(value CRYPTO_PROXY_VIRTUAL_SECRET "$1/caller.env")
}
listens() { grep -qs ' listens on ' "$1"; }
stop() { # pids...
    kill "$@" 2>/dev/null
    wait "$@" 2>/dev/null
}

# What is said to loopback goes there, whatever the environment says about proxies.
without_proxies() {
    env -u http_proxy -u https_proxy -u all_proxy -u HTTP_PROXY -u HTTPS_PROXY -u ALL_PROXY PYTHONDONTWRITEBYTECODE=1 "$@"
}
# Sets command: what runs a script, which lies in this directory.
runs() { # directory, script
    command=("$work/$(lock "${2#recipe_}")/bin/python" "$1/$2")
    [[ $2 != *.mjs ]] || command=(node "$work/node/$2")
}
# Runs a client; each of its steps is a check. What it said besides stands below a step that failed.
client() { # script, directly|proxy
    local line lines=0 command
    runs "$here" "$1"
    without_proxies CLIENTS_THROUGH="$2" CLIENTS_REST="$base/exchange/v1" CLIENTS_STREAM="ws${base#http}/exchange/v1" CLIENTS_KEY="$key" CLIENTS_SECRET="$secret" \
        CLIENTS_CONTROL="${exchange_base%/exchange/v1}/sandbox" CLIENTS_EXECUTED="$dir/executed.jsonl" CLIENTS_TOKEN="$TOKEN" CLIENTS_RECIPES="$work/node" \
        "${command[@]}" >"$work/said" 2>"$work/said.err"
    while IFS= read -r line; do
        lines=$((lines + 1))
        check "$1, $2: ${line#* }" test "${line%% *}" = PASS
    done < <(grep -E '^(PASS|FAIL) ' "$work/said")
    check "$1, $2: these were all its steps" grep -qx "DONE $lines" "$work/said"
    if grep -q '^FAIL ' "$work/said" || ! grep -q '^DONE ' "$work/said"; then tail -n 40 "$work/said.err"; fi
}
# ---- secrets -----------------------------------------------------------------------------------------------------------

# Which of the four are anywhere in these recordings.
found() { # directory...
    printf '%s=%s\n' real_key "$exchange_key" real_secret "$exchange_secret" virtual_key "$key" virtual_secret "$secret" |
        "$work/requirements/bin/python" "$here/search.py" "$@"
}
# The search finds what it must not find elsewhere: a secret in hex, one in base64, one in a masked frame.
search_works() {
    local dir=$work/planted key=invented-key-0123456789 secret=invented-secret-0123456789
    mkdir "$dir"
    printf 'x%s' "$exchange_secret" | base64 -w 0 >"$dir/base64"
    printf '%s' "$exchange_key" | od -An -v -tx1 | tr -d ' \n' >"$dir/hex"
    {
        printf 'GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x81\x97\x01\x02\x03\x04'
        "$work/requirements/bin/python" -c 'import sys; sys.stdout.buffer.write(bytes(b ^ (i % 4 + 1) for i, b in enumerate(sys.argv[1].encode())))' "$key"
    } >"$dir/frame"
    is "$(found "$dir")" 'real_key real_secret virtual_key'
}

# ---- the recipes of docs/clients.md ----------------------------------------------------------------------------------

# A recipe runs to its end. Its last line is the name of the order that it placed and cancelled, or its state where the
# client cannot name orders.
recipe() { # name
    local said command
    runs "$work/node" "$1"
    if said=$(without_proxies CRYPTO_PROXY_URL="$base" CRYPTO_PROXY_VIRTUAL_KEY="$key" CRYPTO_PROXY_VIRTUAL_SECRET="$secret" \
        timeout 30 "${command[@]}" 2>&1) && [[ ${said##*$'\n'} =~ ^(invented-1|CANCELED)$ ]]; then return; fi
    printf '%s\n' "$said" | sed 's/^/     | /'
    return 1
}
streams() { # whether the proxy has any
    local status
    status=$(curl -s -o /dev/null -m 1 -w '%{http_code}' -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
        -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: aW52ZW50ZWQtMDEyMzQ1Ng==' "$base/exchange/v1/market")
    [[ $status == 101 ]]
}

# ---- the clients -------------------------------------------------------------------------------------------------------

"$work/requirements/bin/python" "$here/recipes.py" "$here/../../../docs/clients.md" "$work/node" >"$work/recipes"
check 'docs/clients.md has a recipe for each client' test "$(wc -l <"$work/recipes")" -eq 15
for script in "${scripts[@]}"; do
    dir=$work/$script
    mkdir "$dir"
    stand_in "$dir"
    base=${exchange_base%/exchange/v1} key=$exchange_key secret=$exchange_secret
    client "$script" directly
    [[ -d $work/planted ]] || check 'the search finds secrets in hex, in base64 and in frames' search_works
    proxy "$dir"
    if [[ $script == *pro* || $script == *ws* ]] && ! streams; then
        printf 'SKIPPED: %s through the proxy: this binary has no streams\n' "$script"
        stop "$daemon" "$stand_in"
        continue
    fi
    client "$script" proxy
    [[ ! -f $work/node/recipe_$script ]] || check "docs/clients.md: $script" recipe "recipe_$script"
    check "$script: of the four secrets only the virtual key is on the clients' side" is "$(found "$dir/downstream")" virtual_key
    check "$script: of the four secrets only the real key is on the exchange's side" is "$(found "$dir/upstream")" real_key
    stop "$daemon" "$stand_in"
done
