#!/usr/bin/env bash
# A disk that is full, read-only or does not answer, under the state directory of the real daemon: orders are refused and
# nothing of them reaches the exchange, cancellations and reads go on, /ready and the page say why. When the disk is well,
# orders go on, and whoever repeats a name gets no second order.
#
#   sudo tests/e2e/orders/disks.sh PATH-OF-THE-BINARY
#
# The disk is an ext4 of its own in a file. Needs root, loop devices, e2fsprogs, util-linux, curl and jq. No network.
# About 20 seconds.
set -uo pipefail
export LC_ALL=C

[[ $# == 1 && -x $1 ]] || {
    printf 'usage: %s PATH-OF-THE-BINARY\n' "$0" >&2
    exit 64
}
binary=$(realpath -- "$1")
skip() { # why
    printf '%s\n' '########' "SKIPPED: $1, so NOTHING was tested" '########'
    exit 0
}
unshare -m true 2>/dev/null || skip 'this machine allows no mount namespaces (unshare -m true fails)'
# A mount namespace of our own: however this script ends, the machine's mounts are as they were.
[[ -n ${CRYPTO_PROXY_TEST_NAMESPACE-} ]] || CRYPTO_PROXY_TEST_NAMESPACE=1 exec unshare -m --propagation private -- "$0" "$binary"
unset CRYPTO_PROXY_TEST_NAMESPACE

readonly TOKEN=invented-caller-token-0123456789 DIAG_TOKEN=invented-diagnosis-token-9876543210
work=$(mktemp -d)
disk=$work/disk
# shellcheck source=tests/e2e/checks.sh
. "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/../checks.sh"
shown=$work/said
stand_in='' daemon='' url='' frozen=''

thaw() {
    fsfreeze -u "$disk"
    frozen=''
}
finish() {
    local pid
    # A process that waits for a frozen disk cannot be killed.
    [[ -z $frozen ]] || thaw
    for pid in $daemon $stand_in; do kill "$pid" 2>/dev/null; done
    wait 2>/dev/null
    if ((failed > 0)); then tail -n 40 "$work"/*.log; fi
    if mountpoint -q "$disk"; then umount "$disk"; fi
    rm -rf -- "$work"
    printf '%d passed, %d failed\n' "$passed" "$failed"
    ((failed == 0 && passed > 0)) || exit 1
}
trap finish EXIT
# A proxy in the environment of this shell is none of ours.
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY

# ---- the disk, the exchange and the daemon -------------------------------------------------------------------------

new_disk() { # options of the mount
    truncate -s 24M "$work/image"
    # Without a journal of its own it has all its room for files.
    mkfs.ext4 -q -F -m 0 -O ^has_journal "$work/image" && mount -o "loop${1:+,$1}" "$work/image" "$disk"
}
mkdir "$disk"
: >"$work/config.toml"
: >"$work/executed"
new_disk '' 2>"$work/said" || skip "no file system can be mounted from a file ($(tr '\n' ' ' <"$work/said"))"
mkdir -m 0700 "$disk/state"

"$binary" sandbox --listen 127.0.0.1:0 --env-file-out "$work/env" --executed "$work/executed" >"$work/exchange.log" 2>&1 &
stand_in=$!
within 10 test -s "$work/env" || abort 'the stand-in did not start'
exchange=$(sed -n 's/^CRYPTO_REST_BASE=\(.*\)\/exchange\/v1$/\1/p' "$work/env")
printf 'CRYPTO_PROXY_TOKEN=%s\nCRYPTO_PROXY_DIAG_TOKEN=%s\n' "$TOKEN" "$DIAG_TOKEN" >>"$work/env"
# The real exchange would refuse a second order of a name; this one executes it, or nothing could be seen.
curl -fsS -o /dev/null -d '{"names":"again"}' "$exchange/sandbox/state" || abort 'the stand-in takes no commands'

start() {
    # What an earlier one said is not looked at.
    : >"$work/daemon.log"
    (
        set -a
        # shellcheck source=/dev/null
        . <(sed "s/=\(.*\)/='\1'/" "$work/env")
        exec env STATE_DIRECTORY="$disk/state" CRYPTO_PROXY_LISTEN=127.0.0.1:0 CRYPTO_PROXY__EGRESS__ENABLED=false "$binary" serve --config "$work/config.toml"
    ) >>"$work/daemon.log" 2>&1 &
    daemon=$!
    within 10 grep -q ' listens on ' "$work/daemon.log" || abort 'the daemon did not start'
    url=http://$(sed -n 's/.* listens on \([0-9.:]*\) .*/\1/p' "$work/daemon.log")
}
stop() {
    kill "$daemon" && wait "$daemon"
    daemon=''
}

# ---- a program and an operator -------------------------------------------------------------------------------------

outcome='' code='' answer=''
ask() { # method, params: what became of it
    local told
    told=$(curl -sS --max-time 15 -D "$work/head" -o "$work/said" -w '%{http_code}' -H "X-Proxy-Token: $TOKEN" \
        -H 'Content-Type: application/json' -d "{\"method\":\"private/$1\",\"params\":$2}" "$url/proxy/private" 2>&1) || told="no answer: $told"
    outcome=$(sed -n 's/^x-proxy-outcome: \([a-z_]*\).*/\1/Ip' "$work/head")
    code=$(jq -r '.body.code // "none"' "$work/said" 2>/dev/null)
    answer="$told $outcome $code"
}
order() { # name
    ask create-order "{\"instrument_name\":\"BTC_USD\",\"side\":\"BUY\",\"type\":\"LIMIT\",\"price\":\"1000\",\"quantity\":\"0.0001\",\"client_oid\":\"$1\"}"
}
goes() { # command...
    "$@"
    [[ $outcome == answered && $code == 0 ]] || is "$answer" 'answered 0'
}
is_refused() { # name
    order "$1"
    if [[ $outcome != refused ]] || ! grep -q 'the order journal' "$work/said"; then is "$answer" 'refused, because of the journal'; fi
}
is_never_refused() { # name: of an order that was executed
    order "$1"
    [[ $outcome == answered || $outcome == unknown ]] || is "$answer" 'answered or unknown'
}
received() { curl -fsS "$exchange/sandbox/received" | jq '.methods["private/create-order"].received // 0'; }
times() { # name: how often it was executed
    grep -c "\"client_oid\":\"$1\"" "$work/executed"
}
ready_warns() {
    curl -sS "$url/ready" >"$work/said"
    jq -e '.ready and (.warnings | any(contains("order journal takes no entry")))' "$work/said" >/dev/null
}
ready_is_silent() {
    curl -sS "$url/ready" >"$work/said"
    jq -e '.ready and (.warnings // [] | any(contains("order journal")) | not)' "$work/said" >/dev/null
}
page_says() { # words
    curl -sS -H 'Accept: text/html' -u "operator:$DIAG_TOKEN" "$url/" | sed '1,/<main>/d; s/<[^>]*>/ /g; /^ *$/d' | head -n 20 >"$work/said"
    tr -s ' \n' ' ' <"$work/said" | grep -qiF "$1"
}
within_s() { # seconds, command...: of a command that must not take longer
    local end=$((SECONDS + $1 + 1))
    shift
    "$@" && ((SECONDS <= end))
}

# ---- what is true of each of these disks ---------------------------------------------------------------------------

# The disk takes nothing now. Orders "$case-1" and "$case-2" were executed before.
is_ill() { # case, what the page says
    local before
    check 'orders are refused, because of the journal' within_s 5 is_refused "$1-new"
    before=$(received)
    check 'another one, too' within_s 5 is_refused "$1-new-too"
    check 'a cancellation goes' within_s 5 goes ask cancel-order "{\"client_oid\":\"$1-1\"}"
    check 'a read goes' within_s 5 goes ask get-open-orders '{}'
    # Where the daemon began on such a disk, it cannot even read the journal; docs/operations.md says so.
    [[ $case_name == 'read-only at the start' ]] ||
        check 'an order that was executed is never called refused' within_s 5 is_never_refused "$1-2"
    check 'a read of the account goes, after all that' within_s 5 goes ask user-balance '{}'
    check '/ready warns, and a load balancer stays' ready_warns
    check "the page says: $2" page_says "$2"
    check 'nothing of it reached the exchange' is "$(received)" "$before"
    check 'the log says what to do' grep -q 'orders are refused, cancellations and reads go on; ' "$work/daemon.log"
}
# It takes everything again.
is_well() { # case
    check 'orders go on' within 10 goes order "$1-new"
    check 'the one refused beside it goes when it is asked for again' goes order "$1-new-too"
    check 'a repeat of the one that went is answered' goes order "$1-new"
    check 'what was executed before is known' goes order "$1-2"
    check 'each was executed once' is "$(times "$1-1") $(times "$1-2") $(times "$1-new") $(times "$1-new-too")" '1 1 1 1'
    check '/ready is silent' ready_is_silent
}
two_orders() { # case
    case_name=$1
    check 'orders go' within 10 goes order "$1-1"
    check 'and another one' goes order "$1-2"
}

# ---- full ----------------------------------------------------------------------------------------------------------

fill() { # until the last byte is gone
    dd if=/dev/zero "of=$disk/ballast" bs=64k 2>/dev/null
    dd if=/dev/zero "of=$disk/ballast" bs=1k oflag=append conv=notrunc 2>/dev/null
    sync -f "$disk"
    is "$(df --output=avail "$disk" | tail -n 1 | tr -d ' ')" 0
}
# The file has room for some entries more, because what it had is written over.
until_full() {
    local number
    for number in {1..400}; do
        order "filling-$case_name-$number"
        [[ $outcome == answered ]] || return 0
    done
    return 1
}

start
two_orders full
check 'the disk is filled' fill
check 'after a while no entry has room' until_full
is_ill full 'make room on the disk'
rm "$disk/ballast"
is_well full

two_orders restarted
case_name='full before the start'
stop
check 'the disk is filled' fill
start
check 'after a while no entry has room' until_full
is_ill restarted 'make room on the disk'
rm "$disk/ballast"
is_well restarted

# ---- read-only -----------------------------------------------------------------------------------------------------

two_orders read-only
stop
mount -o remount,ro "$disk"
start
case_name='read-only at the start'
is_ill read-only 'can be written'
mount -o remount,rw "$disk"
is_well read-only

# What ext4 does after an error of its own. Nobody can write to it again until it is mounted anew.
two_orders broken
mount -o remount,errors=remount-ro "$disk"
device=$(findmnt -no SOURCE "$disk")
if echo 1 >"/sys/fs/ext4/${device#/dev/}/trigger_fs_error" 2>/dev/null; then
    case_name='read-only by an error'
    is_ill broken 'can be written'
    stop
    umount "$disk"
    fsck.ext4 -fy "$work/image" >"$work/said" 2>&1
    mount -o loop "$work/image" "$disk"
    start
    is_well broken
fi

# ---- does not answer -----------------------------------------------------------------------------------------------

two_orders frozen
case_name='does not answer'
fsfreeze -f "$disk" && frozen=1
is_ill frozen 'see what keeps the disk busy'
before=$(received)
thaw
check 'what was refused is not sent afterwards' is "$(sleep 1; received)" "$before"
is_well frozen

stop
case_name='at the end'
check 'the journal is in order' "$binary" ledger check --state-dir "$disk/state"
check 'no order was executed twice' is "$(sed -n 's/.*"client_oid":"\([^"]*\)".*/\1/p' "$work/executed" | sort | uniq -d)" ''
