# A booted systemd with a real journald, to be sourced: a container on an overlay of this machine's own root, with the binary
# and what it is shipped with in /opt/release. The script that sources it has set `project` and `binary`, is in a mount
# namespace of its own, and calls make_bed and boot; at its end everything is taken down, and a failed check makes it fail.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
readonly SERVICE=crypto-proxy.service DAEMON=http://127.0.0.1:9000 STAND_IN=127.0.0.1:18200

# shellcheck source=tests/e2e/checks.sh
. "$project/tests/e2e/checks.sh"

# ---- the machine -------------------------------------------------------------------------------------------------

bed='' nspawn='' leader=''
cgroups=()

cleanup() {
    local group
    printf '%d passed, %d failed\n' "$passed" "$failed"
    if [[ -n $leader ]]; then kill -KILL "$leader" 2>/dev/null; fi
    if [[ -n $nspawn ]]; then
        kill -TERM "$nspawn" 2>/dev/null
        wait "$nspawn" 2>/dev/null
    fi
    for group in "${cgroups[@]}"; do within 5 remove_cgroup "$group" || printf 'left behind: %s\n' "$group"; done
    if [[ -n $bed ]]; then
        umount -- "$bed/merged" 2>/dev/null
        umount -- "$bed" && rmdir -- "$bed"
    fi
    ((failed == 0)) || exit 1
}
remove_cgroup() { find "$1" -depth -type d -exec rmdir {} + 2>/dev/null; [[ ! -d $1 ]]; }

make_bed() {
    bed=$(mktemp -d)
    mount -t tmpfs tmpfs "$bed" || abort 'no tmpfs'
    mkdir "$bed/up" "$bed/work" "$bed/merged"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$bed/up,workdir=$bed/work" "$bed/merged" || abort 'no overlay'
    rm -rf "$bed"/merged/etc/systemd/system/*.wants "$bed/merged/etc/systemd/system/$SERVICE"* "$bed/merged/etc/machine-id" \
        "$bed/merged/etc/crypto.env" "$bed/merged/etc/crypto-proxy" "$bed/merged/usr/local/bin/crypto-proxy" "$bed/merged/var/log/journal" \
        "$bed/merged/var/backups/crypto-proxy"
    mkdir -p "$bed/merged/opt/release/install" "$bed/merged/opt/old"
    cp -- "$binary" "$bed/merged/opt/release/crypto-proxy"
    cp -r -- "$project/deploy/." "$project/$SERVICE" "$bed/merged/opt/release/"
}

# A container that is not in cgroups of its own would share those of whoever started this script.
boot() {
    local base
    for base in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
        [[ -f $base/cgroup.procs ]] || continue
        mkdir "$base/crypto-proxy-test-$$" && cgroups+=("$base/crypto-proxy-test-$$")
    done
    (
        for base in "${cgroups[@]}"; do echo "$BASHPID" >"$base/cgroup.procs"; done
        SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 exec systemd-nspawn --register=no --keep-unit --quiet -D "$bed/merged" \
            --machine="cptest$$" --private-network --capability=all --system-call-filter='@memlock @keyring bpf perf_event_open' \
            --boot --console=read-only systemd.unit=basic.target </dev/null >"$bed/console" 2>&1
    ) &
    nspawn=$!
    within 10 container_leads || abort 'the container did not start'
    # Were this our own PID namespace, every command below would strike the machine itself.
    [[ $(readlink "/proc/$leader/ns/pid") != "$(readlink /proc/self/ns/pid)" ]] || abort 'the container has no PID namespace of its own'
    within 30 booted || abort 'the container did not boot'
}
booted() { inside systemctl is-active --quiet basic.target 2>/dev/null; }
container_leads() { leader=$(pgrep -P "$nspawn" | head -n 1) && [[ -n $leader && $(cat "/proc/$leader/comm") == systemd ]]; }
inside() { nsenter -t "${leader:?}" -a -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C "$@"; }
write_inside() { inside sh -c 'cat >"$1"' sh "$1"; }

# ---- the service -------------------------------------------------------------------------------------------------

property() { inside systemctl show --property="$1" --value "${2:-$SERVICE}"; }
main_pid() { property MainPID; }
alive() { inside curl -fsS -o /dev/null --max-time 1 "$DAEMON/health" 2>/dev/null; }
journal_has() { inside journalctl --no-pager "${@:2}" | grep -qF -- "$1"; }
restart() { inside systemctl restart "$SERVICE" 2>/dev/null; }

drop_in() { # lines...
    inside mkdir -p "/etc/systemd/system/$SERVICE.d"
    printf '%s\n' '[Service]' "$@" | write_inside "/etc/systemd/system/$SERVICE.d/test.conf"
    inside systemctl daemon-reload
}
no_drop_in() {
    inside rm -f "/etc/systemd/system/$SERVICE.d/test.conf"
    inside systemctl daemon-reload
}
