#!/usr/bin/env bash
# The real binary, the real unit and the real installer under a real systemd with a real journald: the installer takes
# over from an old proxy of the same unit name, and then the service is hung, killed, starved of its journal and of its
# credentials, asked what an operator asks, and put on a unix socket. Boots a container on an overlay of this machine's own root; nothing is written to the machine itself.
#
#   sudo tests/e2e/systemd/run.sh PATH-OF-THE-BINARY
#
# Needs root and systemd-nspawn (installed through apt-get where it is missing). No network. About two minutes.
# shellcheck disable=SC2016 # what stands in single quotes is for programs inside the container
set -uo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../../.." && pwd)
[[ $# == 1 && -x $1 ]] || {
    printf 'usage: %s PATH-OF-THE-BINARY\n' "$0" >&2
    exit 64
}
binary=$(realpath -- "$1")
if ! unshare -m true; then
    printf '%s\n' '########' 'SKIPPED: this machine allows no mount namespaces (unshare -m true fails), so NOTHING was tested' '########'
    exit 0
fi
# A mount namespace of our own: however this script ends, the machine's mounts are as they were.
[[ -n ${CRYPTO_PROXY_TEST_NAMESPACE-} ]] || CRYPTO_PROXY_TEST_NAMESPACE=1 exec unshare -m --propagation private -- "$0" "$binary"

readonly WATCHDOG_SEC=3
token=invented-token-of-the-old-unit-0123456789

# ---- checks and waiting ------------------------------------------------------------------------------------------

# shellcheck source=tests/e2e/systemd/container.sh
. "$here/container.sh"
at_most() { # figures with a fraction
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a <= b) }' && return
    printf '     | got: %s, more than %s\n' "$1" "$2"
    return 1
}
now() { printf '%s' "$EPOCHREALTIME"; }
since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }'; }

# ---- the service -------------------------------------------------------------------------------------------------

up_with_another_pid() { local pid && pid=$(main_pid) && [[ $pid != 0 && $pid != "$1" && $(property ActiveState) == active ]] && alive; }
dead_for_good() { [[ $(property ActiveState) == failed && $(property SubState) == failed ]]; }
signal() { inside kill -s "$1" "$2"; }

readonly BALANCE='{"method":"private/user-balance","params":{}}'
# Body, then a line with HTTP status and seconds. The token comes from a file: command lines are public.
call() { # body
    inside curl -sS --max-time 20 -H @/run/test-headers -d "$1" -w '\n%{http_code} %{time_total}\n' "$DAEMON/proxy/private" 2>&1
}
call_is_answered() {
    local answer
    answer=$(call "$BALANCE")
    [[ ${answer##*$'\n'} == '200 '* && $answer == *'"status":200'* && $answer == *'"code":0'* ]] && return
    printf '%s\n' "$answer" | sed 's/^/     | /'
    return 1
}
counted() { inside journalctl --no-pager -o cat CRYPTO_OUTCOME=answered | wc -l; }
more_than() { (($("$2") > $1)); }

delay_next_call() { # milliseconds
    inside curl -fsS -o /dev/null -H 'Content-Type: application/json' \
        -d "{\"target\":\"private/user-balance\",\"once\":[{\"do\":\"pass\",\"delay_ms\":$1}]}" "http://$STAND_IN/sandbox/script"
}
received() { # how many balance requests the stand-in has read to their end
    inside curl -fsS "http://$STAND_IN/sandbox/received" | grep -o '"private/user-balance":{[^}]*}' | grep -oE '"received":[0-9]+' | grep -oE '[0-9]+' || echo 0
}

# ---- the story ---------------------------------------------------------------------------------------------------

old_proxy_runs() {
    write_inside /opt/old/crypto_proxy.py <<'OLD'
from http.server import BaseHTTPRequestHandler, HTTPServer

class Old(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"old":true}')

HTTPServer(("127.0.0.1", 9000), Old).serve_forever()
OLD
    write_inside "/etc/systemd/system/$SERVICE" <<OLD
[Unit]
Description=An imitation of the old proxy
[Service]
Environment=PORT=9000 "CRYPTO_PROXY_TOKEN=$token"
EnvironmentFile=/etc/crypto.env
ExecStart=/usr/bin/python3 /opt/old/crypto_proxy.py
Restart=always
[Install]
WantedBy=multi-user.target
OLD
    inside systemd-run --quiet --collect --unit=stand-in \
        /opt/release/crypto-proxy sandbox --listen "$STAND_IN" --env-file-out /etc/crypto.env
    within 10 inside grep -q '^CRYPTO_REST_BASE=' /etc/crypto.env || abort 'the stand-in exchange did not start'
    printf '# a line of the operator\nCRYPTO_AUTH_DIAG=true\n' | inside sh -c 'cat >>/etc/crypto.env'
    inside systemctl daemon-reload
    inside systemctl start "$SERVICE"
    check 'the old proxy runs' within 10 old_answers
}
old_answers() { [[ $(inside curl -s "$DAEMON/") == '{"old":true}' ]]; }

# The installer with a systemctl that sends it a signal when it comes to restart the service. Its words and status.
install_and() { # signal, or nothing
    inside mkdir -p /run/shims
    # Who is killed has nobody left to restart.
    printf '#!/bin/sh\nif [ "$1" = restart ] && [ ! -e /run/struck ]; then : >/run/struck; kill -%s "$PPID"; %s; fi\nexec /usr/bin/systemctl "$@"\n' \
        "${1:-CONT}" "$([[ ${1-} == KILL ]] && echo exit || echo :)" |
        inside sh -c 'rm -f /run/struck; cat >/run/shims/systemctl; chmod 0755 /run/shims/systemctl'
    inside sh -c 'PATH=/run/shims:$PATH timeout 120 /opt/release/install.sh 2>&1; echo "status $?"' 2>/dev/null
}
all_is_as_it_was() {
    old_answers && is "$(property ActiveState) $(property UnitFileState)" "active $1" &&
        inside cmp "/etc/systemd/system/$SERVICE" /run/unit.before && inside cmp /etc/crypto.env /run/env.before &&
        is "$(inside find /etc /usr/local/bin -name '*.install-*')" ''
}
# A takeover that does not come to its end leaves the old proxy as it was.
failed_installations() {
    local said was
    was=$(property UnitFileState)
    inside cp -a "/etc/systemd/system/$SERVICE" /run/unit.before
    inside cp -a /etc/crypto.env /run/env.before
    said=$(install_and TERM)
    check 'ended while it starts the service, the installer fails' is "${said##*$'\n'}" 'status 143'
    check 'it says what it did' grep -q 'everything was put back as it was' <<<"$said"
    check 'and the old proxy runs as before' within 5 all_is_as_it_was "$was"

    # Somebody else has the port.
    echo CRYPTO_PROXY_LISTEN=127.0.0.1:9001 | inside sh -c 'cat >>/etc/crypto.env'
    inside cp -a /etc/crypto.env /run/env.before
    inside sed 's/9000/9001/' /opt/old/crypto_proxy.py | write_inside /opt/old/squatter.py
    inside systemd-run --quiet --collect --unit=squatter /usr/bin/python3 /opt/old/squatter.py
    within 5 inside curl -s -o /dev/null http://127.0.0.1:9001/ || printf '     | nobody has the port\n'
    said=$(install_and)
    check 'where another program has the port, the installer fails' is "${said##*$'\n'}" 'status 1'
    check 'it says why' grep -q '127.0.0.1:9001' <<<"$said"
    check 'it says what it did' grep -q 'everything was put back as it was' <<<"$said"
    check 'and the old proxy runs as before' within 5 all_is_as_it_was "$was"
    inside systemctl stop squatter.service
    inside sed -i '$d' /etc/crypto.env
}

# Killed after it switched the files: the next run starts what is installed, and the way back is still there.
killed_installation() {
    local said back
    said=$(install_and KILL)
    check 'killed, the installer leaves the old proxy running' old_answers
    said=$(install_and)
    check 'the next run ends well' is "${said##*$'\n'}" 'status 0'
    check 'it says that an earlier one was interrupted' grep -q 'An earlier run of this installer was interrupted' <<<"$said"
    check 'and the new daemon runs' within 5 alive
    back=$(sed -n 's/.*before it: sudo sh //p' <<<"$said")
    inside sh "$back"
    check 'the way back that it names brings the old proxy back' within 10 old_answers
}

installation() {
    local said
    if said=$(inside /opt/release/install.sh 2>&1); then check 'the installer ends well' true; else check "the installer ends well: $said" false; fi
    check 'it shows no token' no grep -qF -- "$token" <<<"$said"
    check 'it shows the way back' grep -q 'systemctl restart crypto-proxy.service' <<<"$said"
    check 'the token was carried into the file' inside grep -qxF "CRYPTO_PROXY_TOKEN=$token" /etc/crypto.env
    check 'the service runs' is "$(property ActiveState) $(property SubState) $(property Type)" 'active running notify'
    check 'the backend needs no change' grep -q 'the backend needs no change' <<<"$said"
    check 'it is enabled' inside systemctl is-enabled --quiet "$SERVICE"
    check 'it answers on the old address' within 5 alive
    said=$(inside /opt/release/install.sh 2>&1)
    check 'a second run changes nothing' grep -q 'nothing was changed' <<<"$said"
    inside systemctl stop "$SERVICE"
    drop_in 'ExecStartPre=/bin/false'
    said=$(inside /opt/release/install.sh 2>&1; echo "status $?")
    check 'a service that does not start ends the installer with 1' is "${said##*$'\n'}" 'status 1'
    check 'and it says where to look' grep -q 'does not run; see: journalctl' <<<"$said"
    no_drop_in
    inside systemctl reset-failed "$SERVICE" 2>/dev/null
    said=$(inside /opt/release/install.sh 2>&1; echo "status $?")
    check 'put right, the installer starts it' is "${said##*$'\n'}" 'status 0'
    check 'and it answers at once' alive
    printf 'X-Proxy-Token: %s\nContent-Type: application/json\n' "$token" | write_inside /run/test-headers
}

calls_and_journal() {
    check 'a call is answered' call_is_answered
    check 'journalctl | grep CRYPTO_AUTH_DIAG shows it' within 5 journal_has '[CRYPTO_AUTH_DIAG]' -u "$SERVICE"
    check 'journalctl CRYPTO_OUTCOME=answered finds it' within 5 journal_has 'user-balance' -o json CRYPTO_OUTCOME=answered
}

confinement() {
    local pid
    pid=$(main_pid)
    check 'the environment of the process is not for everybody' is "$(inside stat -c %A "/proc/$pid/environ")" '-r--------'
    check 'another user cannot read it' no inside setpriv --reuid=65534 --regid=65534 --clear-groups cat "/proc/$pid/environ" 2>/dev/null
    check 'it has no privilege and no core file' is \
        "$(inside awk '/^(CapEff|CapBnd|NoNewPrivs|Seccomp):/ { printf "%s ", $2 }' "/proc/$pid/status")$(inside awk '/^Max core file size/ { print $5, $6 }' "/proc/$pid/limits")" \
        '0000000000000000 0000000000000000 1 2 0 0'
    check 'it is not root' is_positive "$(inside awk '/^Uid:/ { print $2 }' "/proc/$pid/status")"
    check 'the exposure of the live unit is at most 1.5' exposed_little
}

is_positive() { [[ $1 =~ ^[1-9][0-9]*$ ]]; }
exposed_little() {
    inside systemd-analyze security --no-pager --threshold=15 "$SERVICE" >"$bed/security" 2>&1 && return
    tail -n 1 "$bed/security"
    return 1
}

survivals() {
    local pid began
    pid=$(main_pid)
    signal HUP "$pid"
    check 'SIGHUP is answered in the journal' within 5 journal_has 'restart' -u "$SERVICE" _PID="$pid"
    check 'SIGHUP does not end it' is "$(main_pid) $(property ActiveState)" "$pid active"

    pid=$(main_pid)
    began=$(now)
    signal KILL "$pid"
    check 'after kill -9 it comes back by itself' within 5 up_with_another_pid "$pid"
    printf '     | after %s s\n' "$(since "$began")"
    check 'and answers calls' call_is_answered
}

stop_with_a_call_in_flight() {
    local before began calling
    before=$(received)
    delay_next_call 3000 || abort 'the stand-in cannot be scripted'
    call "$BALANCE" >"$bed/answer" &
    calling=$!
    within 5 more_than "$before" received || printf '     | the call did not reach the stand-in\n'
    began=$(now)
    inside systemctl stop "$SERVICE"
    printf '     | stopped after %s s\n' "$(since "$began")"
    wait "$calling"
    check 'a call in flight is answered while the service stops' is "$(tail -n 1 "$bed/answer" | cut -d' ' -f1)" 200
    check 'and it did take its time' at_most 2.5 "$(tail -n 1 "$bed/answer" | cut -d' ' -f2)"
    check 'the stop is a success' is "$(property ActiveState) $(property Result) $(property ExecMainStatus)" 'inactive success 0'
    inside systemctl start "$SERVICE"
    check 'it starts again' within 5 alive
}

# 900 lines are more than the socket of a stopped journald takes: whoever waits for it, waits from then on.
stopped_journald() {
    local journald before i slowest
    journald=$(property MainPID systemd-journald.service)
    before=$(counted)
    signal STOP "$journald"
    # Denied calls: a line each, and no budget of the exchange in the way.
    for ((i = 0; i < 900; i++)); do printf 'next\nsilent\nurl=%s\nheader=@/run/test-headers\ndata={"method":"private/create-withdrawal"}\nmax-time=5\noutput=/dev/null\nwrite-out="%%{http_code} %%{time_total}\\n"\n' "$DAEMON/proxy/private"; done |
        inside timeout 20 curl -sS --config - >"$bed/burst" 2>&1
    for ((i = 0; i < 10; i++)); do call "$BALANCE" | tail -n 1; done >"$bed/times"
    signal CONT "$journald"
    check 'with journald stopped, 900 requests are answered' is "$(grep -cE '^(403|200) ' "$bed/burst")" 900
    check 'with journald stopped, calls are answered' is "$(grep -c '^200 ' "$bed/times")" 10
    slowest=$(cut -d' ' -f2 "$bed/burst" "$bed/times" | sort -n | tail -n 1)
    check "with journald stopped, the slowest took $slowest s" at_most "$slowest" 1
    check 'afterwards calls are answered' call_is_answered
    check 'afterwards they are in the journal' within 10 more_than "$before" counted
}

watchdog() {
    local pid began took
    drop_in "WatchdogSec=$WATCHDOG_SEC"
    restart
    pid=$(main_pid)
    began=$(now)
    signal STOP "$pid"
    check 'a hung daemon comes back' within 15 up_with_another_pid "$pid"
    took=$(since "$began")
    check "a hung daemon is back within WatchdogSec + 2 s ($took s)" at_most "$took" $((WATCHDOG_SEC + 2))
    check 'the journal says that it was the watchdog' within 5 journal_has 'watchdog' -u "$SERVICE"
    check 'no core was written' no journal_has 'core-dump' -u "$SERVICE"
    no_drop_in
    restart
}

refused_with() { # exit status
    restart
    within 5 dead_for_good
    check '    it stays down' no within 3 restarted
    check "    its status is $1" is "$(property ExecMainStatus)" "$1"
    check '    the start limit was not needed' is "$(property Result) $(property NRestarts)" 'exit-code 0'
}
restarted() { ! dead_for_good; }

bad_credentials() {
    inside cp -a /etc/crypto.env /etc/crypto.env.good
    printf 'missing environment file:\n'
    inside rm /etc/crypto.env
    refused_with 78
    printf 'a secret with white space in it:\n'
    inside sed 's/^CRYPTO_API_SECRET=.*/CRYPTO_API_SECRET=invented bad secret/' /etc/crypto.env.good | write_inside /etc/crypto.env
    refused_with 78
    printf 'LoadCredential= without the file:\n'
    inside rm /etc/crypto.env
    drop_in 'EnvironmentFile=' 'LoadCredential=crypto.env:/etc/crypto.env'
    refused_with 243
    inside cp -a /etc/crypto.env.good /etc/crypto.env
}

loaded_credentials() {
    local pid
    restart
    check 'with LoadCredential= it runs' within 5 alive
    check 'with LoadCredential= calls are answered' call_is_answered
    pid=$(main_pid)
    check 'and neither secret nor token are in its environment' no inside grep -qaE 'CRYPTO_(API_SECRET|PROXY_TOKEN)' "/proc/$pid/environ"
    no_drop_in
    restart
    check 'back with EnvironmentFile= it runs' within 5 alive
}

# ---- callers that were issued ------------------------------------------------------------------------------------

# Root issues, the daemon's own user reads; what root leaves in the state directory belongs to that user.
call_as() { # file of what was issued; the HTTP status
    inside sh -c '. "$1"; printf "X-Proxy-Token: %s\nContent-Type: application/json\n" "$CRYPTO_PROXY_TOKEN" >/run/caller-headers' sh "$1"
    inside curl -sS --max-time 20 -o /dev/null -H @/run/caller-headers -d "$BALANCE" -w '%{http_code}' "$DAEMON/proxy/private"
}
check_is_good() { inside /usr/local/bin/crypto-proxy check >/dev/null; }
issued_callers() {
    local state=/var/lib/crypto-proxy
    check 'root issues a caller' inside /usr/local/bin/crypto-proxy caller add second --uid 4711 --source 127.0.0.0/8 --out /run/second.env
    restart
    check 'with a caller that was issued it runs' within 5 alive
    check 'a call of that caller is answered' is "$(call_as /run/second.env)" 200
    check 'its record names it' within 5 journal_has 'caller=second' -u "$SERVICE"
    check 'the master key is for the daemon alone' is "$(inside stat -L -c '%a %u' "$state/callers.master")" "600 $(inside stat -L -c %u "$state/")"
    check 'the daemon says that PrivateUsers= hides uids' within 5 journal_has 'PrivateUsers=no' -u "$SERVICE"
    check 'check says that it would start' check_is_good
    inside cp -a /etc/crypto-proxy/callers.toml /run/callers.backup
    check 'root revokes it' inside /usr/local/bin/crypto-proxy caller revoke second
    inside cp -a /run/callers.backup /etc/crypto-proxy/callers.toml
    restart
    check 'after a revocation and a restored file it runs' within 5 alive
    check 'and the revoked caller gets 401' is "$(call_as /run/second.env)" 401
    inside rm -f /etc/crypto-proxy/callers.toml /run/caller-headers
    restart
    check 'without callers it runs' within 5 alive
}

# ---- what the operator asks --------------------------------------------------------------------------------------

ours() { inside /usr/local/bin/crypto-proxy "$@"; }
page_status() { # as a browser; arguments of curl...
    inside curl -sS --max-time 10 -o /dev/null -w '%{http_code}' -H 'Accept: text/html' "$@" "$DAEMON/"
}
# The token comes from a file here, too.
operators_questions() {
    local said diag
    diag=$(variable CRYPTO_PROXY_DIAG_TOKEN)
    check 'the takeover left a token of the diagnosis' test "${#diag}" -ge 16
    check 'a call is answered before the questions' call_is_answered
    check 'root reads the history beside the daemon' within 5 history_has_the_call
    said=$(ours diagnose 2>&1)
    check 'diagnose asks the running daemon' is "$?" 0
    check 'and it is the daemon that answers' within 5 journal_has 'event=diag' -u "$SERVICE"
    check 'and shows no token' no grep -qF -- "$diag" <<<"$said"
    said=$(ours support-bundle --out /run/bundle.tar 2>&1)
    check 'root writes a support bundle' is "$?" 0
    check 'with the history in it' history_is_bundled
    check 'and for root alone' is "$(inside stat -c '%a %U' /run/bundle.tar)" '600 root'
    printf 'user = "operator:%s"\n' "$diag" | write_inside /run/page-access
    check 'the status page opens with the token' is "$(page_status --config /run/page-access)" 200
    check 'and not without' is "$(page_status)" 401
}
history_has_the_call() { ours history 2>&1 | grep -q 'private/user-balance'; }
history_is_bundled() { inside tar -xOf /run/bundle.tar --wildcards '*/history.json' | grep -q '"read": true'; }

# ---- a unix socket -----------------------------------------------------------------------------------------------

readonly SOCKET=/run/crypto-proxy/test.sock
socket_is() { is "$(inside stat -c '%F %a %G' "$SOCKET" 2>&1)" "socket 660 $1"; }
over_the_socket() { # command in front...
    inside "$@" curl -fsS -o /dev/null --max-time 2 --unix-socket "$SOCKET" http://localhost/health 2>/dev/null
}
restart_anew() {
    inside systemctl reset-failed "$SERVICE" 2>/dev/null
    restart
}
unix_sockets() {
    local missing lines
    local -r for_a_group=('PrivateUsers=no' 'SupplementaryGroups=cptest' 'SystemCallFilter=@chown')
    inside groupadd --system cptest
    drop_in "Environment=CRYPTO_PROXY_LISTEN=unix:$SOCKET"
    restart
    check 'under the unit it listens on a unix socket' within 5 over_the_socket env
    check 'which is not for everybody' no over_the_socket setpriv --reuid=65534 --regid=65534 --clear-groups

    printf '[listener]\nsocket_group = "cptest"\n' | inside sh -c 'mkdir -p /etc/crypto-proxy && cat >/etc/crypto-proxy/config.toml'
    restart
    check 'for a group, without the drop-in of the documents, it says what is missing' within 5 journal_has 'drop-in of docs/operations.md' -u "$SERVICE"
    for missing in 0 1 2; do
        lines=("${for_a_group[@]}")
        unset "lines[$missing]"
        drop_in "Environment=CRYPTO_PROXY_LISTEN=unix:$SOCKET" 'Restart=no' "${lines[@]}"
        check "without ${for_a_group[missing]} it does not start" no restart_anew
    done
    drop_in "Environment=CRYPTO_PROXY_LISTEN=unix:$SOCKET" "${for_a_group[@]}"
    restart_anew
    check 'with it, it gives the socket to the group' within 5 socket_is cptest
    check 'whose members are served' within 5 over_the_socket setpriv --reuid=65534 --regid=65534 --groups=cptest
    check 'and nobody else' no over_the_socket setpriv --reuid=65534 --regid=65534 --clear-groups
    inside rm /etc/crypto-proxy/config.toml
    no_drop_in
    restart
    check 'back on TCP it runs' within 5 alive
}

# ---- nothing secret in the journal -------------------------------------------------------------------------------

# All that base64 can make of a text, whatever stands before it: three alignments, without their unsure edges.
encodings() {
    local text=$1 pad inner
    printf '%s\n' "$text"
    printf '%s' "$text" | od -An -v -tx1 | tr -d ' \n'
    echo
    for pad in '' x xx; do
        inner=$(printf '%s' "$pad$text" | base64 -w 0 | tr -d '=')
        [[ -z $pad ]] || inner=${inner:4}
        printf '%s\n' "${inner:0:${#inner}-2}"
    done
}
secret_free() { # text...
    local text
    for text in "$@"; do
        [[ ${#text} -ge 8 ]] || return 1
        encodings "$text" >"$bed/patterns"
        ! grep -qaiF -f "$bed/patterns" "$bed/journal" || return 1
    done
}
variable() { inside sed -n "s/^$1=//p" /etc/crypto.env; }
canaries() {
    local control=invented-control-value
    { printf 'raw %s\nhex ' "$control"; printf '%s' "$control" | od -An -v -tx1 | tr -d ' \n'; } | inside systemd-cat -t control
    printf 'x%s' "$control-64" | base64 | inside systemd-cat -t control
    inside journalctl --sync
    inside journalctl --no-pager --all -o export >"$bed/journal"
    check 'the search finds what is there, raw and hex' no secret_free "$control"
    check 'the search finds what is there, base64' grep -qaF "$(encodings "$control-64" | sed -n 4p)" "$bed/journal"
    check 'the API key is nowhere in the journal' secret_free "$(variable CRYPTO_API_KEY)"
    check 'the API secret is nowhere in the journal' secret_free "$(variable CRYPTO_API_SECRET)"
    check 'the proxy token is nowhere in the journal' secret_free "$token"
    check 'the token of the diagnosis is nowhere in the journal' secret_free "$(variable CRYPTO_PROXY_DIAG_TOKEN)"
    check 'the refused secret is nowhere in the journal' secret_free 'invented bad secret'
    check 'what was issued to a caller is nowhere in the journal' secret_free \
        "$(inside sed -n 's/^CRYPTO_PROXY_TOKEN=//p' /run/second.env)" "$(inside sed -n 's/^CRYPTO_PROXY_VIRTUAL_SECRET=//p' /run/second.env)"
}

# The installer reads environment files and units in bash. It must see in them what systemd sees.
same_reading() {
    write_inside /run/odd.env <<'ODD'
# a comment
T_A=first
T_B=plain
 T_C = spaced out  <tab>
T_D="double \"quoted\" \$dollar \n kept" tail
T_E='single \ kept'
T_F=escaped\ blank\\ and\#
T_G="two
lines"
T_H=joined\
up
;T_I=in a comment
T_J=
export T_K=not a name
T_L = "x" 'y' z "w"
T_M=ends in a kept blank\ <blank>
1T_N=not a name
T_O=hash#inside ;and this
T_P=twice
T_P=the last wins
T_Q=''<blank>
T_R=é<cr>
T_S="open
ODD
    inside sed -i 's/<tab>/\t/; s/<blank>/ /; s/<cr>/\r/' /run/odd.env # which an editor would take away here
    printf 'T_B=a later file\nT_16=a later file\n' | write_inside /run/later.env
    write_inside /etc/systemd/system/odd.service <<'ODD'
[Unit]
Description=Environment=T_Z=elsewhere
[Service]
Type=oneshot
EnvironmentFile=/run/odd.env
EnvironmentFile=-/run/missing.env
EnvironmentFile=-/run/later.env
Environment=T_A=loses T_16=loses T_17=alone
Environment=T_1=1 "T_2=2 3" 'T_3=4 5' T_4="6 7" T_5=8\x41\101\s9 T_6=100%% "T_7=a\tb\"c'd" T_8=
Environment = T_9=1 \
# a comment in between
  T_10=2 \
  "T_11=3"
  # another
Environment=T_12='a'b"c" T_13=lost
#Environment=T_14=in a comment
Environment=T_13=found bad-name=1 T_15
ExecStart=/bin/sh -c 'env -0 >/run/odd.seen'
ODD
    inside systemctl daemon-reload
    inside systemctl start odd.service
    write_inside /run/odd.sh <<'ODD'
shopt -s extglob nullglob
note() { :; }
root='' ours='' old_exec='' read_files=() credentials=()
declare -A old_env=() old_from=()
source /opt/release/install/ground.sh
source /opt/release/install/env_file.sh
source /opt/release/install/old_unit.sh
read_unit /etc/systemd/system/odd.service
for file in "${read_files[@]}"; do read_env_into_old "$file"; done
for name in "${!old_env[@]}"; do printf '%s=%s\0' "$name" "${old_env[$name]}"; done
ODD
    inside bash /run/odd.sh | sort -z | grep -za '^T_' | tr '\0' '\n' >"$bed/ours"
    inside sort -z /run/odd.seen | grep -za '^T_' | tr '\0' '\n' >"$bed/theirs"
    check 'there is something to compare' test "$(wc -l <"$bed/theirs")" -gt 20
    check 'the installer reads odd files as systemd does' diff "$bed/theirs" "$bed/ours"
}

# What an editor or a copy leaves in a file, as the table beside this script has it. `check` must say of each file what
# the unit sees. Only one difference is known, and `check` names its line: systemd before 254 continues comments.
odd_values() {
    inside mkdir -p /run/values
    write_inside /run/values/table.json <"$here/env_values.json"
    write_inside /etc/systemd/system/value@.service <<'ODD'
[Service]
Type=oneshot
EnvironmentFile=-/run/values/%i.env
ExecStart=/bin/sh -c 'exec /opt/release/crypto-proxy check --json --env-file /dev/null >/run/values/%i.unit'
SuccessExitStatus=78
ODD
    write_inside /run/values/compare.py <<'ODD'
import glob, json, os, re, subprocess, sys

table = json.load(open("/run/values/table.json"))
KEY = "Kq7invented-key-1234"
REST = "CRYPTO_API_SECRET=cxakp_Zr5invented-secret-of-some-length\nCRYPTO_PROXY_TOKEN=Wm3invented-token-of-some-length\n"
files = []
for kind in table["inserted"]:
    for quote in ["", '"', "'"]:
        for place in [0, 5, len(KEY)]:
            value = KEY[:place] + kind["text"] + KEY[place:]
            text = f"# line 1\nCRYPTO_API_KEY={quote}{value}{quote}\n{REST}"
            files.append((f"{kind['what']} in {quote!r} at {place}", text.encode()))
for row in table["files"]:
    files.append((row["what"], row["file"].encode(row.get("as", "utf-8"))))
for number, (_, content) in enumerate(files):
    with open(f"/run/values/{number}.env", "wb") as file:
        file.write(content)
    os.chmod(f"/run/values/{number}.env", 0o600)
units = [f"value@{number}.service" for number in range(len(files))]
for start in range(0, len(units), 50):
    subprocess.run(["systemctl", "start", *units[start:start + 50]])

def seen(text):
    said = json.loads(text)
    of_key = [row["shown"] for row in said["report"]["credentials"] if row["key"] == "CRYPTO_API_KEY"]
    key = re.search("[0-9a-f]{8}$", of_key[0]).group() if of_key else None
    return said["would_start"], key, said["problems"]

differ = 0
for number, (what, _) in enumerate(files):
    path = f"/run/values/{number}.env"
    run = subprocess.run(["/opt/release/crypto-proxy", "check", "--json", "--env-file", path], capture_output=True)
    of_file, of_unit = seen(run.stdout), seen(open(f"/run/values/{number}.unit").read())
    # A key that is not there, or one that is refused in both places, is the same.
    same = of_file[:2] == of_unit[:2] or not of_file[0] and not of_unit[0]
    named = [p for p in of_file[2] if re.search(r"\.env:\d+", p["source"])]
    expected = "comment" in what and not of_unit[0] and named
    if not same and not expected:
        differ += 1
        print(what, of_file[:2], of_unit[:2], [p["text"] for p in of_file[2]])
print(f"{len(files)} files, {differ} seen differently")
sys.exit(differ != 0 or len(files) < 700)
ODD
    inside systemctl daemon-reload
    check 'check sees in odd files what the unit sees' inside python3 /run/values/compare.py
}

way_back() {
    local script
    script=$(inside find /var/backups/crypto-proxy -name rollback.sh | tail -n 1)
    inside sh "$script"
    check 'the way back brings the old proxy back' within 10 old_answers
    check 'and sets the credentials aside, for root alone' is "$(inside sh -c 'stat -c "%a %U" /etc/crypto.env.rolled-back-*')" '600 root'
}

# Without a pair the old proxy stays, and nothing is written; on a fresh machine the second run starts the service.
without_a_pair() {
    local said pair
    pair=$(inside grep -E '^CRYPTO_(API_KEY|API_SECRET|REST_BASE)=' /etc/crypto.env)
    inside mv /etc/crypto.env /run/kept.env
    inside sed -i 's/^EnvironmentFile=/&-/' "/etc/systemd/system/$SERVICE"
    said=$(inside /opt/release/install.sh 2>&1)
    check 'without a pair the installer ends with 78' is "$?" 78
    check 'it says what is missing' grep -q 'Missing: a complete key pair' <<<"$said"
    check 'it writes no environment file' no inside test -e /etc/crypto.env
    check 'the old proxy runs on' old_answers

    inside systemctl disable --quiet --now "$SERVICE"
    inside rm -rf "/etc/systemd/system/$SERVICE" "/etc/systemd/system/$SERVICE.d"
    inside systemctl daemon-reload
    check 'on a fresh machine it ends well' inside /opt/release/install.sh >/dev/null
    check 'and starts nothing' is "$(property ActiveState) $(property UnitFileState)" 'inactive disabled'
    { inside grep -vE '^CRYPTO_API_(KEY|SECRET)=' /etc/crypto.env; printf '%s\n' "$pair"; } >"$bed/filled"
    write_inside /etc/crypto.env <"$bed/filled"
    said=$(inside /opt/release/install.sh 2>&1)
    check 'filled in, the same command starts it' is "$(property ActiveState) $(property UnitFileState)" 'active enabled'
    check 'and says where the backend finds the token' grep -q 'sudo grep ^CRYPTO_PROXY_TOKEN=' <<<"$said"
}

# ------------------------------------------------------------------------------------------------------------------

trap cleanup EXIT
trap 'exit 1' INT TERM HUP
command -v systemd-nspawn >/dev/null || apt-get install -y -qq --no-install-recommends systemd-container >/dev/null || abort 'systemd-nspawn cannot be installed'
make_bed
boot
old_proxy_runs
failed_installations
installation
calls_and_journal
confinement
survivals
stop_with_a_call_in_flight
stopped_journald
watchdog
bad_credentials
loaded_credentials
issued_callers
operators_questions
unix_sockets
canaries
way_back
killed_installation
without_a_pair
same_reading
odd_values
