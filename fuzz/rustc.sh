#!/usr/bin/env bash
# Cargo calls it in place of the compiler for our own crates: rustc.sh RUSTC ARGUMENT...
# Only those that read what strangers send report their branches; the generic code of serde and hyper is compiled into
# them. With everything the engine spent most of its time on a quarter of a million counters.
# Cargo does not see a change of this file: `cargo clean -p crypto-proxy` (and the other two) after one.
set -eu
rustc=$1
shift
if [ "${1-}" = --crate-name ]; then
    case $2 in
        crypto_proxy | crypto_proxy_gateway | crypto_proxy_protocol)
            set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3
            for part in inline-8bit-counters pc-table trace-compares; do
                set -- "$@" "-Cllvm-args=-sanitizer-coverage-$part"
            done
            ;;
    esac
fi
exec "$rustc" "$@"
