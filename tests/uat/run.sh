#!/usr/bin/env bash
# The scripts of this directory against the stand-in exchange, so that they work on the day that somebody has the real test
# environment. What they say of the stand-in is nothing about the exchange.
#
#   tests/uat/run.sh PATH-OF-THE-BINARY
#
# Needs python3, curl and jq. No network. Under a minute.
set -uo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[[ $# -eq 1 && -x $1 ]] || {
    printf 'usage: %s PATH-OF-THE-BINARY\n' "$0" >&2
    exit 64
}
binary=$(realpath -- "$1")
work=$(mktemp -d)
# shellcheck source=tests/e2e/checks.sh
. "$here/../e2e/checks.sh"
started=()
export PYTHONDONTWRITEBYTECODE=1
export CRYPTO_PROXY_TOKEN=invented-token-0123456789 CRYPTO_PROXY_DIAG_TOKEN=invented-diagnosis-0123456789
shown=$work/said

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

"$binary" sandbox --listen 127.0.0.1:0 --env-file-out "$work/exchange.env" --executed "$work/executed.jsonl" >"$work/exchange.log" 2>&1 &
started+=("$!")
within 10 test -s "$work/exchange.env" || abort 'the stand-in starts'
mapfile -t environment <"$work/exchange.env"
control=$(sed -n 's|^CRYPTO_REST_BASE=\(.*\)/exchange/v1$|\1/sandbox|p' "$work/exchange.env")

listens() { grep -qs ' listens on ' "$1"; }
# Sets daemon and url. A name that was used before goes on with the same state directory.
proxy() { # name
    mkdir -p "$work/$1/state" && : >"$work/$1/config.toml"
    env -i "${environment[@]}" CRYPTO_PROXY_LISTEN=127.0.0.1:0 CRYPTO_PROXY__EGRESS__ENABLED=false \
        "CRYPTO_PROXY_TOKEN=$CRYPTO_PROXY_TOKEN" "CRYPTO_PROXY_DIAG_TOKEN=$CRYPTO_PROXY_DIAG_TOKEN" \
        "STATE_DIRECTORY=$work/$1/state" "$binary" serve --config "$work/$1/config.toml" >"$work/$1/log" 2>&1 &
    daemon=$!
    started+=("$daemon")
    within 10 listens "$work/$1/log" || abort "the daemon $1 starts: $(<"$work/$1/log")"
    url=http://127.0.0.1:$(sed -n 's/.* listens on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/$1/log" | head -n 1)
}
says() { # the stand-in's state
    curl -sf -o "$work/said" "$control/state" -d "$1"
}
runs() { # script, arguments...
    python3 "$here/$1" "${@:2}" >"$work/said" 2>&1
}
refuses() { # what it says, script, arguments...
    ! runs "${@:2}" && grep -q -- "$1" "$work/said"
}
answers() { # how many
    [[ -e $work/told ]] && (($(wc -l <"$work/told") >= $1))
}

proxy first && first=$url
proxy fresh && fresh=$url
for script in names seen lists taken; do
    check "$script.py: the stand-in does as the product assumes" runs "$script.py" --url "$first" --fresh "$fresh"
done
check 'history.py: the stand-in does as the product assumes' runs history.py --url "$first" --many 30
for run in 1 2 3; do
    check "remembered.py, run $run" runs remembered.py --url "$first" --fresh "$fresh" --memory "$work/names.json"
done
check 'remembered.py asked again for the names of earlier runs, and placed the oldest one again' \
    is "$(grep -c 'found by its name after\|taken after' "$work/said")" 2
check 'where the smallest order is refused, that is said, and nothing is concluded' \
    refuses 'is refused: code 306 .*--quantity' names.py --url "$first" --quantity 1000000000
check 'taken.py needs a proxy that knows no name' refuses '--fresh is missing' taken.py --url "$first"
check 'nothing that they placed is left' is \
    "$(curl -s "$first/proxy/private" -H "X-Proxy-Token: $CRYPTO_PROXY_TOKEN" -H 'Content-Type: application/json' \
        -d '{"method":"private/get-open-orders"}' | jq -c '.body.result.data')" '[]'

says '{"names":"again"}'
check 'an exchange that takes a name twice is not as the product assumes' \
    refuses 'NOT AS THE PRODUCT ASSUMES: 1. .* 2. ' taken.py --url "$first" --fresh "$fresh"
says '{"names":"once"}'

check 'nonce.py needs a proxy whose clock is slow' refuses 'is not 61 s slow' nonce.py --url "$first"
says '{"clock_offset_ms":70000}'
proxy slow
check 'nonce.py: the stand-in does as the product assumes' runs nonce.py --url "$url"
says '{"clock_offset_ms":0}'

# In place of a loss of power: kill -9, which at least takes what the process kept to itself.
proxy power
python3 "$here/power.py" drive --url "$url" --told "$work/told" >"$work/driven" 2>&1 &
driving=$!
within 20 answers 200 || abort 'power.py drives orders'
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
check 'power.py: it ends with the proxy' wait "$driving"
grep '"power-' "$work/executed.jsonl" >"$work/driven.jsonl"
proxy power
check 'power.py: nothing that was told or executed is lost' runs power.py judge --url "$url" --told "$work/told" --executed "$work/driven.jsonl"
proxy forgetful
check 'power.py: a journal that lost them is noticed' refuses 'NOT AS THE PRODUCT ASSUMES' \
    power.py judge --url "$url" --told "$work/told" --executed "$work/driven.jsonl"

# Before production: asked for its base alone, and told no.
cat >"$work/production.py" <<'END'
import http.server


class Production(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"base_url":"https://api.crypto.com/exchange/v1"}')


server = http.server.HTTPServer(("127.0.0.1", 0), Production)
print(server.server_port, flush=True)
server.serve_forever()
END
python3 "$work/production.py" >"$work/production.port" 2>"$work/asked" &
started+=("$!")
within 10 test -s "$work/production.port" || abort 'a proxy before production'
for script in names seen lists taken history remembered nonce; do
    check "$script.py does not run against production" refuses 'is not the test environment' \
        "$script.py" --url "http://127.0.0.1:$(<"$work/production.port")" --fresh "$fresh"
done
check 'and asked it nothing else' is "$(grep -c 'GET /diag/crypto-auth' "$work/asked")" "$(wc -l <"$work/asked")"
