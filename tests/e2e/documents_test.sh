#!/usr/bin/env bash
# docs/log-lines.md against the source: each cause of a hint with its sentence, each kind of line.
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

same 'every cause stands in the table, with its meaning' \
    "$(grep -A1 -E '^    [A-Za-z]+ = "CP-' src/diagnosis/hint/cause.rs | sed -nE 's/.* = "(CP-[A-Z-]+)",$/\1/; s/^ +"(.*)",$/\1/; s/\\"/"/g; /^--$/d; p')" \
    "$(sed -nE 's/^\| `(CP-[A-Z-]+)` \| ([^|]*) \|.*/\1\n\2/p' docs/log-lines.md)"
same 'every kind of line is described' \
    "$(grep -rhoE 'event=[a-z]+' src --include='*.rs' | sort -u)" \
    "$(grep -oE '^\| `event=[a-z]+' docs/log-lines.md | tr -d '|` ' | sort -u)"
exit "$failed"
