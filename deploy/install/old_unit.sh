# shellcheck shell=bash disable=SC2034,SC2004 # variables of install.sh; old_env is associative
# What the unit that is replaced says: its environment, and where its program listens. Part of install.sh.
# Reads only. Unit files are read as systemd reads them: sections, drop-ins by name, quotes, escapes, empty resets.

look_at_old_unit() {
    local folder file
    for folder in /etc /run /usr/local/lib /usr/lib /lib; do
        file=$root$folder/systemd/system/$SERVICE
        [[ -e $file || -L $file ]] || continue
        old_unit=$file
        break
    done
    if [[ -n $old_unit && -r $old_unit ]]; then
        ! grep -qE '^ExecStart=[-@:+!]*/usr/local/bin/crypto-proxy[[:space:]]+serve' "$old_unit" || ours=yes
        read_unit "$old_unit"
    fi
    # Drop-ins can stand without a unit: systemd keeps the folder when the unit is deleted.
    while IFS= read -r file; do read_unit "$file"; done < <(drop_ins)
    for file in "${read_files[@]}"; do read_env_into_old "$file"; done
}

# Our drop-ins in systemd's order: by name, whatever the folder.
drop_ins() {
    local file
    for file in "$root"/{etc,run,usr/local/lib,usr/lib}/systemd/system/"$SERVICE".d/*.conf; do
        printf '%s/%s\n' "${file##*/}" "$file"
    done | sort -s -t/ -k1,1 | cut -d/ -f2-
}

# Collects Environment=, EnvironmentFile= and ExecStart= of [Service]; a line that ends in a backslash goes on.
read_unit() {
    local line logical='' section='' more=''
    while IFS= read -r line || [[ -n $line ]]; do
        line=${line%$'\r'}
        line=${line##+([[:space:]])}
        [[ $line != [\#\;]* ]] || continue
        if [[ $line == *\\ ]]; then
            logical+=${line%\\}' '
            more=yes
            continue
        fi
        logical+=$line
        if [[ -z $more && $logical == \[*\]* ]]; then section=$logical; fi
        [[ $section != '[Service]'* ]] || service_setting "$logical"
        logical='' more=''
    done <"$1"
}

service_setting() {
    local name=${1%%=*} value=${1#*=} word path
    name=${name%%+([[:space:]])}
    value=${value##+([[:space:]])}
    case $name in
        Environment)
            [[ -n $value ]] || old_env=()
            split_words "$value"
            for word in "${WORDS[@]}"; do
                [[ $word == [A-Za-z_]*([A-Za-z0-9_])=* ]] || continue
                old_env[${word%%=*}]=${word#*=}
            done
            ;;
        EnvironmentFile)
            path=${value#-}
            if [[ -z $path ]]; then read_files=(); else read_files+=("$path"); fi
            ;;
        ExecStart)
            if [[ -z $value ]]; then old_exec=''; else old_exec+=" $value"; fi
            ;;
    esac
}

# Splits like systemd: quotes anywhere in a word, C escapes, %% for a percent sign. Leaves the result in WORDS.
split_words() {
    local text=$1 word='' quote='' open='' c i
    WORDS=()
    for ((i = 0; i < ${#text}; i++)); do
        c=${text:i:1}
        if [[ $c == \\ ]]; then
            unescape "${text:i+1}"
            word+=$UNESCAPED
            i=$((i + TAKEN))
            open=yes
        elif [[ -n $quote ]]; then
            if [[ $c == "$quote" ]]; then quote=''; else word+=$c; fi
        elif [[ $c == [\'\"] ]]; then
            quote=$c open=yes
        elif [[ $c == [[:space:]] ]]; then
            [[ -z $open ]] || WORDS+=("${word//%%/%}")
            word='' open=''
        else
            word+=$c open=yes
        fi
    done
    [[ -z $open ]] || WORDS+=("${word//%%/%}")
}

# One escape, given the text after the backslash: its value in UNESCAPED, its length in TAKEN.
unescape() {
    TAKEN=1
    case $1 in
        x[[:xdigit:]][[:xdigit:]]*) TAKEN=3 ;;
        [0-7][0-7][0-7]*) TAKEN=3 ;;
        [abfnrtv]*) ;;
        s*)
            UNESCAPED=' '
            return
            ;;
        *)
            UNESCAPED=${1:0:1}
            return
            ;;
    esac
    printf -v UNESCAPED '%b' "\\${1:0:TAKEN}"
}

read_env_into_old() {
    local path=$1 name file
    [[ $path != /etc/crypto.env ]] || return 0
    for file in "$root"$path; do # a pattern is allowed here
        [[ -r $file ]] || continue
        slurp "$file"
        parse_env "$SLURPED"
        for name in "${!ENV[@]}"; do old_env[$name]=${ENV[$name]}; done
        say "The old unit also read ${file#"$root"}; the new one reads /etc/crypto.env alone."
    done
}

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

# Of a running old proxy the kernel knows best.
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

old_value() { printf '%s' "${ENV[$1]-${old_env[$1]-}}"; }

# A literal host= or port= of the Python file that the old unit starts.
in_old_script() { # name, pattern of the value
    local script
    script=$(printf '%s' "$old_exec" | grep -oE '/[^[:space:]"'\'']+\.py\b' | head -n 1) || return 0
    [[ -r $root$script ]] || return 0
    grep -oE "\\b$1[[:space:]]*=[[:space:]]*[\"']?$2" -- "$root$script" | head -n 1 | sed -E "s/^$1[[:space:]]*=[[:space:]]*[\"']?//" || true
}
