# What the failures are staged on, to be sourced after systemd/container.sh: a production of the test's own behind the
# exchange's names, the daemon under its real unit with the defaults of production, and a program that makes calls.
# Every pair, token and address here is invented.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153,SC2154
readonly KEY=InventedKey0123456789ab SECRET=cxakp_InventedSecret0123456789
readonly TOKEN=invented-caller-token-0123456789 DIAG_TOKEN=invented-diagnosis-token-9876543210
# The exchange, and the services that tell an address; both families.
readonly EXCHANGE=(104.18.0.7 2606:4700::7) SERVICES=(104.18.0.8 2606:4700::8)
# Where our calls come from, as the exchange and the services see it.
readonly OURS_4=8.8.4.4 OURS_6=2001:4860:4860::8844 MOVED_4=9.9.9.9
readonly STATE=/var/lib/private/crypto-proxy PRODUCTION=/opt/production
readonly NAMES=(api.crypto.com stream.crypto.com uat-api.3ona.co api64.ipify.org ifconfig.me checkip.amazonaws.com)

# ---- built once --------------------------------------------------------------------------------------------------

new_certificate() { # arguments of openssl...
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "$@" 2>/dev/null || abort 'no certificate'
}
authority() { # name: a root, and a certificate of it for every name
    local folder=$bed/merged$PRODUCTION
    new_certificate -subj "/CN=$1" -addext basicConstraints=critical,CA:TRUE -keyout "$bed/$1.key" -out "$bed/$1.pem"
    new_certificate -subj /CN=production -CA "$bed/$1.pem" -CAkey "$bed/$1.key" -addext basicConstraints=critical,CA:FALSE \
        -addext "subjectAltName=$(printf 'DNS:%s,' "${NAMES[@]}" | sed 's/,$//')" -keyout "$folder/$1.key" -out "$folder/$1.pem"
}

build_production() {
    mkdir "$bed/merged$PRODUCTION" "$bed/merged$PRODUCTION/address"
    cp -- "$here/production.py" "$here/stream.py" "$bed/merged$PRODUCTION/"
    authority trusted
    authority intercepting
    cat "$bed/trusted.pem" >>"$bed/merged/etc/ssl/certs/ca-certificates.crt"
    printf '[Service]\nExecStart=/opt/release/crypto-proxy sandbox --listen %s\n' "$STAND_IN" >"$bed/merged/etc/systemd/system/stand-in.service"
    printf '[Service]\nExecStart=python3 %s/production.py %s/%%i.pem %s/%%i.key %s %s/address\n' \
        "$PRODUCTION" "$PRODUCTION" "$PRODUCTION" "${STAND_IN#*:}" "$PRODUCTION" >"$bed/merged/etc/systemd/system/production@.service"
}
install_daemon() {
    inside install -m 0755 /opt/release/crypto-proxy /usr/local/bin/crypto-proxy
    inside install -m 0644 "/opt/release/$SERVICE" "/etc/systemd/system/$SERVICE"
    # Whatever is sent there is lost: nobody has the hardware address of the other end.
    inside ip link add hole type veth peer name bottom
    inside ip addr add 104.18.0.1/24 dev hole
    inside ip link set bottom up
    inside systemctl daemon-reload
    printf 'X-Proxy-Token: %s\nContent-Type: application/json\n' "$TOKEN" | write_inside /run/program
}

# ---- set up anew for each failure --------------------------------------------------------------------------------

names() { # addresses: what the names lead to
    local address
    {
        printf '127.0.0.1 localhost\n'
        for address in "$@"; do printf '%s %s\n' "$address" "${NAMES[*]:0:3}"; done
        for address in "${SERVICES[@]}"; do printf '%s %s\n' "$address" "${NAMES[*]:3:2}"; done
        # Amazon's has no IPv6.
        printf '%s %s\n' "${SERVICES[0]}" "${NAMES[5]}"
    } | write_inside /etc/hosts
}
leaves_from() { # address, for the exchange; and its family's services
    local family=4
    [[ $1 != *:* ]] || family=6
    printf '%s\n' "$1" | write_inside "$PRODUCTION/address/$family"
    exchange_state "{\"apparent_address\":\"$1\"}"
}
ask_stand_in() { # path, body
    local said
    said=$(inside curl -sS --max-time 5 -d "$2" "http://$STAND_IN/sandbox/$1" 2>&1) && [[ $said == '{"ok":true}' ]] && return
    abort "the stand-in does not take $2: $said"
}
exchange_state() { ask_stand_in state "$1"; }
exchange_key() { # key, secret, further members...
    exchange_state "{\"keys\":[{\"api_key\":\"$1\",\"api_secret\":\"$2\"${3:+,$3}}]}"
}
exchange_does() { # method or *, fault
    ask_stand_in script "{\"target\":\"$1\",\"always\":$2}"
}
environment() { # lines...
    printf '%s\n' "$@" "CRYPTO_PROXY_TOKEN=$TOKEN" "CRYPTO_PROXY_DIAG_TOKEN=$DIAG_TOKEN" "CRYPTO_EXPECTED_IP=${expected:-$OURS_4}" |
        inside sh -c 'umask 077; cat >/etc/crypto.env'
}
pair() { environment "CRYPTO_API_KEY=$1" "CRYPTO_API_SECRET=$2"; }

all_is_well() { # nothing has happened yet
    inside systemctl stop "$SERVICE" 'production@*' stand-in.service squatter.service elsewhere.service 2>/dev/null
    inside systemctl reset-failed
    inside sh -c 'umount "$1" 2>/dev/null; rm -rf "$1" /etc/crypto-proxy' sh "$STATE"
    ways_there
    names "${EXCHANGE[@]}"
    pair "$KEY" "$SECRET"
    inside systemctl start stand-in.service production@trusted.service
    within 10 stand_in_answers || abort 'the stand-in exchange did not start'
    leaves_from "$OURS_6"
    leaves_from "$OURS_4"
    exchange_key "$KEY" "$SECRET"
    within 10 production_answers || abort 'the production does not answer'
}
ways_there() { # to the exchange and to the services, by both families
    local address kind
    for kind in unreachable prohibit blackhole; do inside ip route del "$kind" default 2>/dev/null; done
    inside ip link del bridge 2>/dev/null
    inside ip link set hole up
    inside ip neigh replace "${EXCHANGE[0]}" lladdr 02:00:00:00:00:99 dev hole nud permanent
    for address in "${EXCHANGE[@]}" "${SERVICES[@]}"; do inside ip addr replace "$address" dev lo; done
}
stand_in_answers() { inside curl -fsS --max-time 2 -o /dev/null "http://$STAND_IN/sandbox/received" 2>/dev/null; }
production_answers() {
    inside curl -fsS --max-time 2 -o /dev/null https://api.crypto.com/exchange/v1/public/get-instruments 2>/dev/null &&
        inside curl -fsS --max-time 2 -o /dev/null https://ifconfig.me/ip 2>/dev/null
}

# ---- the operator and the program --------------------------------------------------------------------------------

start() { # as an operator does after a change
    inside systemctl reset-failed "$SERVICE" 2>/dev/null
    restart && within 5 alive
}
call() { # method, params; the exchange's status in the answer
    inside curl -sS --max-time 15 -H @/run/program -d "{\"method\":\"$1\",\"params\":${2-{\}}}" "$DAEMON/proxy/private" 2>/dev/null
}
calls() { # as a backend goes about its day
    call private/user-balance >/dev/null
    call private/get-open-orders '{"page_size":"1"}' >/dev/null
}
order() { # its name, side
    call private/create-order "{\"instrument_name\":\"BTC_USD\",\"side\":\"${2-BUY}\",\"type\":\"LIMIT\",\"price\":\"1\",\"quantity\":\"1\",\"client_oid\":\"$1\"}"
}
it_worked() { # since a start, and nothing is wrong yet
    start || abort 'the daemon does not start'
    within 5 address_is_known || abort 'the daemon does not learn its address'
    [[ $(call private/user-balance) == *'"code":0'* ]] || abort 'no call is answered where all is well'
    [[ $(order before) == *'"code":0'* ]] || abort 'no order is taken where all is well'
}
address_is_known() { inside journalctl -u "$SERVICE" --since "@$began" -o cat --no-pager | grep event=address >/dev/null; }
ours() { inside /usr/local/bin/crypto-proxy "$@"; }
