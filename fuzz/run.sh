#!/usr/bin/env bash
# Looks for inputs that break a target: fuzz/run.sh [SECONDS_EACH [TARGET...]]
# libFuzzer on the stable compiler: that every branch reports itself is a pass of LLVM, which needs no nightly. There is no
# sanitizer, because our own code has no unsafe lines but for a few system calls.
# What breaks a target is left in fuzz/found; new inputs are thrown away, unless KEEP names a folder for them.
set -euo pipefail
cd "$(dirname "$0")/.."

export SECONDS_EACH=${1:-20}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(frames signed head body query readers)

# All packages and an example, as in `cargo test`: so what that built of other people's code is used again.
RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/rustc.sh cargo build --locked --quiet --features crypto-proxy-fuzz/guided --example guided
export BINARY=${CARGO_TARGET_DIR:-target}/debug/examples/guided

SCRATCH=$(mktemp -d)
export SCRATCH
trap 'rm -rf -- "$SCRATCH"' EXIT
mkdir -p fuzz/found

# An input may take 10 s, and the process 512 MiB: more is a finding, too.
search() { # target
    local new=${KEEP:-$SCRATCH}/$1 log=$SCRATCH/$1.log found
    mkdir -p "$new"
    if FUZZ_TARGET=$1 "$BINARY" -max_total_time="$SECONDS_EACH" -max_len=4096 -timeout=10 -rss_limit_mb=512 -mutate_depth=2 \
        -dict=fuzz/words.dict -print_final_stats=1 -artifact_prefix="fuzz/found/$1-" "$new" "fuzz/corpus/$1" >"$log" 2>&1; then
        printf '%s: %s\n' "$1" "$(grep -a '^#.*DONE' "$log")"
        return
    fi
    found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    grep -a -A 30 panicked "$log" || tail -n 60 "$log"
    printf '%s: broken by %s after %s inputs. It says:\n' "$1" "${found:-no input}" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    if [ -n "$found" ]; then cat -v "$found" && echo; fi
    return 1
}
export -f search
# Two at a time: each has one thread, and every target is tried before this ends.
printf '%s\n' "${targets[@]}" | xargs -P 2 -I '{}' bash -c 'search {}'
