#!/usr/bin/env bash
# Shows that the suite sees what would break "exactly once": tests/e2e/orders/plants.sh [PLANT...]
# Each patch in plants/ is a breakage: the journal is not synced; what is too old is sent all the same; an order goes on
# before its entry is on the disk. It is planted in a copy of the tree, and what is named below has to fail there, and to
# pass where nothing is planted. Needs strace. Takes about ten minutes, most of them for compiling.
set -euo pipefail
cd "$(dirname "$0")/../../.."

plants=("$@")
[ ${#plants[@]} -gt 0 ] || plants=(no_sync no_fence journal_after_send)

CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR
copy=$(mktemp -d)
trap 'rm -rf -- "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy"
cd "$copy"

# What does not compile has not been seen.
with_binary() { # script, what of it
    cargo build --locked --quiet --bin crypto-proxy || exit 1
    python3 "tests/e2e/orders/$1.py" "$CARGO_TARGET_DIR/debug/crypto-proxy" "${@:2}"
}
tests_of() { # package, test
    cargo test --locked --quiet --no-run -p "$1" --lib || exit 1
    cargo test --locked --quiet -p "$1" --lib "$2"
}
# What sees a plant, one a line.
seen_by() {
    case $1 in
    no_sync) printf '%s\n' 'with_binary power_cut' ;;
    no_fence) printf '%s\n' 'with_binary injected fence' 'tests_of crypto-proxy-gateway outcome::tests::a_call_whose_time_has_passed_is_not_sent' ;;
    journal_after_send) printf '%s\n' 'with_binary power_cut' ;;
    esac
}

missed=()
for plant in "${plants[@]}"; do
    patch --quiet -p1 <"tests/e2e/orders/plants/$plant.patch"
    while IFS= read -r judge; do
        printf '%s: %s\n' "$plant" "$judge"
        if $judge >said 2>&1 </dev/null || grep -q SKIPPED said; then
            missed+=("$plant by $judge")
        fi
        tail -n 12 said
    done < <(seen_by "$plant")
    patch --quiet -R -p1 <"tests/e2e/orders/plants/$plant.patch"
done
if [ ${#missed[@]} -gt 0 ]; then
    printf 'not seen: %s\n' "${missed[@]}"
    exit 1
fi
printf 'each was seen\n'
