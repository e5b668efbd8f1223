#!/usr/bin/env bash
# deploy/install.sh against staged systems (--root) with an imitation of the binary. Every run is also a leak test: no
# secret may show in the output, or on the command line or in the environment of any program that the installer starts.
#
#   tests/e2e/install_test.sh
# shellcheck disable=SC2016,SC1003 # dollars and backslashes in single quotes are the subject here
set -uo pipefail
export LC_ALL=C

# A mount namespace of our own, for file systems that are full or read-only.
if [[ -z ${CRYPTO_PROXY_TEST_NAMESPACE-} ]] && unshare -m true 2>/dev/null; then
    CRYPTO_PROXY_TEST_NAMESPACE=1 exec unshare -m --propagation private -- "${BASH_SOURCE[0]}"
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

good='invented-good-token-of-the-old-unit'
other='invented-other-token-in-the-file'
public='invented-token-that-was-published'
short='invented-short1' # 15 characters
secret='invented-api-secret-0123456789'
key='invented-api-key-0123456789'
canaries=("$good" "$other" "$public" "$short" "$secret" "$key" 'invented "odd" $(token) with 100% `ticks` \ and all')

# shellcheck source=tests/e2e/checks.sh
. "$here/checks.sh"

# An imitation of the binary: refuses a file without a pair, or when told to; writes down what it was started with.
mkdir -p "$work/new" "$work/shims"
cat >"$work/new/crypto-proxy" <<'FAKE'
#!/bin/sh
{ echo "$@"; env; } >>"$STARTED_BY_TEST"
while [ $# -gt 0 ]; do
    [ "$1" != --env-file ] || file=$2
    shift
done
grep -q '^ *CRYPTO_API_KEY=.' "$file" && grep -q '^ *CRYPTO_API_SECRET=.' "$file" || { echo "$file: no complete pair"; exit 78; }
! grep -q '^REFUSE_IN_TEST=' "$file" || { echo "$file: refused"; exit 78; }
! grep -qE '^CRYPTO_PROXY_TOKEN=.{1,15}$' "$file" || { echo "$file: CRYPTO_PROXY_TOKEN is too short"; exit 78; }
echo "$file: good"
FAKE
sed -i "s#\$STARTED_BY_TEST#$work/started#" "$work/new/crypto-proxy"
chmod 0755 "$work/new/crypto-proxy"

# Every program that the installer finds on its PATH first writes down its arguments and environment. Those that change
# something then do what $work/fault says, where a test has put that. Nothing here has to outlast a power cut.
changes=' cp ln mktemp mv rm sync '
for program in $(compgen -c | sort -u); do
    real=$(type -P "$program") || continue
    [[ $real == /usr/bin/* || $real == /bin/* || $real == /usr/sbin/* || $real == /sbin/* ]] || continue
    [[ $program != sh && $program != bash && $program != env ]] || continue
    [[ $program != sync ]] || real=$(type -P true)
    printf '#!/bin/sh\n{ echo "%s" "$@"; } >>%q\n' "$program" "$work/started" >"$work/shims/$program"
    [[ $changes != *" $program "* ]] || printf '[ ! -e %q ] || . %q\n' "$work/fault" "$work/fault" >>"$work/shims/$program"
    printf 'exec %q "$@"\n' "$real" >>"$work/shims/$program"
done
chmod -R 0755 "$work/shims"

begin() { # name of the case
    case_name=$1
    root=$work/$((++cases))/root
    shown=$root/../out
    unit=$root/etc/systemd/system/crypto-proxy.service
    env_file=$root/etc/crypto.env
    mkdir -p "$root/etc/systemd/system" "$root/opt"
}
cases=0

printf '%s' "$public" | sha256sum | cut -d' ' -f1 >"$work/published"

install_it() { # options...
    : >"$work/started"
    # One that hangs ends with 124.
    PATH=$work/shims:$PATH timeout 30 sh -c 'echo "$$" >"$0"; exec "$@"' "$work/pid" \
        "${installer:-$project/deploy/install.sh}" --root "$root" --published "$work/published" "$@" "$work/new/crypto-proxy" >"$root/../out" 2>&1
    status=$?
    check 'nothing secret is shown or handed on' quiet
}

quiet() {
    local canary words
    words=$(cat "$root/../out" "$work/started")
    for canary in "${canaries[@]}" "$(token_in_file)" "$([[ ! -f $env_file ]] || value CRYPTO_PROXY_DIAG_TOKEN)"; do
        [[ -z $canary || $words != *"$canary"* ]] || return 1
    done
}

old_unit() { # lines of [Service]...
    printf '%s\n' '[Unit]' 'Description=an old proxy' '' '[Service]' "$@" '' '[Install]' 'WantedBy=multi-user.target' >"$unit"
    cp -- "$unit" "$root/../old-unit"
}

takeover_is_staged() {
    old_unit "Environment=CRYPTO_PROXY_TOKEN=$public" 'EnvironmentFile=-/opt/old.env' 'ExecStart=/opt/old.py --port 9000'
    mkdir -p "$unit.d" "$root"/{opt,usr/local/bin,etc/crypto-proxy,var/lib,var/backups/crypto-proxy}
    printf '[Service]\nEnvironment=CRYPTO_EXPECTED_IP=192.0.2.7\n' >"$unit.d/10-old.conf"
    { pair; echo '# mine'; } >"$env_file"
    echo 'CRYPTO_AUTH_DIAG=true' >"$root/opt/old.env"
    printf 'an older one' >"$root/usr/local/bin/crypto-proxy"
    chmod 0600 "$env_file"
    chmod 0755 "$root/etc/crypto-proxy"
}
upgrade_is_staged() {
    takeover_is_staged
    { cat "$project/crypto-proxy.service"; echo '# an older one'; } >"$unit"
    printf 'CRYPTO_PROXY_TOKEN=%s\n' "$good" >>"$env_file"
}

pair() { printf 'CRYPTO_API_KEY=%s\nCRYPTO_API_SECRET=%s\n' "$key" "$secret"; }
diagnosis() { echo 'CRYPTO_PROXY_DIAG_TOKEN=invented-token-of-the-diagnosis'; }
value() { sed -n "s/^$1=//p" "$env_file"; }
token_in_file() { [[ ! -f $env_file ]] || value CRYPTO_PROXY_TOKEN; }
ended() { [[ $status == "$1" ]]; }
says() { grep -qF -- "$1" "$root/../out"; }
says_not() { ! says "$1"; }
fresh() { [[ $(token_in_file) =~ ^[A-Za-z0-9_-]{43}$ ]]; }
diagnosis_is_fresh() { [[ $(value CRYPTO_PROXY_DIAG_TOKEN) =~ ^[A-Za-z0-9_-]{43}$ ]]; }
absent() { [[ ! -e $1 && ! -L $1 ]]; }
mode_is() { [[ $(stat -c %a "$1") == "$2" ]]; }
unit_is_new() { cmp -s "$unit" "$project/crypto-proxy.service"; }
unit_is_old() { cmp -s "$unit" "$root/../old-unit"; }
snapshot() { (cd "$root" && find . -printf '%p %y %m %U:%G %T@ %s %l\n' -type f -exec sha256sum {} + | sort); }
backup() { find "$root/var/backups/crypto-proxy" -path "*/$1" | tail -n 1; }
goes_back() { sh <(grep -v '^systemctl' "$(backup rollback.sh)"); }

begin 'fresh machine'
install_it
check 'ends well' ended 0
check 'the token is fresh' fresh
check 'so is the token of the diagnosis' diagnosis_is_fresh
check 'and it is another one' test "$(value CRYPTO_PROXY_DIAG_TOKEN)" != "$(value CRYPTO_PROXY_TOKEN)"
check 'the file is for root alone' mode_is "$env_file" 600
check 'the unit is there' unit_is_new
check 'the binary is there' cmp -s "$work/new/crypto-proxy" "$root/usr/local/bin/crypto-proxy"
check 'the binary can be run by all' mode_is "$root/usr/local/bin/crypto-proxy" 755
check 'new folders can be entered by all' mode_is "$root/usr/local/bin" 755
check 'it says what to fill in' says 'Fill in CRYPTO_API_KEY and CRYPTO_API_SECRET'
check 'it says which variable of the backend' says 'CRYPTO_PROXY_TOKEN in the backend'
check 'nothing was replaced, so there is no way back to write' absent "$root/var/backups"
check 'it says how to stop it' says 'systemctl disable --now crypto-proxy.service'
before=$(snapshot)
install_it
check 'unfilled, it is refused' ended 78
check 'unfilled, nothing changes' is "$(snapshot)" "$before"
sed -i "s/^CRYPTO_API_KEY=.*/CRYPTO_API_KEY=$key/; s/^CRYPTO_API_SECRET=.*/CRYPTO_API_SECRET=$secret/" "$env_file"
before=$(snapshot)
install_it
check 'filled in, it ends well' ended 0
check 'filled in, nothing else changes' is "$(snapshot)" "$before"

begin 'fresh machine with an old unit that keeps its keys elsewhere'
old_unit "Environment=CRYPTO_PROXY_TOKEN=$good" 'ExecStart=/usr/bin/python3 /opt/proxy.py'
before=$(snapshot)
install_it
check 'ends with 78' ended 78
check 'nothing is written' is "$(snapshot)" "$before"
check 'it says what is missing' says 'Missing: a complete key pair'
check 'it says how to give it' says 'sudoedit /etc/crypto.env'
check 'it gives no order about the token yet' says_not 'The backend must show'
pair >"$env_file"
install_it
check 'given, it switches' unit_is_new
check 'its token is in the file' is "$(token_in_file)" "$good"

begin 'good token only in the old unit'
old_unit "Environment=CRYPTO_PROXY_TOKEN=$good" 'EnvironmentFile=/etc/crypto.env' 'ExecStart=/opt/venv/bin/uvicorn proxy:app --host 127.0.0.1 --port 9000'
printf '# mine \xff\xfe\r\nODD="two\nlines"\r\n  %s\n; end, without a newline' "$(pair)" >"$env_file"
chmod 0644 "$env_file"
cp -a "$env_file" "$root/../env-before"
install_it
check 'ends well' ended 0
check 'the token is carried' is "$(token_in_file)" "$good"
check 'other lines are as they were' cmp -s <(head -c "$(stat -c %s "$root/../env-before")" "$env_file") "$root/../env-before"
check 'two lines were added, and an end to the last' is "$(($(wc -l <"$env_file") - $(wc -l <"$root/../env-before")))" 3
check 'the other one is a token of the diagnosis' diagnosis_is_fresh
check 'it says so' says 'A token of the diagnosis was written into /etc/crypto.env (CRYPTO_PROXY_DIAG_TOKEN)'
check 'the file is for root alone' mode_is "$env_file" 600
check 'the backend needs no change' says 'the backend needs no change'
check 'no listener is written' is "$(value CRYPTO_PROXY_LISTEN)" ''
check 'the unit is switched' unit_is_new
check 'the old unit is kept' cmp -s "$(backup crypto-proxy.service)" "$root/../old-unit"
check 'the old file is kept' cmp -s "$(backup crypto.env)" "$root/../env-before"
check 'the backup is for root alone' mode_is "$(dirname "$(backup crypto.env)")" 700
check 'it shows the way back' says 'systemctl daemon-reload'
before=$(snapshot)
install_it
check 'a second run ends well' ended 0
check 'a second run changes nothing' is "$(snapshot)" "$before"
check 'a second run shows the way back, too' says 'systemctl restart crypto-proxy.service'
check 'the way back never removes the credentials' no grep -q 'rm .*/etc/crypto.env$' "$(backup rollback.sh)"
printf 'LATER=1\n' >>"$env_file"
goes_back
check 'the way back restores the unit' unit_is_old
check 'what was in the file until then is set aside' grep -qx 'LATER=1' "$root"/etc/crypto.env.rolled-back-*
check 'the way back restores the file' cmp -s "$env_file" "$root/../env-before"
check 'the way back restores the mode' mode_is "$env_file" 644
check 'the way back takes the binary away' absent "$root/usr/local/bin/crypto-proxy"

begin 'published token in the old unit'
old_unit "Environment=\"CRYPTO_PROXY_TOKEN=$public\"" 'ExecStart=/usr/bin/python3 /opt/proxy.py'
pair >"$env_file"
install_it
check 'ends well' ended 0
check 'the token is fresh' fresh
check 'it says why' says 'was published'
check 'it says which variable of the backend' says 'CRYPTO_PROXY_TOKEN in the backend'
check 'it says where to read it' says 'sudo grep ^CRYPTO_PROXY_TOKEN= /etc/crypto.env'
check 'the unit is switched' unit_is_new

begin 'published token in the file'
pair >"$env_file"
printf 'CRYPTO_PROXY_TOKEN="%s"\r\nAFTER=1\r\n' "$public" >>"$env_file"
install_it
check 'the token is fresh' grep -qE $'^CRYPTO_PROXY_TOKEN=[A-Za-z0-9_-]{43}\r$' "$env_file"
check 'the line after it stays' grep -q $'^AFTER=1\r$' "$env_file"

begin 'published token that is to be kept'
pair >"$env_file"
printf 'CRYPTO_PROXY_TOKEN=%s\n' "$public" >>"$env_file"
install_it --keep-token
check 'it is kept' is "$(token_in_file)" "$public"
check 'with a warning' says 'was published; it is kept'

# Fifteen characters are too few wherever it listens, and sixteen are enough.
for host in 127.0.0.1 0.0.0.0; do
    begin "short token on $host"
    old_unit "Environment=CRYPTO_PROXY_TOKEN=$short" "ExecStart=/opt/venv/bin/uvicorn proxy:app --host $host --port 9000"
    pair >"$env_file"
    install_it
    check 'the token is fresh' fresh
    check 'it says why' says 'shorter than 16 characters, which the daemon refuses'
    check 'it says which variable of the backend' says 'CRYPTO_PROXY_TOKEN in the backend'
    check 'it says where to read it' says 'sudo grep ^CRYPTO_PROXY_TOKEN= /etc/crypto.env'
done

begin 'a token of sixteen characters'
old_unit "Environment=CRYPTO_PROXY_TOKEN=${short}x" 'ExecStart=/usr/bin/python3 /opt/proxy.py'
pair >"$env_file"
install_it
check 'it is carried' is "$(token_in_file)" "${short}x"

begin 'short token that is to be kept'
old_unit "Environment=CRYPTO_PROXY_TOKEN=$short" 'ExecStart=/usr/bin/python3 /opt/proxy.py'
pair >"$env_file"
before=$(snapshot)
install_it --keep-token
check 'the daemon would refuse it: nothing is switched' ended 78
check 'leaves everything' is "$(snapshot)" "$before"

# The token of the diagnosis: one that the daemon would refuse is replaced, too.
for weak in '' "$short" "$public" "$good"; do
    begin "a token of the diagnosis of ${#weak} characters"
    old_unit "Environment=CRYPTO_PROXY_TOKEN=$good" 'ExecStart=/usr/bin/python3 /opt/proxy.py'
    { pair; printf 'CRYPTO_PROXY_DIAG_TOKEN=%s\n' "$weak"; } >"$env_file"
    install_it
    check 'it is replaced' diagnosis_is_fresh
    check 'it says which' says CRYPTO_PROXY_DIAG_TOKEN
    check 'the backend needs no change' says_not 'The backend must show'
done

begin 'no token anywhere'
old_unit 'ExecStart=/usr/bin/python3 /opt/proxy.py'
pair >"$env_file"
install_it
check 'the token is fresh' fresh
check 'it says why' says 'There was no proxy token'

begin 'token in the file already'
old_unit "Environment=CRYPTO_PROXY_TOKEN=$good" 'EnvironmentFile=/etc/crypto.env' 'ExecStart=/usr/bin/python3 /opt/proxy.py --host=0.0.0.0'
{ printf 'CRYPTO_PROXY_TOKEN = %s  \nCRYPTO_PROXY_LISTEN=127.0.0.1:9000\n' "$other"; pair; diagnosis; } >"$env_file"
chmod 0600 "$env_file"
cp -a "$env_file" "$root/../env-before"
install_it
check 'the file is untouched' is "$(stat -c '%Y %i' "$env_file")" "$(stat -c '%Y' "$root/../env-before") $(stat -c %i "$env_file")"
check 'the file is byte for byte the same' cmp -s "$env_file" "$root/../env-before"
check 'the old proxy had that of the file: there is nothing to say' says_not 'different proxy tokens'

# Quoting as systemd reads it. Each line must give the token behind the bar.
quoting() { # token, lines of the old unit...
    local want=$1
    shift
    begin "quoting: $*"
    old_unit "$@" 'ExecStart=/usr/bin/python3 /opt/proxy.py'
    pair >"$env_file"
    install_it
    check 'the token is understood' is "$(systemd_reads)" "$want"
}
systemd_reads() { # what a POSIX shell makes of the line: for what we write, the same as systemd
    local CRYPTO_PROXY_TOKEN=''
    eval "$(grep '^CRYPTO_PROXY_TOKEN=' "$env_file")"
    printf '%s' "$CRYPTO_PROXY_TOKEN"
}
quoting "$good" "Environment=\"CRYPTO_PROXY_TOKEN=$good\""
quoting "$good" "Environment='CRYPTO_PROXY_TOKEN=$good'"
quoting "$good" "Environment=CRYPTO_PROXY_TOKEN=\"$good\""
quoting "$good" "Environment = A=1 \"B=2 3\" CRYPTO_PROXY_TOKEN=$good C='x y'"
quoting "$good" 'Environment=A=1 \' '# a comment in between' "  CRYPTO_PROXY_TOKEN=$good"
quoting "$good" "Environment=CRYPTO_PROXY_TOKEN=$other" "Environment=CRYPTO_PROXY_TOKEN=$good"
quoting "$good" "Environment=CRYPTO_PROXY_TOKEN=$other" 'Environment=' "Environment=CRYPTO_PROXY_TOKEN=$good"
quoting "$good" "#Environment=CRYPTO_PROXY_TOKEN=$other" "Environment=CRYPTO_PROXY_TOKEN=$good" "Environment=XCRYPTO_PROXY_TOKEN=$other"
quoting "${good}/a b" "Environment=CRYPTO_PROXY_TOKEN=${good}\\x2fa\\sb"
quoting 'invented "odd" $(token) with 100% `ticks` \ and all' 'Environment="CRYPTO_PROXY_TOKEN=invented \"odd\" $(token) with 100%% `ticks` \\ and all"'

begin 'drop-ins of the old unit'
old_unit "Environment=CRYPTO_PROXY_TOKEN=$other" 'ExecStart=/opt/old --port 9000'
mkdir "$unit.d"
printf '[Service]\nEnvironment=CRYPTO_PROXY_TOKEN=%s\n' "$other" >"$unit.d/10-first.conf"
printf '[Service]\nEnvironment="CRYPTO_PROXY_TOKEN=%s" CRYPTO_EXPECTED_IP=192.0.2.7\nExecStart=\nExecStart=/opt/newer --port 9001\n' "$good" >"$unit.d/20-second.conf"
pair >"$env_file"
install_it
check 'the last drop-in wins' is "$(token_in_file)" "$good"
check 'other settings are carried, too' is "$(value CRYPTO_EXPECTED_IP)" 192.0.2.7
check 'the port is of the last drop-in' is "$(value CRYPTO_PROXY_LISTEN)" 127.0.0.1:9001
check 'they no longer bend the new unit' absent "$unit.d"
check 'they are kept' test -s "$(backup crypto-proxy.service.d/20-second.conf)"
goes_back
check 'the way back restores them' test -s "$unit.d/20-second.conf"
install_it
mkdir "$unit.d"
printf '[Service]\nWatchdogSec=5\n' >"$unit.d/mine.conf"
before=$(snapshot)
install_it
check 'those of the new unit stay' is "$(snapshot)" "$before"

begin 'credentials only in the old unit'
old_unit "Environment=CRYPTO_API_KEY=$key 'CRYPTO_API_SECRET=$secret'" "Environment=CRYPTO_PROXY_TOKEN=$good" 'ExecStart=/opt/old --port 9000'
install_it
check 'the pair is carried' is "$(value CRYPTO_API_KEY) $(value CRYPTO_API_SECRET)" "$key $secret"
check 'the unit is switched' unit_is_new
goes_back
check 'the way back sets the new file aside' absent "$env_file"
check 'and keeps what it holds, for root alone' mode_is "$root"/etc/crypto.env.rolled-back-* 600
check 'the way back restores the unit' unit_is_old

begin 'a way back that cannot be gone'
old_unit "Environment=CRYPTO_PROXY_TOKEN=$good" 'ExecStart=/opt/old --port 9000'
pair >"$env_file"
install_it
rm -- "$(backup crypto.env)"
before=$(snapshot)
check 'it stops' no goes_back 2>/dev/null
check 'at the first step that fails' is "$(snapshot)" "$before"

begin 'another environment file of the old unit'
old_unit "Environment=CRYPTO_PROXY_TOKEN=$other" 'EnvironmentFile=-/opt/proxy.env' 'ExecStart=/opt/old --port ${PORT}'
{ pair; printf "CRYPTO_PROXY_TOKEN='%s'\nPORT=9002\n" "$good"; } >"$root/opt/proxy.env"
install_it
check 'its token wins over Environment=' is "$(token_in_file)" "$good"
check 'its pair is carried' is "$(value CRYPTO_API_KEY) $(value CRYPTO_API_SECRET)" "$key $secret"
check 'its port is carried' is "$(value CRYPTO_PROXY_LISTEN)" 127.0.0.1:9002

listens() { # expected, lines of the old unit...
    local want=$1
    shift
    begin "listener: $*"
    old_unit "Environment=CRYPTO_PROXY_TOKEN=$good" "$@"
    printf 'if __name__ == "__main__":\n    uvicorn.run(app, host="0.0.0.0", port=9100)\n' >"$root/opt/literal.py"
    pair >"$env_file"
    install_it
    check "becomes '$want'" is "$(value CRYPTO_PROXY_LISTEN)" "$want"
    case $want in 0.0.0.0:* | 172.*) check 'with a warning' says 'clear text' ;; *) check 'without a warning' says_not 'clear text' ;; esac
}
listens '' 'ExecStart=/opt/venv/bin/python -m uvicorn proxy:app --port 9000'
listens '127.0.0.1:8000' 'ExecStart=/opt/venv/bin/uvicorn proxy:app'
listens '0.0.0.0:9000' 'ExecStart=/opt/venv/bin/uvicorn proxy:app --host 0.0.0.0 --port 9000'
listens '172.31.31.131:9000' 'ExecStart=/bin/bash -c "cd /opt && exec venv/bin/uvicorn proxy:app --host=172.31.31.131 --port=9000"'
listens '0.0.0.0:9005' 'ExecStart=/opt/venv/bin/gunicorn -b 0.0.0.0:9005 proxy:app'
listens '127.0.0.1:9006' 'Environment=PORT=9006' 'ExecStart=/usr/bin/python3 /opt/proxy.py'
listens '127.0.0.1:9007' 'Environment=PORT=9007' 'ExecStart=/usr/bin/python3 /opt/proxy.py --port ${PORT:-1}'
listens '0.0.0.0:9100' 'ExecStart=/usr/bin/python3 /opt/literal.py'
listens '[::1]:9000' 'ExecStart=/opt/old --host ::1 --port 9000'
listens 'unix:/run/old.sock' 'ExecStart=/opt/venv/bin/uvicorn proxy:app --uds /run/old.sock'

begin 'failed check'
old_unit "Environment=CRYPTO_PROXY_TOKEN=$good" 'ExecStart=/opt/old'
{ pair; echo 'REFUSE_IN_TEST=1'; } >"$env_file"
before=$(snapshot)
install_it
check 'ends with 78' ended 78
check 'leaves everything' is "$(snapshot)" "$before"
check 'says so' says 'nothing was changed'

begin 'a file that cannot be edited safely'
{ pair; printf 'OPEN="never closed'; } >"$env_file"
before=$(snapshot)
install_it
check 'is refused' ended 1
check 'leaves everything' is "$(snapshot)" "$before"

begin 'dry run'
old_unit "Environment=CRYPTO_PROXY_TOKEN=$public" 'ExecStart=/opt/venv/bin/uvicorn proxy:app --host 0.0.0.0 --port 9000'
pair >"$env_file"
before=$(snapshot)
install_it --dry-run
check 'ends well' ended 0
check 'writes nothing' is "$(snapshot)" "$before"
check 'says what it would write' says "would write: $env_file"
check 'says that nothing was written' says 'nothing was written'

begin 'upgrade of the binary'
pair >"$env_file"
printf 'CRYPTO_PROXY_TOKEN=%s\n' "$good" >>"$env_file"
mkdir -p "$root/usr/local/bin"
printf 'an older one' >"$root/usr/local/bin/crypto-proxy"
install_it
check 'the old one is kept' is "$(cat "$(backup crypto-proxy)")" 'an older one'
goes_back
check 'the way back restores it' is "$(cat "$root/usr/local/bin/crypto-proxy")" 'an older one'

begin 'links'
pair >"$root/opt/real.env"
ln -s /opt/real.env "$env_file"
install_it
check 'a linked environment file is refused below --root' ended 1
rm "$env_file"
pair >"$env_file"
printf '[Service]\nEnvironment=CRYPTO_PROXY_TOKEN=%s\nExecStart=/opt/old --port 9000\n' "$good" >"$root/opt/linked.service"
ln -s ../../../opt/linked.service "$unit"
install_it
check 'a linked unit is read' is "$(token_in_file)" "$good"
check 'a linked unit is replaced, not written through' grep -q /opt/old "$root/opt/linked.service"
check 'the unit is switched' unit_is_new

for part in "$here"/install/*.sh; do
    # shellcheck source=tests/e2e/install/upgrades.sh
    source "$part"
done

begin 'the list of published tokens'
embedded=$(sed -n "s/^readonly PUBLISHED='\(.*\)'$/\1/p" "$project/deploy/install.sh")
shipped=$(tr -d '\n' <"$project/src/config/published.json" | sed -n 's/.*"proxy_tokens": *\[\([^]]*\)\].*/\1/p' | grep -oE '[0-9a-f]{64}')
check 'the script has the digests of src/config/published.json' is "$embedded" "$shipped"

begin 'the example'
check 'it holds no value that the daemon would take for a credential' \
    is "$(grep -E '^[A-Z_]+=.' "$project/deploy/crypto.env.example")" ''

printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
