#!/usr/bin/env bash
# Shows that the search sees: fuzz/plants.sh [SECONDS_EACH [TARGET...]]
# Each patch in fuzz/plants is a slip that somebody could make in the product. It is planted in a copy of the tree, and the
# target of its name has to find it. Takes about five minutes, most of them for compiling.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-20}
plants=("${@:2}")
[ ${#plants[@]} -gt 0 ] || plants=(head body signed query frames readers)

CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR
copy=$(mktemp -d)
trap 'rm -rf -- "$copy"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"
cd "$copy"

missed=()
for plant in "${plants[@]}"; do
    patch --quiet -p1 <"fuzz/plants/$plant.patch"
    if fuzz/run.sh "$seconds" "$plant" >said 2>&1; then
        missed+=("$plant")
    elif ! grep -a "^$plant: broken by fuzz/found" -A 1 said; then
        cat said
        exit 1
    fi
    patch --quiet -R -p1 <"fuzz/plants/$plant.patch"
done
if [ ${#missed[@]} -gt 0 ]; then
    printf 'not found within %s s: %s\n' "$seconds" "${missed[*]}"
    exit 1
fi
