# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # variables of install.sh
# Composes the new /etc/crypto.env: key pair, tokens, settings and listener. Part of install.sh.
# Works on text only and writes no file. The old process's environment counts, because its callers rely on it.
# An upgrade of our own unit removes only a byte order mark here: the unit's drop-ins stay in force.

compose_env_file() {
    env_path=$ENV_FILE
    [[ ! -L $ENV_FILE ]] || env_path=$(realpath -- "$ENV_FILE")
    if [[ -n $ours && ( ! -e $env_path || -z $(reads_env_file) ) ]]; then
        leave_env=yes SLURPED=''
        note "The installed unit has its credentials from elsewhere: /etc/crypto.env is left alone."
    elif [[ -e $env_path ]]; then
        slurp "$env_path"
        warn_of_readers
    else
        slurp "$example"
        env_is_new=yes
    fi
    env_text=$SLURPED env_before=$SLURPED
    take_off_mark
    parse_env "$env_text"
    warn_of_carriage_returns
    if [[ -n $ours ]]; then
        judge_own_token
        return
    fi
    settle_pair
    settle_listener
    settle_token
    settle_diagnosis_token
    carry_settings
}

warn_of_readers() {
    local mode owner
    mode=$(stat -c %a -- "$env_path") owner=$(stat -c %U:%G -- "$env_path")
    (((8#$mode & 8#077) == 0)) || warn "/etc/crypto.env belonged to $owner with mode $mode: others than root could use it, and may have read the pair and the token. It is for root alone (root:root 0600) from now on; whoever else has to read it no longer can."
}

# systemd reads the byte order mark as a part of the first line's name, and ignores that line.
take_off_mark() {
    local before='' after=''
    [[ $env_text == $'\xef\xbb\xbf'* ]] || return 0
    parse_env "$env_text"
    before=$(pair_value ENV)
    env_text=${env_text#$'\xef\xbb\xbf'}
    parse_env "$env_text"
    after=$(pair_value ENV)
    [[ -z $ours || -z $before || $before == "$after" ]] ||
        die 78 '/etc/crypto.env begins with a byte order mark, so that systemd ignores its first line; without the mark that line would bring another key pair. Take the pair out that is not wanted, and run this again; nothing was changed'
    note '/etc/crypto.env began with a byte order mark, so that systemd ignored its first line: taken off.'
}

warn_of_carriage_returns() {
    local name
    for name in "${!ENV[@]}"; do
        [[ ${ENV[$name]} != *$'\r'* ]] || warn "the value of $name in /etc/crypto.env holds a carriage return (a quote or a backslash before it keeps it there): write the line anew"
    done
}

# ---- the pair ----------------------------------------------------------------------------------------------------

# Prints the names of the first complete pair, as the daemon chooses it, or nothing.
pair_names() { # ENV or old_env
    local -n variables=$1
    local prefix
    for prefix in CRYPTO EXCHANGE_CUSTOM CRYPTO_COM CRYPTOCOM; do
        [[ -n $(cleaned "${variables[${prefix}_API_KEY]-}") && -n $(cleaned "${variables[${prefix}_API_SECRET]-}") ]] || continue
        printf '%s' "${prefix}_API_KEY ${prefix}_API_SECRET"
        return
    done
}

pair_value() { # ENV or old_env
    local -n from=$1
    local key secret
    read -r key secret < <(pair_names "$1"; echo) || true
    [[ -z $key ]] || printf '%s\n%s' "$(cleaned "${from[$key]}")" "$(cleaned "${from[$secret]}")"
}

# The new daemon must use the key pair of the old process; otherwise nothing is changed.
settle_pair() {
    local key secret
    read -r key secret < <(pair_names old_env; echo) || true
    if [[ -z $key ]]; then
        [[ -z $old_unit || -z $(pair_names ENV) ]] || warn "the old unit gave its program no key pair: whether it used that of /etc/crypto.env cannot be seen from here"
        return 0
    fi
    if [[ -z $(pair_names ENV) ]]; then
        set_variable "$key" "${old_env[$key]}"
        set_variable "$secret" "${old_env[$secret]}"
        note "The key pair stood only in ${old_from[$secret]}: carried into /etc/crypto.env ($key, $secret)."
    elif [[ $(pair_value old_env) != "$(pair_value ENV)" ]]; then
        die 78 "two different key pairs: the old proxy had $key from ${old_from[$key]} and $secret from ${old_from[$secret]}, and /etc/crypto.env holds another one ($(pair_names ENV)). Leave only the right one in /etc/crypto.env and in the unit, and run this again; nothing was changed"
    fi
}

# Without a pair here, the old proxy keeps its pair in an unknown place, and must not be stopped.
require_pair() {
    [[ -n $old_unit && -z $(pair_names ENV) && -z $(pair_names old_env) ]] || return 0
    [[ -z $ours || ( ${#credentials[@]} == 0 && "${!old_env[*]} " != *_API_SECRET_FILE' '* ) ]] || return 0
    say 'Missing: a complete key pair (CRYPTO_API_KEY and CRYPTO_API_SECRET, or another of its names).'
    say "Looked at: $old_unit with its drop-ins and environment files, and /etc/crypto.env. A program can also read a file of its own."
    say 'To give it:'
    [[ -e $env_path ]] || say '    sudo install -m 0600 /dev/null /etc/crypto.env'
    say '    sudoedit /etc/crypto.env      # two lines: CRYPTO_API_KEY=… and CRYPTO_API_SECRET=…'
    say 'and then run this command again.'
    die 78 'no credentials: nothing was written, the old unit is as it was'
}

# ---- the token ---------------------------------------------------------------------------------------------------

settle_token() {
    local own=${ENV[CRYPTO_PROXY_TOKEN]-} token=${old_env[CRYPTO_PROXY_TOKEN]-} from=${old_from[CRYPTO_PROXY_TOKEN]-} bad fresh
    if [[ -z $(cleaned "$token") ]]; then token=$own from=/etc/crypto.env; fi
    bad=$(token_fault "$token" "$from")
    if [[ -n $bad && -n $keep_token && -n $(cleaned "$token") ]]; then
        warn "$bad; it is kept because of --keep-token. Replace it soon: anybody may know it."
    elif [[ -n $bad && $(cleaned "$own") != "$(cleaned "$token")" && -z $(token_fault "$own" /etc/crypto.env) ]]; then
        token_news="$bad: that of /etc/crypto.env takes its place."
        return
    elif [[ -n $bad ]]; then
        fresh=$(new_token)
        set_variable CRYPTO_PROXY_TOKEN "$fresh"
        token_news="$bad: a new random one $([[ -n $dry_run ]] && printf 'would be' || printf 'was') written to /etc/crypto.env."
        return
    fi
    [[ $(cleaned "$token") != "$(cleaned "$own")" ]] || return 0
    set_variable CRYPTO_PROXY_TOKEN "$token"
    if [[ -n $(cleaned "$own") ]]; then
        warn "$from and /etc/crypto.env hold different proxy tokens; the one that the old proxy had is used, from $from"
    else
        note "The proxy token stood only in $from: carried into /etc/crypto.env, the backend needs no change."
    fi
}

# The diagnosis token. One that the daemon would refuse is replaced: only operators use
# it.
settle_diagnosis_token() {
    local own=${ENV[CRYPTO_PROXY_DIAG_TOKEN]-} fresh
    if [[ -z $(cleaned "$own") ]]; then
        note 'A token of the diagnosis was written into /etc/crypto.env (CRYPTO_PROXY_DIAG_TOKEN): "sudo crypto-proxy diagnose" finds it there, the backend needs none.'
    elif [[ -n $(token_fault "$own" '') || $(cleaned "$own") == "$(cleaned "${ENV[CRYPTO_PROXY_TOKEN]-}")" ]]; then
        warn "CRYPTO_PROXY_DIAG_TOKEN of /etc/crypto.env was published, shorter than $SHORT characters or the same as the proxy token: a new random one takes its place. Whoever opens the diagnosis or the status page with the old one reads the new one there."
    else
        return 0
    fi
    fresh=$(new_token)
    set_variable CRYPTO_PROXY_DIAG_TOKEN "$fresh"
}

# Says why a token must be replaced: anybody may know it, or the daemon would refuse it.
token_fault() { # token source
    local judged
    judged=$(cleaned "$1")
    if [[ -z $judged ]]; then
        printf 'There was no proxy token'
    elif is_published "$judged"; then
        printf 'The proxy token of %s was published' "$2"
    elif ((${#judged} < SHORT)); then
        printf 'The proxy token of %s is shorter than %s characters, which the daemon refuses' "$2" "$SHORT"
    fi
}

# An upgrade must not lock callers out: it replaces no token, and stops if the new daemon would refuse the token.
judge_own_token() {
    local token=${old_env[CRYPTO_PROXY_TOKEN]-${ENV[CRYPTO_PROXY_TOKEN]-}} judged
    judged=$(cleaned "$token")
    [[ -n $judged ]] || return 0
    if is_published "$judged"; then
        warn 'the proxy token was published, and anybody may know it; an upgrade does not replace it. Do: docs/operations.md, "Rotate the proxy token"'
    elif ((${#judged} < SHORT)); then
        die 78 "the proxy token (CRYPTO_PROXY_TOKEN) is shorter than $SHORT characters, which the new daemon refuses; an upgrade does not replace it. Do: docs/operations.md, \"Rotate the proxy token\", and run this command again; nothing was changed"
    fi
}

# Removes what the daemon removes from a value: white space around it, invisible characters, one layer of quotes.
cleaned() {
    local text=$1 mark
    for mark in $'\xef\xbb\xbf' $'\xe2\x80\x8b' $'\xe2\x80\x8c' $'\xe2\x80\x8d' $'\xe2\x81\xa0'; do text=${text//$mark/}; done
    text=${text##+([[:space:]])}
    text=${text%%+([[:space:]])}
    if ((${#text} >= 2)) && [[ ${text:0:1} == [\'\"] && ${text: -1} == "${text:0:1}" ]]; then text=${text:1:-1}; fi
    printf '%s' "$text"
}

is_published() {
    local sum
    sum=$(printf '%s' "$1" | sha256sum)
    [[ $'\n'$published$'\n' == *$'\n'"${sum%% *}"$'\n'* ]]
}

new_token() { # 256 bits, 43 characters of the url-safe alphabet
    local text
    text=$(head -c 32 /dev/urandom | base64 -w 0 | tr '+/' '-_' | tr -d '=')
    ((${#text} == 43)) || die 1 'no random token could be made'
    printf '%s' "$text"
}

# ---- the other settings, and the listener ------------------------------------------------------------------------

carry_settings() {
    local name carried=()
    for name in "${CARRIED[@]}"; do
        [[ -n ${old_env[$name]-} && ${ENV[$name]-} != "${old_env[$name]}" ]] || continue
        [[ -z ${ENV[$name]-} ]] || warn "$name of /etc/crypto.env was not in force: the old proxy had another value from ${old_from[$name]}, which is written into the file"
        set_variable "$name" "${old_env[$name]}"
        carried+=("$name")
    done
    ((${#carried[@]} == 0)) || note "These stood only in the old unit: carried into /etc/crypto.env: ${carried[*]}"
}

# Callers of the old proxy must reach the new daemon at the same address.
settle_listener() {
    listen=$DEFAULT_LISTEN
    if [[ -n ${ENV[CRYPTO_PROXY_LISTEN]-} ]]; then
        listen=${ENV[CRYPTO_PROXY_LISTEN]}
    elif [[ -n ${old_env[CRYPTO_PROXY_LISTEN]-} ]]; then
        listen=${old_env[CRYPTO_PROXY_LISTEN]}
        set_variable CRYPTO_PROXY_LISTEN "$listen"
    elif [[ -z $old_unit ]]; then
        return 0
    else
        listen=$(old_listener)
        [[ $listen != "$DEFAULT_LISTEN" ]] || return 0
        set_variable CRYPTO_PROXY_LISTEN "$listen"
        note "The old proxy listened on $listen: CRYPTO_PROXY_LISTEN says so now in /etc/crypto.env."
    fi
    ! beyond_loopback || warn "$listen is beyond loopback: tokens and orders cross that network in clear text. Prefer $DEFAULT_LISTEN and callers on this machine."
}

beyond_loopback() {
    local address
    for address in ${listen//,/ }; do
        case $address in
            127.* | \[::1\]:* | localhost:* | unix:*) ;;
            *) return 0 ;;
        esac
    done
    return 1
}
