# shellcheck shell=bash disable=SC2154 # variables of install.sh
# Finds out where the old program listens. Part of install.sh. Changes nothing.

old_listener() {
    local host port seen
    if [[ -z $root ]] && seen=$(listening_now) && [[ -n $seen ]]; then
        printf '%s' "$seen"
        return
    fi
    read_listen_flags
    if [[ -n $FLAG_BIND ]]; then
        printf '%s' "$FLAG_BIND"
        return
    fi
    if [[ $old_exec == *@(uvicorn|gunicorn)* ]]; then
        host=${FLAG_HOST:-$(old_value UVICORN_HOST)}
        port=${FLAG_PORT:-$(old_value UVICORN_PORT)}
        port=${port:-8000} # the default of both
    else
        host=${FLAG_HOST:-$(in_old_script host '[^"'\'']+')}
        port=${FLAG_PORT:-$(in_old_script port '[0-9]+')}
        port=${port:-$(old_value PORT)}
        [[ -n $host$port ]] || warn "the old unit does not tell where the old proxy listened; taking $DEFAULT_LISTEN"
    fi
    join_address "${host:-127.0.0.1}" "${port:-9000}"
}

# If the old proxy runs, the kernel knows its address.
listening_now() {
    local pid seen
    pid=$(systemctl show --property=MainPID --value "$SERVICE" 2>/dev/null) && [[ $pid == [1-9]* ]] || return 1
    seen=$(ss -Hltnp 2>/dev/null | awk -v pid="pid=$pid," 'index($0, pid) { print $4 }' | sort -u) || return 1
    [[ $seen != *$'\n'* ]] || warn "the old proxy listens on several addresses (${seen//$'\n'/, }); only the first is taken over"
    seen=${seen%%$'\n'*}
    printf '%s' "${seen/#\*:/[::]:}"
}

# --host, --port, --bind and --uds of the old command line, into FLAG_HOST, FLAG_PORT and FLAG_BIND.
read_listen_flags() {
    local word name='' text
    FLAG_HOST='' FLAG_PORT='' FLAG_BIND=''
    split_words "$old_exec"
    text=${WORDS[*]}
    split_words "${text//[\'\"]/ }" # once more, for bash -c '…'
    for word in "${WORDS[@]}"; do
        if [[ -z $name && $word == --@(host|port|bind|uds)=* ]]; then
            name=${word%%=*}
            word=${word#*=}
        elif [[ -z $name ]]; then
            [[ $word != @(--host|--port|--bind|-b|--uds) ]] || name=$word
            continue
        fi
        word=$(expanded "$word")
        case $name in
            --host) FLAG_HOST=$word ;;
            --port) FLAG_PORT=$word ;;
            --uds) FLAG_BIND=unix:$word ;;
            *) FLAG_BIND=$(join_address "${word%:*}" "${word##*:}") ;;
        esac
        name=''
    done
}

join_address() { # host port
    case $1 in
        localhost) printf '127.0.0.1:%s' "$2" ;;
        \[*) printf '%s:%s' "$1" "$2" ;;
        *:*) printf '[%s]:%s' "$1" "$2" ;;
        *) printf '%s:%s' "$1" "$2" ;;
    esac
}

# $NAME, ${NAME} and ${NAME:-default} of an old command line.
expanded() {
    local name=${1#\$} default=''
    if [[ $1 != \$* ]]; then
        printf '%s' "$1"
        return
    fi
    name=${name#\{}
    name=${name%\}}
    [[ $name != *:-* ]] || default=${name#*:-}
    name=$(old_value "${name%%:-*}")
    printf '%s' "${name:-$default}"
}

old_value() { printf '%s' "${old_env[$1]-}"; }

# A literal host= or port= of the Python file that the old unit starts.
in_old_script() { # name, pattern of the value
    local script
    script=$(printf '%s' "$old_exec" | grep -oE '/[^[:space:]"'\'']+\.py\b' | head -n 1) || return 0
    [[ -f $root$script && -r $root$script ]] || return 0
    grep -oE "\\b$1[[:space:]]*=[[:space:]]*[\"']?$2" -- "$root$script" | head -n 1 | sed -E "s/^$1[[:space:]]*=[[:space:]]*[\"']?//" || true
}
