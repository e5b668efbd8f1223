# shellcheck shell=bash disable=SC2154 # variables of install_test.sh
# A crypto-proxy unit is installed already: its drop-ins stay in force, and its callers must not be locked out.
# Part of install_test.sh.

our_unit() { # lines of a drop-in...
    { cat "$project/crypto-proxy.service"; echo '# an older one'; } >"$unit"
    (($#)) || return 0
    mkdir -p "$unit.d"
    printf '%s\n' '[Service]' "$@" >"$unit.d/mine.conf"
}
unit_before() { grep -qx '# an older one' "$unit"; }

begin 'upgrade with a short token'
our_unit
{ pair; printf 'CRYPTO_PROXY_TOKEN=%s\n' "$short"; } >"$env_file"
chmod 0600 "$env_file"
before=$(snapshot)
install_it
check 'ends with 78' ended 78
check 'nothing is changed' is "$(snapshot)" "$before"
check 'it says what' says '(CRYPTO_PROXY_TOKEN) is shorter than 16 characters, which the new daemon refuses'
check 'it says what next' says 'Rotate the proxy token'

begin 'upgrade with a published token'
our_unit
{ pair; printf 'CRYPTO_PROXY_TOKEN=%s\n' "$public"; } >"$env_file"
chmod 0600 "$env_file"
cp -- "$env_file" "$root/../env-before"
install_it
check 'ends well' ended 0
check 'the file is as it was' cmp -s "$env_file" "$root/../env-before"
check 'with a warning' says 'an upgrade does not replace it'
check 'the backend needs nothing' says_not 'The backend must show'
check 'the unit is new' unit_is_new

begin 'upgrade with settings in a drop-in'
our_unit "Environment=CRYPTO_PROXY_TOKEN=$other CRYPTO_EXPECTED_IP=192.0.2.7 CRYPTO_PROXY_LISTEN=127.0.0.1:9001" 'EnvironmentFile=/opt/mine.env'
printf 'CRYPTO_AUTH_DIAG=true\nCRYPTO_API_KEY=invented-key-beside\nCRYPTO_API_SECRET=invented-secret-beside\n' >"$root/opt/mine.env"
{ pair; printf 'CRYPTO_PROXY_TOKEN=%s\n' "$good"; } >"$env_file"
chmod 0600 "$env_file"
cp -- "$env_file" "$root/../env-before"
install_it
check 'ends well' ended 0
check 'all its sources were tried together' says 'all sources of the installed unit'
check 'nothing is carried into the file' cmp -s "$env_file" "$root/../env-before"
check 'the drop-in stays' test -s "$unit.d/mine.conf"
check 'the unit is new' unit_is_new
goes_back
check 'the way back restores the unit' unit_before

begin 'upgrade with everything in a drop-in'
our_unit 'EnvironmentFile=' "Environment=CRYPTO_API_KEY=$key CRYPTO_API_SECRET=$secret CRYPTO_PROXY_TOKEN=$good"
install_it
check 'ends well' ended 0
check 'it was tried' says 'crypto-proxy check says'
check 'no environment file is made' absent "$env_file"
check 'the unit is new' unit_is_new

for kind in LoadCredentialEncrypted=crypto.env:/etc/credstore.encrypted/crypto.env LoadCredential=crypto.env:/opt/elsewhere.env; do
    begin "upgrade with ${kind%%=*} and no environment file"
    our_unit 'EnvironmentFile=' "$kind"
    install_it
    check 'ends well' ended 0
    check 'no environment file is made' absent "$env_file"
    check 'the binary is new' cmp -s "$work/new/crypto-proxy" "$root/usr/local/bin/crypto-proxy"
    check 'the unit is new' unit_is_new
    check 'no token is made' says_not 'The backend must show'
done

begin 'upgrade with a secret in a file of its own'
our_unit 'EnvironmentFile=' "Environment=CRYPTO_API_KEY=$key CRYPTO_API_SECRET_FILE=/run/secrets/secret CRYPTO_PROXY_TOKEN=$good"
before=$(snapshot)
install_it
check 'it is the daemon that judges it' says 'crypto-proxy check says'
check 'which our imitation does not know' is "$status $(snapshot)" "78 $before"

begin 'upgrade with LoadCredential= of the environment file'
our_unit 'EnvironmentFile=' 'LoadCredential=crypto.env:/etc/crypto.env'
{ pair; printf 'CRYPTO_PROXY_TOKEN=%s\nREFUSE_IN_TEST=1\n' "$good"; } >"$env_file"
before=$(snapshot)
install_it
check 'it is tried, and refused' ended 78
check 'nothing is changed' is "$(snapshot)" "$before"

begin 'upgrade without any credentials'
our_unit
before=$(snapshot)
install_it
check 'ends with 78' ended 78
check 'nothing is changed' is "$(snapshot)" "$before"

begin 'upgrade of a unit whose drop-in gives it a group'
our_unit 'SupplementaryGroups=proxy'
{ pair; printf 'CRYPTO_PROXY_TOKEN=%s\n' "$good"; } >"$env_file"
mkdir -p "$root/etc/crypto-proxy"
: >"$root/etc/crypto-proxy/config.toml"
chmod 0640 "$root/etc/crypto-proxy/config.toml"
install_it
check 'its own way to read the configuration is left to it' ended 0
check 'with a warning' says 'not readable for all'
