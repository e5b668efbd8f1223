#!/usr/bin/env bash
# The documents against the source: a chapter for each cause, a row for each kind of line.
#
#   tests/e2e/documents_test.sh
# shellcheck disable=SC2016 # backticks in single quotes are those of the document
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

failed=0
same() { # what, of the source, of the document
    if [[ -n $2 && $2 == "$3" ]]; then
        printf 'ok   %s\n' "$1"
    else
        failed=1
        printf 'FAIL %s\n' "$1"
        diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") || true
    fi
}

same 'every cause has its chapter in the manual, in the order of the table' \
    "$(grep -oE '^    [A-Za-z0-9]+ = "CP-[A-Z0-9-]+' crates/diagnosis/src/causes/cause.rs | grep -oE 'CP-[A-Z0-9-]+')" \
    "$(grep -oE '^### CP-[A-Z0-9-]+' docs/diagnosis.md | grep -oE 'CP-[A-Z0-9-]+')"
same 'every kind of line is described' \
    "$(grep -rhoE 'event=[a-z]+' src crates/*/src --include='*.rs' | sort -u)" \
    "$(grep -oE '^\| `event=[a-z]+' docs/log-lines.md | tr -d '|` ' | sort -u)"
exit "$failed"
