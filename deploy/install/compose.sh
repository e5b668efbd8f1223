# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # variables of install.sh
# /etc/crypto.env as it will be: which token, which settings of the old unit, which listener. Part of install.sh.
# Works on text alone and writes no file.

compose_env_file() {
    env_path=$ENV_FILE
    if [[ -L $ENV_FILE ]]; then
        [[ -z $root ]] || die 1 "$ENV_FILE is a symbolic link, which could lead out of --root"
        env_path=$(realpath -- "$ENV_FILE")
    fi
    if [[ -e $env_path ]]; then
        slurp "$env_path"
    else
        slurp "$example"
        env_is_new=yes
    fi
    env_text=$SLURPED env_before=$SLURPED
    [[ $env_text != $'\xef\xbb\xbf'* ]] || warn '/etc/crypto.env begins with a byte order mark: systemd ignores its first line'
    parse_env "$env_text"
    settle_token
    carry_settings
    settle_listener
}

settle_token() {
    local token=${ENV[CRYPTO_PROXY_TOKEN]-} from='/etc/crypto.env' bad='' judged
    if [[ -z $token ]]; then
        token=${old_env[CRYPTO_PROXY_TOKEN]-} from='the old unit'
    elif [[ -n ${old_env[CRYPTO_PROXY_TOKEN]-} && ${old_env[CRYPTO_PROXY_TOKEN]} != "$token" ]]; then
        warn 'the old unit and /etc/crypto.env hold different proxy tokens; the one in the file is used'
    fi
    judged=$(cleaned "$token")
    if [[ -z $judged ]]; then
        bad='There was no proxy token'
    elif is_published "$judged"; then
        bad="The proxy token of $from was published"
    elif ((${#judged} < SHORT)); then
        bad="The proxy token of $from is shorter than $SHORT characters"
    fi
    if [[ -n $bad && ( -z $judged || -z $keep_token ) ]]; then
        set_variable CRYPTO_PROXY_TOKEN "$(new_token)"
        fresh_token=$bad
        return
    fi
    [[ -z $bad ]] || warn "$bad; it is kept because of --keep-token. Replace it soon: anybody may know it."
    if [[ $from == 'the old unit' ]]; then
        set_variable CRYPTO_PROXY_TOKEN "$token"
        say 'The proxy token stood only in the old unit: carried into /etc/crypto.env, the backend needs no change.'
    fi
}

# What the daemon takes off a value: white space around it, invisible characters, one layer of quotes.
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

carry_settings() {
    local name carried=()
    for name in "${CARRIED[@]}"; do
        [[ -z ${ENV[$name]-} && -n ${old_env[$name]-} ]] || continue
        set_variable "$name" "${old_env[$name]}"
        carried+=("$name")
    done
    ((${#carried[@]} == 0)) || say "These stood only in the old unit: carried into /etc/crypto.env: ${carried[*]}"
}

# The daemon listens on one fixed address unless told; whoever called the old proxy must find the new one there.
settle_listener() {
    local listen
    if [[ -n ${ENV[CRYPTO_PROXY_LISTEN]-} ]]; then
        listen=${ENV[CRYPTO_PROXY_LISTEN]}
    elif [[ -n ${old_env[CRYPTO_PROXY_LISTEN]-} ]]; then
        listen=${old_env[CRYPTO_PROXY_LISTEN]}
        set_variable CRYPTO_PROXY_LISTEN "$listen"
    elif [[ -z $old_unit || -n $ours ]]; then
        return 0
    else
        listen=$(old_listener)
        [[ $listen != "$DEFAULT_LISTEN" ]] || return 0
        set_variable CRYPTO_PROXY_LISTEN "$listen"
        say "The old proxy listened on $listen: CRYPTO_PROXY_LISTEN says so now in /etc/crypto.env."
    fi
    case $listen in
        127.* | \[::1\]:* | localhost:* | unix:*) ;;
        *) warn "$listen is beyond loopback: tokens and orders cross that network in clear text. Prefer $DEFAULT_LISTEN and callers on this machine." ;;
    esac
}

waits_for_credentials() {
    local prefix
    [[ -n $env_is_new ]] || return 1
    for prefix in CRYPTO EXCHANGE_CUSTOM CRYPTO_COM CRYPTOCOM; do
        [[ -z ${ENV[${prefix}_API_KEY]-} || -z ${ENV[${prefix}_API_SECRET]-} ]] || return 1
    done
}
