# The checks of the end-to-end scripts, to be sourced: each is one line of output, and they are counted; and how they wait.
# shellcheck shell=bash
passed=0 failed=0
# Of scripts with cases: the name before that of each check, and the file that a failed check shows.
case_name='' shown=''

check() { # what, command...
    local what="${case_name:+$case_name: }$1"
    shift
    if "$@"; then
        passed=$((passed + 1))
        printf 'ok   %s\n' "$what"
    else
        failed=$((failed + 1))
        printf 'FAIL %s\n' "$what"
        [[ ! -s $shown ]] || sed 's/^/     | /' "$shown"
    fi
}

abort() { # what did not happen
    check "$*" false
    exit 1
}

is() { # what was got, what was expected
    [[ $1 == "$2" ]] && return
    printf '     | got: %s\n     | not: %s\n' "$1" "$2"
    return 1
}

no() { ! "$@"; }

# Asks again until it is so. SECONDS counts whole seconds: with one more, the time asked for has passed.
within() { # seconds, command...
    local end=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}
