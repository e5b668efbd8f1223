# shellcheck shell=bash
# Reads environment files by systemd's rules into ENV, and changes one variable at a time. Part of install.sh.
# Works on text only and writes no file. Before systemd 254, a comment that ends in a backslash continues in the next
# line, and so it does here. A variable below such a line is set in a new last line, which every version reads.

slurp() { # leaves the whole file, last newlines too, in SLURPED
    IFS= read -r -d '' SLURPED <"$1" || [[ $? == 1 ]]
    [[ ${#SLURPED} == "$(wc -c <"$1")" ]] || die 1 "$1 holds a NUL byte; repair it first"
}

# Leaves values in ENV, and where each name's last assignment begins and ends in ENV_FROM and ENV_TO.
parse_env() {
    local text=$1 state=before key='' value='' from=0 keep=0 c i
    declare -gA ENV=() ENV_FROM=() ENV_TO=()
    for ((i = 0; i < ${#text}; i++)); do
        c=${text:i:1}
        case $state in
            before)
                case $c in
                    [\#\;]) state=comment ;;
                    [[:space:]]) ;;
                    *) state=key key=$c from=$i ;;
                esac
                ;;
            comment)
                case $c in
                    \\) i=$((i + 1)) ;;
                    $'\n' | $'\r') state=before ;;
                esac
                ;;
            key)
                case $c in
                    $'\n' | $'\r') state=before ;;
                    =) state=start value='' keep=0 ;;
                    *) key+=$c ;;
                esac
                ;;
            start | value)
                case $state$c in
                    *[$'\n\r'])
                        keep_assignment "$key" "$value" "$keep" "$from" "$i"
                        state=before
                        ;;
                    start[\'\"])
                        if [[ $c == \' ]]; then state=single; else state=double; fi
                        ;;
                    *\\)
                        i=$((i + 1))
                        c=${text:i:1}
                        [[ $c == $'\n' ]] || value+=$c
                        state=value keep=${#value}
                        ;;
                    start[[:space:]]) ;;
                    *)
                        state=value
                        value+=$c
                        ;;
                esac
                ;;
            single)
                if [[ $c == \' ]]; then state=start keep=${#value}; else value+=$c; fi
                ;;
            double)
                case $c in
                    \") state=start keep=${#value} ;;
                    \\)
                        i=$((i + 1))
                        c=${text:i:1}
                        case $c in
                            [\"\\\`\$]) value+=$c ;;
                            $'\n') ;;
                            *) value+=\\$c ;;
                        esac
                        ;;
                    *) value+=$c ;;
                esac
                ;;
        esac
    done
    case $state in start | value | single | double)
        [[ $state != single && $state != double ]] || keep=${#value}
        keep_assignment "$key" "$value" "$keep" "$from" "${#text}"
        ;;
    esac
}

# Removes white space at the end, unless it was quoted or escaped: the first `keep` bytes stay.
keep_assignment() { # key value keep from to
    local key=${1%%+([[:space:]])} tail=${2:$3}
    [[ $key == [A-Za-z_]*([A-Za-z0-9_]) ]] || return 0
    ENV[$key]=${2:0:$3}${tail%%+([[:space:]])}
    ENV_FROM[$key]=$4
    ENV_TO[$key]=$5
}

# Sets one variable in env_text, in its line or in a new last line, and checks that no other value changed.
set_variable() { # name value
    local name=$1 line=$1=$2 other
    local -A wanted=()
    [[ $2 == +([][A-Za-z0-9_.~+/=:@,-]) ]] || line="$name=\"$(escape_double "$2")\""
    parse_env "$env_text"
    for other in "${!ENV[@]}"; do wanted[$other]=${ENV[$other]}; done
    wanted[$name]=$2
    if [[ -v ENV[$name] ]]; then
        env_text=${env_text:0:ENV_FROM[$name]}$line${env_text:ENV_TO[$name]}
    else
        [[ -z $env_text || $env_text == *$'\n' ]] || env_text+=$'\n'
        env_text+=$line$'\n'
    fi
    parse_env "$env_text"
    for other in "${!wanted[@]}"; do
        [[ ${ENV[$other]-} == "${wanted[$other]}" ]] ||
            die 1 "cannot set $name in /etc/crypto.env: a quote is open or a backslash ends its last line; nothing was changed"
    done
}

escape_double() {
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//\`/\\\`}
    printf '%s' "${text//\$/\\\$}"
}
