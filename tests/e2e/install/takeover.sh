# shellcheck shell=bash disable=SC2154 # variables of install_test.sh
# What the old process really had in its environment, and what stops a switch. Part of install_test.sh.

other_key='invented-other-api-key-9876543210' other_secret='invented-other-api-secret-9876543210'
canaries+=("$other_key" "$other_secret")
other_pair() { printf 'CRYPTO_API_KEY=%s\nCRYPTO_API_SECRET=%s\n' "$other_key" "$other_secret"; }

stopped() { # names of both sources
    check 'ends with 78' ended 78
    check 'leaves everything' is "$(snapshot)" "$before"
    for source in "$@"; do check "names $source" says "$source"; done
}

begin 'another pair in the old unit, which does not read the file'
old_unit "Environment=CRYPTO_API_KEY=$other_key CRYPTO_API_SECRET=$other_secret CRYPTO_PROXY_TOKEN=$good" 'ExecStart=/opt/old --port 9000'
pair >"$env_file"
before=$(snapshot)
install_it
stopped "the old unit's Environment=" '/etc/crypto.env holds another'

begin 'another pair in the old unit, and the file that wins over it'
old_unit 'EnvironmentFile=/etc/crypto.env' "Environment=CRYPTO_API_KEY=$other_key CRYPTO_API_SECRET=$other_secret CRYPTO_PROXY_TOKEN=$other" 'ExecStart=/opt/old --port 9000'
{ pair; diagnosis; printf 'CRYPTO_PROXY_TOKEN=%s\n' "$good"; } >"$env_file"
cp -- "$env_file" "$root/../env-before"
install_it
check 'ends well' ended 0
check 'the file is as it was' cmp -s "$env_file" "$root/../env-before"
check 'the unit is switched' unit_is_new

begin 'a later file with another pair'
old_unit 'EnvironmentFile=/etc/crypto.env' 'EnvironmentFile=-/opt/later.env' 'ExecStart=/opt/old --port 9000'
pair >"$env_file"
other_pair >"$root/opt/later.env"
before=$(snapshot)
install_it
stopped /opt/later.env '/etc/crypto.env holds another'

begin 'an earlier file with another pair'
old_unit 'EnvironmentFile=-/opt/earlier.env' 'EnvironmentFile=/etc/crypto.env' 'ExecStart=/opt/old --port 9000'
pair >"$env_file"
{ other_pair; printf 'CRYPTO_PROXY_TOKEN=%s\nCRYPTO_EXPECTED_IP=192.0.2.7\n' "$good"; } >"$root/opt/earlier.env"
install_it
check 'ends well' ended 0
check 'the pair stays' is "$(value CRYPTO_API_KEY) $(value CRYPTO_API_SECRET)" "$key $secret"
check 'its token is carried' is "$(token_in_file)" "$good"
check 'its settings are carried' is "$(value CRYPTO_EXPECTED_IP)" 192.0.2.7

begin 'half a pair from each source'
old_unit "Environment=CRYPTO_API_KEY=$other_key" 'EnvironmentFile=/etc/crypto.env' 'ExecStart=/opt/old --port 9000'
printf 'CRYPTO_API_SECRET=%s\nCRYPTO_PROXY_TOKEN=%s\n' "$other_secret" "$good" >"$env_file"
install_it
check 'the pair that it had is carried' is "$(value CRYPTO_API_KEY) $(value CRYPTO_API_SECRET)" "$other_key $other_secret"

begin 'another token in the old unit, which does not read the file'
old_unit "Environment=CRYPTO_PROXY_TOKEN=$good" 'ExecStart=/opt/old --port 9000'
{ pair; printf 'CRYPTO_PROXY_TOKEN=%s\n' "$other"; } >"$env_file"
install_it
check 'the token that it had is used' is "$(token_in_file)" "$good"
check 'with a warning' says 'different proxy tokens'

begin 'a later file with another token'
old_unit 'EnvironmentFile=/etc/crypto.env' 'EnvironmentFile=/opt/later.env' 'ExecStart=/opt/old --port 9000'
{ pair; printf 'CRYPTO_PROXY_TOKEN=%s\n' "$other"; } >"$env_file"
printf 'CRYPTO_PROXY_TOKEN=%s\n' "$good" >"$root/opt/later.env"
install_it
check 'the later one is used' is "$(token_in_file)" "$good"

begin 'a published token in the old unit, another in the file'
old_unit "Environment=CRYPTO_PROXY_TOKEN=$public" 'ExecStart=/opt/old --port 9000'
{ pair; printf 'CRYPTO_PROXY_TOKEN=%s\n' "$good"; } >"$env_file"
install_it
check 'that of the file takes its place' is "$(token_in_file)" "$good"
check 'the backend has to change' says 'CRYPTO_PROXY_TOKEN in the backend'

begin 'an empty pair in the file, an old unit'
old_unit "Environment=CRYPTO_PROXY_TOKEN=$public" 'EnvironmentFile=/etc/crypto.env' 'ExecStart=/opt/old --port 9000'
printf 'CRYPTO_API_KEY=\nCRYPTO_API_SECRET=\n' >"$env_file"
before=$(snapshot)
install_it
stopped 'Missing: a complete key pair'
check 'it gives no order about the token yet' says_not 'The backend must show'
pair >"$env_file"
install_it --dry-run
check 'the run that would switch gives it' says 'The backend must show the same token'
install_it
check 'the run that switches gives it' says 'The backend must show the same token'

begin 'a byte order mark'
old_unit 'EnvironmentFile=/etc/crypto.env' 'ExecStart=/opt/old --port 9000'
{ printf '\xef\xbb\xbfCRYPTO_EXPECTED_IP=192.0.2.7\r\n'; pair; diagnosis; printf 'CRYPTO_PROXY_TOKEN=%s\n' "$good"; } >"$env_file"
cp -- "$env_file" "$root/../env-before"
install_it
check 'ends well' ended 0
check 'it is taken off, and nothing else' cmp -s "$env_file" <(tail -c +4 "$root/../env-before")
check 'it says so' says 'byte order mark'

begin 'a byte order mark that hid another pair'
old_unit 'EnvironmentFile=/etc/crypto.env' 'ExecStart=/opt/old --port 9000'
{ printf '\xef\xbb\xbf'; other_pair; pair | sed 's/CRYPTO_API/EXCHANGE_CUSTOM_API/'; } >"$env_file"
before=$(snapshot)
install_it
stopped EXCHANGE_CUSTOM_API_KEY

begin 'a carriage return inside a value'
{ pair; printf 'CRYPTO_PROXY_TOKEN="%s\r\n"\n' "$good"; } >"$env_file"
install_it
check 'is said' says 'the value of CRYPTO_PROXY_TOKEN in /etc/crypto.env holds a carriage return'

begin 'an environment file that others could read'
{ pair; printf 'CRYPTO_PROXY_TOKEN=%s\n' "$good"; } >"$env_file"
chmod 0640 "$env_file"
[[ $EUID != 0 ]] || chown 0:65534 "$env_file"
install_it
check 'its owner and mode are named' says "$(stat -c %U:%G "$(backup crypto.env)") with mode 640"
check 'it is for root alone' mode_is "$env_file" 600
goes_back
check 'the way back restores mode and group' is "$(stat -c '%a %g' "$env_file")" "$(stat -c '%a %g' "$(backup crypto.env)")"

begin 'a configuration that the service cannot read'
old_unit 'EnvironmentFile=/etc/crypto.env' 'ExecStart=/opt/old --port 9000'
{ pair; printf 'CRYPTO_PROXY_TOKEN=%s\n' "$good"; } >"$env_file"
mkdir -p "$root/etc/crypto-proxy"
: >"$root/etc/crypto-proxy/config.toml"
chmod 0640 "$root/etc/crypto-proxy/config.toml"
chmod 0755 "$root/etc/crypto-proxy"
before=$(snapshot)
install_it
stopped 'config.toml is not readable for all'
chmod 0644 "$root/etc/crypto-proxy/config.toml"
chmod 0744 "$root/etc/crypto-proxy"
before=$(snapshot)
install_it
stopped 'config.toml is not readable for all'
chmod 0711 "$root/etc/crypto-proxy"
install_it
check 'readable, it switches' unit_is_new
