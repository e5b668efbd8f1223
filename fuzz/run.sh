#!/usr/bin/env bash
# Looks for inputs that break a target: fuzz/run.sh [SECONDS_EACH [TARGET...]]
# libFuzzer on the stable compiler: that every branch reports itself is a pass of LLVM, which needs no nightly. There is no
# sanitizer, because our own code has no unsafe lines but for a few system calls.
# What breaks a target is left in fuzz/found; new inputs are thrown away, unless KEEP names a folder for them.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-20}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(head body signed query frames readers)

RUSTC_WRAPPER=$PWD/fuzz/rustc.sh cargo build --locked --quiet --profile fuzz \
    -p crypto-proxy-fuzz --features guided --bin guided
binary=${CARGO_TARGET_DIR:-target}/fuzz/guided

scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
mkdir -p fuzz/found
for target in "${targets[@]}"; do
    new=${KEEP:-$scratch}/$target
    mkdir -p "$new"
    log=$scratch/$target.log
    # An input may take 10 s, and the process 1 GiB: more is a finding, too.
    if ! FUZZ_TARGET=$target "$binary" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=1024 \
        -artifact_prefix="fuzz/found/$target-" "$new" "fuzz/corpus/$target" >"$log" 2>&1; then
        tail -n 60 "$log"
        printf '%s: fuzz/found has the input that breaks it\n' "$target"
        exit 1
    fi
    printf '%s: %s\n' "$target" "$(tail -n 1 "$log")"
done
