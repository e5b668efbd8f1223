#!/usr/bin/env bash
# What can be said of the unit file without a running systemd: it loads without a warning, it is as closed as we claim,
# and the settings that were learned the hard way are still in it. Needs systemd-analyze only; takes a second.
#
#   tests/e2e/systemd/unit.sh
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
unit=$here/../../../crypto-proxy.service
exposure_limit=15 # systemd-analyze counts tenths

tree=$(mktemp -d)
trap 'rm -rf -- "$tree"' EXIT
mkdir -p "$tree/usr/local/bin" "$tree/etc/systemd/system"
printf '#!/bin/sh\n' >"$tree/usr/local/bin/crypto-proxy"
chmod 0755 "$tree/usr/local/bin/crypto-proxy"
cp -- "$unit" "$tree/etc/systemd/system/crypto-proxy.service"
staged=$tree/etc/systemd/system/crypto-proxy.service
# The targets that every unit depends on; an empty tree has none.
for name in sysinit basic shutdown network nss-lookup time-sync multi-user; do
    printf '[Unit]\nDescription=%s\n' "$name" >"$tree/etc/systemd/system/$name.target"
done
for name in system -; do printf '[Unit]\n' >"$tree/etc/systemd/system/$name.slice"; done

# shellcheck source=tests/e2e/checks.sh
. "$here/../checks.sh"

verifies() {
    local said
    said=$(systemd-analyze --root="$tree" verify "$staged" 2>&1) && [[ -z $said ]] && return
    printf '%s\n' "$said"
    return 1
}
closed() {
    systemd-analyze --root="$tree" --offline=true security --no-pager --threshold="$exposure_limit" "$staged" >"$tree/security" && return
    cat "$tree/security"
    return 1
}
outlasts_the_drain() { # 13 s of drain, up to 4 s of leaving
    local limit
    limit=$(sed -n 's/^TimeoutStopSec=\([0-9]*\)$/\1/p' "$unit")
    ((limit > 17))
}
has() { grep -qxF -- "$1" "$unit"; }
has_no() { ! grep -qE -- "$1" "$unit"; }

check 'systemd loads the unit without a word' verifies
check "exposure is at most ${exposure_limit%?}.${exposure_limit#?}" closed
check 'started means ready' has 'Type=notify'
check 'no reload is offered: neither source of credentials can be read again' has_no '^ExecReload='
check 'the start does not wait for a network' has_no '^(Wants|Requires|After)=.*network-online'
check 'a hung daemon leaves no core' has 'WatchdogSignal=SIGKILL'
check 'bad configuration is not retried' has 'RestartPreventExitStatus=78 243'
check 'a stop waits for the drain' outlasts_the_drain
check 'journald drops no records' has 'LogRateLimitIntervalSec=0'

printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
