# By which address family calls and streams leave, on hosts that have one, the other, both or none. The exchange's names have
# both families everywhere. To be sourced.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

# ---- hosts -------------------------------------------------------------------------------------------------------

both() { :; }
without_ipv6() {
    local address
    for address in "${EXCHANGE[1]}" "${SERVICES[1]}"; do inside ip addr del "$address/128" dev lo; done
}
without_ipv4() { # but for 127.0.0.1
    local address
    for address in "${EXCHANGE[0]}" "${SERVICES[0]}"; do inside ip addr del "$address/32" dev lo; done
    inside ip link set hole down
}
beside_a_bridge() { # with an address that leads nowhere else
    without_ipv4
    inside ip link add bridge type bridge
    inside ip addr add 172.17.0.1/16 dev bridge
    inside ip link set bridge up
}
unreachable() { without_ipv4 && inside ip route add unreachable default; }
prohibited() { without_ipv4 && inside ip route add prohibit default; }
black_hole() { without_ipv4 && inside ip route add blackhole default; }

# ---- what goes well there ----------------------------------------------------------------------------------------

goes_by() { # family, what the host is like, function that makes it so
    local address=$OURS_4 peer="${EXCHANGE[0]}:443" host=$3 began
    [[ ${#wanted[@]} == 0 || " ${wanted[*]} " == *" $host "* ]] || return 0
    [[ $1 == 4 ]] || address=$OURS_6 peer="[${EXCHANGE[1]}]:443"
    case_name="$2: IPv$1" shown=$bed/said
    all_is_well
    "$host"
    expected=$address pair "$KEY" "$SECRET"
    exchange_key "$KEY" "$SECRET" "\"whitelist\":[\"$address\"]"
    leaves_from "$address"
    began=$EPOCHREALTIME
    start
    within 5 address_is_known
    { call private/user-balance; echo; } >"$bed/said"
    check 'a call is answered' said_has '"code":0'
    stream market ticker.BTC_USD
    check 'the market stream is' said_has '"code": 0'
    stream user user.balance
    check 'the user stream is' said_has '"code": 0'
    check 'all of them are connected to this family' is "$(sed 1d "$bed/said" | sort -u)" "$peer"
    check 'and they are several' test "$(grep -cxF "$peer" "$bed/said")" -ge 2
    inside journalctl --sync
    inside journalctl -u "$SERVICE" --since "@$began" -o cat --no-pager >"$bed/said"
    check 'the watch names the address of this family' said_has "event=address CRYPTO_COM_OUTBOUND_IP: $address before=none"
    check "so do the lines of the calls" is "$(grep -o 'event=call OK .* CRYPTO_COM_OUTBOUND_IP: [^ ]*' "$bed/said" | sed 's/.* //' | sort -u)" "$address"
    ours diagnose >"$bed/said" 2>&1
    check 'the diagnosis is good' is $? 0
    check 'and asks nobody to ask another family' no said_has "curl -$((10 - $1))"
    case_name='' shown=''
}
said_has() { grep -F -- "$1" "$bed/said" >/dev/null; }
stream() { # user or market, channel: the answer, and the open connections to the exchange
    inside sh -c 'python3 "$@" </run/program' sh "$PRODUCTION/stream.py" "$@" >"$bed/said" 2>&1
}

# ---- what fails there --------------------------------------------------------------------------------------------

listed_by_ipv4() { # though the host has no other family than IPv6
    never="calls leave from $OURS_4|curl -4"
    exchange_key "$KEY" "$SECRET" "\"whitelist\":[\"$OURS_4\"]"
    without_ipv4
    leaves_from "$OURS_6"
    start
    within 5 address_is_known
    calls
}
listed_by_ipv4_unsaid() { # the same where the exchange does not say so
    exchange_state '{"unlisted":{"code":40101}}'
    listed_by_ipv4
}
address_unknown() { # the same, and nobody tells the address
    never="calls leave from [0-9]|curl -4"
    exchange_key "$KEY" "$SECRET" "\"whitelist\":[\"$OURS_4\"]"
    without_ipv4
    leaves_from "$OURS_6"
    printf 'nobody' | write_inside "$PRODUCTION/address/6"
    start
    calls
}
address_unknown_unsaid() {
    exchange_state '{"unlisted":{"code":40101}}'
    address_unknown
}
no_network() { # while the host has none, nothing is said of IPv6
    never='curl -6|leave by IPv6'
    it_worked
    without_ipv6
    without_ipv4
    start
    calls
}
