#!/usr/bin/env bash
# Nobody can hurt a neighbour: the real binary under the real unit, attacked by strangers and by callers, beside honest callers
# whose calls must go on as if nothing were. Each attack by itself, and then all of them at once for a minute. It boots
# a container, as systemd/run.sh does, with the stand-in as the exchange; prints a table of what was measured.
#
#   sudo tests/e2e/neighbours/run.sh PATH-OF-THE-BINARY PATH-OF-THE-ATTACKER [ATTACK…]
#
# The attacker is the example `neighbours` (cargo build --example neighbours). With names of attacks only those are made, and
# no mix (`mix` is a name, too). Needs root and systemd-nspawn. No network. Less than four minutes.
#
# Daemon, exchange and honest callers have a real-time class, so that they never wait for a processor that an attacker has.
# Attackers stand for programs on other machines, whose processor is not ours to lose; what the kernel and the daemon do for
# them counts in full. Without it two processors are short for thousands of threads, and the figures are those of the
# kernel's turns: with this class a tenth of them, at the same rates.
# shellcheck disable=SC2016 # what stands in single quotes is for programs inside the container
set -uo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../../.." && pwd)
[[ $# -ge 2 && -x $1 && -x $2 ]] || {
    printf 'usage: %s PATH-OF-THE-BINARY PATH-OF-THE-ATTACKER [ATTACK…]\n' "$0" >&2
    exit 64
}
binary=$(realpath -- "$1") attacker=$(realpath -- "$2")
shift 2
if ! unshare -m true; then
    printf '%s\n' '########' 'SKIPPED: this machine allows no mount namespaces (unshare -m true fails), so NOTHING was tested' '########'
    exit 0
fi
if ! chrt -r 5 true; then
    printf '%s\n' '########' 'SKIPPED: this machine allows no real-time class (chrt -r 5 true fails), so NOTHING was tested' '########'
    exit 0
fi
# A mount namespace of our own: however this script ends, the machine's mounts are as they were.
[[ -n ${CRYPTO_PROXY_TEST_NAMESPACE-} ]] || CRYPTO_PROXY_TEST_NAMESPACE=1 exec unshare -m --propagation private -- "$0" "$binary" "$attacker" "$@"

# shellcheck source=tests/e2e/systemd/container.sh
. "$here/../systemd/container.sh"

# Of the rows of the issue that ask for the unit, and of what else is in the mix. A known caller stands behind the last five.
readonly STRANGERS=(signed frames slow half) OTHERS=(guess beats expired forbidden reads waits unread)
readonly SINGLE_S=15 SHORT_S=8 MIX_S=60
# What must hold beside every attack: milliseconds beyond the quiet run, and KiB. All attacks at once are some thousand
# connections, and a newcomer is accepted after those that came before it.
readonly HEALTH_MS=100 CALL_MS=250 MIX_MS=1500 MEMORY_KIB=$((256 << 10))
readonly HONEST=5 REAL_TIME=5
readonly TOKENS=/run/neighbours

# ---- the machine -------------------------------------------------------------------------------------------------

restarts=0
ceiling='' # a memory cgroup that this script made, where systemd could make none

start() {
    local name until
    cp -- "$attacker" "$bed/merged/usr/local/bin/neighbours"
    inside sysctl -qw net.ipv4.ip_local_port_range='20000 64999'
    inside install -m 0755 /opt/release/crypto-proxy /usr/local/bin/crypto-proxy
    inside install -m 0644 "/opt/release/$SERVICE" "/etc/systemd/system/$SERVICE"
    inside systemd-run --quiet --collect --unit=stand-in -p LimitNOFILE=65536 \
        /opt/release/crypto-proxy sandbox --listen "$STAND_IN" --env-file-out /etc/crypto.env
    within 10 inside grep -qs '^CRYPTO_REST_BASE=' /etc/crypto.env || abort 'the stand-in exchange did not start'
    printf 'CRYPTO_PROXY_TOKEN=invented-token-0123456789-0123456789\n' | inside sh -c 'cat >>/etc/crypto.env'
    for ((name = 1; name <= HONEST; name++)); do issue "honest$name" --preset trade; done
    issue reader --preset read
    until=$(date -u -d '+4 seconds' +%FT%TZ)
    issue expired --preset trade --expires "$until"
    inside systemctl daemon-reload
    inside systemctl start "$SERVICE"
    within 10 alive || abort 'the daemon did not start'
    pid=$(main_pid)
    prefer "$(property MainPID stand-in.service)"
    limit_memory
    confine
    large_answers
    while [[ $(date -u +%FT%TZ) < $until ]]; do sleep 0.2; done
}
issue() { # name, arguments of `caller add`...
    inside /usr/local/bin/crypto-proxy caller add "$@" --out "/run/$1.env" >/dev/null || abort "no caller $1"
    inside sh -c 'printf "%s %s\n" "$1" "$(sed -n "s/^CRYPTO_PROXY_TOKEN=//p" "/run/$1.env")" >>"$2"' sh "$1" "$TOKENS"
}

# MemoryMax= needs the memory controller of cgroup 2. Where the machine still has it in version 1, the same limit is set there.
limit_memory() {
    local base=/sys/fs/cgroup/memory limit
    limit=$(property MemoryMax)
    if inside test -e "$(unit_cgroup)/memory.max"; then
        check 'the unit limits memory' is "$limit" "$(inside cat "$(unit_cgroup)/memory.max")"
        return
    fi
    if [[ ! -e $base/memory.limit_in_bytes ]]; then
        printf '%s\n' "SKIPPED: this machine has no memory controller, so the unit's MemoryMax= was not in force"
        return
    fi
    ceiling=$base/crypto-proxy-test-$$
    mkdir "$ceiling" && cgroups+=("$ceiling")
    echo "$limit" >"$ceiling/memory.limit_in_bytes"
}
confine() {
    prefer "$pid"
    [[ -n $ceiling ]] || return 0
    # The process is named in the container's numbers, and the cgroup by our mounts.
    nsenter -t "$leader" -p -- sh -c 'echo "$1" >"$2/cgroup.procs"' sh "$pid" "$ceiling"
    check 'the daemon is under the limit of its unit' grep -q . "$ceiling/cgroup.procs"
}
unit_cgroup() { printf '/sys/fs/cgroup%s' "$(property ControlGroup)"; }

# Four MiB for everybody, one for callers, and an answer that takes two seconds.
large_answers() {
    local command
    for command in 'public/get-instruments reply 4194200' 'private/get-transactions reply 1048400' 'private/get-trades pass 2000'; do
        # shellcheck disable=SC2086 # three words
        script $command | inside curl -fsS -o /dev/null --data-binary @- "http://$STAND_IN/sandbox/script" || abort "the stand-in cannot be scripted: $command"
    done
}
script() { # method, what, bytes or milliseconds
    python3 - "$@" <<'PYTHON'
import json, sys
method, what, amount = sys.argv[1], sys.argv[2], int(sys.argv[3])
fault = {"do": what}
if what == "reply":
    answer = {"id": 1, "method": method, "code": 0, "result": {"data": [""]}}
    answer["result"]["data"][0] = "x" * (amount - len(json.dumps(answer)))
    fault |= {"content_type": "application/json", "body": json.dumps(answer)}
else:
    fault["delay_ms"] = amount
print(json.dumps({"target": method, "always": fault}))
PYTHON
}

# ---- measuring ---------------------------------------------------------------------------------------------------

# Of a daemon that is no more they are 0.
peak_kib() { inside awk '/^VmHWM:/ { peak = $2 } END { print peak + 0 }' "/proc/$pid/status" 2>/dev/null || echo 0; }
ticks() { inside awk '{ print $14 + $15 }' "/proc/$pid/stat" 2>/dev/null || echo 0; }
cgroup_peak_mib() {
    if [[ -n $ceiling ]]; then
        echo $(($(cat "$ceiling/memory.max_usage_in_bytes") >> 20))
    else
        echo $(($(inside cat "$(unit_cgroup)/memory.peak" 2>/dev/null || echo 0) >> 20))
    fi
}
sent_orders() { # received executed, at the exchange
    inside curl -fsS "http://$STAND_IN/sandbox/received" |
        python3 -c 'import json,sys; m=json.load(sys.stdin)["methods"].get("private/create-order",{}); print(m.get("received",0), m.get("executed",0))'
}
orders_in_history() {
    inside /usr/local/bin/crypto-proxy history --method private/create-order --outcome answered --limit 1000000 --json |
        grep -c '"private/create-order"'
}
beat_age_s() {
    local last
    last=$(property WatchdogTimestampMonotonic)
    inside awk -v last="$last" '{ printf "%d", $1 - last / 1000000 }' /proc/uptime
}
field() { awk -v name="$2" -v at="$3" '$1 == name { print $at }' "$1"; }
below() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }' && return; printf '     | got: %s, not below %s\n' "$1" "$2"; return 1; }

# With every thread that it has by then: the order journal has one. Those that it starts later have the common class: they
# judge strangers' long bodies.
prefer() { inside chrt -a -R -r -p "$REAL_TIME" "$1" || abort 'no real-time class'; }
attack() { # seconds, attacks...
    inside systemd-run --quiet --collect --wait --pipe --unit=strangers -p LimitNOFILE=65536 -p TasksMax=infinity \
        /usr/local/bin/neighbours 127.0.0.1:9000 "$TOKENS" "$@"
}
honest() { # seconds
    inside chrt -r "$REAL_TIME" /usr/local/bin/neighbours 127.0.0.1:9000 "$TOKENS" "$1" honest
}

header() {
    printf '%-10s %9s %9s %9s %9s | %7s %7s %7s | %7s %7s %7s | %6s %6s %4s\n' \
        attack rate/s good/s no/s closed/s 'health' read order 'ok%' 'read%' 'order%' 'VmHWM' cgroup cpu%
}
# Beside which attack, how long; what must hold is checked against the quiet run, which is the first.
beside() { # name, seconds, attacks...
    local name=$1 seconds=$2 before after row kind attacking=''
    shift 2
    inside sh -c 'echo 5 >"/proc/$1/clear_refs"' sh "$pid"
    before=$(ticks)
    : >"$bed/attack"
    if (($# > 0)); then
        attack "$seconds" "$@" >"$bed/attack" 2>"$bed/attack.err" &
        attacking=$!
        sleep 1
    fi
    honest $((seconds - 2)) >"$bed/honest"
    [[ -z $attacking ]] || wait "$attacking"
    after=$(ticks)
    [[ ! -s $bed/attack.err ]] || cat "$bed/attack.err"
    row=$(awk -v s="$seconds" '{ for (i = 2; i <= 5; i++) sum[i] += $i / s } END { printf "%9d %9d %9d %9d", sum[2], sum[3], sum[4], sum[5] }' "$bed/attack")
    printf '%-10s %s | %7s %7s %7s | %7s %7s %7s | %6s %6s %4s\n' "$name" "$row" \
        "$(field "$bed/honest" health 5)" "$(field "$bed/honest" reads 5)" "$(field "$bed/honest" orders 5)" \
        "$(success health)" "$(success reads)" "$(success orders)" \
        "$(($(peak_kib) >> 10))" "$(cgroup_peak_mib)" "$(((after - before) / seconds))" | tee -a "$bed/table"
    if (($# > 1)); then awk -v s="$seconds" '{ printf "           of these %-9s %9d/s, good %d, no %d, closed %d\n", $1, $2 / s, $3 / s, $4 / s, $5 / s }' "$bed/attack"; fi
    for kind in reads orders; do asked[$kind]=$((${asked[$kind]:-0} + $(field "$bed/honest" "$kind" 2))) good[$kind]=$((${good[$kind]:-0} + $(field "$bed/honest" "$kind" 3))); done
    if [[ $name == quiet ]]; then
        quiet_read=$(field "$bed/honest" reads 5) quiet_order=$(field "$bed/honest" orders 5)
        return
    fi
    holds "$name"
}
success() { awk -v name="$1" '$1 == name { printf "%.1f", $2 ? 100 * $3 / $2 : 0 }' "$bed/honest"; }
beyond() { awk -v a="$1" -v b="$2" 'BEGIN { print a - b }'; }
declare -A asked good

holds() { # name
    local case_name=$1 health_ms=$HEALTH_MS call_ms=$CALL_MS
    [[ $1 != mix ]] || health_ms=$MIX_MS call_ms=$MIX_MS
    check "/health p99 is below $health_ms ms" below "$(field "$bed/honest" health 5)" "$health_ms"
    check "a read takes less than $call_ms ms beyond the quiet run (p99)" below "$(beyond "$(field "$bed/honest" reads 5)" "$quiet_read")" "$call_ms"
    check "an order takes less than $call_ms ms beyond the quiet run (p99)" below "$(beyond "$(field "$bed/honest" orders 5)" "$quiet_order")" "$call_ms"
    check 'every read, order and /health succeeds' is "$(success health) $(success reads) $(success orders)" '100.0 100.0 100.0'
    check 'resident memory stays below 256 MiB' below "$(peak_kib)" "$MEMORY_KIB"
    check 'the daemon was not restarted' is "$(property NRestarts) $(main_pid)" "$restarts $pid"
    check 'the watchdog was fed' below "$(beat_age_s)" 6
    [[ $(main_pid) == "$pid" ]] || taken_down
}
# What is said of it; from here on it is another process.
taken_down() {
    inside journalctl --no-pager -o cat -u "$SERVICE" -p warning -n 12 | cut -c 1-200 | sed 's/^/     | /'
    within 10 alive
    pid=$(main_pid) restarts=$(property NRestarts)
    confine
}

# ------------------------------------------------------------------------------------------------------------------

trap cleanup EXIT
trap 'exit 1' INT TERM HUP
make_bed
boot
if ! inside chrt -r "$REAL_TIME" true; then
    printf '%s\n' '########' 'SKIPPED: containers get no real-time class here, so NOTHING was tested' '########'
    exit 0
fi
start
header
beside quiet 10
wanted=("$@")
is_wanted() { ((${#wanted[@]} == 0)) || [[ " ${wanted[*]} " == *" $1 "* ]]; }
for name in "${STRANGERS[@]}"; do is_wanted "$name" && beside "$name" "$SINGLE_S" "$name"; done
for name in "${OTHERS[@]}"; do is_wanted "$name" && beside "$name" "$SHORT_S" "$name"; done
is_wanted mix && beside mix "$MIX_S" "${STRANGERS[@]}" "${OTHERS[@]}"

check 'each order of the honest callers was executed once, and no other' is "$(sent_orders)" "${good[orders]} ${good[orders]}"
check 'each of these orders is in the history' is "$(orders_in_history)" "${good[orders]}"
check 'the watchdog missed no beat' no journal_has 'does not answer its own probe' -u "$SERVICE"
header
cat "$bed/table"
printf 'load of the machine: %s\n' "$(cut -d' ' -f1-3 /proc/loadavg)"
