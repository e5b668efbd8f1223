#!/usr/bin/env bash
# Cargo calls it in place of the compiler: rustc.sh RUSTC ARGUMENT...
# Only code that parses what strangers send reports its branches. With the whole daemon the engine spent most of its time
# on a quarter of a million counters.
# Cargo does not see a change of this file: take `target/fuzz` away after one.
set -eu
rustc=$1
shift
if [ "${1-}" = --crate-name ]; then
    case $2 in
        crypto_proxy | crypto_proxy_catalogue | crypto_proxy_gateway | crypto_proxy_protocol | \
            http | httparse | hyper | serde_json | tungstenite)
            set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3
            for part in inline-8bit-counters pc-table trace-compares; do
                set -- "$@" "-Cllvm-args=-sanitizer-coverage-$part"
            done
            ;;
    esac
fi
exec "$rustc" "$@"
