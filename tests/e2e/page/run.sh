#!/usr/bin/env bash
# The status page as an operator sees it: the real binary in front of a stand-in exchange, with an invented day behind it
# and real calls of now, looked at with a real Chromium, wide and narrow, light and dark; refused without its token.
#
#   tests/e2e/page/run.sh PATH-OF-THE-BINARY [DIRECTORY-FOR-THE-PICTURES]
#
# Needs chromium, chromedriver (Debian: chromium, chromium-driver), python3, curl and jq. Nothing leaves loopback. About
# 20 seconds.
set -uo pipefail
export LC_ALL=C

[[ $# -ge 1 && -x $1 ]] || {
    printf 'usage: %s PATH-OF-THE-BINARY [DIRECTORY-FOR-THE-PICTURES]\n' "$0" >&2
    exit 64
}
binary=$(realpath -- "$1")
here=$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")
readonly TOKEN=invented-caller-token-0123456789 DIAG_TOKEN=invented-diagnosis-token-9876543210
work=$(mktemp -d)
pictures=${2-$work/pictures}
# shellcheck source=tests/e2e/checks.sh
. "$here/../checks.sh"
stand_in='' daemon='' exchange='' url=''

finish() {
    local pid
    for pid in $daemon $stand_in; do kill "$pid" 2>/dev/null; done
    wait 2>/dev/null
    if ((failed > 0)); then cat "$work"/*.log; fi
    rm -rf -- "$work"
    printf '%d passed, %d failed\n' "$passed" "$failed"
    ((failed == 0 && passed > 0)) || exit 1
}
trap finish EXIT
# A proxy in the environment of this shell is none of ours.
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY

# ---- the exchange and the daemon -----------------------------------------------------------------------------------

mkdir -p "$work/state" && : >"$work/config.toml"
"$binary" sandbox --listen 127.0.0.1:0 --env-file-out "$work/env" >"$work/exchange.log" 2>&1 &
stand_in=$!
within 10 test -s "$work/env" || exit 1
exchange=$(sed -n 's/^CRYPTO_REST_BASE=\(.*\)\/exchange\/v1$/\1/p' "$work/env")
{
    printf 'CRYPTO_PROXY_TOKEN=%s\n' "$TOKEN"
    printf 'CRYPTO_PROXY_DIAG_TOKEN=%s\n' "$DIAG_TOKEN"
    printf 'CRYPTO_API_KEY_LABEL=mine <b> 1\n'
} >>"$work/env"

start() { # the daemon, on a free port
    (
        set -a
        # shellcheck source=/dev/null
        . <(sed "s/=\(.*\)/='\1'/" "$work/env")
        exec env STATE_DIRECTORY="$work/state" CRYPTO_PROXY_LISTEN=127.0.0.1:0 CRYPTO_PROXY__EGRESS__ENABLED=false "$binary" serve --config "$work/config.toml"
    ) >"$work/daemon.log" 2>&1 &
    daemon=$!
    within 10 grep -q ' listens on ' "$work/daemon.log" || exit 1
    url=http://$(sed -n 's/.* listens on \([0-9.:]*\) .*/\1/p' "$work/daemon.log")
}
stop() {
    kill "$daemon" && wait "$daemon"
    daemon=''
}
call() { # method
    curl -s -o /dev/null -H "X-Proxy-Token: $TOKEN" -H 'Content-Type: application/json' -d "{\"method\":\"$1\"}" "$url/proxy/private"
}
status() { # curl arguments: the HTTP status of the page
    curl -s -o "$work/answer" -w '%{http_code}' -H 'Accept: text/html' "$@" "$url/"
}
script() { # what the exchange does to a method: as POST /sandbox/script takes it
    curl -s -o /dev/null -d "$1" "$exchange/sandbox/script"
}

start
stop
check 'an invented day is written' python3 "$here/seed.py" "$work/state/history.db"
start
for method in user-balance get-open-orders get-order-history advanced/get-open-orders; do call "private/$method"; done
script '{"target":"private/create-order","always":{"do":"code","code":40101}}'
for _ in 1 2 3; do call private/create-order; done
call private/create-withdrawal

# ---- who sees it ---------------------------------------------------------------------------------------------------

lacks() { # text, file
    [[ -n $1 && -s $2 ]] && ! grep -qF -e "$1" "$2"
}
check 'without a token: 401' is "$(status)" 401
check 'and what is needed, nothing else' grep -q 'CRYPTO_PROXY_DIAG_TOKEN' "$work/answer"
check 'no state in it' lacks private/ "$work/answer"
check 'a caller is refused with its own token: 401' is "$(status -u "x:$TOKEN")" 401
check 'the right token: 200' is "$(status -u "x:$DIAG_TOKEN")" 200
check 'a program sees JSON' is "$(curl -s "$url/" | jq -r .message)" 'Crypto.com Signer Proxy'
shows() { status -u "x:$DIAG_TOKEN" >/dev/null && grep -q "$1" "$work/answer"; }
check 'the calls of now are on it' within 15 shows 'private/create-order fails since'
check 'the label is text' shows 'mine &#60;b&#62; 1'
while IFS= read -r secret; do
    check 'no secret is on it' lacks "$secret" "$work/answer"
done < <(sed -n 's/.*_\(KEY\|SECRET\|TOKEN\)=//p' "$work/env")

script '{"target":"private/get-open-orders","always":{"do":"code","code":40101}}'
# ---- how it looks --------------------------------------------------------------------------------------------------

check 'the page in a browser' python3 "$here/browser.py" "$url/" "$pictures" "x:$DIAG_TOKEN"
(
    # The unit's variables are not those of a shell; the file is.
    cd "$work" && STATE_DIRECTORY=$work/state "$binary" diagnose --alone --config "$work/config.toml" --env-file "$work/env" --html "$work/page.html"
) >"$work/diagnose.log" 2>&1
asked() { # exit code 1: there is trouble
    "$binary" diagnose --config "$work/config.toml" --env-file "$work/env" --url "$url" --html "$work/asked.html" >"$work/asked.log" 2>&1
    (($? == 1)) && grep -q 'id="cp-' "$work/asked.html"
}
check 'the running daemon is asked for it' asked
check 'the file is for its owner alone' is "$(stat -c %a "$work/page.html")" 600
check 'the same page as a file' python3 "$here/browser.py" "$work/page.html" "$pictures/file"
for word in "$TOKEN" "$DIAG_TOKEN" Basic; do
    check 'no token and no header is in the log' lacks "$word" "$work/daemon.log"
done
stop
