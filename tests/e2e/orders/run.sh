#!/usr/bin/env bash
# Orders exactly once, in a storm: 32 callers, a stand-in that loses answers, a daemon that is killed and frozen.
#
#   tests/e2e/orders/run.sh PATH-OF-THE-BINARY [OPTIONS OF storm.py]
#
# Without options: 1,280 orders. Needs python3. No network. Some four minutes, most of it waiting until nothing of a lost
# order can arrive any more.
set -euo pipefail
[[ $# -ge 1 && -x $1 ]] || {
    printf 'usage: %s PATH-OF-THE-BINARY [OPTIONS]\n' "$0" >&2
    exit 64
}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=$(realpath -- "$1")
shift
[[ $# -gt 0 ]] || set -- --orders 1280 --kill-every 0.5
exec python3 "$here/storm.py" "$binary" "$@"
