#!/usr/bin/env bash
# Faults that need a network to take away: the real binary in one network namespace, the stand-in exchange in another,
# a veth pair between them. Packets are lost by giving the peer a hardware address that nobody has, so that the kernel
# needs neither netem nor a packet filter. Numbers are those of docs/contract.md.
#
#   sudo tests/e2e/netns/run.sh PATH-OF-THE-BINARY
#
# Needs root, iproute2, curl and jq. Nothing of the machine's own network is touched. About a minute and a half.
set -uo pipefail
export LC_ALL=C

[[ $# == 1 && -x $1 ]] || {
    printf 'usage: %s PATH-OF-THE-BINARY\n' "$0" >&2
    exit 64
}
binary=$(realpath -- "$1")
if ! unshare -n true; then
    printf '%s\n' '########' 'SKIPPED: this machine allows no network namespaces (unshare -n true fails), so NOTHING was tested' '########'
    exit 0
fi
[[ -n ${CRYPTO_PROXY_TEST_NAMESPACE-} ]] || CRYPTO_PROXY_TEST_NAMESPACE=1 exec unshare -n -- "$0" "$binary"

# The daemon takes plain HTTP to loopback only: the pair's addresses are of 127.0.0.0/8, routed for once.
readonly NET=127.77.0 STAND_IN=127.77.0.2:9100 DAEMON=http://127.0.0.1:9000
readonly TOKEN=invented-token-0123456789
work=$(mktemp -d)
# shellcheck source=tests/e2e/checks.sh
. "$(dirname "${BASH_SOURCE[0]}")/../checks.sh"
order=0 far='' stand_in='' daemon=''

finish() {
    local pid
    for pid in $daemon $stand_in $far; do kill "$pid" 2>/dev/null; done
    wait 2>/dev/null
    if ((failed > 0)); then cat "$work"/*.log; fi
    rm -rf -- "$work"
    printf '%d passed, %d failed\n' "$passed" "$failed"
    ((failed == 0 && passed > 0)) || exit 1
}
trap finish EXIT

# ---- two machines and a cable --------------------------------------------------------------------------------------

unshare -n -- sleep infinity &
far=$!
there() { nsenter -t "$far" -n -- "$@"; }
end_of_cable() { # device, own address, command prefix...
    local device=$1 address=$2
    shift 2
    "$@" ip link set lo up
    "$@" ip addr del 127.0.0.1/8 dev lo
    "$@" ip addr add 127.0.0.1/32 dev lo
    "$@" sysctl -qw net.ipv4.conf.all.route_localnet=1
    "$@" ip addr add "$address/24" dev "$device"
    "$@" ip link set "$device" up
}
different_namespace() { [[ $(readlink "/proc/$far/ns/net") != $(readlink /proc/self/ns/net) ]]; }
within 5 different_namespace || exit 1
ip link add near type veth peer name far
ip link set far netns "$far"
end_of_cable near "$NET.1"
end_of_cable far "$NET.2" there
mac=$(there ip -o link show far | sed -n 's/.*link\/ether \([0-9a-f:]*\).*/\1/p')
peer_is_there() { ip neigh replace "$NET.2" lladdr "$mac" dev near nud permanent; }
peer_is_gone() { ip neigh replace "$NET.2" lladdr 02:00:00:00:00:99 dev near nud permanent; }
peer_is_there

# ---- the exchange and the daemon -----------------------------------------------------------------------------------

# Not by the function: its process is to be known.
nsenter -t "$far" -n -- "$binary" sandbox --listen "$STAND_IN" --env-file-out "$work/env" >"$work/exchange.log" 2>&1 &
stand_in=$!
answers() { [[ $("$@" 2>/dev/null) ]]; }
within 10 answers there curl -s "http://$STAND_IN/sandbox/received" || exit 1
start_daemon() {
    local environment
    mapfile -t environment <"$work/env"
    env -i "${environment[@]}" CRYPTO_PROXY_TOKEN=$TOKEN CRYPTO_PROXY__EGRESS__SERVICES= CRYPTO_PROXY__CALLS__DEADLINE_MS=3000 \
        CRYPTO_PROXY__UPSTREAM__CONNECT_DEADLINE_MS=1000 CRYPTO_PROXY__UPSTREAM__IDLE_TIMEOUT_MS=300000 \
        "$binary" serve >>"$work/daemon.log" 2>&1 &
    daemon=$!
    within 10 answers curl -s "$DAEMON/health" || exit 1
}
restart_daemon() { # without a kept connection
    kill "$daemon" && wait "$daemon" 2>/dev/null
    start_daemon
}
place() { # → "HTTP-status outcome"; the order's name is netns-$order
    order=$((order + 1))
    curl -s -m 14 -o "$work/body" -w '%{http_code} %header{x-proxy-outcome}' "$DAEMON/proxy/private" \
        -H "X-Proxy-Token: $TOKEN" -H 'Content-Type: application/json' -d '{"method":"private/create-order","params":{
        "instrument_name":"BTC_USD","side":"BUY","type":"LIMIT","price":"1","quantity":"1","client_oid":"netns-'"$order"'"}}' \
        >"$work/told"
}
told() { [[ $(<"$work/told") == "$1" ]] || { printf '     told: %s\n' "$(<"$work/told")"; return 1; }; }
received() { there curl -s "http://$STAND_IN/sandbox/received" | jq -r '.methods["private/create-order"].received // 0'; }
orders_at_exchange() { [[ $(received) == "$1" ]] || { printf '     received: %s\n' "$(received)"; return 1; }; }
no_connection() { ! ss -Htn state all dst "$STAND_IN" | grep -v TIME-WAIT | grep -q .; }
kept_connection() { ss -Htn state established dst "$STAND_IN" | grep -q .; }
logged() { grep "client_oid=netns-$order " "$work/daemon.log" | grep -q "outcome=$1 "; }

start_daemon
place
check 'a good network carries an order' told '200 answered'
check 'which arrives once' orders_at_exchange 1

# ---- 5, 6: nothing was sent ----------------------------------------------------------------------------------------

restart_daemon
peer_is_gone
place
check '5: dropped SYNs are not sent, at the connect deadline' told '504 not_sent'
check '5: and logged so' logged not_sent
ip route del "$NET.0/24" dev near
place
check '6: an unreachable network is not sent' told '502 not_sent'
ip route add "$NET.0/24" dev near src "$NET.1"
peer_is_there
check '5, 6: nothing arrived' orders_at_exchange 1
place
check '5, 6: and the next order does, without a restart' told '200 answered'

# ---- 47: the host vanishes under a kept connection -----------------------------------------------------------------

peer_is_gone
place
check '47: an order on its way to a host that vanished is unknown, at the deadline' told '504 unknown'
check '47: and logged so' logged unknown
check '47: the kernel gives the connection up' within 40 no_connection
peer_is_there
check '47: nothing of it arrives later' orders_at_exchange 2
place
check '47: the next order goes well' told '200 answered'
check '47: and leaves a connection in the pool' kept_connection
peer_is_gone
check '47: an idle connection to a host that vanished is dropped, long before it would idle out' within 90 no_connection
peer_is_there

# ---- 48: the link is down for two seconds --------------------------------------------------------------------------

place
before=$(received)
ip link set near down
place
check '48: an order during the interruption is not sent, or unknown' grep -qE '^50[24] (not_sent|unknown)$' "$work/told"
interrupted=$order
sleep 1
ip link set near up
peer_is_there
recovered() { place && told '200 answered' >/dev/null; }
check '48: orders go well again without a restart' within 10 recovered
# Those answered since, at most the interrupted one, and whatever was tried until it went well: each once.
check '48: none arrived twice' test "$(received)" -le $((before + order - interrupted + 1))
