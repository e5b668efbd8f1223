# What goes wrong, each as an operator would meet it: a function that stages it on a ground where all is well. To be sourced.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

# ---- the pair ----------------------------------------------------------------------------------------------------

readonly NEW_KEY=InventedNewKey0123456789 NEW_SECRET=cxakp_InventedNewSecret0123456
disabled='{"keys":[{"api_key":"'$KEY'","state":"disabled"}]}'

key_unknown() { # on a fresh host
    pair "$NEW_KEY" "$NEW_SECRET"
    start
    calls
}
secret_cut_short() { # on a fresh host: its last two characters were not copied
    pair "$KEY" "${SECRET%??}"
    start
    calls
}
new_key_old_secret() {
    it_worked
    exchange_key "$NEW_KEY" "$NEW_SECRET"
    exchange_state "$disabled"
    pair "$NEW_KEY" "$SECRET"
    start
    calls
}
old_key_new_secret() {
    it_worked
    exchange_key "$NEW_KEY" "$NEW_SECRET"
    exchange_state "$disabled"
    pair "$KEY" "$NEW_SECRET"
    start
    calls
}
swapped() { # on a fresh host
    pair "$SECRET" "$KEY"
    start
    calls
}
key_disabled() { # overnight
    it_worked
    exchange_state "$disabled"
    calls
}
not_restarted() { # a new pair is in the file, the old one is disabled, the daemon was forgotten
    it_worked
    exchange_key "$NEW_KEY" "$NEW_SECRET"
    exchange_state "$disabled"
    pair "$NEW_KEY" "$NEW_SECRET"
    calls
    true_too='CP-CHANGED-AT-EXCHANGE CP-KEY-DISABLED'
}
no_trade_permission() {
    exchange_key "$KEY" "$SECRET" '"permissions":["read"]'
    start
    calls
    order refused >/dev/null
}
without_pair() { # the file has other names
    asks=(diagnose --alone --json)
    environment "API_KEY=$KEY" "API_SECRET=$SECRET"
    start
}
byte_order_mark() { # before the first line, which systemd then passes over
    asks=(diagnose --alone --json)
    environment $'\xef\xbb\xbf'"CRYPTO_API_KEY=$KEY" "CRYPTO_API_SECRET=$SECRET"
    start
}
dirty() { # as Windows writes it, and with quotes that were quoted
    environment "CRYPTO_API_KEY=\"'$KEY'\""$'\r' "CRYPTO_API_SECRET=$SECRET"$'\r'
    start
    calls
}
readable_by_all() {
    asks=(check)
    it_worked
    inside chmod 0666 /etc/crypto.env
    start
}

another_pair() { # and only some of its calls come through here
    asks=(diagnose --json --symptom fails-elsewhere)
    it_worked
}
invented_headers() {
    asks=(diagnose --json --symptom invented-headers)
    it_worked
}

# ---- the address -------------------------------------------------------------------------------------------------

not_listed() { # the whitelist has another address, the operator's statement, too
    exchange_key "$KEY" "$SECRET" '"whitelist":["1.1.1.1"]'
    start
    within 5 address_is_known
    calls
}
not_listed_unsaid() { # the same where the exchange does not say so
    exchange_state '{"unlisted":{"code":40101}}'
    leaves_from "$MOVED_4"
    exchange_key "$KEY" "$SECRET" "\"whitelist\":[\"$OURS_4\"]"
    start
    within 5 address_is_known
    calls
}
moved() { # where the exchange does not say so, and the daemon runs on
    exchange_state '{"unlisted":{"code":40101}}'
    exchange_key "$KEY" "$SECRET" "\"whitelist\":[\"$OURS_4\"]"
    it_worked
    leaves_from "$MOVED_4"
    order sold SELL >/dev/null
    calls
}
by_ipv6() { # the name has no IPv4 address any more
    never="calls leave from $OURS_4"
    exchange_key "$KEY" "$SECRET" "\"whitelist\":[\"$OURS_4\"]"
    it_worked
    names "${EXCHANGE[1]}"
    exchange_state "{\"apparent_address\":\"$OURS_6\"}"
    start
    calls
}

by_ipv6_unsaid() { # the same where the exchange does not say so
    exchange_state '{"unlisted":{"code":40101}}'
    by_ipv6
}

# ---- the exchange and the way to it ------------------------------------------------------------------------------

other_environment() { # the base URL is UAT's, the pair is not
    never='of the environment of api.crypto.com'
    it_worked
    exchange_key "$NEW_KEY" "$NEW_SECRET"
    exchange_state "$disabled"
    environment "CRYPTO_API_KEY=$KEY" "CRYPTO_API_SECRET=$SECRET" CRYPTO_REST_BASE=https://uat-api.3ona.co/exchange/v1
    start
    calls
}
wrong_base() {
    environment "CRYPTO_API_KEY=$KEY" "CRYPTO_API_SECRET=$SECRET" CRYPTO_REST_BASE=https://api.crypto.com/v2
    start
    calls
}
clock_behind() { # ours, by two minutes
    it_worked
    exchange_state '{"clock_offset_ms":120000}'
    calls
}
bad_gateway() {
    it_worked
    exchange_does '*' '{"do":"reply","status":502,"content_type":"text/html","body":"<html>bad gateway</html>"}'
    calls
}
server_busy() {
    it_worked
    exchange_does '*' '{"do":"code","code":50001}'
    calls
}
edge_blocks() {
    it_worked
    exchange_does '*' '{"do":"reply","status":403,"content_type":"text/html","body":"<html>denied</html>"}'
    calls
}
name_gone() {
    it_worked
    names
    start
    calls
}
refused_connection() {
    it_worked
    inside systemctl stop production@trusted.service
    calls
}
dropped_packets() {
    it_worked
    inside ip addr del "${EXCHANGE[0]}/32" dev lo
    start
    calls
}
intercepted() { # by somebody whose root is not trusted here
    it_worked
    inside systemctl stop production@trusted.service
    inside systemctl start production@intercepting.service
    within 5 somebody_listens
    start
    calls
}
somebody_listens() { inside curl -kfsS --max-time 2 -o /dev/null https://ifconfig.me/ip 2>/dev/null; }
one_order_lost() {
    it_worked
    # The daemon asks by itself, and would find the order before anybody else asks.
    ask_stand_in script '{"target":"private/get-order-detail","always":{"do":"code","code":50001}}'
    ask_stand_in script '{"target":"private/create-order","once":[{"do":"cut","when":"after"}]}'
    order lost >/dev/null
}

# ---- the programs ------------------------------------------------------------------------------------------------

caller_without_permission() {
    it_worked
    ours caller add reports --preset read --out /run/reports.env >/dev/null
    start
    inside sh -c '. /run/reports.env; printf "X-Proxy-Token: %s\nContent-Type: application/json\n" "$CRYPTO_PROXY_TOKEN" >/run/reports'
    inside curl -sS --max-time 15 -o /dev/null -H @/run/reports -d '{"method":"private/cancel-all-orders","params":{}}' "$DAEMON/proxy/private"
}
wrong_token() {
    it_worked
    inside curl -sS --max-time 15 -o /dev/null -H 'X-Proxy-Token: invented-other-token-0123' -H 'Content-Type: application/json' \
        -d '{"method":"private/user-balance","params":{}}' "$DAEMON/proxy/private"
}
limit_used_up() { # with the same key, on a machine of its own
    it_worked
    exchange_state '{"rate_limits":"on"}'
    inside systemd-run --quiet --collect --unit=elsewhere -p EnvironmentFile=/etc/crypto.env -p StateDirectory=elsewhere \
        -E CRYPTO_PROXY_LISTEN=127.0.0.1:9001 /usr/local/bin/crypto-proxy serve
    within 5 elsewhere
    call private/get-order-history >/dev/null
}
elsewhere() { # its call that is answered uses up the second
    inside curl -fsS --max-time 5 -H @/run/program -d '{"method":"private/get-order-history","params":{}}' http://127.0.0.1:9001/proxy/private 2>/dev/null |
        grep '"code":0' >/dev/null
}

# ---- this host ---------------------------------------------------------------------------------------------------

disk_full() { # of the state directory
    inside mkdir -p -m 0700 "$STATE"
    inside mount -t tmpfs -o size=2m tmpfs "$STATE"
    it_worked
    inside sh -c 'cat /dev/zero >"$1/full" 2>/dev/null' sh "$STATE"
    order beyond >/dev/null
    calls
}
port_in_use() {
    never='the daemon answers|no reason given|nothing to do here'
    inside systemd-run --quiet --collect --unit=squatter python3 -m http.server 9000 --bind 127.0.0.1
    within 5 inside curl -sS -o /dev/null "$DAEMON/" 2>/dev/null
    start
}
