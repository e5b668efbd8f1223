#!/usr/bin/env bash
# Orders exactly once, in a storm: 32 callers, a stand-in that loses answers, a daemon that is killed and frozen, whose disk
# is full and whose clock steps.
#
#   sudo tests/e2e/orders/run.sh PATH-OF-THE-BINARY [OPTIONS OF storm.py]
#
# Without options: 1,280 orders. Needs python3; a C compiler for the clock; root, loop devices and e2fsprogs for the disk, an
# ext4 of its own in a file. No network. Some four minutes, most of it waiting until nothing of a lost order can arrive any
# more.
set -euo pipefail
[[ $# -ge 1 && -x $1 ]] || {
    printf 'usage: %s PATH-OF-THE-BINARY [OPTIONS]\n' "$0" >&2
    exit 64
}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=$(realpath -- "$1")
shift
# A mount namespace of our own: however this script ends, the machine's mounts are as they were.
if [[ -z ${CRYPTO_PROXY_TEST_NAMESPACE-} ]] && unshare -m true 2>/dev/null; then
    CRYPTO_PROXY_TEST_NAMESPACE=1 exec unshare -m --propagation private -- "$0" "$binary" "$@"
fi
unset CRYPTO_PROXY_TEST_NAMESPACE
[[ $# -gt 0 ]] || set -- --orders 1280 --kill-every 0.5

work=$(mktemp -d)
finish() {
    if mountpoint -q "$work/disk"; then umount "$work/disk"; fi
    rm -rf -- "$work"
}
trap finish EXIT
mkdir "$work/disk"
truncate -s 128M "$work/image"
if mkfs.ext4 -q -F -m 0 "$work/image" && mount -o loop "$work/image" "$work/disk"; then
    set -- --disk "$work/disk" "$@"
else
    printf 'SKIPPED: the disk is never full, because no file system can be mounted from a file here\n'
fi
if cc -O2 -shared -fPIC -o "$work/clock.so" "$here/clock.c"; then
    set -- --clock "$work/clock.so" "$@"
else
    printf 'SKIPPED: the clock never steps, because there is no C compiler here\n'
fi
python3 "$here/storm.py" "$binary" "$@"
