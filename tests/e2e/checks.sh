# The checks of the end-to-end scripts, to be sourced: each is one line of output, and they are counted; and how they wait.
# shellcheck shell=bash
passed=0 failed=0

check() { # what, command...
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        printf 'ok   %s\n' "$what"
    else
        failed=$((failed + 1))
        printf 'FAIL %s\n' "$what"
    fi
}

within() { # seconds, command...: asks again until it is so
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}
