#!/usr/bin/env bash
# What an operator reads when something fails: the real binary under the real unit and a real systemd, with the defaults of
# production and TLS, in front of a production of the test's own. Failures are staged one by one, the five incidents of
# docs/diagnosis.md among them. After each the operator asks, and what is said is judged: the cause on top, claims that are
# wrong, the exit status, the seconds. Prints a table.
#
#   sudo tests/e2e/staged/run.sh PATH-OF-THE-BINARY [FAILURE…]
#
# At the end, hosts with other address families: what goes well there is checked, too (families.sh).
#
# With names (functions of failures.sh and families.sh) only those are staged. Needs root, systemd-nspawn, iproute2, curl, jq,
# openssl and python3. No network. About two minutes.
set -uo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../../.." && pwd)
[[ $# -ge 1 && -x $1 ]] || {
    printf 'usage: %s PATH-OF-THE-BINARY [FAILURE…]\n' "$0" >&2
    exit 64
}
binary=$(realpath -- "$1")
shift
if ! unshare -m true; then
    printf '%s\n' '########' 'SKIPPED: this machine allows no mount namespaces (unshare -m true fails), so NOTHING was tested' '########'
    exit 0
fi
# A mount namespace of our own: however this script ends, the machine's mounts are as they were.
[[ -n ${CRYPTO_PROXY_TEST_NAMESPACE-} ]] || CRYPTO_PROXY_TEST_NAMESPACE=1 exec unshare -m --propagation private -- "$0" "$binary" "$@"

# shellcheck source=tests/e2e/systemd/container.sh
. "$here/../systemd/container.sh"
# shellcheck source=tests/e2e/staged/ground.sh
. "$here/ground.sh"
# shellcheck source=tests/e2e/staged/failures.sh
. "$here/failures.sh"
# shellcheck source=tests/e2e/staged/families.sh
. "$here/families.sh"

readonly WITHIN_S=15
wanted=("$@")
table=()

# ---- judging -----------------------------------------------------------------------------------------------------

# What a failure may set beside what it stages: what the operator asks, further causes that are true, and statements that
# are not. A cause that is true must not be excluded, and one that is not true may be called possible and nothing more.
asks=() true_too='' never=''

# Read to its end: who stops early makes the pipe fail.
said() { cat "$bed/said" "$bed/journal" "$bed/ready"; }
top() { # what stands first: the causes that cannot be told apart, or the first one
    jq -r 'if .cannot_be_told_apart == [] then .causes[0].code // "none" else .cannot_be_told_apart | join(" ") end' "$bed/said" 2>/dev/null ||
        printf 'no report'
}
hints() { # but for those that a later line takes back
    local corrected
    corrected=$(grep -oE ' event=hint corrects=[0-9a-f,]+' "$bed/journal" | grep -oE '[0-9a-f]{32}')
    grep ' event=hint ' "$bed/journal" | grep -vF -- "${corrected:-no line has these words}"
    grep ' event=hint corrects=' "$bed/journal"
}
wrong() { # causes that are true: the claims that are not
    local truth=" $* " found
    {
        jq -r '.causes[] | select(.likelihood != "possible") | .code' "$bed/said"
        hints | sed -n 's/.* cause=\([A-Z0-9-]*\) likelihood="\(very \)\?likely".*/\1/p'
    } 2>/dev/null | sort -u | while read -r found; do
        [[ $truth == *" $found "* ]] || printf '%s\n' "$found"
    done
    jq -r '.ruled_out[].code' "$bed/said" 2>/dev/null | while read -r found; do
        [[ $truth != *" $found "* ]] || printf '%s excluded\n' "$found"
    done
    [[ -z $never ]] || said | grep -oE -- "$never" | sort -u
}

failure() { # what, function, exit status, causes on top (- where words say it), what must be said
    local what=$1 stage=$2 status=$3 causes=$4 words=$5
    local began asked got seconds found claims faults=()
    [[ ${#wanted[@]} == 0 || " ${wanted[*]} " == *" $stage "* ]] || return 0
    asks=(diagnose --json) true_too='' never=''
    all_is_well
    began=$EPOCHREALTIME
    "$stage"
    asked=$EPOCHREALTIME
    ours "${asks[@]}" >"$bed/said" 2>&1
    got=$?
    seconds=$(awk -v a="$asked" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    inside journalctl --sync
    inside journalctl -u "$SERVICE" --since "@$began" -o cat --no-pager >"$bed/journal"
    inside curl -sS --max-time 2 "$DAEMON/ready" >"$bed/ready" 2>&1

    if [[ $causes == - ]]; then found=$(said | grep -oE -m 1 -- "$words"); else found=$(top); fi
    [[ $causes == - || $found == "$causes" ]] || faults+=("on top: $found, and not $causes")
    said | grep -E -- "$words" >/dev/null || faults+=("nowhere: $words")
    [[ $got == "$status" ]] || faults+=("exit status $got, and not $status")
    # shellcheck disable=SC2086 # causes are words
    claims=$(wrong $causes $true_too | paste -sd, -)
    [[ -z $claims ]] || faults+=("wrong: $claims")
    ! said | grep -F -e "$SECRET" -e "$NEW_SECRET" -e "$TOKEN" -e "$DIAG_TOKEN" >/dev/null || faults+=('a secret is shown')
    awk -v s="$seconds" -v limit="$WITHIN_S" 'BEGIN { exit !(s <= limit) }' || faults+=("$seconds s")
    table+=("$what|${found:-none}|${claims:-none}|$seconds")
    check "$what" none "${faults[@]}"
}
none() { # faults
    [[ $# -gt 0 ]] || return 0
    printf '     | %s\n' "$@"
    { jq . "$bed/said" 2>/dev/null || cat "$bed/said"; } | sed 's/^/     > /'
    sed 's/^/     $ /' "$bed/journal" "$bed/ready"
    return 1
}

show_table() {
    printf '%-58s | %-56s | %-12s | %s\n' 'what fails' 'cause on top' 'wrong claims' seconds
    printf '%s\n' "${table[@]}" | awk -F'|' '{ printf "%-58s | %-56s | %-12s | %s\n", $1, $2, $3, $4 }'
}

# ------------------------------------------------------------------------------------------------------------------

trap cleanup EXIT
trap 'exit 1' INT TERM HUP
command -v systemd-nspawn >/dev/null || apt-get install -y -qq --no-install-recommends systemd-container >/dev/null || abort 'systemd-nspawn cannot be installed'
make_bed
build_production
boot
install_daemon

readonly TIE='CP-KEY-MISMATCH CP-KEY-DISABLED CP-NO-READ-PERMISSION'

failure 'the exchange does not know the key' key_unknown 1 "$TIE" 'copy its key and secret together'
failure 'a key of UAT, on production' key_unknown 1 "$TIE" 'production, where a key of UAT is not known'
failure 'the secret was cut short' secret_cut_short 1 "$TIE" 'copy its key and secret together'
failure 'incident a: a new key beside the old secret' new_key_old_secret 1 CP-HALF-ROTATED 'copy key and secret again, both'
failure 'the old key beside a new secret' old_key_new_secret 1 CP-HALF-ROTATED 'copy key and secret again, both'
failure 'key and secret are swapped' swapped 1 CP-MALFORMED-PAIR 'copy key and secret again, both'
failure 'a new pair is in the file, and no restart' not_restarted 1 CP-NOT-RESTARTED 'systemctl restart crypto-proxy'
failure 'the file has no pair' without_pair 78 CP-NOT-CONFIGURED 'CRYPTO_API_KEY and CRYPTO_API_SECRET in /etc/crypto.env'
failure 'the file begins with a byte order mark' byte_order_mark 78 - 'a byte order mark stands before it'
failure 'the file has CR LF and two kinds of quotes' dirty 0 CP-DIRTY-CREDENTIALS 'correct the value in /etc/crypto.env'
failure 'everybody may read and write the file' readable_by_all 0 - 'readable by every user'
failure 'incident b: a program signs with a pair of its own' another_pair 1 CP-SIGNS-FOR-ITSELF 'USE_CRYPTO_PROXY=true'
failure 'incident c: reads work, orders do not' no_trade_permission 1 CP-NO-TRADE-PERMISSION 'enable \\?"Trade'
failure 'incident d: a program invents headers' invented_headers 1 CP-INVENTED-SCHEME 'send plain calls to the proxy'
failure 'incident d: the key was disabled overnight' key_disabled 1 'CP-CHANGED-AT-EXCHANGE CP-KEY-DISABLED' "look at the key's"
failure 'the address is not on the whitelist (40103)' not_listed 1 CP-IP-NOT-LISTED 'on the whitelist exactly so'
failure 'the same, and the exchange says 40101' not_listed_unsaid 1 CP-IP-NOT-LISTED "add exactly $MOVED_4"
failure 'incident e: a sell order after the address moved' moved 1 'CP-IP-DRIFT CP-IP-NOT-LISTED' "add exactly $MOVED_4"
failure 'calls leave by IPv6' by_ipv6 1 'CP-IPV6 CP-IP-NOT-LISTED' "add exactly $OURS_6"
failure 'the same, and the exchange says 40101' by_ipv6_unsaid 1 'CP-IPV6 CP-IP-NOT-LISTED' "add exactly $OURS_6"
failure 'the base URL is UAT, the pair is not' other_environment 1 CP-WRONG-ENVIRONMENT 'of the environment of uat-api.3ona.co'
failure 'the base URL has another path' wrong_base 1 CP-WRONG-BASE 'CRYPTO_REST_BASE=https://api.crypto.com/exchange/v1'
failure 'the clock is two minutes behind' clock_behind 1 CP-CLOCK-SKEW 'timedatectl set-ntp true'
failure 'the exchange is down: 502 with HTML' bad_gateway 1 CP-OUTAGE 'status.crypto.com'
failure 'the exchange is down: code 50001' server_busy 1 CP-OUTAGE 'status.crypto.com'
failure 'the edge answers 403 with HTML' edge_blocks 1 CP-EDGE-BLOCKED 'another outbound address'
failure 'the name is not resolved' name_gone 69 CP-DNS 'getent ahosts api.crypto.com'
failure 'the connection is refused' refused_connection 69 CP-NETWORK 'connection refused'
failure 'the firewall drops packets' dropped_packets 69 CP-NETWORK 'no answer within'
failure 'somebody intercepts TLS' intercepted 69 CP-TLS 'intercepting'
failure 'the answer to an order is lost' one_order_lost 1 CP-IN-DOUBT 'get-order-detail, for client_oid lost'
failure 'a caller lacks the permission' caller_without_permission 0 CP-REFUSED-HERE 'why=.* names the rule'
failure 'a program shows a wrong token' wrong_token 0 CP-REFUSED-HERE 'why=.* names the rule'
failure 'another program uses the limit up' limit_used_up 1 CP-RATE-LIMIT 'method=private/get-order-history'
failure 'the disk is full' disk_full 1 'CP-JOURNAL-AWAY CP-NOT-RECORDED' 'make room on the disk'
failure 'another program has the port' port_in_use 1 - 'another program answers there'
failure 'a host without IPv4, and the whitelist has IPv4' listed_by_ipv4 1 'CP-IPV6 CP-IP-NOT-LISTED' "add exactly $OURS_6"
failure 'the same, and the exchange says 40101' listed_by_ipv4_unsaid 1 'CP-IPV6 CP-IP-NOT-LISTED' "add exactly $OURS_6"
failure 'the same, and nobody tells the address' address_unknown 1 'CP-IPV6 CP-IP-NOT-LISTED' 'curl -6 https://ifconfig.me'
failure 'the same, and the exchange says 40101' address_unknown_unsaid 1 CP-IPV6 'curl -6 https://ifconfig.me'
failure 'the host has no network at all' no_network 69 CP-NETWORK "${EXCHANGE[0]}: network is unreachable"

goes_by 4 'a host of both families' both
goes_by 4 'a host without IPv6' without_ipv6
goes_by 6 'a host without IPv4' without_ipv4
goes_by 6 'a host whose only IPv4 is a bridge' beside_a_bridge
goes_by 6 'a host whose IPv4 is unreachable' unreachable
goes_by 6 'a host whose IPv4 is prohibited' prohibited
goes_by 6 'a host whose IPv4 is a black hole' black_hole
[[ ${#table[@]} == 0 ]] || show_table
